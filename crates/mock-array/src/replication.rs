//! Recovery points: all volumes of a group copied to the target's array, or none.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::DateTime;
use protector_core::{
    clock::{Clock, SystemClock},
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{CinderVolume, RecoveryPoint, Replication, StorageError, Written},
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    address::{Array, Pair},
    blocking,
    catalogue::{
        Catalogue,
        entity::{recovery_point, recovery_point::State, recovery_point_volume as replica},
        points::ReplicationScope,
    },
    comparison::{Replica, compare},
    lock::{self, HeldLock, make_directory},
    object::{random_name, remove_directory, sync_directory},
    volume_file::{self, StopFlag, StopOnDrop},
};

/// How many recovery points of a group stay, besides those that were promoted from.
const POINTS_KEPT: usize = 3;
/// How many volumes of a group are copied at once.
const COPIES_AT_ONCE: usize = 4;

/// The recovery points of one group in one direction.
pub(crate) struct Points<'a> {
    catalogue: &'a Catalogue,
    pair: Pair,
    scope: ReplicationScope,
}

impl<'a> Points<'a> {
    pub(crate) fn new(
        catalogue: &'a Catalogue,
        pair: Pair,
        replication: &Replication,
    ) -> Result<Self, StorageError> {
        let group = pair
            .target
            .safe("group", replication.group_id.as_str())?
            .to_owned();
        let scope = ReplicationScope {
            group,
            source: pair.source.name.clone(),
            target: pair.target.name.clone(),
        };
        Ok(Self {
            catalogue,
            pair,
            scope,
        })
    }

