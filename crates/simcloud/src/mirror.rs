//! Arrays that mirror in place, as Ceph's RBD does in its journal mode: a replica is promoted itself, and what has been the
//! volume becomes its replica. Names follow the side that may be written to.
//!
//! What a mirror brings over is brought when an array is asked for something: at that moment the daemons of both sides have
//! caught up, and between two calls they lag.

use std::{collections::BTreeMap, time::Duration};

use protector_core::{
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{
        ArrayProgress, BackendObject, CinderVolume, Pending, PromotedVolume, PromotionKind,
        PromotionMode, Relation, Replication, StorageError, StorageErrorKind, Written,
    },
};

use crate::{
    array::{SimArrays, cinder_name, refused},
    backend::{MemVolume, Mirror},
    mirror_catalogue::InPlace,
};

/// When a driver asks to be called again while the first copy is under way.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The objects of one array.
type Objects = BTreeMap<String, MemVolume>;

impl SimArrays {
    /// Brings to each replica what its original has: bytes and name; takes away the replica of what was deleted, and makes that
    /// of what has none. Nothing between sides that may both be written to, and nothing while the arrays are lost.
    pub fn catch_up(&self) {
        if self.is_copying() {
            return;
        }
        let [one, other] = self.both_arrays();
        let (Ok(mut one), Ok(mut other)) = (self.objects(&one), self.objects(&other)) else {
            return;
        };
        follow(&one, &mut other);
        follow(&other, &mut one);
    }

    /// The mirror of each volume that was ever a side of one.
    pub fn mirrors_of_volumes(&self) -> BTreeMap<VolumeId, String> {
        self.mirrors().volumes.clone()
    }

