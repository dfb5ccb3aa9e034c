//! An unplanned failover goes on from what an interrupted one has made: from that, and not from what looks like it.

use protector_core::{
    operation::{MapKind, OperationKind, OperationRecord, ResourceMap, steps_failed},
    runbook::unplanned_failover::unplanned_failover,
};
use protector_sim::in_process::lock;
use serde_json::json;

use super::bed::{Bed, operation};

/// A tenant has restored a backup of the import: with all its metadata.
#[tokio::test(start_paused = true)]
async fn a_volume_that_somebody_restored_is_not_taken_for_the_import() {
    let bed = Bed::left_imported().await;
    let import = bed.copy_of(MapKind::Volume, &bed.data);
    let failed = bed.failover().operation;
    let metadata = json!({"protector:operation": failed.id, "protector:source": bed.data});
    let restored = json!({"volume": {"name": "restored", "size": 1, "metadata": metadata}});
    bed.on_target("demo", "POST", "volume /volumes", &restored);
    bed.a_while().await;
    assert_eq!(lock(&bed.target).volumes().len(), 3);
    let mut plan = failed.plan;
    plan.interrupted = vec![failed.id];
    let record = OperationRecord {
        steps: unplanned_failover(&plan).into_steps().unwrap(),
        operation: operation(
            "op-unplanned",
            OperationKind::Failover,
            plan,
            None,
            failed.created_at,
        ),
        map: ResourceMap::default(),
    };
    let record = bed.walk(record).await;
    let failures = steps_failed(&record.steps);
    assert!(
        failures
            .iter()
            .all(|failed| !failed.step.starts_with("recreate")),
        "{failures:?}"
    );
    let used = record.map.target(MapKind::Volume, &bed.data);
    assert_eq!(used, Some(import.as_str()));
}
