//! Answers and refusals in the form of each service.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

/// One answer, before the headers that every answer of a service carries.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// How long what was asked for takes until it can be answered.
    pub(crate) work: Duration,
}

/// What a handler gives back: an answer, or the refusal that replaces it.
pub(crate) type Answer<T = Reply> = Result<T, Box<Reply>>;

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: Bytes::from(body.to_string()),
            work: Duration::ZERO,
        }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            work: Duration::ZERO,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// 200 with a JSON body.
pub(crate) fn ok(body: Value) -> Answer {
    Ok(Reply::json(200, &body))
}

/// 202 with a JSON body.
pub(crate) fn accepted(body: Value) -> Answer {
    Ok(Reply::json(202, &body))
}

pub(crate) fn empty(status: u16) -> Answer {
    Ok(Reply::empty(status))
}

/// A refusal by Nova or Cinder: both use the same envelope, and both call what has no name `computeFault`.
pub(crate) fn fault(code: u16, message: impl Into<String>) -> Box<Reply> {
    let name = match code {
        400 => "badRequest",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        409 => "conflictingRequest",
        413 => "overLimit",
        415 => "badMediaType",
        501 => "notImplemented",
        503 => "serviceUnavailable",
        _ => "computeFault",
    };
    Box::new(Reply::json(
        code,
        &json!({name: {"code": code, "message": message.into()}}),
    ))
}

/// 403 of Nova's and Cinder's policy engine.
pub(crate) fn policy(rule: &str) -> Box<Reply> {
    fault(403, format!("Policy doesn't allow {rule} to be performed."))
}

/// A refusal by Keystone.
pub(crate) fn identity_error(code: u16, title: &str, message: impl Into<String>) -> Box<Reply> {
    let body = json!({"error": {"code": code, "message": message.into(), "title": title}});
    let reply = Reply::json(code, &body);
    Box::new(if code == 401 {
        reply.with("www-authenticate", "Keystone uri=\"http://identity/\"")
    } else {
        reply
    })
}

/// A refusal by Neutron.
pub(crate) fn neutron_error(code: u16, kind: &str, message: impl Into<String>) -> Box<Reply> {
    let body = json!({"NeutronError": {"type": kind, "message": message.into(), "detail": ""}});
    Box::new(Reply::json(code, &body))
}

/// A refusal by Glance, or by the authentication middleware in front of any service: webob's JSON form.
pub(crate) fn webob_error(code: u16, title: &str, message: &str) -> Box<Reply> {
    let body = json!({
        "message": format!("{message}<br /><br />\n\n\n"),
        "code": format!("{code} {title}"),
        "title": title,
    });
    Box::new(Reply::json(code, &body))
}

/// 401 of the authentication middleware in front of Nova, Cinder, Neutron and Glance.
pub(crate) fn unauthorized(identity_url: &str) -> Box<Reply> {
    let body = json!({"error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    }});
    Box::new(Reply::json(401, &body).with(
        "www-authenticate",
        format!("Keystone uri=\"{identity_url}\""),
    ))
}
