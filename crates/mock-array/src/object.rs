//! What tells one object on an array from another, whatever it is called at the moment.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use uuid::Uuid;

use crate::{address::Array, lock::prepare, volume_file::metadata};

/// The serial number of a file: its inode, and the time of its birth since inodes are used again. A rename, a write
/// and an extension keep both.
pub(crate) fn serial(metadata: &Metadata) -> String {
    let born = metadata
        .created()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |age| age.as_nanos());
    format!("{:x}-{born:x}", metadata.ino())
}

/// The serial of the file at `path`; `None` if nothing is there.
pub(crate) fn serial_at(path: &Path) -> io::Result<Option<String>> {
    Ok(metadata(path)?.map(|found| serial(&found)))
}

/// The name under which the file with `wanted` as its serial lies in `directory`.
pub(crate) fn name_of(directory: &Path, wanted: &str) -> io::Result<Option<String>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Cinder may remove or rename what the listing shows while we look at it.
        let found = match entry.path().symlink_metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if found.is_file() && serial(&found) == wanted {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// The serial of the object called `name` on `array`; `None` if there is none. An array that is gone is an error, not
/// an array without the object.
pub(crate) fn serial_on(array: &Array, name: &str) -> io::Result<Option<String>> {
    let found = serial_at(&array.directory.join(name))?;
    if found.is_none() {
        fs::read_dir(&array.directory)?;
    }
    Ok(found)
}

/// A name that nothing else has.
#[allow(
    clippy::disallowed_methods,
    reason = "files of a directory that another process may have too"
)]
pub(crate) fn random_name() -> String {
    Uuid::new_v4().to_string()
}

/// The array's own identity, made when it is first asked for and kept in its directory, so that one directory under
/// two names is one array.
pub(crate) fn identity_of(array: &Array) -> io::Result<String> {
    let path = array.replicas().join("array.id");
    if let Some(identity) = read_identity(&path)? {
        return Ok(identity);
    }
    prepare(array)?;
    let staged = new_staged(array);
    fs::write(&staged, random_name())?;
    fs::File::open(&staged)?.sync_all()?;
    let published = publish(&staged, &path);
    remove(&staged)?;
    published?;
    read_identity(&path)?.ok_or_else(|| io::Error::other("the array's identity is gone again"))
}

/// Gives the complete file `staged` the name `path` too, unless that name is taken: by whoever came first.
pub(crate) fn publish(staged: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(staged, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// A name for a copy in the making.
pub(crate) fn new_staged(array: &Array) -> PathBuf {
    array.staging().join(random_name())
}

/// Removes the file `path`; nothing there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Removes the directory `path` with all that is in it; nothing there is fine.
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Waits until the names in `directory` are on disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

fn read_identity(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(identity) => Ok(Some(identity)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(directory: &Path) -> Array {
        Array {
            name: "a".into(),
            directory: directory.to_owned(),
        }
    }

    #[test]
    fn a_serial_survives_rename_and_extension_and_is_of_one_file() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        fs::write(&one, b"1").unwrap();
        let first = serial_at(&one).unwrap().unwrap();
        fs::rename(&one, &two).unwrap();
        fs::OpenOptions::new()
            .write(true)
            .open(&two)
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
        assert_eq!(serial_at(&two).unwrap().as_ref(), Some(&first));
        assert_eq!(
            name_of(directory.path(), &first).unwrap().as_deref(),
            Some("two")
        );
        fs::write(&one, b"1").unwrap();
        assert_ne!(serial_at(&one).unwrap().as_ref(), Some(&first));
    }

    #[test]
    fn an_array_keeps_its_identity_and_a_missing_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let here = array(directory.path());
        let identity = identity_of(&here).unwrap();
        assert_eq!(identity_of(&here).unwrap(), identity);
        assert_eq!(fs::read_dir(here.staging()).unwrap().count(), 0);
        let gone = array(&directory.path().join("gone"));
        assert!(identity_of(&gone).is_err());
        assert!(serial_on(&gone, "volume-1").is_err());
        assert!(serial_on(&here, "volume-1").unwrap().is_none());
    }
}
