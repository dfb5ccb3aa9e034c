//! The recovery point that an unplanned failover goes to.

use bytes::Bytes;
use protector_core::operation::{MapKind, OperationState};

use super::fixture::Fixture;

#[tokio::test(start_paused = true)]
async fn the_one_that_was_asked_for_is_brought_up_though_there_is_a_later_one() {
    let (fixture, record) = Fixture::recovered_at(|group| format!("{group}-op-early")).await;
    assert_eq!(record.operation.error, None);
    assert_eq!(record.operation.state, OperationState::Completed);
    let copy = record.map.target(MapKind::Volume, &fixture.data).unwrap();
    let brought_up = fixture.on_the_target_array(copy);
    assert_eq!(brought_up, Some(Bytes::from_static(b"early")));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_there_any_more_is_not_replaced_by_another() {
    let (fixture, record) = Fixture::recovered_at(|group| format!("{group}-op-dropped")).await;
    assert_eq!(record.operation.state, OperationState::Failed);
    let why = record.operation.error.unwrap();
    assert!(why.contains("op-dropped of protection group"), "{why}");
    assert!(why.contains("'openstack dr recovery-point list "), "{why}");
    assert_eq!(record.map.target(MapKind::Volume, &fixture.data), None);
}
