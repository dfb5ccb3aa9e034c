//! Keys of stored secrets change while services run.

use std::fs;

use reqwest::Method;
use serde_json::json;

use crate::{
    house::{House, manage},
    tenant::Tenant,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_move_to_a_new_key_while_services_run_and_the_old_one_goes() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    tenant.protect_two_servers("web").await;
    let configuration = &house.a.configuration;
    let said = manage(configuration, &["keys", "rotate"]).await;
    assert!(said.contains("Key 1 is used"), "{said}");
    let said = manage(configuration, &["keys", "prune"]).await;
    assert!(said.contains("All keys are needed"), "{said}");

    let said = manage(configuration, &["secrets", "rotate"]).await;
    // The passwords of two sites, the tokens of two arrays.
    assert!(
        said.contains("with key 1: 4 anew, 0 were already"),
        "{said}"
    );
    let said = manage(configuration, &["secrets", "rotate"]).await;
    assert!(
        said.contains("with key 1: 0 anew, 4 were already"),
        "{said}"
    );
    // With the one before the newest something may have been encrypted that is about to be written.
    let said = manage(configuration, &["keys", "prune"]).await;
    assert!(said.contains("All keys are needed"), "{said}");
    let said = manage(configuration, &["keys", "rotate"]).await;
    assert!(said.contains("Key 2 is used"), "{said}");
    let said = manage(configuration, &["keys", "prune"]).await;
    assert!(said.contains("Keys removed: 0."), "{said}");
    let mut keys: Vec<_> = fs::read_dir(house.a.state_path.join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    keys.sort();
    assert_eq!(keys, ["1", "2"]);

    // The services were not restarted: they read the new key when they meet it.
    let admin = house.a.cloud.log_in("admin", "admin", "admin").await;
    for site in ["site-a", "site-b"] {
        let path = format!("/v1/admin/sites/{site}/validate");
        let body = Some(json!({}));
        let answer = house
            .ask(&house.a, Method::POST, &path, &admin.token, body)
            .await;
        let validation = answer.good();
        assert_eq!(validation["validation"]["valid"], true, "{validation:#}");
    }
    let forced = tenant.on_a(
        Method::POST,
        "/protection-groups/web/sync-force",
        Some(json!({})),
    );
    let status = forced.await.good();
    assert_eq!(status["sync_status"]["status"], "IN SYNC", "{status:#}");
}
