//! A failover that failed and could not take its copies back: going forward with them.

use protector_core::{
    group::GroupStatus,
    operation::{MapKind, OperationState},
    runbook::Step,
};
use protector_sim::in_process::lock;
use serde_json::{Value, json};

use super::bed::{Bed, Ended};

const NEWEST: &str = "written to the copy after the failover had failed";

impl Bed {
    fn copies(&self) -> Vec<String> {
        let servers = lock(&self.target).servers();
        servers.into_iter().map(|server| server.id).collect()
    }

    async fn source_server_is(&self, action: &str) {
        let url = format!("compute /servers/{}/action", self.server);
        self.user("demo", "POST", &url, json!({action: null})).await;
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
    let bed = Bed::left_running().await;
    assert_eq!(bed.group().status, GroupStatus::Error);
    let copies = bed.copies();
    assert_eq!(copies.len(), 1);
    let data = bed.copy_of(MapKind::Volume, &bed.data);
    bed.the_copy_writes(&bed.data, NEWEST);
    let mut deleted_before_the_switch = false;
    let ended = bed
        .adopt_while(|bed, record| {
            let switched = record
                .steps
                .iter()
                .any(|step| step.action == Step::SwitchPrimary && step.progress.state.has_ended());
            deleted_before_the_switch |= !bed.has_server() && !switched;
        })
        .await;
    assert_eq!(ended.0.operation.error, None);
    assert_eq!(ended.failed(), vec![]);
    assert!(!deleted_before_the_switch);
    let (group, members) = bed.group_and_members();
    assert_eq!(group.status, GroupStatus::FailedOver);
    assert_eq!(group.current_primary_site.as_str(), "site-b");
    assert_eq!(members[0].server_id.as_str(), copies[0]);
    assert_eq!(bed.copies(), copies);
    assert_eq!(bed.on_the_target_array(&data).unwrap(), NEWEST.as_bytes());
    assert!(!bed.has_server() && !bed.has_volume(&bed.boot) && !bed.has_volume(&bed.data));
    bed.assert_bystander_is_untouched();
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_original_was_started_meanwhile_is_not_adopted() {
    let bed = Bed::left_running().await;
    bed.source_server_is("os-start").await;
    let ended = bed.adopt().await;
    let said = why(&ended);
    assert!(said.contains("has not rested on site-a since"), "{said}");
    assert!(said.contains("--delete-running"), "{said}");
    bed.nothing_has_changed(&ended, "ACTIVE");
    assert_eq!(bed.copies().len(), 1);
}

/// It has written in between.
#[tokio::test(start_paused = true)]
async fn nor_one_whose_original_was_started_and_stopped_again() {
    let bed = Bed::left_running().await;
    bed.source_server_is("os-start").await;
    bed.source_server_is("os-stop").await;
    let ended = bed.adopt().await;
    let said = why(&ended);
    assert!(said.contains("has not rested on site-a since"), "{said}");
    bed.nothing_has_changed(&ended, "SHUTOFF");
}

#[tokio::test(start_paused = true)]
async fn an_original_that_is_started_while_its_copy_is_looked_at_stops_the_adoption() {
    let bed = Bed::left_running().await;
    let mut started = false;
    let ended = bed
        .adopt_while(|bed, record| {
            let confirms = record.steps.iter().any(|step| {
                matches!(step.action, Step::ConfirmServer { .. })
                    && step.progress.memo.healthy_since.is_some()
            });
            if confirms && !started {
                let url = format!("compute /servers/{}/action", bed.server);
                bed.at_once("demo", "POST", &url, &json!({"os-start": null}));
                started = true;
            }
        })
        .await;
    assert!(started);
    let said = why(&ended);
    assert!(said.starts_with("switch_primary"), "{said}");
    bed.nothing_has_changed(&ended, "ACTIVE");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_gone_is_not_built_anew() {
    let bed = Bed::left_running().await;
    let url = format!("compute /servers/{}", bed.copies()[0]);
    bed.on_target("demo", "DELETE", &url, &Value::Null);
    bed.a_while().await;
    let ended = bed.adopt().await;
    let said = why(&ended);
    assert!(said.contains("is not on site-b any more"), "{said}");
    bed.nothing_has_changed(&ended, "SHUTOFF");
    assert!(bed.copies().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_stopped_is_not_adopted() {
    let bed = Bed::left_running().await;
    let url = format!("compute /servers/{}/action", bed.copies()[0]);
    bed.on_target("demo", "POST", &url, &json!({"os-stop": null}));
    bed.a_while().await;
    let ended = bed.adopt().await;
    let said = why(&ended);
    assert!(said.contains("--os-cloud site-b server start"), "{said}");
    bed.nothing_has_changed(&ended, "SHUTOFF");
}

/// What somebody has deleted by hand writes nothing any more.
#[tokio::test(start_paused = true)]
async fn a_copy_whose_original_was_deleted_becomes_the_group() {
    let bed = Bed::left_running().await;
    let url = format!("compute /servers/{}", bed.server);
    bed.user("demo", "DELETE", &url, Value::Null).await;
    let ended = bed.adopt().await;
    assert_eq!(ended.0.operation.error, None);
    assert_eq!(bed.group().status, GroupStatus::FailedOver);
}

/// Until the switch the copies are the failed failover's.
#[tokio::test(start_paused = true)]
async fn after_an_adoption_that_failed_the_failed_move_is_cleaned_up_as_before() {
    let mut bed = Bed::left_running().await;
    bed.source_server_is("os-start").await;
    let ended = bed.adopt().await;
    assert_eq!(ended.0.operation.state, OperationState::Failed);
    bed.source_server_is("os-stop").await;
    bed.delete_running.push(bed.server.clone());
    let ended = bed.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(bed.copies().is_empty());
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "ACTIVE");
}
