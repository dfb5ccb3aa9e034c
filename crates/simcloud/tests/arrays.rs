//! The arrays in memory are held to what every storage driver must do with promoted volumes and clones, so that what the
//! schedule walker finds holds for other drivers too. They know no paths and replicate at once: the rest does not concern them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use protector_array::{
    conformance,
    conformance::{Fixture, in_place::MirrorFixture},
};
use protector_core::{
    clock::Clock,
    id::VolumeId,
    storage::{ArrayObjects, CinderVolume, PromotionKind, StorageDriver},
};
use protector_simcloud::{
    array::{SimArrays, cinder_name},
    backend::{MemObjects, MemVolume},
};

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
}

struct Bed {
    arrays: SimArrays,
    source: MemObjects,
    target: MemObjects,
}

impl Bed {
    fn new() -> Self {
        let (source, target) = (MemObjects::default(), MemObjects::default());
        let arrays = BTreeMap::from([
            ("mock://array-a".to_owned(), Arc::clone(&source)),
            ("mock://array-b".to_owned(), Arc::clone(&target)),
        ]);
        Self {
            arrays: SimArrays::new(arrays, Arc::new(Epoch)),
            source,
            target,
        }
    }
}

fn lock(objects: &MemObjects) -> MutexGuard<'_, BTreeMap<String, MemVolume>> {
    objects.lock().unwrap()
}

fn write(objects: &MemObjects, name: &str, bytes: &[u8]) {
    let mut objects = lock(objects);
    objects.entry(name.to_owned()).or_default().bytes = Bytes::copy_from_slice(bytes);
}

fn read(objects: &MemObjects, name: &str) -> Option<Vec<u8>> {
    lock(objects).get(name).map(|object| object.bytes.to_vec())
}

#[async_trait]
impl Fixture for Bed {
    fn driver(&self) -> &dyn StorageDriver {
        &self.arrays
    }

    fn other_driver(&self) -> &dyn StorageDriver {
        &self.arrays
    }

    fn source_array(&self) -> &'static str {
        "mock://array-a"
    }

    fn target_array(&self) -> &'static str {
        "mock://array-b"
    }

    async fn write_source(&self, volume: &VolumeId, bytes: &[u8]) {
        write(&self.source, &self.cinder_name(volume), bytes);
    }

    async fn read_source(&self, volume: &VolumeId) -> Option<Vec<u8>> {
        read(&self.source, &self.cinder_name(volume))
    }

    async fn write_target(&self, name: &str, bytes: &[u8]) {
        write(&self.target, name, bytes);
    }

    async fn read_target(&self, name: &str) -> Option<Vec<u8>> {
        read(&self.target, name)
    }

    async fn rename_target(&self, from: &str, to: &str) {
        let mut objects = lock(&self.target);
        let object = objects.remove(from).unwrap();
        objects.insert(to.to_owned(), object);
    }
}

#[tokio::test]
async fn promoted_volumes_and_clones_are_those_of_any_driver() {
    let bed = Bed::new();
    conformance::promoted_volumes_have_the_bytes_of_the_point(&bed).await;
    conformance::replicating_again_gives_the_same_point(&bed).await;
    conformance::promoting_again_keeps_what_was_written_since(&bed).await;
    conformance::promoting_again_finds_the_renamed_object(&bed).await;
    conformance::promoting_at_once_makes_one_object(&bed).await;
    conformance::operations_promote_side_by_side(&bed).await;
    conformance::promoting_what_is_not_there_is_refused(&bed).await;
    conformance::discarding_removes_the_first_name(&bed).await;
    conformance::discarding_removes_the_managed_name(&bed).await;
    conformance::discarding_leaves_foreign_objects_alone(&bed).await;
    conformance::discarding_an_object_under_another_name_is_refused(&bed).await;
    conformance::promoting_after_discarding_makes_it_again(&bed).await;
    conformance::a_clone_leaves_source_and_replication_alone(&bed).await;
    conformance::cloning_again_finds_the_clone(&bed).await;
    conformance::releasing_keeps_the_objects_and_drops_the_point(&bed).await;
    conformance::releasing_keeps_what_other_operations_use(&bed).await;
}

/// Mirrors, of which the target's driver can be had alone.
struct Mirrors(Bed, AtomicU32);

impl Mirrors {
    fn new() -> Self {
        let (source, target) = (MemObjects::default(), MemObjects::default());
        let arrays = BTreeMap::from([
            ("mock://array-a".to_owned(), Arc::clone(&source)),
            ("mock://array-b".to_owned(), Arc::clone(&target)),
        ]);
        let bed = Bed {
            arrays: SimArrays::of(PromotionKind::InPlace, arrays, Arc::new(Epoch)),
            source,
            target,
        };
        Self(bed, AtomicU32::new(0))
    }

    fn new_id(&self) -> VolumeId {
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        VolumeId::new(format!("mirrored-{number}"))
    }

    fn objects(&self, array: &str) -> MutexGuard<'_, BTreeMap<String, MemVolume>> {
        match array == Fixture::source_array(&self.0) {
            true => lock(&self.0.source),
            false => lock(&self.0.target),
        }
    }

    /// What the object behind a volume is called now: names follow what the other side does.
    async fn name(&self, array: &str, volume: &VolumeId) -> String {
        let own = cinder_name(volume);
        if self.objects(array).contains_key(&own) {
            return own;
        }
        let known = CinderVolume::known_by_id(volume.clone());
        let located = self.0.arrays.locate(array, &known).await.unwrap().unwrap();
        let objects = self.objects(array);
        let mut behind = objects.iter().filter(|(_, object)| {
            let mirror = object.mirror.as_ref();
            mirror.is_some_and(|mirror| mirror.id == located.serial)
        });
        behind.next().unwrap().0.clone()
    }
}

#[async_trait]
impl MirrorFixture for Mirrors {
    fn driver(&self) -> &dyn StorageDriver {
        self.0.arrays.cut_off(None);
        &self.0.arrays
    }

    fn driver_of_target(&self) -> &dyn StorageDriver {
        self.0.arrays.cut_off(Some(self.source_array()));
        &self.0.arrays
    }

    fn source_array(&self) -> &str {
        Fixture::source_array(&self.0)
    }

    fn target_array(&self) -> &str {
        Fixture::target_array(&self.0)
    }

    async fn new_volume(&self, text: &str) -> VolumeId {
        let volume = self.new_id();
        self.0.write_source(&volume, text.as_bytes()).await;
        volume
    }

    async fn writes(&self, array: &str, volume: &VolumeId, text: &str) -> bool {
        self.0.arrays.cut_off(None);
        let name = self.name(array, volume).await;
        let mut objects = self.objects(array);
        let object = objects.get_mut(&name).unwrap();
        if object.is_replica() {
            return false;
        }
        object.bytes = Bytes::copy_from_slice(text.as_bytes());
        true
    }

    async fn content(&self, array: &str, volume: &VolumeId) -> String {
        self.0.arrays.cut_off(None);
        self.0.arrays.catch_up();
        let name = self.name(array, volume).await;
        String::from_utf8(self.objects(array)[&name].bytes.to_vec()).unwrap()
    }

    async fn manage(&self, array: &str, source_name: &str) -> VolumeId {
        let volume = self.new_id();
        let mut objects = self.objects(array);
        let object = objects.remove(source_name).unwrap();
        objects.insert(cinder_name(&volume), object);
        volume
    }
}

#[tokio::test]
async fn what_mirrors_promote_in_place_is_what_any_driver_does() {
    conformance::in_place::all(&Mirrors::new()).await;
}
