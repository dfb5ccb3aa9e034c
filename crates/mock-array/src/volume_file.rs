//! The bytes of a volume: copied without their holes, summed up so that two copies can be compared.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, chown},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    fs::{OFlags, SeekFrom, seek},
    io::Errno,
};
use sha2::{Digest, Sha256};

const BLOCK: usize = 64 * 1024;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What a volume holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// In bytes.
    pub(crate) size: u64,
    /// SHA-256, in hexadecimal, over the offset and the bytes of each 64 KiB block that is not all zeros, and then
    /// the size. Holes need not be read for it: Cinder's volumes are mostly holes.
    pub(crate) sha256: String,
}

/// Stops the copies that hold its flag when it goes out of scope: nobody waits for them any more.
#[derive(Default)]
pub(crate) struct StopOnDrop(Arc<AtomicBool>);

/// Tells a copy to stop.
#[derive(Clone, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopOnDrop {
    pub(crate) fn flag(&self) -> StopFlag {
        StopFlag(Arc::clone(&self.0))
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl StopFlag {
    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for this copy any more"));
        }
        Ok(())
    }
}

/// The metadata of the regular file at `path`; `None` if nothing is there. A link or a device there is an error: it
/// would lead out of the array.
pub(crate) fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(_) => Err(not_a_file(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the volume at `path`.
pub(crate) fn contents(path: &Path, stop: &StopFlag) -> io::Result<Contents> {
    let file = open(path)?;
    let mut sum = Sha256::new();
    let size = file.metadata()?.len();
    each_block(&file, size, stop, |offset, block| {
        add(&mut sum, offset, block);
        Ok(())
    })?;
    Ok(finish(sum, size))
}

/// Copies the volume at `from` to the new file `to`, holes as holes, and returns when it is on disk. The copy gets the
/// mode of the original and, where the system lets us, its owner: Cinder must be able to write to it.
pub(crate) fn copy(from: &Path, to: &Path, stop: &StopFlag) -> io::Result<Contents> {
    let source = open(from)?;
    let original = source.metadata()?;
    let target = OpenOptions::new().create_new(true).write(true).open(to)?;
    let mut sum = Sha256::new();
    target.set_len(original.len())?;
    each_block(&source, original.len(), stop, |offset, block| {
        add(&mut sum, offset, block);
        target.write_all_at(block, offset)
    })?;
    let copied = target.metadata()?;
    if (copied.uid(), copied.gid()) != (original.uid(), original.gid())
        && let Err(error) = chown(to, Some(original.uid()), Some(original.gid()))
    {
        tracing::debug!(%error, "a volume's copy keeps this service's owner");
    }
    target.set_permissions(original.permissions())?;
    target.sync_all()?;
    Ok(finish(sum, original.len()))
}

/// How many bytes are in the blocks that the volumes at `one` and `other` do not have in common.
pub(crate) fn differing(one: &Path, other: &Path, stop: &StopFlag) -> io::Result<u64> {
    let (one, other) = (open(one)?, open(other)?);
    let (size, other_size) = (one.metadata()?.len(), other.metadata()?.len());
    let shared = size.min(other_size);
    // What is beyond the shorter one was written, or cut off.
    let mut differ = size.max(other_size) - shared;
    let (mut here, mut there) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut offset = next_data(&one, 0, shared).min(next_data(&other, 0, shared));
    while offset < shared {
        stop.check()?;
        let length = usize::try_from(shared - offset).map_or(BLOCK, |rest| rest.min(BLOCK));
        one.read_exact_at(&mut here[..length], offset)?;
        other.read_exact_at(&mut there[..length], offset)?;
        if here[..length] != there[..length] {
            differ += length as u64;
        }
        let next = offset + length as u64;
        offset = next_data(&one, next, shared).min(next_data(&other, next, shared));
    }
    Ok(differ)
}

fn open(path: &Path) -> io::Result<File> {
    let no_follow = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(no_follow)
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(not_a_file(path))
}

fn not_a_file(path: &Path) -> io::Error {
    let name = path.file_name().unwrap_or(path.as_os_str());
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{} is not a regular file", name.display()),
    )
}

/// Shows `visit` the offset and the bytes of every block that is not all zeros.
fn each_block(
    file: &File,
    size: u64,
    stop: &StopFlag,
    mut visit: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    let mut offset = next_data(file, 0, size);
    while offset < size {
        stop.check()?;
        let length = usize::try_from(size - offset).map_or(BLOCK, |rest| rest.min(BLOCK));
        let block = &mut buffer[..length];
        file.read_exact_at(block, offset)?;
        let next = offset + length as u64;
        if *block == ZEROS[..length] {
            offset = next_data(file, next, size);
        } else {
            visit(offset, block)?;
            offset = next;
        }
    }
    Ok(())
}

/// The start of the block with the next data at or after `from`, itself a start of a block; `size` if there is none.
fn next_data(file: &File, from: u64, size: u64) -> u64 {
    match seek(file, SeekFrom::Data(from)) {
        Ok(at) => at / BLOCK as u64 * BLOCK as u64,
        Err(Errno::NXIO) => size,
        // The file system knows no holes: everything is data.
        Err(_) => from,
    }
}

fn add(sum: &mut Sha256, offset: u64, block: &[u8]) {
    sum.update(offset.to_le_bytes());
    sum.update(block);
}

fn finish(mut sum: Sha256, size: u64) -> Contents {
    sum.update(size.to_le_bytes());
    Contents {
        size,
        sha256: format!("{:x}", sum.finalize()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_bytes_and_holes() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(1 << 30).unwrap();
        file.write_all_at(b"start", 0).unwrap();
        file.write_all_at(b"middle", (512 << 20) + 77).unwrap();
        file.write_all_at(b"end", (1 << 30) - 3).unwrap();
        let stop = StopFlag::default();

        let copied = copy(&from, &to, &stop).unwrap();

        assert_eq!(copied, contents(&from, &stop).unwrap());
        assert_eq!(copied, contents(&to, &stop).unwrap());
        let copy = to.metadata().unwrap();
        assert_eq!(copy.len(), 1 << 30);
        assert!(
            copy.blocks() * 512 <= 4 * BLOCK as u64,
            "{} blocks",
            copy.blocks()
        );
        let mut end = [0; 3];
        File::open(&to)
            .unwrap()
            .read_exact_at(&mut end, (1 << 30) - 3)
            .unwrap();
        assert_eq!(&end, b"end");
    }

    #[test]
    fn contents_tell_place_size_and_bytes_apart_but_not_holes_from_zeros() {
        let directory = tempfile::tempdir().unwrap();
        let sum = |name: &str, size: u64, offset: u64, bytes: &[u8]| {
            let path = directory.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_len(size).unwrap();
            file.write_all_at(bytes, offset).unwrap();
            contents(&path, &StopFlag::default()).unwrap()
        };
        let size = 10 * BLOCK as u64;
        let one = sum("one", size, 0, b"x");
        assert_ne!(one, sum("byte", size, 0, b"y"));
        assert_ne!(one, sum("place", size, BLOCK as u64, b"x"));
        assert_ne!(one.sha256, sum("size", size + 1, 0, b"x").sha256);
        let hole = sum("hole", size, 0, b"");
        assert_eq!(
            hole,
            sum("zeros", size, BLOCK as u64, &vec![0; BLOCK + 100])
        );
    }

    #[test]
    fn what_differs_is_counted_by_blocks_and_holes_are_zeros() {
        let directory = tempfile::tempdir().unwrap();
        let size = 10 * BLOCK as u64;
        let make = |name: &str, size: u64, offset: u64, bytes: &[u8]| {
            let path = directory.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_len(size).unwrap();
            file.write_all_at(bytes, offset).unwrap();
            path
        };
        let block = BLOCK as u64;
        let one = make("one", size, 0, b"x");
        let stop = StopFlag::default();
        let differ = |other: &Path| differing(&one, other, &stop).unwrap();
        assert_eq!(differ(&make("same", size, 0, b"x")), 0);
        assert_eq!(differ(&make("byte", size, 0, b"y")), block);
        assert_eq!(differ(&make("place", size, 5 * block + 3, b"x")), 2 * block);
        assert_eq!(differ(&make("longer", size + 7, 0, b"x")), 7);
        let zeros = make("zeros", size, block, &vec![0; 2 * BLOCK]);
        File::options()
            .write(true)
            .open(&zeros)
            .unwrap()
            .write_all_at(b"x", 0)
            .unwrap();
        assert_eq!(differ(&zeros), 0);
    }

    #[test]
    fn links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        assert!(metadata(&link).is_err());
        assert!(contents(&link, &StopFlag::default()).is_err());
        assert!(
            metadata(&directory.path().join("missing"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_copy_that_nobody_waits_for_stops() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::write(&from, b"bytes").unwrap();
        let stop = StopOnDrop::default();
        let flag = stop.flag();
        drop(stop);
        assert!(copy(&from, &to, &flag).is_err());
    }
}
