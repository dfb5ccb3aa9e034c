//! Begins and ends the mirroring of images.

use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use protector_core::storage::{
    ArrayProgress, CinderVolume, Pending, StorageError, StorageErrorKind,
};

use crate::{
    catalogue::{Notes, PointNote, PromotedNote, VolumeNote, promoted_key, resync_key, volume_key},
    cluster::{Cluster, LATER, pending},
    failover::is_copied_anew,
    image::{Image, Role},
    journal::Journal,
    pair::Pair,
    point::is_of_ours,
    program::code,
};

/// Without it a guest's writes are cut into entries of 16 KiB, and replayed fifteen times slower.
const ENTRY_BYTES: &str = "1048576";

impl Pair<'_> {
    /// Sees that `volumes` are mirrored.
    pub(crate) async fn protect(
        &self,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let (source, target) = try_join(self.source.notes(), self.target.notes()).await?;
        let notes = [source, target];
        let protected = volumes
            .iter()
            .map(|volume| self.protect_one(&notes, volume));
        Ok(of_all(try_join_all(protected).await?))
    }

    /// How far the first copies of `volumes` are; begins none.
    pub(crate) async fn first_copies(
        &self,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let notes = self.source.notes().await?;
        let copies = volumes.iter().map(|volume| self.first_copy(&notes, volume));
        Ok(of_all(try_join_all(copies).await?))
    }

    async fn first_copy(
        &self,
        notes: &Notes<'_>,
        volume: &CinderVolume,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let Some(image) = self.source.find_by(notes, volume).await? else {
            return Err(self.has_no_image(volume)?);
        };
        match self.target.peer_of(&image).await? {
            // What was the replica has been promoted: it had its copy.
            Some(replica) if replica.is_primary() => Ok(ArrayProgress::Done(())),
            Some(replica) => {
                let journal = self.source.journal(&image.name).await?;
                if journal.is_replayed_to(&replica.id) {
                    return Ok(ArrayProgress::Done(()));
                }
                self.first_copy_is_pending(&image, &replica, &journal).await
            }
            None => Ok(self.first_copy_has_not_begun(&image)),
        }
    }

    fn has_no_image(&self, volume: &CinderVolume) -> Result<StorageError, StorageError> {
        Ok(self.source.refused(format!(
            "there is no image {} of volume {} in pool {}",
            self.source.cinder_name(volume)?,
            volume.id,
            self.source.array.pool
        )))
    }

    async fn protect_one(
        &self,
        notes: &[Notes<'_>; 2],
        volume: &CinderVolume,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let [of_source, of_target] = notes;
        let Some(image) = self.source.find_by(of_source, volume).await? else {
            return Err(self.has_no_image(volume)?);
        };
        let Some(global_id) = image.global_id() else {
            return self.enable(notes, volume, &image).await;
        };
        if !image.is_journaled() {
            return Err(self.source.error(
                StorageErrorKind::Misconfigured,
                format!(
                    "image {} is mirrored by snapshots; end that with `rbd mirror image disable {}`, it is mirrored by its \
                     journal then",
                    image.name,
                    self.source.spec(&image.name)
                ),
            ));
        }
        let replica = self.target.peer_of(&image).await?;
        match (image.role(), replica.as_ref().map(Image::role)) {
            (Role::Primary, Some(Role::Primary)) => return Err(self.both_primary(&image)),
            (Role::Primary, _) => {}
            (_, Some(Role::Primary)) => {
                return Err(self.source.refused(format!(
                    "image {} of volume {} is the replica, and {} has the primary: the replication goes the other way",
                    image.name, volume.id, self.target.array.name
                )));
            }
            _ => {
                return Err(self.source.refused(format!(
                    "image {} of volume {} is fenced: no side is primary; end the move, or take it back",
                    image.name, volume.id
                )));
            }
        }
        let key = promoted_key(global_id);
        let promoted: Option<PromotedNote> = of_source.get(&key)?;
        if let Some(replica) = &replica
            && promoted.is_some_and(|note| note.has_left_the_other_side(&image))
        {
            if !is_another_than_noted(of_target, global_id, &replica.id)? {
                return Err(self.both_primary(&image));
            }
            // Somebody had it copied anew by hand.
            self.source.promotion_is_followed(&image).await?;
        }
        self.note_volume(notes, volume, &image, replica.as_ref())
            .await?;
        let Some(replica) = replica else {
            return Ok(self.first_copy_has_not_begun(&image));
        };
        // What was promoted and has left its source, and was taken back since, is copied anew.
        if let Some(note) = of_target.get::<PromotedNote>(&key)?
            && note.diverged
        {
            if note.image == replica.id
                && !is_copied_anew(Some(self.source), self.target, &replica.id).await?
            {
                return Ok(self.first_copy_has_not_begun(&image));
            }
            self.target.remove_note(&key).await?;
        }
        let journal = self.source.journal(&image.name).await?;
        if journal.is_replayed_to(&replica.id) {
            self.target.memory.copy_has_ended(&replica.id);
            return self.unless_split(&image, &replica).await;
        }
        self.first_copy_is_pending(&image, &replica, &journal).await
    }

    /// That a journal once had a replica as one that follows does not say that it does. rbd-mirror may say it of an image
    /// that was copied anew meanwhile, for half a minute.
    async fn unless_split(
        &self,
        image: &Image,
        replica: &Image,
    ) -> Result<ArrayProgress<()>, StorageError> {
        Ok(match self.target.mirror_status(&replica.name).await? {
            Some(status) if status.is_split() => {
                let what = format!(
                    "{} to follow {} (rbd-mirror says: {}; if it goes on saying so, both were written to: say which side is \
                     right, and resynchronise the other one)",
                    self.target.array.name,
                    image.name,
                    status.in_words()
                );
                pending(what, LATER)
            }
            _ => ArrayProgress::Done(()),
        })
    }

    fn first_copy_has_not_begun<T>(&self, image: &Image) -> ArrayProgress<T> {
        let what = format!(
            "the first copy of {} on {} (rbd-mirror has not begun it)",
            image.name, self.target.array.name
        );
        pending(what, LATER)
    }

    async fn first_copy_is_pending(
        &self,
        image: &Image,
        replica: &Image,
        journal: &Journal,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let what = format!(
            "the first copy of {} on {}",
            image.name, self.target.array.name
        );
        if let Some(copied) = journal.objects_copied_to(&replica.id)
            && copied > 0
        {
            let (since, first) = self.target.memory.copy_seen_first(&replica.id, copied);
            return Ok(ArrayProgress::Pending(Pending {
                what,
                percent: percent(copied, image.objects),
                bytes_left: None,
                time_left: time_left(since, copied.saturating_sub(first), copied, image.objects),
                look_again: LATER,
            }));
        }
        let says = match self.target.mirror_status(&replica.name).await? {
            Some(status) if status.is_split() => return Err(self.both_primary(image)),
            Some(status) => format!("rbd-mirror says: {}", status.in_words()),
            None => "rbd-mirror has not begun it".to_owned(),
        };
        Ok(pending(format!("{what} ({says})"), LATER))
    }

    /// Begins the mirroring of an image that is in none.
    async fn enable(
        &self,
        notes: &[Notes<'_>; 2],
        volume: &CinderVolume,
        image: &Image,
    ) -> Result<ArrayProgress<()>, StorageError> {
        if let Some(parent) = &image.parent
            && !self.source.flatten(image).await?
        {
            let what = format!(
                "{} to hold all of its bytes itself: it is a clone of {}/{}, which is not mirrored ({} bytes at most are \
                 copied)",
                image.name, parent.pool, parent.image, parent.overlap
            );
            return Ok(pending(what, LATER));
        }
        let spec = self.source.spec(&image.name);
        let run = async |arguments: &[&str]| match self.source.change(arguments).await {
            Err(failure) => Err(self.source.failed(failure)),
            Ok(()) => Ok(()),
        };
        for feature in ["exclusive-lock", "journaling"] {
            if !image.has_feature(feature) {
                match self
                    .source
                    .change(&["feature", "enable", &spec, feature])
                    .await
                {
                    // Another engine has done it since.
                    Err(failure) if failure.code != code::EINVAL => {
                        return Err(self.source.failed(failure));
                    }
                    _ => {}
                }
            }
        }
        let option = "rbd_journal_max_payload_bytes";
        run(&["config", "image", "set", &spec, option, ENTRY_BYTES]).await?;
        run(&["mirror", "image", "enable", &spec, "journal"]).await?;
        if let Some(enabled) = self.source.image(&image.name).await?
            && enabled.global_id().is_some()
        {
            self.note_volume(notes, volume, &enabled, None).await?;
        }
        Ok(self.first_copy_has_not_begun(image))
    }

    /// Notes on both sides which image is `volume`'s.
    async fn note_volume(
        &self,
        notes: &[Notes<'_>; 2],
        volume: &CinderVolume,
        image: &Image,
        replica: Option<&Image>,
    ) -> Result<(), StorageError> {
        let key = volume_key(volume.id.as_str());
        let sides = [(self.source, Some(image)), (self.target, replica)];
        for ((side, image_there), notes) in sides.into_iter().zip(notes) {
            let note = VolumeNote {
                group: self.group.to_owned(),
                global_id: image.serial().to_owned(),
                cinder_name: self.source.cinder_name(volume)?,
                image: image_there.map(|image| image.id.clone()),
            };
            if notes.get(&key)?.as_ref() != Some(&note) {
                side.write_note(&key, &note).await?;
            }
        }
        Ok(())
    }

    pub(crate) fn both_primary(&self, image: &Image) -> StorageError {
        self.source.error(
            StorageErrorKind::SplitBrain,
            format!(
                "image {} was written to here and on {}: say which side is right, the other one is made its replica",
                image.name, self.target.array.name
            ),
        )
    }

    /// Ends the mirroring of `volumes`; each side keeps its image.
    pub(crate) async fn unprotect(
        &self,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        for volume in volumes {
            self.unprotect_one(volume).await?;
        }
        Ok(ArrayProgress::Done(()))
    }

    async fn unprotect_one(&self, volume: &CinderVolume) -> Result<(), StorageError> {
        let name = self.source.cinder_name(volume)?;
        let key = volume_key(volume.id.as_str());
        let (of_source, of_target) =
            try_join(self.source.note_of(volume), self.target.note_of(volume)).await?;
        let source = self.source.find(volume).await?;
        let noted = [&of_source, &of_target].into_iter().flatten().next();
        let global_id = match (noted, &source) {
            (Some(note), _) => note.global_id.clone(),
            (None, Some(image)) if image.global_id().is_some() => image.serial().to_owned(),
            _ => return Ok(()),
        };
        let target = match self.target.image_by_global_id(&global_id).await? {
            Some(image) => Some(image),
            None => match of_target.and_then(|note| note.image) {
                Some(id) => self.target.image_by_id(&id).await?,
                None => None,
            },
        };
        let sides = [(self.source, &source), (self.target, &target)];
        // Out of its mirror, an image is found by its own id alone.
        for (side, image) in sides {
            let note = VolumeNote {
                group: self.group.to_owned(),
                global_id: global_id.clone(),
                cinder_name: name.clone(),
                image: image.as_ref().map(|image| image.id.clone()),
            };
            side.write_note(&key, &note).await?;
        }
        self.end_mirror(&global_id, sides).await?;
        // Read again: what was a replica may have been held by rbd-mirror a moment longer.
        if let Some(image) = &source {
            let Some(image) = self.source.image_by_id(&image.id).await? else {
                return Err(self.source.error(
                    StorageErrorKind::NotYet,
                    format!("image {} is being made anew by rbd-mirror", image.name),
                ));
            };
            self.remove_our_snapshots(self.source, &image).await?;
            if image.name != name {
                let renamed = self.source.rename(&image.name, &name).await;
                renamed.map_err(|failure| self.source.failed(failure))?;
            }
        }
        if let Some(image) = &target
            && let Some(image) = self.target.image_by_id(&image.id).await?
        {
            self.remove_our_snapshots(self.target, &image).await?;
        }
        for side in [self.target, self.source] {
            self.remove_notes_of(side, &global_id, &key).await?;
        }
        self.target.remove_note(&key).await?;
        self.source.remove_note(&key).await
    }

    /// The order keeps both images: disabled first, a primary takes its replica with it, and a replica that is gone is
    /// made anew.
    async fn end_mirror(
        &self,
        global_id: &str,
        sides: [(&Cluster, &Option<Image>); 2],
    ) -> Result<(), StorageError> {
        let there = sides
            .into_iter()
            .filter_map(|(side, image)| Some((side, image.as_ref()?)));
        let mut mirrored: Vec<(&Cluster, &Image)> = there
            .filter(|(_, image)| image.global_id() == Some(global_id))
            .collect();
        mirrored.sort_by_key(|(_, image)| image.is_primary());
        let both_primary =
            mirrored.len() == 2 && mirrored.iter().all(|(_, image)| image.is_primary());
        for (side, image) in &mirrored {
            let spec = side.spec(&image.name);
            let mut arguments = vec!["mirror", "image", "disable"];
            if !image.is_primary() || both_primary {
                arguments.push("--force");
            }
            arguments.push(&spec);
            side.change(&arguments)
                .await
                .map_err(|failure| side.failed(failure))?;
        }
        Ok(())
    }

    /// What is noted of the mirror for other volumes too, as which its image was known before a move; `key` itself goes last.
    async fn remove_notes_of(
        &self,
        side: &Cluster,
        global_id: &str,
        key: &str,
    ) -> Result<(), StorageError> {
        let notes = side.notes().await?;
        let points = notes.of::<PointNote>("point.")?.into_iter();
        let points = points.filter(|(_, note)| note.global_id == global_id);
        let mut gone: Vec<String> = points.map(|(rest, _)| format!("point.{rest}")).collect();
        let volumes = notes.of::<VolumeNote>("volume.")?.into_iter();
        let volumes = volumes.filter(|(_, note)| note.global_id == global_id);
        gone.extend(volumes.map(|(rest, _)| volume_key(&rest)));
        gone.retain(|one| one != key);
        for key in [promoted_key(global_id), resync_key(global_id)] {
            if notes.has(&key) {
                gone.push(key);
            }
        }
        for key in gone {
            side.remove_note(&key).await?;
        }
        Ok(())
    }

    /// With them Cinder could not delete the image.
    async fn remove_our_snapshots(
        &self,
        side: &Cluster,
        image: &Image,
    ) -> Result<(), StorageError> {
        for snapshot in side.snapshots(&image.name).await? {
            if is_of_ours(&snapshot.name) {
                side.remove_snapshot(&image.name, &snapshot.name)
                    .await
                    .map_err(|failure| side.failed(failure))?;
            }
        }
        Ok(())
    }
}

/// What all wait for: the last one.
fn of_all(each: Vec<ArrayProgress<()>>) -> ArrayProgress<()> {
    let waits = each.into_iter().filter_map(|one| match one {
        ArrayProgress::Done(()) => None,
        ArrayProgress::Pending(pending) => Some(pending),
    });
    let waits: Vec<Pending> = waits.collect();
    let others = waits.len().saturating_sub(1);
    let last = waits.into_iter().min_by_key(|pending| pending.percent);
    match last {
        None => ArrayProgress::Done(()),
        Some(last) if others == 0 => ArrayProgress::Pending(last),
        Some(last) => ArrayProgress::Pending(Pending {
            what: format!("{}, and {others} more", last.what),
            ..last
        }),
    }
}

/// Whether the image that was last noted of a mirror on its side is another one than `image`: that was made anew since.
fn is_another_than_noted(
    notes: &Notes<'_>,
    global_id: &str,
    image: &str,
) -> Result<bool, StorageError> {
    let noted = notes.of::<VolumeNote>("volume.")?.into_iter();
    let noted = noted.filter(|(_, note)| note.global_id == global_id);
    let noted: Vec<String> = noted.filter_map(|(_, note)| note.image).collect();
    Ok(!noted.is_empty() && noted.iter().all(|noted| noted != image))
}

/// How much of a copy is there; never all of it, for then it has ended.
fn percent(copied: u64, objects: u64) -> Option<u8> {
    let percent = u128::from(copied) * 100 / u128::from(objects.max(1));
    u8::try_from(percent.min(99)).ok()
}

/// How long a copy takes yet if it goes on as it went: `gone_on` objects in `since`.
fn time_left(since: Duration, gone_on: u64, copied: u64, objects: u64) -> Option<Duration> {
    if gone_on == 0 {
        return None;
    }
    let left = objects.saturating_sub(copied);
    let millis = since.as_millis() * u128::from(left) / u128::from(gone_on);
    Some(Duration::from_millis(u64::try_from(millis).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_copy_is_and_how_long_it_takes_yet() {
        assert_eq!(percent(126, 375), Some(33));
        assert_eq!(percent(375, 375), Some(99), "it has not ended");
        assert_eq!(percent(1, 0), Some(99));
        let minute = Duration::from_secs(60);
        assert_eq!(
            time_left(minute, 0, 126, 375),
            None,
            "seen for the first time"
        );
        assert_eq!(time_left(minute, 125, 250, 375), Some(minute));
        assert_eq!(time_left(minute, 125, 400, 375), Some(Duration::ZERO));
    }
}
