//! Serves HTTP to whoever comes, and lets nobody keep what others need: each connection has its time, and there are only so many.

use std::{convert::Infallible, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo, http::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};
use tracing::{debug, error, warn};

use crate::metrics::Connections;

/// How long nothing is accepted after the system could not: it lacks files or memory, and others have to end first.
const REST: Duration = Duration::from_secs(1);

/// A connection, secured or not.
type Wire = Pin<Box<dyn Stream>>;

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// What one server allows.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// Most connections at once. Whoever comes then waits in the system's queue.
    pub connections: usize,
    /// What an operator changes to have more of them.
    pub set_by: &'static str,
    /// How long a client may take to agree on TLS, and then for a request's header, and its connection may stay without a
    /// request.
    pub client: Duration,
    /// With what connections are secured; `None` for plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Serves `router` at `listener` until `stop`, then lets requests under way end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ListenerLimits,
    counts: Connections,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let under_way = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    http.header_read_timeout(limits.client);
    let mut was_full = false;
    loop {
        let is_full = places.available_permits() == 0;
        if is_full && !was_full {
            counts.full.inc();
            warn!(
                "{} connections are open, as many as {} allows: whoever comes waits",
                limits.connections, limits.set_by
            );
        }
        was_full = is_full;
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(failure) => {
                rest_after(&failure).await;
                continue;
            }
        };
        without_delay(&stream);
        let service = TowerToHyperService::new(from(remote, router.clone()));
        let (http, limits, watcher) = (http.clone(), limits.clone(), under_way.watcher());
        let counts = counts.clone();
        counts.open.inc();
        tokio::spawn(async move {
            if let Some(wire) = secured(stream, &limits, &counts).await {
                let connection = http.serve_connection(TokioIo::new(wire), service);
                if let Err(failure) = watcher.watch(connection).await {
                    note(&failure, &counts);
                }
            }
            counts.open.dec();
            drop(place);
        });
    }
    drop(listener);
    under_way.shutdown().await;
}

/// The connection as requests come on it; `None` when its client does not agree on TLS in time, or at all.
async fn secured(stream: TcpStream, limits: &ListenerLimits, counts: &Connections) -> Option<Wire> {
    let Some(tls) = &limits.tls else {
        return Some(Box::pin(stream));
    };
    let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
    match tokio::time::timeout(limits.client, handshake).await {
        Ok(Ok(stream)) => Some(Box::pin(stream)),
        Ok(Err(failure)) => {
            debug!(error = %failure, "a client did not agree on TLS");
            None
        }
        Err(_) => {
            counts.timed_out.inc();
            None
        }
    }
}

/// `router`, with who asks in each request.
fn from(
    remote: SocketAddr,
    router: Router,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(remote));
        request
    })
}

fn note(failure: &hyper::Error, counts: &Connections) {
    if failure.is_timeout() {
        counts.timed_out.inc();
    }
    debug!(error = %failure, "a connection broke off");
}

/// A client that gave up before it was accepted is nobody's trouble; anything else is the system's, and passes.
async fn rest_after(failure: &io::Error) {
    let gave_up = matches!(
        failure.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    );
    if gave_up {
        return;
    }
    error!(error = %failure, "no connection can be accepted: is the limit of open files too low?");
    tokio::time::sleep(REST).await;
}

fn without_delay(stream: &TcpStream) {
    if let Err(failure) = stream.set_nodelay(true) {
        debug!(error = %failure, "small answers may wait for each other");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::{tls, tls::ServerCertificate};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";

    async fn served(
        connections: usize,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        served_over(None, connections).await
    }

    async fn served_over(
        tls: Option<Arc<ServerConfig>>,
        connections: usize,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "well"));
        let limits = ListenerLimits {
            connections,
            set_by: "the test",
            client: Duration::from_millis(300),
            tls,
        };
        let stop = CancellationToken::new();
        let counts = Connections::default();
        let serving = tokio::spawn(serve(listener, router, limits, counts, stop.clone()));
        (address, stop, serving)
    }

    /// What comes on a connection until the server closes it.
    async fn until_closed(stream: &mut TcpStream) -> String {
        let mut said = Vec::new();
        let reading = stream.read_to_end(&mut said);
        let ended = tokio::time::timeout(Duration::from_secs(20), reading).await;
        let _ = ended.expect("the server keeps the connection");
        String::from_utf8_lossy(&said).into_owned()
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_or_half_is_let_go() {
        let (address, ..) = served(10).await;
        for half in [&b""[..], b"GET / HTTP/1.1\r\nhost:"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(half).await.unwrap();
            let said = until_closed(&mut stream).await;
            assert!(!said.contains("200 OK"), "{said}");
        }
    }

    #[tokio::test]
    async fn a_connection_without_another_request_is_let_go() {
        let (address, ..) = served(10).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        let said = until_closed(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
    }

    #[tokio::test]
    async fn whoever_comes_when_all_places_are_taken_waits_for_one() {
        let (address, ..) = served(2).await;
        let mut idle = Vec::new();
        for _ in 0..2 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(REQUEST).await.unwrap();
        let said = until_closed(&mut next).await;
        assert!(
            said.starts_with("HTTP/1.1 200 OK"),
            "served when the idle were let go: {said}"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_to_stop_lets_idle_clients_go() {
        let (address, stop, serving) = served(10).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), serving).await;
        ended.expect("it goes on").unwrap();
    }

    /// A client that trusts `pem` alone, and reaches `localhost` at `address`.
    fn trusting(pem: &str, address: SocketAddr) -> reqwest::Client {
        crate::tls::choose_tls_provider();
        let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([trusted])
            .resolve("localhost", address)
            .pool_max_idle_per_host(0)
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn over_tls_who_says_nothing_is_let_go_and_a_new_certificate_is_taken_up() {
        let dir = tempfile::TempDir::new().unwrap();
        let (ssl, first) = tls::tests::issue(&dir);
        let identity = ServerCertificate::from_config(&ssl).unwrap().unwrap();
        let config = identity.server_config().unwrap();
        let (address, ..) = served_over(Some(config), 2).await;
        let url = format!("https://localhost:{}/", address.port());
        let ask = async |pem: &str| {
            let answer = trusting(pem, address).get(&url).send().await?;
            answer.text().await
        };
        assert_eq!(ask(&first).await.unwrap(), "well");

        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(REQUEST).await.unwrap();
        assert!(!until_closed(&mut plain).await.contains("200 OK"));
        assert_eq!(until_closed(&mut silent).await, "");

        let (_, second) = tls::tests::issue(&dir);
        identity.reload();
        assert_eq!(ask(&second).await.unwrap(), "well");
        assert!(
            ask(&first).await.is_err(),
            "the old one is not shown any more"
        );
        std::fs::write(ssl.key_file.unwrap(), "broken").unwrap();
        identity.reload();
        assert_eq!(ask(&second).await.unwrap(), "well");
    }
}
