//! Cleanup: what is told before, and what is chosen.

use std::sync::atomic::Ordering;

use protector_core::{
    fault::Code,
    id::OperationId,
    member::{FloatingAddress, PortSpec},
    operation::{MapKind, OperationState, StepProgress, StepState},
};
use serde_json::{Value, json};

use crate::{
    engine::{
        cleanup, cleanup_with, done, failed_line, not_taken_back, retained, settle, settle_as,
        start,
    },
    fakes::{PROJECT_A, PROJECT_B, WEB},
    house::House,
};

/// A completed failover of which one volume was retained and the other failed.
async fn half_clean(house: &House) -> OperationId {
    let id = start(house).await;
    settle_as(house, OperationState::Completed, |step| {
        match step.key.as_str() {
            "delete_source_volume:vol-boot-ws1" => retained(),
            "delete_source_volume:vol-data-ws1" => failed_line(),
            _ => done(),
        }
    })
    .await;
    id
}

#[tokio::test]
async fn a_dry_run_tells_all_and_changes_nothing() {
    let house = House::with_member(WEB).await;
    let id = half_clean(&house).await;
    // The worst day: no other site, no cloud.
    house.outside.peer.away.store(true, Ordering::SeqCst);
    for site in ["site-a", "site-b"] {
        house
            .outside
            .clouds
            .away
            .lock()
            .unwrap()
            .insert(site.to_owned());
    }
    let before = house.everything().await;
    let answer = cleanup_with(&house, &id, "member", json!({"dry_run": true}))
        .await
        .expect(200);
    assert_eq!(answer.body["operation"], Value::Null);
    let plan = &answer.body["cleanup"];
    assert_eq!(plan["skipped"], 4);
    assert_eq!(
        plan["retained"],
        json!(["delete_source_volume:vol-boot-ws1"])
    );
    assert_eq!(
        plan["steps"],
        json!([
            "delete_source_volume:vol-boot-ws1",
            "delete_source_volume:vol-data-ws1"
        ])
    );
    assert_eq!(
        plan["leftovers"][0],
        json!({
            "step": "delete_source_volume:vol-boot-ws1",
            "resource_type": "volume", "resource_id": "vol-boot-ws1", "name": "vol-boot-ws1",
            "site": "site-a", "project_id": PROJECT_A, "size_gib": 1,
            "reason": "retained", "error": "retained by configuration", "error_code": "PRT-KEPT",
            "since": "2025-11-03T14:00:00Z",
            "command": "openstack --os-cloud site-a volume delete vol-boot-ws1",
        })
    );
    assert_eq!(plan["leftovers"][1]["reason"], "failed");
    assert_eq!(house.everything().await, before);
    cleanup_with(&house, &id, "reader", json!({"dry_run": true}))
        .await
        .expect(403);
    cleanup_with(&house, &id, "", json!({"dry_run": true}))
        .await
        .expect(401);
}

#[tokio::test]
async fn a_dry_run_of_a_running_operation_is_refused_too() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    let answer = cleanup_with(&house, &id, "member", json!({"dry_run": true}))
        .await
        .expect(409);
    assert!(
        answer
            .message()
            .starts_with("Operation not in completed state"),
        "{}",
        answer.message()
    );
}

#[tokio::test]
async fn only_the_chosen_resource_is_taken_up() {
    let house = House::with_member(WEB).await;
    let id = half_clean(&house).await;
    let chosen = json!({"resources": ["vol-data-ws1"]});
    let started = cleanup_with(&house, &id, "member", chosen.clone())
        .await
        .expect(202);
    let steps = json!(["delete_source_volume:vol-data-ws1"]);
    assert_eq!(started.body["cleanup"]["steps"], steps);
    assert_eq!(started.body["cleanup"]["retained"], json!([]));
    settle(&house, &[]).await;

    // The same request again finds it done, and what was not chosen is still there.
    let again = cleanup_with(&house, &id, "member", chosen)
        .await
        .expect(200);
    assert_eq!(again.body["operation"], Value::Null);
    let rest = cleanup(&house, &id, "member").await.expect(202);
    let steps = json!(["delete_source_volume:vol-boot-ws1"]);
    assert_eq!(rest.body["cleanup"]["steps"], steps);
}

