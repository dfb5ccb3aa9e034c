//! What is done when the two sides do not agree, which real clusters do rarely and late.

use protector_core::{
    id::{GroupId, OperationId, RecoveryPointId, VolumeId},
    storage::{
        ArrayProgress, CinderVolume, Pending, PromotionMode, Replication, StorageErrorKind, Written,
    },
};
use serde_json::{Value, json};

use crate::{
    failover::Promotion, fake::Fake, image::Image, pair::Pair, point::whole_points, written,
};

const MIRROR: &str = "137de92c-c10b-4f09-b0bf-66bbd0b13fcb";
const PROMOTED: &str = "promoted.137de92c-c10b-4f09-b0bf-66bbd0b13fcb";
const PRIMARY: &str = include_str!("../tests/recorded/info-primary.json");
const REPLICA: &str = include_str!("../tests/recorded/info-secondary.json");
const SPLIT: &str = r#"{"name":"volume-11111111-0000-4000-8000-000000000001","global_id":"137de92c-c10b-4f09-b0bf-66bbd0b13fcb",
    "state":"up+error","description":"split-brain detected"}"#;

fn volume() -> CinderVolume {
    CinderVolume::known_by_id(VolumeId::from("11111111-0000-4000-8000-000000000001"))
}

fn op() -> OperationId {
    OperationId::from("op-1")
}

fn id_of(info: &str) -> String {
    serde_json::from_str::<Image>(info).unwrap().id
}

/// The note of a promotion by `op-1` of the image that `info` tells of.
fn promoted(info: &str, forced: bool) -> Value {
    json!({"operation": "op-1", "forced": forced, "image": id_of(info), "ended": true})
}

fn pending_of<T: std::fmt::Debug>(progress: ArrayProgress<T>) -> Pending {
    match progress {
        ArrayProgress::Pending(pending) => pending,
        ArrayProgress::Done(done) => panic!("{done:?}"),
    }
}

fn pair<'a>(source: &'a Fake, target: &'a Fake) -> Pair<'a> {
    Pair {
        source: &source.cluster,
        target: &target.cluster,
        group: "g",
    }
}

