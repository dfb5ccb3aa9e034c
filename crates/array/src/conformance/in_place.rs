//! What every driver must do whose arrays promote a replica in place: the replica becomes the volume, and the volume its replica.
//!
//! Each test makes a group and volumes of its own. A test that fails panics and says what was wrong.

use async_trait::async_trait;
use protector_core::{
    id::{GroupId, OperationId, RecoveryPointId, VolumeId},
    storage::{
        ArrayProgress, Capabilities, CinderVolume, PromotedVolume, PromotionKind, PromotionMode,
        Relation, Replication, StorageDriver, StorageError,
    },
};

use super::{fresh_id, new_operation, patient::done, refused_message};

/// Two mirrored arrays and a hand on them: what two Cinders and the guests do to volumes.
#[async_trait]
pub trait MirrorFixture: Send + Sync {
    /// A driver of both arrays.
    fn driver(&self) -> &dyn StorageDriver;

    /// A driver of the target's array alone, as an engine has it whose other site is lost.
    fn driver_of_target(&self) -> &dyn StorageDriver;

    /// The source array as a policy names it.
    fn source_array(&self) -> &str;

    /// The target array as a policy names it.
    fn target_array(&self) -> &str;

    /// Makes a Cinder volume on the source array that a guest has written `text` to.
    async fn new_volume(&self, text: &str) -> VolumeId;

    /// A guest on the site of `array` writes `text` to the Cinder volume `volume`; whether the array lets it.
    async fn writes(&self, array: &str, volume: &VolumeId, text: &str) -> bool;

    /// What tells the bytes of a Cinder volume on `array` from any others.
    async fn content(&self, array: &str, volume: &VolumeId) -> String;

    /// Cinder takes the object `source_name` of `array` in, as it does on `manage`: under a new id, and a name made of that.
    async fn manage(&self, array: &str, source_name: &str) -> VolumeId;
}

/// Runs every test.
pub async fn all(fixture: &dyn MirrorFixture) {
    a_planned_move_fences_the_source_and_comes_back(fixture).await;
    no_planned_promotion_comes_before_the_fence(fixture).await;
    what_is_taken_back_is_a_replica_again(fixture).await;
    the_source_stays_fenced_while_the_target_is_promoted(fixture).await;
    a_forced_promotion_needs_the_target_alone(fixture).await;
    what_came_back_becomes_the_replica_of_what_runs(fixture).await;
    a_clone_is_an_object_of_its_own(fixture).await;
    each_call_may_be_made_twice(fixture).await;
    one_array_as_both_is_refused(fixture).await;
}

/// There and back: the bytes are those that were written last on the side that is left, and that side takes no writes.
pub async fn a_planned_move_fences_the_source_and_comes_back(fixture: &dyn MirrorFixture) {
    let there = Case::new(fixture);
    assert_eq!(there.can().promotion, PromotionKind::InPlace);
    assert!(there.can().fences_source);
    let volume = fixture.new_volume("first").await;
    let promoted = there.move_over(&volume).await;
    assert_eq!(promoted.kind, PromotionKind::InPlace);
    assert_eq!(promoted.managed_as, None);
    let managed = there.managed(&promoted).await;
    assert_ne!(managed, volume);
    assert!(there.writes_on_target(&managed, "there").await);
    assert!(!there.writes_on_source(&volume, "late").await, "fenced");
    assert_eq!(there.relation(&volume, &managed).await, there.linked());

    let written = fixture.content(fixture.target_array(), &managed).await;
    let back = there.back();
    let promoted = back.move_over(&managed).await;
    let home = back.managed(&promoted).await;
    assert_eq!(
        fixture.content(fixture.source_array(), &home).await,
        written
    );
    assert!(back.writes_on_target(&home, "home").await);
}

