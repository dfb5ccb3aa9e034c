//! Clones of a recovery point, and letting go of what an ended operation needed.

use protector_core::id::OperationId;

use super::{Case, Fixture, Patient, here, new_operation, new_volume, there};

/// A clone is an object of its own with the point's bytes: neither the source nor the replication notices.
pub async fn a_clone_leaves_source_and_replication_alone(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    fixture.write_source(&volume, b"written since").await;
    let (driver, test) = (here(fixture), new_operation());
    let cloned = driver.clone_point(&case.replication, &point, &volume, &test);
    let name = cloned.await.unwrap().source_name;
    assert_eq!(fixture.read_target(&name).await.unwrap(), b"data");
    fixture.write_target(&name, b"of the test").await;
    assert_eq!(case.read_source(&volume).await, b"written since");
    assert_eq!(case.points().await.len(), 1);

    let promoted = case.promote(&point, &volume).await.unwrap();
    assert_ne!(promoted, name, "a failover has objects of its own");
    assert_eq!(fixture.read_target(&promoted).await.unwrap(), b"data");
    let discarded = driver.discard_clone(&case.replication, &volume, &test, None);
    discarded.await.unwrap();
    assert_eq!(fixture.read_target(&name).await, None);
    assert_eq!(fixture.read_target(&promoted).await.unwrap(), b"data");
    assert_eq!(case.points().await.len(), 1);
}

/// Asked again, here or on the other site, a clone is found under the name that it has; discarded, it is gone.
pub async fn cloning_again_finds_the_clone(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let (here, there, test) = (here(fixture), there(fixture), new_operation());
    let clone = async |driver: Patient<'_>| {
        let cloned = driver.clone_point(&case.replication, &point, &volume, &test);
        cloned.await.unwrap().source_name
    };
    let name = clone(here).await;
    let managed = new_volume();
    let managed_name = fixture.cinder_name(&managed);
    assert_eq!(clone(there).await, name);
    fixture.rename_target(&name, &managed_name).await;
    fixture.write_target(&managed_name, b"of the test").await;
    assert_eq!(clone(there).await, managed_name);
    assert_eq!(fixture.read_target(&name).await, None);
    for _ in 0..2 {
        let discarded = here.discard_clone(&case.replication, &volume, &test, Some(&managed));
        discarded.await.unwrap();
        assert_eq!(fixture.read_target(&managed_name).await, None);
    }
    assert_eq!(case.read_source(&volume).await, b"data");
}

/// What Cinder has taken over stays, the operation's own recovery point goes, and a late discard removes nothing.
pub async fn releasing_keeps_the_objects_and_drops_the_point(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let name = case.promote(&point, &volume).await.unwrap();
    let managed = new_volume();
    let managed_name = fixture.cinder_name(&managed);
    fixture.rename_target(&name, &managed_name).await;
    for driver in [here(fixture), there(fixture)] {
        let released = driver.forget(&case.replication, &[], &case.operation);
        released.await.unwrap();
        assert_eq!(fixture.read_target(&managed_name).await.unwrap(), b"data");
        assert_eq!(case.points().await, []);
    }
    case.discard(&volume, Some(&managed)).await.unwrap();
    assert_eq!(fixture.read_target(&managed_name).await.unwrap(), b"data");
    assert_eq!(case.read_source(&volume).await, b"data");
}

/// A recovery point stays as long as another operation has something from it, and other operations' points stay.
pub async fn releasing_keeps_what_other_operations_use(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let (driver, test) = (here(fixture), new_operation());
    let cloned = driver.clone_point(&case.replication, &point, &volume, &test);
    let name = cloned.await.unwrap().source_name;
    let release = async |operation: &OperationId| {
        let released = driver.forget(&case.replication, &[], operation);
        released.await.unwrap();
    };
    release(&case.operation).await;
    assert_eq!(case.points().await.len(), 1, "the test stands on it");
    release(&test).await;
    assert_eq!(case.points().await.len(), 1, "it is not the test's to drop");
    assert_eq!(fixture.read_target(&name).await.unwrap(), b"data");
    release(&case.operation).await;
    assert_eq!(case.points().await, []);
    release(&new_operation()).await;
}
