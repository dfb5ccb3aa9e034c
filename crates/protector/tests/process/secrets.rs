//! Passwords and tokens stay where they belong.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    house::{House, Wishes, files_below},
    tenant::{Tenant, failed_steps},
};

/// How every token of the simulated Keystone begins.
const TOKEN: &str = "gAAAAA";

/// What a tenant entrusts to its group, in base64 as Nova keeps it.
const USER_DATA: &str = "Y2FuYXJ5LW9mLXVzZXItZGF0YQ==";
/// The key in the URL of a hook, which the tenant itself may read.
const HOOK_KEY: &str = "canary-of-a-hook";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_appears_in_logs_or_answers() {
    let hooks = Hooks::listen().await;
    let allowed = format!("hook_url_prefixes = {}\n", hooks.below);
    let mut house = House::with(Wishes {
        debug: true,
        engine: Box::leak(allowed.into_boxed_str()),
    })
    .await;
    use_everything(&house, &hooks).await;
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
    // The tenant may read the plan that it has sent; what Nova was told the cloud may log.
    let is_ours = |place: &str| place.starts_with('/') && !place.ends_with("simcloud.log");
    for (file, text) in texts.iter().filter(|(place, _)| is_ours(place)) {
        for word in [USER_DATA, HOOK_KEY] {
            assert!(!contains(text, word.as_bytes()), "{word} is in {file}");
        }
    }
}

/// Somebody who hears hooks.
struct Hooks {
    below: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Hooks {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let below = format!("http://{}/dr/", listener.local_addr().unwrap());
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let said = heard.clone();
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let mut call = vec![0; 4096];
                let read = caller.read(&mut call).await.unwrap_or_default();
                let call = String::from_utf8_lossy(&call[..read]);
                let line = call.lines().next().unwrap_or_default().to_owned();
                said.lock().unwrap().push(line);
                let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                let _ = caller.write_all(answer).await;
            }
        });
        Self { below, heard }
    }
}

/// A third member whose user data nobody but its tenant may read, and hooks with a key: one is told, one is not there.
async fn entrust(tenant: &Tenant<'_>, hooks: &Hooks) {
    let server = tenant.make_server("web-3").await;
    let member = json!({"member": {"server_id": server.id, "user_data": USER_DATA}});
    let path = "/protection-groups/web/members";
    tenant.on_a(Method::POST, path, Some(member)).await.good();
    let told = format!("{}?key={HOOK_KEY}", hooks.below);
    let hooks = ["failover", "test_failover"].map(|operation| {
        json!({"name": operation, "when": "before", "url": told, "operations": [operation]})
    });
    let plan = json!({"recovery_plan": {"hooks": hooks}});
    let path = "/protection-groups/web/recovery-plan";
    tenant.on_a(Method::PUT, path, Some(plan)).await.good();
}

async fn use_everything(house: &House, hooks: &Hooks) {
    let tenant = Tenant::of(house).await;
    let group = tenant.protect_two_servers("web").await;
    entrust(&tenant, hooks).await;
    let stuck = &group.servers[0].volumes[0];
    let fault = json!({"match": {"service": "volume", "method": "DELETE", "resource": stuck},
        "effect": {"call": {"kind": "html"}}});
    house.a.cloud.break_it(fault).await;
    let failover = tenant.start_failover(&group).await;
    let ended = tenant.ended(&failover).await;
    assert_eq!(failed_steps(&ended).len(), 1, "{ended:#}");
    house.a.cloud.mend().await;
    let heard = hooks.heard.lock().unwrap().clone();
    assert!(
        heard.iter().all(|call| call.contains(HOOK_KEY)) && heard.len() == 1,
        "{heard:?}"
    );
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