/// What the source writes after the last replication would be lost.
pub async fn no_planned_promotion_comes_before_the_fence(fixture: &dyn MirrorFixture) {
    let case = Case::new(fixture);
    let volume = fixture.new_volume("first").await;
    let point = case.replicate(&volume).await;
    let volumes = [known(&volume)];
    let early = case.driver().promote(
        &case.replication,
        &point,
        &volumes,
        PromotionMode::Planned,
        &case.operation,
    );
    match early.await {
        Ok(ArrayProgress::Done(promoted)) => panic!("promoted beside its source: {promoted:?}"),
        Ok(ArrayProgress::Pending(_)) | Err(_) => {}
    }
    assert!(case.writes_on_source(&volume, "more").await);
}

/// After a promotion is discarded and the fence is gone, the source goes on where it was.
pub async fn what_is_taken_back_is_a_replica_again(fixture: &dyn MirrorFixture) {
    let case = Case::new(fixture);
    let volume = fixture.new_volume("first").await;
    let before = fixture.content(fixture.source_array(), &volume).await;
    let promoted = case.move_over(&volume).await;
    let managed = case.managed(&promoted).await;
    case.discard(&volume, Some(&managed)).await.unwrap();
    case.unfence(&volume).await.unwrap();
    let kept = fixture.content(fixture.source_array(), &volume).await;
    assert_eq!(kept, before);
    assert!(case.writes_on_source(&volume, "goes on").await);
    // And it can be moved after that, by another operation.
    let again = case.of_another_operation();
    let promoted = again.move_over(&volume).await;
    let managed = again.managed(&promoted).await;
    let there = fixture.content(fixture.target_array(), &managed).await;
    let here = fixture.content(fixture.source_array(), &volume).await;
    assert_eq!(there, here);
}

/// Two sides that take writes are a split brain.
pub async fn the_source_stays_fenced_while_the_target_is_promoted(fixture: &dyn MirrorFixture) {
    let case = Case::new(fixture);
    let volume = fixture.new_volume("first").await;
    let promoted = case.move_over(&volume).await;
    refused_message(case.unfence(&volume).await);
    let managed = case.managed(&promoted).await;
    refused_message(case.unfence(&volume).await);
    assert!(!case.writes_on_source(&volume, "late").await);
    assert!(case.writes_on_target(&managed, "there").await);
}

/// The source takes part in nothing, and keeps what it has.
pub async fn a_forced_promotion_needs_the_target_alone(fixture: &dyn MirrorFixture) {
    let case = Case::new(fixture);
    let volume = fixture.new_volume("first").await;
    let replicated = fixture.content(fixture.source_array(), &volume).await;
    case.replicate(&volume).await;
    let promoted = case.promote_by_force(&volume).await;
    let managed = case.managed(&promoted).await;
    let there = fixture.content(fixture.target_array(), &managed).await;
    assert_eq!(there, replicated);
    assert!(case.writes_on_target(&managed, "there").await);
    let kept = fixture.content(fixture.source_array(), &volume).await;
    assert_eq!(kept, replicated);
}

/// And what it had written that never came over is gone: nobody asks for it before that was agreed to.
pub async fn what_came_back_becomes_the_replica_of_what_runs(fixture: &dyn MirrorFixture) {
    let case = Case::new(fixture);
    let volume = fixture.new_volume("first").await;
    case.replicate(&volume).await;
    let promoted = case.promote_by_force(&volume).await;
    let managed = case.managed(&promoted).await;
    assert!(case.writes_on_target(&managed, "there").await);
    let back = case.back();
    back.resync(&managed).await.unwrap();
    assert!(!case.writes_on_source(&volume, "late").await, "a replica");
    assert!(case.writes_on_target(&managed, "goes on").await);
    // The wrong way round it throws nothing away.
    refused_message(case.resync(&volume).await);
    let written = fixture.content(fixture.target_array(), &managed).await;
    let promoted = back.move_over(&managed).await;
    let home = back.managed(&promoted).await;
    assert_eq!(
        fixture.content(fixture.source_array(), &home).await,
        written
    );
}

