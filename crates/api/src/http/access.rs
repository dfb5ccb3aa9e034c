//! The access log: one line for each request, also for one that its client has not waited for.
//!
//! A line holds the path without the query string, and no header but who the request came from: nothing that could be a
//! secret. What a caller chooses is cut and escaped.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request},
    response::Response,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use tracing::Span;

use crate::{
    app::settings::ProxyHeaders,
    http::{metrics::CLIENT_GONE, request::RequestContext},
};

/// Most characters of a path in the log.
const PATH: usize = 200;

/// Most characters of a method in the log; a caller may send any word.
const METHOD: usize = 20;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// From where a request came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOrigin {
    pub remote: Option<IpAddr>,
    /// The client that the proxy in front of this service has named.
    pub forwarded: Option<IpAddr>,
}

impl RequestOrigin {
    /// Reads it from a request.
    pub(crate) fn of(request: &Request, headers: ProxyHeaders) -> Self {
        let connected = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let forwarded = match headers {
            ProxyHeaders::Ignored => None,
            ProxyHeaders::Believed => forwarded(request.headers()),
        };
        Self {
            remote: connected.map(|ConnectInfo(address)| address.ip()),
            forwarded,
        }
    }

    /// The client's own address, as far as it is known.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.forwarded.or(self.remote)
    }
}

/// The address that the nearest proxy has added, which is the last one: those before it are what its client has sent.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = |name: HeaderName| {
        let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
        value.rsplit(',').next().map(str::trim)
    };
    if let Some(hop) = last(header::FORWARDED) {
        let pair = |part: &'_ str| {
            let (key, value) = part.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case("for")
                .then(|| value.trim().trim_matches('"').to_owned())
        };
        return address(&hop.split(';').find_map(pair)?);
    }
    address(last(X_FORWARDED_FOR)?)
}

/// Reads `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7`, `[2001:db8::7]` and `[2001:db8::7]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse::<SocketAddr>().ok();
    bare.parse()
        .ok()
        .or_else(|| with_port().map(|address| address.ip()))
}

/// A request's line in the log, written when this goes out of scope.
pub(crate) struct Entry {
    context: RequestContext,
    span: Span,
    method: Method,
    path: String,
    began: Instant,
    status: Option<StatusCode>,
    bytes: u64,
    whole: bool,
}

impl Entry {
    /// Begins the line of `request`, within `span`.
    pub(crate) fn of(request: &Request, context: RequestContext, span: Span) -> Self {
        Self {
            context,
            span,
            method: request.method().clone(),
            path: shown(request.uri().path(), PATH),
            began: Instant::now(),
            status: None,
            bytes: 0,
            whole: false,
        }
    }

    /// The answer, which ends the line when it has been sent, or cannot be.
    pub(crate) fn answered(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        response.map(|body| Body::new(Counted { body, entry: self }))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _within = self.span.enter();
        let Self {
            context,
            method,
            path,
            bytes,
            ..
        } = self;
        let origin = context.origin();
        let or_dash = |told: Option<String>| told.unwrap_or_else(|| "-".to_owned());
        tracing::info!(
            target: "protector_api::access",
            method = shown(method.as_str(), METHOD),
            path,
            status = self.status.map_or(CLIENT_GONE, |status| status.as_u16()),
            bytes,
            ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            user = or_dash(context.user()),
            project = or_dash(context.project()),
            remote = or_dash(origin.remote.map(|address| address.to_string())),
            forwarded = or_dash(origin.forwarded.map(|address| address.to_string())),
            "{}",
            if self.whole { "answered" } else { "given up by the client" }
        );
    }
}

/// A body that tells how much of it was sent.
struct Counted {
    body: Body,
    entry: Entry,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.entry.bytes += u64::try_from(data.len()).unwrap_or_default();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Of an answer to HEAD no body is sent.
        self.entry.whole = self.body.is_end_stream() || self.entry.method == Method::HEAD;
    }
}

/// `text` as printable ASCII, at most `most` characters of it.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut line = String::new();
    for byte in text.bytes() {
        if line.len() >= most {
            line.push_str("...");
            break;
        }
        if byte.is_ascii_graphic() {
            line.push(char::from(byte));
        } else {
            line.push_str(&format!("%{byte:02X}"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(headers: &[(&'static str, &str)], believed: ProxyHeaders) -> Option<String> {
        let mut request = Request::new(Body::empty());
        for (name, value) in headers {
            let name = HeaderName::from_static(name);
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let origin = RequestOrigin::of(&request, believed);
        origin.forwarded.map(|address| address.to_string())
    }

    #[test]
    fn only_a_trusted_proxy_says_for_whom_it_asks_and_only_its_own_word_counts() {
        let sent = [("x-forwarded-for", "198.51.100.66, 192.0.2.7")];
        assert_eq!(origin(&sent, ProxyHeaders::Ignored), None);
        let told = |headers: &[_]| origin(headers, ProxyHeaders::Believed);
        assert_eq!(told(&sent).unwrap(), "192.0.2.7");
        for (header, expected) in [
            ("for=198.51.100.66, for=192.0.2.7;proto=https", "192.0.2.7"),
            ("proto=https; For=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("for=192.0.2.7:4711", "192.0.2.7"),
        ] {
            assert_eq!(told(&[("forwarded", header)]).unwrap(), expected);
        }
        for nonsense in ["unknown", "", "x, \u{7f}y", "192.0.2.7 status=200"] {
            assert_eq!(told(&[("x-forwarded-for", "192.0.2.7, x")]), None);
            if let Ok(value) = nonsense.parse::<http::HeaderValue>() {
                let mut headers = HeaderMap::new();
                headers.insert(X_FORWARDED_FOR, value);
                assert_eq!(forwarded(&headers), None, "{nonsense}");
            }
        }
    }

    #[test]
    fn what_a_caller_chooses_is_cut_and_escaped() {
        assert_eq!(shown("/v1/ü\u{202e}\n", 200), "/v1/%C3%BC%E2%80%AE%0A");
        let long = shown(&format!("/{}", "a".repeat(5000)), 200);
        assert_eq!(long.len(), 203);
        assert!(long.ends_with("a..."));
    }
}
