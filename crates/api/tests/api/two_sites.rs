//! Two protectors on two simulated clouds, over the client's real calls: what the fakes of the other tests stand for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, body::Body};
use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, header::CONTENT_TYPE, uri::Scheme};
use protector_api::{
    App, Settings, TokenMemory, TokenValidator,
    app::settings::{ProxyHeaders, SiteUrls},
    http::{keystone_tokens::KeystoneTokens, metrics, metrics::ApiMetrics, rate_limit::Shares},
    router,
};
use protector_clouds::{
    cloud_requests::CloudRequests,
    openstack_clouds::OpenStackClouds,
    site_sessions::{SiteSessions, Wires},
};
use protector_core::{
    id::{OperationId, ServerId},
    mark,
    outside::AllowedOutside,
    runbook::test_cleanup::TestCopies,
    site::Site,
};
use protector_openstack::{
    bounds::LARGEST_BODY,
    cloud::Cloud,
    compute::ServerFilter,
    message_signer::UnsignedMessage,
    options::ClientOptions,
    transport::{Request, Response, Transport, TransportError},
};
use protector_oslo::{audit::AuditTrail, policy::Enforcer};
use protector_peer::{openstack_peer::OpenStackPeer, peer::Peer, site_identity::SiteIdentity};
use protector_simcloud::{
    backend::MemBackend,
    cloud::{CloudOptions, Component, ServiceSeed, SimCloud},
    in_process::{Calm, InProcess, lock},
};
use protector_store::{Database, KeyRepository, PoolOptions};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{
    fakes::{CountedIds, FakeArrays, FixedClock},
    house::{Answer, failover_body, policy_body},
};

pub const SITES: [&str; 2] = ["site-a", "site-b"];

/// The network between everything: the clouds, and the protectors by their host names.
struct World {
    clouds: InProcess,
    protectors: Mutex<BTreeMap<String, Router>>,
    /// The request ids that calls carried, by the call's URL.
    chains: Mutex<Vec<(String, String)>>,
    /// What goes wrong between the protectors.
    mail: Mail,
}

/// What becomes of a message between the protectors, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It does not arrive.
    Lost,
    /// It arrives, and its answer does not.
    ReplyLost,
    /// It arrives twice.
    Twice,
    /// It arrives when its sender has given up.
    Late(When),
    /// It arrives, and once more later.
    Again(When),
}

/// When what is late arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So many messages after it were sent before it.
    After(usize),
    /// After everything else.
    AtTheEnd,
}

/// The messages between the protectors, counted from when somebody says.
#[derive(Default)]
struct Mail {
    counted: AtomicUsize,
    /// Method and path of each.
    sent: Mutex<Vec<String>>,
    due: Mutex<Option<(usize, Mishap)>>,
    /// What somebody does when this message has arrived, before its sender hears of it.
    deed: Mutex<Option<(usize, BoxFuture<'static, ()>)>>,
    late: Mutex<Vec<Late>>,
}

/// A message that is on its way for longer than its sender waits.
struct Late {
    /// It arrives before this one, or in the end.
    before: Option<usize>,
    protector: Router,
    request: Request,
}

impl Mail {
    /// The number of a message, from 1.
    fn number(&self, request: &Request) -> usize {
        let path = request.url.split('/').skip(3).collect::<Vec<_>>().join("/");
        let mut sent = self.sent.lock().unwrap();
        sent.push(format!("{} /{path}", request.method));
        self.counted.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn mishap(&self, number: usize) -> Option<Mishap> {
        let due = *self.due.lock().unwrap();
        due.filter(|(at, _)| *at == number)
            .map(|(_, mishap)| mishap)
    }

    fn deed(&self, number: usize) -> Option<BoxFuture<'static, ()>> {
        let mut deed = self.deed.lock().unwrap();
        let is_due = deed.as_ref().is_some_and(|(at, _)| *at == number);
        deed.take_if(|_| is_due).map(|(_, deed)| deed)
    }

    fn keep(&self, number: usize, when: When, protector: Router, request: Request) {
        let before = match when {
            When::After(messages) => Some(number + messages + 1),
            When::AtTheEnd => None,
        };
        self.late.lock().unwrap().push(Late {
            before,
            protector,
            request,
        });
    }

    /// What arrives before this message; everything that is on its way for `None`.
    async fn deliver_late(&self, number: Option<usize>) {
        let arrives = |late: &mut Late| match (number, late.before) {
            (None, _) => true,
            (Some(number), before) => before.is_some_and(|before| before <= number),
        };
        let late: Vec<Late> = self.late.lock().unwrap().extract_if(.., arrives).collect();
        for Late {
            protector, request, ..
        } in late
        {
            deliver(protector, request).await.unwrap();
        }
    }