/// Neither side notices it, and it goes alone.
pub async fn a_clone_is_an_object_of_its_own(fixture: &dyn MirrorFixture) {
    let case = Case::new(fixture);
    let volume = fixture.new_volume("first").await;
    let before = fixture.content(fixture.source_array(), &volume).await;
    let point = case.replicate(&volume).await;
    assert!(case.writes_on_source(&volume, "later").await);
    let test = new_operation();
    let known_volume = known(&volume);
    let clone = done(|| {
        case.driver()
            .clone_point(&case.replication, &point, &known_volume, &test)
    });
    let clone = clone.await.unwrap();
    assert_eq!(clone.kind, PromotionKind::Copy);
    let copy = fixture
        .manage(fixture.target_array(), &clone.source_name)
        .await;
    assert_eq!(fixture.content(fixture.target_array(), &copy).await, before);
    assert_eq!(case.relation(&volume, &copy).await, Relation::Distinct);
    assert!(case.writes_on_target(&copy, "test").await);
    done(|| {
        case.driver()
            .discard_clone(&case.replication, &known_volume, &test, Some(&copy))
    })
    .await
    .unwrap();
    assert!(case.writes_on_source(&volume, "goes on").await);
}

/// After a crash nobody knows which calls were made.
pub async fn each_call_may_be_made_twice(fixture: &dyn MirrorFixture) {
    let case = Case::new(fixture);
    let volume = fixture.new_volume("first").await;
    let point = case.replicate(&volume).await;
    assert_eq!(case.replicate(&volume).await, point);
    for _ in 0..2 {
        case.fence(&volume).await.unwrap();
    }
    let first = case.promote(&point, &volume).await;
    let managed = case.managed(&first).await;
    let again = case.promote(&point, &volume).await;
    assert_eq!(again.object, first.object);
    assert_eq!(again.managed_as.as_ref(), Some(&managed));
    for _ in 0..2 {
        case.discard(&volume, Some(&managed)).await.unwrap();
    }
    for _ in 0..2 {
        case.unfence(&volume).await.unwrap();
    }
    assert!(case.writes_on_source(&volume, "goes on").await);
}

/// Nothing is a mirror of itself, and an array that is not known is named.
pub async fn one_array_as_both_is_refused(fixture: &dyn MirrorFixture) {
    let volume = fixture.new_volume("first").await;
    let case = Case::new(fixture);
    for (source, target) in [
        (fixture.source_array(), fixture.source_array()),
        (fixture.source_array(), "nowhere"),
    ] {
        let replication = Replication {
            source_array: source.to_owned(),
            target_array: target.to_owned(),
            ..case.replication.clone()
        };
        let volumes = [known(&volume)];
        let protected = done(|| case.driver().protect(&replication, &volumes)).await;
        let told = refused_message(protected);
        assert!(told.contains(target), "{told}");
    }
}

/// A group of its own and an operation on it.
struct Case<'a> {
    fixture: &'a dyn MirrorFixture,
    replication: Replication,
    operation: OperationId,
}

impl<'a> Case<'a> {
    fn new(fixture: &'a dyn MirrorFixture) -> Self {
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

    /// The same group's way back.
    fn back(&self) -> Self {
        Self {
            replication: self.replication.back(),
            ..self.of_another_operation()
        }
    }

    fn of_another_operation(&self) -> Self {
        Self {
            fixture: self.fixture,
            replication: self.replication.clone(),
            operation: new_operation(),
        }
    }

    fn driver(&self) -> &'a dyn StorageDriver {
        self.fixture.driver()
    }

    fn can(&self) -> Capabilities {
        self.driver().capabilities(&self.replication).unwrap()
    }

    fn linked(&self) -> Relation {
        match self.can().linked_deletion {
            true => Relation::LinkedDeletion,
            false => Relation::Distinct,
        }
    }

