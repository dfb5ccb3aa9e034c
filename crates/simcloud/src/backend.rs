//! Where the bytes of simulated volumes live.
//!
//! A cloud's block storage keeps one object per volume, called `volume-<uuid>`, in a backend. A storage
//! array that replicates the same backend from outside (a directory, or a map in memory) therefore sees
//! exactly what it would see under a real Cinder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

const GIB: u64 = 1 << 30;

/// Why a backend could not do what block storage asked.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No object of that name.
    #[error("{0} does not exist in the backend")]
    Missing(String),
    /// The target name of a rename or copy is taken.
    #[error("{0} exists in the backend already")]
    Exists(String),
    /// The name has a path in it, or is empty.
    #[error("{0:?} is not a name that the backend accepts")]
    BadName(String),
    /// It is the replica of a mirror, which only the mirror changes.
    #[error("{0} is a replica: the other side of its mirror is primary")]
    Replica(String),
    /// The file system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// One pool of volume objects, addressed by name. Sizes are in GiB, rounded up.
pub trait VolumeBackend: Send {
    /// Makes an object of zeros.
    fn create_blank(&mut self, name: &str, gib: u64) -> Result<(), BackendError>;
    /// Makes an object that begins with `image` and is zeros up to `gib`.
    fn create_from_image(
        &mut self,
        name: &str,
        gib: u64,
        image: &Bytes,
    ) -> Result<(), BackendError>;
    /// Removes an object; one that is not there is no error, as in Cinder's drivers.
    fn delete(&mut self, name: &str) -> Result<(), BackendError>;
    /// Renames an object, which is what `manage` does.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), BackendError>;
    /// Copies an object (snapshots, clones).
    fn copy(&mut self, from: &str, to: &str) -> Result<(), BackendError>;
    /// Size in GiB, rounded up and at least 1; `None` when there is no such object.
    fn size_gib(&self, name: &str) -> Option<u64>;
    /// All names, sorted.
    fn names(&self) -> Vec<String>;
    /// Whether the object is there.
    fn exists(&self, name: &str) -> bool {
        self.size_gib(name).is_some()
    }
}

/// A directory with one sparse file per volume: the same layout as the testbed's Cinder driver.
#[derive(Debug)]
pub struct DirBackend {
    dir: PathBuf,
}

impl DirBackend {
    /// Uses `dir`, which is created when it is missing.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Self, BackendError> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    fn path(&self, name: &str) -> Result<PathBuf, BackendError> {
        let plain = Path::new(name).file_name().is_some_and(|n| n == name);
        if plain {
            Ok(self.dir.join(name))
        } else {
            Err(BackendError::BadName(name.to_owned()))
        }
    }

    fn existing(&self, name: &str) -> Result<PathBuf, BackendError> {
        let path = self.path(name)?;
        if path.is_file() {
            Ok(path)
        } else {
            Err(BackendError::Missing(name.to_owned()))
        }
    }
}

impl VolumeBackend for DirBackend {
    fn create_blank(&mut self, name: &str, gib: u64) -> Result<(), BackendError> {
        File::create(self.path(name)?)?.set_len(gib * GIB)?;
        Ok(())
    }