    async fn post(
        &self,
        number: usize,
        protector: Router,
        request: Request,
    ) -> Result<Response, TransportError> {
        match self.mishap(number) {
            None => deliver(protector, request).await,
            Some(Mishap::Lost) => Err(TransportError::TimedOut(request.timeout)),
            Some(Mishap::ReplyLost) => {
                deliver(protector, request).await?;
                Err(TransportError::Lost("its answer was lost".to_owned()))
            }
            Some(Mishap::Twice) => {
                deliver(protector.clone(), request.clone()).await?;
                deliver(protector, request).await
            }
            Some(Mishap::Late(when)) => {
                let limit = request.timeout;
                self.keep(number, when, protector, request);
                Err(TransportError::TimedOut(limit))
            }
            Some(Mishap::Again(when)) => {
                self.keep(number, when, protector.clone(), request.clone());
                deliver(protector, request).await
            }
        }
    }
}

#[async_trait]
impl Transport for World {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        if let Some(id) = request.headers.get("x-openstack-request-id") {
            let entry = (request.url.clone(), id.to_str().unwrap().to_owned());
            self.chains.lock().unwrap().push(entry);
        }
        let Some(rest) = request.url.strip_prefix("http://protector-") else {
            return self.clouds.send(request).await;
        };
        let site = rest.split(':').next().unwrap();
        let protector = self.protectors.lock().unwrap().get(site).cloned();
        let Some(protector) = protector else {
            return Err(TransportError::Unreachable("connection refused".to_owned()));
        };
        let number = self.mail.number(&request);
        self.mail.deliver_late(Some(number)).await;
        let answer = self.mail.post(number, protector, request).await;
        if let Some(deed) = self.mail.deed(number) {
            deed.await;
        }
        answer
    }
}

async fn deliver(protector: Router, request: Request) -> Result<Response, TransportError> {
    let mut sent = http::Request::builder()
        .method(request.method)
        .uri(&request.url)
        .body(Body::from(request.body))
        .unwrap();
    *sent.headers_mut() = request.headers;
    // A task of its own, as behind a socket: the stacks of two protectors that ask each other are not one.
    let answering = tokio::spawn(protector.oneshot(sent));
    let response = answering.await.unwrap().unwrap();
    Ok(Response {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: axum::body::to_bytes(response.into_body(), 1 << 24)
            .await
            .unwrap(),
    })
}

pub fn headers_with(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-auth-token", token.parse().unwrap());
    headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
    headers
}

struct OneWire(Arc<dyn Transport>);

impl Wires for OneWire {
    fn wire(&self, _cacert: Option<&std::path::Path>) -> Arc<dyn Transport> {
        self.0.clone()
    }
}

pub struct Protector {
    router: Router,
    metrics: Arc<ApiMetrics>,
    pub database: Database,
    pub peer: Arc<dyn Peer>,
    pub identity: SiteIdentity,
    pub sessions: Arc<SiteSessions>,
    _dir: TempDir,
}

fn registration(name: &str) -> Value {
    json!({"site": {
        "name": name, "auth_url": format!("http://{name}.test/identity"),
        "username": "protector", "password": "protector",
    }})
}

fn site(name: &str) -> Site {
    Site {
        id: name.into(),
        name: name.into(),
        description: None,
        auth_url: format!("http://{name}.test/identity/v3"),
        region_name: None,
        interface: "public".to_owned(),
        username: "protector".to_owned(),
        user_domain_name: "Default".to_owned(),
        project_name: "service".to_owned(),
        project_domain_name: "Default".to_owned(),
        cacert: None,
        status: protector_core::site::SiteStatus::Active,
        created_at: protector_core::clock::Clock::now(&FixedClock),
        updated_at: protector_core::clock::Clock::now(&FixedClock),
    }
}

/// The three forms that an endpoint in a catalogue may have are spread over the sites.
fn cloud(name: &str, endpoint: &str) -> Arc<Mutex<SimCloud>> {
    let base = format!("http://{name}.test");
    let mut options = CloudOptions::demo(name, &base).with_fleet(2);
    options.services.push(ServiceSeed {
        name: "protector".to_owned(),
        service_type: "protector".to_owned(),
        url: endpoint.to_owned(),
    });
    Arc::new(Mutex::new(SimCloud::new(
        options,
        Box::new(MemBackend::default()),
    )))
}

