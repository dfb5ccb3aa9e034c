//! The way to the other cluster: fence, promote, and back.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use protector_core::{
    id::{OperationId, VolumeId},
    storage::{
        ArrayProgress, CinderVolume, PromotedVolume, PromotionKind, PromotionMode, StorageError,
        StorageErrorKind,
    },
};

use crate::{
    catalogue::{PromotedNote, promoted_key},
    cluster::{Cluster, SOON, cinder_id, managed_name, pending},
    image::{Image, Role},
    pair::{Pair, mirrored, peer_image},
    point::promoted_snapshot_of,
    program::code,
};

/// How long a call waits for a forced promotion, which goes on behind it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a lock is broken: rbd-mirror may take it again until its session is blocked.
const LOCK_ROUNDS: usize = 5;

impl Pair<'_> {
    /// Makes a point of `operation` and demotes the source's images, all of them or none.
    pub(crate) async fn fence(
        &self,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.source.safe("operation", operation.as_str())?;
        let mut primaries = self.sources(volumes).await?;
        primaries.retain(|(_, image)| image.is_primary());
        for (_, image) in &primaries {
            self.source.see_nobody_writes(image).await?;
        }
        try_join_all(
            primaries
                .iter()
                .map(|(_, image)| self.take(image, operation)),
        )
        .await?;
        for (_, image) in &primaries {
            let demoted = self.source.demote(&image.name).await;
            demoted.map_err(|failure| self.source.failed(failure))?;
        }
        Ok(ArrayProgress::Done(()))
    }

    /// Promotes the source's images again, and gives them the names by which their Cinder knows them.
    pub(crate) async fn unfence(
        source: &Cluster,
        target: Option<&Cluster>,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let mut waits = None;
        for volume in volumes {
            let Some(image) = source.find(volume).await? else {
                return Err(source.refused(format!(
                    "there is no image {} of volume {}, and none is noted for it",
                    source.cinder_name(volume)?,
                    volume.id
                )));
            };
            if image.role() == Role::Replica {
                let peer = peer_image(target, &image).await?;
                if peer.is_some_and(|peer| peer.is_primary()) {
                    return Err(source.refused(format!(
                        "image {} of volume {} is primary on the other side; discard its promotion first",
                        image.name, volume.id
                    )));
                }
                match source.promote(&image.name).await {
                    Ok(()) => {}
                    Err(failure) if failure.code == code::EBUSY => {
                        waits = waits.or(Some(format!(
                            "{} to have what the other side wrote to {}",
                            source.array.name, image.name
                        )));
                        continue;
                    }
                    Err(failure) => return Err(source.failed(failure)),
                }
            }
            let name = source.cinder_name(volume)?;
            if image.name != name {
                let renamed = source.rename(&image.name, &name).await;
                renamed.map_err(|failure| source.failed(failure))?;
            }
        }
        match waits {
            Some(what) => Ok(pending(what, SOON)),
            None => Ok(ArrayProgress::Done(())),
        }
    }
}

/// A promotion on one cluster, with the other one if it can be asked.
pub(crate) struct Promotion<'a> {
    pub(crate) source: Option<&'a Cluster>,
    pub(crate) target: &'a Cluster,
    pub(crate) operation: &'a OperationId,
}

