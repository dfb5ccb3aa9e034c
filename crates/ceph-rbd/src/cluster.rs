//! One cluster: what is asked of it, and what is changed there.

use std::{fmt::Display, sync::Arc, time::Duration};

use protector_core::storage::{
    ArrayProgress, BackendObject, CinderVolume, Pending, StorageError, StorageErrorKind,
};
use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, Semaphore};

use crate::{
    config::{CephArray, CephOptions},
    image::{Image, Lock, MirrorStatus, PoolInfo, PoolStatus, Role, Snapshot, Status, Watcher},
    job::Jobs,
    journal::Journal,
    program::{self, Failure, code},
};

/// What Cinder's driver puts before a volume's id.
const CINDER_PREFIX: &str = "volume-";
const LONGEST_ID: usize = 100;
/// A client's own limit ends first, and says more.
const BEYOND_THE_CLIENT: Duration = Duration::from_secs(10);

pub(crate) struct Cluster {
    pub(crate) array: CephArray,
    pub(crate) jobs: Jobs,
    pub(crate) catalogue_made: OnceCell<()>,
    options: CephOptions,
    slots: Arc<Semaphore>,
    fsid: OnceCell<String>,
}

impl Cluster {
    pub(crate) fn new(array: CephArray, options: CephOptions, slots: Arc<Semaphore>) -> Self {
        Self {
            array,
            jobs: Jobs::default(),
            catalogue_made: OnceCell::new(),
            options,
            slots,
            fsid: OnceCell::new(),
        }
    }

    pub(crate) fn refused(&self, message: impl Display) -> StorageError {
        StorageError::refused(&self.array.name, message)
    }

    pub(crate) fn error(&self, kind: StorageErrorKind, message: impl Display) -> StorageError {
        StorageError::new(kind, &self.array.name, message)
    }

