//! A whole service with its database in a directory of its own, and a client that speaks to it.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Router, body::Body};
use chrono::TimeDelta;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, uri::Scheme};
use protector_api::{
    App, Settings, TokenMemory, TokenValidator,
    app::settings::{ProxyHeaders, SiteUrls},
    http::{
        metrics::{self, ApiMetrics},
        rate_limit::{RateLimits, Shares},
    },
    router,
};
use protector_clouds::cloud_requests::CloudRequests;
use protector_core::{new_id::Ids, outside::AllowedOutside, runbook::test_cleanup::TestCopies};
use protector_oslo::{audit::AuditTrail, policy::Enforcer};
use protector_store::{CopyQuota, Database, KeyRepository, PoolOptions, Quotas};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{
    access_log::from_here,
    fakes::{CountedIds, FixedClock, NAMED_PEER, NET_A, NET_B, Outside, PROJECT_A, PROJECT_B},
};

pub const MAX_BODY: usize = 114_688;

pub struct House {
    pub database: Database,
    pub outside: Outside,
    router: Router,
    ids: Arc<CountedIds>,
    metrics: Arc<ApiMetrics>,
    dir: TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The sentence of an error.
    pub fn message(&self) -> &str {
        self.body
            .as_object()
            .and_then(|body| body.values().next())
            .and_then(|inner| inner["message"].as_str())
            .unwrap_or_else(|| panic!("no message in {}", self.body))
    }

    /// The key of an error's body.
    pub fn key(&self) -> &str {
        self.body
            .as_object()
            .and_then(|body| body.keys().next())
            .map(String::as_str)
            .unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }
}

fn app(
    dir: &TempDir,
    database: &Database,
    outside: &Outside,
    ids: &Arc<CountedIds>,
    metrics: &Arc<ApiMetrics>,
    test_copies: TestCopies,
) -> App {
    App {
        database: database.clone(),
        rules: Enforcer::open(dir.path().join("policy.yaml")).unwrap(),
        tokens: TokenValidator::new(
            outside.keystone.clone(),
            Arc::new(FixedClock),
            TokenMemory::default(),
        ),
        clouds: outside.clouds.clone(),
        peer: outside.peer.clone(),
        storage: outside.arrays.clone(),
        clock: Arc::new(FixedClock),
        ids: Arc::clone(ids) as Arc<dyn Ids>,
        settings: Settings {
            site_name: "site-a".into(),
            public_endpoint: None,
            scheme: Scheme::HTTP,
            max_limit: 1000,
            max_body_bytes: MAX_BODY,
            www_authenticate_uri: "http://keystone:5000".to_owned(),
            retain_source_volumes: false,
            cleanup_requires_peer: true,
            test_copies,
            outside: allowed_outside(),
            site_urls: SiteUrls::HttpToo,
            peer_users: BTreeSet::from([NAMED_PEER.into()]),
            peer_signature_window: TimeDelta::seconds(300),
            proxy_headers: ProxyHeaders::Believed,
        },
        shares: Shares::default(),
        audit: AuditTrail::at(
            Some(dir.path().join("audit.log")),
            "protector-api",
            "controller".to_owned(),
        )
        .unwrap(),
        metrics: Arc::clone(metrics),
    }
}

fn allowed_outside() -> AllowedOutside {
    AllowedOutside::new(
        vec!["https://hooks.example.org/dr/".parse().unwrap()],
        vec!["10.0.0.0/8".parse().unwrap()],
    )
}

