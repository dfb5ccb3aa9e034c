//! Small pieces of text that the API takes and gives: times, secrets, values that may be cleared.

use std::fmt;

use chrono::{DateTime, Utc};
use protector_core::confidential::Confidential;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A time in UTC in whole seconds, `2025-11-03T14:00:00Z`, as the product's records show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2025-11-03T14:00:00Z")]
pub struct Stamp(pub DateTime<Utc>);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<DateTime<Utc>> for Stamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

/// A secret that can be given and never read back.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = String, format = Password)]
pub struct WriteOnly(pub SecretString);

impl WriteOnly {
    /// The secret as a record takes it.
    pub fn into_confidential(self) -> Confidential {
        Confidential::new(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for WriteOnly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

/// Tells `null` (clear the value) from an absent field (leave it), for `Option<Option<T>>` fields.
pub fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn times_are_shown_in_whole_seconds_with_z() {
        let at = Utc.with_ymd_and_hms(2025, 11, 3, 14, 7, 42).unwrap()
            + chrono::Duration::microseconds(7);
        let shown = serde_json::to_string(&Stamp(at)).unwrap();
        assert_eq!(shown, "\"2025-11-03T14:07:42Z\"");
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret: WriteOnly = serde_json::from_str("\"hunter2\"").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