    /// The object of `volume` on `array`: under Cinder's name, or, where names have followed the other side, by its mirror.
    pub(crate) fn mirrored(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<(String, MemVolume)>, StorageError> {
        let known = self.mirrors().volumes.get(&volume.id).cloned();
        let objects = self.objects(array)?;
        let name = cinder_name(volume.name_id());
        if let Some(object) = objects.get(&name) {
            return Ok(Some((name, object.clone())));
        }
        Ok(known.and_then(|mirror| by_mirror(&objects, &mirror)))
    }

    pub(crate) fn locate_mirrored(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StorageError> {
        self.catch_up();
        let found = self.mirrored(array, volume)?;
        Ok(found.map(|(name, object)| BackendObject {
            found_on: array.to_owned(),
            scope: array.to_owned(),
            serial: object.mirror.map_or(name, |mirror| mirror.id),
        }))
    }

    pub(crate) fn relation_of_mirrored(
        &self,
        one: &BackendObject,
        other: &BackendObject,
    ) -> Result<Relation, StorageError> {
        if one.serial != other.serial {
            return Ok(Relation::Distinct);
        }
        if one.scope == other.scope {
            return Ok(Relation::Same);
        }
        self.answers(&one.found_on)?;
        Ok(Relation::LinkedDeletion)
    }

    pub(crate) fn protect_mirrored(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let array = &replication.source_array;
        for volume in volumes {
            self.copy_anew(replication, volume)?;
            let (name, object) = self.source_of(replication, volume)?;
            let mut mirrors = self.mirrors();
            match object.mirror {
                Some(mirror) if mirror.has_diverged => {
                    let both = format!("{name} was written to on both sides");
                    return Err(StorageError::new(StorageErrorKind::SplitBrain, array, both));
                }
                Some(mirror) if mirror.is_primary => {
                    mirrors.volumes.insert(volume.id.clone(), mirror.id);
                }
                Some(_) => return Err(refused(array, format!("{name} is a replica here"))),
                None => {
                    mirrors.made += 1;
                    let id = format!("mirror-{}", mirrors.made);
                    mirrors.volumes.insert(volume.id.clone(), id.clone());
                    mirrors.begun.insert(id.clone(), self.now());
                    drop(mirrors);
                    self.change(array, &name, |object| {
                        object.mirror = Some(Mirror {
                            id,
                            is_primary: true,
                            has_diverged: false,
                        });
                    })?;
                }
            }
        }
        self.catch_up();
        for volume in volumes {
            let (name, object) = self.source_of(replication, volume)?;
            let replica = self.peer_of(replication, &object)?;
            match replica {
                Some((_, replica)) if is_primary(&replica) => {
                    let both = format!("{name} may be written to on both sides");
                    return Err(StorageError::new(StorageErrorKind::SplitBrain, array, both));
                }
                Some(_) => {}
                None => return Err(refused(array, format!("{name} finds its name taken there"))),
            }
        }
        self.first_copies_of_mirrors(replication, volumes)
    }

    /// That of the volume that has the longest way to go.
    pub(crate) fn first_copies_of_mirrors(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let mut slowest: Option<Pending> = None;
        for volume in volumes {
            let (name, object) = self.source_of(replication, volume)?;
            let mirrors = self.mirrors();
            let begun = object.mirror.as_ref().map(|mirror| {
                // One that the arrays were made with has had its copy.
                let begun = mirrors.begun.get(&mirror.id);
                begun.map_or(mirrors.first_copy_takes, |begun| {
                    (self.now() - *begun).to_std().unwrap_or_default()
                })
            });
            let takes = mirrors.first_copy_takes;
            let begun = begun.unwrap_or_default();
            if begun >= takes {
                continue;
            }
            let percent = begun.as_secs() * 100 / takes.as_secs().max(1);
            let percent = u8::try_from(percent).unwrap_or(100);
            if slowest
                .as_ref()
                .is_none_or(|slowest| slowest.percent > Some(percent))
            {
                slowest = Some(Pending {
                    what: format!("the first copy of {name} on {}", replication.target_array),
                    percent: Some(percent),
                    bytes_left: None,
                    time_left: Some(takes - begun),
                    look_again: LOOK_AGAIN,
                });
            }
        }
        Ok(slowest.map_or(ArrayProgress::Done(()), ArrayProgress::Pending))
    }

    /// Each side keeps what it has; the source's bears the name by which its Cinder knows it.
    pub(crate) fn unprotect_mirrored(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.catch_up();
        for volume in volumes {
            let (name, object) = self.source_of(replication, volume)?;
            if let Some((peer, _)) = self.peer_of(replication, &object)? {
                self.change(&replication.target_array, &peer, |object| {
                    object.mirror = None
                })?;
            }
            self.rename(&replication.source_array, &name, volume)?;
            let named = cinder_name(volume.name_id());
            self.change(&replication.source_array, &named, |object| {
                object.mirror = None
            })?;
            self.mirrors().volumes.remove(&volume.id);
        }
        Ok(ArrayProgress::Done(()))
    }

    pub(crate) fn fence_mirrored(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.catch_up();
        for volume in volumes {
            let (name, object) = self.source_of(replication, volume)?;
            if object.mirror.is_none() {
                return Err(refused(&replication.source_array, "it is not mirrored"));
            }
            if is_primary(&object) && self.is_open(&replication.source_array, &name) {
                let open = format!("somebody has {name} open");
                let array = &replication.source_array;
                return Err(StorageError::new(StorageErrorKind::Busy, array, open));
            }
            self.demote(&replication.source_array, &name)?;
        }
        Ok(ArrayProgress::Done(()))
    }

    pub(crate) fn unfence_mirrored(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        for volume in volumes {
            let (name, object) = self.source_of(replication, volume)?;
            if object.mirror.is_none() || is_primary(&object) {
                continue;
            }
            let array = &replication.target_array;
            // A target that is lost has no say.
            let answers = self.answers(array).is_ok();
            if answers
                && let Some((there, peer)) = self.peer_of(replication, &object)?
                && is_primary(&peer)
            {
                return Err(refused(array, format!("{there} is promoted there")));
            }
            self.rename(&replication.source_array, &name, volume)?;
            let named = cinder_name(volume.name_id());
            self.promote_object(&replication.source_array, &named)?;
            let mirror = object.mirror.map(|mirror| mirror.id).unwrap_or_default();
            let diverges = self.can_be_written_to(array, &mirror);
            self.set_diverged(&replication.source_array, &named, diverges)?;
        }
        self.catch_up();
        Ok(ArrayProgress::Done(()))
    }

    pub(crate) fn promote_mirrored(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volumes: &[CinderVolume],
        mode: PromotionMode,
        operation: &OperationId,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        let array = &replication.target_array;
        self.refuse_unknown_point(replication, point)?;
        self.catch_up();
        let mut promoted = Vec::with_capacity(volumes.len());
        for volume in volumes {
            let missing = || refused(array, format!("it has no replica of {}", volume.id));
            let (name, object) = self.mirrored(array, volume)?.ok_or_else(missing)?;
            let mirror = object.mirror.clone().ok_or_else(missing)?;
            if mode == PromotionMode::Planned && !mirror.is_primary {
                self.refuse_without_fence(replication, volume)?;
            }
            if !mirror.is_primary {
                self.promote_object(array, &name)?;
                let diverges = self.can_be_written_to(&replication.source_array, &mirror.id);
                self.set_diverged(array, &name, diverges)?;
            }
            let key = (array.clone(), mirror.id.clone());
            let mut mirrors = self.mirrors();
            let before = mirrors.promoted.get(&key);
            let bytes = match (mirror.is_primary, before) {
                (true, Some(before)) => before.bytes.clone(),
                _ => object.bytes.clone(),
            };
            let operation = operation.clone();
            let made = InPlace {
                operation,
                mode,
                bytes,
            };
            mirrors.parted.remove(&key);
            mirrors.promoted.insert(key, made);
            let managed_as = name
                .strip_prefix("volume-")
                .map(|id| VolumeId::new(id.to_owned()))
                .filter(|id| id != volume.name_id());
            promoted.push(PromotedVolume {
                volume: volume.id.clone(),
                object: BackendObject {
                    found_on: array.clone(),
                    scope: array.clone(),
                    serial: mirror.id,
                },
                source_name: name,
                managed_as,
                kind: PromotionKind::InPlace,
            });
        }
        Ok(ArrayProgress::Done(promoted))
    }

    pub(crate) fn discard_promoted_in_place(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let array = &replication.target_array;
        self.answers(array)?;
        self.catch_up();
        let Some((name, mirror)) = self.promoted_by(array, volume, operation)? else {
            return Ok(ArrayProgress::Done(()));
        };
        let own = cinder_name(volume.name_id());
        if name != own && Some(&name) != managed_as.map(cinder_name).as_ref() {
            return Err(refused(array, format!("{own} is now called {name}")));
        }
        self.rename(array, &name, volume)?;
        self.catch_up();
        self.demote(array, &own)?;
        self.set_diverged(array, &own, false)?;
        let key = (array.clone(), mirror);
        self.mirrors().promoted.remove(&key);
        self.mirrors().parted.insert(key);
        // A source that was let write meanwhile has its replica again, now or when it can be asked.
        if self.answers(&replication.source_array).is_ok() {
            self.copy_anew(replication, volume)?;
        }
        Ok(ArrayProgress::Done(()))
    }

    /// Has a side that was taken back follow the other one again, without what it had alone.
    fn copy_anew(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
    ) -> Result<(), StorageError> {
        let Some((name, object)) = self.mirrored(&replication.source_array, volume)? else {
            return Ok(());
        };
        let Some(mirror) = object.mirror else {
            return Ok(());
        };
        let parted = (replication.target_array.clone(), mirror.id);
        if self.mirrors().parted.remove(&parted) {
            self.set_diverged(&replication.source_array, &name, false)?;
        }
        Ok(())
    }

    pub(crate) fn written_in_place(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let array = &replication.target_array;
        let Some((name, mirror)) = self.promoted_by(array, volume, operation)? else {
            return Ok(Written::NoObject);
        };
        let object = self.objects(array)?.get(&name).cloned().unwrap_or_default();
        let source = &replication.source_array;
        let follows = self.answers(source).is_ok() && !self.can_be_written_to(source, &mirror);
        let mirrors = self.mirrors();
        let Some(made) = mirrors.promoted.get(&(array.clone(), mirror)) else {
            return Ok(Written::NoObject);
        };
        Ok(match (made.mode, made.bytes == object.bytes) {
            (_, true) => Written::Nothing,
            (PromotionMode::Planned, false) if follows => Written::GoesAlong,
            (PromotionMode::Planned, false) => Written::Unknown {
                why: format!("{} does not follow it now", replication.source_array),
            },
            (PromotionMode::Forced, false) => Written::Unknown {
                why: "a mirror does not count what is written to it".to_owned(),
            },
        })
    }

    /// Whoever is fenced writes nothing.
    pub(crate) fn written_to_fenced(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
    ) -> Result<Written, StorageError> {
        let Some((_, object)) = self.mirrored(&replication.source_array, volume)? else {
            return Ok(Written::NoObject);
        };
        Ok(match object.mirror {
            Some(mirror) if !mirror.is_primary => Written::Nothing,
            _ => Written::Unknown {
                why: "it is not fenced".to_owned(),
            },
        })
    }

    /// The returned side, `replication`'s target, becomes the replica of the side that is its source now.
    pub(crate) fn resync_mirrored(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        for volume in volumes {
            let (here, object) = self.source_of(replication, volume)?;
            if !is_primary(&object) {
                let array = &replication.source_array;
                return Err(refused(array, format!("{} is not primary", volume.id)));
            }
            if let Some((there, _)) = self.peer_of(replication, &object)? {
                self.demote(&replication.target_array, &there)?;
            }
            self.set_diverged(&replication.source_array, &here, false)?;
        }
        self.catch_up();
        Ok(ArrayProgress::Done(()))
    }

    /// What nobody can ask while `array` is cut off: whether it lets its side of a mirror be written to.
    fn can_be_written_to(&self, array: &str, mirror: &str) -> bool {
        let side = self.unasked(array);
        side.is_some_and(|objects| {
            by_mirror(&objects, mirror).is_some_and(|(_, object)| is_primary(&object))
        })
    }

    fn set_diverged(&self, array: &str, name: &str, diverged: bool) -> Result<(), StorageError> {
        self.change(array, name, |object| {
            if let Some(mirror) = &mut object.mirror {
                mirror.has_diverged = diverged;
            }
        })
    }

    /// The object that `operation` has promoted of `volume`, and its mirror's id.
    fn promoted_by(
        &self,
        array: &str,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Option<(String, String)>, StorageError> {
        let Some((name, object)) = self.mirrored(array, volume)? else {
            return Ok(None);
        };
        let Some(mirror) = object.mirror else {
            return Ok(None);
        };
        let mirrors = self.mirrors();
        let made = mirrors.promoted.get(&(array.to_owned(), mirror.id.clone()));
        Ok(made
            .filter(|made| made.operation == *operation)
            .map(|_| (name, mirror.id)))
    }

    fn source_of(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
    ) -> Result<(String, MemVolume), StorageError> {
        let array = &replication.source_array;
        let found = self.mirrored(array, volume)?;
        found.ok_or_else(|| refused(array, format!("volume {} does not exist", volume.id)))
    }

    fn peer_of(
        &self,
        replication: &Replication,
        object: &MemVolume,
    ) -> Result<Option<(String, MemVolume)>, StorageError> {
        let objects = self.objects(&replication.target_array)?;
        let mirror = object.mirror.as_ref();
        Ok(mirror.and_then(|mirror| by_mirror(&objects, &mirror.id)))
    }

    /// Until the demotion has come over, a mirror does not let itself be promoted.
    fn refuse_without_fence(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
    ) -> Result<(), StorageError> {
        let (name, object) = self.source_of(replication, volume)?;
        match is_primary(&object) {
            false => Ok(()),
            true => Err(StorageError::new(
                StorageErrorKind::NotYet,
                &replication.target_array,
                format!("the demotion of {name} is not propagated yet"),
            )),
        }
    }

    fn rename(&self, array: &str, from: &str, volume: &CinderVolume) -> Result<(), StorageError> {
        let to = cinder_name(volume.name_id());
        if from == to {
            return Ok(());
        }
        let mut objects = self.objects(array)?;
        if objects.contains_key(&to) {
            return Err(refused(array, format!("{to} is there already")));
        }
        if let Some(object) = objects.remove(from) {
            objects.insert(to, object);
        }
        Ok(())
    }

    fn change(
        &self,
        array: &str,
        name: &str,
        change: impl FnOnce(&mut MemVolume),
    ) -> Result<(), StorageError> {
        let mut objects = self.objects(array)?;
        objects.get_mut(name).map(change);
        Ok(())
    }

    fn demote(&self, array: &str, name: &str) -> Result<(), StorageError> {
        self.set_primary(array, name, false)
    }

    fn promote_object(&self, array: &str, name: &str) -> Result<(), StorageError> {
        self.set_primary(array, name, true)
    }

    fn set_primary(&self, array: &str, name: &str, is_primary: bool) -> Result<(), StorageError> {
        self.change(array, name, |object| {
            if let Some(mirror) = &mut object.mirror {
                mirror.is_primary = is_primary;
            }
        })
    }
}

fn is_primary(object: &MemVolume) -> bool {
    object
        .mirror
        .as_ref()
        .is_some_and(|mirror| mirror.is_primary)
}

fn by_mirror(objects: &Objects, mirror: &str) -> Option<(String, MemVolume)> {
    objects
        .iter()
        .find(|(_, object)| object.mirror.as_ref().is_some_and(|of| of.id == mirror))
        .map(|(name, object)| (name.clone(), object.clone()))
}

/// Brings what `from` has as originals to `to`.
fn follow(from: &Objects, to: &mut Objects) {
    for (name, original) in from {
        let Some(mirror) = &original.mirror else {
            continue;
        };
        if !mirror.is_primary || mirror.has_diverged {
            continue;
        }
        let replica = MemVolume {
            bytes: original.bytes.clone(),
            gib: original.gib,
            made_as: original.made_as.clone(),
            mirror: Some(Mirror {
                id: mirror.id.clone(),
                is_primary: false,
                has_diverged: false,
            }),
        };
        match by_mirror(to, &mirror.id) {
            Some((_, there)) if is_primary(&there) => {}
            Some((was, _)) if was == *name || !to.contains_key(name) => {
                to.remove(&was);
                to.insert(name.clone(), replica);
            }
            // Another object has its name there: bytes come, the name does not.
            Some((was, _)) => {
                to.insert(was, replica);
            }
            None if !to.contains_key(name) => {
                to.insert(name.clone(), replica);
            }
            None => {}
        }
    }
    // What was deleted goes on the other side too; what was demoted is still there.
    let orphans: Vec<String> =
        to.iter()
            .filter(|(_, object)| {
                object.mirror.as_ref().is_some_and(|mirror| {
                    !mirror.is_primary && by_mirror(from, &mirror.id).is_none()
                })
            })
            .map(|(name, _)| name.clone())
            .collect();
    for name in orphans {
        to.remove(&name);
    }
}
