//! What every storage driver must do, as tests.
//!
//! A driver's crate gives a [`Fixture`] and calls [`all`], or the tests one by one. Each test makes groups, volumes
//! and operations of its own, so one fixture serves them all, one after the other or at once. A test that fails
//! panics and says what was wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

mod clones;
pub mod in_place;
mod patient;

use async_trait::async_trait;
pub use clones::{
    a_clone_leaves_source_and_replication_alone, cloning_again_finds_the_clone,
    releasing_keeps_the_objects_and_drops_the_point, releasing_keeps_what_other_operations_use,
};
pub use patient::Patient;
use protector_core::{
    id::{GroupId, OperationId, RecoveryPointId, VolumeId},
    storage::{RecoveryPoint, Relation, Replication, StorageDriver, StorageError, Written},
};
use uuid::Uuid;

/// Two arrays and a hand on them: what Cinder and the servers do to volumes.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A driver of both arrays.
    fn driver(&self) -> &dyn StorageDriver;

    /// A second driver of the same arrays, as the other site's engine has one.
    fn other_driver(&self) -> &dyn StorageDriver;

    /// The source array as a policy names it.
    fn source_array(&self) -> &str;

    /// The target array as a policy names it.
    fn target_array(&self) -> &str;

    /// Makes the Cinder volume `volume` on the source array, or replaces its bytes: the same object all the same.
    async fn write_source(&self, volume: &VolumeId, bytes: &[u8]);

    /// The bytes of a Cinder volume on the source array.
    async fn read_source(&self, volume: &VolumeId) -> Option<Vec<u8>>;

    /// Makes the object `name` on the target array, or replaces its bytes: the same object all the same.
    async fn write_target(&self, name: &str, bytes: &[u8]);

    /// The bytes of the object `name` on the target array.
    async fn read_target(&self, name: &str) -> Option<Vec<u8>>;

    /// Renames an object on the target array, as Cinder's `manage` does.
    async fn rename_target(&self, from: &str, to: &str);

    /// The name that Cinder gives to `volume` on its array.
    fn cinder_name(&self, volume: &VolumeId) -> String {
        format!("volume-{volume}")
    }
}

fn here(fixture: &dyn Fixture) -> Patient<'_> {
    Patient(fixture.driver())
}

fn there(fixture: &dyn Fixture) -> Patient<'_> {
    Patient(fixture.other_driver())
}

/// Runs every test.
pub async fn all(fixture: &dyn Fixture) {
    promoted_volumes_have_the_bytes_of_the_point(fixture).await;
    replicating_again_gives_the_same_point(fixture).await;
    replicating_at_once_gives_one_point(fixture).await;
    replicating_a_missing_volume_is_refused_and_leaves_no_point(fixture).await;
    points_are_listed_newest_first(fixture).await;
    points_belong_to_a_group_and_a_direction(fixture).await;
    promoting_again_keeps_what_was_written_since(fixture).await;
    promoting_again_finds_the_renamed_object(fixture).await;
    promoting_at_once_makes_one_object(fixture).await;
    what_was_written_to_a_promoted_object_is_told(fixture).await;
    what_was_written_to_an_original_is_told(fixture).await;
    operations_promote_side_by_side(fixture).await;
    promoting_what_is_not_there_is_refused(fixture).await;
    promoting_leaves_a_foreign_object_alone(fixture).await;
    discarding_removes_the_first_name(fixture).await;
    discarding_removes_the_managed_name(fixture).await;
    discarding_leaves_foreign_objects_alone(fixture).await;
    discarding_an_object_under_another_name_is_refused(fixture).await;
    promoting_after_discarding_makes_it_again(fixture).await;
    a_clone_leaves_source_and_replication_alone(fixture).await;
    cloning_again_finds_the_clone(fixture).await;
    releasing_keeps_the_objects_and_drops_the_point(fixture).await;
    releasing_keeps_what_other_operations_use(fixture).await;
    an_identity_stays_and_is_of_one_object(fixture).await;
    only_volumes_on_the_array_are_held(fixture).await;
    unknown_arrays_are_refused(fixture).await;
    one_array_as_source_and_target_is_refused(fixture).await;
    ids_that_lead_elsewhere_are_refused(fixture).await;
}