#[tokio::test]
async fn a_resource_that_was_not_left_is_refused_by_its_id() {
    let house = House::with_member(WEB).await;
    let id = half_clean(&house).await;
    let before = house.everything().await;
    for (resources, says) in [
        (json!(["vol-data-ws1", "vol-of-others"]), "vol-of-others"),
        (json!([]), "at least one"),
        (json!("vol-data-ws1"), "'cleanup.resources'"),
    ] {
        let answer = cleanup_with(&house, &id, "member", json!({"resources": resources}))
            .await
            .expect(400);
        let said = answer.message();
        assert!(said.contains("cleanup.resources"), "{said}");
        assert!(said.contains(says), "{said}");
        assert!(!said.contains("vol-data-ws1 behind"), "{said}");
    }
    let unknown = cleanup_with(&house, &id, "member", json!({"resource": []}))
        .await
        .expect(400);
    assert!(unknown.message().contains("resource"));
    assert_eq!(house.everything().await, before);
}

/// A failed failover that could take nothing of its copy back.
async fn stuck_halfway(house: &House) -> OperationId {
    let id = start(house).await;
    settle_as(house, OperationState::Failed, |step| {
        match step.phase_name.as_str() {
            "promote_volumes" => not_taken_back(None),
            "manage_volumes" => not_taken_back(Some(&format!("copy-of-{}", step.key))),
            "recreate_vms" => not_taken_back(Some("copy-of-web")),
            _ => StepProgress::default(),
        }
    })
    .await;
    id
}

#[tokio::test]
async fn a_server_that_is_to_go_though_it_runs_is_named_and_on_record() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    settle(&house, &["delete_source"]).await;
    for (named, says) in [
        (
            json!(["db-1"]),
            "deletes no server 'db-1'; name one of web-server-1 (",
        ),
        (json!(["vol-data-ws1"]), "deletes no server 'vol-data-ws1'"),
        (json!("web-server-1"), "'cleanup.delete_running'"),
    ] {
        let before = house.everything().await;
        let answer = cleanup_with(&house, &id, "member", json!({"delete_running": named}))
            .await
            .expect(400);
        let said = answer.message();
        assert!(said.contains("cleanup.delete_running"), "{said}");
        assert!(said.contains(says), "{said}");
        assert_eq!(house.everything().await, before);
    }
    let key = "delete_source_vm:web-server-1";
    let options = json!({"delete_running": ["web-server-1"], "dry_run": true});
    let plan = cleanup_with(&house, &id, "member", options)
        .await
        .expect(200);
    assert_eq!(plan.body["cleanup"]["delete_running"], json!([key]));
    let server = plan.body["cleanup"]["leftovers"][0]["resource_id"].clone();
    let started = cleanup_with(&house, &id, "member", json!({"delete_running": [server]}))
        .await
        .expect(202);
    assert_eq!(started.body["cleanup"]["delete_running"], json!([key]));
    let cleanup = OperationId::new(started.body["operation"]["id"].as_str().unwrap());
    let record = house.database.operation_show_by_id(&cleanup).await.unwrap();
    let named: Vec<_> = record
        .map
        .iter()
        .filter(|(kind, _, _)| *kind == MapKind::DeleteRunning)
        .map(|(_, server, _)| server.to_owned())
        .collect();
    assert_eq!(json!(named), json!([server]));
}

