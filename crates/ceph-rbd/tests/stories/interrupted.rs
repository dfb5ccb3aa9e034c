//! What engines that die, and clusters that go away, leave half done.

use protector_ceph_rbd::CephRbdDriver;
use protector_core::{
    id::{OperationId, RecoveryPointId},
    storage::{
        ArrayProgress, CinderVolume, GroupFailover, GroupReplication, PromotedVolume,
        PromotionMode, Replication, StorageError, StorageErrorKind, TestClones, Written,
    },
};

use super::{moved, protect, replicate};
use crate::fixture::{Clusters, done, name, new_operation, once, until};

/// A forced promotion of a volume that is replicated.
struct Forced<'a> {
    clusters: &'a Clusters,
    replication: Replication,
    volume: CinderVolume,
    point: RecoveryPointId,
}

impl<'a> Forced<'a> {
    async fn new(clusters: &'a Clusters) -> Self {
        let (replication, volume) = (clusters.there(), clusters.volume("a"));
        protect(clusters, &replication, &volume).await;
        let point = replicate(clusters, &replication, &volume, &new_operation()).await;
        Self {
            clusters,
            replication,
            volume,
            point: point.id,
        }
    }

    async fn promote(
        &self,
        driver: &CephRbdDriver,
        operation: &OperationId,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        let volumes = std::slice::from_ref(&self.volume);
        let mode = PromotionMode::Forced;
        driver
            .promote(&self.replication, &self.point, volumes, mode, operation)
            .await
    }

    async fn discard(
        &self,
        driver: &CephRbdDriver,
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        driver
            .discard_promoted(&self.replication, &self.volume, operation, None)
            .await
    }

    fn program(&self) -> String {
        format!("promote --force volumes/{}", name(&self.volume))
    }

    fn global_id(&self) -> String {
        let image = name(&self.volume);
        let told = self.clusters.info("a", &image, "/mirroring/global_id");
        told.trim_matches('"').to_owned()
    }

    fn is_primary(&self, site: &str) -> bool {
        let image = name(&self.volume);
        self.clusters.info(site, &image, "/mirroring/primary") == "true"
    }

    fn promoted_notes(&self) -> Vec<String> {
        let key = format!("promoted.{}", self.global_id());
        self.clusters.notes("b", &key)
    }

    /// The two sides have the same bytes in the end.
    async fn follows_again(&self) {
        self.clusters.restart_mirror("b");
        protect(self.clusters, &self.replication, &self.volume).await;
        replicate(
            self.clusters,
            &self.replication,
            &self.volume,
            &new_operation(),
        )
        .await;
        let hash = |site| self.clusters.hash(site, &name(&self.volume));
        assert_eq!(hash("a"), hash("b"));
    }
}

fn waits_for<T: std::fmt::Debug>(asked: Result<ArrayProgress<T>, StorageError>) -> String {
    match asked.unwrap() {
        ArrayProgress::Pending(pending) => pending.to_string(),
        done => panic!("{done:?}"),
    }
}

pub async fn a_successor_waits_for_a_forced_promotion(clusters: &Clusters) {
    let (forced, operation) = (Forced::new(clusters).await, new_operation());
    let successor = clusters.another_driver();
    let held = clusters.hold(&forced.program());
    let what = waits_for(forced.promote(&clusters.driver, &operation).await);
    assert!(what.contains("forced promotion"), "{what}");
    // It has not got to the image yet: nobody sees it there.
    let what = waits_for(forced.promote(&successor, &operation).await);
    assert!(what.contains("an earlier process"), "{what}");
    // Now somebody is at work there, as it would be.
    let at_work = clusters.opened("b", &name(&forced.volume)).await;
    let what = waits_for(forced.promote(&successor, &operation).await);
    assert!(what.contains("client."), "{what}");
    let what = waits_for(forced.discard(&successor, &operation).await);
    assert!(what.contains("client."), "{what}");
    drop(at_work);
    drop(held);
    once(|| forced.promote(&clusters.driver, &operation))
        .await
        .unwrap();
    done(|| forced.promote(&successor, &operation)).await;
    clusters.write("b", &forced.volume, "of-b 1").unwrap();
    assert_eq!(clusters.calls_of(&forced.program()), 1, "promoted once");
    once(|| forced.discard(&successor, &operation))
        .await
        .unwrap();
    forced.follows_again().await;
}

