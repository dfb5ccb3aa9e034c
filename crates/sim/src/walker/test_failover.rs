//! Test failovers as walked operations: before them a replication, after them their cleanup.

use chrono::{DateTime, Utc};
use protector_core::{
    clock::Clock,
    id::{OperationId, VolumeId},
    operation::{Operation, OperationKind, OperationRecord, OperationState},
    runbook::test_cleanup::{TestCopies, test_cleanup},
    storage::{Replication, StorageDriver},
};

use super::world::World;
use crate::{
    cloud::Service,
    in_process::{SharedCloud, lock},
};

/// The id of the cleanup that follows a test failover.
pub(super) fn cleanup_id() -> OperationId {
    OperationId::new("op-7a3f2c11-0003-4b22-a918-000000000003")
}

impl World {
    /// Gives a test failover whose copies are up its cleanup, unless it has one.
    pub(super) fn clean_up_test(&self, test: &OperationRecord) {
        let copies_are_up = test.operation.state == OperationState::AwaitingCleanup;
        if copies_are_up && self.journal.operation(&cleanup_id()).is_none() {
            self.journal.insert(cleanup_of(test, self.clock.now()));
        }
    }

    /// What a replication before the test has brought to the target's array.
    pub(super) async fn take_recovery_point(&self) {
        let Some(record) = self.journal.operation(&self.operation) else {
            return;
        };
        let plan = &record.operation.plan;
        let volumes: Vec<VolumeId> = plan
            .volumes()
            .map(|(_, volume)| volume.id.clone())
            .collect();
        let earlier = OperationId::new("op-7a3f2c11-0000-4b22-a918-000000000001");
        let taken = self
            .arrays
            .replicate(&Replication::of(plan), &volumes, &earlier)
            .await;
        debug_assert!(taken.is_ok(), "{taken:?}");
    }
}

/// The calls that can change something; asking for a token is not one.
pub(super) fn changes(cloud: &SharedCloud) -> Vec<String> {
    lock(cloud)
        .call_log()
        .iter()
        .filter(|call| call.service != Service::Identity)
        .filter(|call| !matches!(call.method.as_str(), "GET" | "HEAD"))
        .map(|call| format!("{} {}", call.method, call.path))
        .collect()
}

/// What the API makes of `--action test-cleanup`.
fn cleanup_of(test: &OperationRecord, now: DateTime<Utc>) -> OperationRecord {
    #[allow(
        clippy::expect_used,
        reason = "a runbook that breaks its own rules is a defect"
    )]
    let steps = test_cleanup(test, TestCopies::Delete, now).expect("the runbook keeps its rules");
    OperationRecord {
        operation: Operation {
            id: cleanup_id(),
            kind: OperationKind::TestCleanup,
            parent_id: Some(test.operation.id.clone()),
            state: OperationState::Queued,
            created_at: now,
            started_at: None,
            ..test.operation.clone()
        },
        steps,
        map: test.map.clone(),
    }
}
