//! A cloud that lies, behind a real socket: what it may cost in memory and time, and what is said of it.
//!
//! The peak of the process's memory is looked at, so each test wants a process of its own, as `cargo nextest` gives it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may panic, and show the figures"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use protector_core::id::{ProjectId, ServerId};
use protector_openstack::{
    catalog::EndpointInterface,
    cloud::Cloud,
    compute::ServerFilter,
    credentials::{Credentials, ProjectScope},
    error::CallError,
    http_transport::{HttpOptions, HttpTransport},
    options::ClientOptions,
    retry::RetryPolicy,
    session::Session,
    volume::VolumeFilter,
};
use secrecy::SecretString;

const MIB: usize = 1 << 20;

/// Serves one connection after the other: logins and version documents by itself, all else by `lie`, which gets the
/// path with its query.
fn cloud_that(
    lie: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Cloud {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lie = Arc::new(lie);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let lie = lie.clone();
            // A client that has had enough hangs up: that is what is tested.
            std::thread::spawn(move || serve(stream.unwrap(), address, &*lie).ok());
        }
    });
    let credentials = Credentials {
        auth_url: format!("http://admin:hunter2@{address}"),
        username: "dr".to_owned(),
        password: SecretString::from("correct horse"),
        user_domain_name: "Default".to_owned(),
        project: ProjectScope::Id(ProjectId::new("p1")),
        region_name: None,
        interface: EndpointInterface::Public,
    };
    let options = ClientOptions {
        retry: RetryPolicy::never(),
        ..ClientOptions::default()
    };
    let transport = Arc::new(HttpTransport::new(&HttpOptions::default()).unwrap());
    Cloud::new(Session::new(transport, credentials, options))
}

fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    lie: &dyn Fn(&str, &mut TcpStream) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    match target.as_str() {
        "/v3/auth/tokens" => {
            let entry = |kind: &str, path: &str| {
                serde_json::json!({"type": kind, "endpoints": [
                    {"interface": "public", "region": "north", "url": format!("http://admin:hunter2@{address}{path}")}]})
            };
            let body = serde_json::json!({"token": {
                "user": {"id": "u1", "name": "dr", "domain": {"id": "default", "name": "Default"}},
                "project": {"id": "p1", "name": "dr", "domain": {"id": "default", "name": "Default"}},
                "roles": [], "issued_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T01:00:00Z",
                "catalog": [entry("compute", "/nova/v2.1"), entry("volumev3", "/cinder/v3/p1")]}});
            whole(
                &mut stream,
                "201 Created\r\nX-Subject-Token: t",
                &body.to_string(),
            )
        }
        "/nova/v2.1/" => whole(
            &mut stream,
            "200 OK",
            r#"{"version": {"version": "2.104"}}"#,
        ),
        "/cinder/v3/" => whole(
            &mut stream,
            "200 OK",
            r#"{"versions": [{"version": "3.71"}]}"#,
        ),
        _ => lie(&target, &mut stream),
    }
}

/// An answer with its length.
fn whole(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// An answer that says nothing of its length and goes on until nobody reads any more.
fn endless(stream: &mut TcpStream, status: &str, part: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n")?;
    let part = part.repeat(1 + 65_536 / part.len());
    // Bounded, so that a client without a limit ends its test as a failure.
    for _ in 0..1000 {
        stream.write_all(part.as_bytes())?;
    }
    Ok(())
}

/// The most memory that this process has had, in MiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        / 1024
}

/// What `work` came to, and by how many MiB the process's peak grew meanwhile.
async fn measured<T>(name: &str, work: impl Future<Output = T>) -> (T, usize) {
    let (before, began) = (peak(), Instant::now());
    let outcome = work.await;
    let grown = peak() - before;
    eprintln!("{name}: {grown} MiB in {:?}", began.elapsed());
    (outcome, grown)
}

async fn servers(cloud: &Cloud) -> Result<usize, CallError> {
    let found = cloud.compute().servers(&ServerFilter::default()).await;
    found.map(|servers| servers.len())
}