impl House {
    pub async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let keys = dir.path().join("keys");
        KeyRepository::setup(&keys).unwrap();
        let url = format!("sqlite://{}", dir.path().join("db.sqlite").display());
        let database = Database::connect(&SecretString::from(url), PoolOptions::default())
            .await
            .unwrap()
            .with_keys(KeyRepository::open(&keys).unwrap());
        database.migrate().await.unwrap();
        let outside = Outside::default();
        let ids = Arc::new(CountedIds::default());
        let metrics = Arc::new(ApiMetrics::new(&CloudRequests::default()));
        let copies = TestCopies::Delete;
        Self {
            router: router(app(&dir, &database, &outside, &ids, &metrics, copies)),
            database,
            outside,
            ids,
            metrics,
            dir,
        }
    }

    /// The same house after a restart with `[engine] cleanup_on_test_failover` set so.
    pub fn with_test_copies(self, copies: TestCopies) -> Self {
        self.restarted(|_| {}, copies)
    }

    /// The same house after a restart with another `[quota]`.
    pub fn with_copy_quota(self, quota: CopyQuota) -> Self {
        let database = self.database.clone().with_copy_quota(quota);
        let kept = database.clone();
        Self {
            database,
            ..self.restarted(|app| app.database = kept, TestCopies::Delete)
        }
    }

    /// The same house after a restart with `[openstack] allow_http_sites = false`.
    pub fn without_http_sites(self) -> Self {
        let https = |app: &mut App| app.settings.site_urls = SiteUrls::Https;
        self.restarted(https, TestCopies::Delete)
    }

    /// The same house after a restart with `[quota]` set so.
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        let limited = |app: &mut App| app.database = app.database.clone().with_quotas(quotas);
        self.restarted(limited, TestCopies::Delete)
    }

    /// The same house after a restart with `[rate_limit]` set so.
    pub fn with_limits(self, limits: RateLimits) -> Self {
        let limited = |app: &mut App| app.shares = Shares::new(limits);
        self.restarted(limited, TestCopies::Delete)
    }

    /// The same house after a restart with `[ssl]` set.
    pub fn over_tls(self) -> Self {
        let secured = |app: &mut App| app.settings.scheme = Scheme::HTTPS;
        self.restarted(secured, TestCopies::Delete)
    }

    fn restarted(self, change: impl FnOnce(&mut App), copies: TestCopies) -> Self {
        let Self {
            dir,
            database,
            outside,
            ids,
            metrics,
            ..
        } = &self;
        let mut app = app(dir, database, outside, ids, metrics, copies);
        change(&mut app);
        Self {
            router: router(app),
            ..self
        }
    }

    /// Writes the operator's policy file.
    pub fn policy(&self, text: &str) {
        std::fs::write(self.dir.path().join("policy.yaml"), text).unwrap();
    }

    /// A house with both sites and the tenant's mapping.
    pub async fn furnished() -> Self {
        Self::new().await.furnish().await
    }

    /// This house with both sites and the tenant's mapping.
    pub async fn furnish(self) -> Self {
        let house = self;
        for site in ["site-a", "site-b"] {
            house
                .send(Method::POST, "/v1/admin/sites", "admin", site_body(site))
                .await
                .expect(201);
        }
        let mapping = json!({"tenant_mapping": {
            "primary_site": "site-a", "primary_project_id": PROJECT_A,
            "secondary_site": "site-b", "secondary_project_id": PROJECT_B,
        }});
        house
            .send(Method::POST, "/v1/admin/tenant-mappings", "admin", mapping)
            .await
            .expect(201);
        house
    }

    /// A house with a group `web`, its policy and its network mapping, without members.
    pub async fn with_group() -> Self {
        let house = Self::furnished().await;
        house
            .send(Method::POST, &groups_path(), "member", group_body("web"))
            .await
            .expect(201);
        house
            .send(
                Method::POST,
                &group_path("web", "/policy"),
                "member",
                policy_body(),
            )
            .await
            .expect(201);
        house
    }

    /// The same with a member.
    pub async fn with_member(server: &str) -> Self {
        let house = Self::with_group().await;
        house.add(server).await.expect(201);
        house
    }

    pub async fn add(&self, server: &str) -> Answer {
        let body = json!({"member": {"server_id": server}});
        let path = group_path("web", "/members");
        self.send(Method::POST, &path, "member", body).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.request(Method::GET, path, &[("x-auth-token", token)], Body::empty())
            .await
    }

    /// A request whose client goes away before it is answered.
    pub async fn give_up(&self, method: Method, path: &str) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("x-auth-token", "member");
        let request = request.body(Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(from_here(request));
        assert!(answer.now_or_never().is_none(), "it was answered at once");
    }

    /// The events of the audit trail.
    pub fn audited(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("audit.log")).unwrap();
        let events = text.lines().map(serde_json::from_str);
        events.collect::<Result<_, _>>().unwrap()
    }

    /// What Prometheus reads.
    pub async fn counted(&self) -> String {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let watched = metrics::router(Arc::clone(&self.metrics));
        let response = watched.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await;
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    pub async fn delete(&self, path: &str, token: &str) -> Answer {
        let headers = [("x-auth-token", token)];
        self.request(Method::DELETE, path, &headers, Body::empty())
            .await
    }

    pub async fn send(&self, method: Method, path: &str, token: &str, body: Value) -> Answer {
        self.send_text(method, path, token, body.to_string()).await
    }

    pub async fn send_text(&self, method: Method, path: &str, token: &str, body: String) -> Answer {
        let headers = [
            ("x-auth-token", token),
            ("content-type", "application/json"),
        ];
        self.request(method, path, &headers, Body::from(body)).await
    }

    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let mut all = HeaderMap::new();
        all.insert("host", "controller:8788".parse().unwrap());
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            all.append(name, HeaderValue::from_str(value).unwrap());
        }
        if !says_something_to_a_peer(&all, path) {
            return self.deliver(method, path, all, body).await;
        }
        let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let signature = self.outside.peer.signs(&method, path, &all, &body);
        all.extend(signature);
        self.deliver(method, path, all, Body::from(body)).await
    }

    /// Sends a request as it is: nobody signs it.
    pub async fn deliver(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(body)
            .unwrap();
        *request.headers_mut() = headers;
        let response = self
            .router
            .clone()
            .oneshot(from_here(request))
            .await
            .unwrap();
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24)
            .await
            .unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&bytes)))
        };
        Answer {
            status,
            headers,
            body,
        }
    }

    /// All that the tenant can see: what must not change when a request is refused.
    pub async fn everything(&self) -> Value {
        let mut seen = Vec::new();
        for path in [
            "/v1/admin/sites".to_owned(),
            "/v1/admin/tenant-mappings".to_owned(),
        ] {
            seen.push(self.get(&path, "admin").await.body);
        }
        let groups = self.get(&groups_path(), "member").await.body;
        for group in groups["protection_groups"].as_array().into_iter().flatten() {
            let id = group["id"].as_str().unwrap();
            for part in ["/members", "/policy", "/resource-mappings"] {
                seen.push(self.get(&group_path(id, part), "member").await.body);
            }
        }
        seen.push(groups);
        let operations = format!("/v1/{PROJECT_A}/operations");
        seen.push(self.get(&operations, "member").await.body);
        Value::Array(seen)
    }
}