async fn protector(name: &str, world: &Arc<dyn Transport>) -> Protector {
    let dir = TempDir::new().unwrap();
    let keys = dir.path().join("keys");
    KeyRepository::setup(&keys).unwrap();
    let url = format!("sqlite://{}", dir.path().join("db.sqlite").display());
    let database = Database::connect(&SecretString::from(url), PoolOptions::default())
        .await
        .unwrap()
        .with_keys(KeyRepository::open(&keys).unwrap());
    database.migrate().await.unwrap();
    let options = ClientOptions {
        deadline: Duration::from_secs(20),
        ..ClientOptions::default()
    };
    let cloud_requests = CloudRequests::default();
    let sessions = Arc::new(SiteSessions::new(
        database.clone(),
        Arc::new(OneWire(world.clone())),
        options,
        cloud_requests.clone(),
    ));
    let password = SecretString::from("protector");
    let keystone = sessions.cloud_of(&site(name), &password, None).unwrap();
    let identity = SiteIdentity {
        database: database.clone(),
        site: name.into(),
        clock: Arc::new(FixedClock),
        ids: Arc::new(CountedIds::default()),
    };
    let peer: Arc<dyn Peer> = Arc::new(OpenStackPeer::new(sessions.clone(), identity.clone()));
    let metrics = Arc::new(ApiMetrics::new(&cloud_requests));
    let router = router(App {
        database: database.clone(),
        rules: Enforcer::open(dir.path().join("policy.yaml")).unwrap(),
        tokens: TokenValidator::new(
            Arc::new(KeystoneTokens::new(keystone)),
            Arc::new(FixedClock),
            TokenMemory::default(),
        ),
        clouds: Arc::new(OpenStackClouds::new(sessions.clone())),
        peer: peer.clone(),
        storage: Arc::new(FakeArrays::default()),
        clock: Arc::new(FixedClock),
        ids: Arc::new(CountedIds::default()),
        settings: Settings {
            site_name: name.into(),
            public_endpoint: None,
            scheme: Scheme::HTTP,
            max_limit: 1000,
            max_body_bytes: 114_688,
            www_authenticate_uri: "http://keystone".to_owned(),
            retain_source_volumes: false,
            cleanup_requires_peer: true,
            test_copies: TestCopies::Delete,
            outside: AllowedOutside::default(),
            site_urls: SiteUrls::HttpToo,
            peer_users: BTreeSet::new(),
            peer_signature_window: TimeDelta::seconds(300),
            proxy_headers: ProxyHeaders::Ignored,
        },
        shares: Shares::default(),
        audit: AuditTrail::at(None, "protector-api", String::new()).unwrap(),
        metrics: Arc::clone(&metrics),
    });
    Protector {
        router,
        metrics,
        database,
        peer,
        identity,
        sessions,
        _dir: dir,
    }
}

pub struct TwoSites {
    world: Arc<World>,
    pub protectors: Vec<Protector>,
}

impl TwoSites {
    pub async fn new() -> Self {
        let clouds = vec![
            cloud("site-a", "http://protector-site-a:8788"),
            cloud("site-b", "http://protector-site-b:8788/v1/%(project_id)s"),
        ];
        let world = Arc::new(World {
            clouds: InProcess::new(clouds, Arc::new(Calm)),
            protectors: Mutex::default(),
            chains: Mutex::default(),
            mail: Mail::default(),
        });
        let transport: Arc<dyn Transport> = world.clone();
        let mut protectors = Vec::new();
        for name in SITES {
            let made = protector(name, &transport).await;
            let mut known = world.protectors.lock().unwrap();
            known.insert(name.to_owned(), made.router.clone());
            drop(known);
            protectors.push(made);
        }
        Self { world, protectors }
    }

