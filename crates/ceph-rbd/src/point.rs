//! Recovery points: a snapshot of each image, made on the primary and replicated in the order of its writes. That the
//! target has it proves that it has all that was written before.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use protector_core::{
    id::{OperationId, RecoveryPointId},
    storage::{
        ArrayProgress, CinderVolume, RecoveryPoint, Replication, StorageError, StorageErrorKind,
    },
};

use crate::{
    catalogue::{
        CloneNote, Notes, PointNote, PromotedNote, ResyncNote, VolumeNote, point_key, promoted_key,
        volume_key,
    },
    cluster::{Cluster, SOON, pending},
    image::{Image, Role, Snapshot},
    pair::{Pair, sources},
    program::code,
};

const PREFIX: &str = "dr-op-";
/// How many points of a group are kept besides the latest: what a test is being cloned from stays for one more.
const KEPT: usize = 1;

/// The snapshot of the point that `operation` makes.
pub(crate) fn snapshot_of(operation: &str) -> String {
    format!("dr-{operation}")
}

/// The snapshot with which a forced promotion begins.
pub(crate) fn promoted_snapshot_of(operation: &OperationId) -> String {
    format!("dr-{operation}-promoted")
}

pub(crate) fn is_of_ours(snapshot: &str) -> bool {
    snapshot.starts_with(PREFIX)
}

