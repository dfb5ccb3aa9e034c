//! A failover that failed and could not take its copies back: going forward with them.

use std::collections::BTreeMap;

use protector_core::{
    group::GroupStatus,
    mark,
    operation::{MapKind, OperationState, ResourceMap},
    runbook::Step,
};
use protector_simcloud::{cloud::CallEffect, in_process::lock};
use serde_json::{Value, json};

use super::{
    after_the_intent::marked_server,
    fixture::{Ended, Fixture},
    source_at_rest::fault,
};

const NEWEST: &str = "written to the copy after the failover had failed";

impl Fixture {
    fn copies(&self) -> Vec<String> {
        let servers = lock(&self.target).servers();
        servers.into_iter().map(|server| server.id).collect()
    }

    async fn source_server_is(&self, action: &str) {
        let url = format!("compute /servers/{}/action", self.server);
        self.user("demo", "POST", &url, json!({action: null})).await;
    }

    async fn source_server_is_deleted(&self) {
        let url = format!("compute /servers/{}", self.server);
        self.user("demo", "DELETE", &url, Value::Null).await;
    }

    fn the_original_volumes_stay(&self, ended: &Ended, data: &str) {
        assert_eq!(ended.0.operation.state, OperationState::Failed);
        assert_eq!(self.group().status, GroupStatus::Error);
        assert_eq!(self.group().current_primary_site.as_str(), "site-a");
        assert!(self.has_volume(&self.boot) && self.has_volume(&self.data));
        assert_eq!(
            self.on_the_source_array(&self.data).unwrap(),
            data.as_bytes()
        );
        assert_eq!(self.copies().len(), 1);
    }

    fn nothing_has_changed(&self, ended: &Ended, original: &str) {
        assert_eq!(ended.0.operation.state, OperationState::Failed);
        assert_eq!(self.group().status, GroupStatus::Error);
        assert_eq!(self.group().current_primary_site.as_str(), "site-a");
        let server = self.server_facts(&self.server).unwrap();
        assert_eq!(server.status, original);
        assert!(self.has_volume(&self.boot) && self.has_volume(&self.data));
        assert_eq!(lock(&self.target).volumes().len(), 2);
    }
}

fn why(ended: &Ended) -> String {
    ended.0.operation.error.clone().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_could_not_be_taken_back_becomes_the_group() {
    let fixture = Fixture::left_running().await;
    assert_eq!(fixture.group().status, GroupStatus::Error);
    let copies = fixture.copies();
    assert_eq!(copies.len(), 1);
    let data = fixture.copy_of(MapKind::Volume, &fixture.data);
    fixture.the_copy_writes(&fixture.data, NEWEST);
    let mut deleted_before_the_switch = false;
    let ended = fixture
        .adopt_while(|fixture, record| {
            let switched = record
                .steps
                .iter()
                .any(|step| step.action == Step::SwitchPrimary && step.progress.state.has_ended());
            deleted_before_the_switch |= !fixture.has_server() && !switched;
        })
        .await;
    assert_eq!(ended.0.operation.error, None);
    assert_eq!(ended.failed(), vec![]);
    assert!(!deleted_before_the_switch);
    let (group, members) = fixture.group_and_members();
    assert_eq!(group.status, GroupStatus::FailedOver);
    assert_eq!(group.current_primary_site.as_str(), "site-b");
    assert_eq!(members[0].server_id.as_str(), copies[0]);
    assert_eq!(fixture.copies(), copies);
    assert_eq!(
        fixture.on_the_target_array(&data).unwrap(),
        NEWEST.as_bytes()
    );
    assert!(
        !fixture.has_server()
            && !fixture.has_volume(&fixture.boot)
            && !fixture.has_volume(&fixture.data)
    );
    fixture.assert_bystander_is_untouched();
}

/// And when that site is back, the group is led out of all that it left there.
#[tokio::test(start_paused = true)]
async fn a_copy_in_use_becomes_the_group_though_the_site_of_its_original_is_lost() {
    let mut fixture = Fixture::left_running().await;
    let copies = fixture.copies();
    let data = fixture.copy_of(MapKind::Volume, &fixture.data);
    fixture.the_copy_writes(&fixture.data, NEWEST);
    fixture.lose_the_source();
    let adoption = fixture.adopt_without_source().await;
    assert_eq!(adoption.operation.error, None);
    let (group, members) = fixture.group_and_members();
    assert_eq!(group.status, GroupStatus::FailedOver);
    assert_eq!(group.current_primary_site.as_str(), "site-b");
    assert_eq!(members[0].server_id.as_str(), copies[0]);
    assert_eq!(fixture.copies(), copies, "nothing was built beside it");
    assert_eq!(
        fixture.on_the_target_array(&data).unwrap(),
        NEWEST.as_bytes()
    );

    lock(&fixture.source).clear_faults();
    assert!(
        fixture.has_server() && fixture.has_volume(&fixture.data),
        "left there"
    );
    fixture.source_server_is("os-start").await;
    let seen = fixture.why_not_at_rest().await;
    assert!(seen.is_some(), "the watch of split brains sees it");
    let fence = fixture.fence(ResourceMap::default()).await;
    assert_eq!(fence.operation.state, OperationState::Completed);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );

    // What the failed one has made is the group, and its original is not its to start any more.
    let failed = fixture.failover();
    fixture.cleanup_after(&failed, |_| true).await;
    assert_eq!(fixture.copies(), copies);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    let cleanup = fixture.cleanup_after(&adoption, |_| true).await;
    assert_eq!(cleanup.failed(), vec![]);
    assert!(
        !fixture.has_server()
            && !fixture.has_volume(&fixture.boot)
            && !fixture.has_volume(&fixture.data)
    );
    assert_eq!(fixture.copies(), copies);
    assert_eq!(
        fixture.on_the_target_array(&data).unwrap(),
        NEWEST.as_bytes()
    );
    fixture.assert_bystander_is_untouched();
}