    pub async fn token(&self, site: &str, user: &str, project: &str) -> String {
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "password": user, "domain": {"name": "Default"}}}},
            "scope": {"project": {"name": project, "domain": {"name": "Default"}}},
        }});
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        let answer = self
            .world
            .send(Request {
                method: Method::POST,
                url: format!("http://{site}.test/identity/v3/auth/tokens"),
                headers,
                body: body.to_string().into(),
                timeout: Duration::from_secs(10),
                largest_body: LARGEST_BODY,
            })
            .await
            .unwrap();
        assert_eq!(answer.status, 201);
        answer.headers["x-subject-token"]
            .to_str()
            .unwrap()
            .to_owned()
    }

    pub async fn send(
        &self,
        place: usize,
        method: Method,
        path: &str,
        token: &str,
        body: Value,
    ) -> Answer {
        let headers = headers_with(token);
        self.deliver(place, method, path, headers, body).await
    }

    /// Says something to the protector of `place` as the other one, whose key signs it.
    pub async fn say(
        &self,
        place: usize,
        method: Method,
        path: &str,
        token: &str,
        body: Value,
    ) -> Answer {
        let other = &self.protectors[1 - place].identity;
        let signer = other.signer(&SITES[place].into()).await.unwrap();
        let mut headers = headers_with(token);
        let text = body.to_string();
        let message = UnsignedMessage {
            method: &method,
            target: path,
            headers: &headers,
            body: text.as_bytes(),
        };
        let signature = signer.sign(&message).unwrap();
        headers.extend(signature);
        self.deliver(place, method, path, headers, body).await
    }

    pub async fn deliver(
        &self,
        place: usize,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Value,
    ) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .body(Body::from(body.to_string()))
            .unwrap();
        *request.headers_mut() = headers;
        let router = self.protectors[place].router.clone();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24)
            .await
            .unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    /// What Prometheus reads of the protector of `place`.
    async fn metrics(&self, place: usize) -> String {
        let request = http::Request::get("/metrics").body(Body::empty()).unwrap();
        let watched = metrics::router(Arc::clone(&self.protectors[place].metrics));
        let response = watched.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await;
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    pub fn admin_of(&self, name: &str) -> Cloud {
        let password = SecretString::from("protector");
        self.protectors[0]
            .sessions
            .cloud_of(&site(name), &password, None)
            .unwrap()
    }

    pub async fn project(&self, site: &str) -> String {
        let found = self.admin_of(site).identity().find_project("demo").await;
        found.unwrap().unwrap().id.to_string()
    }

    pub async fn network(&self, site: &str) -> String {
        let found = self
            .admin_of(site)
            .network()
            .networks(Some("demo-net"))
            .await;
        found.unwrap()[0].id.to_string()
    }

    /// What an administrator of `site` makes there.
    async fn on_neutron_of(&self, site: &str, kind: &str, body: &Value) -> Value {
        let mut headers = headers_with(&self.token(site, "admin", "admin").await);
        headers.insert(http::header::ACCEPT, "application/json".parse().unwrap());
        let answer = self.world.send(Request {
            method: Method::POST,
            url: format!("http://{site}.test/network/v2.0/{kind}"),
            headers,
            body: body.to_string().into(),
            timeout: Duration::from_secs(10),
            largest_body: LARGEST_BODY,
        });
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 201);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Sites and the tenant's mapping, on both protectors, with the same ids.
    pub async fn furnish(&self) {
        let ids: Vec<String> = (1..=2)
            .map(|n| format!("7a3f2c11-0001-4b22-a918-00000000000{n}"))
            .collect();
        let (project_a, project_b) = (self.project("site-a").await, self.project("site-b").await);
        for (place, local) in SITES.iter().enumerate() {
            let admin = self.token(local, "admin", "admin").await;
            for (name, id) in SITES.iter().zip(&ids) {
                let mut body = registration(name);
                body["site"]["id"] = json!(id);
                self.send(place, Method::POST, "/v1/admin/sites", &admin, body)
                    .await
                    .expect(201);
            }
            let mapping = json!({"tenant_mapping": {
                "primary_site": "site-a", "primary_project_id": project_a,
                "secondary_site": "site-b", "secondary_project_id": project_b,
            }});
            let path = "/v1/admin/tenant-mappings";
            self.send(place, Method::POST, path, &admin, mapping)
                .await
                .expect(201);
        }
    }

    /// A group of one of site-a's servers, known on both sites; its path on each, and the member as it was answered.
    pub async fn protect_a_server(&self) -> (Vec<String>, Value) {
        let sites = self;
        let token = sites.token("site-a", "demo", "demo").await;
        let project = sites.project("site-a").await;
        let groups = format!("/v1/{project}/protection-groups");
        let (net_a, net_b) = (sites.network("site-a").await, sites.network("site-b").await);
        let body = json!({"protection_group": {
            "name": "web", "primary_site": "site-a", "secondary_site": "site-b",
            "replication_type": "async", "volume_type": "replicated",
            "network_mapping": {net_a: net_b},
        }});
        sites
            .send(0, Method::POST, &groups, &token, body)
            .await
            .expect(201);
        let policy = format!("{groups}/web/policy");
        sites
            .send(0, Method::POST, &policy, &token, policy_body())
            .await
            .expect(201);

        let tenant = sites.protectors[0]
            .sessions
            .tenant(&"site-a".into(), &project.as_str().into())
            .await
            .unwrap();
        let servers = tenant
            .compute()
            .servers(&protector_openstack::compute::ServerFilter::all())
            .await
            .unwrap();
        let server = servers[0].id.to_string();
        let members = format!("{groups}/web/members");
        let body = json!({"member": {"server_id": server}});
        let added = sites
            .send(0, Method::POST, &members, &token, body)
            .await
            .expect(201);
        let force = format!("{groups}/web/sync-force");
        let forced = sites
            .send(0, Method::POST, &force, &token, json!({}))
            .await
            .expect(202);
        assert_eq!(
            forced.body["sync_status"]["status"], "IN SYNC",
            "{}",
            forced.body
        );
        let there = sites.project("site-b").await;
        let paths = vec![
            format!("{groups}/web"),
            format!("/v1/{there}/protection-groups/web"),
        ];
        (paths, added.body["member"].clone())
    }

    /// Counts messages between the protectors from now on, from 1.
    pub fn count_messages(&self) {
        let mail = &self.world.mail;
        mail.counted.store(0, Ordering::SeqCst);
        mail.sent.lock().unwrap().clear();
    }

    /// Has this become of that message.
    pub fn befall(&self, message: usize, mishap: Mishap) {
        *self.world.mail.due.lock().unwrap() = Some((message, mishap));
    }

    /// Has this done when that message has arrived.
    pub fn meanwhile(&self, message: usize, deed: BoxFuture<'static, ()>) {
        *self.world.mail.deed.lock().unwrap() = Some((message, deed));
    }

    /// Method and path of each message since they are counted.
    pub fn messages(&self) -> Vec<String> {
        self.world.mail.sent.lock().unwrap().clone()
    }

    /// What is late arrives.
    pub async fn deliver_what_is_late(&self) {
        self.world.mail.deliver_late(None).await;
    }

    /// The protector of `place` does not answer any more.
    pub fn cut_off(&self, place: usize) {
        self.world.protectors.lock().unwrap().remove(SITES[place]);
    }

    /// Neither does its cloud.
    pub fn lose(&self, place: usize) {
        self.cut_off(place);
        self.set_cloud_away(place, true);
    }

    fn set_cloud_away(&self, place: usize, away: bool) {
        let clouds = self.world.clouds.advance();
        let mut cloud = lock(&clouds[place]);
        for component in [
            Component::Keystone,
            Component::NovaApi,
            Component::CinderApi,
            Component::Neutron,
            Component::Glance,
        ] {
            cloud.set_away(component, away);
        }
    }

    /// Makes a server of `place` one that `maker` has built; its id.
    pub async fn mark_a_server(&self, place: usize, maker: &OperationId) -> ServerId {
        let site = SITES[place];
        let project = self.project(site).await;
        let sessions = &self.protectors[place].sessions;
        let tenant = sessions
            .tenant(&site.into(), &project.as_str().into())
            .await;
        let tenant = tenant.unwrap();
        let compute = tenant.compute();
        let servers = compute.servers(&ServerFilter::all()).await.unwrap();
        let id = servers[0].id.clone();
        let marks = BTreeMap::from([(mark::OPERATION.to_owned(), maker.to_string())]);
        compute.set_server_metadata(&id, &marks).await.unwrap();
        id
    }

    /// It answers again.
    pub fn bring_back(&self, place: usize) {
        self.set_cloud_away(place, false);
        let router = self.protectors[place].router.clone();
        let mut known = self.world.protectors.lock().unwrap();
        known.insert(SITES[place].to_owned(), router);
    }
}

