//! A person deletes the source server of a planned move that is under way.

use std::time::Duration;

use protector_core::{
    group::GroupStatus,
    operation::{OperationRecord, OperationState, StepState},
};
use protector_simcloud::in_process::lock;
use serde_json::Value;
use tokio::time::Instant;

use super::fixture::Fixture;

/// Nobody waits for a server that is gone.
const LONGEST: Duration = Duration::from_secs(900);

fn has_begun(record: &OperationRecord, phase: &str) -> bool {
    record
        .steps
        .iter()
        .any(|step| step.phase_name == phase && step.progress.state != StepState::Pending)
}

/// The move of a group whose source server somebody deletes when `phase` begins.
async fn moved_while_it_is_deleted(phase: &str) -> (Fixture, OperationRecord) {
    let mut deleted = false;
    let begin = Instant::now();
    Fixture::moved_among(
        |_| {},
        |fixture, record| {
            assert!(begin.elapsed() < LONGEST, "{phase}: {:?}", record.operation);
            if !deleted && has_begun(record, phase) {
                let url = format!("compute /servers/{}", fixture.server);
                fixture.at_once("demo", "DELETE", &url, &Value::Null);
                deleted = true;
            }
        },
    )
    .await
}

#[tokio::test(start_paused = true)]
async fn a_move_whose_source_server_a_person_deletes_is_taken_back_by_itself() {
    for phase in [
        "check_source",
        "check_target",
        "stop_source_vms",
        "final_replication",
        "promote_volumes",
        "manage_volumes",
        "recreate_vms",
        "confirm_vms",
    ] {
        let (fixture, record) = moved_while_it_is_deleted(phase).await;
        let why = record.operation.error.clone().unwrap_or_default();
        assert!(
            why.contains("vm-001") || why.contains("has disappeared"),
            "{phase}: {why}"
        );
        assert!(
            fixture.has_volume(&fixture.boot) && fixture.has_volume(&fixture.data),
            "{phase}"
        );
        assert_eq!(record.operation.state, OperationState::Failed, "{phase}");
        assert_eq!(fixture.group().status, GroupStatus::Active, "{phase}");
        assert_eq!(lock(&fixture.target).servers().len(), 0, "{phase}");
    }
}
