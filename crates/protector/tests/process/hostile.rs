//! Whoever can reach the API's port and has no token: what he leaves behind in the service, and what others notice of it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    house::{House, Site},
    program::Held,
    waiting::until,
};

/// How many come at once.
const CROWD: usize = 400;
/// What others notice of it, at most.
const SOON: Duration = Duration::from_secs(2);

fn connection(site: &Site) -> TcpStream {
    let address = site.url("").replace("http://", "");
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Somebody else is answered soon.
async fn others_are_served(house: &House) {
    let asked = Instant::now();
    let versions = house.http.try_get(&house.a.url("/")).await;
    let took = asked.elapsed();
    assert!(matches!(versions, Some(200 | 300)), "{versions:?}");
    assert!(took < SOON, "{took:?}");
}

/// The service holds no more than `before`, but for a few connections that it keeps for itself.
async fn all_is_let_go(site: &Site, before: Held) -> Held {
    until(
        "what was held to be let go",
        Duration::from_secs(30),
        async || {
            let now = site.held_by_api();
            (now.descriptors <= before.descriptors + 8).then_some(now)
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_to_a_keystone_that_hangs_leave_nothing_when_nobody_waits_for_them() {
    let house = House::new().await;
    let before = house.a.held_by_api();
    let hangs = json!({"match": {"service": "identity", "method": "GET"},
        "effect": {"call": {"kind": "hang"}}});
    house.a.cloud.break_it(hangs).await;
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut stream = connection(&house.a);
        let request = format!(
            "GET /v1/aaaa/protection-groups HTTP/1.1\r\nhost: a\r\nx-auth-token: nobodys-{number}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        crowd.push(stream);
    }
    until(
        "Keystone to be asked",
        Duration::from_secs(10),
        async || {
            let now = house.a.held_by_api();
            (now.descriptors > before.descriptors + CROWD).then_some(())
        },
    )
    .await;
    let most = house.a.held_by_api();
    others_are_served(&house).await;
    drop(crowd);
    let after = all_is_let_go(&house.a, before).await;
    println!(
        "{CROWD} questions that were given up: {before} before, {most} meanwhile, {after} after"
    );
    house.a.cloud.mend().await;
    others_are_served(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_end_their_request_are_in_nobodys_way() {
    let house = House::new().await;
    let before = house.a.held_by_api();
    let mut crowd: Vec<TcpStream> = (0..CROWD).map(|_| connection(&house.a)).collect();
    for stream in &mut crowd {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ")
            .unwrap();
    }
    others_are_served(&house).await;
    // One that sends a body of which it never says the end is told how much is too much.
    let mut large = connection(&house.a);
    let head = "PUT /v1/admin/sites/x HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n";
    large.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    large.read_exact(&mut answer).unwrap();
    let status = String::from_utf8_lossy(&answer);
    assert!(
        status.ends_with("413") || status.ends_with("401"),
        "{status}"
    );
    let most = house.a.held_by_api();
    drop(crowd);
    drop(large);
    let after = all_is_let_go(&house.a, before).await;
    println!("{CROWD} clients that never end: {before} before, {most} meanwhile, {after} after");
}