    /// `id`, if it can be part of an image's name.
    pub(crate) fn safe<'a>(&self, field: &str, id: &'a str) -> Result<&'a str, StorageError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(allowed) {
            return Ok(id);
        }
        Err(self.refused(format!(
            "{field} {id:?} may hold 1 to {LONGEST_ID} letters, digits, '_' and '-' only"
        )))
    }

    /// The name under which Cinder makes the image of `volume`.
    pub(crate) fn cinder_name(&self, volume: &CinderVolume) -> Result<String, StorageError> {
        self.safe("volume", volume.id.as_str())?;
        let id = self.safe("volume", volume.name_id().as_str())?;
        Ok(format!("{CINDER_PREFIX}{id}"))
    }

    /// `pool/name`, as commands want it.
    pub(crate) fn spec(&self, name: &str) -> String {
        format!("{}/{name}", self.array.pool)
    }

    // --- asking --------------------------------------------------------------------------------------------------

    /// The cluster's own id, asked for once.
    pub(crate) async fn fsid(&self) -> Result<String, StorageError> {
        let fsid = self.fsid.get_or_try_init(|| self.ask_fsid()).await?;
        Ok(fsid.clone())
    }

    /// The cluster's own id. `ceph` knows a wrong key by its exit code.
    pub(crate) async fn ask_fsid(&self) -> Result<String, StorageError> {
        let mut files = vec![&self.array.conf];
        files.extend(&self.array.keyring);
        for file in files {
            if let Err(error) = tokio::fs::File::open(file).await {
                let message = format!(
                    "{} cannot be read ({error}); it is the cluster's ceph.conf or the keyring of client.{}",
                    file.display(),
                    self.array.client
                );
                return Err(self.error(StorageErrorKind::Misconfigured, message));
            }
        }
        let seconds = self.options.answers_within.as_secs().max(1).to_string();
        let arguments = ["--connect-timeout", &seconds, "fsid"];
        let told = self
            .run("ceph", &arguments, self.options.answers_within)
            .await;
        let fsid = told.map_err(|failure| match failure.code {
            code::EACCES => self.error(
                StorageErrorKind::Credentials,
                format!(
                    "{}; the key of client.{} is not the cluster's: compare it with `ceph auth get client.{}`",
                    failure.message, self.array.client, self.array.client
                ),
            ),
            code::NOT_RUN => failure.on(&self.array.name),
            _ => StorageError::unavailable(&self.array.name, failure.message),
        })?;
        Ok(String::from_utf8_lossy(&fsid).trim().to_owned())
    }

    /// The major release of this host's `rbd`: 16 is Pacific. `None` if it says something else.
    pub(crate) async fn release(&self) -> Result<Option<u32>, StorageError> {
        let limit = self.options.answers_within;
        let told = self.run("rbd", &["--version"], limit).await;
        let told = told.map_err(|failure| failure.on(&self.array.name))?;
        Ok(release_in(&String::from_utf8_lossy(&told)))
    }

    pub(crate) async fn pool_info(&self) -> Result<PoolInfo, StorageError> {
        let asked = self
            .ask(&["mirror", "pool", "info", &self.array.pool])
            .await;
        asked.map_err(|failure| match failure.code {
            code::ENOENT => self.error(
                StorageErrorKind::Misconfigured,
                format!(
                    "{}; there is no pool {} that client.{} can see",
                    failure.message, self.array.pool, self.array.client
                ),
            ),
            _ => failure.on(&self.array.name),
        })
    }

    pub(crate) async fn pool_status(&self) -> Result<PoolStatus, StorageError> {
        let pool = &self.array.pool;
        self.ask(&["mirror", "pool", "status", pool, "--verbose"])
            .await
            .map_err(|failure| failure.on(&self.array.name))
    }

    /// What rbd-mirror last said here of the image.
    pub(crate) async fn mirror_status(
        &self,
        name: &str,
    ) -> Result<Option<MirrorStatus>, StorageError> {
        self.there(
            self.ask(&["mirror", "image", "status", &self.spec(name)])
                .await,
        )
    }

    pub(crate) async fn image(&self, name: &str) -> Result<Option<Image>, StorageError> {
        self.there(self.ask(&["info", &self.spec(name)]).await)
    }

    pub(crate) async fn image_by_id(&self, id: &str) -> Result<Option<Image>, StorageError> {
        let arguments = ["info", "--pool", &self.array.pool, "--image-id", id];
        self.there(self.ask(&arguments).await)
    }

    /// The image of the same mirror as the other side's `image`, which mostly has the same name here.
    pub(crate) async fn peer_of(&self, image: &Image) -> Result<Option<Image>, StorageError> {
        let Some(global_id) = image.global_id() else {
            return Ok(None);
        };
        match self.image(&image.name).await? {
            Some(found) if found.global_id() == Some(global_id) => Ok(Some(found)),
            _ => self.image_by_global_id(global_id).await,
        }
    }

    /// The image of a mirror, whatever it is called here.
    pub(crate) async fn image_by_global_id(
        &self,
        global_id: &str,
    ) -> Result<Option<Image>, StorageError> {
        // Renamed between the two questions, it is found the second time.
        for _ in 0..2 {
            let listed = self.pool_status().await?.images;
            let Some(listed) = listed.into_iter().find(|one| one.global_id == global_id) else {
                return Ok(None);
            };
            match self.image(&listed.name).await? {
                Some(image) if image.global_id() == Some(global_id) => return Ok(Some(image)),
                _ => {}
            }
        }
        Ok(None)
    }

    pub(crate) async fn object(&self, image: &Image) -> Result<BackendObject, StorageError> {
        Ok(BackendObject {
            found_on: self.array.name.clone(),
            scope: self.fsid().await?,
            serial: image.serial().to_owned(),
        })
    }

    pub(crate) async fn snapshots(&self, name: &str) -> Result<Vec<Snapshot>, StorageError> {
        let listed = self.ask(&["snap", "ls", &self.spec(name)]).await;
        listed.map_err(|failure| failure.on(&self.array.name))
    }

    pub(crate) async fn journal(&self, name: &str) -> Result<Journal, StorageError> {
        let arguments = [
            "journal",
            "status",
            "--pool",
            &self.array.pool,
            "--image",
            name,
        ];
        let told = self.ask(&arguments).await;
        told.map_err(|failure| failure.on(&self.array.name))
    }

    pub(crate) async fn locks(&self, name: &str) -> Result<Vec<Lock>, StorageError> {
        let listed = self.ask(&["lock", "ls", &self.spec(name)]).await;
        listed.map_err(|failure| failure.on(&self.array.name))
    }

    /// Sees that nobody has a primary open: rbd-mirror opens replicas alone.
    pub(crate) async fn see_nobody_writes(&self, image: &Image) -> Result<(), StorageError> {
        let status: Status = self
            .ask(&["status", &self.spec(&image.name)])
            .await
            .map_err(|failure| failure.on(&self.array.name))?;
        if status.watchers.is_empty() {
            return Ok(());
        }
        let named = |watcher: &Watcher| format!("client.{} at {}", watcher.client, watcher.address);
        let watchers: Vec<String> = status.watchers.iter().map(named).collect();
        Err(self.error(
            StorageErrorKind::Busy,
            format!(
                "image {} is open: {}; stop or detach what uses it (a client that was killed counts for 30 s more)",
                image.name,
                watchers.join(", ")
            ),
        ))
    }

    // --- changing ------------------------------------------------------------------------------------------------

    /// Runs `rbd` for a change.
    pub(crate) async fn change(&self, arguments: &[&str]) -> Result<(), Failure> {
        // A change that the client gives up half way is worse than one that is waited for, so OSDs have longer.
        let limit = self.options.changes_within;
        let limits = self.limits(limit);
        let mut all: Vec<&str> = limits.iter().map(String::as_str).collect();
        all.extend(arguments);
        self.run("rbd", &all, limit).await.map(drop)
    }

    pub(crate) async fn promote(&self, name: &str) -> Result<(), Failure> {
        self.change(&["mirror", "image", "promote", &self.spec(name)])
            .await
    }

    pub(crate) async fn demote(&self, name: &str) -> Result<(), Failure> {
        self.change(&["mirror", "image", "demote", &self.spec(name)])
            .await
    }

    pub(crate) async fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        self.change(&["rename", &self.spec(from), &self.spec(to)])
            .await
    }

    /// Makes a snapshot; fine if it is there.
    pub(crate) async fn snapshot(&self, name: &str, snapshot: &str) -> Result<(), Failure> {
        let spec = format!("{}@{snapshot}", self.spec(name));
        let made = self
            .change(&["snap", "create", "--no-progress", &spec])
            .await;
        match made {
            Err(failure) if failure.code == code::EEXIST => Ok(()),
            made => made,
        }
    }

    /// Removes a snapshot; fine if it is gone.
    pub(crate) async fn remove_snapshot(&self, name: &str, snapshot: &str) -> Result<(), Failure> {
        let spec = format!("{}@{snapshot}", self.spec(name));
        let removed = self.change(&["snap", "rm", "--no-progress", &spec]).await;
        match removed {
            Err(failure) if failure.code == code::ENOENT => Ok(()),
            removed => removed,
        }
    }

    /// Runs `rbd` about `subject` to its end, however long that takes; how it ended, `None` while it has not.
    pub(crate) async fn run_long(
        &self,
        subject: &str,
        arguments: &[&str],
        patience: Duration,
    ) -> Option<Result<(), Failure>> {
        let mut all = self.identity();
        all.extend(arguments.iter().map(|&word| word.to_owned()));
        self.jobs.run(subject, "rbd", all, patience).await
    }

    pub(crate) fn failed(&self, failure: Failure) -> StorageError {
        failure.on(&self.array.name)
    }

    // --- programs ------------------------------------------------------------------------------------------------

    /// What `rbd` answers as JSON.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, Failure> {
        let limit = self.options.answers_within;
        let limits = self.limits(limit);
        let mut all: Vec<&str> = limits.iter().map(String::as_str).collect();
        all.extend(arguments);
        all.extend(["--format", "json"]);
        let printed = self.run("rbd", &all, limit).await?;
        serde_json::from_slice(&printed).map_err(|error| Failure {
            code: code::NOT_RUN,
            message: format!(
                "rbd {}: its answer is not understood ({error}); see docs/arrays/ceph-rbd.md for the releases that are",
                arguments.join(" ")
            ),
        })
    }

    pub(crate) async fn rados(&self, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
        let limit = self.options.answers_within;
        let limits = self.limits(limit);
        let mut all: Vec<&str> = limits.iter().map(String::as_str).collect();
        all.extend(["--pool", &self.array.pool]);
        all.extend(arguments);
        self.run("rados", &all, limit).await
    }

    async fn run(
        &self,
        program: &str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let _slot = self.slots.acquire().await;
        let mut all = self.identity();
        all.extend(arguments.iter().map(|&word| word.to_owned()));
        program::run(program, &all, limit + BEYOND_THE_CLIENT).await
    }

    fn identity(&self) -> Vec<String> {
        let array = &self.array;
        let mut identity = vec!["-c".to_owned(), array.conf.display().to_string()];
        identity.extend(["--id".to_owned(), array.client.clone()]);
        if let Some(keyring) = &array.keyring {
            identity.extend(["--keyring".to_owned(), keyring.display().to_string()]);
        }
        identity
    }

    /// A cluster that is dead answers nothing for minutes, or for ever.
    fn limits(&self, osds: Duration) -> [String; 3] {
        let monitors = self.options.answers_within.as_secs().max(1);
        [
            format!("--client_mount_timeout={monitors}"),
            format!("--rados_mon_op_timeout={monitors}"),
            format!("--rados_osd_op_timeout={}", osds.as_secs().max(1)),
        ]
    }

    fn there<T>(&self, asked: Result<T, Failure>) -> Result<Option<T>, StorageError> {
        match asked {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.code == code::ENOENT => Ok(None),
            Err(failure) => Err(failure.on(&self.array.name)),
        }
    }
}

