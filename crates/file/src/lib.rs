//! Files that an operator or an administrator names: certificates, keys, policies, configurations.
//!
//! A name may lead to anything: a named pipe that nobody writes to, a device without an end, a file of many GiB. Nothing here
//! waits for the one or holds the other. What stays is a file system that hangs (NFS), so a service reads away from its runtime.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::OFlags;

/// What tells one state of a file from another: which file it is, its length and when it was last changed, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    file: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    /// The stamp of the file at `path`, links followed. Nothing is opened.
    ///
    /// # Errors
    /// There is no such file, or it may not be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::new(&std::fs::metadata(path)?))
    }

    fn new(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads the regular file at `path`, links followed, of at most `most` bytes.
///
/// # Errors
/// It cannot be read, is larger, or is no regular file; in words for who named it.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    read_with_stamp(path, most).map(|(content, _)| content)
}

/// As [`read`], with the stamp that the file had when it was opened.
///
/// # Errors
/// As [`read`].
pub fn read_with_stamp(path: &Path, most: usize) -> io::Result<(Vec<u8>, FileState)> {
    // Opening a device can do something by itself, so the kind is looked at before. It is looked at again below: the name may
    // lead elsewhere by then.
    regular(&std::fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    if metadata.len() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large(most));
    }
    Ok((bounded(file, most)?, FileState::new(&metadata)))
}

/// Reads what is at `path`, be it a pipe (`--config-file <(…)`), up to `most` bytes. It waits for who writes, so it is for the
/// start of a program only.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn read_any(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    bounded(File::open(path)?, most)
}

fn bounded(file: File, most: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut content)?;
    match content.len() > most {
        true => Err(too_large(most)),
        false => Ok(content),
    }
}

fn too_large(most: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it is larger than {most} bytes"),
    )
}

fn regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something else",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it must be a regular file, and is {what}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(path: &Path) -> String {
        read(path, 10).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ca.pem");
        std::fs::write(&path, b"0123456789").unwrap();
        assert_eq!(read(&path, 10).unwrap(), b"0123456789");
        assert_eq!(read_any(&path, 10).unwrap(), b"0123456789");
        std::fs::write(&path, b"0123456789a").unwrap();
        assert_eq!(why(&path), "it is larger than 10 bytes");
        assert!(read_any(&path, 10).is_err());
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(why(&pipe), "it must be a regular file, and is a named pipe");
        let link = place.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert_eq!(why(&link), "it must be a regular file, and is a device");
        assert_eq!(
            why(place.path()),
            "it must be a regular file, and is a directory"
        );
        assert!(why(&place.path().join("none")).contains("No such file"));
        // A file of the kernel's says that it has no bytes.
        assert_eq!(
            why(Path::new("/proc/self/status")),
            "it is larger than 10 bytes"
        );
    }

    #[test]
    fn a_stamp_changes_with_the_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ca.pem");
        std::fs::write(&path, b"one").unwrap();
        let (content, stamp) = read_with_stamp(&path, 10).unwrap();
        assert_eq!(
            (content.as_slice(), stamp),
            (&b"one"[..], FileState::of(&path).unwrap())
        );
        // Another file in its place, as configuration management puts it there, of the same length and time.
        let other = place.path().join("other");
        std::fs::write(&other, b"two").unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        File::options()
            .write(true)
            .open(&other)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_ne!(stamp, FileState::of(&path).unwrap());
    }
}