    /// Makes the point of `operation`, unless it is there.
    pub(crate) async fn make(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<RecoveryPoint, StorageError> {
        let operation = self.pair.target.safe("operation", operation.as_str())?;
        let sources = self.sources(volumes)?;
        let held = lock::group(&self.pair.target, &replication.group_id).await?;
        self.sweep(&held).await?;
        if let Some(point) = self.made_before(operation, &held).await? {
            return Ok(public(&point));
        }
        self.see_sources(sources.clone()).await?;
        let point = self.begin(operation).await?;
        let made = self.fill(&point, sources, &held).await;
        let tidied = match made {
            Ok(()) => self.prune(&held).await,
            Err(_) => self.sweep(&held).await,
        };
        if let Err(error) = tidied {
            tracing::warn!(%error, group = self.scope.group, "old replicas stay until the next replication");
        }
        made.map(|()| public(&point))
    }

    /// The points whose files are all there, newest first.
    pub(crate) async fn list(&self) -> Result<Vec<RecoveryPoint>, StorageError> {
        let points = self.db(self.catalogue.points(&self.scope).await)?;
        let mut usable = Vec::new();
        for point in points {
            if self.is_intact(&point).await? {
                usable.push(public(&point));
            }
        }
        Ok(usable)
    }

    /// Compares the source's own object with the replica of it in the point that `operation` made. Without the group's lock: the
    /// volumes of a large group are compared side by side, and of a point that is let go of meanwhile nobody can tell.
    pub(crate) async fn original_written_since(
        &self,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let operation = self.pair.target.safe("operation", operation.as_str())?;
        let is = self
            .pair
            .source
            .directory
            .join(self.pair.source.cinder_name(volume.name_id())?);
        let Some(replica) = self.replica_of(operation, &volume.id).await? else {
            return Ok(Written::Unknown {
                why: format!("the recovery point of {operation} is not there any more"),
            });
        };
        let path = is.clone();
        let there = blocking::quick(&self.pair.source, "looking for a volume", move || {
            Ok(volume_file::metadata(&path)?.is_some())
        });
        if !there.await? {
            return Ok(Written::NoObject);
        }
        compare(&self.pair.source, replica, is, ()).await
    }

    async fn replica_of(
        &self,
        operation: &str,
        volume: &VolumeId,
    ) -> Result<Option<Replica>, StorageError> {
        let Some(point) = self.db(self.catalogue.point_of(&self.scope, operation).await)? else {
            return Ok(None);
        };
        let replica = self
            .catalogue
            .replica(&self.scope, &point.id, volume.as_str());
        let taken_at = DateTime::from_timestamp_micros(point.taken_at);
        Ok(self
            .db(replica.await)?
            .zip(taken_at)
            .map(|(replica, taken_at)| Replica {
                path: self.pair.target.directory.join(replica.path),
                taken_at,
            }))
    }

    /// Lets go of what is kept for `operation`: see `GroupReplication::forget`.
    pub(crate) async fn forget(
        &self,
        replication: &Replication,
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        let operation = self.pair.target.safe("operation", operation.as_str())?;
        let held = lock::group(&self.pair.target, &replication.group_id).await?;
        self.sweep(&held).await?;
        let target = &self.scope.target;
        let forgotten = self.catalogue.forget_promotions_of(operation, target);
        self.db(forgotten.await)?;
        let own = self.db(self.catalogue.point_of(&self.scope, operation).await)?;
        if let Some(point) = own
            && self.db(self.catalogue.begin_removal(&point.id).await)?
        {
            self.remove(&point, &held).await?;
        }
        self.prune(&held).await
    }

    fn sources(&self, volumes: &[CinderVolume]) -> Result<Vec<Source>, StorageError> {
        let once: BTreeSet<_> = volumes.iter().collect();
        once.into_iter()
            .map(|volume| {
                let name = self.pair.source.cinder_name(volume.name_id())?;
                Ok(Source {
                    volume: volume.id.as_str().to_owned(),
                    path: self.pair.source.directory.join(name),
                })
            })
            .collect()
    }

    /// Removes what a killed call left half made or half removed.
    async fn sweep(&self, held: &HeldLock) -> Result<(), StorageError> {
        let unfinished = self.db(self.catalogue.unfinished_points(&self.scope).await)?;
        for point in unfinished {
            self.remove(&point, held).await?;
        }
        Ok(())
    }

    async fn made_before(
        &self,
        operation: &str,
        held: &HeldLock,
    ) -> Result<Option<recovery_point::Model>, StorageError> {
        let Some(point) = self.db(self.catalogue.point_of(&self.scope, operation).await)? else {
            return Ok(None);
        };
        if self.is_intact(&point).await? {
            return Ok(Some(point));
        }
        tracing::warn!(
            point = point.id,
            "a recovery point lost its files; it is made again"
        );
        self.remove(&point, held).await?;
        Ok(None)
    }

    async fn see_sources(&self, sources: Vec<Source>) -> Result<(), StorageError> {
        let array = self.pair.source.clone();
        let missing = blocking::quick(&self.pair.source, "looking for volumes", move || {
            std::fs::read_dir(&array.directory)?;
            for source in sources {
                if volume_file::metadata(&source.path)?.is_none() {
                    return Ok(Some(source.volume));
                }
            }
            Ok(None)
        })
        .await?;
        match missing {
            Some(volume) => Err(self.pair.source.refused(format!(
                "volume {volume} is not on this array: there is no volume-{volume}"
            ))),
            None => Ok(()),
        }
    }

    /// A new point, known to the catalogue as being copied. Its time is later than that of any other of its group.
    async fn begin(&self, operation: &str) -> Result<recovery_point::Model, StorageError> {
        let points = self.db(self.catalogue.points(&self.scope).await)?;
        let now = SystemClock.now().timestamp_micros();
        let point = recovery_point::Model {
            id: random_name(),
            group_id: self.scope.group.clone(),
            source: self.scope.source.clone(),
            target: self.scope.target.clone(),
            operation_id: operation.to_owned(),
            taken_at: points
                .first()
                .map_or(now, |newest| now.max(newest.taken_at + 1)),
            state: State::Copying,
        };
        self.db(self.catalogue.begin_point(point.clone()).await)?;
        Ok(point)
    }

    async fn fill(
        &self,
        point: &recovery_point::Model,
        sources: Vec<Source>,
        held: &HeldLock,
    ) -> Result<(), StorageError> {
        let directory = self.directory(point);
        let to = directory.clone();
        blocking::quick(&self.pair.target, "making a recovery point", move || {
            to.parent().map_or(Ok(()), make_directory)?;
            make_directory(&to)
        })
        .await?;
        let replicas = self.copy_all(point, &directory, sources, held).await?;
        blocking::quick(&self.pair.target, "keeping a recovery point", move || {
            directory.ancestors().take(3).try_for_each(sync_directory)
        })
        .await?;
        self.db(self.catalogue.complete_point(&point.id, replicas).await)
    }

    async fn copy_all(
        &self,
        point: &recovery_point::Model,
        directory: &Path,
        sources: Vec<Source>,
        held: &HeldLock,
    ) -> Result<Vec<replica::Model>, StorageError> {
        let stop = StopOnDrop::default();
        let permits = Arc::new(Semaphore::new(COPIES_AT_ONCE));
        let mut copies = JoinSet::new();
        for source in sources {
            let (target, permits) = (self.pair.target.clone(), Arc::clone(&permits));
            let (stop, held) = (stop.flag(), held.clone());
            let copy = Copy {
                point: point.id.clone(),
                to: directory.join(&source.volume),
                source,
            };
            copies.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let doing = format!("replicating volume {}", copy.source.volume);
                let on = target.clone();
                let work = move || {
                    let _held = held;
                    copy.run(&on, &stop)
                };
                blocking::long(&target, &doing, work).await
            });
        }
        let mut replicas = Vec::new();
        while let Some(copied) = copies.join_next().await {
            replicas.push(copied.map_err(|error| self.pair.target.unavailable(error))??);
        }
        Ok(replicas)
    }

    /// Removes the points beyond the newest few, except those that were promoted from.
    async fn prune(&self, held: &HeldLock) -> Result<(), StorageError> {
        let points = self.db(self.catalogue.points(&self.scope).await)?;
        for point in points.iter().skip(POINTS_KEPT) {
            if self.db(self.catalogue.begin_removal(&point.id).await)? {
                self.remove(point, held).await?;
            }
        }
        Ok(())
    }

    async fn remove(
        &self,
        point: &recovery_point::Model,
        held: &HeldLock,
    ) -> Result<(), StorageError> {
        let (directory, held) = (self.directory(point), held.clone());
        blocking::long(&self.pair.target, "removing old replicas", move || {
            let _held = held;
            remove_directory(&directory)
        })
        .await?;
        self.db(self.catalogue.forget_point(&point.id).await)
    }

    async fn is_intact(&self, point: &recovery_point::Model) -> Result<bool, StorageError> {
        let replicas = self.db(self.catalogue.replicas(&point.id).await)?;
        let array = self.pair.target.clone();
        blocking::quick(&self.pair.target, "looking for replicas", move || {
            std::fs::read_dir(&array.directory)?;
            let all = replicas.iter().map(|replica| is_there(&array, replica));
            all.collect::<io::Result<Vec<bool>>>()
        })
        .await
        .map(|there| there.into_iter().all(|one| one))
    }

    fn directory(&self, point: &recovery_point::Model) -> PathBuf {
        self.pair
            .target
            .replicas()
            .join(&point.group_id)
            .join(&point.id)
    }

    fn db<T>(&self, outcome: Result<T, sea_orm::DbErr>) -> Result<T, StorageError> {
        outcome.map_err(|error| self.pair.target.unavailable(format!("catalogue: {error}")))
    }
}

