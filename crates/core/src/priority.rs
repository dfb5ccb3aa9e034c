//! In which order things of one kind are recovered.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in the order of recovery: 1 goes first, 5 last, 3 is what nobody thought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];
    pub const FIRST: Self = Self(1);
    pub const LAST: Self = Self(5);
    /// Of what was given none.
    pub const DEFAULT: Self = Self(3);

    pub fn get(self) -> u8 {
        self.0
    }
}

/// A number that is no priority. Says which are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a priority is a whole number from 1 (first) to 5 (last), it is {0}")]
pub struct NoPriority(u8);

impl TryFrom<u8> for Priority {
    type Error = NoPriority;

    fn try_from(number: u8) -> Result<Self, NoPriority> {
        let priority = Self(number);
        if (Self::FIRST..=Self::LAST).contains(&priority) {
            Ok(priority)
        } else {
            Err(NoPriority(number))
        }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_to_five_are_priorities() {
        for number in 1..=5 {
            assert_eq!(Priority::try_from(number).map(Priority::get), Ok(number));
        }
        for number in [0, 6, 255] {
            let refusal = serde_json::from_str::<Priority>(&number.to_string()).unwrap_err();
            assert!(refusal.to_string().contains("from 1 (first) to 5 (last)"));
        }
        assert!(Priority::FIRST < Priority::DEFAULT);
    }
}