/// Several volumes come to the target as they were when they were replicated, not as they are later.
pub async fn promoted_volumes_have_the_bytes_of_the_point(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let mut mostly_zeros = vec![0; 3_000_000];
    mostly_zeros[1_500_001] = 7;
    let samples: [&[u8]; 4] = [b"one", b"", &mostly_zeros, &[255; 200_001]];
    let mut volumes = Vec::new();
    for sample in samples {
        volumes.push(case.source_volume(sample).await);
    }
    let point = case.replicate(&volumes).await.unwrap();
    case.fixture.write_source(&volumes[0], b"later").await;
    for (volume, sample) in volumes.iter().zip(samples) {
        let name = case.promote(&point.id, volume).await.unwrap();
        let promoted = fixture.read_target(&name).await.expect("promoted");
        assert!(
            promoted == sample,
            "{name} has other bytes than {volume} had"
        );
    }
    assert_eq!(case.read_source(&volumes[0]).await, b"later");
}

/// The same operation asks again, here or on the other site, and gets the point that it made.
pub async fn replicating_again_gives_the_same_point(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let volume = case.source_volume(b"first").await;
    let first = case.replicate(std::slice::from_ref(&volume)).await.unwrap();
    fixture.write_source(&volume, b"second").await;
    let again = case.replicate(std::slice::from_ref(&volume)).await.unwrap();
    assert_eq!(first, again);
    let other = there(fixture);
    let volumes = [volume.clone()];
    let elsewhere = other.replicate(&case.replication, &volumes, &case.operation);
    assert_eq!(first, elsewhere.await.unwrap());
    assert_eq!(case.points().await, std::slice::from_ref(&first));
    let name = case.promote(&first.id, &volume).await.unwrap();
    assert_eq!(fixture.read_target(&name).await.unwrap(), b"first");
}

/// Two engines replicate for one operation at once: both get the one point.
pub async fn replicating_at_once_gives_one_point(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let volumes = [case.source_volume(&[3; 500_000]).await];
    let (here, there) = (here(fixture), there(fixture));
    let (here, there) = tokio::join!(
        here.replicate(&case.replication, &volumes, &case.operation),
        there.replicate(&case.replication, &volumes, &case.operation),
    );
    assert_eq!(here.unwrap(), there.unwrap());
    assert_eq!(case.points().await.len(), 1);
}

/// A point holds all volumes or does not exist.
pub async fn replicating_a_missing_volume_is_refused_and_leaves_no_point(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let there = case.source_volume(b"there").await;
    let missing = new_volume();
    let refused = case.replicate(&[there, missing.clone()]).await;
    let message = refused_message(refused);
    assert!(message.contains(missing.as_str()), "{message}");
    assert!(
        message.contains(fixture.source_array()),
        "{message} should name the array"
    );
    assert_eq!(case.points().await, []);
}

/// Later operations make later points.
pub async fn points_are_listed_newest_first(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let volumes = [case.source_volume(b"data").await];
    let mut made = Vec::new();
    for _ in 0..3 {
        let operation = new_operation();
        let driver = here(fixture);
        let point = driver.replicate(&case.replication, &volumes, &operation);
        made.push(point.await.unwrap());
    }
    made.reverse();
    assert_eq!(case.points().await, made);
    assert!(made[0].taken_at > made[1].taken_at && made[1].taken_at > made[2].taken_at);
}

/// A group's points are not another group's, and not those of the way back.
pub async fn points_belong_to_a_group_and_a_direction(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let volume = case.source_volume(b"data").await;
    let point = case.replicate(std::slice::from_ref(&volume)).await.unwrap();
    let other_group = Case::new(fixture);
    assert_eq!(other_group.points().await, []);
    refused_message(other_group.promote(&point.id, &volume).await);
    let back = Replication {
        group_id: case.replication.group_id.clone(),
        source_array: case.replication.target_array.clone(),
        target_array: case.replication.source_array.clone(),
    };
    assert_eq!(here(fixture).recovery_points(&back, &[]).await.unwrap(), []);
}

/// A promoted volume that a server wrote to is not overwritten by asking again.
pub async fn promoting_again_keeps_what_was_written_since(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let name = case.promote(&point, &volume).await.unwrap();
    fixture.write_target(&name, b"written since").await;
    assert_eq!(case.promote(&point, &volume).await.unwrap(), name);
    assert_eq!(fixture.read_target(&name).await.unwrap(), b"written since");
}

