//! Request ids in OpenStack's form, `req-<uuid>`.
//!
//! Every request gets a *local* id made here. A caller's id is kept as the *global* id, logged
//! beside the local one and sent on to Nova and Cinder, so that one search finds a request's
//! traces in all services (the rule of oslo.middleware's `request_id`).

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// The header in which a caller sends its id and in which the answer carries ours.
pub const REQUEST_ID_HEADER: &str = "x-openstack-request-id";

/// The id this service gave to one request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

/// The id that the caller's side gave to the whole chain of requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GlobalRequestId(Uuid);

/// The text is not `req-` followed by a lower-case UUID with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a request id has the form req-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx in lower-case hexadecimal"
)]
pub struct NotARequestId;

impl RequestId {
    /// A new random id.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "an id for logs; who draws his own has from_uuid"
    )]
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id made of this UUID, for callers that draw their own randomness.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl GlobalRequestId {
    /// The global id in a caller's header value; `None` when it does not have the exact form, in
    /// which case it is ignored, as OpenStack's services do: whatever is accepted here is written
    /// to logs and sent to other services.
    #[must_use]
    pub fn from_header(value: &str) -> Option<Self> {
        value.parse().ok()
    }
}

fn parse(text: &str) -> Result<Uuid, NotARequestId> {
    let uuid = text.strip_prefix("req-").ok_or(NotARequestId)?;
    let canonical = uuid.len() == 36 && !uuid.bytes().any(|byte| byte.is_ascii_uppercase());
    if !canonical {
        return Err(NotARequestId);
    }
    Uuid::try_parse(uuid).map_err(|_| NotARequestId)
}

macro_rules! text_form {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "req-{}", self.0.hyphenated())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotARequestId;

            fn from_str(text: &str) -> Result<Self, NotARequestId> {
                parse(text).map(Self)
            }
        }
    };
}

text_form!(RequestId);
text_form!(GlobalRequestId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_id_prints_and_parses_in_openstacks_form() {
        let id = RequestId::generate();
        let text = id.to_string();
        assert!(text.starts_with("req-"));
        assert_eq!(text.len(), 40);
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn only_the_exact_form_is_accepted_from_a_caller() {
        let good = "req-7a3f2c11-0001-4b22-a918-000000000001";
        assert_eq!(
            GlobalRequestId::from_header(good).map(|id| id.to_string()),
            Some(good.to_owned())
        );
        let refused = [
            "",
            "req-",
            "7a3f2c11-0001-4b22-a918-000000000001",
            "req-7A3F2C11-0001-4b22-a918-000000000001",
            "req-7a3f2c1100014b22a918000000000001",
            "req-{7a3f2c11-0001-4b22-a918-000000000001}",
            "req-7a3f2c11-0001-4b22-a918-00000000000g",
            "req-7a3f2c11-0001-4b22-a918-000000000001\nforged line",
            " req-7a3f2c11-0001-4b22-a918-000000000001",
        ];
        for value in refused {
            assert_eq!(GlobalRequestId::from_header(value), None, "{value:?}");
        }
    }
}
