//! Two replicating arrays in memory, over the same objects that simulated clouds keep their volumes in.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protector_core::{
    clock::Clock,
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{
        ArrayObjects, ArrayProgress, BackendObject, Capabilities, CinderVolume, Consistency,
        GroupFailover, GroupReplication, PointsKept, PromotedVolume, PromotionKind, PromotionMode,
        RecoveryPoint, Relation, Replication, StorageError, TestClones, WayBack, Written,
    },
};

use crate::{
    backend::{MemObjects, MemVolume},
    mirror_catalogue::Mirrors,
};

/// What the arrays remember beside the volumes themselves.
#[derive(Default)]
struct Catalogue {
    /// Recovery points by group, newest last, with the volumes' contents.
    points: BTreeMap<String, Vec<Point>>,
    /// What was promoted: (operation, volume) → what it became.
    promotions: BTreeMap<(OperationId, VolumeId), Promotion>,
}

struct Promotion {
    point: RecoveryPointId,
}

struct Point {
    point: RecoveryPoint,
    operation: OperationId,
    volumes: BTreeMap<VolumeId, MemVolume>,
}

/// A storage driver for simulations. Behaves as the mock driver on directories does.
pub struct SimArrays {
    arrays: BTreeMap<String, MemObjects>,
    kind: PromotionKind,
    mirrors: Mutex<Mirrors>,
    clock: Arc<dyn Clock>,
    catalogue: Mutex<Catalogue>,
    refusing: AtomicBool,
    lost: AtomicBool,
    cut_off: Mutex<Option<String>>,
    replication_takes: Mutex<Duration>,
    has_open: Mutex<Option<HasOpen>>,
}

/// Whether somebody has an object of an array open, by the names of both.
type HasOpen = Box<dyn Fn(&str, &str) -> bool + Send + Sync>;

impl SimArrays {
    /// Arrays by the name that policies use (`mock://array-a`), each over one cloud's volume objects.
    pub fn new(arrays: BTreeMap<String, MemObjects>, clock: Arc<dyn Clock>) -> Self {
        Self::of(PromotionKind::Copy, arrays, clock)
    }

