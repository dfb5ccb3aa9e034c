//! A cloud for tests: its Keystone works, everything else answers what the test has lined up.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use protector_core::id::ProjectId;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    catalog::EndpointInterface,
    cloud::Cloud,
    credentials::{Credentials, ProjectScope},
    options::ClientOptions,
    retry::{Jitter, RetryPolicy},
    session::Session,
    transport::{Request, Response, Transport, TransportError},
};

pub(crate) const PASSWORD: &str = "correct horse";

/// What the cloud does with one request.
pub(crate) enum Reply {
    Answer(u16, Vec<(&'static str, String)>, String),
    Fail(TransportError),
    Hang,
}

pub(crate) fn answer(status: u16, body: impl Into<String>) -> Reply {
    Reply::Answer(status, Vec::new(), body.into())
}

pub(crate) fn ok(body: Value) -> Reply {
    answer(200, body.to_string())
}

pub(crate) fn with_header(status: u16, name: &'static str, value: &str) -> Reply {
    Reply::Answer(status, vec![(name, value.to_owned())], String::new())
}

pub(crate) fn unreachable() -> Reply {
    Reply::Fail(TransportError::Unreachable("connection refused".to_owned()))
}

pub(crate) fn lost() -> Reply {
    Reply::Fail(TransportError::Lost("connection reset".to_owned()))
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    login_replies: VecDeque<Reply>,
    revoked: BTreeSet<String>,
    seen: Vec<Request>,
    logins: usize,
}

pub(crate) struct ScriptedCloud {
    state: Mutex<State>,
    pub(crate) nova: &'static str,
    pub(crate) cinder: &'static str,
    pub(crate) login_takes: Duration,
    pub(crate) token_lifetime_seconds: i64,
}

impl ScriptedCloud {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let state = State {
            replies: replies.into_iter().collect(),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            nova: "2.104",
            cinder: "3.71",
            login_takes: Duration::ZERO,
            token_lifetime_seconds: 3600,
        }
    }

    pub(crate) fn login_replies(self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.state.lock().unwrap().login_replies = replies.into_iter().collect();
        self
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.state.lock().unwrap().revoked.insert(token.to_owned());
    }

    pub(crate) fn logins(&self) -> usize {
        self.state.lock().unwrap().logins
    }

    /// All requests but logins and version documents.
    pub(crate) fn calls(&self) -> Vec<Request> {
        self.state.lock().unwrap().seen.clone()
    }

    /// `GET /v2.1/servers/s1` for each of [`ScriptedCloud::calls`].
    pub(crate) fn lines(&self) -> Vec<String> {
        let place = |url: &str| url.split_once(".test").map(|(_, path)| path.to_owned());
        self.calls()
            .iter()
            .map(|call| format!("{} {}", call.method, place(&call.url).unwrap()))
            .collect()
    }

    fn version_document(&self, url: &str) -> Option<Value> {
        if url.ends_with("nova.test/v2.1/") {
            return Some(
                json!({"version": {"id": "v2.1", "version": self.nova, "min_version": "2.1"}}),
            );
        }
        url.ends_with("cinder.test/v3/").then(
            || json!({"versions": [{"id": "v3.0", "version": self.cinder, "min_version": "3.0"}]}),
        )
    }

    async fn log_in(&self) -> Result<Response, TransportError> {
        let (number, scripted) = {
            let mut state = self.state.lock().unwrap();
            state.logins += 1;
            (state.logins, state.login_replies.pop_front())
        };
        tokio::time::sleep(self.login_takes).await;
        if let Some(reply) = scripted {
            return carry_out(reply).await;
        }
        let expires = chrono::DateTime::from_timestamp(self.token_lifetime_seconds, 0).unwrap();
        let body = json!({"token": {
            "user": {"id": "u1", "name": "dr", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p1", "name": "dr", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r1", "name": "member"}],
            "issued_at": "1970-01-01T00:00:00.000000Z",
            "expires_at": expires.to_rfc3339(),
            "catalog": catalog(),
        }});
        let headers = vec![("x-subject-token", format!("token-{number}"))];
        carry_out(Reply::Answer(201, headers, body.to_string())).await
    }
}

pub(crate) fn catalog() -> Value {
    let entry = |kind: &str, url: &str| {
        json!({"type": kind, "name": kind, "endpoints":
            [{"id": "e", "interface": "public", "region": "north", "region_id": "north", "url": url}]})
    };
    json!([
        entry("compute", "http://nova.test/v2.1"),
        entry("volumev3", "http://cinder.test/v3/p1"),
        entry("network", "http://neutron.test"),
        entry("image", "http://glance.test"),
        entry("protector", "http://protector.test/v1"),
    ])
}

async fn carry_out(reply: Reply) -> Result<Response, TransportError> {
    match reply {
        Reply::Fail(error) => Err(error),
        Reply::Hang => std::future::pending().await,
        Reply::Answer(status, headers, body) => {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(
                    HeaderName::from_static(name),
                    HeaderValue::from_str(&value).unwrap(),
                );
            }
            Ok(Response {
                status,
                headers: map,
                body: Bytes::from(body),
            })
        }
    }
}

#[async_trait]
impl Transport for ScriptedCloud {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        if request.method == http::Method::POST && request.url.ends_with("/v3/auth/tokens") {
            return self.log_in().await;
        }
        if let Some(document) = self.version_document(&request.url) {
            return carry_out(ok(document)).await;
        }
        let reply = {
            let mut state = self.state.lock().unwrap();
            let token = request
                .headers
                .get("x-auth-token")
                .unwrap()
                .to_str()
                .unwrap();
            let revoked = state.revoked.contains(token);
            state.seen.push(request.clone());
            match revoked {
                true => answer(
                    401,
                    r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#,
                ),
                false => state.replies.pop_front().expect("a reply is lined up"),
            }
        };
        carry_out(reply).await
    }
}

pub(crate) fn credentials() -> Credentials {
    Credentials {
        auth_url: "http://keystone.test".to_owned(),
        username: "dr".to_owned(),
        password: SecretString::from(PASSWORD),
        user_domain_name: "Default".to_owned(),
        project: ProjectScope::Id(ProjectId::new("p1")),
        region_name: Some("north".to_owned()),
        interface: EndpointInterface::Public,
    }
}

pub(crate) fn options() -> ClientOptions {
    ClientOptions {
        retry: RetryPolicy {
            jitter: Jitter::None,
            ..RetryPolicy::default()
        },
        page_size: 2,
        ..ClientOptions::default()
    }
}

/// A cloud that gives `replies` one after the other.
pub(crate) fn scripted(replies: impl IntoIterator<Item = Reply>) -> (Cloud, Arc<ScriptedCloud>) {
    cloud_of(ScriptedCloud::new(replies))
}

pub(crate) fn cloud_of(script: ScriptedCloud) -> (Cloud, Arc<ScriptedCloud>) {
    let script = Arc::new(script);
    let cloud = Cloud::new(Session::new(script.clone(), credentials(), options()));
    (cloud, script)
}