impl Pair<'_> {
    /// Makes a point of `volumes`; done when the target has it.
    pub(crate) async fn replicate(
        &self,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<RecoveryPoint>, StorageError> {
        self.target.safe("operation", operation.as_str())?;
        let images = sources(self.source, volumes).await?;
        let taken = images
            .iter()
            .map(|(volume, image)| self.taken(volume, image, operation));
        let taken = try_join_all(taken).await?;
        let notes = self.target.notes().await?;
        let reached = images.iter().zip(taken).map(|((volume, image), taken_at)| {
            self.reached(&notes, volume, image, operation, taken_at)
        });
        let mut earliest: Option<DateTime<Utc>> = None;
        for reached in try_join_all(reached).await? {
            match reached {
                ArrayProgress::Pending(pending) => return Ok(ArrayProgress::Pending(pending)),
                ArrayProgress::Done(at) => {
                    earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
                }
            }
        }
        let Some(taken_at) = earliest else {
            return Err(self.source.refused("no volume is to be replicated"));
        };
        self.drop_old_points(&notes, &images, operation).await;
        Ok(ArrayProgress::Done(RecoveryPoint {
            id: RecoveryPointId::new(operation.as_str()),
            taken_at,
        }))
    }

    /// When the source took the point, which it does unless that is done.
    async fn taken(
        &self,
        volume: &CinderVolume,
        image: &Image,
        operation: &OperationId,
    ) -> Result<DateTime<Utc>, StorageError> {
        let wanted = snapshot_of(operation.as_str());
        let find = async || -> Result<Option<Snapshot>, StorageError> {
            let there = self.source.snapshots(&image.name).await?;
            Ok(there.into_iter().find(|one| one.name == wanted))
        };
        let snapshot = match find().await? {
            // A fence makes the point before it demotes.
            None if !image.is_primary() => {
                return Err(self.source.refused(format!(
                    "image {} of volume {} is not primary here, and operation {operation} has made no recovery point of it \
                     before; replicate the other way, or take the fence back",
                    image.name, volume.id
                )));
            }
            None => {
                take(self.source, image, operation).await?;
                find().await?
            }
            there => there,
        };
        snapshot.and_then(|one| one.made_at()).ok_or_else(|| {
            self.source.refused(format!(
                "snapshot {wanted} of {} was removed by somebody, or does not say when it was made; replicate anew",
                image.name
            ))
        })
    }

    /// When the source took the point, once the target has it.
    async fn reached(
        &self,
        notes: &Notes<'_>,
        volume: &CinderVolume,
        image: &Image,
        operation: &OperationId,
        taken_at: DateTime<Utc>,
    ) -> Result<ArrayProgress<DateTime<Utc>>, StorageError> {
        let key = point_key(operation, volume.id.as_str());
        let Some(replica) = self.target.peer_of(image).await? else {
            return Err(self.target.error(
                StorageErrorKind::NotYet,
                format!("the first copy of {} has not come", image.name),
            ));
        };
        if let Some(note) = notes.get::<PointNote>(&key)?
            && note.is_in(&replica)
        {
            return Ok(ArrayProgress::Done(note.taken_at));
        }
        if replica.is_primary() && image.is_primary() {
            return Err(self.both_primary(image));
        }
        let wanted = snapshot_of(operation.as_str());
        // A first copy makes all snapshots before it has their bytes.
        let replays = replica.role() != Role::Replica
            || self
                .source
                .journal(&image.name)
                .await?
                .is_replayed_to(&replica.id);
        let on_target = self.target.snapshots(&replica.name).await?;
        if !replays || !on_target.iter().any(|one| one.name == wanted) {
            let says = match self.target.mirror_status(&replica.name).await? {
                Some(status) if status.is_split() => return Err(self.both_primary(image)),
                Some(status) => format!("; rbd-mirror says: {}", status.in_words()),
                None => String::new(),
            };
            let what = format!(
                "{} to have what was written to {}{says}",
                self.target.array.name, image.name
            );
            return Ok(pending(what, SOON));
        }
        let note = PointNote {
            group: self.group.to_owned(),
            global_id: image.serial().to_owned(),
            image: replica.id.clone(),
            taken_at,
            dropped: false,
        };
        self.target.write_note(&key, &note).await?;
        Ok(ArrayProgress::Done(taken_at))
    }

    /// A group that is replicated every few minutes would have snapshots without end. What cannot be removed now is
    /// removed with the next point.
    async fn drop_old_points(
        &self,
        notes: &Notes<'_>,
        images: &[(&CinderVolume, Image)],
        operation: &OperationId,
    ) {
        let dropped = async {
            self.drop_old(self.target, notes, images, operation).await?;
            // Those of the way back are noted on the source: there the image was known as another volume.
            let notes = self.source.notes().await?;
            self.drop_old(self.source, &notes, images, operation).await
        };
        if let Err(error) = dropped.await {
            tracing::warn!(%error, "an old recovery point is still there");
        }
    }

    async fn drop_old(
        &self,
        side: &Cluster,
        notes: &Notes<'_>,
        images: &[(&CinderVolume, Image)],
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        let kept = match side.array.name == self.target.array.name {
            true => KEPT,
            false => 0,
        };
        let primaries = images.iter().map(|(_, image)| image);
        let primaries: Vec<&Image> = primaries.filter(|image| image.is_primary()).collect();
        let old = old_points(notes, self.group, &primaries, operation, kept)?;
        for (rest, note) in &old {
            if !note.dropped {
                let dropped = PointNote {
                    dropped: true,
                    ..note.clone()
                };
                side.write_note(&format!("point.{rest}"), &dropped).await?;
            }
        }
        if old.is_empty() {
            return Ok(());
        }
        // A clone writes its note and then looks whether its point is dropped: one of the two sees the other.
        let used = side.notes().await?;
        let used = points_in_use(&used, self.group)?;
        for (rest, note) in &old {
            let key = format!("point.{rest}");
            let (of, _) = rest.split_once('.').unwrap_or((rest, ""));
            if used.contains(of) {
                side.write_note(&key, note).await?;
                continue;
            }
            if let Some(image) = primaries.iter().find(|one| one.serial() == note.global_id) {
                let snapshot = snapshot_of(of);
                let removed = self.source.remove_snapshot(&image.name, &snapshot).await;
                removed.map_err(|failure| self.source.failed(failure))?;
                side.remove_note(&key).await?;
            }
        }
        Ok(())
    }
}

/// Makes the point of one primary, unless it is there.
pub(crate) async fn take(
    source: &Cluster,
    image: &Image,
    operation: &OperationId,
) -> Result<(), StorageError> {
    let snapshot = snapshot_of(operation.as_str());
    let taken = source.snapshot(&image.name, &snapshot).await;
    taken.map_err(|failure| source.failed(failure))
}

