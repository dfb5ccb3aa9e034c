//! The way to the other cluster: fence, promote, and back.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all, try_join3};
use protector_core::{
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{
        ArrayProgress, CinderVolume, PromotedVolume, PromotionKind, PromotionMode, StorageError,
        StorageErrorKind,
    },
};

use crate::{
    catalogue::{PointNote, PromotedNote, point_key, promoted_key},
    cluster::{Cluster, SOON, cinder_id, managed_name, pending},
    image::{Image, Lock, Role},
    job::Place,
    pair::{Follows, follows, mirrored, peer_image, sources},
    point::{promoted_snapshot_of, take},
    program::code,
};

/// How long a call waits for a forced promotion, which goes on behind it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a lock is broken: rbd-mirror may take it again until its session is blocked.
const LOCK_ROUNDS: usize = 5;
/// For how long Ceph keeps the watch of a client that was killed, and a client that lives may be without one.
const WATCH_ENDS: Duration = Duration::from_secs(30);

impl Cluster {
    /// Makes a point of `operation` and demotes the images of `volumes`, all of them or none. The other side is not asked.
    pub(crate) async fn fence(
        &self,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.safe("operation", operation.as_str())?;
        let mut primaries = sources(self, volumes).await?;
        primaries.retain(|(_, image)| image.is_primary());
        for (_, image) in &primaries {
            self.see_nobody_writes(image).await?;
        }
        let points = primaries
            .iter()
            .map(|(_, image)| take(self, image, operation));
        try_join_all(points).await?;
        for (_, image) in &primaries {
            let demoted = self.demote(&image.name).await;
            demoted.map_err(|failure| self.failed(failure))?;
        }
        Ok(ArrayProgress::Done(()))
    }

