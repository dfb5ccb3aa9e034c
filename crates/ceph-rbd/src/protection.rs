//! Begins and ends the mirroring of images.

use futures_util::future::try_join_all;
use protector_core::{
    id::VolumeId,
    storage::{ArrayProgress, CinderVolume, StorageError, StorageErrorKind},
};

use crate::{
    catalogue::{PointNote, VolumeNote, volume_key},
    cluster::{Cluster, LATER, SOON, cinder_id, pending},
    image::{Image, Role},
    pair::Pair,
    point::is_of_ours,
    program::code,
};

/// Without it a guest's writes are cut into entries of 16 KiB, and replayed fifteen times slower.
const ENTRY_BYTES: &str = "1048576";

impl Pair<'_> {
    /// Sees that `volumes` are mirrored, and ends the mirroring of others that are noted for the group.
    pub(crate) async fn protect(
        &self,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let protected = try_join_all(volumes.iter().map(|volume| self.protect_one(volume))).await?;
        let waits = protected.into_iter().find_map(|one| match one {
            ArrayProgress::Done(_) => None,
            ArrayProgress::Pending(pending) => Some(pending),
        });
        Ok(waits.map_or(ArrayProgress::Done(()), ArrayProgress::Pending))
    }

    /// The global id, once the target replays.
    async fn protect_one(
        &self,
        volume: &CinderVolume,
    ) -> Result<ArrayProgress<String>, StorageError> {
        let Some(image) = self.source.find(volume).await? else {
            return Err(self.source.refused(format!(
                "there is no image {} of volume {} in pool {}",
                self.source.cinder_name(volume)?,
                volume.id,
                self.source.array.pool
            )));
        };
        let Some(global_id) = image.global_id() else {
            return self.enable(volume, &image).await;
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
        self.note_volume(volume, global_id).await?;
        let journal = self.source.journal(&image.name).await?;
        if let Some(replica) = &replica
            && journal.is_replayed_to(&replica.id)
        {
            return Ok(ArrayProgress::Done(global_id.to_owned()));
        }
        self.first_copy_is_pending(&image, replica.as_ref()).await
    }

    async fn first_copy_is_pending(
        &self,
        image: &Image,
        replica: Option<&Image>,
    ) -> Result<ArrayProgress<String>, StorageError> {
        let status = match replica {
            Some(replica) => self.target.mirror_status(&replica.name).await?,
            None => None,
        };
        if status.as_ref().is_some_and(|status| status.is_split()) {
            return Err(self.both_primary(image));
        }
        let says = match status {
            Some(status) => format!("rbd-mirror says: {}", status.in_words()),
            None => "rbd-mirror has not begun it".to_owned(),
        };
        let what = format!(
            "the first copy of {} on {} ({says})",
            image.name, self.target.array.name
        );
        Ok(pending(what, LATER))
    }

    /// Begins the mirroring of an image that is in none.
    async fn enable(
        &self,
        volume: &CinderVolume,
        image: &Image,
    ) -> Result<ArrayProgress<String>, StorageError> {
        if let Some(parent) = &image.parent {
            let spec = self.source.spec(&image.name);
            let subject = format!("flatten {}", image.id);
            let flattened = self
                .source
                .run_long(&subject, &["flatten", "--no-progress", &spec], SOON)
                .await;
            if let Some(Err(failure)) = flattened {
                return Err(self.source.failed(failure));
            }
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
        let enabled = self.source.image(&image.name).await?;
        if let Some(global_id) = enabled.as_ref().and_then(Image::global_id) {
            self.note_volume(volume, global_id).await?;
        }
        let what = format!(
            "the first copy of {} on {}",
            image.name, self.target.array.name
        );
        Ok(pending(what, SOON))
    }

    async fn note_volume(
        &self,
        volume: &CinderVolume,
        global_id: &str,
    ) -> Result<(), StorageError> {
        let note = VolumeNote {
            group: self.group.to_owned(),
            global_id: global_id.to_owned(),
            cinder_name: self.source.cinder_name(volume)?,
            image: None,
        };
        for side in [self.source, self.target] {
            if side.note_of(volume).await?.as_ref() != Some(&note) {
                let key = volume_key(volume.id.as_str());
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
            let name = self.source.cinder_name(volume)?;
            let note = match self.source.note_of(volume).await? {
                Some(note) => Some(note),
                None => self.target.note_of(volume).await?,
            };
            let note = match note {
                Some(note) => note,
                None => match self.source.find(volume).await? {
                    Some(image) if image.global_id().is_some() => VolumeNote {
                        group: self.group.to_owned(),
                        global_id: image.serial().to_owned(),
                        cinder_name: name.clone(),
                        image: None,
                    },
                    _ => continue,
                },
            };
            let note = VolumeNote {
                cinder_name: name,
                ..note
            };
            if let ArrayProgress::Pending(pending) =
                self.unprotect_noted(volume.id.as_str(), note).await?
            {
                return Ok(ArrayProgress::Pending(pending));
            }
        }
        Ok(ArrayProgress::Done(()))
    }

    /// The order keeps both images: disabled first, a primary takes its replica with it, and a replica that is gone is
    /// made anew.
    async fn unprotect_noted(
        &self,
        volume: &str,
        note: VolumeNote,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let known = CinderVolume {
            name_id: cinder_id(&note.cinder_name).map(VolumeId::from),
            ..CinderVolume::known_by_id(VolumeId::from(volume))
        };
        let source = self.source.find(&known).await?;
        let target = self.target.image_by_global_id(&note.global_id).await?;
        if let Some(image) = &source {
            let noted = VolumeNote {
                image: Some(image.id.clone()),
                ..note.clone()
            };
            self.source.write_note(&volume_key(volume), &noted).await?;
        }
        let mirrored = [(self.source, &source), (self.target, &target)];
        let mut mirrored: Vec<(&Cluster, &Image)> = mirrored
            .into_iter()
            .filter_map(|(side, image)| Some((side, image.as_ref()?)))
            .filter(|(_, image)| image.global_id() == Some(note.global_id.as_str()))
            .collect();
        mirrored.sort_by_key(|(_, image)| image.is_primary());
        let both_primary = mirrored.iter().all(|(_, image)| image.is_primary());
        for (side, image) in &mirrored {
            let spec = side.spec(&image.name);
            let mut arguments = vec!["mirror", "image", "disable"];
            if !image.is_primary() || (both_primary && mirrored.len() == 2) {
                arguments.push("--force");
            }
            arguments.push(&spec);
            side.change(&arguments)
                .await
                .map_err(|failure| side.failed(failure))?;
        }
        // Read again: what was a replica may have been held by rbd-mirror a moment longer.
        if let Some(image) = &source {
            let Some(image) = self.source.image_by_id(&image.id).await? else {
                return Err(self.source.error(
                    StorageErrorKind::NotYet,
                    format!("image {} is being made anew by rbd-mirror", image.name),
                ));
            };
            self.remove_our_snapshots(self.source, &image).await?;
            if image.name != note.cinder_name {
                self.source
                    .rename(&image.name, &note.cinder_name)
                    .await
                    .map_err(|failure| self.source.failed(failure))?;
            }
        }
        if let Some(image) = &target
            && let Some(image) = self.target.image_by_id(&image.id).await?
        {
            self.remove_our_snapshots(self.target, &image).await?;
        }
        for (rest, point) in self.target.notes_of::<PointNote>("point.").await? {
            if point.global_id == note.global_id {
                self.target.remove_note(&format!("point.{rest}")).await?;
            }
        }
        self.target.remove_note(&volume_key(volume)).await?;
        self.source.remove_note(&volume_key(volume)).await?;
        Ok(ArrayProgress::Done(()))
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
