//! One call before it is sent: method, path, query, body, and what it needs of the cloud.

use std::fmt::Write as _;

use http::{HeaderValue, Method};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::{
    error::{Call, CallError},
    microversion::ServiceMicroversion,
    service::Service,
};

/// Which base URL a call goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BaseUrl {
    Endpoint,
    /// The root of the service's API version, where its version document is.
    VersionRoot,
}

/// A call to be made.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) call: Call,
    pub(crate) base: BaseUrl,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    pub(crate) needs: Option<ServiceMicroversion>,
    pub(crate) subject: Option<HeaderValue>,
    /// True when a 2xx answer must be JSON.
    pub(crate) wants_json: bool,
    /// Why it cannot be sent at all.
    pub(crate) fault: Option<String>,
}

impl Ask {
    /// A call to `service` at the path made of `segments`, each of which is escaped.
    pub(crate) fn new(method: Method, service: Service, segments: &[&str]) -> Self {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            path.push_str(&escape(segment));
        }
        // An empty id would turn DELETE /volumes/{id} into DELETE /volumes/, and dots climb in the path.
        let bad = segments
            .iter()
            .find(|segment| matches!(**segment, "" | "." | ".."));
        Self {
            fault: bad.map(|bad| format!("{bad:?} is not an id, in {method} {path} to {service}")),
            call: Call {
                service,
                writes: !matches!(method, Method::GET | Method::HEAD),
                method,
                path,
            },
            base: BaseUrl::Endpoint,
            query: Vec::new(),
            body: None,
            needs: None,
            subject: None,
            wants_json: false,
        }
    }

    pub(crate) fn get(service: Service, segments: &[&str]) -> Self {
        Self::new(Method::GET, service, segments)
    }

    pub(crate) fn delete(service: Service, segments: &[&str]) -> Self {
        Self::new(Method::DELETE, service, segments)
    }

    pub(crate) fn post(service: Service, segments: &[&str], body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::new(Method::POST, service, segments)
        }
    }

    pub(crate) fn put(service: Service, segments: &[&str], body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::new(Method::PUT, service, segments)
        }
    }

    /// Adds a query parameter.
    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a query parameter where there is a value.
    pub(crate) fn query_if(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// States the lowest microversion that has the call in the form used here.
    pub(crate) fn needs(mut self, major: u16, minor: u16) -> Self {
        self.needs = Some(ServiceMicroversion::new(major, minor));
        self
    }

    /// Names the token that the call is about.
    pub(crate) fn about_token(mut self, token: &SecretString) -> Self {
        match secret_header(token.expose_secret()) {
            Some(header) => self.subject = Some(header),
            None => {
                self.fault =
                    Some("the token to be checked holds characters that no token has".to_owned())
            }
        }
        self
    }

    /// The URL below `base`.
    pub(crate) fn url(&self, base: &str) -> String {
        let mut url = format!("{}{}", base.trim_end_matches('/'), self.call.path);
        for (position, (name, value)) in self.query.iter().enumerate() {
            let mark = if position == 0 { '?' } else { '&' };
            // Writing to a String cannot fail.
            let _ = write!(url, "{mark}{name}={}", escape(value));
        }
        url
    }

    /// The reason why it cannot be sent, if there is one.
    pub(crate) fn check(&self) -> Result<(), CallError> {
        match &self.fault {
            Some(fault) => Err(CallError::Setup(fault.clone())),
            None => Ok(()),
        }
    }
}

/// A header value that is never printed.
pub(crate) fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        let ask = Ask::delete(Service::Volume, &["volumes", "../servers/s1?force=true"]);
        assert_eq!(
            ask.url("https://c/v3/p"),
            "https://c/v3/p/volumes/..%2Fservers%2Fs1%3Fforce%3Dtrue"
        );
        for bad in ["", ".", ".."] {
            assert!(
                Ask::delete(Service::Volume, &["volumes", bad])
                    .check()
                    .is_err()
            );
        }
    }

    #[test]
    fn queries_are_escaped() {
        let ask = Ask::get(Service::Volume, &["volumes", "detail"])
            .query("metadata", r#"{"a": "b&c"}"#)
            .query("limit", "5");
        assert_eq!(
            ask.url("https://c/"),
            "https://c/volumes/detail?metadata=%7B%22a%22%3A%20%22b%26c%22%7D&limit=5"
        );
    }
}
