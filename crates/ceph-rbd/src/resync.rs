//! Makes what a lost site has, now that it is back, a replica of what was promoted.

use protector_core::{
    id::OperationId,
    storage::{ArrayProgress, CinderVolume, StorageError},
};

use crate::{
    catalogue::{PromotedNote, ResyncNote, promoted_key, resync_key},
    cluster::{LATER, SOON, pending},
    image::{Image, Role},
    pair::{Pair, sources},
    program::code,
};

impl Pair<'_> {
    /// Throws away what the target has of `volumes` and copies the source anew, where the two have gone apart.
    pub(crate) async fn resync(
        &self,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.target.safe("operation", operation.as_str())?;
        let images = sources(self.source, volumes).await?;
        // All of them, before anything is thrown away.
        for (volume, image) in &images {
            if !image.is_primary() {
                return Err(self.source.refused(format!(
                    "image {} of volume {} is not primary here, where the group runs: nothing is thrown away on {}",
                    image.name, volume.id, self.target.array.name
                )));
            }
        }
        let mut waits = None;
        for (_, image) in &images {
            if let ArrayProgress::Pending(pending) = self.resync_one(image, operation).await? {
                waits = waits.or(Some(pending));
            }
        }
        match waits {
            Some(pending) => Ok(ArrayProgress::Pending(pending)),
            None => Ok(ArrayProgress::Done(())),
        }
    }

    async fn resync_one(
        &self,
        primary: &Image,
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let key = resync_key(primary.serial());
        let note: Option<ResyncNote> = self.target.note(&key).await?;
        let note = note.filter(|note| note.operation == operation.as_str());
        let stale = self.target.peer_of(primary).await?;
        let Some(stale) = stale else {
            let what = format!(
                "{} to make the replica of {}",
                self.target.array.name, primary.name
            );
            return Ok(pending(what, LATER));
        };
        match note {
            // It has been made anew: never a second time.
            Some(note) if note.image != stale.id => self.is_replaying(primary, &stale).await,
            None if stale.role() == Role::Replica
                && !self.has_gone_apart(primary, &stale).await? =>
            {
                self.is_replaying(primary, &stale).await
            }
            note => {
                self.flag(primary, &stale, note.is_some(), &key, operation)
                    .await
            }
        }
    }

    /// Whether the replica cannot follow the primary, as is noted of a forced promotion of either. That rbd-mirror says so
    /// counts too; that it does not say so, or that the journal once had the replica as one that follows, proves nothing.
    async fn has_gone_apart(&self, primary: &Image, stale: &Image) -> Result<bool, StorageError> {
        let note: Option<PromotedNote> = self.source.note(&promoted_key(primary.serial())).await?;
        if note.is_some_and(|note| note.has_left_the_other_side(primary)) {
            return Ok(true);
        }
        let note: Option<PromotedNote> = self.target.note(&promoted_key(stale.serial())).await?;
        if note.is_some_and(|note| note.diverged && note.image == stale.id) {
            return Ok(true);
        }
        let status = self.target.mirror_status(&stale.name).await?;
        Ok(status.is_some_and(|status| status.is_split()))
    }

    async fn flag(
        &self,
        primary: &Image,
        stale: &Image,
        noted: bool,
        key: &str,
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        if stale.is_primary() {
            self.target.see_nobody_writes(stale).await?;
        }
        if !noted {
            let note = ResyncNote {
                operation: operation.as_str().to_owned(),
                image: stale.id.clone(),
            };
            self.target.write_note(key, &note).await?;
        }
        if stale.is_primary() {
            let demoted = self.target.demote(&stale.name).await;
            demoted.map_err(|failure| self.target.failed(failure))?;
        }
        let spec = self.target.spec(&stale.name);
        let what = format!(
            "{} to remove what it had of {} and to copy it anew",
            self.target.array.name, primary.name
        );
        match self
            .target
            .change(&["mirror", "image", "resync", &spec])
            .await
        {
            Ok(()) => Ok(pending(what, LATER)),
            // It is being removed at this moment.
            Err(failure) if matches!(failure.code, code::ENOENT | code::EBUSY) => {
                Ok(pending(what, SOON))
            }
            // It is taken out of the mirror before that.
            Err(failure) if failure.code == code::EINVAL => {
                let now = self.target.image_by_id(&stale.id).await?;
                match now {
                    Some(image) if image.role() != Role::Plain && !image.is_leaving() => {
                        Err(self.target.failed(failure))
                    }
                    _ => Ok(pending(what, SOON)),
                }
            }
            Err(failure) => Err(self.target.failed(failure)),
        }
    }

    async fn is_replaying(
        &self,
        primary: &Image,
        replica: &Image,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let journal = self.source.journal(&primary.name).await?;
        if journal.is_replayed_to(&replica.id) {
            self.source.promotion_is_followed(primary).await?;
            return Ok(ArrayProgress::Done(()));
        }
        let says = match self.target.mirror_status(&replica.name).await? {
            Some(status) => format!(" (rbd-mirror says: {})", status.in_words()),
            None => String::new(),
        };
        let what = format!(
            "the new copy of {} on {}{says}",
            primary.name, self.target.array.name
        );
        Ok(pending(what, LATER))
    }
}
