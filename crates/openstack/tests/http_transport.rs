//! The real transport against a listener that misbehaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method};
use protector_openstack::{
    http_transport::{CaFile, HttpOptions, HttpTransport},
    transport::{Request, Response, Transport, TransportError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Serves one connection: reads the request's head, writes `reply`, then closes, or stays open when `hold`.
async fn serve(reply: &'static str, hold: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0_u8; 4096];
        let _ = stream.read(&mut head).await.unwrap();
        stream.write_all(reply.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if hold {
            std::future::pending::<()>().await;
        }
    });
    address
}

async fn get(address: SocketAddr, timeout: Duration) -> Result<Response, TransportError> {
    ask(format!("http://{address}/v3?secret=1"), timeout).await
}

async fn ask(url: String, timeout: Duration) -> Result<Response, TransportError> {
    let transport = HttpTransport::new(&HttpOptions::default()).unwrap();
    let request = Request {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout,
        largest_body: 1 << 20,
    };
    transport.send(request).await
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_fails_in_the_handshake_of_tls_is_there() {
    let address = serve("HTTP/1.1 400 Bad Request\r\n\r\n", false).await;
    let answer = ask(format!("https://{address}/v3"), LONG).await;
    assert!(
        matches!(answer, Err(TransportError::NotAsked(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_answer_comes_back_whole_whatever_its_status() {
    let address = serve(
        "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nlater",
        false,
    )
    .await;
    let answer = get(address, LONG).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (503, &b"later"[..]));
    assert_eq!(answer.headers["retry-after"], "7");
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = get(address, LONG).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable(_)), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_hung_answer_is_timed_out() {
    let address = serve("", true).await;
    let error = get(address, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, TransportError::TimedOut(_)), "{error:?}");
}

#[tokio::test]
async fn a_body_that_hangs_is_timed_out() {
    let address = serve("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", true).await;
    let error = get(address, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, TransportError::TimedOut(_)), "{error:?}");
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_lost() {
    let error = get(serve("", false).await, LONG).await.unwrap_err();
    assert!(matches!(error, TransportError::Lost(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_cut_in_its_body_is_lost() {
    let address = serve(
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"server\": {",
        false,
    )
    .await;
    let error = get(address, LONG).await.unwrap_err();
    assert!(matches!(error, TransportError::Lost(_)), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let address = serve(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        false,
    )
    .await;
    assert_eq!(get(address, LONG).await.unwrap().status, 302);
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named() {
    let options = HttpOptions {
        cacert: Some(CaFile {
            path: "/nowhere/ca.pem".into(),
            named_by: "[openstack] cafile",
        }),
        ..HttpOptions::default()
    };
    let error = HttpTransport::new(&options).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot use the CA file /nowhere/ca.pem ([openstack] cafile): "),
        "{error}"
    );
}
