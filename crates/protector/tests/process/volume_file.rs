//! The bytes of a volume, where a guest writes them: a sparse file.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use rand::Rng;
use rustix::fs::{SeekFrom, seek};
use sha2::{Digest, Sha256};

const BLOCK: usize = 4096;

/// SHA-256 of the file's length and of each block that is not all zeros, with its place: the same for the same bytes,
/// wherever the holes are.
pub fn digest(path: &Path) -> String {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let length = file.metadata().unwrap().len();
    let mut hash = Sha256::new();
    hash.update(length.to_le_bytes());
    let mut at = 0;
    while let Ok(data) = seek(&file, SeekFrom::Data(at)) {
        let end = seek(&file, SeekFrom::Hole(data)).unwrap();
        at = data / BLOCK as u64 * BLOCK as u64;
        while at < end {
            let mut block = [0_u8; BLOCK];
            let read = file.read_at(&mut block, at).unwrap();
            if block != [0_u8; BLOCK] {
                hash.update(at.to_le_bytes());
                hash.update(&block[..read]);
            }
            at += BLOCK as u64;
        }
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Writes as a guest does: a few pieces of random bytes at random places.
pub fn scribble(path: &Path, random: &mut impl Rng) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    for _ in 0..3 {
        let mut piece = vec![0_u8; 16 * 1024];
        random.fill_bytes(&mut piece);
        let place = random.random_range(0..length - piece.len() as u64);
        file.write_all_at(&piece, place).unwrap();
    }
}
