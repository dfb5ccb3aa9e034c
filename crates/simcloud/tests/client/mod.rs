//! A small client for a simulated cloud in the same process, in virtual time.

#![allow(dead_code, reason = "each test file needs another part")]

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use protector_simcloud::{
    backend::{MemBackend, MemObjects},
    cloud::{CloudOptions, Exchange, SimCloud, SimTime},
};
use serde_json::{Value, json};

/// A cloud with a session for each user that was used.
pub struct World {
    /// The cloud.
    pub cloud: SimCloud,
    /// Its volumes' bytes.
    pub objects: MemObjects,
    /// The time of the next call.
    pub now: SimTime,
    tokens: BTreeMap<String, (String, String)>,
}

/// An answer: status, headers, body.
pub struct Got {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; null for an empty one.
    pub body: Value,
}

impl World {
    /// The demo's cloud with these options changed.
    pub fn new(change: impl FnOnce(&mut CloudOptions)) -> Self {
        let mut options = CloudOptions::demo("site-a", "http://a.test");
        change(&mut options);
        let backend = MemBackend::default();
        let objects = backend.objects();
        let cloud = SimCloud::new(options, Box::new(backend));
        Self {
            cloud,
            objects,
            now: Duration::ZERO,
            tokens: BTreeMap::new(),
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.cloud.advance(self.now);
    }

    /// One raw exchange, a millisecond after the last.
    pub fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: Option<&Value>,
    ) -> Exchange {
        self.now += Duration::from_millis(1);
        let bytes = match body {
            None => Bytes::new(),
            Some(Value::String(file)) => Bytes::from(file.clone()),
            Some(body) => Bytes::from(body.to_string()),
        };
        let mut request = Request::new(bytes);
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, HeaderValue::from_str(value).unwrap());
        }
        self.cloud.exchange(self.now, &request)
    }

    /// Token and project id of a user in a project.
    pub fn session(&mut self, user: &str, project: &str) -> (String, String) {
        let key = format!("{user}@{project}");
        if let Some(session) = self.tokens.get(&key) {
            return session.clone();
        }
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": {"name": "Default"}, "password": user}}},
            "scope": {"project": {"name": project, "domain": {"name": "Default"}}}}});
        let got = self
            .exchange("POST", "/identity/v3/auth/tokens", &[], Some(&body))
            .response;
        assert_eq!(got.status(), 201, "{user} in {project}");
        let token = got.headers()["x-subject-token"]
            .to_str()
            .unwrap()
            .to_owned();
        let view: Value = serde_json::from_slice(got.body()).unwrap();
        let project = view["token"]["project"]["id"].as_str().unwrap().to_owned();
        self.tokens.insert(key, (token.clone(), project.clone()));
        (token, project)
    }

    /// Forgets the tokens, as a client does that authenticates anew.
    pub fn forget(&mut self) {
        self.tokens.clear();
    }

    /// A call as a table's role; `{pid}` in the path is the caller's project.
    pub fn call(&mut self, role: &str, method: &str, url: &str, body: Option<&Value>) -> Got {
        self.call_version(role, method, url, body, None)
    }

    /// The same with another microversion than compute 2.96 and volume 3.71.
    pub fn call_version(
        &mut self,
        role: &str,
        method: &str,
        url: &str,
        body: Option<&Value>,
        version: Option<&str>,
    ) -> Got {
        let (user, project) = match role {
            "member" | "none" | "bad" => ("demo", "demo"),
            "dr-admin" => ("demo-admin", "demo"),
            "admin" => ("admin", "admin"),
            "reader" => ("demo-reader", "demo"),
            "manager" => ("demo-manager", "demo"),
            "other" => ("other", "other"),
            other => panic!("role {other}"),
        };
        let (token, project) = self.session(user, project);
        let (service, path) = url.split_once(' ').unwrap();
        let (prefix, kind, default) = match service {
            "compute" => ("/compute/v2.1".to_owned(), "compute", "2.96"),
            "volumev3" => (format!("/volume/v3/{project}"), "volume", "3.71"),
            "network" => ("/network".to_owned(), "network", "2.0"),
            "image" => ("/image".to_owned(), "image", "2"),
            _ => ("/identity".to_owned(), "identity", "3"),
        };
        let mut headers = Vec::new();
        match role {
            "none" => {}
            "bad" => headers.push(("x-auth-token", "gAAAAABnonsense".to_owned())),
            _ => headers.push(("x-auth-token", token)),
        }
        let version = version.unwrap_or(default);
        headers.push(("openstack-api-version", format!("{kind} {version}")));
        let response = self
            .exchange(method, &format!("{prefix}{path}"), &headers, body)
            .response;
        let (parts, bytes) = response.into_parts();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)))
        };
        Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    /// Waits until a GET as administrator shows one of `wanted` at `place`; `gone` is a 404.
    pub fn wait(&mut self, url: &str, place: &str, wanted: &[&str]) {
        for _ in 0..600 {
            let got = self.call("admin", "GET", url, None);
            let found = if got.status == 404 {
                "gone".to_owned()
            } else {
                pick(&got.body, place)
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            if wanted.contains(&found.as_str()) {
                return;
            }
            self.pass(Duration::from_millis(100));
        }
        panic!("{url} never showed {wanted:?}");
    }
}

/// The parts of `a.b[c=d.e].f`: a dot in brackets is no border.
fn parts_of(place: &str) -> Vec<&str> {
    let mut inside = false;
    let borders = place.split(move |letter| {
        inside = (inside || letter == '[') && letter != ']';
        letter == '.' && !inside
    });
    borders.collect()
}

/// A value as a path writes it: `6` for the number and for the text.
fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Follows `a.b` or `a[key=value].b`.
pub fn pick(value: &Value, place: &str) -> Value {
    let mut value = value.clone();
    for part in parts_of(place) {
        let (name, filter) = part.split_once('[').unwrap_or((part, ""));
        value = value[name].clone();
        if let Some((key, wanted)) = filter.trim_end_matches(']').split_once('=') {
            let found = value
                .as_array()
                .into_iter()
                .flatten()
                .find(|item| shown(&item[key]) == wanted);
            value = found.cloned().unwrap_or_default();
        }
    }
    value
}
