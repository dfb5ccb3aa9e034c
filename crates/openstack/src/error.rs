//! What went wrong with a call, in the cloud's own words, and what a caller may conclude from it.

use std::{fmt, time::Duration};

use http::{HeaderMap, Method};

use crate::{
    error_body::{message_of, tidy},
    microversion::ServiceMicroversion,
    service::Service,
    transport::Response,
};

/// What a caller may conclude from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Worth trying again later: 429, 5xx, a read whose answer was lost. After a write it does not promise that
    /// nothing was done (a 500 may come late): look before repeating.
    Passing,
    /// No repetition helps: a bad request, a quota, a cloud that is too old, a missing endpoint.
    Final,
    /// 404. Proof of absence only when something known to exist was seen with the same scope.
    NotFound,
    /// 409: the resource is in another state, locked or in use.
    Conflict,
    /// 401: a read's fresh token did not help; a change is not repeated, and the next call has a fresh one.
    Unauthorized,
    /// 403 by policy (a quota refusal, which Nova also sends as 403, is `Final`).
    Forbidden,
    /// The answer to a write was lost or is unreadable: it may have been carried out. Look before repeating.
    Ambiguous,
    /// No connection was made: certainly nothing was done.
    Unreachable,
}

/// Which call an error belongs to. Never holds a query string, a header or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The service that was asked.
    pub service: Service,
    pub method: Method,
    /// The path below the service's endpoint, `/volumes/<id>`.
    pub path: String,
    /// True when the call changes something; asking for a token does not.
    pub writes: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// An answer with an error status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudRefusal {
    pub call: Call,
    pub status: u16,
    /// The cloud's own words, one line, at most 600 characters; empty when it gave none.
    pub message: String,
    /// `x-openstack-request-id` or `x-compute-request-id`, to find the call in the cloud's logs.
    pub request_id: Option<String>,
    /// The `Retry-After` header, as a pause from now.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for CloudRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} said {} to {}",
            self.call.service, self.status, self.call
        )?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        match &self.request_id {
            Some(id) => write!(f, " ({id})"),
            None => Ok(()),
        }
    }
}

/// Why a call to a cloud did not give what was asked. `Display` is one line for the record, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The cloud answered with an error status.
    #[error("{0}")]
    Refused(Box<CloudRefusal>),
    /// No connection was made.
    #[error("{} cannot be reached for {call}: {why}", call.service)]
    Unreachable { call: Box<Call>, why: String },
    /// Nothing was sent, and it is not silent: somebody answers at its address who is not trusted, or this host has no more
    /// connections to give.
    #[error("{} was not asked for {call}: {why}", call.service)]
    NotAsked { call: Box<Call>, why: String },
    /// The request was sent and no answer came.
    #[error("{} did not answer {call}: {why}", call.service)]
    Lost { call: Box<Call>, why: String },
    /// The time allowed for the whole call was over before the request could be sent.
    #[error("no time was left for {call} of {}", call.service)]
    OutOfTime {
        /// What was to be asked.
        call: Box<Call>,
    },
    /// A change was not sent, because it was too late for it.
    #[error("{call} of {} was not sent: {why}", call.service)]
    NotSent {
        /// What was to be asked.
        call: Box<Call>,
        /// What it was too late for.
        why: String,
    },
    /// The answer says success, but its body is not JSON: a proxy spoke, or the answer was cut.
    #[error("{} answered {call} with something that is not JSON: {why}", call.service)]
    NotJson {
        call: Box<Call>,
        /// The parser's reason and the start of the text.
        why: String,
    },
    /// The answer is JSON and lacks a field that decisions rest on, or holds it in another form.
    #[error("{} answered {call} in an unexpected form: {why}", call.service)]
    Unexpected {
        call: Box<Call>,
        /// The field and what is wrong with it.
        why: String,
    },
    /// The answer is larger than anybody honest sends: a cloud is broken, or somebody answers in its place.
    #[error("{} answered {call} with more than is taken: {why}. It was asked at {url}", call.service)]
    TooMuch {
        call: Box<Call>,
        /// Where, without query and without a user's name and password.
        url: String,
        why: String,
    },
    /// The catalogue has no endpoint of the service for the region and interface asked for.
    #[error(
        "the catalogue has no {service} endpoint {wanted}; it offers {offered}. Register the endpoint, or correct region_name and interface of the site"
    )]
    NoEndpoint {
        service: Service,
        /// The interface and region asked for.
        wanted: String,
        /// What the catalogue has instead.
        offered: String,
    },
    /// The cloud's release is too old for a call.
    #[error("{} of this cloud supports microversions up to {offered}, but {call} needs {needed}: upgrade the cloud", call.service)]
    TooOld {
        /// What was to be asked.
        call: Box<Call>,
        /// The lowest microversion that has the call.
        needed: ServiceMicroversion,
        /// The highest that the cloud has.
        offered: ServiceMicroversion,
    },
    /// A name that should mean one thing means several.
    #[error("{service} has {count} {what} named {name:?}: use the id")]
    Several {
        service: Service,
        /// The plural noun, `projects`.
        what: &'static str,
        name: String,
        /// How many there are.
        count: usize,
    },
    /// The client was asked for something it cannot send: an empty id, a URL or CA file that cannot be read.
    #[error("{0}")]
    Setup(String),
}

