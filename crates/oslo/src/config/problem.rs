//! What is wrong with a configuration, in the words an operator reads.

use std::{fmt, path::PathBuf};

/// Where a value or a problem stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The option's declared default.
    Default,
    /// Line (1-based) of a configuration file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line of the option's name.
        line: usize,
    },
    /// A file or directory as a whole.
    Whole(PathBuf),
}

/// One thing that must be changed before the service starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// `[section] option = value`, or less of it; secrets are shown as `***`.
    pub subject: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => {}
            Origin::File { path, line } => write!(f, "{}:{line}: ", path.display())?,
            Origin::Whole(path) => write!(f, "{}: ", path.display())?,
        }
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        f.write_str(&self.message)
    }
}

/// All problems of a configuration at once, one line each. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    pub(super) fn from_problems<T>(value: T, problems: Vec<Problem>) -> Result<T, Self> {
        if problems.is_empty() {
            Ok(value)
        } else {
            Err(Self { problems })
        }
    }

    /// The problems in the order of the files and their lines.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