/// A volume to be replicated.
#[derive(Clone)]
struct Source {
    volume: String,
    path: PathBuf,
}

struct Copy {
    point: String,
    source: Source,
    to: PathBuf,
}

impl Copy {
    fn run(self, target: &Array, stop: &StopFlag) -> io::Result<replica::Model> {
        let contents = volume_file::copy(&self.source.path, &self.to, stop)?;
        let path = self
            .to
            .strip_prefix(&target.directory)
            .unwrap_or(&self.to)
            .to_string_lossy()
            .into_owned();
        Ok(replica::Model {
            point_id: self.point,
            volume_id: self.source.volume,
            path,
            size: i64::try_from(contents.size).map_err(io::Error::other)?,
            sha256: contents.sha256,
        })
    }
}

fn is_there(array: &Array, replica: &replica::Model) -> io::Result<bool> {
    let found = volume_file::metadata(&array.directory.join(&replica.path))?;
    Ok(found.is_some_and(|file| i64::try_from(file.len()) == Ok(replica.size)))
}

fn public(point: &recovery_point::Model) -> RecoveryPoint {
    RecoveryPoint {
        id: RecoveryPointId::new(point.id.clone()),
        taken_at: DateTime::from_timestamp_micros(point.taken_at).unwrap_or_default(),
    }
}
