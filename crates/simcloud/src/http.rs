//! Simulated clouds behind real sockets: one port per cloud, with the services under `/identity`, `/compute`,
//! `/volume`, `/network` and `/image`, and an administration URL under `/_admin` on every port.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, extract::State, response::Response};
use bytes::Bytes;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

use crate::{
    backend::{BackendError, DirBackend, MemBackend, VolumeBackend},
    cloud::{CloudOptions, Delivery, SimCloud},
    in_process::{SharedCloud, lock},
};

/// The largest request body: an image upload.
const MAX_BODY: usize = 512 << 20;

/// How often jobs run without a request: what a storage array sees in the directories is never older.
const TICK: Duration = Duration::from_millis(20);

/// One cloud to serve.
#[derive(Clone, Debug)]
pub struct CloudSite {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The cloud. An empty `base_url` becomes `http://<address listened on>`; the epoch becomes now.
    pub options: CloudOptions,
    /// Directory of its volumes' files; in memory when left out.
    pub volumes_dir: Option<PathBuf>,
}

/// What to serve.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// The clouds, each with its own port and name.
    pub clouds: Vec<CloudSite>,
}

/// Why the clouds could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    /// A directory of volumes could not be used.
    #[error("cannot use {dir} for volumes: {source}")]
    Volumes { dir: PathBuf, source: BackendError },
    /// Serving ended with an error.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Clouds that listen.
pub struct Listening {
    sites: Vec<(TcpListener, Served)>,
}

/// One cloud with its start of time.
#[derive(Clone)]
struct Served {
    cloud: SharedCloud,
    all: Arc<Vec<(String, SharedCloud)>>,
    start: Instant,
}

impl Served {
    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.start)
    }
}

/// Opens the ports and makes the clouds; nothing is answered before [`Listening::run`].
pub async fn listen(options: ServeOptions) -> Result<Listening, ServeError> {
    let start = Instant::now();
    let mut listeners = Vec::new();
    let mut all = Vec::new();
    for site in options.clouds {
        let address = site.listen;
        let fail = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let mut cloud = site.options;
        if cloud.base_url.is_empty() {
            cloud.base_url = format!("http://{}", listener.local_addr().map_err(fail)?);
        }
        cloud.epoch = wall_clock();
        let backend: Box<dyn VolumeBackend> = match site.volumes_dir {
            None => Box::new(MemBackend::default()),
            Some(dir) => {
                let backend = DirBackend::new(&dir);
                Box::new(backend.map_err(|source| ServeError::Volumes { dir, source })?)
            }
        };
        let name = cloud.name.clone();
        let shared: SharedCloud = Arc::new(Mutex::new(SimCloud::new(cloud, backend)));
        all.push((name, Arc::clone(&shared)));
        listeners.push((listener, shared));
    }
    let all = Arc::new(all);
    let sites = listeners
        .into_iter()
        .map(|(listener, cloud)| {
            (
                listener,
                Served {
                    cloud,
                    all: Arc::clone(&all),
                    start,
                },
            )
        })
        .collect();
    Ok(Listening { sites })
}

/// Tokens and times of a served cloud must agree with the clocks of its clients.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the edge where a served cloud meets real time"
)]
fn wall_clock() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}

impl Listening {
    /// Addresses listened on, in the order of the options.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sites
            .iter()
            .filter_map(|(listener, _)| listener.local_addr().ok())
            .collect()
    }

    /// The clouds, in the order of the options.
    pub fn clouds(&self) -> Vec<SharedCloud> {
        self.sites
            .iter()
            .map(|(_, served)| Arc::clone(&served.cloud))
            .collect()
    }

    /// Answers requests until `stop` ends.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let mut tasks = JoinSet::new();
        for (listener, served) in self.sites {
            let ticking = served.clone();
            tasks.spawn(async move {
                let mut tick = tokio::time::interval(TICK);
                loop {
                    tick.tick().await;
                    lock(&ticking.cloud).advance(ticking.now());
                }
            });
            let router = Router::new().fallback(handle).with_state(served);
            tasks.spawn(async move { axum::serve(listener, router).await });
        }
        tokio::select! {
            () = stop => Ok(()),
            Some(ended) = tasks.join_next() => Ok(ended.map_err(io::Error::other)??),
        }
    }
}

/// Listens and answers until `stop` ends.
pub async fn serve(
    options: ServeOptions,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    listen(options).await?.run(stop).await
}

async fn handle(State(served): State<Served>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return broken();
    };
    if parts.uri.path().starts_with("/_admin") {
        return admin::handle(&served, &parts, &body);
    }
    let exchange = {
        let request = http::Request::from_parts(parts, body);
        let now = served.now();
        lock(&served.cloud).exchange(now, &request)
    };
    if let Some(rule) = &exchange.held_by {
        while lock(&served.cloud).has_fault(rule) {
            tokio::time::sleep(TICK).await;
        }
    }
    match exchange.delivery {
        Delivery::Dropped | Delivery::Lost => return broken(),
        Delivery::Hang => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return broken();
        }
        Delivery::Answered => {}
    }
    if !exchange.delay.is_zero() {
        tokio::time::sleep(exchange.delay).await;
    }
    exchange.response.map(Body::from)
}

/// A response whose body fails at once: the server closes the connection before a byte is sent.
fn broken() -> Response {
    let failure = std::future::ready(Err::<Bytes, _>(io::Error::other("closed on purpose")));
    Response::new(Body::from_stream(futures_util::stream::once(failure)))
}

pub mod admin;