/// After Cinder's rename, asking again gives the name under which the object is, and makes no second one: an import that
/// failed after that is repeated from there, as often as it takes.
pub async fn promoting_again_finds_the_renamed_object(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let first = case.promote(&point, &volume).await.unwrap();
    let mut name = first.clone();
    for bytes in [b"written since", b"written later"] {
        let managed = fixture.cinder_name(&new_volume());
        fixture.rename_target(&name, &managed).await;
        fixture.write_target(&managed, bytes).await;
        let other = there(fixture);
        let again = other.promote(&case.replication, &point, &volume, &case.operation);
        name = again.await.unwrap().source_name;
        assert_eq!(name, managed);
        assert_eq!(fixture.read_target(&name).await.unwrap(), bytes);
        assert_eq!(fixture.read_target(&first).await, None);
    }
}

/// Whatever it is called by now, here or on the other site; of what is not there nothing is told.
pub async fn what_was_written_to_a_promoted_object_is_told(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let written = async |driver: Patient<'_>| {
        let asked = driver.written_since(&case.replication, &volume, &case.operation);
        asked.await.unwrap()
    };
    let (here, there) = (here(fixture), there(fixture));
    assert_eq!(written(here).await, Written::NoObject, "not promoted yet");
    let name = case.promote(&point, &volume).await.unwrap();
    assert_eq!(written(here).await, Written::Nothing);
    fixture.write_source(&volume, b"later").await;
    assert_eq!(written(here).await, Written::Nothing, "that is the source");
    let taken_at = case.points().await[0].taken_at;
    let managed = new_volume();
    let managed_name = fixture.cinder_name(&managed);
    for name in [&name, &managed_name] {
        if name == &managed_name {
            fixture
                .rename_target(&case.promote(&point, &volume).await.unwrap(), name)
                .await;
        }
        fixture.write_target(name, b"dato").await;
        for driver in [here, there] {
            match written(driver).await {
                Written::Since { point, bytes } => {
                    assert_eq!(point, taken_at);
                    assert!((1..1 << 20).contains(&bytes), "{bytes} bytes");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    fixture.write_target(&managed_name, b"data").await;
    assert_eq!(written(there).await, Written::Nothing, "it is as it was");
    case.discard(&volume, Some(&managed)).await.unwrap();
    assert_eq!(written(here).await, Written::NoObject, "it is gone");
}

/// Since the point of the operation that asks, here or on the other site, until that is let go of.
pub async fn what_was_written_to_an_original_is_told(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let written = async |driver: Patient<'_>, volume: &VolumeId| {
        let asked = driver.original_written_since(&case.replication, volume, &case.operation);
        asked.await.unwrap()
    };
    let (here, there) = (here(fixture), there(fixture));
    let name = case.promote(&point, &volume).await.unwrap();
    fixture.write_target(&name, b"of the copy").await;
    assert_eq!(written(here, &volume).await, Written::Nothing, "the copy's");
    fixture.write_source(&volume, b"dato").await;
    let (later, volumes) = (new_operation(), [volume.clone()]);
    let replicated = here.replicate(&case.replication, &volumes, &later);
    replicated.await.unwrap();
    for driver in [here, there] {
        match written(driver, &volume).await {
            Written::Since { point, bytes } => {
                assert_eq!(point, case.points().await[1].taken_at, "its own point's");
                assert!((1..1 << 20).contains(&bytes), "{bytes} bytes");
            }
            other => panic!("{other:?}"),
        }
    }
    fixture.write_source(&volume, b"data").await;
    assert_eq!(written(there, &volume).await, Written::Nothing, "as it was");
    assert!(matches!(
        written(here, &new_volume()).await,
        Written::Unknown { .. } | Written::NoObject
    ));
    let discarded = case.discard(&volume, None);
    discarded.await.unwrap();
    here.forget(&case.replication, &[], &case.operation)
        .await
        .unwrap();
    assert!(matches!(
        written(there, &volume).await,
        Written::Unknown { .. }
    ));
}

/// Two engines promote the same volume at once.
pub async fn promoting_at_once_makes_one_object(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(&[9; 400_000]).await;
    let (here, there) = (here(fixture), there(fixture));
    let (one, two, three, four) = tokio::join!(
        here.promote(&case.replication, &point, &volume, &case.operation),
        there.promote(&case.replication, &point, &volume, &case.operation),
        here.promote(&case.replication, &point, &volume, &case.operation),
        there.promote(&case.replication, &point, &volume, &case.operation),
    );
    let name = one.unwrap().source_name;
    for other in [two, three, four] {
        assert_eq!(other.unwrap().source_name, name);
    }
    assert!(fixture.read_target(&name).await.unwrap() == [9; 400_000]);
    case.discard(&volume, None).await.unwrap();
    assert_eq!(fixture.read_target(&name).await, None);
}

/// Another operation gets an object of its own, and discarding it leaves the first.
pub async fn operations_promote_side_by_side(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let first = case.promote(&point, &volume).await.unwrap();
    let (driver, operation) = (here(fixture), new_operation());
    let second = driver.promote(&case.replication, &point, &volume, &operation);
    let second = second.await.unwrap().source_name;
    assert_ne!(first, second);
    let discarded = driver.discard_promoted(&case.replication, &volume, &operation, None);
    discarded.await.unwrap();
    assert_eq!(fixture.read_target(&second).await, None);
    assert_eq!(fixture.read_target(&first).await.unwrap(), b"data");
    let managed = fixture.cinder_name(&new_volume());
    fixture.rename_target(&first, &managed).await;
    let third = driver.promote(&case.replication, &point, &volume, &operation);
    let third = third.await.unwrap().source_name;
    assert_ne!(third, managed, "that one is Cinder's by now");
    assert_eq!(fixture.read_target(&third).await.unwrap(), b"data");
}

/// An unknown point, and a volume that the point does not hold.
pub async fn promoting_what_is_not_there_is_refused(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let unknown = RecoveryPointId::new(fresh_id().to_string());
    refused_message(case.promote(&unknown, &volume).await);
    refused_message(case.promote(&point, &new_volume()).await);
}

/// An object that has the promoted volume's name by chance is neither taken for it nor overwritten nor discarded.
pub async fn promoting_leaves_a_foreign_object_alone(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let name = case.promote(&point, &volume).await.unwrap();
    case.discard(&volume, None).await.unwrap();
    fixture.write_target(&name, b"foreign").await;
    let message = refused_message(case.promote(&point, &volume).await);
    assert!(message.contains(&name), "{message}");
    case.discard(&volume, None).await.unwrap();
    assert_eq!(fixture.read_target(&name).await.unwrap(), b"foreign");
}

/// Discarding works before Cinder knew the object, twice, and for what was never promoted. The source stays.
pub async fn discarding_removes_the_first_name(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    case.discard(&volume, None).await.unwrap();
    let name = case.promote(&point, &volume).await.unwrap();
    for _ in 0..2 {
        case.discard(&volume, None).await.unwrap();
        assert_eq!(fixture.read_target(&name).await, None);
    }
    assert_eq!(case.read_source(&volume).await, b"data");
}

/// Discarding works after Cinder managed the object and let it go again.
pub async fn discarding_removes_the_managed_name(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let name = case.promote(&point, &volume).await.unwrap();
    let managed = new_volume();
    let managed_name = fixture.cinder_name(&managed);
    fixture.rename_target(&name, &managed_name).await;
    for _ in 0..2 {
        case.discard(&volume, Some(&managed)).await.unwrap();
        assert_eq!(fixture.read_target(&managed_name).await, None);
    }
    assert_eq!(case.read_source(&volume).await, b"data");
}

/// Another volume under the name that is given goes nowhere, be the promoted object there or not.
pub async fn discarding_leaves_foreign_objects_alone(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let foreign = new_volume();
    let foreign_name = fixture.cinder_name(&foreign);
    fixture.write_target(&foreign_name, b"foreign").await;
    case.discard(&volume, Some(&foreign)).await.unwrap();
    let name = case.promote(&point, &volume).await.unwrap();
    case.discard(&volume, Some(&foreign)).await.unwrap();
    assert_eq!(fixture.read_target(&name).await, None);
    assert_eq!(
        fixture.read_target(&foreign_name).await.unwrap(),
        b"foreign"
    );
}

/// An object that Cinder still has under a name that is not given is neither removed nor said to be.
pub async fn discarding_an_object_under_another_name_is_refused(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let name = case.promote(&point, &volume).await.unwrap();
    let managed = new_volume();
    let managed_name = fixture.cinder_name(&managed);
    fixture.rename_target(&name, &managed_name).await;
    let message = refused_message(case.discard(&volume, None).await);
    assert!(message.contains(&managed_name), "{message}");
    refused_message(case.discard(&volume, Some(&new_volume())).await);
    assert_eq!(fixture.read_target(&managed_name).await.unwrap(), b"data");
    case.discard(&volume, Some(&managed)).await.unwrap();
    assert_eq!(fixture.read_target(&managed_name).await, None);
}

/// An operation that took its promotion back may promote again.
pub async fn promoting_after_discarding_makes_it_again(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let name = case.promote(&point, &volume).await.unwrap();
    fixture.write_target(&name, b"written since").await;
    case.discard(&volume, None).await.unwrap();
    assert_eq!(case.promote(&point, &volume).await.unwrap(), name);
    assert_eq!(fixture.read_target(&name).await.unwrap(), b"data");
}

/// Writes do not change an identity; source and copy, and two copies, are different objects.
pub async fn an_identity_stays_and_is_of_one_object(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let (driver, other) = (here(fixture), there(fixture));
    let (source, target) = (fixture.source_array(), fixture.target_array());
    let original = driver.identity(source, &volume).await.unwrap();
    assert!(original.is_some());
    fixture.write_source(&volume, b"written since").await;
    assert_eq!(original, other.identity(source, &volume).await.unwrap());
    assert_eq!(driver.identity(target, &volume).await.unwrap(), None);

    let name = case.promote(&point, &volume).await.unwrap();
    let managed = new_volume();
    fixture
        .rename_target(&name, &fixture.cinder_name(&managed))
        .await;
    let promoted = driver.identity(target, &managed).await.unwrap();
    assert!(promoted.is_some());
    assert_ne!(promoted, original);
    assert_ne!(
        promoted.as_ref().map(|object| &object.scope),
        original.as_ref().map(|object| &object.scope),
        "two arrays have two identities"
    );
    let (original, promoted) = (original.unwrap(), promoted.unwrap());
    let relation = driver.relation(&original, &promoted);
    assert_eq!(relation.await.unwrap(), Relation::Distinct);
    let itself = other.relation(&original, &original);
    assert_eq!(itself.await.unwrap(), Relation::Same);
    let original = Some(original);
    let neighbour = case.source_volume(b"data").await;
    assert_ne!(original, driver.identity(source, &neighbour).await.unwrap());
}

/// A volume is on the array on which its Cinder made it.
pub async fn only_volumes_on_the_array_are_held(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let volume = case.source_volume(b"data").await;
    let driver = here(fixture);
    let (source, target) = (fixture.source_array(), fixture.target_array());
    let held = async |array: &str, volume: &VolumeId| {
        driver.identity(array, volume).await.unwrap().is_some()
    };
    assert!(held(source, &volume).await);
    assert!(!held(target, &volume).await);
    assert!(!held(source, &new_volume()).await);
    driver.check(fixture.source_array()).await.unwrap();
    driver.check(fixture.target_array()).await.unwrap();
}

/// Every call refuses an array that is not configured, and says which are.
pub async fn unknown_arrays_are_refused(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let driver = here(fixture);
    for unknown in ["mock://nowhere", "other://array", "", "mock://../etc"] {
        let message = refused_message(driver.check(unknown).await);
        assert!(message.contains(fixture.target_array()), "{message}");
        refused_message(driver.identity(unknown, &volume).await);
        let lost = Replication {
            target_array: unknown.to_owned(),
            ..case.replication.clone()
        };
        refused_calls(driver, &lost, &point, &volume, &case.operation).await;
    }
}

/// Replicating an array to itself would make a discard able to reach the source.
pub async fn one_array_as_source_and_target_is_refused(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let same = Replication {
        target_array: case.replication.source_array.clone(),
        ..case.replication.clone()
    };
    refused_calls(here(fixture), &same, &point, &volume, &case.operation).await;
}

/// Ids come from clouds and requests; none may become a path or a name of another kind.
pub async fn ids_that_lead_elsewhere_are_refused(fixture: &dyn Fixture) {
    let case = Case::new(fixture);
    let (volume, point) = case.replicated(b"data").await;
    let driver = here(fixture);
    let long = "x".repeat(300);
    for unsafe_id in [
        "",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a.b",
        "a@b",
        "a b",
        "é",
        "a\0",
        &long,
    ] {
        let bad = VolumeId::new(unsafe_id);
        refused_message(driver.identity(fixture.source_array(), &bad).await);
        refused_calls(driver, &case.replication, &point, &bad, &case.operation).await;
        refused_message(case.discard(&volume, Some(&bad)).await);
        let operation = OperationId::new(unsafe_id);
        refused_calls(driver, &case.replication, &point, &volume, &operation).await;
        refused_message(driver.forget(&case.replication, &[], &operation).await);
        let bad_point = RecoveryPointId::new(unsafe_id);
        refused_message(case.promote(&bad_point, &volume).await);
        let bad_group = Replication {
            group_id: GroupId::new(unsafe_id),
            ..case.replication.clone()
        };
        refused_message(driver.recovery_points(&bad_group, &[]).await);
        refused_message(driver.forget(&bad_group, &[], &case.operation).await);
        let promoted = driver.promote(&bad_group, &point, &volume, &case.operation);
        refused_message(promoted.await);
    }
}

async fn refused_calls(
    driver: Patient<'_>,
    replication: &Replication,
    point: &RecoveryPointId,
    volume: &VolumeId,
    operation: &OperationId,
) {
    let volumes = [volume.clone()];
    refused_message(driver.replicate(replication, &volumes, operation).await);
    let promoted = driver.promote(replication, point, volume, operation);
    refused_message(promoted.await);
    let discarded = driver.discard_promoted(replication, volume, operation, None);
    refused_message(discarded.await);
    let cloned = driver.clone_point(replication, point, volume, operation);
    refused_message(cloned.await);
    let discarded = driver.discard_clone(replication, volume, operation, None);
    refused_message(discarded.await);
}

/// A group of its own and an operation on it.
struct Case<'a> {
    fixture: &'a dyn Fixture,
    replication: Replication,
    operation: OperationId,
}

impl<'a> Case<'a> {
    fn new(fixture: &'a dyn Fixture) -> Self {
        Self {
            fixture,
            replication: Replication {
                group_id: GroupId::new(fresh_id().to_string()),
                source_array: fixture.source_array().to_owned(),
                target_array: fixture.target_array().to_owned(),
            },
            operation: new_operation(),
        }
    }

    async fn source_volume(&self, bytes: &[u8]) -> VolumeId {
        let volume = new_volume();
        self.fixture.write_source(&volume, bytes).await;
        volume
    }

    async fn read_source(&self, volume: &VolumeId) -> Vec<u8> {
        let bytes = self.fixture.read_source(volume).await;
        bytes.expect("the source volume is still there")
    }

    async fn replicated(&self, bytes: &[u8]) -> (VolumeId, RecoveryPointId) {
        let volume = self.source_volume(bytes).await;
        let point = self.replicate(std::slice::from_ref(&volume)).await;
        (volume, point.unwrap().id)
    }

    async fn replicate(&self, volumes: &[VolumeId]) -> Result<RecoveryPoint, StorageError> {
        let driver = here(self.fixture);
        driver
            .replicate(&self.replication, volumes, &self.operation)
            .await
    }

    async fn points(&self) -> Vec<RecoveryPoint> {
        let driver = here(self.fixture);
        driver
            .recovery_points(&self.replication, &[])
            .await
            .unwrap()
    }

    async fn promote(
        &self,
        point: &RecoveryPointId,
        volume: &VolumeId,
    ) -> Result<String, StorageError> {
        let driver = here(self.fixture);
        driver
            .promote(&self.replication, point, volume, &self.operation)
            .await
            .map(|promoted| promoted.source_name)
    }

    async fn discard(
        &self,
        volume: &VolumeId,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), StorageError> {
        let driver = here(self.fixture);
        driver
            .discard_promoted(&self.replication, volume, &self.operation, managed_as)
            .await
    }
}

fn new_volume() -> VolumeId {
    VolumeId::new(fresh_id().to_string())
}

fn new_operation() -> OperationId {
    OperationId::from_uuid(fresh_id())
}

#[track_caller]
fn refused_message<T: std::fmt::Debug>(outcome: Result<T, StorageError>) -> String {
    match outcome {
        Err(refused) if !refused.kind.may_pass() => refused.to_string(),
        other => panic!("should be refused, was {other:?}"),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "every run of the suite leaves what it makes on a real array"
)]
fn fresh_id() -> Uuid {
    Uuid::new_v4()
}