pub async fn a_discard_waits_for_the_promotion(clusters: &Clusters) {
    let (forced, operation) = (Forced::new(clusters).await, new_operation());
    let held = clusters.hold(&forced.program());
    waits_for(forced.promote(&clusters.driver, &operation).await);
    let what = waits_for(forced.discard(&clusters.driver, &operation).await);
    assert!(what.contains("to end"), "{what}");
    waits_for(forced.discard(&clusters.another_driver(), &operation).await);
    drop(held);
    until("it is promoted", || forced.is_primary("b")).await;
    done(|| forced.discard(&clusters.driver, &operation)).await;
    assert!(!forced.is_primary("b") && forced.is_primary("a"));
    forced.follows_again().await;
    assert_eq!(forced.promoted_notes(), Vec::<String>::new());
}

pub async fn a_discard_without_the_source_is_not_forgotten(clusters: &Clusters) {
    let (forced, operation, later) = (
        Forced::new(clusters).await,
        new_operation(),
        new_operation(),
    );
    let own = &clusters.driver_of_b;
    done(|| forced.promote(own, &operation)).await;
    clusters.write("b", &forced.volume, "of-b 2 20").unwrap();
    // Another operation takes it over, and the first one is forgotten: what was written counts from the beginning.
    done(|| forced.promote(own, &later)).await;
    let volumes = std::slice::from_ref(&forced.volume);
    own.forget(&forced.replication, volumes, &operation)
        .await
        .unwrap();
    clusters.write("b", &forced.volume, "of-b 1 26").unwrap();
    match own
        .written_since(&forced.replication, &forced.volume, &later)
        .await
        .unwrap()
    {
        Written::Since { bytes, .. } => assert!(bytes >= 3 << 20, "{bytes}"),
        other => panic!("{other:?}"),
    }
    // The source is not asked, as if it were away.
    done(|| forced.discard(own, &later)).await;
    assert!(!forced.is_primary("b"));
    assert_eq!(
        forced.promoted_notes().len(),
        1,
        "it cannot follow as it is"
    );
    let stale = clusters.info("b", &name(&forced.volume), "/id");
    clusters.restart_mirror("b");
    protect(clusters, &forced.replication, &forced.volume).await;
    assert_ne!(clusters.info("b", &name(&forced.volume), "/id"), stale);
    assert_eq!(forced.promoted_notes(), Vec::<String>::new());
    forced.follows_again().await;
}

pub async fn a_replica_that_was_never_promoted_stays(clusters: &Clusters) {
    let (forced, operation) = (Forced::new(clusters).await, new_operation());
    let refused = clusters.refuse(&forced.program());
    let error = forced.promote(&clusters.driver, &operation).await;
    error.unwrap_err();
    drop(refused);
    let kept = clusters.info("b", &name(&forced.volume), "/id");
    done(|| forced.discard(&clusters.driver, &operation)).await;
    assert_eq!(forced.promoted_notes(), Vec::<String>::new());
    let resync = format!("resync volumes/{}", name(&forced.volume));
    assert_eq!(clusters.calls_of(&resync), 0);
    forced.follows_again().await;
    assert_eq!(clusters.info("b", &name(&forced.volume), "/id"), kept);
}