    /// As a planned move does it, up to the promotion.
    async fn move_over(&self, volume: &VolumeId) -> PromotedVolume {
        let point = self.replicate(volume).await;
        self.fence(volume).await.unwrap();
        self.promote(&point, volume).await
    }

    async fn replicate(&self, volume: &VolumeId) -> RecoveryPointId {
        let volumes = [known(volume)];
        done(|| self.driver().protect(&self.replication, &volumes))
            .await
            .unwrap();
        let replicating = done(|| {
            self.driver()
                .replicate(&self.replication, &volumes, &self.operation)
        });
        replicating.await.unwrap().id
    }

    async fn fence(&self, volume: &VolumeId) -> Result<(), StorageError> {
        let volumes = [known(volume)];
        done(|| {
            self.driver()
                .fence(&self.replication, &volumes, &self.operation)
        })
        .await
    }

    async fn unfence(&self, volume: &VolumeId) -> Result<(), StorageError> {
        let volumes = [known(volume)];
        done(|| {
            self.driver()
                .unfence(&self.replication, &volumes, &self.operation)
        })
        .await
    }

    async fn promote(&self, point: &RecoveryPointId, volume: &VolumeId) -> PromotedVolume {
        let (volumes, mode) = ([known(volume)], PromotionMode::Planned);
        let promoting = done(|| {
            self.driver()
                .promote(&self.replication, point, &volumes, mode, &self.operation)
        });
        only(promoting.await.unwrap(), volume)
    }

    /// As an unplanned failover does it, with the latest point that the target has.
    async fn promote_by_force(&self, volume: &VolumeId) -> PromotedVolume {
        let (driver, volumes) = (self.fixture.driver_of_target(), [known(volume)]);
        let points = driver.recovery_points(&self.replication, &volumes).await;
        let latest = points.unwrap().remove(0).id;
        let mode = PromotionMode::Forced;
        let promoting =
            done(|| driver.promote(&self.replication, &latest, &volumes, mode, &self.operation));
        only(promoting.await.unwrap(), volume)
    }

    async fn discard(
        &self,
        volume: &VolumeId,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), StorageError> {
        let volume = known(volume);
        done(|| {
            self.driver()
                .discard_promoted(&self.replication, &volume, &self.operation, managed_as)
        })
        .await
    }

    async fn resync(&self, volume: &VolumeId) -> Result<(), StorageError> {
        let volumes = [known(volume)];
        done(|| {
            self.driver()
                .resync(&self.replication, &volumes, &self.operation)
        })
        .await
    }

    async fn managed(&self, promoted: &PromotedVolume) -> VolumeId {
        let array = &self.replication.target_array;
        self.fixture.manage(array, &promoted.source_name).await
    }

    async fn writes_on_source(&self, volume: &VolumeId, text: &str) -> bool {
        let array = &self.replication.source_array;
        self.fixture.writes(array, volume, text).await
    }

    async fn writes_on_target(&self, volume: &VolumeId, text: &str) -> bool {
        let array = &self.replication.target_array;
        self.fixture.writes(array, volume, text).await
    }

    /// What the volume on the source is to the one on the target.
    async fn relation(&self, here: &VolumeId, there: &VolumeId) -> Relation {
        let located = async |array: &str, volume: &VolumeId| {
            let found = self.driver().locate(array, &known(volume)).await;
            found.unwrap().expect("it is there")
        };
        let one = located(&self.replication.source_array, here).await;
        let other = located(&self.replication.target_array, there).await;
        self.driver().relation(&one, &other).await.unwrap()
    }
}

fn only(mut promoted: Vec<PromotedVolume>, volume: &VolumeId) -> PromotedVolume {
    assert_eq!(promoted.len(), 1, "one volume was asked for: {promoted:?}");
    let promoted = promoted.remove(0);
    assert_eq!(promoted.volume, *volume);
    promoted
}

fn known(volume: &VolumeId) -> CinderVolume {
    CinderVolume::known_by_id(volume.clone())
}