/// The points of `group` that are to go, by the rest of their keys: all but that of `operation`, the `kept` newest others
/// of each image, and those that a clone for a test rests on.
fn old_points(
    notes: &Notes<'_>,
    group: &str,
    primaries: &[&Image],
    operation: &OperationId,
    kept: usize,
) -> Result<Vec<(String, PointNote)>, StorageError> {
    let used = points_in_use(notes, group)?;
    let is_of =
        |rest: &str, operation: &str| rest.split_once('.').is_some_and(|(of, _)| of == operation);
    let mut all: Vec<(String, PointNote)> = notes.of("point.")?;
    all.retain(|(rest, note)| note.group == group && !is_of(rest, operation.as_str()));
    let mut old = Vec::new();
    for image in primaries {
        let of_it = all
            .iter()
            .filter(|(_, note)| note.global_id == image.serial());
        let mut of_it: Vec<&(String, PointNote)> = of_it.collect();
        of_it.sort_by_key(|(_, note)| std::cmp::Reverse(note.taken_at));
        let gone = of_it.into_iter().skip(kept);
        old.extend(
            gone.filter(|(rest, _)| !used.iter().any(|used| is_of(rest, used)))
                .cloned(),
        );
    }
    Ok(old)
}

/// The points of `group` that clones rest on: the next clone of the same operation will need its point, too.
fn points_in_use(notes: &Notes<'_>, group: &str) -> Result<BTreeSet<String>, StorageError> {
    let clones: Vec<(String, CloneNote)> = notes.of("clone.")?;
    let of_group = clones.into_iter().filter(|(_, note)| note.group == group);
    Ok(of_group.map(|(_, note)| note.point).collect())
}

/// The points of which `target` has all of `volumes`, the latest first: a test may be of each. A promotion gives at least the
/// latest: it gives all that came.
///
/// Its time is when the source took it, noted on the target when it had come.
pub(crate) async fn whole_points(
    target: &Cluster,
    replication: &Replication,
    volumes: &[CinderVolume],
) -> Result<Vec<RecoveryPoint>, StorageError> {
    let group = target.safe("group", replication.group_id.as_str())?;
    for volume in volumes {
        target.cinder_name(volume)?;
    }
    let wanted: BTreeSet<&str> = volumes.iter().map(|volume| volume.id.as_str()).collect();
    let notes = target.notes().await?;
    let mut points: BTreeMap<String, BTreeMap<String, PointNote>> = BTreeMap::new();
    for (rest, note) in notes.of::<PointNote>("point.")? {
        if note.group == group
            && let Some((operation, volume)) = rest.split_once('.')
            && wanted.contains(volume)
        {
            let of = points.entry(operation.to_owned()).or_default();
            of.insert(volume.to_owned(), note);
        }
    }
    let whole = points
        .into_iter()
        .filter(|(_, of)| of.len() == wanted.len());
    let times = whole.filter_map(|(operation, of)| {
        let taken_at = of.values().map(|note| note.taken_at).min()?;
        Some((taken_at, operation, of))
    });
    let mut times: Vec<_> = times.collect();
    times.sort_by_key(|(taken_at, ..)| std::cmp::Reverse(*taken_at));
    let images = match times.is_empty() {
        true => BTreeMap::new(),
        false => target.mirrored_images().await,
    };
    let mut points = Vec::new();
    for (taken_at, operation, of) in times {
        let mut there = true;
        for (volume, note) in &of {
            there = there && is_there(target, &notes, &images, volume, note).await?;
        }
        if there {
            let id = RecoveryPointId::new(operation);
            points.push(RecoveryPoint { id, taken_at });
        }
    }
    Ok(points)
}

/// Whether the target still has the image that `note` says has the point of `volume`: what was made anew under its name
/// need not have a byte of it.
async fn is_there(
    target: &Cluster,
    notes: &Notes<'_>,
    images: &BTreeMap<String, String>,
    volume: &str,
    note: &PointNote,
) -> Result<bool, StorageError> {
    let of_volume: Option<VolumeNote> = notes.get(&volume_key(volume))?;
    if note.dropped || of_volume.is_some_and(|known| known.global_id != note.global_id) {
        return Ok(false);
    }
    match images.get(&note.global_id) {
        Some(image) => Ok(*image == note.image),
        None => {
            let image = target.image_by_global_id(&note.global_id).await?;
            Ok(image.is_some_and(|image| note.is_in(&image)))
        }
    }
}

