//! A CA file that is no file, and one that changes while the service runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use protector_openstack::{
    http_transport::{CaFile, HttpOptions, HttpTransport},
    transport::{Request, Response, Transport, TransportError},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/certificates")
        .join(name)
}

fn options(path: &Path) -> HttpOptions {
    HttpOptions {
        cacert: Some(CaFile {
            path: path.to_owned(),
            named_by: "cacert of the site",
        }),
        ..HttpOptions::default()
    }
}

/// A server that shows the certificate `name` and answers 200 to everybody who believes it.
fn server(name: &str) -> SocketAddr {
    let chain = CertificateDer::from_pem_file(certificate(&format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate(&format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.unwrap());
            // One that does not believe the certificate hangs up.
            let _ = tls.read(&mut [0; 4096]).and_then(|_| {
                tls.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            });
        }
    });
    address
}

async fn ask(transport: &HttpTransport, address: SocketAddr) -> Result<Response, TransportError> {
    let request = Request {
        method: Method::GET,
        url: format!("https://{address}/v3"),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(30),
        largest_body: 1 << 20,
    };
    transport.send(request).await
}

#[tokio::test]
async fn what_is_no_file_is_named_and_holds_nobody_up() {
    let place = tempfile::tempdir().unwrap();
    let pipe = place.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let zero = place.path().join("zero");
    std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
    let large = place.path().join("large");
    std::fs::File::create(&large)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let text = place.path().join("text");
    std::fs::write(&text, "no certificate").unwrap();
    let missing = place.path().join("missing");
    let cases = [
        (pipe, "and is a named pipe"),
        (zero, "and is a device"),
        (large, "larger than 4194304 bytes"),
        (text, "holds no PEM certificate"),
        (missing, "No such file"),
    ];
    for (path, why) in cases {
        let transport = HttpTransport::reading_later(&options(&path));
        let asking = ask(&transport, "127.0.0.1:1".parse().unwrap());
        let asked = tokio::time::timeout(Duration::from_secs(20), asking).await;
        let error = asked.expect("nobody is held up").unwrap_err();
        assert!(matches!(error, TransportError::NotSent(_)), "{error:?}");
        let error = error.to_string();
        let start = format!(
            "cannot use the CA file {} (cacert of the site): ",
            path.display()
        );
        assert!(error.starts_with(&start) && error.contains(why), "{error}");
        assert_eq!(
            HttpTransport::new(&options(&path)).unwrap_err().to_string(),
            error
        );
    }
}

#[tokio::test]
async fn a_changed_file_counts_from_the_next_call_on() {
    let (one, two) = (server("one"), server("two"));
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ca.pem");
    std::fs::copy(certificate("one.pem"), &path).unwrap();
    let transport = HttpTransport::new(&options(&path)).unwrap();
    assert_eq!(ask(&transport, one).await.unwrap().status, 200);
    assert!(ask(&transport, two).await.is_err());

    // As configuration management does it: another file under the same name.
    std::fs::copy(certificate("two.pem"), place.path().join("new")).unwrap();
    std::fs::rename(place.path().join("new"), &path).unwrap();
    assert_eq!(ask(&transport, two).await.unwrap().status, 200);
    assert!(ask(&transport, one).await.is_err(), "it is trusted no more");

    // What cannot be used changes nothing.
    std::fs::write(&path, "half of a cert").unwrap();
    assert_eq!(ask(&transport, two).await.unwrap().status, 200);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(ask(&transport, two).await.unwrap().status, 200);
}
