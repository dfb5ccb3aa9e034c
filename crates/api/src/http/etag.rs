//! Optimistic locking as HTTP has it: answers about a group carry its version as `ETag`, changes may name the version
//! that they rest on with `If-Match`, and are refused with 412 when somebody else was faster (RFC 9110, 13.1.1).

use std::sync::Arc;

use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header, request::Parts};
use protector_core::group::Group;
use protector_store::{Precondition, StoreError};
use serde::Serialize;

use crate::{
    app::{App, refusal::Refusal},
    http::error::{ApiError, ApiResult},
};

/// An answer about a group as of a version.
#[derive(Clone, Copy, Debug)]
pub struct Tagged<T> {
    pub version: u64,
    pub body: T,
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", self.version)) {
            response.headers_mut().insert(header::ETAG, value);
        }
        response
    }
}

/// What a request says of the version that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing, or `*`: any version will do.
    Any,
    /// One of these, as `ETag`s without quotes.
    OneOf(Vec<String>),
}

impl FromRequestParts<Arc<App>> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        let given: Vec<&HeaderValue> = parts.headers.get_all(header::IF_MATCH).iter().collect();
        if given.is_empty() {
            return Ok(Self::Any);
        }
        let texts: Result<Vec<&str>, _> = given.iter().map(|value| value.to_str()).collect();
        texts
            .ok()
            .and_then(|texts| parse(&texts.join(",")))
            .ok_or_else(|| {
                ApiError::bad_request(
                    "If-Match: give the ETag of an earlier answer with its quotes, \"7\" for example, or *.",
                )
            })
    }
}

/// A weak tag never matches a change, and is kept as one that no version has.
fn parse(text: &str) -> Option<IfMatch> {
    if text.trim() == "*" {
        return Some(IfMatch::Any);
    }
    let tags: Option<Vec<String>> = text
        .split(',')
        .map(str::trim)
        .map(|tag| {
            let weak = tag.strip_prefix("W/");
            let inner = weak.unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
            Some(weak.map_or_else(|| inner.to_owned(), |_| format!("W/{inner}")))
        })
        .collect();
    tags.map(IfMatch::OneOf)
}

impl IfMatch {
    /// What the change of `group` rests on; 412 when the request rests on another version than the one that `group` has.
    pub fn precondition(&self, group: &Group) -> ApiResult<Precondition> {
        match self {
            Self::Any => Ok(Precondition::Any),
            Self::OneOf(tags) if tags.contains(&group.version.to_string()) => {
                Ok(Precondition::Version(group.version))
            }
            Self::OneOf(_) => Err(self.refusal(&group.name, group.version)),
        }
    }

    /// The store's refusal of a change of `group`: 412 where the request named a version that was right a moment ago.
    pub fn told(&self, group: &Group, error: StoreError) -> ApiError {
        match (self, error) {
            (Self::OneOf(_), StoreError::GroupChanged { version, .. }) => {
                self.refusal(&group.name, version)
            }
            (_, error) => error.into(),
        }
    }

    fn refusal(&self, group: &str, version: u64) -> ApiError {
        let given = match self {
            Self::Any => "*".to_owned(),
            Self::OneOf(tags) => tags.join(" or "),
        };
        ApiError::new(
            Refusal::VersionPassed,
            format!(
                "If-Match: protection group {group} is at version {version}, the request is for version {given}; read it again and decide anew."
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Option<Vec<String>> {
        match parse(text)? {
            IfMatch::Any => Some(vec!["*".to_owned()]),
            IfMatch::OneOf(tags) => Some(tags),
        }
    }

    #[test]
    fn tags_are_quoted_and_may_be_many() {
        assert_eq!(tags("*"), Some(vec!["*".to_owned()]));
        assert_eq!(tags("\"7\""), Some(vec!["7".to_owned()]));
        assert_eq!(
            tags("\"7\", \"8\""),
            Some(vec!["7".to_owned(), "8".to_owned()])
        );
        assert_eq!(tags("W/\"7\""), Some(vec!["W/7".to_owned()]));
        for wrong in ["", "7", "\"7", "\"7\",", "W/7"] {
            assert_eq!(tags(wrong), None, "{wrong}");
        }
    }
}