/// Removes the snapshots of `operation` where they can be removed, and all that is noted of it on the target.
pub(crate) async fn forget(
    source: Option<&Cluster>,
    target: &Cluster,
    replication: &Replication,
    volumes: &[CinderVolume],
    operation: &OperationId,
) -> Result<(), StorageError> {
    let group = target.safe("group", replication.group_id.as_str())?;
    let id = target.safe("operation", operation.as_str())?;
    let notes = target.notes().await?;
    let mut gone: Vec<String> = Vec::new();
    // By the mirror, the snapshots that go.
    let mut snapshots: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut drop_of = |global_id: &str, snapshot: String| {
        let of = snapshots.entry(global_id.to_owned()).or_default();
        of.insert(snapshot);
    };
    let of_it = |rest: &str| rest.split_once('.').is_some_and(|(of, _)| of == id);
    let clones: Vec<(String, CloneNote)> = notes.of("clone.")?;
    let is_used = clones
        .iter()
        .any(|(rest, note)| !of_it(rest) && note.group == group && note.point == id);
    gone.extend(
        clones
            .iter()
            .filter(|(rest, _)| of_it(rest))
            .map(|(rest, _)| format!("clone.{rest}")),
    );
    for (rest, point) in notes.of::<PointNote>("point.")? {
        if of_it(&rest) && !is_used {
            drop_of(&point.global_id, snapshot_of(id));
            gone.push(format!("point.{rest}"));
        }
    }
    // With what a promotion began, also if it was that of an operation before.
    let mut begun_with: BTreeSet<String> = BTreeSet::new();
    let mut left: Vec<(String, PromotedNote)> = Vec::new();
    for (global_id, promoted) in notes.of::<PromotedNote>("promoted.")? {
        let since = promoted.since.clone();
        if promoted.operation != id || promoted.diverged {
            begun_with.extend(since);
        } else if promoted.forced && !promoted.followed {
            // The other side cannot follow it yet, whoever asks; only nothing is this operation's to take back any more.
            since
                .into_iter()
                .for_each(|since| drop_of(&global_id, since));
            let nobodys = PromotedNote {
                operation: String::new(),
                since: None,
                ..promoted
            };
            left.push((promoted_key(&global_id), nobodys));
        } else {
            since
                .into_iter()
                .for_each(|since| drop_of(&global_id, since));
            gone.push(format!("promoted.{global_id}"));
        }
    }
    for (global_id, resync) in notes.of::<ResyncNote>("resync.")? {
        if resync.operation == id {
            gone.push(format!("resync.{global_id}"));
        }
    }
    for volume in volumes {
        match target.find_by(&notes, volume).await? {
            Some(image) if image.global_id().is_some() => {
                if !is_used {
                    drop_of(image.serial(), snapshot_of(id));
                }
                drop_of(image.serial(), promoted_snapshot_of(operation));
            }
            _ => {}
        }
    }
    for (global_id, mut names) in snapshots {
        names.retain(|name| !begun_with.contains(name));
        remove_snapshots(source, target, &global_id, &names).await?;
    }
    for (key, note) in left {
        target.write_note(&key, &note).await?;
    }
    for key in gone {
        target.remove_note(&key).await?;
    }
    Ok(())
}

