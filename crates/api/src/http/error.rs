//! What a request that does not succeed is answered: one type, a public sentence and an internal detail, apart.
//!
//! The public sentence names the field and the fix. The detail goes to the log, with the request's ids, and nowhere
//! else. Bodies have Nova's form with our code beside its status, whatever the status:
//! `{"badRequest": {"code": 400, "error_code": "PRT-INVALID-REQUEST", "message": "…"}}`.

use std::{fmt, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use crate::app::refusal::{Refusal, RefusalKind};

/// A refused or failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    refusal: Refusal,
    message: String,
    detail: Option<String>,
    header: Option<(HeaderName, String)>,
}

/// What a handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A refusal with the sentence that the caller reads.
    pub fn new(refusal: Refusal, message: impl Into<String>) -> Self {
        Self {
            refusal,
            message: message.into(),
            detail: None,
            header: None,
        }
    }

    /// 400: names the field and the fix.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Refusal::InvalidRequest, message)
    }

    /// 404 in the words of the clients: `Protection group web could not be found.`
    pub fn not_found(noun: &str, name: &str) -> Self {
        Self::new(
            Refusal::NotFound,
            format!("{noun} {name} could not be found."),
        )
    }

    /// 500: the caller learns nothing but that it was us; `detail` is logged.
    pub fn internal(detail: impl fmt::Display) -> Self {
        Self::new(
            Refusal::Internal,
            "An unexpected error happened. Its cause is in the log of protector-api under this answer's X-OpenStack-Request-ID.",
        )
        .with_detail(detail)
    }

    /// 401 with the Keystone to ask for a token.
    pub fn unauthorized(keystone: &str) -> Self {
        Self {
            header: Some((
                header::WWW_AUTHENTICATE,
                format!("Keystone uri=\"{keystone}\""),
            )),
            ..Self::new(
                Refusal::Unauthenticated,
                "The request you have made requires authentication.",
            )
        }
    }

    /// 429: the caller's project asks more than its share; `wait` until it may again.
    pub fn too_many(message: impl Into<String>, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self {
            header: Some((header::RETRY_AFTER, seconds.max(1).to_string())),
            ..Self::new(Refusal::TooManyRequests, message)
        }
    }

    /// Adds what only the log may know.
    #[must_use]
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    pub fn kind(&self) -> RefusalKind {
        self.refusal.kind()
    }

    pub fn refusal(&self) -> Refusal {
        self.refusal
    }

    /// The sentence that the caller reads.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The sentence, for an answer that is about several things of which this one failed. The detail is logged.
    pub fn into_reason(self) -> String {
        self.log();
        self.message
    }

    fn body(&self) -> Value {
        let kind = self.kind();
        json!({
            kind.key(): {
                "code": kind.status().as_u16(),
                "error_code": self.refusal.code(),
                "message": self.message,
            }
        })
    }

    fn log(&self) {
        let status = self.kind().status().as_u16();
        let detail = self.detail.as_deref().unwrap_or_default();
        if self.kind() == RefusalKind::Internal {
            tracing::error!(status, detail, "{}", self.message);
        } else if self.kind() == RefusalKind::Unavailable {
            tracing::warn!(status, detail, "{}", self.message);
        } else {
            tracing::info!(status, detail, "refused: {}", self.message);
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let mut response = (self.kind().status(), Json(self.body())).into_response();
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_one_form() {
        let refused = ApiError::new(Refusal::Busy, "busy").body();
        let form = json!({"conflictingRequest": {"code": 409, "error_code": "PRT-BUSY", "message": "busy"}});
        assert_eq!(refused, form);
        let unknown = &ApiError::unauthorized("http://k").body()["unauthorized"];
        assert_eq!(unknown["code"], 401);
        assert_eq!(unknown["error_code"], "PRT-UNAUTHENTICATED");
        assert_eq!(unknown.as_object().map(serde_json::Map::len), Some(3));
    }

    #[test]
    fn the_detail_is_never_in_the_answer() {
        let error = ApiError::internal("password=hunter2");
        assert!(!error.body().to_string().contains("hunter2"));
        assert!(!error.to_string().contains("hunter2"));
    }
}
