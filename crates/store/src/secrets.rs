//! Secrets at rest: AES-256-GCM with numbered keys in a directory, as Keystone's fernet repository has them.
//!
//! The key with the highest number encrypts, all decrypt. What is kept is `v1:<key number>:<base64 of nonce and
//! ciphertext>`. The place of a secret (table, row, column) is authenticated with it, so that a ciphertext that was
//! moved to another row is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::RwLock,
};

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::TryRngCore;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const FORMAT: &str = "v1";
/// How many of the newest keys are never pruned.
const KEPT: usize = 2;

type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Why a secret cannot be encrypted or read. Never says anything of the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The database was opened without keys.
    #[error("no key repository is set: [secrets] key_repository")]
    NoRepository,
    /// The directory cannot be read or written, or holds no key.
    #[error("key repository {path}: {why}")]
    Repository {
        /// The directory, or a file in it.
        path: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A secret was encrypted with a key that is not there.
    #[error(
        "the stored secret of {place} needs key {number}, which is not in the key repository: copy it from the host that encrypted the secret"
    )]
    UnknownKey {
        /// Table, row and column.
        place: String,
        number: u32,
    },
    /// The key does not fit, or the ciphertext was changed or moved.
    #[error("the stored secret of {place} cannot be decrypted with key {number}")]
    Refused {
        /// Table, row and column.
        place: String,
        number: u32,
    },
    /// The stored text is not an encrypted secret.
    #[error("the stored secret of {place} is not in a known format")]
    Format {
        /// Table, row and column.
        place: String,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Randomness(String),
}

/// Where a secret is kept: table, row and column. Part of what is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretLocation<'a> {
    pub table: &'static str,
    pub row: &'a str,
    pub column: &'static str,
}

impl fmt::Display for SecretLocation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.table, self.row, self.column)
    }
}

/// The keys of one host: a directory with one file per key, named by its number.
pub struct KeyRepository {
    dir: PathBuf,
    keys: RwLock<BTreeMap<u32, Key>>,
}

