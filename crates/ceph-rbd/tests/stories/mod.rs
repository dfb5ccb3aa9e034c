//! What happens to a volume, from its protection to the end.

mod conformance;
mod interrupted;
mod killed;

pub use conformance::*;
pub use interrupted::*;
pub use killed::*;

use protector_ceph_rbd::{CephArray, CephRbdDriver};
use protector_core::{
    id::RecoveryPointId,
    storage::{
        ArrayObjects, ArrayProgress, CinderVolume, GroupFailover, GroupReplication, PromotedVolume,
        PromotionKind, PromotionMode, RecoveryPoint, Relation, Replication, StorageErrorKind,
        TestClones, Written,
    },
};

use crate::fixture::{Clusters, done, name, new_operation, new_volume, once, options, until};

async fn protect(clusters: &Clusters, replication: &Replication, volume: &CinderVolume) {
    let volumes = std::slice::from_ref(volume);
    done(|| clusters.driver.protect(replication, volumes)).await;
}

async fn replicate(
    clusters: &Clusters,
    replication: &Replication,
    volume: &CinderVolume,
    operation: &protector_core::id::OperationId,
) -> RecoveryPoint {
    let volumes = std::slice::from_ref(volume);
    let point = done(|| clusters.driver.replicate(replication, volumes, operation)).await;
    let latest = clusters.driver_of(replication);
    let latest = latest.recovery_points(replication, volumes).await.unwrap();
    assert_eq!(latest, std::slice::from_ref(&point));
    point
}

impl Clusters {
    fn driver_of(&self, replication: &Replication) -> &CephRbdDriver {
        match replication.target_array == "ceph-b" {
            true => &self.driver_of_b,
            false => &self.driver,
        }
    }
}

/// From one site to the other as a planned move does it; what Cinder has there then.
async fn moved(
    clusters: &Clusters,
    replication: &Replication,
    volume: &CinderVolume,
) -> CinderVolume {
    let (from, to) = match replication.source_array == "ceph-a" {
        true => ("a", "b"),
        false => ("b", "a"),
    };
    let (operation, volumes) = (new_operation(), [volume.clone()]);
    protect(clusters, replication, volume).await;
    let written = clusters.hash(from, &name(volume));
    let point = replicate(clusters, replication, volume, &operation).await;
    assert_eq!(relation(clusters, volume).await, Relation::LinkedDeletion);
    let error = clusters
        .driver
        .promote(
            replication,
            &point.id,
            &volumes,
            PromotionMode::Planned,
            &operation,
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused, "not fenced: {error}");

    done(|| clusters.driver.fence(replication, &volumes, &operation)).await;
    clusters.write(from, volume, "late 1").unwrap_err();
    let promoted = promote(clusters, replication, &point.id, volume, &operation).await;
    assert_eq!(promoted.source_name, name(volume));
    assert_eq!(promoted.managed_as, None);
    assert_eq!(promoted.kind, PromotionKind::InPlace);
    let managed = clusters.manage(to, &promoted.source_name);
    let again = promote(clusters, replication, &point.id, volume, &operation).await;
    assert_eq!(again.source_name, name(&managed));
    assert_eq!(again.managed_as.as_ref(), Some(&managed.id));
    assert_eq!(again.object, promoted.object);
    assert_eq!(clusters.hash(to, &name(&managed)), written);
    // Of the volume that its own Cinder still has: found by what is noted, whatever it is called now.
    assert_eq!(relation(clusters, volume).await, Relation::LinkedDeletion);
    let since = clusters
        .driver
        .original_written_since(replication, volume, &operation)
        .await;
    assert_eq!(since.unwrap(), Written::Nothing);
    for _ in 0..2 {
        let forgotten = clusters
            .driver
            .forget(replication, &volumes, &operation)
            .await;
        forgotten.unwrap();
    }
    let snapshots = clusters.rbd(to, &format!("snap ls volumes/{}", name(&managed)));
    assert_eq!(snapshots.unwrap(), "", "the operation's snapshots are gone");
    done(|| {
        clusters
            .driver
            .discard_promoted(replication, volume, &operation, Some(&managed.id))
    })
    .await;
    clusters.write(to, &managed, "there 2 10").unwrap();
    managed
}