#[tokio::test]
async fn a_copy_that_is_to_go_though_it_runs_is_named_by_its_own_id() {
    let house = House::with_member(WEB).await;
    let id = stuck_halfway(&house).await;
    let quiet = cleanup_with(&house, &id, "member", json!({"dry_run": true}));
    let quiet = quiet.await.expect(200);
    assert_eq!(quiet.body["cleanup"]["delete_running"], json!([]));
    let options = json!({"delete_running": ["copy-of-web"], "dry_run": true});
    let plan = cleanup_with(&house, &id, "member", options)
        .await
        .expect(200);
    let key = "undo:recreate_vms:web-server-1";
    assert_eq!(plan.body["cleanup"]["delete_running"], json!([key]));
}

/// The server has the floating IP 203.0.113.10 when it is added.
async fn house_with_floating_ip() -> House {
    let house = House::with_group().await;
    *house.outside.clouds.server_change.lock().unwrap() = Some(|server| {
        server.nics[0].port = Some(PortSpec {
            floating_ips: vec![FloatingAddress {
                id: Some("fip-1".into()),
                address: [203, 0, 113, 10].into(),
                fixed_ip: [10, 0, 0, 5].into(),
            }],
            ..PortSpec::default()
        });
    });
    house.add(WEB).await.expect(201);
    house
}

#[tokio::test]
async fn floating_ips_are_released_only_when_somebody_asks_and_once_the_server_goes() {
    let house = house_with_floating_ip().await;
    let id = start(&house).await;
    settle(&house, &["delete_source_vm"]).await;
    let quiet = json!({"dry_run": true});
    let quiet = cleanup_with(&house, &id, "member", quiet).await.expect(200);
    assert_eq!(quiet.body["cleanup"]["floating_ips"], json!([]));
    let server = "delete_source_vm:web-server-1";
    assert_eq!(quiet.body["cleanup"]["steps"], json!([server]));

    let asked = json!({"release_floating_ips": true, "dry_run": true});
    let plan = cleanup_with(&house, &id, "member", asked).await.expect(200);
    let release = "release_floating_ip:203.0.113.10";
    assert_eq!(
        plan.body["cleanup"]["floating_ips"],
        json!([{
            "step": release, "resource_id": "fip-1", "address": "203.0.113.10",
            "server": "web-server-1", "site": "site-a", "project_id": PROJECT_A,
            "command": "openstack --os-cloud site-a floating ip delete 203.0.113.10",
        }])
    );
    let asked = json!({"release_floating_ips": true});
    let started = cleanup_with(&house, &id, "member", asked.clone()).await;
    let started = started.expect(202);
    assert_eq!(started.body["cleanup"]["steps"], json!([server, release]));
    let cleanup = OperationId::new(started.body["operation"]["id"].as_str().unwrap());
    let record = house.database.operation_show_by_id(&cleanup).await.unwrap();
    assert_eq!(record.steps[1].after, [record.steps[0].position]);
    settle(&house, &[]).await;

    // Its server is gone: there is nothing else left, and it is still asked for.
    let later = cleanup_with(&house, &id, "member", asked).await.expect(202);
    assert_eq!(later.body["cleanup"]["steps"], json!([release]));
}

#[tokio::test]
async fn with_resources_only_the_floating_ips_of_the_servers_among_them_are_released() {
    let house = house_with_floating_ip().await;
    let id = start(&house).await;
    settle(&house, &["delete_source_volume"]).await;
    let others = json!({"release_floating_ips": true, "resources": ["vol-data-ws1"]});
    let plan = cleanup_with(&house, &id, "member", others).await;
    assert_eq!(
        plan.expect(202).body["cleanup"]["steps"],
        json!(["delete_source_volume:vol-data-ws1"])
    );
    settle(&house, &["delete_source_volume:vol-data-ws1"]).await;
    let its_own = json!({"release_floating_ips": true, "resources": [WEB], "dry_run": true});
    let plan = cleanup_with(&house, &id, "member", its_own).await;
    assert_eq!(
        plan.expect(200).body["cleanup"]["steps"],
        json!(["release_floating_ip:203.0.113.10"])
    );
}

