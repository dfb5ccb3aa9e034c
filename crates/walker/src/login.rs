//! Somebody who is signed in to a simulated cloud.

use bytes::Bytes;
use http::{HeaderValue, Request};
use protector_simcloud::in_process::{SharedCloud, lock};
use serde_json::{Value, json};

/// A user with a token of one project.
#[derive(Clone)]
pub(crate) struct Login {
    cloud: SharedCloud,
    token: String,
    pub project: String,
}

/// What a cloud has answered.
pub(crate) struct Answer {
    pub status: u16,
    pub body: Value,
    token: String,
}

impl Answer {
    /// Whether the cloud has accepted the call.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Login {
    /// Signs in `user`, whose password is its name.
    pub fn of(cloud: &SharedCloud, user: &str, project: &str) -> Self {
        let mut login = Self {
            cloud: cloud.clone(),
            token: String::new(),
            project: String::new(),
        };
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": {"name": "Default"}, "password": user}}},
            "scope": {"project": {"name": project, "domain": {"name": "Default"}}}}});
        let answer = login.ask("POST", "/identity/v3/auth/tokens", Some(&body));
        login.project = answer.body["token"]["project"]["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        login.token = answer.token;
        login
    }

    /// Does something to a server.
    pub fn act_on_server(&self, server: &str, action: &Value) -> Answer {
        let path = format!("/compute/v2.1/servers/{server}/action");
        self.ask("POST", &path, Some(action))
    }

    /// Calls block storage; `path` begins behind the project.
    pub fn ask_cinder(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.ask(method, &format!("/volume/v3/{}{path}", self.project), body)
    }

    /// One call, carried out at once.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut request = Request::new(body.map_or(Bytes::new(), |body| body.to_string().into()));
        *request.method_mut() = method.parse().unwrap_or_default();
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        for (name, value) in [
            ("x-auth-token", self.token.as_str()),
            ("content-type", "application/json"),
            ("openstack-api-version", "compute 2.96,volume 3.71"),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        let mut cloud = lock(&self.cloud);
        let now = cloud.now();
        let answer = cloud.handle(now, &request);
        let token = answer
            .headers()
            .get("x-subject-token")
            .and_then(|token| token.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        Answer {
            status: answer.status().as_u16(),
            body: serde_json::from_slice(answer.body()).unwrap_or_default(),
            token,
        }
    }
}
