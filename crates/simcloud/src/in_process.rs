//! Simulated clouds behind the client's transport, in the same process and in tokio's time.
//!
//! Under a paused clock hours pass in milliseconds, and the order of events depends on the run alone.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use protector_openstack::transport::{Request, Response, Transport, TransportError};
use tokio::time::Instant;

use crate::cloud::{Delivery, SimCloud, SimTime};

/// A cloud shared between a transport and the test that looks into it.
pub type SharedCloud = Arc<Mutex<SimCloud>>;

/// Locks a shared cloud. A panic of another holder does not matter here: tests report it themselves.
pub fn lock(cloud: &SharedCloud) -> MutexGuard<'_, SimCloud> {
    cloud.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call, for whoever decides what goes wrong with it.
#[derive(Clone, Debug)]
pub struct CallInfo {
    /// Running number over all clouds of the transport, from 1.
    pub number: u64,
    /// Name of the cloud; empty when the URL belongs to none.
    pub cloud: String,
    pub method: Method,
    /// Path and query, beginning with the service: `/compute/v2.1/servers`.
    pub path: String,
    /// Whether the call can change something: any method but GET and HEAD, tokens left out.
    pub changes: bool,
}

/// What is made to happen to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Injection {
    /// Before: no connection, nothing carried out.
    Refuse,
    /// Before: answered like this, nothing carried out. After: the answer is replaced.
    Answer { status: u16, body: String },
    /// The call is carried out and its answer lost.
    LoseReply,
    /// The caller sleeps this long, then goes on: before the call is carried out, or before it sees the answer.
    Freeze(Duration),
    /// The caller never gets on: what a crash of its process looks like from here.
    Never,
}

/// Decides what goes wrong. Both default to nothing.
#[async_trait]
pub trait FaultPlan: Send + Sync {
    /// Asked when a call is about to reach its cloud.
    async fn before(&self, _call: &CallInfo) -> Option<Injection> {
        None
    }

    /// Asked when the cloud has carried the call out and said `status`.
    async fn after(&self, _call: &CallInfo, _status: u16) -> Option<Injection> {
        None
    }
}

/// Nothing goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calm;

impl FaultPlan for Calm {}

/// A transport to clouds in this process, chosen by the beginning of the URL.
pub struct InProcess {
    clouds: Vec<(String, SharedCloud)>,
    plan: Arc<dyn FaultPlan>,
    start: Instant,
    calls: AtomicU64,
}

impl InProcess {
    /// A transport to `clouds`; their time begins now. Each is reached at its own base URL.
    pub fn new(clouds: Vec<SharedCloud>, plan: Arc<dyn FaultPlan>) -> Self {
        Self::since(Instant::now(), clouds, plan)
    }

    /// A further transport to clouds whose time began at `start`: another engine's.
    pub fn since(start: Instant, clouds: Vec<SharedCloud>, plan: Arc<dyn FaultPlan>) -> Self {
        let clouds = clouds
            .into_iter()
            .map(|cloud| {
                let url = lock(&cloud).base_url().to_owned();
                (url, cloud)
            })
            .collect();
        Self {
            clouds,
            plan,
            start,
            calls: AtomicU64::new(0),
        }
    }