#[tokio::test]
async fn a_move_that_was_taken_back_releases_nothing() {
    let house = house_with_floating_ip().await;
    let id = start(&house).await;
    settle_as(&house, OperationState::Failed, |_| StepProgress::default()).await;
    let asked = json!({"release_floating_ips": true});
    let answer = cleanup_with(&house, &id, "member", asked).await.expect(200);
    assert_eq!(answer.body["operation"], Value::Null);
}

/// What was promoted of a volume may be the last copy of it also where no server was ever built.
#[tokio::test]
async fn a_copy_whose_server_was_never_built_is_named_by_its_member() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    settle_as(&house, OperationState::Failed, |step| {
        match step.phase_name.as_str() {
            "promote_volumes" => not_taken_back(None),
            "manage_volumes" => not_taken_back(Some(&format!("copy-of-{}", step.key))),
            _ => StepProgress::default(),
        }
    })
    .await;
    let options = json!({"delete_running": ["web-server-1"], "dry_run": true});
    let plan = cleanup_with(&house, &id, "member", options)
        .await
        .expect(200);
    let named = plan.body["cleanup"]["delete_running"].as_array().unwrap();
    let key = named[0].as_str().unwrap();
    assert!(key.starts_with("undo:manage_volumes:"), "{key}");
    assert_eq!(named.len(), 1);
}