async fn promote(
    clusters: &Clusters,
    replication: &Replication,
    point: &RecoveryPointId,
    volume: &CinderVolume,
    operation: &protector_core::id::OperationId,
) -> PromotedVolume {
    let (volumes, mode) = ([volume.clone()], PromotionMode::Planned);
    let promoted = done(|| {
        clusters
            .driver
            .promote(replication, point, &volumes, mode, operation)
    });
    let mut promoted = promoted.await;
    assert_eq!(promoted.len(), 1);
    assert_eq!(promoted[0].volume, volume.id);
    promoted.remove(0)
}

async fn relation(clusters: &Clusters, volume: &CinderVolume) -> Relation {
    let one = clusters.driver.locate("ceph-a", volume).await.unwrap();
    let other = clusters.driver.locate("ceph-b", volume).await.unwrap();
    let (one, other) = (one.expect("on site a"), other.expect("on site b"));
    assert_ne!(one.scope, other.scope);
    assert_eq!(
        clusters.driver.relation(&one, &one).await.unwrap(),
        Relation::Same
    );
    clusters.driver.relation(&one, &other).await.unwrap()
}

pub async fn a_first_copy_tells_how_far_it_is(clusters: &Clusters) {
    let (replication, volume) = (clusters.there(), new_volume());
    let image = name(&volume);
    clusters
        .rbd("a", &format!("create --size 1200M volumes/{image}"))
        .unwrap();
    clusters.write("a", &volume, "first 300").unwrap();
    let volumes = std::slice::from_ref(&volume);
    let mut told = Vec::new();
    loop {
        let protected = clusters.driver.protect(&replication, volumes).await;
        match protected.unwrap() {
            ArrayProgress::Done(()) => break,
            ArrayProgress::Pending(pending) => told.push(pending),
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    let far = told.iter().find_map(|pending| pending.percent);
    assert!(far.is_some_and(|percent| percent < 100), "{told:?}");
    assert!(
        told.iter()
            .any(|pending| pending.to_string().contains(" %")),
        "{told:?}"
    );
}

pub async fn there_and_back_three_times(clusters: &Clusters) {
    let mut replication = clusters.there();
    let mut volume = clusters.volume("a");
    for _ in 0..3 {
        volume = moved(clusters, &replication, &volume).await;
        replication = replication.back();
        volume = moved(clusters, &replication, &volume).await;
        replication = replication.back();
    }
    let volumes = [volume.clone()];
    done(|| clusters.driver.unprotect(&replication, &volumes)).await;
    for site in ["a", "b"] {
        clusters
            .rbd(site, &format!("rm --no-progress volumes/{}", name(&volume)))
            .unwrap();
    }
}

pub async fn a_promotion_is_discarded_and_the_source_goes_on(clusters: &Clusters) {
    let (replication, operation) = (clusters.there(), new_operation());
    let volume = clusters.volume("a");
    let volumes = [volume.clone()];
    let driver = &clusters.driver;
    protect(clusters, &replication, &volume).await;
    let point = replicate(clusters, &replication, &volume, &operation).await;
    let original = async || {
        let asked = driver.original_written_since(&replication, &volume, &operation);
        asked.await.unwrap()
    };
    assert_eq!(original().await, Written::Nothing);
    clusters.write("a", &volume, "since 1 4").unwrap();
    match original().await {
        Written::Since {
            point: since,
            bytes,
        } => {
            assert_eq!(since, point.taken_at);
            assert!((1 << 20..16 << 20).contains(&bytes), "{bytes}");
        }
        other => panic!("{other:?}"),
    }
    let promoted_written = async || {
        let asked = driver.written_since(&replication, &volume, &operation);
        asked.await.unwrap()
    };
    assert_eq!(promoted_written().await, Written::NoObject);
    done(|| driver.fence(&replication, &volumes, &operation)).await;
    let promoted = promote(clusters, &replication, &point.id, &volume, &operation).await;
    assert_eq!(promoted_written().await, Written::GoesAlong);
    let refused = driver.unfence(&replication, &volumes, &operation).await;
    assert_eq!(refused.unwrap_err().kind, StorageErrorKind::Refused);
    let managed = clusters.manage("b", &promoted.source_name);
    clusters.write("b", &managed, "of-b 1 20").unwrap();
    let written = clusters.hash("b", &name(&managed));

    let refused = driver
        .discard_promoted(&replication, &volume, &operation, None)
        .await;
    let refused = refused.unwrap_err();
    assert!(refused.message.contains(&name(&managed)), "{refused}");
    let other = new_operation();
    done(|| driver.discard_promoted(&replication, &volume, &other, Some(&managed.id))).await;
    clusters
        .write("b", &managed, "of-b 1 20")
        .expect("another operation's discard leaves it alone");
    done(|| driver.discard_promoted(&replication, &volume, &operation, Some(&managed.id))).await;
    clusters.write("b", &volume, "late 1").unwrap_err();
    done(|| driver.unfence(&replication, &volumes, &operation)).await;
    assert_eq!(clusters.hash("a", &name(&volume)), written);
    clusters.write("a", &volume, "again 1").unwrap();
    driver
        .forget(&replication, &volumes, &operation)
        .await
        .unwrap();
    protect(clusters, &replication, &volume).await;
    replicate(clusters, &replication, &volume, &new_operation()).await;
    let (one, other) = (
        clusters.hash("a", &name(&volume)),
        clusters.hash("b", &name(&volume)),
    );
    assert_eq!(one, other);
}

pub async fn a_busy_source_is_not_fenced(clusters: &Clusters) {
    let (replication, operation) = (clusters.there(), new_operation());
    let volumes = [clusters.volume("a"), clusters.volume("a")];
    done(|| clusters.driver.protect(&replication, &volumes)).await;
    let mut guest = clusters.writing("a", &volumes[1]).await;
    let busy = clusters
        .driver
        .fence(&replication, &volumes, &operation)
        .await;
    let busy = busy.unwrap_err();
    assert_eq!(busy.kind, StorageErrorKind::Busy, "{busy}");
    assert!(busy.message.contains("client."), "{busy}");
    assert!(guest.is_well());
    clusters
        .write("a", &volumes[0], "free 1")
        .expect("none is fenced while one is in use");
    drop(guest);
    done(|| clusters.driver.fence(&replication, &volumes, &operation)).await;
    done(|| clusters.driver.unfence(&replication, &volumes, &operation)).await;
    clusters.write("a", &volumes[1], "free 1").unwrap();
}

pub async fn a_test_goes_on_beside_the_writes(clusters: &Clusters) {
    let (replication, operation, test) = (clusters.there(), new_operation(), new_operation());
    let volume = clusters.volume("a");
    protect(clusters, &replication, &volume).await;
    let mut guest = clusters.writing("a", &volume).await;
    let point = replicate(clusters, &replication, &volume, &operation).await;
    let driver = &clusters.driver_of_b;
    let clone = async || done(|| driver.clone_point(&replication, &point.id, &volume, &test)).await;
    let made = clone().await;
    assert_eq!(made.kind, PromotionKind::Copy);
    let bytes = clusters.hash("b", &made.source_name);
    let managed = clusters.manage("b", &made.source_name);
    let again = clone().await;
    assert_eq!(again.source_name, name(&managed));
    assert_eq!(again.managed_as.as_ref(), Some(&managed.id));
    clusters.write("b", &managed, "of-the-test 1").unwrap();
    let other = replicate(clusters, &replication, &volume, &new_operation()).await;
    assert!(other.taken_at >= point.taken_at);
    let second = new_operation();
    let fresh = done(|| driver.clone_point(&replication, &point.id, &volume, &second)).await;
    assert_eq!(
        clusters.hash("b", &fresh.source_name),
        bytes,
        "of the same point"
    );

    let refused = driver
        .discard_clone(&replication, &volume, &test, None)
        .await;
    assert_eq!(refused.unwrap_err().kind, StorageErrorKind::Refused);
    done(|| driver.discard_clone(&replication, &volume, &test, Some(&managed.id))).await;
    done(|| driver.discard_clone(&replication, &volume, &second, None)).await;
    for gone in [name(&managed), fresh.source_name] {
        clusters
            .rbd("b", &format!("info volumes/{gone}"))
            .unwrap_err();
    }
    assert!(guest.is_well());
    drop(guest);
    replicate(clusters, &replication, &volume, &new_operation()).await;
    let (one, other) = (
        clusters.hash("a", &name(&volume)),
        clusters.hash("b", &name(&volume)),
    );
    assert_eq!(one, other);
    let snapshots = clusters.rbd("a", &format!("snap ls volumes/{}", name(&volume)));
    let ours = snapshots.unwrap().matches("dr-op-").count();
    assert_eq!(ours, 2, "older recovery points are dropped");
    let late = new_operation();
    let gone = driver.clone_point(&replication, &point.id, &volume, &late);
    assert_eq!(gone.await.unwrap_err().kind, StorageErrorKind::Refused);
}

pub async fn a_volume_made_of_an_image_is_protected(clusters: &Clusters) {
    let replication = clusters.there();
    let (image, volume) = (format!("image-{}", new_volume().id), new_volume());
    clusters
        .rbd("a", &format!("create --size 32M images/{image}"))
        .unwrap();
    clusters
        .rbd(
            "a",
            &format!("snap create --no-progress images/{image}@snap"),
        )
        .unwrap();
    let clone = format!(
        "clone --rbd-default-clone-format 2 images/{image}@snap volumes/{}",
        name(&volume)
    );
    clusters.rbd("a", &clone).unwrap();
    clusters.write("a", &volume, "own 2").unwrap();
    protect(clusters, &replication, &volume).await;
    replicate(clusters, &replication, &volume, &new_operation()).await;
    let (one, other) = (
        clusters.hash("a", &name(&volume)),
        clusters.hash("b", &name(&volume)),
    );
    assert_eq!(one, other);
}

pub async fn both_sides_keep_what_is_unprotected(clusters: &Clusters) {
    // From each state: with the source primary, and with the target.
    for moves in [false, true] {
        let mut replication = clusters.there();
        let first = clusters.volume("a");
        let mut volume = first.clone();
        if moves {
            volume = moved(clusters, &replication, &volume).await;
        } else {
            protect(clusters, &replication, &volume).await;
            replicate(clusters, &replication, &volume, &new_operation()).await;
        }
        until("the replica has all of it", || {
            clusters.hash("a", &name(&volume)) == clusters.hash("b", &name(&volume))
        })
        .await;
        // Of a group that leaves the array: its replication still has the old direction.
        let volumes = [first.clone()];
        let (here, there) = (
            clusters.hash("a", &name(&volume)),
            clusters.hash("b", &name(&volume)),
        );
        done(|| clusters.driver.unprotect(&replication, &volumes)).await;
        assert_eq!(
            clusters.hash("a", &name(&first)),
            here,
            "under its Cinder's name"
        );
        assert_eq!(clusters.hash("b", &name(&volume)), there);
        for (site, left) in [("a", &first), ("b", &volume)] {
            clusters.write(site, left, "own 1").unwrap();
            let snapshots = clusters.rbd(site, &format!("snap ls volumes/{}", name(left)));
            assert_eq!(snapshots.unwrap(), "");
        }
        let one = clusters
            .driver
            .locate("ceph-a", &first)
            .await
            .unwrap()
            .unwrap();
        let other = clusters
            .driver
            .locate("ceph-b", &volume)
            .await
            .unwrap()
            .unwrap();
        let relation = clusters.driver.relation(&one, &other).await.unwrap();
        assert_eq!(relation, Relation::Distinct);
        // What is not named stays as it is, until it is taken out of its mirror.
        if !moves {
            replication = clusters.there();
            let (stays, leaves) = (clusters.volume("a"), clusters.volume("a"));
            let both = [stays.clone(), leaves.clone()];
            done(|| clusters.driver.protect(&replication, &both)).await;
            protect(clusters, &replication, &stays).await;
            assert_eq!(
                self::relation(clusters, &leaves).await,
                Relation::LinkedDeletion
            );
            let left = std::slice::from_ref(&leaves);
            done(|| clusters.driver.unprotect(&replication, left)).await;
            assert_eq!(self::relation(clusters, &leaves).await, Relation::Distinct);
        }
    }
}

pub async fn a_forced_promotion_is_taken_back(clusters: &Clusters) {
    let (replication, operation) = (clusters.there(), new_operation());
    let volume = clusters.volume("a");
    let volumes = [volume.clone()];
    let driver = &clusters.driver;
    protect(clusters, &replication, &volume).await;
    let point = replicate(clusters, &replication, &volume, &new_operation()).await;
    // The source lives, and writes on: the two sites do not see each other.
    let forced = PromotionMode::Forced;
    let promoted =
        done(|| driver.promote(&replication, &point.id, &volumes, forced, &operation)).await;
    let managed = clusters.manage("b", &promoted[0].source_name);
    clusters.write("b", &managed, "of-b 1 20").unwrap();
    clusters.write("a", &volume, "of-a 1 10").unwrap();
    let written = clusters.hash("a", &name(&volume));
    done(|| driver.discard_promoted(&replication, &volume, &operation, Some(&managed.id))).await;
    clusters
        .write("b", &volume, "late 1")
        .expect_err("it is a replica again");
    let since = driver.written_since(&replication, &volume, &operation);
    assert_eq!(since.await.unwrap(), Written::NoObject);
    // Its rbd-mirror was blocked with the lock that was broken.
    clusters.kill("b");
    clusters.bring_back();
    protect(clusters, &replication, &volume).await;
    replicate(clusters, &replication, &volume, &new_operation()).await;
    assert_eq!(clusters.hash("b", &name(&volume)), written);
    assert_eq!(clusters.hash("a", &name(&volume)), written);
}

pub async fn a_lost_site_comes_back(clusters: &Clusters) {
    let (replication, operation, sync) = (clusters.there(), new_operation(), new_operation());
    let volume = clusters.volume("a");
    let volumes = [volume.clone()];
    protect(clusters, &replication, &volume).await;
    let point = replicate(clusters, &replication, &volume, &sync).await;
    let written = clusters.hash("a", &name(&volume));
    clusters.kill("a");

    let driver = &clusters.driver_of_b;
    let points = driver.recovery_points(&replication, &volumes).await;
    assert_eq!(points.unwrap(), std::slice::from_ref(&point));
    let forced = || {
        driver.promote(
            &replication,
            &point.id,
            &volumes,
            PromotionMode::Forced,
            &operation,
        )
    };
    let promoted = done(forced).await.remove(0);
    assert_eq!(promoted.source_name, name(&volume));
    assert_eq!(clusters.hash("b", &name(&volume)), written);
    clusters.write("b", &volume, "of-b 2 20").unwrap();
    let since = driver
        .written_since(&replication, &volume, &operation)
        .await;
    match since.unwrap() {
        Written::Since { bytes, .. } => assert!(bytes >= 2 << 20, "{bytes}"),
        other => panic!("{other:?}"),
    }
    let managed = clusters.manage("b", &promoted.source_name);
    let again = done(forced).await.remove(0);
    assert_eq!(again.managed_as.as_ref(), Some(&managed.id));
    // The site that is lost is asked for nothing, and what it would say is not known.
    let here = driver.locate("ceph-b", &volume).await.unwrap().unwrap();
    let gone = protector_core::storage::BackendObject {
        found_on: "ceph-a".to_owned(),
        scope: "another".to_owned(),
        serial: here.serial.clone(),
    };
    let relation = clusters.driver.relation(&gone, &here).await.unwrap();
    assert!(matches!(relation, Relation::Unknown { .. }), "{relation:?}");
    let error = clusters.driver.check("ceph-a").await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Unavailable, "{error}");

    clusters.bring_back();
    let back = replication.back();
    let volumes = [managed.clone()];
    let split = once(|| clusters.driver.protect(&back, &volumes)).await;
    let split = split.unwrap_err();
    assert_eq!(split.kind, StorageErrorKind::SplitBrain, "{split}");
    // The wrong way round it throws nothing away: what is on site b is the group's.
    clusters.write("a", &volume, "stale 1 30").unwrap();
    let id = |site: &str| {
        let told = clusters.rbd(
            site,
            &format!("info volumes/{} --format json", name(&managed)),
        );
        told.ok()
    };
    let kept = id("b").unwrap();
    let repair = new_operation();
    done(|| clusters.driver.resync(&back, &volumes, &repair)).await;
    assert_eq!(
        id("b").unwrap().split("\"size\"").next(),
        kept.split("\"size\"").next()
    );
    let wrong = clusters
        .driver
        .resync(&replication, &volumes, &new_operation())
        .await;
    assert_eq!(wrong.unwrap_err().kind, StorageErrorKind::Refused);
    let stale = [volume.clone()];
    for (replication, volumes, ended) in [
        (&back, &volumes, &repair),
        (&replication, &stale, &operation),
        (&replication, &stale, &sync),
    ] {
        let forgotten = clusters.driver.forget(replication, volumes, ended).await;
        forgotten.unwrap();
    }
    let home = moved(clusters, &back, &managed).await;
    until("the way there is open again", || id("a").is_none()).await;
    moved(clusters, &replication, &home).await;
}

pub async fn what_is_not_set_up_is_found(clusters: &Clusters) {
    let replication = clusters.there();
    let found = clusters.driver.findings(&replication).await.unwrap();
    assert_eq!(found, Vec::<String>::new());
    for site in ["ceph-a", "ceph-b"] {
        clusters.driver.check(site).await.unwrap();
    }
    let key = clusters.admin("b", "ceph", "auth get-key client.cinder");
    let wrong = clusters.base().join("wrong.keyring");
    std::fs::write(&wrong, format!("[client.cinder]\n\tkey = {key}\n")).unwrap();
    if !clusters
        .admin("a", "ceph", "osd pool ls")
        .lines()
        .any(|pool| pool == "bare")
    {
        clusters.admin("a", "ceph", "osd pool create bare 1 1");
        clusters.admin("a", "rbd", "pool init bare");
    }
    let with = |change: &dyn Fn(CephArray) -> CephArray| {
        let arrays = vec![change(clusters.array("a")), clusters.array("b")];
        CephRbdDriver::new(arrays, options()).unwrap()
    };
    let cases: [(CephRbdDriver, StorageErrorKind, &str); 3] = [
        (
            with(&|array| CephArray {
                keyring: Some(wrong.clone()),
                ..array
            }),
            StorageErrorKind::Credentials,
            "ceph auth get client.cinder",
        ),
        (
            with(&|array| CephArray {
                pool: "nowhere".to_owned(),
                ..array
            }),
            StorageErrorKind::Misconfigured,
            "there is no pool nowhere",
        ),
        (
            with(&|array| CephArray {
                conf: "/nowhere.conf".into(),
                ..array
            }),
            StorageErrorKind::Misconfigured,
            "/nowhere.conf cannot be read",
        ),
    ];
    for (driver, kind, told) in cases {
        let error = driver.check("ceph-a").await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        let found = driver.findings(&replication).await.unwrap().join("\n");
        assert!(found.contains(told), "{found}");
        assert!(!found.contains(&key), "no key in a finding");
    }
    let bare = with(&|array| CephArray {
        pool: "bare".to_owned(),
        ..array
    });
    let found = bare.findings(&replication).await.unwrap().join("\n");
    assert!(
        found.contains("rbd mirror pool enable bare image"),
        "{found}"
    );
    assert!(
        found.contains("bare cannot be mirrored to pool volumes"),
        "{found}"
    );
    let missing = new_volume();
    assert_eq!(
        clusters.driver.locate("ceph-a", &missing).await.unwrap(),
        None
    );
    let refused = clusters
        .driver
        .protect(&replication, std::slice::from_ref(&missing))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, StorageErrorKind::Refused);
    assert!(refused.message.contains(missing.id.as_str()), "{refused}");
}