#[tokio::test]
async fn a_site_is_validated_on_a_cloud() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    let admin = sites.token("site-a", "admin", "admin").await;
    for name in SITES {
        let path = format!("/v1/admin/sites/{name}/validate");
        let found = sites
            .send(0, Method::POST, &path, &admin, json!({}))
            .await
            .expect(200);
        assert_eq!(found.body["validation"]["valid"], true, "{}", found.body);
    }
    let path = "/v1/admin/sites/site-b";
    let body = json!({"site": {"password": "wrong"}});
    sites
        .send(0, Method::PUT, path, &admin, body)
        .await
        .expect(200);
    let path = format!("{path}/validate");
    let found = sites
        .send(0, Method::POST, &path, &admin, json!({}))
        .await
        .expect(200);
    let check = &found.body["validation"]["checks"][0];
    assert_eq!(check["ok"], false);
    assert!(check["detail"].as_str().unwrap().contains("401"), "{check}");
    assert!(!found.body.to_string().contains("wrong\""));
}

#[tokio::test]
async fn calls_to_the_clouds_are_counted_under_their_sites() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    let (paths, _) = sites.protect_a_server().await;
    let admin = sites.token("site-a", "admin", "admin").await;
    let path = "/v1/admin/sites/site-b";
    let body = json!({"site": {"password": "wrong"}});
    sites
        .send(0, Method::PUT, path, &admin, body)
        .await
        .expect(200);
    let path = format!("{path}/validate");
    sites
        .send(0, Method::POST, &path, &admin, json!({}))
        .await
        .expect(200);

    let text = sites.metrics(0).await;
    for line in [
        "protector_cloud_requests_total{site=\"site-b\",service=\"protector\",method=\"PUT\",outcome=\"200\"} 1",
        "protector_cloud_request_duration_seconds_count{site=\"site-b\",service=\"protector\",method=\"PUT\"} 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    for labels in [
        "{site=\"site-a\",service=\"Nova\",method=\"GET\",outcome=\"200\"}",
        "{site=\"site-b\",service=\"Keystone\",method=\"POST\",outcome=\"401\"}",
    ] {
        let line = format!("protector_cloud_requests_total{labels} ");
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert!(
        !text.contains("site=\"site-a\",service=\"Keystone\",method=\"POST\",outcome=\"401\""),
        "{text}"
    );
    let project = paths[0].split('/').nth(2).unwrap();
    for told in [project, "web", "demo-net"] {
        assert!(!text.contains(told), "{told} in {text}");
    }
}