    pub fn now(&self) -> SimTime {
        self.start.elapsed_since_start()
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Runs the jobs of all clouds that are due by now, and gives the clouds.
    pub fn advance(&self) -> Vec<SharedCloud> {
        let now = self.now();
        self.clouds
            .iter()
            .map(|(_, cloud)| {
                lock(cloud).advance(now);
                Arc::clone(cloud)
            })
            .collect()
    }

    fn route(&self, url: &str) -> Option<(&SharedCloud, String)> {
        self.clouds.iter().find_map(|(base, cloud)| {
            let path = url.strip_prefix(base.as_str())?;
            (path.is_empty() || path.starts_with(['/', '?'])).then(|| (cloud, path.to_owned()))
        })
    }

    fn info(&self, request: &Request, cloud: &SharedCloud, path: &str) -> CallInfo {
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        CallInfo {
            number: self.calls.fetch_add(1, Ordering::Relaxed) + 1,
            cloud: lock(cloud).name().to_owned(),
            method: request.method.clone(),
            path: path.to_owned(),
            changes: !reads && !path.contains("/auth/tokens"),
        }
    }
}

/// `Instant::elapsed` reads the clock that tokio may have paused; spelt out, so that the reader sees which one.
trait SinceStart {
    fn elapsed_since_start(&self) -> SimTime;
}

impl SinceStart for Instant {
    fn elapsed_since_start(&self) -> SimTime {
        Instant::now().saturating_duration_since(*self)
    }
}

fn answer(status: u16, body: String) -> Response {
    let mut headers = http::HeaderMap::new();
    headers.insert(
        "content-type",
        http::HeaderValue::from_static("application/json"),
    );
    Response {
        status,
        headers,
        body: Bytes::from(body),
    }
}

/// Waits until the cloud has no such fault rule any more, which the caller does not do for longer than `timeout`.
async fn let_go(cloud: &SharedCloud, rule: &str, timeout: Duration) -> Result<(), TransportError> {
    let gone = async {
        while lock(cloud).has_fault(rule) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(timeout, gone).await;
    waited.map_err(|_| TransportError::TimedOut(timeout))
}

fn lost() -> TransportError {
    TransportError::Lost("connection closed before the answer".to_owned())
}

fn refused() -> TransportError {
    TransportError::Unreachable("connection refused".to_owned())
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let Some((cloud, path)) = self.route(&request.url) else {
            return Err(TransportError::Unreachable("no such host".to_owned()));
        };
        let call = self.info(&request, cloud, &path);
        let mut lose_reply = false;
        match self.plan.before(&call).await {
            None => {}
            Some(Injection::Refuse) => return Err(refused()),
            Some(Injection::Answer { status, body }) => return Ok(answer(status, body)),
            Some(Injection::LoseReply) => lose_reply = true,
            Some(Injection::Freeze(time)) => tokio::time::sleep(time).await,
            Some(Injection::Never) => std::future::pending().await,
        }
        let mut inner = http::Request::new(request.body.clone());
        *inner.method_mut() = request.method.clone();
        *inner.uri_mut() = path.parse().map_err(|_| refused())?;
        *inner.headers_mut() = request.headers.clone();
        let exchange = lock(cloud).exchange(self.now(), &inner);
        let status = exchange.response.status().as_u16();
        match exchange.delivery {
            Delivery::Dropped => return Err(refused()),
            Delivery::Lost => lose_reply = true,
            Delivery::Hang => {
                tokio::time::sleep(request.timeout).await;
                return Err(TransportError::TimedOut(request.timeout));
            }
            Delivery::Answered => {}
        }
        if let Some(rule) = &exchange.held_by {
            let_go(cloud, rule, request.timeout).await?;
        }
        let after = self.plan.after(&call, status).await;
        if exchange.delay >= request.timeout {
            tokio::time::sleep(request.timeout).await;
            return Err(TransportError::TimedOut(request.timeout));
        }
        if !exchange.delay.is_zero() {
            tokio::time::sleep(exchange.delay).await;
        }
        match after {
            None => {}
            Some(Injection::Refuse | Injection::LoseReply) => lose_reply = true,
            Some(Injection::Answer { status, body }) => return Ok(answer(status, body)),
            Some(Injection::Freeze(time)) => tokio::time::sleep(time).await,
            Some(Injection::Never) => std::future::pending().await,
        }
        if lose_reply {
            return Err(lost());
        }
        let (parts, body) = exchange.response.into_parts();
        Ok(Response {
            status,
            headers: parts.headers,
            body,
        })
    }
}