/// The major release in `ceph version 16.2.15 (…) pacific (stable)`.
fn release_in(told: &str) -> Option<u32> {
    let version = told.split_whitespace().nth(2)?;
    version.split('.').next()?.parse().ok()
}

/// The id in a name that Cinder gave.
pub(crate) fn cinder_id(name: &str) -> Option<&str> {
    name.strip_prefix(CINDER_PREFIX)
}

/// The name by which Cinder has a volume that it manages.
pub(crate) fn managed_name(id: &str) -> String {
    format!("{CINDER_PREFIX}{id}")
}

impl Image {
    pub(crate) fn is_primary(&self) -> bool {
        self.role() == Role::Primary
    }
}

/// Not yet, and what for.
pub(crate) fn pending<T>(what: impl Into<String>, look_again: Duration) -> ArrayProgress<T> {
    ArrayProgress::Pending(Pending {
        what: what.into(),
        percent: None,
        bytes_left: None,
        look_again,
    })
}

/// When to ask again for what passes within a second or two.
pub(crate) const SOON: Duration = Duration::from_millis(500);
/// When to ask again for bytes that are being copied.
pub(crate) const LATER: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read() {
        let told =
            "ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)";
        assert_eq!(release_in(told), Some(16));
        assert_eq!(release_in("rbd 16"), None);
    }
}