impl CallError {
    /// Makes the error of an answer with an error status.
    pub(crate) fn refused(call: &Call, response: &Response) -> Self {
        Self::Refused(Box::new(CloudRefusal {
            call: call.clone(),
            status: response.status,
            message: message_of(&response.body),
            request_id: request_id(&response.headers),
            retry_after: retry_after(&response.headers),
        }))
    }

    pub(crate) fn too_much(call: &Call, url: &str, why: impl Into<String>) -> Self {
        Self::TooMuch {
            call: Box::new(call.clone()),
            url: place_of(url),
            why: why.into(),
        }
    }

    /// What a caller may conclude.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Refused(refusal) => refusal.class(),
            Self::Unreachable { .. } | Self::NotAsked { .. } => ErrorClass::Unreachable,
            Self::OutOfTime { .. } | Self::NotSent { .. } => ErrorClass::Passing,
            Self::Lost { call, .. } | Self::NotJson { call, .. } if !call.writes => {
                ErrorClass::Passing
            }
            Self::Lost { .. } | Self::NotJson { .. } => ErrorClass::Ambiguous,
            Self::Unexpected { call, .. } | Self::TooMuch { call, .. } if call.writes => {
                ErrorClass::Ambiguous
            }
            Self::Unexpected { .. }
            | Self::TooMuch { .. }
            | Self::NoEndpoint { .. }
            | Self::TooOld { .. }
            | Self::Several { .. }
            | Self::Setup(_) => ErrorClass::Final,
        }
    }

    /// The cloud's refusal, where there is one.
    pub fn refusal(&self) -> Option<&CloudRefusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The HTTP status, where the cloud answered with one.
    pub fn status(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.status)
    }

    /// The cloud's own words, where it gave some.
    pub fn message(&self) -> Option<&str> {
        self.refusal()
            .map(|refusal| refusal.message.as_str())
            .filter(|message| !message.is_empty())
    }

    /// The cloud's id of the request, to find it in the cloud's logs.
    pub fn request_id(&self) -> Option<&str> {
        self.refusal()
            .and_then(|refusal| refusal.request_id.as_deref())
    }

    /// The pause that the cloud asked for; `None` where it is no promise (413 with `Retry-After: 0` is quota).
    pub fn retry_after(&self) -> Option<Duration> {
        let refusal = self.refusal()?;
        refusal
            .retry_after
            .filter(|_| refusal.class() == ErrorClass::Passing)
    }

    /// True for a refusal because of a quota: Cinder's 413, Nova's 403 and Neutron's 409 with such a text.
    pub fn is_quota(&self) -> bool {
        self.refusal().is_some_and(CloudRefusal::is_quota)
    }

    /// True for Nova's 409 on a locked server.
    pub fn is_locked(&self) -> bool {
        self.refusal().is_some_and(|refusal| {
            refusal.call.service == Service::Compute
                && refusal.status == 409
                && refusal.message.contains("is locked")
        })
    }

    /// True when nothing at all came back: no connection, or no answer for as long as anybody waited, be it to the login that
    /// comes first. Any answer, of a proxy too, comes from something that is there.
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Lost { .. } | Self::OutOfTime { .. }
        )
    }

    /// True where nothing came back, or what a gateway says for services that are gone. Where somebody has said that a cloud is
    /// lost, this is as they said; 401, 409 or 429 is said by a service that is there. What is not JSON a proxy has said.
    pub fn may_be_of_a_lost_cloud(&self) -> bool {
        self.is_silence()
            || matches!(self, Self::NotJson { .. })
            || self.status().is_some_and(|status| status >= 500)
    }

    /// True when the request has certainly not been carried out.
    pub fn certainly_not_done(&self) -> bool {
        match self {
            Self::Refused(refusal) => match refusal.status {
                429 => true,
                503 => refusal.retry_after.is_some(),
                status => (400..500).contains(&status) && status != 408,
            },
            Self::Lost { .. }
            | Self::NotJson { .. }
            | Self::Unexpected { .. }
            | Self::TooMuch { .. } => false,
            _ => true,
        }
    }

    /// True for a change that was certainly not carried out, and that may be asked for later as it is: no connection, 429,
    /// a 503 that says when to come back, a token that is over, no time left to send it.
    pub fn was_turned_away(&self) -> bool {
        let writes = match self {
            Self::Refused(refusal) => refusal.call.writes,
            Self::Unreachable { call, .. }
            | Self::NotAsked { call, .. }
            | Self::OutOfTime { call }
            | Self::NotSent { call, .. } => call.writes,
            _ => false,
        };
        let passes = matches!(
            self.class(),
            ErrorClass::Passing | ErrorClass::Unreachable | ErrorClass::Unauthorized
        );
        writes && passes && self.certainly_not_done()
    }
}