    /// The same of this kind. Arrays that mirror are two.
    pub fn of(
        kind: PromotionKind,
        arrays: BTreeMap<String, MemObjects>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            arrays,
            kind,
            mirrors: Mutex::default(),
            clock,
            catalogue: Mutex::default(),
            refusing: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            cut_off: Mutex::default(),
            replication_takes: Mutex::default(),
            has_open: Mutex::default(),
        }
    }

    /// Sets who tells whether somebody has an object of an array open, by the names of both. An array that mirrors does not
    /// take it away under anybody.
    pub fn set_has_open(&self, has_open: impl Fn(&str, &str) -> bool + Send + Sync + 'static) {
        let mut own = self.has_open.lock().unwrap_or_else(PoisonError::into_inner);
        *own = Some(Box::new(has_open));
    }

    pub(crate) fn is_open(&self, array: &str, name: &str) -> bool {
        let has_open = self.has_open.lock().unwrap_or_else(PoisonError::into_inner);
        has_open
            .as_ref()
            .is_some_and(|is_open| is_open(array, name))
    }

    /// Sets whether promotions are refused.
    pub fn set_refusing(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }

    /// Sets whether no array answers anything.
    pub fn set_lost(&self, lost: bool) {
        self.lost.store(lost, Ordering::SeqCst);
    }

    /// Nobody reaches `array` any more, neither drivers nor the other array; `None`: all are reached.
    pub fn cut_off(&self, array: Option<&str>) {
        *self.cut_off.lock().unwrap_or_else(PoisonError::into_inner) = array.map(str::to_owned);
    }

    /// Sets how long a replication takes.
    pub fn set_replication_takes(&self, time: Duration) {
        *self
            .replication_takes
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// Sets how long the first full copy of a volume takes that is mirrored from now on.
    pub fn set_first_copy_takes(&self, time: Duration) {
        self.mirrors().first_copy_takes = time;
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Drops all recovery points, as an array does that keeps them for a time. What was promoted from them stays.
    pub fn forget_points(&self) {
        self.catalogue().points.clear();
    }

    /// The list of what was promoted is lost; the objects are not.
    pub fn forget_promotions(&self) {
        self.catalogue().promotions.clear();
    }

    fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mirrors(&self) -> MutexGuard<'_, Mirrors> {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_copying(&self) -> bool {
        self.kind.is_copy()
    }

    /// The names of the two arrays of a mirror.
    pub(crate) fn both_arrays(&self) -> [String; 2] {
        let mut names = self.arrays.keys().cloned();
        [
            names.next().unwrap_or_default(),
            names.next().unwrap_or_default(),
        ]
    }

    pub(crate) fn refuse_unknown_point(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
    ) -> Result<(), StorageError> {
        let array = &replication.target_array;
        self.answers(array)?;
        if self.refusing.load(Ordering::SeqCst) {
            return Err(refused(array, "it takes no orders at present"));
        }
        let catalogue = self.catalogue();
        let mut points = catalogue
            .points
            .get(replication.group_id.as_str())
            .into_iter()
            .flatten();
        match points.any(|known| known.point.id == *point) {
            true => Ok(()),
            false => Err(refused(
                array,
                format!("there is no recovery point {point}"),
            )),
        }
    }

    pub(crate) fn answers(&self, array: &str) -> Result<(), StorageError> {
        let cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        match self.lost.load(Ordering::SeqCst) || cut_off.as_deref() == Some(array) {
            false => Ok(()),
            true => Err(StorageError::unavailable(array, "connection refused")),
        }
    }

    /// The objects of an array as they are, whether anybody reaches it or not.
    pub(crate) fn unasked(
        &self,
        array: &str,
    ) -> Option<MutexGuard<'_, BTreeMap<String, MemVolume>>> {
        let objects = self.arrays.get(array)?;
        Some(objects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn objects(
        &self,
        array: &str,
    ) -> Result<MutexGuard<'_, BTreeMap<String, MemVolume>>, StorageError> {
        self.answers(array)?;
        let objects = self
            .arrays
            .get(array)
            .ok_or_else(|| refused(array, "no such array"))?;
        Ok(objects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) fn refused(array: &str, message: impl Into<String>) -> StorageError {
    StorageError::refused(array, message.into())
}

/// The name under which Cinder keeps a volume on the array.
pub fn cinder_name(volume: &VolumeId) -> String {
    format!("volume-{volume}")
}

/// The name of the object that an operation has promoted for a volume.
pub fn promoted_name(operation: &OperationId, volume: &VolumeId) -> String {
    format!("protector-{operation}-{volume}")
}

/// What the object that an array has made as `first` is called now.
fn name_of(objects: &BTreeMap<String, MemVolume>, first: &str) -> Option<String> {
    objects
        .iter()
        .find(|(_, object)| object.made_as.as_deref() == Some(first))
        .map(|(name, _)| name.clone())
}

/// How many places of `one` are not as in `other`.
fn differing_bytes(one: &[u8], other: &[u8]) -> u64 {
    let longer = one.len().max(other.len());
    let at = |bytes: &[u8], place: usize| bytes.get(place).copied().unwrap_or(0);
    let differs = |place: &usize| at(one, *place) != at(other, *place);
    (0..longer).filter(differs).count() as u64
}

/// What `object` has that `replica`, which is of `point`, has not.
fn written(object: &MemVolume, replica: &MemVolume, point: DateTime<Utc>) -> Written {
    match differing_bytes(&object.bytes, &replica.bytes) {
        0 => Written::Nothing,
        bytes => Written::Since { point, bytes },
    }
}

#[async_trait]
impl ArrayObjects for SimArrays {
    async fn check(&self, array: &str) -> Result<(), StorageError> {
        self.objects(array).map(drop)
    }

    async fn locate(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StorageError> {
        if !self.kind.is_copy() {
            return self.locate_mirrored(array, volume);
        }
        let name = cinder_name(volume.name_id());
        let there = self.objects(array)?.contains_key(&name);
        Ok(there.then(|| object(array, &name)))
    }

    async fn relation(
        &self,
        one: &BackendObject,
        other: &BackendObject,
    ) -> Result<Relation, StorageError> {
        if !self.kind.is_copy() {
            return self.relation_of_mirrored(one, other);
        }
        match (&one.scope, &one.serial) == (&other.scope, &other.serial) {
            true => Ok(Relation::Same),
            false => Ok(Relation::Distinct),
        }
    }
}

#[async_trait]
impl GroupReplication for SimArrays {
    fn capabilities(&self, _replication: &Replication) -> Result<Capabilities, StorageError> {
        Ok(Capabilities {
            driver: "simulated".to_owned(),
            promotion: self.kind,
            consistency: Consistency::Group,
            recovery_points: PointsKept::Several,
            way_back: match self.kind {
                PromotionKind::Copy => WayBack::Full,
                PromotionKind::InPlace => WayBack::Delta,
            },
            fences_source: !self.kind.is_copy(),
            test_clone: true,
            linked_deletion: !self.kind.is_copy(),
            names_follow: !self.kind.is_copy(),
            notes: Vec::new(),
        })
    }

    async fn findings(&self, replication: &Replication) -> Result<Vec<String>, StorageError> {
        self.check(&replication.source_array).await?;
        self.check(&replication.target_array).await?;
        Ok(Vec::new())
    }

    async fn protect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        if !self.kind.is_copy() {
            return self.protect_mirrored(replication, volumes);
        }
        self.answers(&replication.source_array)?;
        Ok(ArrayProgress::Done(()))
    }

    async fn unprotect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        if !self.kind.is_copy() {
            return self.unprotect_mirrored(replication, volumes);
        }
        self.answers(&replication.source_array)?;
        Ok(ArrayProgress::Done(()))
    }

    async fn replicate(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<RecoveryPoint>, StorageError> {
        let takes = *self
            .replication_takes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep(takes).await;
        self.catch_up();
        let mut catalogue = self.catalogue();
        let points = catalogue
            .points
            .entry(replication.group_id.to_string())
            .or_default();
        if let Some(known) = points.iter().find(|point| point.operation == *operation) {
            return Ok(ArrayProgress::Done(known.point.clone()));
        }
        let array = &replication.source_array;
        let objects = self.objects(array)?;
        let copies = volumes
            .iter()
            .map(|volume| {
                let object = objects.get(&cinder_name(volume.name_id()));
                object
                    .map(|object| (volume.id.clone(), object.clone()))
                    .ok_or_else(|| refused(array, format!("volume {} does not exist", volume.id)))
            })
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        let point = RecoveryPoint {
            id: RecoveryPointId::new(format!("{}-{operation}", replication.group_id)),
            taken_at: self.clock.now(),
        };
        points.push(Point {
            point: point.clone(),
            operation: operation.clone(),
            volumes: copies,
        });
        Ok(ArrayProgress::Done(point))
    }

    async fn recovery_points(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        self.answers(&replication.target_array)?;
        let catalogue = self.catalogue();
        let points = catalogue.points.get(replication.group_id.as_str());
        Ok(points
            .into_iter()
            .flatten()
            .rev()
            .map(|point| point.point.clone())
            .collect())
    }

    async fn first_copies(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        match self.kind {
            PromotionKind::Copy => Ok(ArrayProgress::Done(())),
            PromotionKind::InPlace => self.first_copies_of_mirrors(replication, volumes),
        }
    }

    async fn forget(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        self.answers(&replication.target_array)?;
        let mut catalogue = self.catalogue();
        let Catalogue { points, promotions } = &mut *catalogue;
        promotions.retain(|(by, _), _| by != operation);
        let is_used = |point: &Point| promotions.values().any(|made| made.point == point.point.id);
        if let Some(points) = points.get_mut(replication.group_id.as_str()) {
            points.retain(|point| point.operation != *operation || is_used(point));
        }
        Ok(())
    }
}

#[async_trait]
impl GroupFailover for SimArrays {
    async fn fence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        if !self.kind.is_copy() {
            return self.fence_mirrored(replication, volumes);
        }
        let what = "it keeps nobody from writing";
        Err(StorageError::unsupported(&replication.source_array, what))
    }

    async fn unfence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        if !self.kind.is_copy() {
            return self.unfence_mirrored(replication, volumes);
        }
        Ok(ArrayProgress::Done(()))
    }

    async fn promote(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volumes: &[CinderVolume],
        mode: PromotionMode,
        operation: &OperationId,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        if !self.kind.is_copy() {
            return self.promote_mirrored(replication, point, volumes, mode, operation);
        }
        let promoted = volumes
            .iter()
            .map(|volume| self.copy_of(replication, point, &volume.id, operation));
        Ok(ArrayProgress::Done(promoted.collect::<Result<_, _>>()?))
    }

    async fn discard_promoted(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        match self.kind {
            PromotionKind::Copy => self.discard_copy(replication, volume, operation, managed_as),
            PromotionKind::InPlace => {
                self.discard_promoted_in_place(replication, volume, operation, managed_as)
            }
        }
    }

    async fn written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        if !self.kind.is_copy() {
            return self.written_in_place(replication, volume, operation);
        }
        let catalogue = self.catalogue();
        let key = (operation.clone(), volume.id.clone());
        let Some(promotion) = catalogue.promotions.get(&key) else {
            return Ok(Written::NoObject);
        };
        let first = promoted_name(operation, &volume.id);
        let objects = self.objects(&replication.target_array)?;
        let Some(object) = name_of(&objects, &first).and_then(|name| objects.get(&name)) else {
            return Ok(Written::NoObject);
        };
        let points = catalogue.points.get(replication.group_id.as_str());
        let point = points
            .into_iter()
            .flatten()
            .find(|known| known.point.id == promotion.point);
        let Some((point, replica)) =
            point.and_then(|point| Some((point.point.taken_at, point.volumes.get(&volume.id)?)))
        else {
            return Ok(Written::Unknown {
                why: format!("recovery point {} is not there any more", promotion.point),
            });
        };
        Ok(written(object, replica, point))
    }

    async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        if !self.kind.is_copy() {
            return self.written_to_fenced(replication, volume);
        }
        let catalogue = self.catalogue();
        let objects = self.objects(&replication.source_array)?;
        let Some(object) = objects.get(&cinder_name(volume.name_id())) else {
            return Ok(Written::NoObject);
        };
        let points = catalogue.points.get(replication.group_id.as_str());
        let made = points
            .into_iter()
            .flatten()
            .find(|known| known.operation == *operation)
            .and_then(|known| Some((known.point.taken_at, known.volumes.get(&volume.id)?)));
        Ok(match made {
            Some((point, replica)) => written(object, replica, point),
            None => Written::Unknown {
                why: format!("the recovery point of {operation} is not there any more"),
            },
        })
    }

    async fn resync(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        if !self.kind.is_copy() {
            return self.resync_mirrored(replication, volumes);
        }
        self.answers(&replication.target_array)?;
        Ok(ArrayProgress::Done(()))
    }
}

