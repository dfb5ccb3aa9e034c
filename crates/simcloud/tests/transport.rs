//! Simulated clouds behind the client's transport, in tokio's paused time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use protector_openstack::transport::{Request, Transport, TransportError};
use protector_simcloud::{
    backend::MemBackend,
    cloud::{CloudOptions, Latency, SimCloud},
    in_process::{CallInfo, Calm, FaultPlan, InProcess, Injection, SharedCloud, lock},
};
use tokio::time::Instant;

fn cloud(name: &str) -> SharedCloud {
    let mut options = CloudOptions::demo(name, &format!("http://{name}.test"));
    options.latency = Latency::real();
    Arc::new(Mutex::new(SimCloud::new(
        options,
        Box::new(MemBackend::default()),
    )))
}

fn login(site: &str, timeout: Duration) -> Request {
    let body = r#"{"auth":{"identity":{"methods":["password"],"password":{"user":
        {"name":"demo","domain":{"name":"Default"},"password":"demo"}}}}}"#;
    Request {
        method: Method::POST,
        url: format!("http://{site}.test/identity/v3/auth/tokens"),
        headers: HeaderMap::new(),
        body: Bytes::from(body),
        timeout,
        largest_body: 1 << 20,
    }
}

struct Once(Injection);

#[async_trait]
impl FaultPlan for Once {
    async fn before(&self, call: &CallInfo) -> Option<Injection> {
        (call.number == 1).then(|| self.0.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_cloud_that_the_url_names_and_take_its_time() {
    let (a, b) = (cloud("site-a"), cloud("site-b"));
    let transport = InProcess::new(vec![Arc::clone(&a), Arc::clone(&b)], Arc::new(Calm));
    let start = Instant::now();
    let got = transport
        .send(login("site-b", Duration::from_secs(60)))
        .await
        .unwrap();
    assert_eq!(got.status, 201);
    assert_eq!(start.elapsed(), Duration::from_millis(400));
    assert_eq!(lock(&a).call_log().len(), 0);
    assert_eq!(lock(&b).call_log().len(), 1);
    let nowhere = transport
        .send(login("site-c", Duration::from_secs(60)))
        .await;
    assert!(matches!(nowhere, Err(TransportError::Unreachable(_))));
    let hasty = transport
        .send(login("site-a", Duration::from_millis(100)))
        .await;
    assert!(matches!(hasty, Err(TransportError::TimedOut(_))));
}

#[tokio::test(start_paused = true)]
async fn injected_faults_differ_in_whether_the_call_was_carried_out() {
    let cases = [(Injection::Refuse, 0), (Injection::LoseReply, 1)];
    for (injection, carried_out) in cases {
        let a = cloud("site-a");
        let transport = InProcess::new(vec![Arc::clone(&a)], Arc::new(Once(injection)));
        assert!(
            transport
                .send(login("site-a", Duration::from_secs(60)))
                .await
                .is_err()
        );
        assert_eq!(lock(&a).call_log().len(), carried_out);
    }
    let a = cloud("site-a");
    let freeze = Injection::Freeze(Duration::from_secs(120));
    let transport = InProcess::new(vec![Arc::clone(&a)], Arc::new(Once(freeze)));
    let start = Instant::now();
    assert!(
        transport
            .send(login("site-a", Duration::from_secs(60)))
            .await
            .is_ok()
    );
    assert_eq!(start.elapsed(), Duration::from_millis(120_400));
}
