//! Two protectors that lose each other, and find each other again.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    house::House,
    site_records::change_alone,
    tenant::{Group, Tenant, has_ended},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(60);

async fn on_b(tenant: &Tenant<'_>, path: &str) -> Value {
    tenant.on_b(Method::GET, path, None).await.good()
}

async fn sync_status(tenant: &Tenant<'_>, group: &Group) -> [Value; 2] {
    let path = format!("/protection-groups/{}/sync-status", group.name);
    let here = tenant.on_a(Method::GET, &path, None).await.good();
    let there = on_b(tenant, &path).await;
    [here, there].map(|answer| answer["sync_status"].clone())
}

/// Both sites say that they hold the same.
async fn in_sync(tenant: &Tenant<'_>, group: &Group) {
    until("both sites to be in sync", PATIENCE, async || {
        let both = sync_status(tenant, group).await;
        both.iter()
            .all(|status| status["status"] == "IN SYNC")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_the_other_protector_was_away_reaches_it_later() {
    let mut house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    house.a.cloud.hold("server_delete").await;
    let operation = tenant.start_failover(&group).await;
    // Until the switch the failover needs site-b's protector, which holds the group still; after it, it does not.
    until("the old VMs to be deleted", PATIENCE, async || {
        let shown = tenant.operation(&operation).await;
        (shown["phase"] == "delete_source_vm").then_some(())
    })
    .await;
    let (at_a, at_b) = (tenant.at_a, tenant.at_b);
    assert!(house.b.terminate_api().await.success());
    house.a.cloud.let_go("server_delete").await;
    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let ended = tenant.ended(&operation).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    let path = format!("/protection-groups/{}/sync-status", group.name);
    let status = tenant.on_a(Method::GET, &path, None).await.good();
    assert_eq!(status["sync_status"]["status"], "UNREACHABLE", "{status}");
    let path = format!("/protection-groups/{}", group.name);
    let change = json!({"protection_group": {"description": "changed"}});
    let refused = tenant.on_a(Method::PUT, &path, Some(change)).await;
    assert_eq!(refused.status, 409, "{refused:?}");

    let (at_a, at_b) = (tenant.at_a, tenant.at_b);
    house.b.start_api();
    house.b.must_answer(&house.http).await;
    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    in_sync(&tenant, &group).await;
    let there = on_b(&tenant, &path).await;
    let there = &there["protection_group"];
    assert_eq!(there["status"], "failed_over", "{there}");
    assert_eq!(there["current_primary_site"], "site-b", "{there}");
    let record = format!("/operations/{operation}?detail=true");
    let copy = until("the operation's record", PATIENCE, async || {
        let asked = tenant.on_b(Method::GET, &record, None).await;
        let copy = (asked.status == 200).then(|| asked.good()["operation"].clone());
        copy.filter(has_ended)
    })
    .await;
    assert_eq!(copy, ended, "as its home shows it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_waits_while_nobody_on_the_other_site_says_that_it_holds_the_group_still() {
    let mut house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    house.a.kill_engine();
    let tenant = Tenant::of(&house).await;
    let operation = tenant.start_failover(&group).await;
    assert!(house.b.terminate_api().await.success());
    house.a.start_engine();
    let tenant = Tenant::of(&house).await;
    until(
        "the failover to say what it waits for",
        PATIENCE,
        async || {
            let shown = tenant.operation(&operation).await;
            let steps = shown["steps"].as_array().unwrap();
            let says = |step: &Value| {
                let note = step["note"].as_str().unwrap_or_default();
                note.contains("site-b does not say whether it has moved protection group web")
            };
            steps.iter().any(says).then_some(())
        },
    )
    .await;
    for server in &group.servers {
        assert_eq!(tenant.at_a.server_status(&server.id).await, "ACTIVE");
    }
    house.b.start_api();
    house.b.must_answer(&house.http).await;
    let tenant = Tenant::of(&house).await;
    let ended = tenant.ended(&operation).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_both_sites_changed_is_a_conflict_on_both_until_a_person_decides() {
    let mut house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    in_sync(&tenant, &group).await;
    let (at_a, at_b) = (tenant.at_a, tenant.at_b);
    house.a.kill_engine();
    house.b.kill_engine();
    change_alone(&house.a, &group, "of site-a").await;
    change_alone(&house.b, &group, "of site-b").await;
    house.a.start_engine();
    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let both = until("the conflict", PATIENCE, async || {
        let both = sync_status(&tenant, &group).await;
        both.iter()
            .all(|status| !status["conflict"].is_null())
            .then_some(both)
    })
    .await;
    for status in &both {
        assert_eq!(status["status"], "OUT OF SYNC", "{status:#}");
        assert_eq!(status["differs"], json!(["description"]), "{status:#}");
    }
    assert_eq!(
        both[0]["conflict"]["local"]["digest"],
        both[1]["conflict"]["remote"]["digest"]
    );
    let refused = tenant.ask_for_failover(&group).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(
        refused.text().contains("web is in conflict"),
        "{}",
        refused.text()
    );
    let path = format!("/protection-groups/{}/sync-force", group.name);
    let forced = tenant.on_b(Method::POST, &path, Some(json!({}))).await;
    let forced = forced.good();
    assert_eq!(forced["sync_status"]["status"], "IN SYNC", "{forced:#}");
    in_sync(&tenant, &group).await;
    let shown = tenant.group(&group).await;
    assert_eq!(shown["description"], "of site-b", "{shown}");
    let operation = tenant.start_failover(&group).await;
    let ended = tenant.ended(&operation).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_of_a_site_that_died_is_read_on_the_other_one_and_left_alone() {
    let mut house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    // A record is copied some seconds after it has changed.
    house.b.cloud.hold("server_build").await;
    let operation = tenant.start_failover(&group).await;
    let record = format!("/operations/{operation}?detail=true");
    let under_way = async || {
        let listed = on_b(&tenant, "/operations?protection_group=web").await;
        let copy = &listed["operations"][0];
        let built = house.b.cloud.state().await["servers"].as_array().cloned();
        let all_are_built = built.unwrap().len() == group.servers.len();
        (all_are_built && copy["phase"] == "recreate_vms").then(|| copy.clone())
    };
    let copy = until("the record to arrive under way", PATIENCE, under_way).await;
    assert_eq!(copy["id"], operation.as_str());
    assert_eq!(copy["home_site"], "site-a");
    let (at_a, at_b) = (tenant.at_a, tenant.at_b);
    house.a.kill_engine();
    assert!(house.a.terminate_api().await.success());
    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let cleanup = format!("/operations/{operation}/cleanup");
    let body = Some(json!({"cleanup": {}}));
    let refused = tenant.on_b(Method::POST, &cleanup, body).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let command = format!("openstack --os-cloud site-a dr operation cleanup {operation}");
    assert!(refused.text().contains(&command), "{}", refused.text());
    let copy = on_b(&tenant, &record).await["operation"].clone();
    assert_eq!(copy["status"], "running", "{copy:#}");
    assert!(!copy["steps"].as_array().unwrap().is_empty(), "{copy:#}");
    // The engine that lives has taken up nothing of it: each server was asked for once, by the one that died.
    let calls = house.b.cloud.calls().await;
    let made = calls.iter().filter(|call| call.made("/servers")).count();
    assert_eq!(made, group.servers.len(), "{calls:#?}");

    let (at_a, at_b) = (tenant.at_a, tenant.at_b);
    house.b.cloud.let_go("server_build").await;
    house.a.start_api();
    house.a.start_engine();
    house.a.must_answer(&house.http).await;
    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let ended = tenant.ended(&operation).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    until("the copy to end", PATIENCE, async || {
        let copy = on_b(&tenant, &record).await["operation"].clone();
        has_ended(&copy).then_some(())
    })
    .await;
    tenant.must_have_moved(&group, &[]).await;
}
