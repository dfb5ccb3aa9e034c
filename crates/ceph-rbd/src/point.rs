//! Recovery points: a snapshot of each image, made on the primary and replicated in the order of its writes. That the
//! target has it proves that it has all that was written before.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use protector_core::{
    id::{OperationId, RecoveryPointId},
    storage::{
        ArrayProgress, CinderVolume, RecoveryPoint, Replication, StorageError, StorageErrorKind,
    },
};

use crate::{
    catalogue::{PointNote, point_key},
    cluster::{Cluster, SOON, pending},
    image::{Image, Role},
    pair::{Pair, mirrored},
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
        let images = self.sources(volumes).await?;
        for (volume, image) in &images {
            if image.is_primary() {
                self.take(image, operation).await?;
            } else {
                self.see_it_was_taken(volume, image, operation).await?;
            }
        }
        let reached = images
            .iter()
            .map(|(volume, image)| self.reached(volume, image, operation));
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
        self.drop_old_points(&images, operation).await;
        Ok(ArrayProgress::Done(RecoveryPoint {
            id: RecoveryPointId::new(operation.as_str()),
            taken_at,
        }))
    }

    /// Makes the point of one primary, unless it is there.
    pub(crate) async fn take(
        &self,
        image: &Image,
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        let snapshot = snapshot_of(operation.as_str());
        let taken = self.source.snapshot(&image.name, &snapshot).await;
        taken.map_err(|failure| self.source.failed(failure))
    }

    /// A fence makes the point before it demotes.
    async fn see_it_was_taken(
        &self,
        volume: &CinderVolume,
        image: &Image,
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        let wanted = snapshot_of(operation.as_str());
        let snapshots = self.source.snapshots(&image.name).await?;
        if snapshots.iter().any(|one| one.name == wanted) {
            return Ok(());
        }
        Err(self.source.refused(format!(
            "image {} of volume {} is not primary here, and operation {operation} has made no recovery point of it before; \
             replicate the other way, or take the fence back",
            image.name, volume.id
        )))
    }

    /// When the source took the point, once the target has it.
    async fn reached(
        &self,
        volume: &CinderVolume,
        image: &Image,
        operation: &OperationId,
    ) -> Result<ArrayProgress<DateTime<Utc>>, StorageError> {
        let key = point_key(operation, volume.id.as_str());
        if let Some(note) = self.target.note::<PointNote>(&key).await? {
            return Ok(ArrayProgress::Done(note.taken_at));
        }
        let wanted = snapshot_of(operation.as_str());
        let global_id = image.serial();
        let Some(replica) = self.target.peer_of(image).await? else {
            return Err(self.target.error(
                StorageErrorKind::NotYet,
                format!("the first copy of {} has not come", image.name),
            ));
        };
        if replica.is_primary() && image.is_primary() {
            return Err(self.both_primary(image));
        }
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
        let taken = self.source.snapshots(&image.name).await?;
        let taken = taken.iter().find(|one| one.name == wanted);
        let Some(taken_at) = taken.and_then(|one| one.made_at()) else {
            return Err(self.source.refused(format!(
                "snapshot {wanted} of {} was removed by somebody; replicate anew",
                image.name
            )));
        };
        let note = PointNote {
            group: self.group.to_owned(),
            global_id: global_id.to_owned(),
            taken_at,
        };
        self.target.write_note(&key, &note).await?;
        Ok(ArrayProgress::Done(taken_at))
    }

    /// A group that is replicated every few minutes would have snapshots without end. What cannot be removed now is
    /// removed with the next point.
    async fn drop_old_points(&self, images: &[(&CinderVolume, Image)], operation: &OperationId) {
        for side in [self.target, self.source] {
            if let Err(error) = self.drop_old_points_noted_on(side, images, operation).await {
                tracing::warn!(array = %side.array.name, %error, "an old recovery point is still there");
            }
        }
    }

    /// Those of the way back, too, which are noted on the source: there the image was known as another volume.
    async fn drop_old_points_noted_on(
        &self,
        side: &Cluster,
        images: &[(&CinderVolume, Image)],
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        let kept = match side.array.name == self.target.array.name {
            true => KEPT,
            false => 0,
        };
        let all: Vec<(String, PointNote)> = side.notes_of("point.").await?;
        for (_, image) in images.iter().filter(|(_, image)| image.is_primary()) {
            let is_old = |(rest, note): &&(String, PointNote)| {
                note.group == self.group
                    && note.global_id == image.serial()
                    && !rest.starts_with(&format!("{operation}."))
            };
            let mut old: Vec<&(String, PointNote)> = all.iter().filter(is_old).collect();
            old.sort_by_key(|(_, note)| std::cmp::Reverse(note.taken_at));
            for (rest, _) in old.into_iter().skip(kept) {
                let (of, _) = rest.split_once('.').unwrap_or((rest, ""));
                let removed = self
                    .source
                    .remove_snapshot(&image.name, &snapshot_of(of))
                    .await;
                removed.map_err(|failure| self.source.failed(failure))?;
                side.remove_note(&format!("point.{rest}")).await?;
            }
        }
        Ok(())
    }
}

