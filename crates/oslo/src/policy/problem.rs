//! What is wrong with a policy file.

use std::{fmt, path::PathBuf};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// 1-based line; `None` when the file as a whole is meant.
    pub line: Option<usize>,
    /// The rule's name; empty when the file as a whole is meant.
    pub rule: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    pub(super) fn at(line: usize, message: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            rule: String::new(),
            message: message.into(),
        }
    }

    pub(super) fn rule(line: usize, rule: &str, message: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            rule: rule.to_owned(),
            message: message.into(),
        }
    }
}

/// All mistakes of a policy file, one line each. Never empty. While there is one, none of the
/// file's rules is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyErrors {
    pub path: PathBuf,
    /// Its mistakes in the order of its lines.
    pub problems: Vec<Problem>,
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.path.display())?;
            if let Some(line) = problem.line {
                write!(f, "{line}:")?;
            }
            if !problem.rule.is_empty() {
                write!(f, " \"{}\":", problem.rule)?;
            }
            write!(f, " {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}
