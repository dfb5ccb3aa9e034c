//! Promotion: a replica becomes a writable object beside Cinder's own, once, whatever it is renamed to.
//!
//! The object's serial is in the catalogue before the object gets a name that Cinder can see. So there is no moment
//! at which an object of ours lies on the array and could not be told from another's.

use std::{io, path::PathBuf};

use protector_core::{
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{BackendObject, PromotedVolume, PromotionKind, StorageError, Written},
};

use crate::{
    address::{Array, CINDER_PREFIX},
    blocking,
    catalogue::{
        Catalogue,
        entity::{promotion, recovery_point_volume as replica},
        points::ReplicationScope,
        promotions::PromotionKey,
    },
    comparison::{Replica, compare},
    lock::{self, HeldLock},
    object::{
        identity_of, name_of, publish, random_name, remove, serial, serial_at, serial_on,
        sync_directory,
    },
    volume_file::{self, Contents, StopOnDrop},
};

/// The promotion of one volume by one operation.
pub(crate) struct Promotion<'a> {
    catalogue: &'a Catalogue,
    target: Array,
    key: PromotionKey,
    name: String,
}

/// Where a promoted object is.
enum Whereabouts {
    /// Among Cinder's, under this name: its first one or another.
    OnArray(String),
    /// Complete, but not among Cinder's yet.
    Staged,
    Gone,
}