/// What it lacks is said with the command that Nova takes.
#[tokio::test(start_paused = true)]
async fn a_copy_that_does_not_run_is_not_adopted_and_the_way_to_make_it_run_is_said() {
    for (state, command) in [
        ("stopped", "server start"),
        ("shelved_offloaded", "server unshelve"),
        ("soft_deleted", "server restore"),
        ("error", "server reboot --hard"),
    ] {
        let fixture = Fixture::left_running().await;
        let copy = fixture.copies()[0].clone();
        assert!(lock(&fixture.target).set_state_of_server(&copy, state));
        let said = why(&fixture.adopt().await);
        assert!(said.contains(&format!("{command} {copy}")), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_original_was_started_meanwhile_is_not_adopted() {
    let fixture = Fixture::left_running().await;
    fixture.source_server_is("os-start").await;
    let ended = fixture.adopt().await;
    let said = why(&ended);
    assert!(said.contains("has not rested on site-a since"), "{said}");
    assert!(said.contains("--delete-running"), "{said}");
    fixture.nothing_has_changed(&ended, "ACTIVE");
    assert_eq!(fixture.copies().len(), 1);
}

/// It has written in between.
#[tokio::test(start_paused = true)]
async fn nor_one_whose_original_was_started_and_stopped_again() {
    let fixture = Fixture::left_running().await;
    fixture.source_server_is("os-start").await;
    fixture.source_server_is("os-stop").await;
    let ended = fixture.adopt().await;
    let said = why(&ended);
    assert!(said.contains("has not rested on site-a since"), "{said}");
    fixture.nothing_has_changed(&ended, "SHUTOFF");
}

#[tokio::test(start_paused = true)]
async fn an_original_that_is_started_while_its_copy_is_looked_at_stops_the_adoption() {
    let fixture = Fixture::left_running().await;
    let mut started = false;
    let ended = fixture
        .adopt_while(|fixture, record| {
            let confirms = record.steps.iter().any(|step| {
                matches!(step.action, Step::ConfirmServer { .. })
                    && step.progress.memo.since.healthy.is_some()
            });
            if confirms && !started {
                let url = format!("compute /servers/{}/action", fixture.server);
                fixture.at_once("demo", "POST", &url, &json!({"os-start": null}));
                started = true;
            }
        })
        .await;
    assert!(started);
    let said = why(&ended);
    assert!(said.starts_with("switch_primary"), "{said}");
    fixture.nothing_has_changed(&ended, "ACTIVE");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_gone_is_not_built_anew() {
    let fixture = Fixture::left_running().await;
    let url = format!("compute /servers/{}", fixture.copies()[0]);
    fixture.on_target("demo", "DELETE", &url, &Value::Null);
    fixture.a_while().await;
    let ended = fixture.adopt().await;
    let said = why(&ended);
    assert!(said.contains("is not on site-b any more"), "{said}");
    fixture.nothing_has_changed(&ended, "SHUTOFF");
    assert!(fixture.copies().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_stopped_is_not_adopted() {
    let fixture = Fixture::left_running().await;
    let url = format!("compute /servers/{}/action", fixture.copies()[0]);
    fixture.on_target("demo", "POST", &url, &json!({"os-stop": null}));
    fixture.a_while().await;
    let ended = fixture.adopt().await;
    let said = why(&ended);
    assert!(said.contains("--os-cloud site-b server start"), "{said}");
    fixture.nothing_has_changed(&ended, "SHUTOFF");
}

/// What somebody has deleted by hand writes nothing any more.
#[tokio::test(start_paused = true)]
async fn a_copy_whose_original_was_deleted_becomes_the_group() {
    let fixture = Fixture::left_running().await;
    fixture.source_server_is_deleted().await;
    let ended = fixture.adopt().await;
    assert_eq!(ended.0.operation.error, None);
    assert_eq!(fixture.group().status, GroupStatus::FailedOver);
}

const ON_THE_ORIGINAL: &str = "written to the original after the failover had failed";

/// Its volumes have what the copy lacks, until somebody has deleted those, too.
#[tokio::test(start_paused = true)]
async fn what_an_original_had_written_before_it_was_deleted_is_kept() {
    let fixture = Fixture::left_running().await;
    fixture.source_server_is("os-start").await;
    fixture.the_original_writes(&fixture.data, ON_THE_ORIGINAL);
    fixture.source_server_is_deleted().await;
    let ended = fixture.adopt().await;
    let said = why(&ended);
    for words in [
        "start by user",
        "is gone from site-a",
        "volume delete",
        &fixture.data,
        "--delete-running",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    fixture.the_original_volumes_stay(&ended, ON_THE_ORIGINAL);
    fixture.assert_bystander_is_untouched();
}

#[tokio::test(start_paused = true)]
async fn a_copy_becomes_the_group_once_the_disks_of_its_deleted_original_are_gone_too() {
    let fixture = Fixture::left_running().await;
    fixture.source_server_is("os-start").await;
    fixture.source_server_is_deleted().await;
    for volume in [&fixture.boot, &fixture.data] {
        if fixture.has_volume(volume) {
            let url = format!("volume /volumes/{volume}");
            fixture.user("demo", "DELETE", &url, Value::Null).await;
        }
    }
    let ended = fixture.adopt().await;
    assert_eq!(ended.0.operation.error, None);
    assert_eq!(fixture.group().status, GroupStatus::FailedOver);
}

/// A cloud that has purged its list cannot say that the guest rested.
#[tokio::test(start_paused = true)]
async fn a_deleted_original_of_which_nobody_knows_what_was_asked_is_not_written_off() {
    let fixture = Fixture::left_running().await;
    fixture.source_server_is("os-start").await;
    fixture.the_original_writes(&fixture.data, ON_THE_ORIGINAL);
    fixture.source_server_is_deleted().await;
    fault(
        &fixture.source,
        "GET",
        "*os-instance-actions*",
        CallEffect::Status {
            status: 404,
            body: Some(json!({"itemNotFound": {"code": 404, "message": "purged"}})),
            headers: BTreeMap::new(),
        },
    );
    let ended = fixture.adopt().await;
    let said = why(&ended);
    assert!(said.contains("what was asked of it"), "{said}");
    fixture.the_original_volumes_stay(&ended, ON_THE_ORIGINAL);
}

/// Both names stand for the same bytes: whoever deletes one takes them from the copy that runs.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_delete_one_of_two_imports_of_a_volume() {
    let fixture = Fixture::left_running().await;
    let data = fixture.copy_of(MapKind::Volume, &fixture.data);
    let marks = json!({
        mark::OPERATION: fixture.failover().operation.id.as_str(),
        mark::SOURCE: fixture.data,
    });
    let twin = json!({"volume": {"size": 1, "metadata": marks}});
    fixture.on_target("protector", "POST", "volume /volumes", &twin);
    fixture.a_while().await;
    let ended = fixture.adopt().await;
    let said = why(&ended);
    for words in [
        "more than one import of volume",
        &data,
        "cinder unmanage",
        "never delete",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

/// Until the switch the copies are the failed failover's.
#[tokio::test(start_paused = true)]
async fn after_an_adoption_that_failed_the_failed_move_is_cleaned_up_as_before() {
    let mut fixture = Fixture::left_running().await;
    fixture.source_server_is("os-start").await;
    let ended = fixture.adopt().await;
    assert_eq!(ended.0.operation.state, OperationState::Failed);
    fixture.source_server_is("os-stop").await;
    fixture.delete_running.push(fixture.server.clone());
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(fixture.copies().is_empty());
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}

/// It has no copy of its own any more; one that somebody else has made runs.
#[tokio::test(start_paused = true)]
async fn a_cleanup_starts_no_original_beside_a_copy_of_another_operation() {
    let mut fixture = Fixture::left_running().await;
    let url = format!("compute /servers/{}", fixture.copies()[0]);
    fixture.on_target("demo", "DELETE", &url, &Value::Null);
    fixture.a_while().await;
    marked_server(&fixture, "demo", "op-other");
    fixture.a_while().await;
    let other = fixture.copies();
    fixture.delete_running.push(fixture.server.clone());
    let ended = fixture.cleanup().await;
    let why = ended.failure("undo:stop_source_vms:vm-001");
    assert!(why.contains(&other[0]), "{why}");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    assert_eq!(fixture.copies(), other);
}