/// The latest point of which `target` has all of `volumes`. A promotion gives at least that: it gives all that came.
///
/// Its time is when the source took it, noted on the target when it had come.
pub(crate) async fn latest(
    target: &Cluster,
    replication: &Replication,
    volumes: &[CinderVolume],
) -> Result<Vec<RecoveryPoint>, StorageError> {
    let group = target.safe("group", replication.group_id.as_str())?;
    for volume in volumes {
        target.cinder_name(volume)?;
    }
    let mut points: BTreeMap<String, BTreeMap<String, DateTime<Utc>>> = BTreeMap::new();
    for (rest, note) in target.notes_of::<PointNote>("point.").await? {
        if note.group == group
            && let Some((operation, volume)) = rest.split_once('.')
        {
            let of = points.entry(operation.to_owned()).or_default();
            of.insert(volume.to_owned(), note.taken_at);
        }
    }
    let whole = points.into_iter().filter(|(_, of)| {
        volumes
            .iter()
            .all(|volume| of.contains_key(volume.id.as_str()))
    });
    let times = whole.filter_map(|(operation, of)| {
        let taken_at = of.into_values().min()?;
        Some(RecoveryPoint {
            id: RecoveryPointId::new(operation),
            taken_at,
        })
    });
    Ok(times
        .max_by_key(|point| point.taken_at)
        .into_iter()
        .collect())
}

/// Removes the snapshots of `operation` where they can be removed, and all that is noted of it on the target.
pub(crate) async fn forget(
    source: Option<&Cluster>,
    target: &Cluster,
    replication: &Replication,
    volumes: &[CinderVolume],
    operation: &OperationId,
) -> Result<(), StorageError> {
    target.safe("group", replication.group_id.as_str())?;
    let id = target.safe("operation", operation.as_str())?;
    let mut global_ids: Vec<String> = Vec::new();
    let mut notes: Vec<String> = Vec::new();
    for key in target.notes().await? {
        if key.starts_with(&format!("point.{id}.")) {
            if let Some(note) = target.note::<PointNote>(&key).await? {
                global_ids.push(note.global_id);
            }
            notes.push(key);
        } else if key.starts_with(&format!("clone.{id}.")) {
            notes.push(key);
        } else if let Some(global_id) = key.strip_prefix("promoted.") {
            let promoted: Option<crate::catalogue::PromotedNote> = target.note(&key).await?;
            if promoted.is_some_and(|note| note.operation == id) {
                global_ids.push(global_id.to_owned());
                notes.push(key);
            }
        } else if let Some(global_id) = key.strip_prefix("resync.") {
            let resync: Option<crate::catalogue::ResyncNote> = target.note(&key).await?;
            if resync.is_some_and(|note| note.operation == id) {
                global_ids.push(global_id.to_owned());
                notes.push(key);
            }
        }
    }
    for volume in volumes {
        match mirrored(target, volume).await {
            Ok(image) => global_ids.push(image.serial().to_owned()),
            Err(error) if error.kind == StorageErrorKind::Refused => {}
            Err(error) => return Err(error),
        }
    }
    global_ids.sort();
    global_ids.dedup();
    for global_id in &global_ids {
        remove_snapshots(source, target, global_id, operation).await?;
    }
    for key in notes {
        target.remove_note(&key).await?;
    }
    Ok(())
}

/// Snapshots are removed on the primary, and go from the replica by themselves.
async fn remove_snapshots(
    source: Option<&Cluster>,
    target: &Cluster,
    global_id: &str,
    operation: &OperationId,
) -> Result<(), StorageError> {
    let Some(image) = target.image_by_global_id(global_id).await? else {
        return Ok(());
    };
    let wanted = [
        snapshot_of(operation.as_str()),
        promoted_snapshot_of(operation),
    ];
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
    for snapshot in &wanted {
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