impl CloudRefusal {
    /// What a caller may conclude from the status, the text and the headers.
    pub fn class(&self) -> ErrorClass {
        match self.status {
            401 => ErrorClass::Unauthorized,
            403 if self.is_quota() => ErrorClass::Final,
            403 => ErrorClass::Forbidden,
            404 => ErrorClass::NotFound,
            409 if self.is_quota() => ErrorClass::Final,
            409 => ErrorClass::Conflict,
            // Nova's old rate limiter sent 413 with a real pause; Cinder's quota sends it with a pause of 0.
            413 if self.retry_after.is_some_and(|pause| !pause.is_zero()) => ErrorClass::Passing,
            // Cinder's answer while the volume service's heartbeat is missing. It passes in spite of being a 400.
            400 if self
                .message
                .starts_with("Service is unavailable at this time") =>
            {
                ErrorClass::Passing
            }
            // A gateway answers so when it has lost the service's answer.
            408 | 502 | 504 if self.call.writes => ErrorClass::Ambiguous,
            408 | 429 | 500 | 502 | 503 | 504 => ErrorClass::Passing,
            _ => ErrorClass::Final,
        }
    }

    fn is_quota(&self) -> bool {
        let quota_words = || {
            let text = self.message.to_ascii_lowercase();
            text.contains("quota exceeded")
                || text.contains("limitexceeded")
                || text.contains("exceeded for quota")
        };
        match self.status {
            413 => self.class() == ErrorClass::Final,
            403 | 409 => quota_words(),
            _ => false,
        }
    }
}

/// A URL without its query and without a user's name and password.
fn place_of(url: &str) -> String {
    let (place, _) = url.split_once(['?', '#']).unwrap_or((url, ""));
    let plain = place.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://{host}/{path}"))
    });
    tidy(&plain.unwrap_or_else(|| place.to_owned()))
}

/// The cloud's id of a request: Nova sends both headers, the others the first.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    ["x-openstack-request-id", "x-compute-request-id"]
        .iter()
        .find_map(|name| headers.get(*name))
        .and_then(|value| value.to_str().ok())
        .map(|id| id.chars().take(80).collect())
}

