//! The versions of the API.

use std::fmt;

/// A version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion {
    /// Before the point.
    pub major: u16,
    /// Behind it.
    pub minor: u16,
}

impl Microversion {
    /// The base, spoken to callers that ask for none.
    pub const MIN: Self = Self { major: 1, minor: 0 };
    /// Groups have a priority.
    pub const WITH_PRIORITY: Self = Self { major: 1, minor: 1 };
    /// Members can be compared, and groups have a fidelity.
    pub const WITH_FIDELITY: Self = Self { major: 1, minor: 3 };
    /// Policies name arrays by their names in the configuration, and show what those can do.
    pub const WITH_CAPABILITIES: Self = Self::WITH_FIDELITY;
    /// The newest.
    pub const MAX: Self = Self::WITH_FIDELITY;

    /// What each version has that the one before it has not.
    pub const HISTORY: &[(Self, &str)] = &[
        (Self::MIN, "The base: what is not named below."),
        (
            Self::WITH_PRIORITY,
            "`priority` of protection groups: in requests, in answers, and as a sort key.",
        ),
        (
            Self { major: 1, minor: 2 },
            "Details of the health report: `lag_seconds`, `rpo_met`, `components[].detail`.",
        ),
        (
            Self::WITH_FIDELITY,
            "`GET …/members/{member}/comparison`: a member on record, now, and as its copy would be. `fidelity` of protection groups. `attributes` of the members that a dry run shows. `primary_array`, `secondary_array` and `capabilities` of policies; the latter also of dry runs. `GET …/recovery-points`, and `recovery_point` of unplanned failovers and tests.",
        ),
    ];

    /// Reads `1.3`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(major) || !digits(minor) {
            return None;
        }
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
