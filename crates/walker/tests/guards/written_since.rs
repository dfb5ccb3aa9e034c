//! A copy that was in use after its failover had failed, and whose server is stopped or gone by now: what it has written is
//! nowhere else.

use protector_core::operation::{MapKind, OperationState};
use protector_simcloud::in_process::lock;
use serde_json::{Value, json};

use super::fixture::{Ended, Fixture};

const COPY: &str = "undo:recreate_vms:vm-001";
const DATA: &str = "undo:manage_volumes:vm-001-data-1";
const NEWEST: &str = "written to the copy after the failover had failed";

impl Fixture {
    fn the_copy(&self) -> String {
        lock(&self.target).servers()[0].id.clone()
    }

    async fn the_copy_is_stopped(&self) {
        let url = format!("compute /servers/{}/action", self.the_copy());
        self.on_target("demo", "POST", &url, &json!({"os-stop": null}));
        self.a_while().await;
    }

    async fn the_copy_is_deleted(&self) {
        let url = format!("compute /servers/{}", self.the_copy());
        self.on_target("demo", "DELETE", &url, &Value::Null);
        self.a_while().await;
    }

    async fn everything_is_discarded_when_it_is_named(&mut self) {
        self.delete_running.push(self.server.clone());
        let ended = self.cleanup().await;
        assert_eq!(ended.failed(), vec![]);
        assert!(lock(&self.target).servers().is_empty());
        assert!(lock(&self.target).volumes().is_empty());
        let server = self.server_facts(&self.server).unwrap();
        assert_eq!(server.status, "ACTIVE");
    }
}

fn names_the_ways_on(ended: &Ended, key: &str) {
    let why = ended.failure(key);
    for said in [
        "were written since its recovery point of 2026-01-01T",
        "openstack dr operation adopt op-",
        "--delete-running vm-001",
    ] {
        assert!(why.contains(said), "{said} is not in {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_copy_has_written_outlives_its_server() {
    let mut fixture = Fixture::left_running().await;
    let data = fixture.copy_of(MapKind::Volume, &fixture.data);
    fixture.the_copy_writes(&fixture.data, NEWEST);
    fixture.the_copy_is_deleted().await;
    // As often as it is asked for: the second one finds no server to take back any more.
    for _ in 0..2 {
        let ended = fixture.cleanup().await;
        names_the_ways_on(&ended, DATA);
        assert_eq!(
            fixture.on_the_target_array(&data).unwrap(),
            NEWEST.as_bytes()
        );
        let volumes = lock(&fixture.target).volumes();
        assert!(volumes.iter().any(|volume| volume.id == data));
    }
    fixture.everything_is_discarded_when_it_is_named().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_copy_is_kept_for_what_it_has_written() {
    let mut fixture = Fixture::left_running().await;
    let copy = fixture.the_copy();
    fixture.the_copy_writes(&fixture.data, NEWEST);
    fixture.the_copy_is_stopped().await;
    let ended = fixture.cleanup().await;
    names_the_ways_on(&ended, COPY);
    assert_eq!(fixture.the_copy(), copy);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    fixture.everything_is_discarded_when_it_is_named().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_copy_that_has_written_nothing_is_taken_back() {
    let mut fixture = Fixture::left_running().await;
    fixture.the_copy_is_stopped().await;
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(lock(&fixture.target).volumes().is_empty());
}

/// The array keeps the recovery point no longer.
#[tokio::test(start_paused = true)]
async fn what_nobody_can_tell_is_kept() {
    let mut fixture = Fixture::left_running().await;
    fixture.forget_the_recovery_points();
    fixture.the_copy_is_stopped().await;
    let ended = fixture.cleanup().await;
    let why = ended.failure(COPY);
    assert!(why.contains("nobody can tell what was written"), "{why}");
    assert_eq!(lock(&fixture.target).servers().len(), 1);
    fixture.everything_is_discarded_when_it_is_named().await;
}

/// An array that has lost its list says nothing of an import that Cinder has.
#[tokio::test(start_paused = true)]
async fn a_stopped_copy_whose_object_the_array_does_not_know_is_kept() {
    let mut fixture = Fixture::left_running().await;
    let data = fixture.copy_of(MapKind::Volume, &fixture.data);
    fixture.the_copy_writes(&fixture.data, NEWEST);
    fixture.forget_what_was_promoted();
    fixture.the_copy_is_stopped().await;
    let ended = fixture.cleanup().await;
    let why = ended.failure(COPY);
    assert!(why.contains("nobody can tell what was written"), "{why}");
    assert_eq!(lock(&fixture.target).servers().len(), 1);
    assert_eq!(
        fixture.on_the_target_array(&data).unwrap(),
        NEWEST.as_bytes()
    );
    fixture.everything_is_discarded_when_it_is_named().await;
}

/// Its server could be taken back and the import not: whoever attaches that to a server of his own works on it.
#[tokio::test(start_paused = true)]
async fn an_import_that_outlived_its_operation_alone_is_kept_for_what_was_written() {
    let mut fixture = Fixture::left_imported().await;
    let data = fixture.copy_of(MapKind::Volume, &fixture.data);
    fixture.the_copy_writes(&fixture.data, NEWEST);
    let ended = fixture.cleanup().await;
    names_the_ways_on(&ended, DATA);
    assert_eq!(
        fixture.on_the_target_array(&data).unwrap(),
        NEWEST.as_bytes()
    );
    fixture.everything_is_discarded_when_it_is_named().await;
}

/// The switch has waited for hours for the other site's protector, while the copy ran and was used; then somebody starts
/// the original.
#[tokio::test(start_paused = true)]
async fn a_copy_that_ran_while_its_failover_waited_is_not_taken_back_by_itself() {
    let (fixture, record) = Fixture::taken_back_after_waiting(NEWEST).await;
    assert_eq!(record.operation.state, OperationState::Failed);
    let ended = Ended(record);
    names_the_ways_on(&ended, "undo:recreate_vms:vm-001");
    let data = fixture.copy_of(MapKind::Volume, &fixture.data);
    assert_eq!(
        fixture.on_the_target_array(&data).unwrap(),
        NEWEST.as_bytes()
    );
    // Two would write with one name.
    assert_eq!(lock(&fixture.target).servers()[0].status, "SHUTOFF");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}

/// The failover itself takes back what it has just made, whatever the guest has written while it booted.
#[tokio::test(start_paused = true)]
async fn a_failover_takes_its_own_copy_back_though_that_has_written() {
    let (fixture, record) = Fixture::given_up_after_its_copy_has_written(NEWEST).await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert!(lock(&fixture.target).servers().is_empty());
    assert!(lock(&fixture.target).volumes().is_empty());
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}