/// A group of hundreds costs no more lists than one of two.
#[tokio::test]
async fn a_dry_run_reads_the_lists_of_a_project_once_for_all_members() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    let (paths, _) = sites.protect_a_server().await;
    let token = sites.token("site-a", "demo", "demo").await;
    let lists = async || {
        for cloud in sites.world.clouds.advance() {
            lock(&cloud).reset_call_log();
        }
        let mut headers = headers_with(&token);
        let newest = "protector 1.3".parse().unwrap();
        headers.insert("openstack-api-version", newest);
        let body = json!({"failover": {"type": "planned", "dry_run": true}});
        let path = format!("{}/action", paths[0]);
        let answer = sites.deliver(0, Method::POST, &path, headers, body).await;
        let answer = answer.expect(200);
        let members = answer.body["preview"]["members"]
            .as_array()
            .unwrap()
            .clone();
        for member in &members {
            let unknown = &member["attributes"]["unknown"];
            assert_eq!(unknown, &json!([]), "{member:#}");
        }
        let mut counted: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (site, cloud) in SITES.iter().zip(sites.world.clouds.advance()) {
            for call in lock(&cloud).call_log() {
                let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
                let is_list = ["/security-groups", "/flavors/detail", "/ports", "/subnets"]
                    .iter()
                    .any(|list| path.ends_with(list));
                if is_list && !query.contains("device_id=") {
                    let key = ((*site).to_owned(), path.to_owned());
                    *counted.entry(key).or_default() += 1;
                }
            }
        }
        (members.len(), counted)
    };
    let (one, counted) = lists().await;
    let groups = ("site-b".to_owned(), "/v2.0/security-groups".to_owned());
    // The project's own, and those that are shared with it.
    assert_eq!((one, counted.get(&groups)), (1, Some(&2)), "{counted:#?}");
    let project = sites.project("site-a").await;
    let sessions = &sites.protectors[0].sessions;
    let tenant = sessions
        .tenant(&"site-a".into(), &project.as_str().into())
        .await
        .unwrap();
    let servers = tenant.compute().servers(&ServerFilter::all()).await;
    let other = servers.unwrap()[1].id.to_string();
    let members = format!("{}/members", paths[0]);
    let body = json!({"member": {"server_id": other}});
    let added = sites.send(0, Method::POST, &members, &token, body).await;
    added.expect(201);
    assert_eq!(lists().await, (2, counted));
}