#[tokio::test]
async fn what_was_written_goes_along_only_to_who_follows() {
    let target = Fake::with_image(PRIMARY);
    target.put_note(PROMOTED, &promoted(PRIMARY, false));
    let source = Fake::with_image(REPLICA);
    let written = async |source: Option<&Fake>| {
        let source = source.map(|source| &source.cluster);
        written::to_promoted(source, &target.cluster, &volume(), &op())
            .await
            .unwrap()
    };
    let why = |written| match written {
        Written::Unknown { why } => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(written(Some(&source)).await, Written::GoesAlong);
    assert!(why(written(None).await).contains("not configured"));
    source.put("mirror-status", SPLIT);
    assert!(why(written(Some(&source)).await).contains("split-brain"));
    source.put("image", PRIMARY);
    assert!(why(written(Some(&source)).await).contains("may be written to as well"));
    source.put("dead", "");
    assert!(why(written(Some(&source)).await).contains("exit code 110"));
}

#[tokio::test]
async fn a_count_holds_until_more_is_written() {
    let source = Fake::with_image(PRIMARY);
    source.put("snapshots", include_str!("../tests/recorded/snaps.json"));
    let journal = include_str!("../tests/recorded/journal-replaying.json");
    source.put("journal", journal);
    source.put("diff", "[]");
    let written = async || {
        written::to_original(&source.cluster, &volume(), &op())
            .await
            .unwrap()
    };
    let is_since = |written| matches!(written, Written::Since { bytes: 4096, .. });
    assert_eq!(written().await, Written::Nothing);
    assert_eq!(written().await, Written::Nothing);
    assert_eq!(source.told("asked").matches(" diff ").count(), 1);
    // It was opened, written to, and closed.
    let mut further: Value = serde_json::from_str(journal).unwrap();
    for client in further["registered_clients"].as_array_mut().unwrap() {
        client["commit_position"] = json!({"object_positions": [{"object_number": 999}]});
    }
    source.put("journal", &further.to_string());
    source.put("diff", r#"[{"offset":0,"length":4096,"exists":"true"}]"#);
    assert!(is_since(written().await));
    // While it is open, its journal lags: that nothing was written does not hold.
    source.put("watchers", r#"{"watchers":[{"address":"x","client":5}]}"#);
    source.put("diff", "[]");
    assert_eq!(written().await, Written::Nothing);
    source.put("diff", r#"[{"offset":0,"length":4096,"exists":"true"}]"#);
    assert!(is_since(written().await));
}

#[tokio::test]
async fn what_the_source_does_not_follow_is_copied_anew_when_it_is_taken_back() {
    for (info, is_dead, diverges) in [
        (REPLICA, false, false),
        (PRIMARY, false, true),
        (REPLICA, true, true),
    ] {
        let (source, target) = (Fake::with_image(info), Fake::with_image(PRIMARY));
        target.put_note(PROMOTED, &promoted(PRIMARY, false));
        if is_dead {
            source.put("dead", "");
        }
        let operation = op();
        let promotion = Promotion {
            source: Some(&source.cluster),
            target: &target.cluster,
            operation: &operation,
        };
        let done = promotion.discard(&volume(), None).await.unwrap();
        assert_eq!(done, ArrayProgress::Done(()));
        assert!(target.told("asked").contains("mirror image demote"));
        let note = target.note(PROMOTED);
        match diverges {
            true => assert_eq!(note.unwrap()["diverged"], true, "{info}"),
            false => assert_eq!(note, None),
        }
    }
}

#[tokio::test]
async fn a_promotion_that_was_taken_over_meanwhile_is_not_begun() {
    let operation = op();
    let began = async |then: Option<Value>| {
        let target = Fake::with_image(REPLICA);
        let point = json!({"group": "g", "global_id": MIRROR, "image": id_of(REPLICA), "taken_at": "2026-11-29T18:01:00Z"});
        target.put_note(&format!("point.p.{}", volume().id), &point);
        if let Some(then) = then {
            target.put("then", &then.to_string());
        }
        let promotion = Promotion {
            source: None,
            target: &target.cluster,
            operation: &operation,
        };
        let point = RecoveryPointId::from("p");
        let volumes = [volume()];
        let promote = || promotion.promote(&point, &volumes, PromotionMode::Forced);
        let held = target.cluster.promotions.place().unwrap();
        let waits = pending_of(promote().await.unwrap());
        assert!(waits.what.contains("a place for"), "{waits}");
        assert_eq!(target.note(PROMOTED), None, "nothing is noted before");
        drop(held);
        // How it ends is of no interest: the cluster has no id to tell.
        let _ = promote().await;
        target.directory.path().join("forced").exists()
    };
    assert!(began(None).await);
    let mut other = promoted(REPLICA, true);
    other["ended"] = json!(false);
    other["operation"] = json!("op-2");
    assert!(!began(Some(other)).await);
}

#[tokio::test]
async fn a_side_that_was_promoted_by_force_is_not_taken_for_one_that_is_followed() {
    let (source, target) = (Fake::with_image(PRIMARY), Fake::with_image(REPLICA));
    let journal = include_str!("../tests/recorded/journal-replaying.json");
    source.put("journal", journal);
    let mut note = promoted(PRIMARY, true);
    note["diverged"] = json!(true);
    source.put_note(PROMOTED, &note);
    let pair = pair(&source, &target);
    let protect = async || pair.protect(&[volume()]).await;
    // The journal knows the replica from a time before.
    let error = protect().await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::SplitBrain, "{error}");

    let resync = async || pair.resync(&[volume()], &op()).await.unwrap();
    let waits = pending_of(resync().await);
    assert!(waits.what.contains("copy it anew"), "{waits}");
    assert!(target.told("asked").contains("mirror image resync"));
    // It has been made anew.
    let anew = REPLICA.replace("1020495af6d9", "1020495af6da");
    target.put("image", &anew);
    source.put("journal", &with_image(journal, "1020495af6da"));
    assert_eq!(resync().await, ArrayProgress::Done(()));
    let note = source.note(PROMOTED).unwrap();
    assert_eq!(
        (&note["diverged"], &note["followed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(protect().await.unwrap(), ArrayProgress::Done(()));

    target.put("mirror-status", SPLIT);
    let waits = pending_of(protect().await.unwrap());
    assert!(waits.what.contains("split-brain"), "{waits}");
}

#[tokio::test]
async fn a_side_that_was_demoted_and_followed_is_never_copied_anew() {
    let (source, target) = (Fake::with_image(REPLICA), Fake::with_image(REPLICA));
    let mut note = promoted(REPLICA, true);
    note["diverged"] = json!(true);
    source.put_note(PROMOTED, &note);
    let operation = OperationId::from("op-2");
    let promotion = Promotion {
        source: Some(&source.cluster),
        target: &target.cluster,
        operation: &operation,
    };
    // The promotion ends with an image that tells that it is no primary: only the notes count here.
    let point = RecoveryPointId::from("p");
    let _ = promotion
        .promote(&point, &[volume()], PromotionMode::Planned)
        .await;
    assert_eq!(source.note(PROMOTED).unwrap()["diverged"], false);
    assert_eq!(target.note(PROMOTED).unwrap()["ended"], true);
}

#[tokio::test]
async fn how_far_first_copies_are_is_told_without_a_change() {
    let (source, target) = (Fake::with_image(PRIMARY), Fake::with_image(REPLICA));
    let journal = include_str!("../tests/recorded/journal-copying.json");
    source.put("journal", &with_image(journal, &id_of(REPLICA)));
    let pair = pair(&source, &target);
    let copies = async || pair.first_copies(&[volume()]).await.unwrap();
    let waits = pending_of(copies().await);
    assert!(waits.what.contains("the first copy of volume-"), "{waits}");
    source.put(
        "journal",
        include_str!("../tests/recorded/journal-replaying.json"),
    );
    assert_eq!(copies().await, ArrayProgress::Done(()));
    target.take_away("image");
    let waits = pending_of(copies().await);
    assert!(waits.what.contains("has not begun it"), "{waits}");
    for side in [&source, &target] {
        let asked = side.told("asked");
        let changes = [
            "enable",
            "resync",
            "promote",
            "demote",
            "rename",
            "setomapval",
        ];
        assert!(
            !changes.iter().any(|change| asked.contains(change)),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn a_source_that_waits_for_a_dead_side_says_what_can_be_done() {
    let (source, target) = (Fake::with_image(REPLICA), Fake::with_image(REPLICA));
    source.put("promote-ends-with", "16");
    let volumes = [volume()];
    let unfence = async |target| source.cluster.unfence(target, &volumes).await;
    let waits = pending_of(unfence(Some(&target.cluster)).await.unwrap());
    assert!(waits.what.contains("what the other side wrote"), "{waits}");
    target.put("dead", "");
    for target in [Some(&target.cluster), None] {
        let error = unfence(target).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Refused);
        let cure = format!(
            "rbd mirror image promote --force volumes/volume-{}",
            volume().id
        );
        assert!(error.message.contains(&cure), "{error}");
    }
}

#[tokio::test]
async fn every_whole_point_is_told_for_a_test() {
    let target = Fake::with_image(REPLICA);
    target.put(
        "pool-status",
        include_str!("../tests/recorded/pool-status.json"),
    );
    let replication = Replication {
        group_id: GroupId::from("g"),
        source_array: "b".to_owned(),
        target_array: "a".to_owned(),
    };
    for (operation, minute, dropped) in [("op-1", 1, false), ("op-2", 2, true), ("op-3", 3, false)]
    {
        let point = json!({"group": "g", "global_id": MIRROR, "image": id_of(REPLICA), "dropped": dropped,
            "taken_at": format!("2026-11-29T18:{minute:02}:00Z")});
        target.put_note(&format!("point.{operation}.{}", volume().id), &point);
    }
    target.put_note(
        &format!("volume.{}", volume().id),
        &json!({"group": "g", "global_id": MIRROR, "cinder_name": "x", "image": id_of(REPLICA)}),
    );
    let points = whole_points(&target.cluster, &replication, &[volume()]).await;
    let points = points.unwrap();
    let points: Vec<&str> = points.iter().map(|point| point.id.as_str()).collect();
    assert_eq!(points, ["op-3", "op-1"], "the latest first");
}

/// A recorded journal with another image of the same length as its copy.
fn with_image(journal: &str, image: &str) -> String {
    let mut journal: Value = serde_json::from_str(journal).unwrap();
    for client in journal["registered_clients"].as_array_mut().unwrap() {
        let bytes = crate::dump::bytes(client["data"].as_str().unwrap()).unwrap();
        if client["id"] == "" || bytes.len() < 14 + image.len() {
            continue;
        }
        let mut bytes = bytes;
        bytes[14..14 + image.len()].copy_from_slice(image.as_bytes());
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        client["data"] = json!(format!("00000000  {}\n", hex.join(" ")));
    }
    journal.to_string()
}
