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
    sync::{Arc, MutexGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use protector_array::{conformance, conformance::Fixture};
use protector_core::{clock::Clock, id::VolumeId, storage::StorageDriver};
use protector_simcloud::{
    array::SimArrays,
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