/// Its policy refuses tenants a chosen address, and they see nobody else's ports.
#[tokio::test]
async fn on_a_network_of_another_project_nobody_knows_whether_an_address_is_kept() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    let (paths, member) = sites.protect_a_server().await;
    let card = &member["networks"][0];
    let address = card["fixed_ips"][0].as_str().unwrap().to_owned();
    let network = json!({"network": {"name": "office", "shared": true}});
    let network = sites.on_neutron_of("site-b", "networks", &network).await;
    let network = network["network"]["id"].clone();
    let cidr = format!("{}.0/24", address.rsplit_once('.').unwrap().0);
    let subnet = json!({"subnet": {"network_id": network, "cidr": cidr, "ip_version": 4}});
    sites.on_neutron_of("site-b", "subnets", &subnet).await;
    let token = sites.token("site-a", "demo", "demo").await;
    let mut headers = headers_with(&token);
    headers.insert("openstack-api-version", "protector 1.3".parse().unwrap());
    let mapping = json!({card["network_id"].as_str().unwrap(): network});
    let body =
        json!({"failover": {"type": "planned", "dry_run": true, "network_mapping": mapping}});
    let path = format!("{}/action", paths[0]);
    let answer = sites.deliver(0, Method::POST, &path, headers, body).await;
    let preview = answer.expect(200).body["preview"].clone();
    let unknown = &preview["members"][0]["attributes"]["unknown"];
    assert_eq!(unknown[0]["field"], "card 1 addresses", "{preview:#}");
    let why = unknown[0]["why"].as_str().unwrap();
    assert!(why.contains("belongs to another project"), "{why}");
}

#[tokio::test]
async fn a_group_is_protected_pushed_and_failed_over() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    let (paths, member) = sites.protect_a_server().await;
    assert_eq!(member["flavor"]["name"], "small");
    assert_eq!(member["networks"].as_array().unwrap().len(), 1);
    let devices: Vec<(&str, bool)> = member["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| {
            (
                volume["device"].as_str().unwrap(),
                volume["boot"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(devices, [("/dev/vda", true), ("/dev/vdb", false)]);
    let there = sites.token("site-b", "demo", "demo").await;
    let shown = sites
        .send(1, Method::GET, &paths[1], &there, Value::Null)
        .await
        .expect(200);
    let group = &shown.body["protection_group"];
    assert_eq!(group["member_count"], 1);
    assert_eq!(group["current_primary_site"], "site-a");

    let token = sites.token("site-a", "demo", "demo").await;
    let action = format!("{}/action", paths[0]);
    sites
        .send(0, Method::POST, &action, &token, failover_body())
        .await
        .expect(202);
}

#[tokio::test]
async fn of_two_failovers_started_on_both_sites_at_once_at_most_one_begins() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    let (paths, _) = sites.protect_a_server().await;
    let mut tokens = Vec::new();
    for name in SITES {
        tokens.push(sites.token(name, "demo", "demo").await);
    }
    let start = async |place: usize| {
        let action = format!("{}/action", paths[place]);
        sites
            .send(
                place,
                Method::POST,
                &action,
                &tokens[place],
                failover_body(),
            )
            .await
    };
    let (one, other) = tokio::join!(start(0), start(1));
    let begun = [&one, &other]
        .iter()
        .filter(|answer| answer.status == 202)
        .count();
    assert!(begun <= 1, "{} {}", one.body, other.body);
    for refused in [one, other].iter().filter(|answer| answer.status != 202) {
        assert_eq!(refused.status, 409, "{}", refused.body);
        // It met the other one's reservation, or what that had recorded already.
        let said = refused.message();
        let known = ["at this moment", "holds newer metadata", "OUT OF SYNC"];
        assert!(known.iter().any(|why| said.contains(why)), "{said}");
    }
}

/// Each site has put the server into a group of its own before it heard of the other one's.
#[tokio::test]
async fn a_server_that_two_sites_have_put_into_two_groups_is_moved_by_neither() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    let (paths, member) = sites.protect_a_server().await;
    let server = member["server_id"].as_str().unwrap();
    let mut tokens = Vec::new();
    for name in SITES {
        tokens.push(sites.token(name, "demo", "demo").await);
    }
    let (net_a, net_b) = (sites.network("site-a").await, sites.network("site-b").await);
    let body = json!({"protection_group": {
        "name": "shop", "primary_site": "site-a", "secondary_site": "site-b",
        "replication_type": "async", "volume_type": "replicated",
        "network_mapping": {net_a: net_b},
    }});
    let groups: Vec<String> = paths
        .iter()
        .map(|path| path.trim_end_matches("/web").to_owned())
        .collect();
    let send = async |place: usize, path: String, body: Value| {
        let method = if body["member"].is_null() && path.contains("/members/") {
            Method::DELETE
        } else {
            Method::POST
        };
        sites.send(place, method, &path, &tokens[place], body).await
    };
    send(0, groups[0].clone(), body).await.expect(201);
    send(0, format!("{}/shop/policy", groups[0]), policy_body())
        .await
        .expect(201);
    send(0, format!("{}/shop/sync-force", groups[0]), json!({}))
        .await
        .expect(202);
    send(0, format!("{}/members/{server}", paths[0]), Value::Null)
        .await
        .expect(204);
    send(0, format!("{}/sync-force", paths[0]), json!({}))
        .await
        .expect(202);
    let added = json!({"member": {"server_id": server}});
    send(0, format!("{}/members", paths[0]), added.clone())
        .await
        .expect(201);
    send(1, format!("{}/shop/members", groups[1]), added)
        .await
        .expect(201);
    for (place, name, other) in [(0, "web", "shop"), (1, "shop", "web")] {
        let action = format!("{}/{name}/action", groups[place]);
        let refused = send(place, action, failover_body()).await.expect(409);
        let said = refused.message();
        for word in [
            &format!("Protection group {name} is OUT OF SYNC"),
            server,
            &format!("is in protection group {other} already"),
            "openstack dr member remove",
        ] {
            assert!(said.contains(word), "{word} is not in {said}");
        }
    }
}

