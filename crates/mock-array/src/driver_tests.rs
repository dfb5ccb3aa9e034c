//! The driver against real directories: the conformance tests, and what only files can show.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::PathBuf,
};

use protector_array::conformance::Patient;
use protector_core::{
    id::VolumeId,
    storage::{RecoveryPoint, Relation, Replication, StorageError, StorageErrorKind},
};
use sea_orm::{ConnectionTrait, Database};

use crate::{
    MockStorageDriver,
    site_fixture::{Sites, operation},
};

macro_rules! conforms {
    ($($test:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $test() {
            protector_array::conformance::$test(&Sites::new().await).await;
        }
    )*};
}

conforms! {
    all,
    promoted_volumes_have_the_bytes_of_the_point,
    replicating_again_gives_the_same_point,
    replicating_at_once_gives_one_point,
    replicating_a_missing_volume_is_refused_and_leaves_no_point,
    points_are_listed_newest_first,
    points_belong_to_a_group_and_a_direction,
    promoting_again_keeps_what_was_written_since,
    promoting_again_finds_the_renamed_object,
    promoting_at_once_makes_one_object,
    operations_promote_side_by_side,
    promoting_what_is_not_there_is_refused,
    promoting_leaves_a_foreign_object_alone,
    discarding_removes_the_first_name,
    discarding_removes_the_managed_name,
    discarding_leaves_foreign_objects_alone,
    discarding_an_object_under_another_name_is_refused,
    promoting_after_discarding_makes_it_again,
    a_clone_leaves_source_and_replication_alone,
    cloning_again_finds_the_clone,
    releasing_keeps_the_objects_and_drops_the_point,
    releasing_keeps_what_other_operations_use,
    an_identity_stays_and_is_of_one_object,
    only_volumes_on_the_array_are_held,
    unknown_arrays_are_refused,
    one_array_as_source_and_target_is_refused,
    ids_that_lead_elsewhere_are_refused,
}

async fn replicate(
    sites: &Sites,
    replication: &Replication,
    volume: &VolumeId,
) -> Result<RecoveryPoint, StorageError> {
    let volumes = [volume.clone()];
    sites
        .here()
        .replicate(replication, &volumes, &operation())
        .await
}

async fn execute(sites: &Sites, sql: &str) {
    let path = sites.target().join("../state ?#%/catalogue.sqlite");
    let mut options = sea_orm::ConnectOptions::new("sqlite://catalogue");
    options.map_sqlx_sqlite_opts(move |sqlite| sqlite.filename(&path));
    let db = Database::connect(options).await.unwrap();
    db.execute_unprepared(sql).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_promoted_volume_has_the_size_holes_and_mode_of_the_source() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let volume = sites.volume(b"");
    let source = sites.source().join(format!("volume-{volume}"));
    let file = File::options().write(true).open(&source).unwrap();
    file.set_len(1 << 30).unwrap();
    file.write_all_at(&[1; 10_000], 700 << 20).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o640)).unwrap();
    let point = replicate(&sites, &replication, &volume).await.unwrap();
    let operation = operation();
    let promoted = sites
        .here()
        .promote(&replication, &point.id, &volume, &operation);
    let name = promoted.await.unwrap().source_name;
    let bare = operation.as_str().strip_prefix("op-").unwrap();
    assert_eq!(name, format!("protector-{bare}-{volume}"));
    let copy = sites.target().join(name).metadata().unwrap();
    assert_eq!(copy.len(), 1 << 30);
    assert!(copy.blocks() * 512 < 1 << 20, "{} blocks", copy.blocks());
    assert_eq!(copy.mode() & 0o777, 0o640);
    assert_eq!(copy.nlink(), 1);
}