/// Snapshots are removed on the primary, and go from the replica by themselves.
async fn remove_snapshots(
    source: Option<&Cluster>,
    target: &Cluster,
    global_id: &str,
    wanted: &BTreeSet<String>,
) -> Result<(), StorageError> {
    let Some(image) = target.image_by_global_id(global_id).await? else {
        return Ok(());
    };
    let there = target.snapshots(&image.name).await?;
    let there: Vec<&String> = wanted
        .iter()
        .filter(|wanted| there.iter().any(|one| one.name == **wanted))
        .collect();
    let (side, image) = match (image.is_primary(), source) {
        (true, _) => (target, image),
        (false, Some(source)) => match source.image_by_global_id(global_id).await? {
            Some(image) if image.is_primary() => (source, image),
            _ if there.is_empty() => return Ok(()),
            _ => return Err(no_primary(target, &image)),
        },
        (false, None) if there.is_empty() => return Ok(()),
        (false, None) => return Err(no_primary(target, &image)),
    };
    for snapshot in wanted {
        match side.remove_snapshot(&image.name, snapshot).await {
            Err(failure) if failure.code == code::EROFS => {
                return Err(no_primary(side, &image));
            }
            removed => removed.map_err(|failure| side.failed(failure))?,
        }
    }
    Ok(())
}

fn no_primary(side: &Cluster, image: &Image) -> StorageError {
    side.error(
        StorageErrorKind::NotYet,
        format!(
            "snapshots of image {} can be removed once one side is primary",
            image.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::{Fake, POOL};

    const GLOBAL_ID: &str = "137de92c-c10b-4f09-b0bf-66bbd0b13fcb";

    fn point(minute: u32) -> Value {
        json!({"group": "g", "global_id": GLOBAL_ID, "image": "1", "taken_at": format!("2026-11-29T18:{minute:02}:00Z")})
    }

    #[test]
    fn what_clones_rest_on_is_not_dropped_for_any_volume_of_the_group() {
        let fake = Fake::new("", "");
        let primary: Image =
            serde_json::from_str(include_str!("../tests/recorded/info-primary.json")).unwrap();
        let mut all = vec![
            ("point.op-1.v", point(1)),
            ("point.op-2.v", point(2)),
            ("point.op-3.v", point(3)),
            ("point.op-4.v", point(4)),
        ];
        let old = |all: &[(&str, Value)]| {
            let notes = Notes::of_test(&fake.cluster, all);
            let operation = OperationId::from("op-4");
            let old = old_points(&notes, "g", &[&primary], &operation, KEPT).unwrap();
            old.into_iter()
                .map(|(rest, _)| rest)
                .collect::<Vec<String>>()
        };
        assert_eq!(old(&all), ["op-2.v", "op-1.v"]);
        let clone = |group| json!({"group": group, "point": "op-1", "image": null});
        all.push(("clone.op-t.another", clone("another group")));
        assert_eq!(old(&all), ["op-2.v", "op-1.v"]);
        all.push(("clone.op-t.w", clone("g")));
        assert_eq!(old(&all), ["op-2.v"]);
    }

    #[tokio::test]
    async fn a_point_counts_for_the_image_that_has_it_alone() {
        // The list of mirrored images is asked where Ceph's own is not understood.
        let rbd =
            format!("{POOL}\ncase \"$*\" in *\"pool status\"*) echo '{{}}';; *) exit 2;; esac");
        let fake = Fake::new(&rbd, "exit 1");
        let there = async |notes: &[(&str, Value)], images: &[(&str, &str)], note: Value| {
            let notes = Notes::of_test(&fake.cluster, notes);
            let images = images
                .iter()
                .map(|(mirror, image)| ((*mirror).to_owned(), (*image).to_owned()))
                .collect();
            let note: PointNote = serde_json::from_value(note).unwrap();
            is_there(&fake.cluster, &notes, &images, "v", &note)
                .await
                .unwrap()
        };
        assert!(there(&[], &[(GLOBAL_ID, "1")], point(1)).await);
        assert!(
            !there(&[], &[(GLOBAL_ID, "2")], point(1)).await,
            "made anew"
        );
        assert!(!there(&[], &[], point(1)).await, "gone");
        let mut dropped = point(1);
        dropped["dropped"] = json!(true);
        assert!(!there(&[], &[(GLOBAL_ID, "1")], dropped).await);
        let other = json!({"group": "g", "global_id": "another", "cinder_name": "volume-v"});
        let notes = [("volume.v", other)];
        assert!(
            !there(&notes, &[(GLOBAL_ID, "1")], point(1)).await,
            "protected anew"
        );
    }
}