#[tokio::test]
async fn a_group_that_the_other_site_is_about_to_move_stays() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    let (paths, _) = sites.protect_a_server().await;
    let token = sites.token("site-b", "demo", "demo").await;
    let shown = sites
        .send(1, Method::GET, &paths[1], &token, Value::Null)
        .await
        .expect(200);
    let group = &shown.body["protection_group"];
    let service = sites.token("site-b", "protector", "service").await;
    let id = group["id"].as_str().unwrap();
    let reservation = format!(
        "{}/metadata/reservations/site-a",
        paths[1].replace("/web", &format!("/{id}"))
    );
    let wanted = |version: u64| json!({"reservation": {"version": version}});
    let version = group["version"].as_u64().unwrap();
    let other = sites
        .say(1, Method::PUT, &reservation, &service, wanted(version + 1))
        .await
        .expect(409);
    assert!(
        other.message().contains(&version.to_string()),
        "{}",
        other.message()
    );
    sites
        .send(1, Method::PUT, &reservation, &token, wanted(version))
        .await
        .expect(403);
    for _ in 0..2 {
        sites
            .say(1, Method::PUT, &reservation, &service, wanted(version))
            .await
            .expect(200);
    }
    let action = format!("{}/action", paths[1]);
    let refused = sites
        .send(1, Method::POST, &action, &token, failover_body())
        .await
        .expect(409);
    assert!(
        refused
            .message()
            .contains("moved from site-a at this moment"),
        "{}",
        refused.message()
    );
    for _ in 0..2 {
        sites
            .say(1, Method::DELETE, &reservation, &service, Value::Null)
            .await
            .expect(204);
    }
    sites
        .send(1, Method::POST, &action, &token, failover_body())
        .await
        .expect(202);
}

#[tokio::test]
async fn a_protector_that_is_down_blocks_changes() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    sites.world.protectors.lock().unwrap().remove("site-b");
    let token = sites.token("site-a", "demo", "demo").await;
    let groups = format!("/v1/{}/protection-groups", sites.project("site-a").await);
    let body = json!({"protection_group": {
        "name": "web", "primary_site": "site-a", "secondary_site": "site-b",
        "replication_type": "async", "volume_type": "replicated",
    }});
    let answer = sites
        .send(0, Method::POST, &groups, &token, body)
        .await
        .expect(409);
    assert_eq!(
        answer.message(),
        "Remote site unreachable — metadata sync required"
    );
}

#[tokio::test]
async fn a_token_of_the_other_cloud_is_no_token_here() {
    let sites = TwoSites::new().await;
    let token = sites.token("site-b", "demo", "demo").await;
    let groups = format!("/v1/{}/protection-groups", sites.project("site-b").await);
    sites
        .send(0, Method::GET, &groups, &token, Value::Null)
        .await
        .expect(401);
}

#[tokio::test]
async fn the_clouds_are_told_the_request_s_id() {
    let sites = TwoSites::new().await;
    sites.furnish().await;
    let admin = sites.token("site-a", "admin", "admin").await;
    sites.world.chains.lock().unwrap().clear();
    let path = "/v1/admin/sites/site-b/volume-types";
    let answer = sites
        .send(0, Method::GET, path, &admin, Value::Null)
        .await
        .expect(200);
    let chains = sites.world.chains.lock().unwrap().clone();
    let own = answer.header("x-openstack-request-id");
    assert!(
        chains
            .iter()
            .any(|(url, id)| url.contains("/types") && id == own),
        "{chains:?}"
    );
}