/// `Retry-After` in seconds, or as a date relative to the answer's own `Date`, so that our clock does not matter.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers
        .get(http::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    let sent = headers.get(http::header::DATE)?.to_str().ok()?;
    let sent = chrono::DateTime::parse_from_rfc2822(sent).ok()?;
    Some((until - sent).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn call(service: Service, method: Method, path: &str) -> Call {
        let writes = method != Method::GET;
        Call {
            service,
            method,
            path: path.to_owned(),
            writes,
        }
    }

    fn refused(
        call: Call,
        status: u16,
        body: &'static str,
        headers: &[(&'static str, &'static str)],
    ) -> CallError {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        CallError::refused(
            &call,
            &Response {
                status,
                headers: map,
                body: Bytes::from_static(body.as_bytes()),
            },
        )
    }

    fn compute(method: Method, status: u16, body: &'static str) -> CallError {
        refused(
            call(Service::Compute, method, "/servers/s1"),
            status,
            body,
            &[],
        )
    }

    fn volume(method: Method, status: u16, body: &'static str) -> CallError {
        refused(
            call(Service::Volume, method, "/volumes/v1"),
            status,
            body,
            &[],
        )
    }

    const V400: &str = r#"{"badRequest": {"code": 400, "message": "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer."}}"#;

    #[test]
    fn says_who_said_what_to_which_call() {
        let error = refused(
            call(Service::Volume, Method::DELETE, "/volumes/v1"),
            400,
            V400,
            &[
                ("x-openstack-request-id", "req-1"),
                ("x-compute-request-id", "req-2"),
            ],
        );
        assert_eq!(
            error.to_string(),
            "Cinder said 400 to DELETE /volumes/v1: Invalid volume: Volume status must be available or error or \
             error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a \
             group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer. \
             (req-1)"
        );
        assert_eq!(error.class(), ErrorClass::Final);
        assert_eq!(error.status(), Some(400));
        assert_eq!(error.request_id(), Some("req-1"));
        assert!(error.certainly_not_done());
    }

    #[test]
    fn quota_is_final_whatever_its_status_and_its_retry_after() {
        let body = r#"{"overLimit": {"code": 413, "message": "VolumeLimitExceeded: Maximum number of volumes allowed (6) exceeded for quota 'volumes'.", "retryAfter": "0"}}"#;
        let cinder = refused(
            call(Service::Volume, Method::POST, "/volumes"),
            413,
            body,
            &[("retry-after", "0")],
        );
        assert_eq!(
            (cinder.class(), cinder.is_quota(), cinder.retry_after()),
            (ErrorClass::Final, true, None)
        );

        let nova = compute(
            Method::POST,
            403,
            r#"{"forbidden": {"code": 403, "message": "Quota exceeded for instances: Requested 1, but already used 1 of 0 instances"}}"#,
        );
        assert_eq!((nova.class(), nova.is_quota()), (ErrorClass::Final, true));

        let policy = compute(
            Method::POST,
            403,
            r#"{"forbidden": {"code": 403, "message": "Policy doesn't allow os_compute_api:servers:create to be performed."}}"#,
        );
        assert_eq!(
            (policy.class(), policy.is_quota()),
            (ErrorClass::Forbidden, false)
        );
    }

    #[test]
    fn statuses_have_their_classes() {
        let locked = compute(
            Method::DELETE,
            409,
            r#"{"conflictingRequest": {"code": 409, "message": "Instance i1 is locked"}}"#,
        );
        assert_eq!(
            (locked.class(), locked.is_locked()),
            (ErrorClass::Conflict, true)
        );
        let gone = volume(
            Method::GET,
            404,
            r#"{"itemNotFound": {"code": 404, "message": "Volume v1 could not be found."}}"#,
        );
        assert_eq!(gone.class(), ErrorClass::NotFound);
        assert_eq!(
            gone.to_string(),
            "Cinder said 404 to GET /volumes/v1: Volume v1 could not be found."
        );
        assert_eq!(compute(Method::GET, 500, "").class(), ErrorClass::Passing);
        assert_eq!(compute(Method::POST, 500, "").class(), ErrorClass::Passing);
        assert_eq!(compute(Method::GET, 504, "").class(), ErrorClass::Passing);
        assert_eq!(
            compute(Method::POST, 504, "").class(),
            ErrorClass::Ambiguous
        );
        assert_eq!(
            compute(Method::DELETE, 502, "").class(),
            ErrorClass::Ambiguous
        );
        assert_eq!(
            compute(Method::DELETE, 429, "").class(),
            ErrorClass::Passing
        );
        assert_eq!(
            compute(Method::GET, 401, "").class(),
            ErrorClass::Unauthorized
        );
        assert_eq!(compute(Method::GET, 406, "").class(), ErrorClass::Final);
        let away = volume(
            Method::POST,
            400,
            r#"{"badRequest": {"code": 400, "message": "Service is unavailable at this time."}}"#,
        );
        assert_eq!(away.class(), ErrorClass::Passing);
    }

    #[test]
    fn a_lost_answer_is_ambiguous_after_a_write_only() {
        let lost = |method| CallError::Lost {
            call: Box::new(call(Service::Compute, method, "/servers")),
            why: "cut".to_owned(),
        };
        assert_eq!(lost(Method::POST).class(), ErrorClass::Ambiguous);
        assert_eq!(lost(Method::GET).class(), ErrorClass::Passing);
        assert!(!lost(Method::POST).certainly_not_done());
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let pause = |headers: &[(&'static str, &'static str)]| {
            refused(
                call(Service::Compute, Method::GET, "/servers"),
                503,
                "",
                headers,
            )
            .retry_after()
        };
        assert_eq!(pause(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(
            pause(&[
                ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")
            ]),
            Some(Duration::from_secs(23))
        );
        assert_eq!(pause(&[("retry-after", "soon")]), None);
        assert_eq!(pause(&[]), None);
    }
}