impl Promotion<'_> {
    /// Makes the images of `volumes` primary on the target.
    pub(crate) async fn promote(
        &self,
        volumes: &[CinderVolume],
        mode: PromotionMode,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        self.target.safe("operation", self.operation.as_str())?;
        let images =
            try_join_all(volumes.iter().map(|volume| self.promotable(volume, mode))).await?;
        // One that fails must not leave others half way in a call that nobody looks at.
        let promoted = join_all(images.iter().map(|image| self.promote_one(image, mode))).await;
        let mut waits = None;
        for one in promoted {
            if let ArrayProgress::Pending(pending) = one? {
                waits = waits.or(Some(pending));
            }
        }
        if let Some(pending) = waits {
            return Ok(ArrayProgress::Pending(pending));
        }
        let told = volumes
            .iter()
            .zip(&images)
            .map(|(volume, image)| self.promoted(volume, image));
        Ok(ArrayProgress::Done(try_join_all(told).await?))
    }

    /// The image that may be promoted, or that we promoted.
    async fn promotable(
        &self,
        volume: &CinderVolume,
        mode: PromotionMode,
    ) -> Result<Image, StorageError> {
        let image = mirrored(self.target, volume).await?;
        let global_id = image.serial();
        if image.is_primary() {
            let note: Option<PromotedNote> = self.target.note(&promoted_key(global_id)).await?;
            if note.is_none() {
                return Err(self.target.error(
                    StorageErrorKind::SplitBrain,
                    format!(
                        "image {} of volume {} is primary here already, and protector did not promote it: look at which \
                         side has the right bytes, and demote the other one",
                        image.name, volume.id
                    ),
                ));
            }
            return Ok(image);
        }
        if mode == PromotionMode::Planned {
            // After a demotion both sides could be promoted, one after the other.
            let source = peer_image(self.source, &image).await?;
            if source.is_some_and(|source| source.is_primary()) {
                return Err(self.target.refused(format!(
                    "image {} of volume {} is primary on the source; fence it first",
                    image.name, volume.id
                )));
            }
        }
        Ok(image)
    }

    async fn promote_one(
        &self,
        image: &Image,
        mode: PromotionMode,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let forced = mode == PromotionMode::Forced;
        let key = promoted_key(image.serial());
        let known: Option<PromotedNote> = self.target.note(&key).await?;
        let note = PromotedNote {
            operation: self.operation.as_str().to_owned(),
            // What was promoted by force stays so, also when a later operation takes it over.
            forced: forced
                || (image.is_primary() && known.as_ref().is_some_and(|note| note.forced)),
        };
        if known.as_ref() != Some(&note) {
            self.target.write_note(&key, &note).await?;
        }
        match (image.is_primary(), forced) {
            (true, false) => Ok(ArrayProgress::Done(())),
            (true, true) => self.prove_writable(image).await,
            (false, false) => match self.target.promote(&image.name).await {
                Ok(()) => Ok(ArrayProgress::Done(())),
                Err(failure) if failure.code == code::EBUSY => {
                    let what = format!(
                        "the last bytes of {} on {}",
                        image.name, self.target.array.name
                    );
                    Ok(pending(what, SOON))
                }
                Err(failure) => self.unless_promoted(image, failure).await,
            },
            (false, true) => self.force(image).await,
        }
    }

    /// Another engine may have done it at the same moment.
    async fn unless_promoted(
        &self,
        image: &Image,
        failure: crate::program::Failure,
    ) -> Result<ArrayProgress<()>, StorageError> {
        match self.target.image_by_global_id(image.serial()).await? {
            Some(now) if now.is_primary() => Ok(ArrayProgress::Done(())),
            _ => Err(self.target.failed(failure)),
        }
    }

    /// Breaks rbd-mirror's lock, which it may never give up by itself while the other side is dead, and promotes. The
    /// promotion runs to its end whatever becomes of this call: one that was ended and begun again can leave a torn image.
    async fn force(&self, image: &Image) -> Result<ArrayProgress<()>, StorageError> {
        let subject = format!("promote {}", image.id);
        if !self.target.jobs.is_running(&subject).await {
            self.break_locks(image).await?;
        }
        let spec = self.target.spec(&image.name);
        let arguments = ["mirror", "image", "promote", "--force", &spec];
        match self.target.run_long(&subject, &arguments, PATIENCE).await {
            None => {
                let what = format!("the forced promotion of {}", image.name);
                Ok(pending(what, SOON))
            }
            Some(Ok(())) => self.prove_writable(image).await,
            Some(Err(failure)) => match self.unless_promoted(image, failure).await? {
                ArrayProgress::Done(()) => self.prove_writable(image).await,
                pending => Ok(pending),
            },
        }
    }

    async fn break_locks(&self, image: &Image) -> Result<(), StorageError> {
        for _ in 0..LOCK_ROUNDS {
            let locks = self.target.locks(&image.name).await?;
            if locks.is_empty() {
                return Ok(());
            }
            let spec = self.target.spec(&image.name);
            for lock in &locks {
                let removed = self
                    .target
                    .change(&["lock", "rm", &spec, &lock.id, &lock.locker])
                    .await;
                match removed {
                    // Let go of meanwhile.
                    Err(failure) if failure.code != code::ENOENT => {
                        return Err(self.target.failed(failure));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A promotion that ended well may still leave an image that nobody can write to. A snapshot needs all that a write
    /// needs, and tells later what was written since.
    async fn prove_writable(&self, image: &Image) -> Result<ArrayProgress<()>, StorageError> {
        let snapshot = promoted_snapshot_of(self.operation);
        match self.target.snapshot(&image.name, &snapshot).await {
            Ok(()) => Ok(ArrayProgress::Done(())),
            Err(failure) if matches!(failure.code, code::EROFS | code::EBUSY) => {
                self.break_locks(image).await?;
                let what = format!("rbd-mirror to let go of {}", image.name);
                Ok(pending(what, SOON))
            }
            Err(failure) => Err(self.target.failed(failure)),
        }
    }

    async fn promoted(
        &self,
        volume: &CinderVolume,
        image: &Image,
    ) -> Result<PromotedVolume, StorageError> {
        let managed_as = match image.name == self.target.cinder_name(volume)? {
            true => None,
            false => cinder_id(&image.name).map(VolumeId::from),
        };
        Ok(PromotedVolume {
            volume: volume.id.clone(),
            object: self.target.object(image).await?,
            source_name: image.name.clone(),
            managed_as,
            kind: PromotionKind::InPlace,
        })
    }

    /// Makes what `operation` promoted of `volume` a replica again, under the name by which the source's Cinder knows it.
    pub(crate) async fn discard(
        &self,
        volume: &CinderVolume,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.target.safe("operation", self.operation.as_str())?;
        let source_name = self.target.cinder_name(volume)?;
        let Some(image) = self.target.find(volume).await? else {
            return Ok(ArrayProgress::Done(()));
        };
        let Some(global_id) = image.global_id() else {
            return Ok(ArrayProgress::Done(()));
        };
        let key = promoted_key(global_id);
        let note: Option<PromotedNote> = self.target.note(&key).await?;
        let Some(note) = note.filter(|note| note.operation == self.operation.as_str()) else {
            return Ok(ArrayProgress::Done(()));
        };
        if image.is_primary() {
            let managed = managed_as.map(|id| managed_name(id.as_str()));
            if image.name != source_name && Some(&image.name) != managed.as_ref() {
                return Err(self.target.refused(format!(
                    "the promoted image of volume {} is now called {}; unmanage it and say so before it is discarded",
                    volume.id, image.name
                )));
            }
            if let ArrayProgress::Pending(pending) = self.give_back(&image, &source_name).await? {
                return Ok(ArrayProgress::Pending(pending));
            }
        }
        if note.forced {
            self.follow_the_source(global_id, image.is_primary())
                .await?;
        }
        self.target.remove_note(&key).await?;
        Ok(ArrayProgress::Done(()))
    }

    async fn give_back(
        &self,
        image: &Image,
        source_name: &str,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.target.see_nobody_writes(image).await?;
        if image.name != source_name {
            let renamed = self.target.rename(&image.name, source_name).await;
            renamed.map_err(|failure| self.target.failed(failure))?;
        }
        let source = peer_image(self.source, image).await?;
        if let Some(source) = source
            && source.role() == Role::Replica
            && source.name != source_name
        {
            let what = format!("{source_name} to have its name on the source again");
            return Ok(pending(what, SOON));
        }
        let snapshot = promoted_snapshot_of(self.operation);
        let removed = self.target.remove_snapshot(source_name, &snapshot).await;
        removed.map_err(|failure| self.target.failed(failure))?;
        let demoted = self.target.demote(source_name).await;
        demoted.map_err(|failure| self.target.failed(failure))?;
        Ok(ArrayProgress::Done(()))
    }

    /// What was promoted by force has left the source's journal: it becomes a replica again by a new copy only.
    async fn follow_the_source(
        &self,
        global_id: &str,
        was_primary: bool,
    ) -> Result<(), StorageError> {
        let Some(image) = self.target.image_by_global_id(global_id).await? else {
            return Ok(());
        };
        // Never promoted after all, and followed all the while.
        let status = self.target.mirror_status(&image.name).await?;
        if !was_primary && status.is_some_and(|status| status.state == "up+replaying") {
            return Ok(());
        }
        if let Some(source) = peer_image(self.source, &image).await?
            && source.is_primary()
            && image.role() == Role::Replica
        {
            let spec = self.target.spec(&image.name);
            let flagged = self
                .target
                .change(&["mirror", "image", "resync", &spec])
                .await;
            flagged.map_err(|failure| self.target.failed(failure))?;
        }
        Ok(())
    }
}
