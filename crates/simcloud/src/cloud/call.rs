//! One request, taken apart: service, path, query, microversion, caller.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::cloud::{
    identity::Caller,
    reply::{Answer, fault},
};

/// The services of a cloud, as the first part of the path names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SimulatedService {
    Identity,
    Compute,
    Volume,
    Network,
    Image,
}

impl SimulatedService {
    /// Parses the first part of a path: `identity`, `compute`, `volume`, `network` or `image`.
    pub fn from_prefix(prefix: &str) -> Option<Self> {
        Some(match prefix {
            "identity" => Self::Identity,
            "compute" => Self::Compute,
            "volume" => Self::Volume,
            "network" => Self::Network,
            "image" => Self::Image,
            _ => return None,
        })
    }

    /// The path prefix, without slashes.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Compute => "compute",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Image => "image",
        }
    }
}

/// A request for one service, ready for its router.
pub(crate) struct Call<'r> {
    pub(crate) service: SimulatedService,
    pub(crate) method: &'r Method,
    /// The parts of the path behind the service's prefix, decoded; empty parts are left out.
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) body: &'r Bytes,
    pub(crate) request_id: String,
    /// Minor version asked for: 2.x at Nova, 3.x at Cinder.
    pub(crate) minor: u32,
}

impl<'r> Call<'r> {
    pub(crate) fn parse(request: &'r http::Request<Bytes>, request_id: String) -> Option<Self> {
        let uri = request.uri();
        let mut segments: Vec<String> = Vec::new();
        for part in uri
            .path()
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
        {
            if part == ".." {
                segments.pop();
            } else {
                segments.push(percent_decode(part, Plus::Literal));
            }
        }
        let service = SimulatedService::from_prefix(segments.first()?)?;
        segments.remove(0);
        Some(Self {
            service,
            method: request.method(),
            segments,
            query: parse_query(uri.query().unwrap_or_default()),
            headers: request.headers(),
            body: request.body(),
            request_id,
            minor: 0,
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn query_all(&self, name: &str) -> Vec<&str> {
        self.query
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.query(name).is_some_and(|value| {
            matches!(
                value.to_ascii_lowercase().as_str(),
                "1" | "true" | "yes" | "t" | "on" | ""
            )
        })
    }

    /// The body as JSON; Nova's and Cinder's refusal when it is none.
    pub(crate) fn json(&self) -> Answer<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(self.body).map_err(|_| fault(400, "Malformed request body"))
    }

    /// An object of the body, such as `server`; Nova's and Cinder's schema refusal when it is missing.
    pub(crate) fn object(&self, key: &str) -> Answer<Value> {
        match self.json()? {
            Value::Object(mut body) if body.get(key).is_some_and(Value::is_object) => {
                Ok(body.remove(key).unwrap_or_default())
            }
            _ => Err(fault(
                400,
                format!("Invalid input for field/attribute body. '{key}' is a required property"),
            )),
        }
    }

    /// Whether the caller sees all projects in a list: an administrator who asked for it.
    pub(crate) fn all_projects(&self, caller: &Caller) -> bool {
        caller.is_admin() && (self.flag("all_tenants") || self.flag("all_projects"))
    }
}

/// Whether `+` stands for a space (query strings) or for itself (paths).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Space,
    Literal,
}

fn percent_decode(text: &str, plus: Plus) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus == Plus::Space => out.push(b' '),
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let hex = std::str::from_utf8(&digits).unwrap_or("3f");
                out.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                percent_decode(key, Plus::Space),
                percent_decode(value, Plus::Space),
            )
        })
        .collect()
}

/// Parses a UUID from a path or body; anything else cannot name a resource.
pub(crate) fn uuid_of(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok()
}

/// A string member of a JSON object.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// A boolean member; `"true"` counts, as in oslo.utils' `bool_from_string`.
pub(crate) fn boolean(value: &Value, key: &str) -> Option<bool> {
    match value.get(key)? {
        Value::Bool(flag) => Some(*flag),
        Value::String(word) => Some(matches!(
            word.to_ascii_lowercase().as_str(),
            "1" | "true" | "yes" | "t" | "on"
        )),
        Value::Number(number) => Some(number.as_i64() != Some(0)),
        _ => None,
    }
}

/// A whole number, given as a number or as its digits.
pub(crate) fn integer(value: &Value, key: &str) -> Option<i64> {
    match value.get(key)? {
        Value::Number(number) => number.as_i64(),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    }
}

/// String pairs of a metadata object.
pub(crate) fn pairs(value: &Value, key: &str) -> std::collections::BTreeMap<String, String> {
    let mut out = std::collections::BTreeMap::new();
    for (name, item) in value
        .get(key)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let item: Cow<'_, str> = match item {
            Value::String(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        };
        out.insert(name.clone(), item.into_owned());
    }
    out
}

/// One page of a list.
pub(crate) struct PageAsked<T> {
    pub(crate) rows: Vec<T>,
    /// The marker of the next page, when there is more.
    pub(crate) next: Option<String>,
}

/// Cuts `rows` as `limit` and `marker` ask. A page never has more than `ceiling` rows.
pub(crate) fn paginate<T>(
    call: &Call<'_>,
    rows: Vec<T>,
    ceiling: usize,
    id: impl Fn(&T) -> String,
) -> Answer<PageAsked<T>> {
    let limit = match call.query("limit").map(str::parse::<usize>) {
        None => ceiling,
        Some(Ok(limit)) => limit.min(ceiling),
        Some(Err(_)) => {
            return Err(fault(400, "Invalid input for query parameters limit."));
        }
    };
    let skip = match call.query("marker") {
        None | Some("") => 0,
        Some(marker) => match rows.iter().position(|row| id(row) == marker) {
            Some(place) => place + 1,
            None => return Err(fault(400, format!("marker [{marker}] not found"))),
        },
    };
    let total = rows.len();
    let rows: Vec<T> = rows.into_iter().skip(skip).take(limit).collect();
    let more = skip + rows.len() < total && !rows.is_empty();
    let next = if more { rows.last().map(id) } else { None };
    Ok(PageAsked { rows, next })
}

/// The query string of the next page: this one with another marker.
pub(crate) fn next_query(call: &Call<'_>, marker: &str) -> String {
    let mut parts: Vec<String> = call
        .query
        .iter()
        .filter(|(key, _)| key != "marker")
        .map(|(key, value)| format!("{key}={}", value.replace(' ', "%20")))
        .collect();
    parts.push(format!("marker={marker}"));
    parts.join("&")
}