/// Whether it is a message of the other site's protector, which signs all that it says.
fn says_something_to_a_peer(headers: &HeaderMap, path: &str) -> bool {
    let token = headers.get("x-auth-token").map(HeaderValue::as_bytes);
    let token = std::str::from_utf8(token.unwrap_or_default()).unwrap_or_default();
    let is_the_peers = matches!(token, "service" | "named" | "peer@own" | "peer@foreign");
    is_the_peers && (path.contains("/metadata") || path.ends_with("/copy"))
}

pub fn groups_path() -> String {
    format!("/v1/{PROJECT_A}/protection-groups")
}

pub fn group_path(group: &str, rest: &str) -> String {
    format!("/v1/{PROJECT_A}/protection-groups/{group}{rest}")
}

pub fn site_body(name: &str) -> Value {
    json!({"site": {
        "name": name, "auth_url": format!("http://{name}:5000/v3"),
        "username": "protector", "password": "hunter2",
    }})
}

pub fn group_body(name: &str) -> Value {
    json!({"protection_group": {
        "name": name, "primary_site": "site-a", "secondary_site": "site-b",
        "replication_type": "async", "volume_type": "replicated",
        "network_mapping": {NET_A: NET_B},
    }})
}

pub fn policy_body() -> Value {
    json!({"policy": {
        "primary_fa_url": "mock://array-a", "secondary_fa_url": "mock://array-b",
        "primary_fa_api_token": "array-secret", "rpo_minutes": 15,
    }})
}

pub fn failover_body() -> Value {
    json!({"failover": {"type": "planned"}})
}