#[tokio::test]
async fn what_could_not_be_taken_back_names_the_copy_and_its_command() {
    let house = House::with_member(WEB).await;
    let id = stuck_halfway(&house).await;
    let answer = cleanup_with(&house, &id, "member", json!({"dry_run": true}))
        .await
        .expect(200);
    let left = &answer.body["cleanup"]["leftovers"];
    let command = |step: &str| {
        let found = left
            .as_array()
            .unwrap()
            .iter()
            .find(|left| left["step"] == step);
        found.unwrap_or_else(|| panic!("no {step} in {left}"))["command"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(left[0]["step"], "undo:recreate_vms:web-server-1");
    assert_eq!(left[0]["resource_id"], "copy-of-web");
    assert_eq!(left[0]["site"], "site-b");
    assert_eq!(left[0]["project_id"], PROJECT_B);
    assert_eq!(left[0]["reason"], "not_taken_back");
    assert_eq!(
        command("undo:recreate_vms:web-server-1"),
        "openstack --os-cloud site-b server delete copy-of-web"
    );
    assert_eq!(
        command("undo:manage_volumes:vol-boot-ws1"),
        "openstack --os-cloud site-b volume delete --remote copy-of-manage_volumes:vol-boot-ws1"
    );
    let promoted = command("undo:promote_volumes:vol-boot-ws1");
    assert!(promoted.starts_with("# no openstack command"), "{promoted}");
    assert!(promoted.contains("mock://array-b"), "{promoted}");
}

#[tokio::test]
async fn what_something_stands_on_is_not_taken_away_alone() {
    let house = House::with_member(WEB).await;
    let id = stuck_halfway(&house).await;
    let below = "copy-of-manage_volumes:vol-boot-ws1";
    let alone = cleanup_with(&house, &id, "member", json!({"resources": [below]}))
        .await
        .expect(400);
    assert_eq!(
        alone.message(),
        "cleanup.resources: 'recreate_vms:web-server-1' stands on 'manage_volumes:vol-boot-ws1' and has to go first: name its resource too."
    );
    let both = json!({"resources": [below, "copy-of-web"]});
    let started = cleanup_with(&house, &id, "member", both).await.expect(202);
    assert_eq!(
        started.body["cleanup"]["steps"],
        json!([
            "undo:recreate_vms:web-server-1",
            "undo:manage_volumes:vol-boot-ws1"
        ])
    );
}

#[tokio::test]
async fn what_was_kept_because_it_was_not_safe_has_no_command_to_paste() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    settle_as(&house, OperationState::Completed, |step| {
        let mut progress = done();
        if step.key == "delete_source_volume:vol-data-ws1" {
            progress = failed_line();
            progress.error = Some("kept: it is attached to another server".to_owned());
            progress.error_code = Some(Code::Kept);
        }
        progress
    })
    .await;
    let answer = cleanup_with(&house, &id, "member", json!({"dry_run": true}))
        .await
        .expect(200);
    let command = answer.body["cleanup"]["leftovers"][0]["command"]
        .as_str()
        .unwrap();
    assert!(command.starts_with("# kept"), "{command}");
}

#[tokio::test]
async fn records_count_their_leftovers_and_name_their_home() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    let path = format!("/v1/{PROJECT_A}/operations/{id}?detail=true");
    let show = async || house.get(&path, "reader").await.expect(200).body["operation"].clone();
    let pending = show().await;
    assert_eq!(pending["leftovers"], 0);
    assert_eq!(pending["home_site"], "site-a");
    settle_as(&house, OperationState::Completed, |step| {
        let mut progress = done();
        if step.key == "delete_source_volume:vol-data-ws1" {
            progress = failed_line();
            progress.memo.intents = 4;
            progress.failed_tries = 3;
            progress.memo.request_ids = vec!["req-of-cinder".to_owned()];
        } else if step.key == "delete_source_volume:vol-boot-ws1" {
            progress = retained();
        }
        progress
    })
    .await;
    let ended = show().await;
    assert_eq!(ended["leftovers"], 2);
    let steps = ended["steps"].as_array().unwrap();
    let line = |key: &str| steps.iter().find(|step| step["key"] == key).unwrap();
    let failed = line("delete_source_volume:vol-data-ws1");
    assert_eq!(failed["tries"], 4);
    assert_eq!(failed["failed_tries"], 3);
    assert_eq!(failed["retained"], false);
    assert_eq!(failed["request_ids"], json!(["req-of-cinder"]));
    assert_eq!(failed["site"], "site-a");
    assert_eq!(failed["resource_type"], "volume");
    assert_eq!(failed["started_at"], "2025-11-03T14:00:00Z");
    assert_eq!(line("delete_source_volume:vol-boot-ws1")["retained"], true);

    // The lines of a cleanup that failed are its parent's leftovers, not its own.
    let child = cleanup(&house, &id, "member").await.expect(202);
    let child = child.body["operation"]["id"].as_str().unwrap().to_owned();
    settle(&house, &["delete_source_volume"]).await;
    let path = format!("/v1/{PROJECT_A}/operations/{child}");
    let child = house.get(&path, "reader").await.expect(200).body["operation"].clone();
    assert_eq!(child["leftovers"], 0);
    assert_eq!(child["steps_failed"].as_array().unwrap().len(), 2);
    assert_eq!(show().await["leftovers"], 2);
}

/// Every second operation left something; pages of two of those that did.
#[tokio::test]
async fn pages_of_operations_with_leftovers_are_whole() {
    let house = House::with_member(WEB).await;
    let mut with = Vec::new();
    for number in 0..5 {
        let id = start(&house).await;
        let bad = number % 2 == 0;
        let state = OperationState::Failed;
        settle_as(&house, state, |step| {
            if bad && step.phase_name == "recreate_vms" {
                return not_taken_back(Some("copy"));
            }
            let mut progress = done();
            progress.state = StepState::Undone;
            progress
        })
        .await;
        if bad {
            with.push(id.to_string());
        }
    }
    let mut seen = Vec::new();
    let mut path = format!("/v1/{PROJECT_A}/operations?leftovers=true&limit=2");
    loop {
        let page = house.get(&path, "reader").await.expect(200).body;
        let operations = page["operations"].as_array().unwrap();
        assert!(
            operations
                .iter()
                .all(|operation| operation["leftovers"] == 1)
        );
        let ids = operations
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned());
        seen.extend(ids);
        let Some(next) = page["operations_links"][0]["href"].as_str() else {
            break;
        };
        path = next.to_owned();
    }
    seen.sort();
    with.sort();
    assert_eq!(seen, with);
}
