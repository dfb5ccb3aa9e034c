//! An unplanned failover goes on from what an interrupted one has made: from that, and not from what looks like it.

use protector_core::{
    id::OperationId,
    operation::{
        MapKind, Operation, OperationKind, OperationRecord, Planning, ResourceMap, steps_failed,
    },
    runbook::unplanned_failover::unplanned_failover,
};
use protector_simcloud::in_process::lock;
use serde_json::{Value, json};

use super::fixture::{Fixture, PEER, operation};

/// The unplanned failover that comes after the one that has left its imports.
fn unplanned(fixture: &Fixture) -> OperationRecord {
    unplanned_after(
        fixture,
        "op-unplanned",
        vec![fixture.failover().operation.id],
    )
}

fn unplanned_after(fixture: &Fixture, id: &str, interrupted: Vec<OperationId>) -> OperationRecord {
    let failed = fixture.failover().operation;
    let mut plan = failed.plan;
    plan.interrupted = interrupted;
    OperationRecord {
        steps: unplanned_failover(&plan).into_steps().unwrap(),
        operation: Operation {
            planning: Planning::Unplanned,
            ..operation(id, OperationKind::Failover, plan, None, failed.created_at)
        },
        map: ResourceMap::default(),
    }
}

/// A volume that `user` has made with the marks of the import of the data volume.
async fn marked_volume(fixture: &Fixture, user: &str) -> String {
    let failed = fixture.failover().operation.id;
    let metadata = json!({"protector:operation": failed, "protector:source": fixture.data});
    let restored = json!({"volume": {"name": "restored", "size": 1, "metadata": metadata}});
    let made = fixture.on_target(user, "POST", "volume /volumes", &restored);
    fixture.a_while().await;
    made["volume"]["id"].as_str().unwrap().to_owned()
}

/// What the failed move has imported of the data volume is gone.
async fn without_its_import(fixture: &Fixture) {
    let import = fixture.copy_of(MapKind::Volume, &fixture.data);
    let url = format!("volume /volumes/{import}");
    fixture.on_target("demo", "DELETE", &url, &Value::Null);
    fixture.a_while().await;
    assert_eq!(lock(&fixture.target).volumes().len(), 1);
}

/// A tenant has restored a backup of the import: with all its metadata.
#[tokio::test(start_paused = true)]
async fn a_volume_that_somebody_restored_is_not_taken_for_the_import() {
    let fixture = Fixture::left_imported().await;
    let import = fixture.copy_of(MapKind::Volume, &fixture.data);
    marked_volume(&fixture, "demo").await;
    assert_eq!(lock(&fixture.target).volumes().len(), 3);
    let record = fixture.walk(unplanned(&fixture)).await;
    let failures = steps_failed(&record.steps);
    assert!(
        failures
            .iter()
            .all(|failed| !failed.step.starts_with("recreate")),
        "{failures:?}"
    );
    let used = record.map.target(MapKind::Volume, &fixture.data);
    assert_eq!(used, Some(import.as_str()));
}

/// Nor where it is the only one. The record says how a person tells what it is; then the recovery point is promoted.
#[tokio::test(start_paused = true)]
async fn nor_is_it_where_the_import_is_gone() {
    let fixture = Fixture::left_imported().await;
    without_its_import(&fixture).await;
    let restored = marked_volume(&fixture, "demo").await;
    let record = fixture.walk(unplanned(&fixture)).await;
    let why = record.operation.error.clone().unwrap();
    let cure = format!("volume unset --property protector:source {restored}'");
    for words in [
        cure.as_str(),
        "has made it",
        "peer_user_ids",
        "'openstack dr retry ",
    ] {
        assert!(why.contains(words), "{words} is not in {why}");
    }
    assert_eq!(record.map.target(MapKind::Volume, &fixture.data), None);
    assert!(lock(&fixture.target).servers().is_empty());

    let url = format!("volume /volumes/{restored}/metadata/protector:source");
    fixture.on_target("demo", "DELETE", &url, &Value::Null);
    let before = vec![record.operation.id, fixture.failover().operation.id];
    let again = fixture
        .walk(unplanned_after(&fixture, "op-again", before))
        .await;
    assert_eq!(again.operation.error, None);
    let used = again.map.target(MapKind::Volume, &fixture.data).unwrap();
    assert_ne!(used, restored);
}

/// The other site's protector has a user of its own here, whom an operator has named.
#[tokio::test(start_paused = true)]
async fn what_the_other_sites_protector_has_imported_is_taken_over() {
    let fixture = Fixture::left_imported().await;
    without_its_import(&fixture).await;
    let import = marked_volume(&fixture, PEER).await;
    let record = fixture.walk(unplanned(&fixture)).await;
    assert_eq!(record.operation.error, None);
    let used = record.map.target(MapKind::Volume, &fixture.data);
    assert_eq!(used, Some(import.as_str()));
}
