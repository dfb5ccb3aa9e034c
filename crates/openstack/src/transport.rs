//! One HTTP exchange with a cloud: the seam between this client and the wire.
//!
//! Everything above it (sessions, retries, microversions, error classes) is the same whether the cloud
//! is a real one behind TLS or a simulated one in the same process under a paused clock.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};

/// One request, ready to be sent: absolute URL, headers complete, body already serialised.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    /// Absolute URL with its query string.
    pub url: String,
    /// All headers but `Host` and `Content-Length`. Holds the token: never print it.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// The longest that this single exchange may take, from connecting to the last byte.
    pub timeout: Duration,
    /// The most bytes of a body with a success status that are taken. Of one with an error status,
    /// [`LARGEST_ERROR_BODY`](crate::bounds::LARGEST_ERROR_BODY) are read and the rest is left.
    pub largest_body: usize,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body, whole; of an error its start. As it was sent: nothing is unpacked.
    pub body: Bytes,
}

/// Why no answer came back. The difference decides what a caller may conclude.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransportError {
    /// Nothing was tried, because of something on this side: a CA file that cannot be used.
    #[error("{0}")]
    NotSent(String),
    /// No connection was made, so the cloud has certainly not carried the request out.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// Nothing was sent, and that does not mean that nobody is there: whoever answers is not trusted, or this host has run out of
    /// something.
    #[error("not asked: {0}")]
    NotAsked(String),
    /// The request was sent and its answer was lost: it may or may not have been carried out.
    #[error("no answer: {0}")]
    Lost(String),
    /// As `Lost`, because `Request::timeout` passed.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// An answer came with this status, and its body is larger than is taken: `Request::largest_body`.
    #[error("the answer with status {0} is too large")]
    TooLarge(u16),
}

/// Sends one request and reads its answer whole. No retries, no interpretation.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Carries out one exchange.
    async fn send(&self, request: Request) -> Result<Response, TransportError>;
}
