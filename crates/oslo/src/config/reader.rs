//! Typed access to resolved values, section by section.
//!
//! A value that is absent or of another type than asked for is either an option whose problem is
//! reported already, or a mistake in the table, which is noted as a problem of its own; in both
//! cases the configuration is refused and the stand-in returned here is never used.

use std::{collections::HashSet, num::NonZeroUsize, path::PathBuf, time::Duration};

use secrecy::SecretString;

use super::{
    kind::Value,
    problem::{Origin, Problem},
    resolve::{Resolved, ResolvedOption},
};

/// A longer wait than a year is a year, so that a deadline can always be reckoned.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(super) struct Reader<'a> {
    resolved: &'a Resolved,
    pub problems: Vec<Problem>,
    /// What was asked for, so that a test can find options that nobody reads.
    pub read: HashSet<(String, &'static str)>,
}

pub(super) struct Section<'r, 'a> {
    reader: &'r mut Reader<'a>,
    name: String,
}

impl<'a> Reader<'a> {
    pub fn new(resolved: &'a Resolved) -> Self {
        Self {
            resolved,
            problems: Vec::new(),
            read: HashSet::new(),
        }
    }

    /// Reads the options of the section `name` from now on.
    pub fn section(&mut self, name: &str) -> Section<'_, 'a> {
        Section {
            reader: self,
            name: name.to_owned(),
        }
    }
}

impl Section<'_, '_> {
    fn outcome<T>(
        &mut self,
        option: &'static str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        self.reader.read.insert((self.name.clone(), option));
        match self.reader.resolved.get(&self.name, option) {
            Some(ResolvedOption::Unset | ResolvedOption::Failed) => None,
            Some(ResolvedOption::Value(value)) => {
                let converted = convert(value);
                if converted.is_none() {
                    self.mistake(option, "the value does not fit the type the service needs");
                }
                converted
            }
            None => {
                self.mistake(option, "the option is read but not declared");
                None
            }
        }
    }

    fn mistake(&mut self, option: &str, message: &str) {
        self.reader.problems.push(Problem {
            origin: Origin::Default,
            subject: format!("[{}] {option}", self.name),
            message: message.to_owned(),
        });
    }

    /// A text, if the option is set.
    pub fn optional_text(&mut self, option: &'static str) -> Option<String> {
        self.outcome(option, |value| match value {
            Value::Str(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A text that the option has, or its default.
    pub fn text(&mut self, option: &'static str) -> String {
        self.optional_text(option).unwrap_or_default()
    }

    /// A text that the section must have.
    pub fn needed_text(&mut self, option: &'static str) -> String {
        let text = self.optional_text(option);
        let is_unset = matches!(
            self.reader.resolved.get(&self.name, option),
            Some(ResolvedOption::Unset)
        );
        if is_unset {
            self.mistake(option, "must be set");
        }
        text.unwrap_or_default()
    }

    /// A path that the section must have.
    pub fn needed_path(&mut self, option: &'static str) -> PathBuf {
        PathBuf::from(self.needed_text(option))
    }

    /// A path, if the option is set.
    pub fn optional_path(&mut self, option: &'static str) -> Option<PathBuf> {
        self.optional_text(option).map(PathBuf::from)
    }

    /// A path that the option has, or its default.
    pub fn path(&mut self, option: &'static str) -> PathBuf {
        self.optional_path(option).unwrap_or_default()
    }

    /// A text that no message shows, if the option is set.
    pub fn optional_secret(&mut self, option: &'static str) -> Option<SecretString> {
        self.optional_text(option).map(SecretString::from)
    }

    /// A text that no message shows.
    pub fn secret(&mut self, option: &'static str) -> SecretString {
        self.text(option).into()
    }

    /// Yes or no, in the words of oslo.config.
    pub fn flag(&mut self, option: &'static str) -> bool {
        self.outcome(option, |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// A whole number in the bounds of its option.
    pub fn number<T: TryFrom<i64> + Default>(&mut self, option: &'static str) -> T {
        self.outcome(option, |value| match value {
            Value::Int(number) => T::try_from(*number).ok(),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// A count too large for 32 bits is as good as the largest: it is never reached.
    pub fn saturated(&mut self, option: &'static str) -> u32 {
        let number: i64 = self.number(option);
        u32::try_from(number.max(0)).unwrap_or(u32::MAX)
    }

    /// `None` for -1, which oslo's services use for "without limit".
    pub fn saturated_unless_negative(&mut self, option: &'static str) -> Option<u32> {
        let number: i64 = self.number(option);
        (number >= 0).then(|| u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The same, of things.
    pub fn count(&mut self, option: &'static str) -> NonZeroUsize {
        NonZeroUsize::new(self.number(option)).unwrap_or(NonZeroUsize::MIN)
    }

    /// A time in seconds.
    pub fn seconds(&mut self, option: &'static str) -> Duration {
        self.outcome(option, |value| match value {
            Value::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
            _ => None,
        })
        .unwrap_or_default()
        .min(LONGEST)
    }

    /// A list, separated by commas, each part read by `convert`.
    pub fn list_of<T>(
        &mut self,
        option: &'static str,
        convert: fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        self.outcome(option, |value| match value {
            Value::List(items) => items
                .iter()
                .filter(|item| !item.is_empty())
                .map(|item| convert(item).ok())
                .collect(),
            _ => None,
        })
        .unwrap_or_default()
    }
}