/// What one group costs in calls of Ceph's programs: see docs/arrays/ceph-rbd.md.
#[allow(clippy::print_stdout, reason = "it is told to people")]
pub async fn a_group_of_twenty(clusters: &Clusters) {
    const VOLUMES: usize = 20;
    let (replication, operation) = (clusters.there(), new_operation());
    let volumes: Vec<CinderVolume> = (0..VOLUMES).map(|_| clusters.small_volume("a")).collect();
    let driver = &clusters.driver;
    let calls = |what: &str| {
        let made = clusters.take_calls();
        println!("    {what}: {made} calls for {VOLUMES} volumes");
        made
    };
    calls("before");
    once(|| driver.protect(&replication, &volumes))
        .await
        .unwrap();
    calls("first protection");
    once(|| driver.protect(&replication, &volumes))
        .await
        .unwrap();
    assert!(calls("protected already") <= 4 * VOLUMES);
    let point = once(|| driver.replicate(&replication, &volumes, &operation))
        .await
        .unwrap();
    calls("recovery point");
    driver
        .replicate(&replication, &volumes, &operation)
        .await
        .unwrap();
    calls("recovery point, asked again");
    driver
        .recovery_points(&replication, &volumes)
        .await
        .unwrap();
    assert!(calls("latest point") < VOLUMES);
    for volume in &volumes {
        let one = std::slice::from_ref(volume);
        once(|| driver.fence(&replication, one, &operation))
            .await
            .unwrap();
    }
    calls("fence, one by one");
    for volume in &volumes {
        promote(clusters, &replication, &point.id, volume, &operation).await;
    }
    calls("promotion, one by one, each twice");
    for volume in &volumes {
        let _ = relation(clusters, volume).await;
    }
    calls("relation, three calls each");
    driver
        .forget(&replication, &volumes, &operation)
        .await
        .unwrap();
    calls("forget");
    once(|| driver.unprotect(&replication, &volumes))
        .await
        .unwrap();
    calls("unprotect");
}
