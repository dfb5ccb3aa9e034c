//! Which directory an array's address means, and which names may become paths in it.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use protector_core::{
    id::{OperationId, VolumeId},
    storage::{Replication, StorageError},
};

use crate::blocking;

const SCHEME: &str = "mock://";
/// What Cinder puts before a volume's id in the name of its object.
pub(crate) const CINDER_PREFIX: &str = "volume-";
const LONGEST_ID: usize = 100;

/// The arrays of the configuration, by name.
#[derive(Clone, Debug)]
pub(crate) struct Arrays(BTreeMap<String, PathBuf>);

#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
}

/// The two arrays of a replication, known to be different ones.
pub(crate) struct Pair {
    pub(crate) source: Array,
    pub(crate) target: Array,
}

impl Arrays {
    pub(crate) fn new(directories: BTreeMap<String, PathBuf>) -> Result<Self, StorageError> {
        for (name, directory) in &directories {
            if !is_safe(name) {
                return Err(refused(
                    name,
                    "the array's name may hold letters, digits, '_' and '-' only",
                ));
            }
            if !directory.is_absolute() {
                return Err(refused(
                    name,
                    format!(
                        "the array's directory {} must be absolute",
                        directory.display()
                    ),
                ));
            }
        }
        Ok(Self(directories))
    }

    /// The array that `address`, `mock://<name>`, means.
    pub(crate) fn find(&self, address: &str) -> Result<Array, StorageError> {
        let known = address
            .strip_prefix(SCHEME)
            .and_then(|name| self.0.get_key_value(name));
        match known {
            Some((name, directory)) => Ok(Array {
                name: name.clone(),
                directory: directory.clone(),
            }),
            None => Err(refused(
                address,
                format!("no such array; known are {}", self.known()),
            )),
        }
    }

    /// Both arrays of `replication`. The source need not answer: it may be what disaster took.
    pub(crate) async fn pair(&self, replication: &Replication) -> Result<Pair, StorageError> {
        let source = self.find(&replication.source_array)?;
        let target = self.find(&replication.target_array)?;
        let (one, other) = (source.directory.clone(), target.directory.clone());
        let compared = blocking::quick(&source, "looking at its directory", move || {
            Ok(same_directory(&one, &other))
        });
        if source.name == target.name || compared.await.unwrap_or(false) {
            return Err(target.refused(format!(
                "is also the source array {}; replicate between two",
                source.address()
            )));
        }
        Ok(Pair { source, target })
    }

    fn known(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        let addresses: Vec<_> = self.0.keys().map(|name| mock_address(name)).collect();
        addresses.join(", ")
    }
}

/// How policies name the array of this name: `mock://NAME`.
pub fn mock_address(name: &str) -> String {
    format!("{SCHEME}{name}")
}

impl Array {
    pub(crate) fn address(&self) -> String {
        mock_address(&self.name)
    }

    pub(crate) fn replicas(&self) -> PathBuf {
        self.directory.join(".replica")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.replicas().join(".staging")
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.replicas().join(".locks")
    }

    /// The error for what may pass: asked again, the array may answer.
    pub(crate) fn unavailable(&self, message: impl Display) -> StorageError {
        StorageError::unavailable(self.address(), message)
    }

    /// The error for what will not pass by itself.
    pub(crate) fn refused(&self, message: impl Display) -> StorageError {
        refused(&self.address(), message)
    }

    /// The error for a failed file operation.
    pub(crate) fn io(&self, doing: &str, error: &io::Error) -> StorageError {
        let message = format!("{doing}: {error}");
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                self.refused(format!(
                    "{message}; give this service's user the right to write to {}",
                    self.directory.display()
                ))
            }
            _ => self.unavailable(message),
        }
    }

    /// `id`, if it can be part of a path and stay in the array's directory.
    pub(crate) fn safe<'a>(&self, field: &str, id: &'a str) -> Result<&'a str, StorageError> {
        if is_safe(id) {
            return Ok(id);
        }
        Err(self.refused(format!(
            "{field} {id:?} may hold 1 to {LONGEST_ID} letters, digits, '_' and '-' only"
        )))
    }

    /// The name under which Cinder keeps `volume`.
    pub(crate) fn cinder_name(&self, volume: &VolumeId) -> Result<String, StorageError> {
        let volume = self.safe("volume", volume.as_str())?;
        Ok(format!("{CINDER_PREFIX}{volume}"))
    }

    /// The name under which `operation` promotes `volume`.
    pub(crate) fn promoted_name(
        &self,
        operation: &OperationId,
        volume: &VolumeId,
    ) -> Result<String, StorageError> {
        let operation = self.safe("operation", operation.as_str())?;
        let volume = self.safe("volume", volume.as_str())?;
        let operation = operation.strip_prefix("op-").unwrap_or(operation);
        Ok(format!("protector-{operation}-{volume}"))
    }
}

fn refused(array: &str, message: impl Display) -> StorageError {
    StorageError::refused(array, message)
}

fn is_safe(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(allowed)
}

fn same_directory(one: &Path, other: &Path) -> bool {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