/// The error names the place, without what is secret in it, and the limit.
fn names(error: &CallError, limit: &str) {
    let text = error.to_string();
    assert!(text.contains(limit), "{text}");
    assert!(text.contains("/nova/v2.1/servers"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains('?'), "{text}");
    assert!(text.len() < 1000, "{text}");
}

fn number(target: &str, name: &str) -> usize {
    let found = url_query(target).find(|(key, _)| *key == name);
    let digits = found.map(|(_, value)| value.trim_start_matches(|c: char| !c.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn url_query(target: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.split_once('='))
}

/// A server of about 3 KB, `number` in its id.
fn server(number: usize) -> String {
    static ROW: LazyLock<String> = LazyLock::new(|| {
        serde_json::json!({
            "id": "ID", "name": "web", "status": "ACTIVE", "locked": false,
            "OS-EXT-STS:task_state": null, "OS-EXT-STS:vm_state": "active", "metadata": {"protector:group": "g".repeat(200)},
            "addresses": {"net": [{"addr": "10.0.0.1", "version": 4, "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01"}]},
            "flavor": {"original_name": "m1.small", "vcpus": 1, "ram": 2048, "disk": 20,
                "extra_specs": {"hw:cpu_policy": "dedicated", "filler": "x".repeat(1500)}},
            "os-extended-volumes:volumes_attached": [{"id": "v1", "delete_on_termination": false}],
            "security_groups": [{"name": "default"}, {"name": "web"}],
            "links": [{"rel": "self", "href": "http://nova/v2.1/servers/s"}, {"rel": "bookmark", "href": "http://nova/servers/s"}],
            "tenant_id": "p1", "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        })
        .to_string()
    });
    ROW.replacen("ID", &format!("s{number:08}"), 1)
}

/// A volume of about 1.5 KB.
fn volume(number: usize) -> String {
    static ROW: LazyLock<String> = LazyLock::new(|| {
        serde_json::json!({
            "id": "ID", "name": "data", "status": "available", "size": 10, "volume_type": "gold",
            "bootable": "false", "encrypted": false, "multiattach": false, "attachments": [],
            "metadata": {"filler": "x".repeat(1000)}, "group_id": null, "migration_status": null,
            "created_at": "2026-01-01T00:00:00.000000", "updated_at": null, "availability_zone": "nova",
            "os-vol-tenant-attr:tenant_id": "p1", "replication_status": "enabled", "service_uuid": null,
        })
        .to_string()
    });
    ROW.replacen("ID", &format!("v{number:08}"), 1)
}

/// A page of a list that has `total` elements in all.
fn page(target: &str, key: &str, total: usize, row: impl Fn(usize) -> String) -> String {
    let first = number(target, "marker") + 1;
    let limit = number(target, "limit").min(1000);
    let last = (first + limit - 1).min(total);
    let rows: Vec<String> = (first..=last).map(row).collect();
    let links = match last < total {
        true => r#"[{"rel": "next", "href": "http://elsewhere.example/steal"}]"#,
        false => "[]",
    };
    format!(
        r#"{{"{key}": [{}], "{key}_links": {links}}}"#,
        rows.join(",")
    )
}

#[tokio::test]
async fn an_honest_cloud_with_ten_thousand_servers_and_volumes_is_read_whole() {
    let cloud = cloud_that(|target, stream| {
        let body = match target.starts_with("/nova") {
            true => page(target, "servers", 10_000, server),
            false => page(target, "volumes", 10_000, volume),
        };
        whole(stream, "200 OK", &body)
    });
    let (count, grown) = measured("10,000 servers", servers(&cloud)).await;
    assert_eq!(count.unwrap(), 10_000);
    assert!(grown < 150, "{grown} MiB");
    let filter = VolumeFilter::default();
    let volumes = cloud.volume();
    let (found, grown) = measured("10,000 volumes", volumes.volumes(&filter)).await;
    assert_eq!(found.unwrap().len(), 10_000);
    assert!(grown < 150, "{grown} MiB");
}

#[tokio::test]
async fn pages_without_an_end_end() {
    let cloud = cloud_that(|target, stream| {
        whole(
            stream,
            "200 OK",
            &page(target, "servers", 1_000_000, server),
        )
    });
    let (outcome, grown) = measured("endless pages", servers(&cloud)).await;
    names(&outcome.unwrap_err(), "50000");
    assert!(grown < 350, "{grown} MiB");
}

#[tokio::test]
async fn pages_of_large_elements_end_by_their_bytes() {
    let cloud = cloud_that(|target, stream| {
        let large = |number| server(number).replace("filler", &"f".repeat(200_000));
        let target = target.replace("limit=1000", "limit=50");
        whole(
            stream,
            "200 OK",
            &page(&target, "servers", 1_000_000, large),
        )
    });
    let (outcome, grown) = measured("large elements", servers(&cloud)).await;
    names(&outcome.unwrap_err(), "128 MiB");
    assert!(grown < 350, "{grown} MiB");
}

#[tokio::test]
async fn a_page_too_large_to_hold_is_asked_for_in_smaller_pieces() {
    let cloud = cloud_that(|target, stream| {
        let large = |number| server(number).replace("filler", &"f".repeat(30_000));
        whole(stream, "200 OK", &page(target, "servers", 1500, large))
    });
    assert_eq!(servers(&cloud).await.unwrap(), 1500);
}

#[tokio::test]
async fn pages_of_nearly_nothing_end() {
    let cloud = cloud_that(|target, stream| {
        let target = target.replace("limit=1000", "limit=1");
        whole(
            stream,
            "200 OK",
            &page(&target, "servers", 1_000_000, server),
        )
    });
    let (outcome, _) = measured("pages of one", servers(&cloud)).await;
    names(&outcome.unwrap_err(), "2000 pages");
}

#[tokio::test]
async fn a_body_without_an_end_is_read_to_the_limit() {
    let cloud = cloud_that(|_, stream| endless(stream, "200 OK", "[[[[[[[[0,0,0"));
    let (outcome, grown) = measured("endless body", servers(&cloud)).await;
    names(&outcome.unwrap_err(), "16 MiB");
    assert!(grown < 80, "{grown} MiB");
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_not_read_at_all() {
    let cloud = cloud_that(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n{")?;
        // Nothing more comes, until the client hangs up.
        stream.read(&mut [0; 1]).map(|_| ())
    });
    let began = Instant::now();
    names(&servers(&cloud).await.unwrap_err(), "16 MiB");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_small_body_of_very_many_values_is_not_made_into_them() {
    for (part, name) in [
        ("[],", "empty lists"),
        (r#"{"":0},"#, "objects"),
        (r#""","#, "texts"),
    ] {
        let cloud = cloud_that(move |_, stream| {
            let body = format!(
                r#"{{"servers": [{}0]}}"#,
                part.repeat(15 * MIB / part.len())
            );
            whole(stream, "200 OK", &body)
        });
        let (outcome, grown) = measured(name, servers(&cloud)).await;
        names(&outcome.unwrap_err(), "300000 values");
        assert!(grown < 120, "{name}: {grown} MiB");
        let of_one = cloud.compute().server(&ServerId::new("s1")).await;
        names(&of_one.unwrap_err(), "300000 values");
    }
}

#[tokio::test]
async fn values_nested_without_an_end_are_refused() {
    let cloud = cloud_that(|_, stream| {
        let body = format!(r#"{{"server": {}"#, "[".repeat(15 * MIB));
        whole(stream, "200 OK", &body)
    });
    let (compute, id) = (cloud.compute(), ServerId::new("s1"));
    let (outcome, grown) = measured("nested", compute.server(&id)).await;
    names(&outcome.unwrap_err(), "64 levels");
    assert!(grown < 80, "{grown} MiB");
}

#[tokio::test]
async fn a_large_body_that_says_it_is_compressed_is_not_unpacked() {
    // gzip of nothing much: what counts is that it is taken as it is.
    let cloud = cloud_that(|_, stream| {
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n\x1f\x8b\x08\x00",
        )
    });
    let error = servers(&cloud).await.unwrap_err();
    assert!(matches!(error, CallError::NotJson { .. }), "{error}");
}

#[tokio::test]
async fn headers_without_an_end_are_no_answer() {
    let cloud = cloud_that(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        for number in 0..200_000 {
            writeln!(stream, "X-Filler-{number}: {}\r", "x".repeat(1000))?;
        }
        Ok(())
    });
    let (outcome, grown) = measured("endless headers", servers(&cloud)).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, CallError::Lost { .. }), "{error}");
    assert!(grown < 40, "{grown} MiB");
}

#[tokio::test]
async fn of_a_large_error_the_start_is_read_and_one_clean_line_is_kept() {
    let cases = [
        (
            r#"{"computeFault": {"message": "the database is gone"}, "filler": ["#,
            "[],",
        ),
        (
            "the database is gone \u{1b}]0;owned\u{7}\u{202e}\u{200b}",
            "<b>more</b>\r\n",
        ),
        (
            "<html><body><script>steal()</script>the database is gone",
            "<i>",
        ),
    ];
    for (start, part) in cases {
        let cloud = cloud_that(move |_, stream| {
            write!(
                stream,
                "HTTP/1.1 500 Broken\r\nX-OpenStack-Request-Id: req-1{}\r\n",
                "x".repeat(5000)
            )?;
            write!(stream, "Connection: close\r\n\r\n{start}")?;
            for _ in 0..100_000 {
                stream.write_all(part.repeat(100).as_bytes())?;
            }
            Ok(())
        });
        let (outcome, grown) = measured("large error", servers(&cloud)).await;
        let text = outcome.unwrap_err().to_string();
        assert!(
            text.contains("500") && text.contains("the database is gone"),
            "{text}"
        );
        assert!(
            text.chars().count() < 900,
            "{} characters",
            text.chars().count()
        );
        assert!(!text.contains("steal"), "{text}");
        let steers = |c: char| {
            c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        };
        assert!(!text.contains(steers), "{text:?}");
        assert!(grown < 40, "{grown} MiB");
    }
}

#[tokio::test]
async fn a_field_of_the_wrong_form_does_not_bring_its_text_along() {
    let cloud = cloud_that(|_, stream| {
        let long = "\u{1b}[2J".repeat(100_000);
        let body = serde_json::json!({"servers": [{"id": long.clone(), "locked": long}]});
        whole(stream, "200 OK", &body.to_string())
    });
    let text = servers(&cloud).await.unwrap_err().to_string();
    assert!(
        text.chars().count() < 900,
        "{} characters",
        text.chars().count()
    );
    assert!(!text.contains(char::is_control), "{text:?}");
}