    fn create_from_image(
        &mut self,
        name: &str,
        gib: u64,
        image: &Bytes,
    ) -> Result<(), BackendError> {
        let mut file = File::create(self.path(name)?)?;
        file.write_all(image)?;
        file.set_len((gib * GIB).max(image.len() as u64))?;
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), BackendError> {
        match fs::remove_file(self.path(name)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), BackendError> {
        let (from, target) = (self.existing(from)?, self.path(to)?);
        if target.exists() {
            return Err(BackendError::Exists(to.to_owned()));
        }
        fs::rename(from, target)?;
        Ok(())
    }

    fn copy(&mut self, from: &str, to: &str) -> Result<(), BackendError> {
        let (from, to) = (self.existing(from)?, self.path(to)?);
        copy_sparse(&from, &to)?;
        Ok(())
    }

    fn size_gib(&self, name: &str) -> Option<u64> {
        let length = self.existing(name).ok()?.metadata().ok()?.len();
        Some(length.div_ceil(GIB).max(1))
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}

/// Copies block by block and leaves blocks of zeros out, so that a copy of a sparse file is sparse.
fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    let mut source = File::open(from)?;
    let mut target = File::create(to)?;
    let mut block = vec![0_u8; 1 << 20];
    loop {
        let read = source.read(&mut block)?;
        if read == 0 {
            break;
        }
        if block[..read].iter().any(|byte| *byte != 0) {
            target.write_all(&block[..read])?;
        } else {
            target.seek(SeekFrom::Current(i64::try_from(read).unwrap_or(i64::MAX)))?;
        }
    }
    target.set_len(source.metadata()?.len())
}

/// One volume held in memory: its leading bytes (the rest are zeros) and its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemVolume {
    /// What was written; everything behind it up to `gib` reads as zeros.
    pub bytes: Bytes,
    /// Size in GiB.
    pub gib: u64,
    /// The name under which an array has made it. It stays when Cinder renames the object, as a serial number does, and a
    /// copy has none.
    pub made_as: Option<String>,
    /// That it is one side of a mirror. A copy is none.
    pub mirror: Option<Mirror>,
}

impl MemVolume {
    /// What a copy of it is: an object of its own.
    fn copied(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            gib: self.gib,
            made_as: None,
            mirror: None,
        }
    }

    /// Whether only its mirror may change it.
    pub fn is_replica(&self) -> bool {
        self.mirror
            .as_ref()
            .is_some_and(|mirror| !mirror.is_primary)
    }
}

/// One side of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The same on both sides.
    pub id: String,
    /// Whether this side may be written to.
    pub is_primary: bool,
    /// Whether it was promoted while the other side could be written to as well: what that has is not overwritten until
    /// somebody says so.
    pub has_diverged: bool,
}

/// The objects of one in-memory backend, by name; shared with whoever plays the storage array.
pub type MemObjects = Arc<Mutex<BTreeMap<String, MemVolume>>>;

/// A backend in memory, for tests in virtual time.
#[derive(Clone, Debug, Default)]
pub struct MemBackend {
    objects: MemObjects,
}

impl MemBackend {
    /// A backend over `objects`; clone the `Arc` to look at it or to change it from outside.
    pub fn new(objects: MemObjects) -> Self {
        Self { objects }
    }

    pub fn objects(&self) -> MemObjects {
        Arc::clone(&self.objects)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, MemVolume>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VolumeBackend for MemBackend {
    fn create_blank(&mut self, name: &str, gib: u64) -> Result<(), BackendError> {
        self.create_from_image(name, gib, &Bytes::new())
    }

    fn create_from_image(
        &mut self,
        name: &str,
        gib: u64,
        image: &Bytes,
    ) -> Result<(), BackendError> {
        let volume = MemVolume {
            bytes: image.clone(),
            gib,
            made_as: None,
            mirror: None,
        };
        self.lock().insert(name.to_owned(), volume);
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), BackendError> {
        let mut objects = self.lock();
        if objects.get(name).is_some_and(MemVolume::is_replica) {
            return Err(BackendError::Replica(name.to_owned()));
        }
        objects.remove(name);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), BackendError> {
        let mut objects = self.lock();
        if objects.get(from).is_some_and(MemVolume::is_replica) {
            return Err(BackendError::Replica(from.to_owned()));
        }
        if objects.contains_key(to) {
            return Err(BackendError::Exists(to.to_owned()));
        }
        let volume = objects
            .remove(from)
            .ok_or_else(|| BackendError::Missing(from.to_owned()))?;
        objects.insert(to.to_owned(), volume);
        Ok(())
    }

    fn copy(&mut self, from: &str, to: &str) -> Result<(), BackendError> {
        let mut objects = self.lock();
        let volume = objects
            .get(from)
            .cloned()
            .ok_or_else(|| BackendError::Missing(from.to_owned()))?;
        objects.insert(to.to_owned(), volume.copied());
        Ok(())
    }

    fn size_gib(&self, name: &str) -> Option<u64> {
        self.lock().get(name).map(|volume| volume.gib.max(1))
    }

    fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }
}