#[tokio::test]
async fn three_points_stay_and_those_promoted_from() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let volume = sites.volume(b"data");
    let first = replicate(&sites, &replication, &volume).await.unwrap();
    let (group, promoter) = (&replication.group_id, operation());
    let promoted = sites
        .here()
        .promote(&replication, &first.id, &volume, &promoter);
    promoted.await.unwrap();
    let mut points = vec![first.clone()];
    for _ in 0..4 {
        points.push(replicate(&sites, &replication, &volume).await.unwrap());
    }
    points.reverse();
    let kept: Vec<_> = points[..3].iter().chain([&first]).cloned().collect();
    assert_eq!(
        sites
            .here()
            .recovery_points(&replication, &[])
            .await
            .unwrap(),
        kept
    );
    assert_eq!(sites.point_directories(group).len(), 4);
    let discarded = sites
        .here()
        .discard_promoted(&replication, &volume, &promoter, None);
    discarded.await.unwrap();
    replicate(&sites, &replication, &volume).await.unwrap();
    let listed = sites
        .here()
        .recovery_points(&replication, &[])
        .await
        .unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(sites.point_directories(group).len(), 3);
}

#[tokio::test]
async fn a_point_left_half_made_is_not_listed_and_is_swept() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let volume = sites.volume(b"data");
    let first = replicate(&sites, &replication, &volume).await.unwrap();
    let group = replication.group_id.as_str();
    let half = sites.target().join(".replica").join(group).join("half");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("volume"), b"da").unwrap();
    execute(
        &sites,
        &format!(
            "INSERT INTO recovery_points VALUES ('half', '{group}', 'array-a', 'array-b', 'op-1', 9223372036854775000, \
             'copying')"
        ),
    )
    .await;
    let listed = sites
        .here()
        .recovery_points(&replication, &[])
        .await
        .unwrap();
    assert_eq!(listed, [first]);
    replicate(&sites, &replication, &volume).await.unwrap();
    assert!(!half.exists());
    let listed = sites
        .here()
        .recovery_points(&replication, &[])
        .await
        .unwrap();
    assert_eq!(listed.len(), 2);
}

#[tokio::test]
async fn a_point_without_its_files_is_not_offered_and_made_again() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let (volumes, operation) = ([sites.volume(b"data")], operation());
    let made = sites.here().replicate(&replication, &volumes, &operation);
    let lost = made.await.unwrap();
    fs::remove_dir_all(sites.target().join(".replica")).unwrap();
    let listed = sites
        .here()
        .recovery_points(&replication, &[])
        .await
        .unwrap();
    assert_eq!(listed, []);
    let made = sites.here().replicate(&replication, &volumes, &operation);
    let again = made.await.unwrap();
    assert_ne!(lost.id, again.id);
    let listed = sites
        .here()
        .recovery_points(&replication, &[])
        .await
        .unwrap();
    assert_eq!(listed, [again]);
}

#[tokio::test]
async fn a_damaged_replica_is_not_promoted() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let volume = sites.volume(b"data");
    let point = replicate(&sites, &replication, &volume).await.unwrap();
    let replica = sites
        .target()
        .join(".replica")
        .join(replication.group_id.as_str())
        .join(point.id.as_str())
        .join(volume.as_str());
    fs::write(replica, b"Data").unwrap();
    let operation = operation();
    let promoted = sites
        .here()
        .promote(&replication, &point.id, &volume, &operation);
    let error = promoted.await.unwrap_err();
    assert!(
        error.kind == StorageErrorKind::Refused && error.message.contains("checksum"),
        "{error}"
    );
    assert!(sites.listed().is_empty());
    assert_eq!(sites.staged(), 0);
}

#[tokio::test]
async fn a_copy_that_was_complete_but_not_named_is_named() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let volume = sites.volume(b"data");
    let point = replicate(&sites, &replication, &volume).await.unwrap();
    let operation = operation();
    let promoted = sites
        .here()
        .promote(&replication, &point.id, &volume, &operation);
    let name = promoted.await.unwrap().source_name;
    let object = sites.target().join(&name);
    let inode = object.metadata().unwrap().ino();
    let staging = sites.target().join(".replica/.staging/half");
    fs::rename(&object, staging).unwrap();
    execute(&sites, "UPDATE promotions SET staged = 'half'").await;
    let again = sites
        .there()
        .promote(&replication, &point.id, &volume, &operation);
    assert_eq!(again.await.unwrap().source_name, name);
    assert_eq!(object.metadata().unwrap().ino(), inode);
    assert_eq!(sites.staged(), 0);
}

