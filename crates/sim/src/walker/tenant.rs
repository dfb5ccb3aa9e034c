//! What a tenant does with the copies of a test failover while they are up.

use bytes::Bytes;
use http::{HeaderValue, Request};
use serde_json::{Value, json};

use crate::in_process::{SharedCloud, lock};

/// A tenant of the demo project, who came to rely on some of the copies.
pub(super) struct Tenant {
    cloud: SharedCloud,
    token: String,
    project: String,
    server: String,
    snapshot: Option<String>,
}

impl Tenant {
    /// Signs in, locks `server` and takes a snapshot of `volume`.
    pub fn relying_on(cloud: &SharedCloud, server: &str, volume: &str) -> Self {
        let mut tenant = Self {
            cloud: cloud.clone(),
            token: String::new(),
            project: String::new(),
            server: server.to_owned(),
            snapshot: None,
        };
        tenant.sign_in();
        tenant.act(&json!({"lock": {"locked_reason": "audit"}}));
        let path = format!("/volume/v3/{}/snapshots", tenant.project);
        let body = json!({"snapshot": {"volume_id": volume, "name": "findings", "force": true}});
        let (taken, _) = tenant.ask("POST", &path, Some(&body));
        tenant.snapshot = taken["snapshot"]["id"].as_str().map(str::to_owned);
        debug_assert!(tenant.snapshot.is_some(), "{taken}");
        tenant
    }

    /// Does not need them any more.
    pub fn let_go(&self) {
        self.act(&json!({"unlock": null}));
        if let Some(snapshot) = &self.snapshot {
            let path = format!("/volume/v3/{}/snapshots/{snapshot}", self.project);
            self.ask("DELETE", &path, None);
        }
    }

    fn sign_in(&mut self) {
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "protector", "domain": {"name": "Default"}, "password": "protector"}}},
            "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}}}});
        let (view, token) = self.ask("POST", "/identity/v3/auth/tokens", Some(&body));
        self.token = token;
        self.project = view["token"]["project"]["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
    }

    fn act(&self, action: &Value) {
        let path = format!("/compute/v2.1/servers/{}/action", self.server);
        self.ask("POST", &path, Some(action));
    }

    /// The answer's body, and the token in its headers.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (Value, String) {
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
        debug_assert!(answer.status().is_success(), "{method} {path}: {answer:?}");
        let token = answer
            .headers()
            .get("x-subject-token")
            .and_then(|token| token.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        (
            serde_json::from_slice(answer.body()).unwrap_or_default(),
            token,
        )
    }
}
