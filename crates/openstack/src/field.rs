//! Fields of answers that are written in odd ways, or that may be null but must be there.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};

/// A field that may be null but must be present: a decision rests on it, and an absent field decides nothing.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

/// A field that some releases leave out, which is something else than null: `None` where it is left out.
pub(crate) fn told<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// An object whose members stand in an order that means something.
pub(crate) fn in_order<'de, D, T>(deserializer: D) -> Result<Vec<(String, T)>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Members<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
        type Value = Vec<(String, T)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    deserializer.deserialize_map(Members(std::marker::PhantomData))
}

/// `true`, `"true"` or `"True"`. An empty text is false, as Nova writes it for `config_drive`.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Bool(bool),
        Text(String),
    }
    match Flag::deserialize(deserializer)? {
        Flag::Bool(value) => Ok(value),
        Flag::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "" | "0" => Ok(false),
            _ => Err(D::Error::custom(format!(
                "{text:?} is neither true nor false"
            ))),
        },
    }
}

/// Nova writes an absent image as `""`, a present one as an object with an id.
pub(crate) fn image_of_server<'de, D>(
    deserializer: D,
) -> Result<Option<crate::id::ImageId>, D::Error>
where
    D: Deserializer<'de>,
{
    let image = serde_json::Value::deserialize(deserializer)?;
    let id = image.get("id").and_then(serde_json::Value::as_str);
    Ok(id.map(crate::id::ImageId::from))
}

/// A whole number that some releases write as `""` for none (`swap` of a flavor).
pub(crate) fn number_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(u64),
        Text(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Number(value) => Ok(value),
        Number::Text(text) if text.is_empty() => Ok(0),
        Number::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

/// A time in UTC, with or without an offset: Nova writes `Z`, Cinder writes none.
pub(crate) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<chrono::DateTime<chrono::Utc>, D::Error> {
    parse_time(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// As [`time`], for a field that may be null or absent.
pub(crate) fn optional_time<'de, D>(
    deserializer: D,
) -> Result<Option<chrono::DateTime<chrono::Utc>>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.filter(|text| !text.is_empty())
        .map(|text| parse_time(&text))
        .transpose()
        .map_err(D::Error::custom)
}

fn parse_time(text: &str) -> Result<chrono::DateTime<chrono::Utc>, String> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .map(|time| time.and_utc())
        .map_err(|_| format!("{text:?} is not a time"))
}

/// A server's user data in base64. It often holds passwords, so it is never printed.
#[derive(Clone)]
pub struct UserData(SecretString);

impl UserData {
    /// Takes base64 text.
    pub fn new(base64: impl Into<String>) -> Self {
        Self(SecretString::from(base64.into()))
    }

    /// The base64 text, to be sent or stored encrypted.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserData([REDACTED])")
    }
}

impl PartialEq for UserData {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl<'de> Deserialize<'de> for UserData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(deserialize_with = "nullable")]
        task: Option<String>,
        #[serde(deserialize_with = "flag")]
        flag: bool,
        #[serde(deserialize_with = "time")]
        at: chrono::DateTime<chrono::Utc>,
    }

    #[test]
    fn a_nullable_field_must_be_there() {
        let ok: Sample = serde_json::from_str(
            r#"{"task":null,"flag":"True","at":"2026-01-02T03:04:05.000000"}"#,
        )
        .unwrap();
        assert_eq!(
            (ok.task, ok.flag, ok.at.to_rfc3339()),
            (None, true, "2026-01-02T03:04:05+00:00".to_owned())
        );
        let missing = serde_json::from_str::<Sample>(r#"{"flag":"","at":"2026-01-02T03:04:05Z"}"#)
            .unwrap_err();
        assert!(missing.to_string().contains("missing field `task`"));
        assert!(
            serde_json::from_str::<Sample>(
                r#"{"task":"x","flag":"maybe","at":"2026-01-02T03:04:05Z"}"#
            )
            .is_err()
        );
        assert!(
            serde_json::from_str::<Sample>(r#"{"task":"x","flag":true,"at":"yesterday"}"#).is_err()
        );
    }

    #[test]
    fn user_data_is_never_printed() {
        let data = UserData::new("cGFzc3dvcmQ=");
        assert_eq!(format!("{data:?}"), "UserData([REDACTED])");
        assert_eq!(data.expose(), "cGFzc3dvcmQ=");
    }
}
