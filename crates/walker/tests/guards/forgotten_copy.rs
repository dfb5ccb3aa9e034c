//! A copy whose compute host is down: Nova forgets it, or deletes it for ever, while its guest may run on.

use protector_core::operation::MapKind;
use protector_simcloud::{cloud::Component, in_process::lock};
use serde_json::Value;

use super::fixture::Fixture;

const COPY: &str = "undo:recreate_vms:vm-001";
const DATA: &str = "undo:manage_volumes:vm-001-data-1";
const START: &str = "undo:stop_source_vms:vm-001";
const HOST: &str = "site-b-compute-1";

impl Fixture {
    async fn host_of_the_copy(&self, away: bool) {
        lock(&self.target).set_away(Component::NovaCompute, away);
        self.pass(std::time::Duration::from_secs(90)).await;
    }

    pub fn deletes_the_copy(&self) {
        let url = format!("compute /servers/{}", self.copy());
        self.on_target("demo", "DELETE", &url, &Value::Null);
    }

    fn original_is(&self, status: &str) {
        assert_eq!(self.server_facts(&self.server).unwrap().status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_nova_forgot_with_its_host_down_is_not_gone() {
    let mut fixture = Fixture::left_running().await;
    let data = fixture.copy_of(MapKind::Volume, &fixture.data);
    fixture.host_of_the_copy(true).await;
    fixture.deletes_the_copy();
    assert!(
        lock(&fixture.target).servers().is_empty(),
        "Nova deletes locally"
    );
    let ended = fixture.cleanup().await;
    let why = ended.failure(COPY);
    assert!(
        why.contains(&format!("compute host {HOST} to answer")),
        "{why}"
    );
    let why = ended.failure(START);
    assert!(why.contains("its copy may still run on site-b"), "{why}");
    fixture.original_is("SHUTOFF");
    // Its disks say "available", and its guest may write to them.
    let why = ended.failure(DATA);
    assert!(why.contains("its server was not taken back"), "{why}");
    assert_eq!(lock(&fixture.target).volumes().len(), 2);
    assert!(fixture.on_the_target_array(&data).is_some());

    fixture.host_of_the_copy(false).await;
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    fixture.original_is("ACTIVE");
    assert!(lock(&fixture.target).volumes().is_empty());
}

/// Its host was taken out of Nova, so that nobody knows any more: a person sees to it, and says so.
#[tokio::test(start_paused = true)]
async fn a_copy_whose_host_nobody_knows_any_more_is_gone_when_it_is_named() {
    let mut fixture = Fixture::left_running().await;
    fixture.host_of_the_copy(true).await;
    fixture.deletes_the_copy();
    let none = serde_json::json!({"services": []});
    fixture.target_answers("*/os-services*", 200, none);
    let ended = fixture.cleanup().await;
    let why = ended.failure(COPY);
    for said in [
        "see that no host runs it any more".to_owned(),
        "--delete-running vm-001".to_owned(),
    ] {
        assert!(why.contains(&said), "{said} is not in {why}");
    }
    fixture.original_is("SHUTOFF");
    fixture.delete_running.push(fixture.server.clone());
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    fixture.original_is("ACTIVE");
}

/// Nova deletes it for ever, since its host is dead.
#[tokio::test(start_paused = true)]
async fn nothing_is_started_beside_a_copy_that_is_in_deleting_on_a_dead_host() {
    let mut fixture = Fixture::left_running().await;
    lock(&fixture.target).set_away(Component::NovaCompute, true);
    fixture.deletes_the_copy();
    fixture.host_of_the_copy(true).await;
    assert_eq!(lock(&fixture.target).servers().len(), 1);
    let ended = fixture.abort_for_the_lost_target().await;
    let why = ended.failure("start_source_vms:vm-001");
    assert!(why.contains("may still run on site-b"), "{why}");
    fixture.original_is("SHUTOFF");
    let ended = fixture.cleanup().await;
    let why = ended.failure(START);
    assert!(why.contains("may still run on site-b"), "{why}");
    fixture.original_is("SHUTOFF");
}
