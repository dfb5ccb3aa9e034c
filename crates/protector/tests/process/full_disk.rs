//! A disk that is full for a moment while servers are being built.

use std::{fs, time::Duration};

use reqwest::Method;
use serde_json::Value;

use crate::{house::House, ports::free_port, tenant::Tenant, waiting::until};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a health check says: its status and its words.
async fn told(url: &str) -> (u16, String) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn says(url: &str, status: u16) -> String {
    until(&format!("{url} to say {status}"), PATIENCE, async || {
        let (told, words) = told(url).await;
        (told == status).then_some(words)
    })
    .await
}

/// The database's part of the health report.
async fn database(tenant: &Tenant<'_>) -> Value {
    let path = "/v1/health";
    let token = &tenant.at_a.token;
    let answer = tenant
        .house
        .ask(&tenant.house.a, Method::GET, path, token, None);
    let report = answer.await.good()["health"].clone();
    let components = report["components"].as_array().unwrap();
    let database = components.iter().find(|part| part["name"] == "database");
    database.unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_was_full_for_a_moment_stops_nothing_for_longer() {
    let mut house = House::new().await;
    let port = free_port();
    let configuration = fs::read_to_string(&house.a.configuration).unwrap();
    let listening = format!("[engine]\nmetrics_port = {port}\n");
    let configuration = configuration.replace("[engine]\n", &listening);
    fs::write(&house.a.configuration, configuration).unwrap();
    let http = house.http.clone();
    house.a.restart_on_small_disk(&http).await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    house.b.cloud.hold("server_build").await;
    let operation = tenant.start_failover(&group).await;
    until("a build", PATIENCE, async || {
        let calls = house.b.cloud.calls().await;
        calls.iter().any(|call| call.made("/servers")).then_some(())
    })
    .await;

    house.a.fill_disk();
    house.b.cloud.let_go("server_build").await;
    let api = house.a.url("/healthcheck");
    let engine = format!("http://127.0.0.1:{port}/healthcheck");
    for url in [&api, &engine] {
        let words = says(url, 503).await;
        let expected = "the database cannot open, read or write its files";
        assert!(words.contains(expected), "{words}");
    }
    assert_eq!(database(&tenant).await["status"], "error");
    house.a.free_disk();

    let ended = tenant.ended(&operation).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    tenant.must_have_moved(&group, &[]).await;
    for url in [&api, &engine] {
        says(url, 200).await;
    }
    assert_eq!(database(&tenant).await["status"], "ok");
}
