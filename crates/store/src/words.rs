//! Values to columns and back: words of enums, JSON of nested values, numbers that databases only keep signed.

use sea_orm::JsonValue;
use serde::{
    Serialize,
    de::{DeserializeOwned, IntoDeserializer, value::StrDeserializer},
};

use crate::error::StoreError;

/// The word by which serde knows a variant without fields.
pub(crate) fn to_word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    match to_json(value)? {
        JsonValue::String(word) => Ok(word),
        other => Err(StoreError::Unreadable(format!("{other} is not a word"))),
    }
}

/// The variant that `word` names.
pub(crate) fn from_word<T: DeserializeOwned>(
    column: &'static str,
    word: &str,
) -> Result<T, StoreError> {
    let word: StrDeserializer<'_, serde_json::Error> = word.into_deserializer();
    T::deserialize(word).map_err(|error| unreadable(column, &error))
}

/// A nested value as JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<JsonValue, StoreError> {
    serde_json::to_value(value).map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// A nested value from JSON. The error names the column, never the content.
pub(crate) fn from_json<T: DeserializeOwned>(
    column: &'static str,
    json: JsonValue,
) -> Result<T, StoreError> {
    serde_json::from_value(json).map_err(|error| unreadable(column, &error))
}

fn unreadable(column: &'static str, error: &serde_json::Error) -> StoreError {
    StoreError::Unreadable(format!("column {column}: {error}"))
}

/// A count as databases keep it.
pub(crate) fn to_signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as it was kept.
pub(crate) fn to_count(column: &'static str, stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|_| negative(column))
}

/// A small number as databases keep it.
pub(crate) fn to_small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A small number as it was kept.
pub(crate) fn to_u32(column: &'static str, stored: i32) -> Result<u32, StoreError> {
    u32::try_from(stored).map_err(|_| negative(column))
}

fn negative(column: &'static str) -> StoreError {
    StoreError::Unreadable(format!("column {column} is negative"))
}
