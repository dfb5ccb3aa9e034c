//! Passwords and tokens stay where they belong.

use std::fs;

use reqwest::Method;
use serde_json::json;

use crate::{
    house::{House, Wishes, files_below},
    tenant::{Tenant, failed_steps},
};

/// How every token of the simulated Keystone begins.
const TOKEN: &str = "gAAAAA";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_appears_in_logs_or_answers() {
    let mut house = House::with(Wishes {
        debug: true,
        ..Wishes::default()
    })
    .await;
    use_everything(&house).await;
    // What a service says at its end counts too, and SQLite writes its log back.
    assert!(house.a.terminate_engine().await.success());
    assert!(house.b.terminate_engine().await.success());
    assert!(house.a.terminate_api().await.success());
    assert!(house.b.terminate_api().await.success());

    let secrets = &house.secrets;
    let words = [
        (
            "the service user's password",
            secrets.service_password.as_str(),
        ),
        ("the tenant's password", &secrets.tenant_password),
        ("the token of array-a", &secrets.array_token_a),
        ("the token of array-b", &secrets.array_token_b),
        ("a token of Keystone", TOKEN),
    ];
    let mut texts: Vec<(String, Vec<u8>)> = house
        .http
        .kept()
        .into_iter()
        .map(|answer| (answer.chars().take(90).collect(), answer.into_bytes()))
        .collect();
    assert!(texts.len() > 20, "answers were collected");
    let mut stored = 0;
    for file in files_below(house.path()) {
        let name = file.display().to_string();
        let is_log = file.starts_with(&house.logs);
        let is_database = name.contains(".sqlite");
        if is_log || is_database {
            stored += 1;
            texts.push((name, fs::read(&file).unwrap()));
        }
    }
    assert!(stored >= 8, "logs and databases were found: {stored}");
    for (place, text) in &texts {
        for (what, word) in words {
            assert!(!contains(text, word.as_bytes()), "{what} is in {place}");
        }
    }
}

async fn use_everything(house: &House) {
    let tenant = Tenant::of(house).await;
    let group = tenant.protect_two_servers("web").await;
    let stuck = &group.servers[0].volumes[0];
    let fault = json!({"match": {"service": "volume", "method": "DELETE", "resource": stuck},
        "effect": {"call": {"kind": "html"}}});
    house.a.cloud.break_it(fault).await;
    let failover = tenant.start_failover(&group).await;
    let ended = tenant.ended(&failover).await;
    assert_eq!(failed_steps(&ended).len(), 1, "{ended:#}");
    house.a.cloud.mend().await;
    tenant.ask_for_cleanup(&failover).await.good();
    for path in ["", "/policy", "/members", "/sync-status"] {
        let path = format!("/protection-groups/web{path}");
        tenant.on_a(Method::GET, &path, None).await.good();
    }
    tenant.on_a(Method::GET, "/operations", None).await.good();
    // Secrets in requests that are refused come back in no refusal.
    let policy = json!({"policy": {"primary_fa_url": "mock://array-a", "secondary_fa_url": "mock://array-b",
        "rpo_minutes": "soon", "primary_fa_api_token": house.secrets.array_token_a}});
    let path = "/protection-groups/web/policy";
    let refused = tenant.on_a(Method::POST, path, Some(policy)).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let admin = house.a.cloud.log_in("admin", "admin", "admin").await;
    for path in [
        "/v1/admin/sites",
        "/v1/admin/sites/site-b",
        "/v1/admin/tenant-mappings",
    ] {
        let answer = house
            .ask(&house.a, Method::GET, path, &admin.token, None)
            .await;
        answer.good();
    }
    let site = json!({"site": {"password": house.secrets.service_password, "unknown": 1}});
    let path = "/v1/admin/sites/site-b";
    let refused = house
        .ask(&house.a, Method::PUT, path, &admin.token, Some(site))
        .await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let path = "/v1/admin/sites/site-b/validate";
    let validated = house
        .ask(&house.a, Method::POST, path, &admin.token, Some(json!({})))
        .await;
    validated.good();
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