pub async fn what_was_made_anew_is_not_believed(clusters: &Clusters) {
    let forced = Forced::new(clusters).await;
    let (driver, volumes) = (&clusters.driver_of_b, std::slice::from_ref(&forced.volume));
    let points = driver.recovery_points(&forced.replication, volumes).await;
    assert_eq!(points.unwrap()[0].id, forced.point);
    let image = name(&forced.volume);
    let stale = clusters.info("b", &image, "/id");
    clusters
        .rbd("b", &format!("mirror image resync volumes/{image}"))
        .unwrap();
    until("it is made anew", || {
        let told = clusters.rbd("b", &format!("info volumes/{image} --format json"));
        told.is_ok_and(|told| !told.contains(&stale))
    })
    .await;
    let points = driver.recovery_points(&forced.replication, volumes).await;
    assert_eq!(points.unwrap(), []);
    let refused = forced.promote(driver, &new_operation()).await.unwrap_err();
    assert_eq!(refused.kind, StorageErrorKind::Refused, "{refused}");
    assert!(refused.message.contains("made anew"), "{refused}");
    let test = new_operation();
    let refused = driver.clone_point(&forced.replication, &forced.point, &forced.volume, &test);
    assert_eq!(refused.await.unwrap_err().kind, StorageErrorKind::Refused);
    protect(clusters, &forced.replication, &forced.volume).await;
    replicate(
        clusters,
        &forced.replication,
        &forced.volume,
        &new_operation(),
    )
    .await;
}

pub async fn an_end_of_protection_is_ended_later(clusters: &Clusters) {
    let replication = clusters.there();
    let first = clusters.volume("a");
    // As two volumes the image is known by now.
    let volume = moved(clusters, &replication, &first).await;
    let global_id = clusters.info("b", &name(&volume), "/mirroring/global_id");
    let global_id = global_id.trim_matches('"');
    let back = replication.back();
    protect(clusters, &back, &volume).await;
    replicate(clusters, &back, &volume, &new_operation()).await;
    assert!(!clusters.notes("a", global_id).is_empty());
    let hash = |site, of: &CinderVolume| clusters.hash(site, &name(of));
    until("the replica has all", || {
        hash("a", &volume) == hash("b", &volume)
    })
    .await;
    let bytes = hash("b", &volume);
    let volumes = std::slice::from_ref(&volume);
    let refused = clusters.refuse(&format!("disable volumes/{}", name(&volume)));
    let cut = clusters.driver.unprotect(&back, volumes).await;
    cut.unwrap_err();
    drop(refused);
    done(|| clusters.another_driver_unprotects(&back, volumes)).await;
    for site in ["a", "b"] {
        assert_eq!(hash(site, &volume), bytes, "site {site} has its image");
        let snapshots = clusters.rbd(site, &format!("snap ls volumes/{}", name(&volume)));
        assert_eq!(snapshots.unwrap(), "", "site {site}");
        clusters.write(site, &volume, "own 1").unwrap();
        assert_eq!(clusters.notes(site, global_id), Vec::<String>::new());
    }
}

impl Clusters {
    async fn another_driver_unprotects(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let driver = self.another_driver();
        driver.unprotect(replication, volumes).await
    }
}

pub async fn a_test_keeps_its_point(clusters: &Clusters) {
    let (replication, test) = (clusters.there(), new_operation());
    let volumes = [clusters.volume("a"), clusters.volume("a")];
    let driver = &clusters.driver;
    done(|| driver.protect(&replication, &volumes)).await;
    let replicated = async || {
        let operation = new_operation();
        done(|| driver.replicate(&replication, &volumes, &operation)).await
    };
    let point = replicated().await;
    let bytes = clusters.hash("a", &name(&volumes[1]));
    let clone =
        async |volume| done(|| driver.clone_point(&replication, &point.id, volume, &test)).await;
    clone(&volumes[0]).await;
    clusters.write("a", &volumes[1], "later 4").unwrap();
    for _ in 0..3 {
        replicated().await;
    }
    let second = clone(&volumes[1]).await;
    assert_eq!(clusters.hash("b", &second.source_name), bytes);
    for volume in &volumes {
        done(|| driver.discard_clone(&replication, volume, &test, None)).await;
    }
    replicated().await;
    let snapshots = clusters.rbd("a", &format!("snap ls volumes/{}", name(&volumes[0])));
    assert_eq!(snapshots.unwrap().matches("dr-op-").count(), 2);
    let late = new_operation();
    let gone = driver.clone_point(&replication, &point.id, &volumes[1], &late);
    assert_eq!(gone.await.unwrap_err().kind, StorageErrorKind::Refused);
}
