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
    // The passwords of two sites, the tokens of two arrays, the key that site-a signs with.
    assert!(
        said.contains("with key 1: 5 anew, 0 were already"),
        "{said}"
    );
    let said = manage(configuration, &["secrets", "rotate"]).await;
    assert!(
        said.contains("with key 1: 0 anew, 5 were already"),
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
    a_new_signing_key_is_believed_when_the_other_site_says_so(&house, &tenant).await;
}

/// Without a restart of anything.
async fn a_new_signing_key_is_believed_when_the_other_site_says_so(
    house: &House,
    tenant: &Tenant<'_>,
) {
    let configuration = &house.a.configuration;
    let old = manage(configuration, &["signing-key", "show"]).await;
    let said = manage(configuration, &["signing-key", "rotate"]).await;
    let new = manage(configuration, &["signing-key", "show"]).await;
    let (old, new) = (old.trim(), new.trim());
    assert_ne!(old, new);
    let command = format!("openstack dr site set site-a --peer-key {new}");
    assert!(said.contains(&command), "{said}");

    let describe = async || {
        let body = json!({"protection_group": {"description": "with a new key"}});
        let path = "/protection-groups/web";
        tenant.on_a(Method::PUT, path, Some(body)).await
    };
    assert_eq!(describe().await.status, 409);
    let (a, b) = (&house.a, &house.b);
    for (looks, at) in [(a, "site-b"), (b, "site-a")] {
        let admin = looks.cloud.log_in("admin", "admin", "admin").await;
        let path = format!("/v1/admin/sites/{at}/validate");
        let body = Some(json!({}));
        let asked = house.ask(looks, Method::POST, &path, &admin.token, body);
        let found = asked.await.good();
        let checks = found["validation"]["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == "protector");
        let detail = check.unwrap()["detail"].as_str().unwrap();
        for says in [old, new, &command] {
            assert!(detail.contains(says), "{detail}");
        }
    }
    let admin = b.cloud.log_in("admin", "admin", "admin").await;
    let body = Some(json!({"site": {"peer_key": new}}));
    let path = "/v1/admin/sites/site-a";
    let set = house.ask(b, Method::PUT, path, &admin.token, body).await;
    assert_eq!(set.good()["site"]["key_fingerprint"], new);
    describe().await.good();
}
