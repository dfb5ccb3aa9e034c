//! API versions: the documents at `/` and `/v1/`, and the microversion that a request may ask for.
//!
//! `OpenStack-API-Version: protector 1.3`, as in the API working group's guideline: without it the base version 1.0
//! answers; `latest` is the newest; a version outside the range is 406 with the range.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use protector_wire::version::Microversion;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::{App, refusal::Refusal},
    http::error::ApiError,
};

/// The header of the guideline.
pub const VERSION_HEADER: HeaderName = HeaderName::from_static("openstack-api-version");

/// The service type in the header.
const SERVICE: &str = "protector";

/// The refusal of `field`, which there is from version `since` on.
pub fn lacks(spoken: Microversion, field: &str, since: Microversion) -> ApiError {
    ApiError::bad_request(format!(
        "{field}: is there from API version {since} on, the request speaks {spoken}; send 'OpenStack-API-Version: {SERVICE} {since}'."
    ))
}

/// Refuses `what`, a call that there is from version `since` on: an earlier version has no such path.
///
/// # Errors
///
/// 404 that says what to send.
pub fn must_have(spoken: Microversion, what: &str, since: Microversion) -> Result<(), ApiError> {
    if spoken >= since {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::NeedsNewerVersion,
        format!(
            "{what} is there from API version {since} on, the request speaks {spoken}; send 'OpenStack-API-Version: {SERVICE} {since}'."
        ),
    ))
}

/// The version that a request's headers ask for.
pub fn negotiated(headers: &HeaderMap) -> Result<Microversion, ApiError> {
    let asked = headers
        .get_all(VERSION_HEADER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|entry| {
            let (service, version) = entry.trim().split_once(' ')?;
            service
                .eq_ignore_ascii_case(SERVICE)
                .then(|| version.trim())
        });
    match asked {
        None => Ok(Microversion::MIN),
        Some("latest") => Ok(Microversion::MAX),
        Some(text) => Microversion::parse(text)
            .ok_or_else(|| {
                ApiError::bad_request(format!(
                    "OpenStack-API-Version: '{text}' is not a version; give 'protector {}', for example.",
                    Microversion::MAX
                ))
            })
            .and_then(supported),
    }
}

fn supported(version: Microversion) -> Result<Microversion, ApiError> {
    if (Microversion::MIN..=Microversion::MAX).contains(&version) {
        return Ok(version);
    }
    Err(ApiError::new(
        Refusal::VersionNotSpoken,
        format!(
            "Version {version} is not supported by the API. Minimum is {} and maximum is {}.",
            Microversion::MIN,
            Microversion::MAX
        ),
    ))
}

/// Settles the version before a handler runs and names it in every answer.
pub async fn negotiate(mut request: Request, next: Next) -> Response {
    let (spoken, mut response) = match negotiated(request.headers()) {
        Ok(version) => {
            request.extensions_mut().insert(version);
            (version, next.run(request).await)
        }
        Err(error) => (Microversion::MAX, error.into_response()),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&format!("{SERVICE} {spoken}")) {
        headers.insert(VERSION_HEADER, value);
    }
    headers.append(
        header::VARY,
        HeaderValue::from_static("OpenStack-API-Version"),
    );
    response
}

/// The versions that this service speaks.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionsAnswer {
    /// One entry for each major version.
    pub versions: Vec<VersionView>,
}

/// The version at `/v1/`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionAnswer {
    /// The version.
    pub version: VersionView,
}

/// A major version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionView {
    /// `v1`.
    #[schema(value_type = String)]
    pub id: &'static str,
    /// `CURRENT`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// The newest microversion.
    pub version: String,
    /// The oldest microversion.
    pub min_version: String,
    /// Where it is.
    pub links: Vec<VersionLink>,
}

/// A link of a version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionLink {
    /// `self`.
    #[schema(value_type = String)]
    pub rel: &'static str,
    /// The version's URL.
    pub href: String,
}

fn current(app: &App, headers: &HeaderMap) -> VersionView {
    let base = app.settings.public_endpoint.clone().unwrap_or_else(|| {
        let host = headers
            .get(header::HOST)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("localhost");
        format!("{}://{host}", app.settings.scheme)
    });
    VersionView {
        id: "v1",
        status: "CURRENT",
        version: Microversion::MAX.to_string(),
        min_version: Microversion::MIN.to_string(),
        links: vec![VersionLink {
            rel: "self",
            href: format!("{}/v1/", base.trim_end_matches('/')),
        }],
    }
}

/// Lists the API's versions. No token is needed.
#[utoipa::path(get, path = "/", tag = "versions", security(()),
    responses((status = 300, body = VersionsAnswer)))]
pub async fn versions(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let versions = vec![current(&app, &headers)];
    (
        StatusCode::MULTIPLE_CHOICES,
        Json(VersionsAnswer { versions }),
    )
        .into_response()
}

/// Shows version 1. No token is needed.
#[utoipa::path(get, path = "/v1/", tag = "versions", security(()),
    responses((status = 200, body = VersionAnswer)))]
pub async fn version(State(app): State<Arc<App>>, headers: HeaderMap) -> Json<VersionAnswer> {
    Json(VersionAnswer {
        version: current(&app, &headers),
    })
}

/// The same at `/v1`, for clients that leave the slash out.
pub async fn version_without_slash(
    state: State<Arc<App>>,
    headers: HeaderMap,
) -> Json<VersionAnswer> {
    version(state, headers).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> Result<Microversion, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(VERSION_HEADER, HeaderValue::from_str(value).unwrap());
        negotiated(&headers)
    }

    #[test]
    fn the_base_version_answers_who_asks_for_none() {
        assert_eq!(negotiated(&HeaderMap::new()), Ok(Microversion::MIN));
        assert_eq!(asked("compute 2.90"), Ok(Microversion::MIN));
    }

    #[test]
    fn a_version_in_range_is_spoken() {
        assert_eq!(asked("protector 1.3"), Ok(Microversion::MAX));
        assert_eq!(asked("compute 2.90, protector 1.3"), Ok(Microversion::MAX));
        assert_eq!(asked("protector latest"), Ok(Microversion::MAX));
    }

    #[test]
    fn a_version_out_of_range_names_the_range() {
        for value in ["protector 1.4", "protector 2.0", "protector 0.9"] {
            let error = asked(value).unwrap_err();
            assert_eq!(error.refusal(), Refusal::VersionNotSpoken);
            assert!(error.message().contains("1.0") && error.message().contains("1.3"));
        }
        assert_eq!(
            asked("protector one").unwrap_err().refusal(),
            Refusal::InvalidRequest
        );
    }
}