#[async_trait]
impl TestClones for SimArrays {
    /// A promotion copies the replica and leaves the replication as it is, so a clone is the same thing here.
    async fn clone_point(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<ArrayProgress<PromotedVolume>, StorageError> {
        self.copy_of(replication, point, &volume.id, operation)
            .map(ArrayProgress::Done)
    }

    async fn discard_clone(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.discard_copy(replication, volume, operation, managed_as)
    }
}

impl SimArrays {
    fn discard_copy(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let array = &replication.target_array;
        self.answers(array)?;
        let mut catalogue = self.catalogue();
        let key = (operation.clone(), volume.id.clone());
        if !catalogue.promotions.contains_key(&key) {
            return Ok(ArrayProgress::Done(()));
        }
        let first = promoted_name(operation, &volume.id);
        let mut objects = self.objects(array)?;
        if let Some(name) = name_of(&objects, &first) {
            if name != first && Some(&name) != managed_as.map(cinder_name).as_ref() {
                return Err(refused(array, format!("{first} is now called {name}")));
            }
            objects.remove(&name);
        }
        catalogue.promotions.remove(&key);
        Ok(ArrayProgress::Done(()))
    }

    fn copy_of(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<PromotedVolume, StorageError> {
        let array = &replication.target_array;
        if self.refusing.load(Ordering::SeqCst) {
            return Err(refused(array, "it takes no orders at present"));
        }
        let mut catalogue = self.catalogue();
        let key = (operation.clone(), volume.clone());
        let first = promoted_name(operation, volume);
        let mut objects = self.objects(array)?;
        if catalogue.promotions.contains_key(&key)
            && let Some(source_name) = name_of(&objects, &first)
        {
            return Ok(promoted(array, volume, source_name));
        }
        let replica = catalogue
            .points
            .get(replication.group_id.as_str())
            .into_iter()
            .flatten()
            .find(|known| known.point.id == *point)
            .and_then(|known| known.volumes.get(volume))
            .cloned()
            .ok_or_else(|| refused(array, format!("recovery point {point} has no {volume}")))?;
        let object = MemVolume {
            made_as: Some(first.clone()),
            mirror: None,
            ..replica
        };
        objects.insert(first.clone(), object);
        let promotion = Promotion {
            point: point.clone(),
        };
        catalogue.promotions.insert(key, promotion);
        Ok(promoted(array, volume, first))
    }
}

fn object(array: &str, name: &str) -> BackendObject {
    BackendObject {
        found_on: array.to_owned(),
        scope: array.to_owned(),
        serial: name.to_owned(),
    }
}

/// What is told of the copy that is called `source_name` now.
fn promoted(array: &str, volume: &VolumeId, source_name: String) -> PromotedVolume {
    PromotedVolume {
        volume: volume.clone(),
        object: object(array, &source_name),
        managed_as: source_name
            .strip_prefix("volume-")
            .map(|id| VolumeId::new(id.to_owned())),
        source_name,
        kind: PromotionKind::Copy,
    }
}
