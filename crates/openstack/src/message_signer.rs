//! Who a message to another protector comes from, proven beyond the token.

use http::{HeaderMap, Method};

/// A message as it is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct UnsignedMessage<'a> {
    pub method: &'a Method,
    /// Path and query below the root of the receiver's API, as they are sent: what is in front of them is for proxies.
    pub target: &'a str,
    /// All headers, the token among them.
    pub headers: &'a HeaderMap,
    /// The body; empty for none.
    pub body: &'a [u8],
}

/// Signs messages for one receiver.
pub trait MessageSigner: Send + Sync {
    /// The headers that prove who sends `message`, made right before it is sent: each try has its own.
    ///
    /// # Errors
    ///
    /// Why it cannot be signed: then it is not sent.
    fn sign(&self, message: &UnsignedMessage<'_>) -> Result<HeaderMap, String>;
}
