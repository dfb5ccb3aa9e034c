//! Bodies, queries and path parts, taken from a request with errors in the API's own form.
//!
//! axum's rejections are plain text and differ by cause; everything that can be wrong with a request's form is a 400,
//! 413 or 415 here that names the place.

use std::error::Error as _;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::error::{ApiError, Kind};

/// A JSON body, checked field by field.
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        refuse_other_media_types(request.headers())?;
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| body_not_read(&rejection))?;
        from_json(&bytes).map(Self)
    }
}

/// The refusal of a body above the limit.
fn too_large() -> ApiError {
    ApiError::new(
        Kind::TooLarge,
        "Request is too large: the body exceeds [oslo_middleware] max_request_body_size.",
    )
}

fn body_not_read(rejection: &axum::extract::rejection::BytesRejection) -> ApiError {
    if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    let cause = rejection
        .source()
        .map_or_else(|| rejection.to_string(), ToString::to_string);
    ApiError::bad_request(format!("The request's body could not be read: {cause}."))
}

fn refuse_other_media_types(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = given
        .and_then(|value| value.split(';').next())
        .map(str::trim)
        .unwrap_or_default();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = given.map_or_else(
        || "there is none".to_owned(),
        |given| format!("it is '{given}'"),
    );
    Err(ApiError::new(
        Kind::UnsupportedMediaType,
        format!("Content-Type must be 'application/json', {found}."),
    ))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        wrong_json(bytes, &path, error.inner())
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn wrong_json(bytes: &[u8], path: &str, error: &serde_json::Error) -> ApiError {
    // serde_json also calls it a matter of syntax when a word is wanted and a number is there.
    let well_formed = serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    if error.classify() != Category::Data && !well_formed {
        return malformed(error);
    }
    let what = without_position(error);
    // serde's words for an action's body with no key or with two.
    if path == "." && what == "expected value" {
        return ApiError::bad_request(
            "Invalid request body: it must be an object with exactly one key, the name of what is to be done.",
        );
    }
    if path == "." {
        return ApiError::bad_request(format!("Invalid request body: {what}."));
    }
    ApiError::bad_request(format!("Invalid input for field '{path}': {what}."))
}

fn malformed(error: &serde_json::Error) -> ApiError {
    ApiError::bad_request(format!(
        "Malformed JSON in the request's body at line {}, column {}: {}.",
        error.line(),
        error.column(),
        without_position(error)
    ))
}

/// serde_json ends its sentences with the position; it is repeated only where it says something.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The query string, with unknown parameters refused where `T` refuses them.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|rejection| {
                let cause = rejection
                    .source()
                    .map_or_else(|| rejection.to_string(), ToString::to_string);
                ApiError::bad_request(format!("Invalid query string: {cause}."))
            })
    }
}

/// The variable parts of the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|path| Self(path.0))
            .map_err(|rejection| {
                ApiError::bad_request(format!("Invalid path: {}.", rejection.body_text()))
            })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape is of interest")]
    struct Outer {
        site: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape is of interest")]
    struct Inner {
        name: String,
        port: Option<u16>,
    }

    fn refusal(text: &str) -> String {
        from_json::<Outer>(text.as_bytes())
            .unwrap_err()
            .message()
            .to_owned()
    }

    #[test]
    fn malformed_json_is_located() {
        let said = refusal("{\"site\": {\"name\": \"a\",}}");
        assert!(said.contains("line 1, column 23"), "{said}");
        assert!(refusal("").contains("Malformed JSON"));
        assert!(refusal("{\"site\": {\"name\": \"a\"}} x").contains("Malformed JSON"));
    }

    #[test]
    fn the_wrong_field_is_named() {
        let said = refusal("{\"site\": {\"name\": 7}}");
        assert!(said.contains("'site.name'"), "{said}");
        assert!(said.contains("expected a string"), "{said}");
        let said = refusal("{\"site\": {\"name\": \"a\", \"port\": 70000}}");
        assert!(said.contains("'site.port'"), "{said}");
        let said = refusal("{\"site\": {}}");
        assert!(said.contains("missing field `name`"), "{said}");
    }

    #[test]
    fn an_unknown_field_is_named() {
        let said = refusal("{\"site\": {\"name\": \"a\", \"nmae\": 1}}");
        assert!(said.contains("nmae"), "{said}");
        assert!(refusal("{\"sight\": {}}").contains("sight"));
    }
}