    /// Promotes the source's images again, and gives them the names by which their Cinder knows them.
    pub(crate) async fn unfence(
        &self,
        target: Option<&Cluster>,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let source = self;
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
                if peer.as_ref().is_some_and(Image::is_primary) {
                    return Err(source.refused(format!(
                        "image {} of volume {} is primary on the other side; discard its promotion first",
                        image.name, volume.id
                    )));
                }
                match source.promote(&image.name).await {
                    Ok(()) => {}
                    // What it waits for is the other side's demotion, and nobody is there to send it.
                    Err(failure) if failure.code == code::EBUSY && peer.is_none() => {
                        return Err(source.refused(format!(
                            "image {name} of volume {} was told that the other side is primary, and the other side does not \
                             answer: with `rbd mirror image promote --force {}` it may be written to again, without what was \
                             written there since; then ask again",
                            volume.id,
                            source.spec(&image.name),
                            name = image.name,
                        )));
                    }
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

/// An image on the target, and what is noted of its promotion.
struct Promotable {
    image: Image,
    known: Option<PromotedNote>,
    /// The source's image, if a planned promotion could ask for it.
    source: Option<Image>,
}

impl Promotion<'_> {
    /// Makes the images of `volumes` primary on the target. One that is promoted by force has `point`.
    pub(crate) async fn promote(
        &self,
        point: &RecoveryPointId,
        volumes: &[CinderVolume],
        mode: PromotionMode,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        self.target.safe("operation", self.operation.as_str())?;
        let images = volumes
            .iter()
            .map(|volume| self.promotable(volume, point, mode));
        let images = try_join_all(images).await?;
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
            .map(|(volume, image)| self.promoted(volume, &image.image));
        Ok(ArrayProgress::Done(try_join_all(told).await?))
    }

    /// The image that may be promoted, or that we promoted.
    async fn promotable(
        &self,
        volume: &CinderVolume,
        point: &RecoveryPointId,
        mode: PromotionMode,
    ) -> Result<Promotable, StorageError> {
        let image = mirrored(self.target, volume).await?;
        let known: Option<PromotedNote> = self.target.note(&promoted_key(image.serial())).await?;
        let known = known.filter(|note| note.image == image.id);
        match (image.is_primary(), mode) {
            (true, _) if known.is_none() => Err(self.target.error(
                StorageErrorKind::SplitBrain,
                format!(
                    "image {} of volume {} is primary here already, and protector did not promote it: look at which side \
                     has the right bytes, and demote the other one",
                    image.name, volume.id
                ),
            )),
            (true, _) => Ok(Promotable {
                image,
                known,
                source: None,
            }),
            (false, PromotionMode::Planned) => {
                // After a demotion both sides could be promoted, one after the other.
                let source = peer_image(self.source, &image).await?;
                if source.as_ref().is_some_and(Image::is_primary) {
                    return Err(self.target.refused(format!(
                        "image {} of volume {} is primary on the source; fence it first",
                        image.name, volume.id
                    )));
                }
                Ok(Promotable {
                    image,
                    known,
                    source,
                })
            }
            (false, PromotionMode::Forced) => {
                let key = point_key(&OperationId::from(point.as_str()), volume.id.as_str());
                let note: Option<PointNote> = self.target.note(&key).await?;
                if note.is_none_or(|note| !note.is_in(&image)) {
                    return Err(self.target.refused(format!(
                        "image {} of volume {} does not have recovery point {point}: it may have been made anew since, and \
                         hold less; take a point that recovery_points names",
                        image.name, volume.id
                    )));
                }
                Ok(Promotable {
                    image,
                    known,
                    source: None,
                })
            }
        }
    }

    async fn promote_one(
        &self,
        Promotable {
            image,
            known,
            source,
        }: &Promotable,
        mode: PromotionMode,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let (operation, key) = (self.operation.as_str(), promoted_key(image.serial()));
        if let Some(known) = known
            && image.is_primary()
        {
            // How it was promoted stays so, also when a later operation takes it over.
            let note = PromotedNote {
                operation: operation.to_owned(),
                ended: true,
                ..known.clone()
            };
            if note != *known {
                if !note.forced && !known.ended {
                    let source = peer_image(self.source, image).await?;
                    self.source_is_followed(source.as_ref()).await?;
                }
                self.target.write_note(&key, &note).await?;
            }
            return self.prove_writable(image, &note).await;
        }
        let forced = mode == PromotionMode::Forced;
        let ours = known
            .as_ref()
            .filter(|note| note.operation == operation && note.forced == forced && !note.ended);
        // Before anything is noted: what waits for a place would run long after it was given up.
        let place = match forced && !self.target.promotions.is_running(&image.id) {
            true => match self.target.promotions.place() {
                None => {
                    let what = format!(
                        "a place for the forced promotion of {}: as many as may be are at work",
                        image.name
                    );
                    return Ok(pending(what, SOON));
                }
                place => place,
            },
            false => None,
        };
        let note = match ours {
            Some(note) => note.clone(),
            None => {
                // That of another operation may be at work still.
                if known.as_ref().is_some_and(|known| !known.ended)
                    && let ArrayProgress::Pending(pending) =
                        self.nobody_promotes(image, known.as_ref()).await?
                {
                    return Ok(ArrayProgress::Pending(pending));
                }
                let note = PromotedNote {
                    operation: operation.to_owned(),
                    forced,
                    image: image.id.clone(),
                    lockers: match forced {
                        true => self.lockers(image).await?,
                        false => Vec::new(),
                    },
                    since: forced.then(|| promoted_snapshot_of(self.operation)),
                    ended: false,
                    diverged: known.as_ref().is_some_and(|known| known.diverged),
                    followed: false,
                };
                self.target.write_note(&key, &note).await?;
                self.target.promotions.forget_end(&image.id);
                self.target.memory.promotion_is_begun(&image.id, operation);
                note
            }
        };
        let promoted = match forced {
            true => self.force(image, &note, place).await?,
            false => match self.target.promote(&image.name).await {
                Ok(()) => ArrayProgress::Done(()),
                Err(failure) if failure.code == code::EBUSY => {
                    let what = format!(
                        "the last bytes of {} on {}",
                        image.name, self.target.array.name
                    );
                    pending(what, SOON)
                }
                Err(failure) => self.unless_promoted(image, failure).await?,
            },
        };
        if promoted == ArrayProgress::Done(()) {
            if !forced {
                self.source_is_followed(source.as_ref()).await?;
            }
            let note = PromotedNote {
                ended: true,
                ..note
            };
            self.target.write_note(&key, &note).await?;
        }
        Ok(promoted)
    }

    /// Ceph let the target be promoted after the demotion of `image`, the source's: it has all of that.
    async fn source_is_followed(&self, image: Option<&Image>) -> Result<(), StorageError> {
        let (Some(source), Some(image)) = (self.source, image) else {
            return Ok(());
        };
        match source.promotion_is_followed(image).await {
            // It may be lost, and is asked again by the next move.
            Err(error) if error.kind == StorageErrorKind::Unavailable => Ok(()),
            noted => noted,
        }
    }

    /// Another engine may have done it at the same moment.
    async fn unless_promoted(
        &self,
        image: &Image,
        failure: crate::program::Failure,
    ) -> Result<ArrayProgress<()>, StorageError> {
        match self.target.image_by_id(&image.id).await? {
            Some(now) if now.is_primary() => Ok(ArrayProgress::Done(())),
            _ => Err(self.target.failed(failure)),
        }
    }

    /// Breaks rbd-mirror's lock, which it may never give up by itself while the other side is dead, and promotes. The
    /// promotion runs to its end whatever becomes of this call: one that was ended and begun again can leave a torn image.
    async fn force(
        &self,
        image: &Image,
        note: &PromotedNote,
        place: Option<Place>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.break_locks(image, note).await?;
        if !self.target.promotions.is_running(&image.id) {
            if let ArrayProgress::Pending(pending) = self.nobody_promotes(image, Some(note)).await?
            {
                return Ok(ArrayProgress::Pending(pending));
            }
            self.target
                .memory
                .promotion_is_begun(&image.id, &note.operation);
        }
        // It may have been taken back, or over, while all that was asked.
        if place.is_some() && !self.is_wanted(image, note).await? {
            let what = format!(
                "whoever has taken back or over the forced promotion of {} that was about to begin",
                image.name
            );
            return Ok(pending(what, SOON));
        }
        match self.target.promote_by_force(place, image, PATIENCE).await {
            None => {
                let what = format!("the forced promotion of {}", image.name);
                Ok(pending(what, SOON))
            }
            Some(Ok(())) => self.prove_writable(image, note).await,
            Some(Err(failure)) => match self.unless_promoted(image, failure).await? {
                ArrayProgress::Done(()) => self.prove_writable(image, note).await,
                pending => Ok(pending),
            },
        }
    }

    /// Whether a promotion that is about to begin is what is noted of `image`, read at this moment.
    async fn is_wanted(&self, image: &Image, note: &PromotedNote) -> Result<bool, StorageError> {
        let now: Option<PromotedNote> = self.target.note(&promoted_key(image.serial())).await?;
        Ok(now.is_some_and(|now| {
            now.operation == note.operation && now.image == note.image && now.forced && !now.ended
        }))
    }

    /// Sees that no promotion of the replica that an earlier process began is at work: whoever is neither rbd-mirror nor had
    /// the lock before may be it. One that has not got to the cluster yet is not seen, so nobody must be for a while.
    async fn nobody_promotes(
        &self,
        image: &Image,
        note: Option<&PromotedNote>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let may_be = |what: &str| {
            let what = format!(
                "a promotion of {} that an earlier process may have begun ({what})",
                image.name
            );
            Ok(pending(what, SOON))
        };
        let memory = &self.target.memory;
        let (sessions, watchers, locks) = try_join3(
            self.target.mirror_sessions(),
            self.target.watchers(image),
            self.target.locks(&image.name),
        )
        .await?;
        let known = note.map(|note| note.lockers.as_slice()).unwrap_or_default();
        let is_stranger =
            |session: &String| !sessions.contains(session) && !known.contains(session);
        let mut strangers = watchers
            .iter()
            .filter(|watcher| is_stranger(&watcher.session()));
        if let Some(who) = strangers.next() {
            memory.is_quiet_no_more(&image.id);
            return may_be(&format!("{who} has it open"));
        }
        // Who is at work watches the image too. A lock without a watch is that of a dead client, or of one that has lost its
        // watch and is about to have it again.
        for lock in locks.iter().filter(|lock| is_stranger(&lock.locker)) {
            let subject = format!("{} {}", image.id, lock.locker);
            if memory.quiet_for(&subject, WATCH_ENDS) < WATCH_ENDS {
                memory.is_quiet_no_more(&image.id);
                return may_be(&format!(
                    "{} has its lock; it is taken for dead after {} s without a watch",
                    lock.locker,
                    WATCH_ENDS.as_secs()
                ));
            }
            self.break_lock(image, lock).await?;
            memory.is_quiet_no_more(&subject);
        }
        let mine = note.is_some_and(|note| memory.has_begun_promotion(&image.id, &note.operation));
        let settles = self.target.settles_within();
        if !mine && memory.quiet_for(&image.id, settles) < settles {
            return may_be("none is seen yet");
        }
        memory.is_quiet_no_more(&image.id);
        Ok(ArrayProgress::Done(()))
    }

    async fn lockers(&self, image: &Image) -> Result<Vec<String>, StorageError> {
        let locks = self.target.locks(&image.name).await?;
        Ok(locks.into_iter().map(|lock| lock.locker).collect())
    }

    /// Breaks the locks of rbd-mirror, and those that were there before the promotion: never that of a promotion itself, nor
    /// that of a guest that uses what was promoted.
    async fn break_locks(&self, image: &Image, note: &PromotedNote) -> Result<(), StorageError> {
        for _ in 0..LOCK_ROUNDS {
            let mut locks = self.target.locks(&image.name).await?;
            if locks.is_empty() {
                return Ok(());
            }
            let sessions = self.target.mirror_sessions().await?;
            locks.retain(|lock| {
                note.lockers.contains(&lock.locker) || sessions.contains(&lock.locker)
            });
            if locks.is_empty() {
                return Ok(());
            }
            for lock in &locks {
                self.break_lock(image, lock).await?;
            }
        }
        Ok(())
    }

    async fn break_lock(&self, image: &Image, lock: &Lock) -> Result<(), StorageError> {
        let spec = self.target.spec(&image.name);
        let broken = ["lock", "rm", &spec, &lock.id, &lock.locker];
        match self.target.change(&broken).await {
            // Let go of meanwhile.
            Err(failure) if failure.code != code::ENOENT => Err(self.target.failed(failure)),
            _ => Ok(()),
        }
    }

    /// A promotion that ended well may still leave an image that nobody can write to. A snapshot needs all that a write
    /// needs, and tells later what was written since.
    async fn prove_writable(
        &self,
        image: &Image,
        note: &PromotedNote,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let Some(snapshot) = &note.since else {
            return Ok(ArrayProgress::Done(()));
        };
        match self.target.snapshot(&image.name, snapshot).await {
            Ok(()) => Ok(ArrayProgress::Done(())),
            Err(failure) if matches!(failure.code, code::EROFS | code::EBUSY) => {
                self.break_locks(image, note).await?;
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
    ///
    /// What was promoted by force, and what the source does not follow at this moment, is copied anew, from a source that is
    /// there alone: the note of it stays until then, and the next protection goes on from it.
    pub(crate) async fn discard(
        &self,
        volume: &CinderVolume,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.target.safe("operation", self.operation.as_str())?;
        let source_name = self.target.cinder_name(volume)?;
        let Some(mut image) = self.target.find(volume).await? else {
            return Ok(ArrayProgress::Done(()));
        };
        let Some(global_id) = image.global_id().map(str::to_owned) else {
            return Ok(ArrayProgress::Done(()));
        };
        let key = promoted_key(&global_id);
        let note: Option<PromotedNote> = self.target.note(&key).await?;
        let Some(mut note) = note.filter(|note| note.operation == self.operation.as_str()) else {
            return Ok(ArrayProgress::Done(()));
        };
        if note.image != image.id {
            // It was made anew: there is nothing left of what was promoted.
            self.target.remove_note(&key).await?;
            return Ok(ArrayProgress::Done(()));
        }
        if !image.is_primary() && !note.ended && !note.diverged {
            // Promoted after this, nobody would know of it.
            if let ArrayProgress::Pending(pending) = self.promotion_has_ended(&image, &note).await?
            {
                return Ok(ArrayProgress::Pending(pending));
            }
            match self.target.image_by_id(&image.id).await? {
                Some(now) => image = now,
                None => return Ok(pending(format!("{} to be made anew", image.name), SOON)),
            }
        }
        if image.is_primary() {
            let managed = managed_as.map(|id| managed_name(id.as_str()));
            if image.name != source_name && Some(&image.name) != managed.as_ref() {
                return Err(self.target.refused(format!(
                    "the promoted image of volume {} is now called {}; unmanage it and say so before it is discarded",
                    volume.id, image.name
                )));
            }
            // What was promoted with the source's consent has left it too, once that was let write by somebody.
            if !note.diverged
                && (note.forced
                    || matches!(follows(self.source, &image).await?, Follows::No { .. }))
            {
                note.diverged = true;
                self.target.write_note(&key, &note).await?;
            }
            if let ArrayProgress::Pending(pending) =
                self.give_back(&image, &note, &source_name).await?
            {
                return Ok(ArrayProgress::Pending(pending));
            }
        }
        self.target.promotions.forget_end(&image.id);
        if note.diverged && !is_copied_anew(self.source, self.target, &image.id).await? {
            return Ok(ArrayProgress::Done(()));
        }
        self.target.remove_note(&key).await?;
        Ok(ArrayProgress::Done(()))
    }

    /// A forced promotion is waited for, never cut off.
    async fn promotion_has_ended(
        &self,
        image: &Image,
        note: &PromotedNote,
    ) -> Result<ArrayProgress<()>, StorageError> {
        if note.forced {
            self.break_locks(image, note).await?;
        }
        if self.target.promotions.is_running(&image.id) {
            let what = format!(
                "the forced promotion of {} to end, before it is taken back",
                image.name
            );
            return Ok(pending(what, SOON));
        }
        self.nobody_promotes(image, Some(note)).await
    }

    async fn give_back(
        &self,
        image: &Image,
        note: &PromotedNote,
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
        if let Some(snapshot) = &note.since {
            let removed = self.target.remove_snapshot(source_name, snapshot).await;
            removed.map_err(|failure| self.target.failed(failure))?;
        }
        let demoted = self.target.demote(source_name).await;
        demoted.map_err(|failure| self.target.failed(failure))?;
        Ok(ArrayProgress::Done(()))
    }
}

/// Has a replica copied anew that has left its source's journal, if the source can be asked and is primary. Whether that
/// has begun: until rbd-mirror comes to it the stale image looks as if it followed.
pub(crate) async fn is_copied_anew(
    source: Option<&Cluster>,
    target: &Cluster,
    stale: &str,
) -> Result<bool, StorageError> {
    let Some(image) = target.image_by_id(stale).await? else {
        return Ok(true);
    };
    if image.role() != Role::Replica {
        return Ok(false);
    }
    let source = peer_image(source, &image).await?;
    if source.is_some_and(|source| source.is_primary()) {
        let spec = target.spec(&image.name);
        let flagged = target.change(&["mirror", "image", "resync", &spec]).await;
        match flagged {
            // It is being taken out of the mirror and removed at this moment.
            Err(failure) if matches!(failure.code, code::ENOENT | code::EBUSY | code::EINVAL) => {}
            flagged => flagged.map_err(|failure| target.failed(failure))?,
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, POOL};

    /// A replica that `watcher` has open, locked by it and by rbd-mirror, which is session 4214.
    fn replica(watcher: &str) -> (Fake, Image) {
        let rbd = format!(
            r#"{POOL}
            case "$*" in
            *"lock ls"*) [ -e $here/removed ] && echo '[{{"id":"auto 2","locker":"client.99"}}]' ||
                echo '[{{"id":"auto 1","locker":"client.4214"}},{{"id":"auto 2","locker":"client.99"}}]';;
            *"lock rm"*) echo "$*" >> $here/removed;;
            *" status "*) echo '{{"watchers":[{{"address":"127.0.0.1:0/1","client":{watcher},"cookie":1}}]}}';;
            esac"#
        );
        let rados = "echo 'watcher=127.0.0.1:0/3707134839 client.4214 cookie=94559435608576'";
        let image = include_str!("../tests/recorded/info-secondary.json");
        (Fake::new(&rbd, rados), serde_json::from_str(image).unwrap())
    }

    fn note(lockers: &[&str]) -> PromotedNote {
        PromotedNote {
            operation: "op-1".to_owned(),
            forced: true,
            image: "1".to_owned(),
            lockers: lockers.iter().map(|&locker| locker.to_owned()).collect(),
            since: None,
            ended: false,
            diverged: false,
            followed: false,
        }
    }

    #[tokio::test]
    async fn the_lock_of_a_promotion_is_not_broken() {
        let (fake, image) = replica("99");
        let operation = OperationId::from("op-1");
        let promotion = Promotion {
            source: None,
            target: &fake.cluster,
            operation: &operation,
        };
        promotion.break_locks(&image, &note(&[])).await.unwrap();
        let removed = std::fs::read_to_string(fake.directory.path().join("removed")).unwrap();
        assert!(removed.contains("client.4214"), "{removed}");
        assert!(!removed.contains("client.99"), "{removed}");
        // One that was there before is not that of the promotion.
        promotion
            .break_locks(&image, &note(&["client.99"]))
            .await
            .unwrap();
        let removed = std::fs::read_to_string(fake.directory.path().join("removed")).unwrap();
        assert!(removed.contains("client.99"), "{removed}");
    }

    #[tokio::test]
    async fn the_lock_of_a_dead_client_is_broken_after_a_while() {
        let operation = OperationId::from("op-1");
        let (fake, image) = replica("4214");
        let promotion = Promotion {
            source: None,
            target: &fake.cluster,
            operation: &operation,
        };
        fake.cluster.memory.promotion_is_begun(&image.id, "op-1");
        let note = note(&[]);
        let ask = async || {
            promotion
                .nobody_promotes(&image, Some(&note))
                .await
                .unwrap()
        };
        let later = async |seconds| {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(seconds)).await;
            tokio::time::resume();
        };
        for seconds in [0, 20] {
            later(seconds).await;
            let ArrayProgress::Pending(pending) = ask().await else {
                panic!("it may have its watch again");
            };
            assert!(pending.what.contains("client.99 has its lock"), "{pending}");
        }
        later(11).await;
        assert_eq!(ask().await, ArrayProgress::Done(()));
        let removed = std::fs::read_to_string(fake.directory.path().join("removed")).unwrap();
        assert!(removed.contains("client.99"), "{removed}");
        assert!(!removed.contains("client.4214"), "{removed}");
    }

    #[tokio::test]
    async fn whoever_is_not_rbd_mirror_may_be_a_promotion() {
        let operation = OperationId::from("op-1");
        for (watcher, lockers, waits) in [
            ("99", &["client.99"][..], None),
            ("99", &[], Some("client.99")),
            ("4214", &[], Some("client.99 has its lock")),
            ("98", &["client.99"], Some("client.98 at 127.0.0.1:0/1")),
            ("4214", &["client.99"], None),
        ] {
            let (fake, image) = replica(watcher);
            let promotion = Promotion {
                source: None,
                target: &fake.cluster,
                operation: &operation,
            };
            fake.cluster.memory.promotion_is_begun(&image.id, "op-1");
            let found = promotion
                .nobody_promotes(&image, Some(&note(lockers)))
                .await
                .unwrap();
            match (found, waits) {
                (ArrayProgress::Done(()), None) => {}
                (ArrayProgress::Pending(pending), Some(who)) => {
                    assert!(pending.what.contains(who), "{pending}");
                }
                (found, _) => panic!("{watcher} {lockers:?}: {found:?}"),
            }
            // One that has not got to the cluster yet would not be seen.
            let other = PromotedNote {
                operation: "op-of-another-process".to_owned(),
                ..note(&["client.98", "client.99"])
            };
            let found = promotion.nobody_promotes(&image, Some(&other)).await;
            let ArrayProgress::Pending(pending) = found.unwrap() else {
                panic!("it may be about to begin");
            };
            assert!(pending.what.contains("none is seen yet"), "{pending}");
        }
    }
}
