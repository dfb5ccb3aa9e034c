//! Bodies, queries and path parts, taken from a request with errors in the API's own form.
//!
//! axum's rejections are plain text and differ by cause; everything that can be wrong with a request's form is a 400,
//! 413 or 415 here that names the place.

use std::{error::Error as _, time::Duration};

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use protector_peer::message_signature::BodyDigest;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::{app::refusal::Refusal, http::error::ApiError};

/// A JSON body, checked field by field. Where a signature has told its digest, it must have that.
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
        let signed = request.extensions().get::<BodyDigest>().copied();
        let read = tokio::time::timeout(PATIENCE, Bytes::from_request(request, state));
        let bytes = read
            .await
            .map_err(|_| too_slow())?
            .map_err(|rejection| body_not_read(&rejection))?;
        if signed.is_some_and(|digest| !digest.fits(&bytes)) {
            return Err(changed_on_its_way());
        }
        from_json(&bytes).map(Self)
    }
}

/// How long a client may take over a body. The largest is a peer's, of 32 MiB.
const PATIENCE: Duration = Duration::from_secs(120);

fn too_slow() -> ApiError {
    ApiError::new(
        Refusal::TooSlow,
        format!(
            "The request's body has not come within {} s.",
            PATIENCE.as_secs()
        ),
    )
}

/// The refusal of a body that is not the one that the other site's protector has signed.
fn changed_on_its_way() -> ApiError {
    ApiError::new(
        Refusal::PeerSignature,
        "The body of this call is not the one that was signed: it was changed on its way.",
    )
}

/// The refusal of a body above the limit.
fn too_large() -> ApiError {
    ApiError::new(
        Refusal::TooLarge,
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
        Refusal::NotJson,
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
        from_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let reader = serde_urlencoded::Deserializer::new(pairs);
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        wrong_query(query, &path, &error.inner().to_string())
    })
}

/// serde's words for a wrong parameter, turned into what was given and what is allowed.
fn wrong_query(query: &str, name: &str, said: &str) -> ApiError {
    if let Some(rest) = said.strip_prefix("unknown field ") {
        return ApiError::bad_request(format!("Invalid query string: unknown parameter {rest}."));
    }
    if let Some(rest) = said.strip_prefix("duplicate field ") {
        return ApiError::bad_request(format!("Invalid query string: {rest} is given twice."));
    }
    if name == "." {
        return ApiError::bad_request(format!("Invalid query string: {said}."));
    }
    let given = form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    ApiError::bad_request(format!("{name}: {}, not '{given}'.", allowed(said)))
}

/// What a parameter may be, told from serde's and the standard library's refusal of what it was.
fn allowed(said: &str) -> String {
    if let Some((_, words)) = said.split_once(", expected ") {
        let words = words.trim_start_matches("one of ").replace('`', "'");
        return format!("must be one of {words}");
    }
    if said.contains("`true` or `false`") {
        return "must be 'true' or 'false'".to_owned();
    }
    let is_number = ["digit", "integer", "number too"]
        .iter()
        .any(|word| said.contains(word));
    if is_number {
        return format!("must be a whole number from 0 to {}", u32::MAX);
    }
    said.to_owned()
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

    /// One byte a minute keeps no request waiting for ever.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let drip = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
        });
        let request = Request::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(axum::body::Body::from_stream(drip))
            .unwrap();
        let refused = Body::<serde_json::Value>::from_request(request, &()).await;
        let answer = axum::response::IntoResponse::into_response(refused.unwrap_err());
        assert_eq!(answer.status(), 408);
    }

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

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[allow(dead_code, reason = "only its shape is of interest")]
    struct Asked {
        limit: Option<u32>,
        detail: bool,
        colour: Option<Colour>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Blue,
        Green,
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_it_may_be() {
        for (query, says) in [
            (
                "limit=ten",
                "limit: must be a whole number from 0 to 4294967295, not 'ten'.",
            ),
            (
                "limit=-1",
                "limit: must be a whole number from 0 to 4294967295, not '-1'.",
            ),
            (
                "limit=99999999999",
                "limit: must be a whole number from 0 to 4294967295, not '99999999999'.",
            ),
            (
                "limit=",
                "limit: must be a whole number from 0 to 4294967295, not ''.",
            ),
            (
                "detail=yes%20please",
                "detail: must be 'true' or 'false', not 'yes please'.",
            ),
            (
                "colour=pink",
                "colour: must be one of 'red', 'blue', 'green', not 'pink'.",
            ),
            (
                "size=3",
                "Invalid query string: unknown parameter `size`, expected one of `limit`, `detail`, `colour`.",
            ),
            (
                "limit=1&limit=2",
                "Invalid query string: `limit` is given twice.",
            ),
        ] {
            let error = from_query::<Asked>(query).unwrap_err();
            assert_eq!(error.message(), says, "{query}");
        }
        assert_eq!(from_query::<Asked>("limit=7").unwrap().limit, Some(7));
    }
}
