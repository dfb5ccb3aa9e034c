//! Two directories as arrays, and two drivers of them, for tests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use protector_array::conformance::{Fixture, Patient};
use protector_core::{
    id::{GroupId, OperationId, VolumeId},
    storage::{Replication, StorageDriver},
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::MockStorageDriver;

pub(crate) struct Sites {
    directory: TempDir,
    here: MockStorageDriver,
    there: MockStorageDriver,
}

impl Sites {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let (here, there) = tokio::join!(open(directory.path()), open(directory.path()));
        Self {
            directory,
            here,
            there,
        }
    }

    /// The driver of this site's engine.
    pub(crate) fn here(&self) -> Patient<'_> {
        Patient(&self.here)
    }

    /// The driver of the other site's.
    pub(crate) fn there(&self) -> Patient<'_> {
        Patient(&self.there)
    }

    pub(crate) async fn open_another(&self) -> MockStorageDriver {
        open(self.directory.path()).await
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.directory.path().join("a")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.directory.path().join("b")
    }

    pub(crate) fn replication(&self) -> Replication {
        Replication {
            group_id: GroupId::new(fresh_id().to_string()),
            source_array: "mock://array-a".into(),
            target_array: "mock://array-b".into(),
        }
    }

    pub(crate) fn volume(&self, bytes: &[u8]) -> VolumeId {
        let id = VolumeId::new(fresh_id().to_string());
        fs::write(self.source().join(format!("volume-{id}")), bytes).unwrap();
        id
    }

    /// What Cinder would list on the target.
    pub(crate) fn listed(&self) -> Vec<String> {
        let entries = fs::read_dir(self.target()).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        let mut names: Vec<_> = files
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn staged(&self) -> usize {
        let staging = self.target().join(".replica/.staging");
        fs::read_dir(staging).map_or(0, Iterator::count)
    }

    /// The recovery points of `group` that have a directory.
    pub(crate) fn point_directories(&self, group: &GroupId) -> Vec<String> {
        let group = self.target().join(".replica").join(group.as_str());
        let Ok(entries) = fs::read_dir(group) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

pub(crate) fn operation() -> OperationId {
    OperationId::from_uuid(fresh_id())
}

async fn open(directory: &Path) -> MockStorageDriver {
    let arrays = BTreeMap::from([
        ("array-a".to_owned(), directory.join("a")),
        ("array-b".to_owned(), directory.join("b")),
    ]);
    let catalogue = directory.join("state ?#%/catalogue.sqlite");
    MockStorageDriver::open(&catalogue, arrays).await.unwrap()
}

#[async_trait]
impl Fixture for Sites {
    fn driver(&self) -> &dyn StorageDriver {
        &self.here
    }

    fn other_driver(&self) -> &dyn StorageDriver {
        &self.there
    }

    fn source_array(&self) -> &str {
        "mock://array-a"
    }

    fn target_array(&self) -> &str {
        "mock://array-b"
    }

    async fn write_source(&self, volume: &VolumeId, bytes: &[u8]) {
        fs::write(self.source().join(self.cinder_name(volume)), bytes).unwrap();
    }

    async fn read_source(&self, volume: &VolumeId) -> Option<Vec<u8>> {
        fs::read(self.source().join(self.cinder_name(volume))).ok()
    }

    async fn write_target(&self, name: &str, bytes: &[u8]) {
        fs::write(self.target().join(name), bytes).unwrap();
    }

    async fn read_target(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.target().join(name)).ok()
    }

    async fn rename_target(&self, from: &str, to: &str) {
        fs::rename(self.target().join(from), self.target().join(to)).unwrap();
    }
}

#[allow(clippy::disallowed_methods, reason = "no two fixtures share a name")]
fn fresh_id() -> Uuid {
    Uuid::new_v4()
}