#[tokio::test]
async fn the_source_may_be_gone_when_the_target_is_promoted() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let volume = sites.volume(b"data");
    let point = replicate(&sites, &replication, &volume).await.unwrap();
    fs::remove_dir_all(sites.source()).unwrap();
    let listed = sites
        .there()
        .recovery_points(&replication, &[])
        .await
        .unwrap();
    assert_eq!(listed, std::slice::from_ref(&point));
    let operation = operation();
    let promoted = sites
        .there()
        .promote(&replication, &point.id, &volume, &operation);
    promoted.await.unwrap();
    let error = sites.here().identity("mock://array-a", &volume).await;
    assert_eq!(
        error.err().map(|error| error.kind),
        Some(StorageErrorKind::Unavailable)
    );
    let error = sites.here().check("mock://array-a").await;
    assert_eq!(
        error.err().map(|error| error.kind),
        Some(StorageErrorKind::Unavailable)
    );
    sites.here().check("mock://array-b").await.unwrap();
}

#[tokio::test]
async fn a_new_process_finds_what_the_old_one_made() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let volume = sites.volume(b"data");
    let point = replicate(&sites, &replication, &volume).await.unwrap();
    let later = sites.open_another().await;
    let later = Patient(&later);
    assert_eq!(
        later.recovery_points(&replication, &[]).await.unwrap(),
        std::slice::from_ref(&point)
    );
    let before = sites.here().identity("mock://array-a", &volume).await;
    assert_eq!(before, later.identity("mock://array-a", &volume).await);
}

#[tokio::test]
async fn many_groups_replicate_and_promote_at_once() {
    let sites = Sites::new().await;
    let groups: Vec<_> = (0..8u8)
        .map(|n| (sites.replication(), sites.volume(&[n + 1; 70_000])))
        .collect();
    let drivers = [sites.here(), sites.there()];
    let work = groups.iter().enumerate().map(|(n, (replication, volume))| {
        let (driver, other) = (drivers[n % 2], drivers[(n + 1) % 2]);
        async move {
            let (volumes, operation) = ([volume.clone()], operation());
            let point = driver.replicate(replication, &volumes, &operation);
            let point = point.await.unwrap().id;
            let promoted = other.promote(replication, &point, volume, &operation);
            promoted.await.unwrap().source_name
        }
    });
    let names = futures_util::future::join_all(work).await;
    for (n, name) in names.iter().enumerate() {
        let bytes = fs::read(sites.target().join(name)).unwrap();
        assert!(bytes == [u8::try_from(n).unwrap() + 1; 70_000], "{name}");
    }
}

#[tokio::test]
async fn one_directory_under_two_names_is_one_array() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().join("real");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, directory.path().join("link")).unwrap();
    fs::write(real.join("volume-1"), b"data").unwrap();
    let arrays = BTreeMap::from([
        ("a".to_owned(), real),
        ("b".to_owned(), directory.path().join("link")),
    ]);
    let catalogue = directory.path().join("catalogue.sqlite");
    let driver = MockStorageDriver::open(&catalogue, arrays).await.unwrap();
    let driver = Patient(&driver);
    let volume = VolumeId::from("1");
    let here = driver.identity("mock://a", &volume).await.unwrap().unwrap();
    let there = driver.identity("mock://b", &volume).await.unwrap().unwrap();
    assert_eq!(
        driver.relation(&here, &there).await.unwrap(),
        Relation::Same
    );
    let replication = Replication {
        group_id: "g".into(),
        source_array: "mock://a".into(),
        target_array: "mock://b".into(),
    };
    let refused = driver
        .replicate(&replication, &[volume], &"op-1".into())
        .await;
    assert_eq!(
        refused.err().map(|error| error.kind),
        Some(StorageErrorKind::Refused)
    );
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (name, path) in [("a", PathBuf::from("relative")), ("a/b", "/tmp".into())] {
        let arrays = BTreeMap::from([(name.to_owned(), path)]);
        let opened = MockStorageDriver::open(&directory.path().join("c"), arrays).await;
        assert_eq!(
            opened.err().map(|error| error.kind),
            Some(StorageErrorKind::Refused)
        );
    }
    fs::write(
        directory.path().join("file"),
        b"no database, but long enough to look",
    )
    .unwrap();
    let opened = MockStorageDriver::open(&directory.path().join("file/c"), BTreeMap::new()).await;
    assert_eq!(
        opened.err().map(|error| error.kind),
        Some(StorageErrorKind::Unavailable)
    );
}