impl<'a> Promotion<'a> {
    pub(crate) fn new(
        catalogue: &'a Catalogue,
        target: Array,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<Self, StorageError> {
        let name = target.promoted_name(operation, volume)?;
        let key = PromotionKey {
            operation: operation.as_str().to_owned(),
            volume: volume.as_str().to_owned(),
            target: target.name.clone(),
        };
        Ok(Self {
            catalogue,
            target,
            key,
            name,
        })
    }

    /// Makes the object as of `point`, unless it is there; the name under which it is.
    pub(crate) async fn make(
        &self,
        scope: &ReplicationScope,
        point: &RecoveryPointId,
    ) -> Result<PromotedVolume, StorageError> {
        let point = self.target.safe("recovery point", point.as_str())?;
        let held = lock::promotion(&self.target, &self.name).await?;
        let known = self.db(self.catalogue.promotion(&self.key).await)?;
        if let Some(known) = &known {
            match self.whereabouts(known).await? {
                Whereabouts::OnArray(source_name) => {
                    self.remove_staged(known).await?;
                    return self.promoted(known, source_name).await;
                }
                Whereabouts::Staged => return self.publish(known).await,
                Whereabouts::Gone => self.remove_staged(known).await?,
            }
        }
        self.see_name_is_free().await?;
        let (begun, replica) = self.begin(scope, point).await?;
        let begun = self.copy(begun, replica, &held).await?;
        self.publish(&begun).await
    }

    /// Removes the object under its first name or `managed_as`; the file under either name goes only if it is that
    /// object.
    pub(crate) async fn discard(&self, managed_as: Option<&VolumeId>) -> Result<(), StorageError> {
        let managed = managed_as.map(|volume| self.target.cinder_name(volume));
        let managed = managed.transpose()?;
        let _held = lock::promotion(&self.target, &self.name).await?;
        let Some(known) = self.db(self.catalogue.promotion(&self.key).await)? else {
            return Ok(());
        };
        if let Some(serial) = known.serial.clone() {
            self.remove_object(serial, managed).await?;
        }
        self.remove_staged(&known).await?;
        self.db(self.catalogue.forget_promotion(&self.key).await)
    }

    /// Compares the object with the replica that it was made of, block by block.
    pub(crate) async fn written_since(
        &self,
        scope: &ReplicationScope,
    ) -> Result<Written, StorageError> {
        let held = lock::promotion(&self.target, &self.name).await?;
        let Some(known) = self.db(self.catalogue.promotion(&self.key).await)? else {
            return Ok(Written::NoObject);
        };
        let Whereabouts::OnArray(name) = self.whereabouts(&known).await? else {
            return Ok(Written::NoObject);
        };
        let (point, volume) = (&known.point_id, &self.key.volume);
        let replica = self.db(self.catalogue.replica(scope, point, volume).await)?;
        let taken_at = self.db(self.catalogue.taken_at(scope, point).await)?;
        let (Some(replica), Some(taken_at)) = (replica, taken_at) else {
            return Ok(Written::Unknown {
                why: format!("recovery point {point} is not there any more"),
            });
        };
        let was = self.target.directory.join(&replica.path);
        let is = self.target.directory.join(&name);
        compare(
            &self.target,
            Replica {
                path: was,
                taken_at,
            },
            is,
            held,
        )
        .await
    }

    async fn whereabouts(&self, known: &promotion::Model) -> Result<Whereabouts, StorageError> {
        let Some(wanted) = known.serial.clone() else {
            return Ok(Whereabouts::Gone);
        };
        let (target, first, staged) = (
            self.target.clone(),
            self.name.clone(),
            self.staged_path(known),
        );
        blocking::quick(&self.target, "looking for a promoted volume", move || {
            if serial_on(&target, &first)?.as_ref() == Some(&wanted) {
                return Ok(Whereabouts::OnArray(first));
            }
            if let Some(name) = name_of(&target.directory, &wanted)? {
                return Ok(Whereabouts::OnArray(name));
            }
            match serial_at(&staged)? {
                Some(found) if found == wanted => Ok(Whereabouts::Staged),
                _ => Ok(Whereabouts::Gone),
            }
        })
        .await
    }

    /// What is told of the object, which is called `source_name` now.
    async fn promoted(
        &self,
        known: &promotion::Model,
        source_name: String,
    ) -> Result<PromotedVolume, StorageError> {
        let array = self.target.clone();
        let doing = "reading the array's identity";
        let scope = blocking::quick(&self.target, doing, move || identity_of(&array)).await?;
        Ok(PromotedVolume {
            volume: VolumeId::new(self.key.volume.clone()),
            object: BackendObject {
                found_on: self.target.address(),
                scope,
                serial: known.serial.clone().unwrap_or_default(),
            },
            managed_as: source_name
                .strip_prefix(CINDER_PREFIX)
                .map(|id| VolumeId::new(id.to_owned())),
            source_name,
            kind: PromotionKind::Copy,
        })
    }

    async fn see_name_is_free(&self) -> Result<(), StorageError> {
        let (target, name) = (self.target.clone(), self.name.clone());
        let taken = blocking::quick(&self.target, "looking for a promoted volume", move || {
            serial_on(&target, &name)
        })
        .await?;
        match taken {
            Some(_) => Err(self.name_is_taken()),
            None => Ok(()),
        }
    }

    fn name_is_taken(&self) -> StorageError {
        self.target.refused(format!(
            "{} exists and was not made by this operation; rename or remove it",
            self.name
        ))
    }

    /// Tells the catalogue what is about to be made. That keeps the point's replicas; only then is it certain that
    /// they are there.
    async fn begin(
        &self,
        scope: &ReplicationScope,
        point: &str,
    ) -> Result<(promotion::Model, replica::Model), StorageError> {
        let begun = promotion::Model {
            operation_id: self.key.operation.clone(),
            volume_id: self.key.volume.clone(),
            target: self.key.target.clone(),
            point_id: point.to_owned(),
            source_name: self.name.clone(),
            staged: random_name(),
            serial: None,
        };
        self.db(self.catalogue.begin_promotion(begun.clone()).await)?;
        let volume = &self.key.volume;
        match self.db(self.catalogue.replica(scope, point, volume).await)? {
            Some(replica) => Ok((begun, replica)),
            None => {
                self.db(self.catalogue.forget_promotion(&self.key).await)?;
                Err(self.target.refused(format!(
                    "recovery point {point} with volume {volume} of group {} from {} is not here",
                    scope.group, scope.source
                )))
            }
        }
    }

    /// Copies the replica, reads the copy back, and tells the catalogue which object it is.
    async fn copy(
        &self,
        begun: promotion::Model,
        replica: replica::Model,
        held: &HeldLock,
    ) -> Result<promotion::Model, StorageError> {
        let stop = StopOnDrop::default();
        let (from, to) = (
            self.target.directory.join(&replica.path),
            self.staged_path(&begun),
        );
        let (flag, held) = (stop.flag(), held.clone());
        let copied = blocking::long(&self.target, "promoting a volume", move || {
            let _held = held;
            let written = volume_file::copy(&from, &to, &flag)?;
            let read = volume_file::contents(&to, &flag)?;
            let object = serial(&to.metadata()?);
            Ok((written, read, object))
        })
        .await;
        let (written, read, object) = match copied {
            Ok(copied) => copied,
            Err(error) => return self.give_up(&begun, error).await,
        };
        if !is_recorded(&written, &replica) {
            let changed = self.target.refused(format!(
                "the replica of volume {} in recovery point {} is damaged: its checksum is not the recorded one; \
                 promote from another point",
                replica.volume_id, replica.point_id
            ));
            return self.give_up(&begun, changed).await;
        }
        if read != written {
            let differs = self.target.unavailable(format!(
                "reading back volume {} gave other bytes than were written",
                replica.volume_id
            ));
            return self.give_up(&begun, differs).await;
        }
        let sealed = self.catalogue.seal_promotion(begun.clone(), object.clone());
        self.db(sealed.await)?;
        Ok(promotion::Model {
            serial: Some(object),
            ..begun
        })
    }

    /// Removes what was begun, as far as that is possible, and returns why.
    async fn give_up<T>(
        &self,
        begun: &promotion::Model,
        reason: StorageError,
    ) -> Result<T, StorageError> {
        self.remove_staged(begun).await?;
        self.db(self.catalogue.forget_promotion(&self.key).await)?;
        Err(reason)
    }

    /// Gives the complete object the name by which Cinder finds it.
    async fn publish(&self, known: &promotion::Model) -> Result<PromotedVolume, StorageError> {
        let (staged, path) = (
            self.staged_path(known),
            self.target.directory.join(&self.name),
        );
        let on_array = blocking::quick(&self.target, "naming a promoted volume", move || {
            publish(&staged, &path)?;
            serial_at(&path)
        })
        .await?;
        // The name was free a moment ago, and Cinder cannot have renamed the object before we said what it is called.
        if on_array != known.serial {
            return Err(self.name_is_taken());
        }
        self.remove_staged(known).await?;
        self.promoted(known, self.name.clone()).await
    }

    async fn remove_object(
        &self,
        wanted: String,
        managed: Option<String>,
    ) -> Result<(), StorageError> {
        let (target, first) = (self.target.clone(), self.name.clone());
        let elsewhere = blocking::quick(&self.target, "removing a promoted volume", move || {
            for name in [Some(first), managed].into_iter().flatten() {
                if serial_on(&target, &name)?.as_ref() == Some(&wanted) {
                    remove(&target.directory.join(name))?;
                }
            }
            sync_directory(&target.directory)?;
            name_of(&target.directory, &wanted)
        })
        .await?;
        match elsewhere {
            Some(name) => Err(self.target.refused(format!(
                "the promoted volume {} is now called {name}; unmanage it and say so before it is discarded",
                self.name
            ))),
            None => Ok(()),
        }
    }

    async fn remove_staged(&self, known: &promotion::Model) -> Result<(), StorageError> {
        let staged = self.staged_path(known);
        blocking::quick(
            &self.target,
            "removing a staged copy",
            move || -> io::Result<()> { remove(&staged) },
        )
        .await
    }

    fn staged_path(&self, known: &promotion::Model) -> PathBuf {
        self.target.staging().join(&known.staged)
    }

    fn db<T>(&self, outcome: Result<T, sea_orm::DbErr>) -> Result<T, StorageError> {
        outcome.map_err(|error| self.target.unavailable(format!("catalogue: {error}")))
    }
}

fn is_recorded(written: &Contents, replica: &replica::Model) -> bool {
    i64::try_from(written.size) == Ok(replica.size) && written.sha256 == replica.sha256
}
