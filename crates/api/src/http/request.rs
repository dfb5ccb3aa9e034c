//! Around every request: its ids, its span, and what is noted of it.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use protector_clouds::request_scope;
use protector_oslo::{GlobalRequestId, RequestId};
use tracing::Instrument as _;

use crate::{
    app::App,
    http::{
        access::{Entry, RequestOrigin},
        error::ApiError,
        token::TokenFacts,
    },
};

/// The header with a request's id.
pub const REQUEST_ID_HEADER: HeaderName =
    HeaderName::from_static(protector_oslo::request_id::REQUEST_ID_HEADER);

/// What is known of a request before its handler runs.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The id that this service gave it; in its answer.
    pub local: RequestId,
    /// The id that the caller gave it, when it has the right form; sent on to the clouds.
    pub global: Option<GlobalRequestId>,
    origin: Arc<RequestOrigin>,
    noted: Arc<Noted>,
}

/// What becomes known of a request while it is answered, for the access log and the audit trail.
#[derive(Debug, Default)]
struct Noted {
    caller: OnceLock<Arc<TokenFacts>>,
    act: OnceLock<String>,
}

impl RequestContext {
    fn of(headers: &HeaderMap, local: RequestId, origin: RequestOrigin) -> Self {
        let global = headers
            .get(&REQUEST_ID_HEADER)
            .and_then(|value| value.to_str().ok())
            .and_then(GlobalRequestId::from_header);
        Self {
            local,
            global,
            origin: Arc::new(origin),
            noted: Arc::default(),
        }
    }

    /// Notes whose request it is. A request has one caller; a second note would say the same.
    pub(crate) fn belongs_to(&self, caller: &Arc<TokenFacts>) {
        let _ = self.noted.caller.set(Arc::clone(caller));
    }

    /// Notes what it asks for, where its path does not say that.
    pub(crate) fn asks_for(&self, act: &str) {
        let _ = self.noted.act.set(act.to_owned());
    }

    /// From where it came.
    pub(crate) fn origin(&self) -> &RequestOrigin {
        &self.origin
    }

    pub(crate) fn act(&self) -> Option<&str> {
        self.noted.act.get().map(String::as_str)
    }

    pub(crate) fn user(&self) -> Option<String> {
        Some(self.noted.caller.get()?.user_id.to_string())
    }

    pub(crate) fn user_name(&self) -> Option<String> {
        Some(self.noted.caller.get()?.user_name.clone())
    }

    pub(crate) fn project(&self) -> Option<String> {
        Some(self.noted.caller.get()?.project_id.as_ref()?.to_string())
    }
}

/// Gives a request its ids and its span, and begins its line in the access log.
pub async fn accompany(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let local = RequestId::from_uuid(app.ids.uuid());
    let origin = RequestOrigin::of(&request, app.settings.proxy_headers);
    let context = RequestContext::of(request.headers(), local, origin);
    let global = context.global.map(|id| id.to_string());
    let shown = global.clone().unwrap_or_default();
    let span = tracing::info_span!("request", request_id = %local, global_request_id = %shown);
    let entry = Entry::of(&request, context.clone(), span.clone());
    request.extensions_mut().insert(context);
    let chain = global.unwrap_or_else(|| local.to_string());
    async move {
        let mut response = request_scope::answering(chain, next.run(request)).await;
        if let Ok(value) = HeaderValue::from_str(&local.to_string()) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        entry.answered(response)
    }
    .instrument(span)
    .await
}

/// Turns a panic of a handler into the answer of any other defect.
pub fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    ApiError::internal(format!("a handler panicked: {what}")).into_response()
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use axum::{Router, routing::get};
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_like_any_defect() {
        let router = Router::new()
            .route(
                "/",
                get(async || -> () { panic_any("password=hunter2".to_owned()) }),
            )
            .layer(CatchPanicLayer::custom(answer_panic));
        let request = http::Request::builder().body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), 500);
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.starts_with("{\"serviceFault\""), "{body}");
        assert!(!body.contains("hunter2"), "{body}");
    }

    #[test]
    fn only_a_wellformed_request_id_is_taken_from_the_caller() {
        let local = RequestId::from_uuid(uuid::Uuid::nil());
        let mut headers = HeaderMap::new();
        headers.insert(
            REQUEST_ID_HEADER,
            HeaderValue::from_static("req-7a3f2c11-0001-4b22-a918-000000000001"),
        );
        assert!(
            RequestContext::of(&headers, local, RequestOrigin::default())
                .global
                .is_some()
        );
        headers.insert(REQUEST_ID_HEADER, HeaderValue::from_static("req-forged"));
        assert!(
            RequestContext::of(&headers, local, RequestOrigin::default())
                .global
                .is_none()
        );
    }
}