impl fmt::Debug for KeyRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRepository")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl KeyRepository {
    /// Makes the directory and key 0 in it, readable by its owner only. Keys that are there are left alone.
    ///
    /// # Errors
    ///
    /// `Repository` when it cannot be written.
    pub fn setup(dir: &Path) -> Result<(), SecretError> {
        fs::create_dir_all(dir).map_err(|error| repository(dir, &error))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(|error| repository(dir, &error))?;
        if read_keys(dir)?.is_empty() {
            write_key(dir, 0)?;
        }
        Ok(())
    }

    /// Adds a key with the next number, which encrypts from now on, and returns that number. Older ones stay, since
    /// what they encrypted is still there.
    ///
    /// # Errors
    ///
    /// `Repository` when there is no key yet, or when the directory cannot be written.
    pub fn rotate(dir: &Path) -> Result<u32, SecretError> {
        let newest = read_keys(dir)?.keys().next_back().copied();
        let number = newest.ok_or_else(|| no_key(dir))?.saturating_add(1);
        write_key(dir, number)?;
        Ok(number)
    }

    /// Removes the keys that are neither among the newest two nor one of `needed`, and returns their numbers. With the one
    /// before the newest something may have been encrypted that is about to be written.
    ///
    /// # Errors
    ///
    /// `Repository` when there is no key, or when one cannot be removed.
    pub fn prune(dir: &Path, needed: &BTreeSet<u32>) -> Result<Vec<u32>, SecretError> {
        let keys = read_keys(dir)?;
        if keys.is_empty() {
            return Err(no_key(dir));
        }
        let older = keys.into_keys().rev().skip(KEPT);
        let mut unused: Vec<u32> = older.filter(|number| !needed.contains(number)).collect();
        unused.sort_unstable();
        unused
            .into_iter()
            .map(|number| {
                let path = dir.join(number.to_string());
                fs::remove_file(&path).map_err(|error| repository(&path, &error))?;
                Ok(number)
            })
            .collect()
    }

    /// Reads all keys of `dir`.
    ///
    /// # Errors
    ///
    /// `Repository` when there is none, or one that cannot be read.
    pub fn open(dir: &Path) -> Result<Self, SecretError> {
        let keys = read_keys(dir)?;
        if keys.is_empty() {
            return Err(no_key(dir));
        }
        Ok(Self {
            dir: dir.to_owned(),
            keys: RwLock::new(keys),
        })
    }

    /// Encrypts `secret` for `place` with the newest key that there is now: one that was added since the start counts, and one
    /// that was removed is not used again.
    ///
    /// # Errors
    ///
    /// `Repository` when the directory cannot be read, `Randomness` when the operating system gives no random bytes.
    pub fn encrypt(
        &self,
        place: SecretLocation<'_>,
        secret: &SecretString,
    ) -> Result<String, SecretError> {
        let (number, key) = self.newest()?;
        let mut nonce = [0_u8; NONCE_BYTES];
        random(&mut nonce)?;
        let bound_to = place.to_string();
        let payload = Payload {
            msg: secret.expose_secret().as_bytes(),
            aad: bound_to.as_bytes(),
        };
        let sealed = cipher(&key)
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| refused(place, number))?;
        let blob = [nonce.as_slice(), &sealed].concat();
        Ok(format!("{FORMAT}:{number}:{}", STANDARD.encode(blob)))
    }

    /// Decrypts what [`KeyRepository::encrypt`] made for the same place. Reads the directory again for a key that is
    /// not known yet.
    ///
    /// # Errors
    ///
    /// `Refused` for another place or a changed text, `UnknownKey`, `Format`.
    pub fn decrypt(
        &self,
        place: SecretLocation<'_>,
        stored: &str,
    ) -> Result<SecretString, SecretError> {
        let (number, blob) = parse(place, stored)?;
        let key = self.numbered(place, number)?;
        let (nonce, sealed) = blob
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(|| format_error(place))?;
        let bound_to = place.to_string();
        let payload = Payload {
            msg: sealed,
            aad: bound_to.as_bytes(),
        };
        let plain = cipher(&key)
            .decrypt(&Nonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| refused(place, number))?;
        let text = std::str::from_utf8(&plain).map_err(|_| format_error(place))?;
        Ok(SecretString::from(text))
    }

    /// The number of the key that encrypts.
    pub fn newest_number(&self) -> Option<u32> {
        self.known().keys().next_back().copied()
    }

    fn newest(&self) -> Result<(u32, Key), SecretError> {
        if let Err(error) = self.read_again() {
            self.keep_what_is_there(error)?;
        }
        self.known()
            .last_key_value()
            .map(|(number, key)| (*number, key.clone()))
            .ok_or_else(|| no_key(&self.dir))
    }

    fn numbered(&self, place: SecretLocation<'_>, number: u32) -> Result<Key, SecretError> {
        if let Some(key) = self.known().get(&number) {
            return Ok(key.clone());
        }
        self.read_again()?;
        let key = self.known().get(&number).cloned();
        key.ok_or_else(|| SecretError::UnknownKey {
            place: place.to_string(),
            number,
        })
    }

    /// One file that cannot be read, a key that root has made, keeps nothing from being encrypted while a key that is known is
    /// still there. One that was pruned meanwhile is not used.
    fn keep_what_is_there(&self, error: SecretError) -> Result<(), SecretError> {
        let mut known = self
            .keys
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        known.retain(|number, _| self.dir.join(number.to_string()).exists());
        if known.is_empty() {
            return Err(error);
        }
        tracing::error!(%error, "the keys cannot all be read: what is encrypted now is with an older one");
        Ok(())
    }

    fn read_again(&self) -> Result<(), SecretError> {
        let fresh = read_keys(&self.dir)?;
        *self
            .keys
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn known(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Key>> {
        self.keys
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn cipher(key: &Key) -> Aes256Gcm {
    let key: &[u8; KEY_BYTES] = key;
    Aes256Gcm::new(key.into())
}

/// The number of the key that encrypted what is kept in `place`.
pub(crate) fn key_number(place: SecretLocation<'_>, stored: &str) -> Result<u32, SecretError> {
    parse(place, stored).map(|(number, _)| number)
}

fn parse(place: SecretLocation<'_>, stored: &str) -> Result<(u32, Vec<u8>), SecretError> {
    let parts = stored.split(':').collect::<Vec<_>>();
    let &[FORMAT, number, blob] = parts.as_slice() else {
        return Err(format_error(place));
    };
    let number = number.parse().map_err(|_| format_error(place))?;
    let blob = STANDARD.decode(blob).map_err(|_| format_error(place))?;
    Ok((number, blob))
}

fn read_keys(dir: &Path) -> Result<BTreeMap<u32, Key>, SecretError> {
    let mut keys = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(|error| repository(dir, &error))? {
        let entry = entry.map_err(|error| repository(dir, &error))?;
        // Anything that is not named by a number is not ours: an editor's backup, a key being written.
        let Some(number) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        keys.insert(number, read_key(&entry.path())?);
    }
    Ok(keys)
}

/// The largest file of a key that is read. A key has 44 characters.
const LARGEST_KEY_FILE: usize = 4 << 10;

fn read_key(path: &Path) -> Result<Key, SecretError> {
    let text = protector_file::read(path, LARGEST_KEY_FILE)
        .map(Zeroizing::new)
        .map_err(|error| repository(path, &error))?;
    let bytes = STANDARD
        .decode(text.trim_ascii())
        .map(Zeroizing::new)
        .map_err(|_| not_a_key(path))?;
    let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| not_a_key(path))?;
    Ok(Zeroizing::new(key))
}

/// Writes a new key under another name first: a half-written key must never have a number, and a number never gets a
/// second key.
fn write_key(dir: &Path, number: u32) -> Result<(), SecretError> {
    let mut key = Key::default();
    random(key.as_mut_slice())?;
    let text = Zeroizing::new(STANDARD.encode(key.as_slice()));
    let draft = dir.join(format!(".{number}.{}", std::process::id()));
    let path = dir.join(number.to_string());
    let written =
        write_private(&draft, text.as_bytes()).and_then(|()| fs::hard_link(&draft, &path));
    let removed = fs::remove_file(&draft);
    written
        .and(removed)
        .map_err(|error| repository(&path, &error))
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn random(bytes: &mut [u8]) -> Result<(), SecretError> {
    rand::rngs::OsRng
        .try_fill_bytes(bytes)
        .map_err(|error| SecretError::Randomness(error.to_string()))
}

fn repository(path: &Path, error: &io::Error) -> SecretError {
    SecretError::Repository {
        path: path.display().to_string(),
        why: error.to_string(),
    }
}

fn no_key(dir: &Path) -> SecretError {
    SecretError::Repository {
        path: dir.display().to_string(),
        why: "it holds no key: run 'protector-manage keys setup'".to_owned(),
    }
}

fn not_a_key(path: &Path) -> SecretError {
    SecretError::Repository {
        path: path.display().to_string(),
        why: "it is not 32 bytes in base64".to_owned(),
    }
}

fn refused(place: SecretLocation<'_>, number: u32) -> SecretError {
    SecretError::Refused {
        place: place.to_string(),
        number,
    }
}

fn format_error(place: SecretLocation<'_>) -> SecretError {
    SecretError::Format {
        place: place.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: SecretLocation<'_> = SecretLocation {
        table: "sites",
        row: "1",
        column: "password",
    };

    fn repository() -> (tempfile::TempDir, KeyRepository) {
        let dir = tempfile::tempdir().unwrap();
        KeyRepository::setup(dir.path()).unwrap();
        let keys = KeyRepository::open(dir.path()).unwrap();
        (dir, keys)
    }

    fn secret() -> SecretString {
        SecretString::from("hunter2")
    }

    #[test]
    fn a_key_is_for_its_owner_only_and_is_made_once() {
        let (dir, _) = repository();
        let path = dir.path().join("0");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let key = fs::read(&path).unwrap();
        KeyRepository::setup(dir.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), key);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_is_no_file_holds_nobody_up() {
        let (dir, _) = repository();
        let pipe = dir.path().join("7");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let (done, answer) = std::sync::mpsc::channel();
        let place = dir.path().to_owned();
        std::thread::spawn(move || done.send(KeyRepository::open(&place).err()));
        let error = answer
            .recv_timeout(std::time::Duration::from_secs(20))
            .expect("nobody waits for who writes to the pipe");
        let error = error.unwrap().to_string();
        assert!(error.contains(&pipe.display().to_string()), "{error}");
        assert!(error.contains("must be a regular file"), "{error}");
    }

    #[test]
    fn a_new_key_that_cannot_be_read_keeps_nothing_from_being_encrypted() {
        let (dir, keys) = repository();
        fs::write(dir.path().join("1"), "no key").unwrap();
        let sealed = keys.encrypt(PLACE, &secret()).unwrap();
        assert!(sealed.starts_with("v1:0:"), "{sealed}");
        fs::remove_file(dir.path().join("0")).unwrap();
        assert!(keys.encrypt(PLACE, &secret()).is_err());
    }

    #[test]
    fn a_secret_comes_back_and_never_looks_the_same() {
        let (_dir, keys) = repository();
        let first = keys.encrypt(PLACE, &secret()).unwrap();
        let second = keys.encrypt(PLACE, &secret()).unwrap();
        assert!(first.starts_with("v1:0:"), "{first}");
        assert_ne!(first, second);
        let back = keys.decrypt(PLACE, &first).unwrap();
        assert_eq!(back.expose_secret(), "hunter2");
    }

    #[test]
    fn the_newest_key_encrypts_and_all_decrypt() {
        let (dir, before) = repository();
        let old = before.encrypt(PLACE, &secret()).unwrap();
        assert_eq!(KeyRepository::rotate(dir.path()), Ok(1));
        let after = KeyRepository::open(dir.path()).unwrap();
        assert_eq!(after.newest_number(), Some(1));
        let new = after.encrypt(PLACE, &secret()).unwrap();
        assert!(new.starts_with("v1:1:"), "{new}");
        for stored in [&old, &new] {
            // The repository that was opened before the rotation finds the new key by itself.
            for keys in [&before, &after] {
                let back = keys.decrypt(PLACE, stored).unwrap();
                assert_eq!(back.expose_secret(), "hunter2");
            }
        }
    }

    #[test]
    fn only_keys_that_nothing_needs_are_pruned() {
        let (dir, _) = repository();
        for number in 1..=3 {
            assert_eq!(KeyRepository::rotate(dir.path()), Ok(number));
        }
        let pruned = KeyRepository::prune(dir.path(), &BTreeSet::from([1]));
        assert_eq!(pruned, Ok(vec![0]));
        let left = read_keys(dir.path()).unwrap();
        assert_eq!(left.into_keys().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(
            KeyRepository::prune(dir.path(), &BTreeSet::new()),
            Ok(vec![1])
        );
        let pruned = KeyRepository::prune(dir.path(), &BTreeSet::new());
        assert_eq!(pruned, Ok(vec![]), "the newest two stay");
    }

    /// A service reads its keys when it starts, and goes on while an operator rotates and prunes.
    #[test]
    fn what_a_service_encrypts_after_keys_were_rotated_and_pruned_can_be_read() {
        let (dir, service) = repository();
        for number in 1..=3 {
            assert_eq!(KeyRepository::rotate(dir.path()), Ok(number));
        }
        let pruned = KeyRepository::prune(dir.path(), &BTreeSet::new());
        assert_eq!(pruned, Ok(vec![0, 1]));
        let stored = service.encrypt(PLACE, &secret()).unwrap();
        assert!(stored.starts_with("v1:3:"), "{stored}");
        let another = KeyRepository::open(dir.path()).unwrap();
        let back = another.decrypt(PLACE, &stored).unwrap();
        assert_eq!(back.expose_secret(), "hunter2");
    }

    #[test]
    fn what_was_encrypted_right_before_a_rotation_can_be_read_after_a_prune() {
        let (dir, service) = repository();
        let about_to_be_written = service.encrypt(PLACE, &secret()).unwrap();
        assert_eq!(KeyRepository::rotate(dir.path()), Ok(1));
        // Nothing on record needs the first key yet.
        let pruned = KeyRepository::prune(dir.path(), &BTreeSet::new());
        assert_eq!(pruned, Ok(vec![]));
        let another = KeyRepository::open(dir.path()).unwrap();
        let back = another.decrypt(PLACE, &about_to_be_written).unwrap();
        assert_eq!(back.expose_secret(), "hunter2");
    }

    #[test]
    fn another_key_is_refused() {
        let (_dir, keys) = repository();
        let (_other_dir, other) = repository();
        let stored = keys.encrypt(PLACE, &secret()).unwrap();
        let refusal = other.decrypt(PLACE, &stored).unwrap_err();
        assert!(matches!(refusal, SecretError::Refused { number: 0, .. }));
        assert!(!refusal.to_string().contains("hunter2"));
        let unknown = stored.replace("v1:0:", "v1:7:");
        assert_eq!(
            keys.decrypt(PLACE, &unknown).unwrap_err(),
            SecretError::UnknownKey {
                place: PLACE.to_string(),
                number: 7
            }
        );
    }

    #[test]
    fn a_moved_or_changed_ciphertext_is_refused() {
        let (_dir, keys) = repository();
        let stored = keys.encrypt(PLACE, &secret()).unwrap();
        for elsewhere in [
            SecretLocation { row: "2", ..PLACE },
            SecretLocation {
                column: "other",
                ..PLACE
            },
            SecretLocation {
                table: "other",
                ..PLACE
            },
        ] {
            let refusal = keys.decrypt(elsewhere, &stored).unwrap_err();
            assert!(matches!(refusal, SecretError::Refused { .. }));
        }
        let mut blob = STANDARD.decode(stored.trim_start_matches("v1:0:")).unwrap();
        blob[NONCE_BYTES] ^= 1;
        let changed = format!("v1:0:{}", STANDARD.encode(blob));
        let refusal = keys.decrypt(PLACE, &changed).unwrap_err();
        assert!(matches!(refusal, SecretError::Refused { .. }));
        for nonsense in ["", "hunter2", "v2:0:AAAA", "v1:x:AAAA", "v1:0:AAAA"] {
            let refusal = keys.decrypt(PLACE, nonsense).unwrap_err();
            assert!(matches!(refusal, SecretError::Format { .. }), "{nonsense}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let (dir, keys) = repository();
        let key = fs::read_to_string(dir.path().join("0")).unwrap();
        let shown = format!("{keys:?}");
        assert!(shown.contains("KeyRepository"));
        assert!(!shown.contains(&key));
    }

    #[test]
    fn an_empty_or_broken_repository_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = KeyRepository::open(dir.path()).unwrap_err();
        assert!(refusal.to_string().contains("holds no key"));
        assert!(KeyRepository::rotate(dir.path()).is_err());
        fs::write(dir.path().join("0"), "short").unwrap();
        let refusal = KeyRepository::open(dir.path()).unwrap_err();
        assert!(refusal.to_string().contains("32 bytes"), "{refusal}");
    }
}
