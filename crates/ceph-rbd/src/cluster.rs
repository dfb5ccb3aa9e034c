//! One cluster: what is asked of it, and what is changed there.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
    io::BufReader,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protector_core::storage::{
    ArrayProgress, BackendObject, CinderVolume, Pending, StorageError, StorageErrorKind,
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{OnceCell, Semaphore},
    time::Instant,
};

use crate::{
    config::{CephArray, CephOptions},
    dump::{keys_and_values, sized_text},
    image::{
        Extent, Image, Lock, MirrorStatus, PoolInfo, PoolStatus, Role, Snapshot, Status, Watcher,
    },
    job::{Jobs, Place},
    journal::Journal,
    program::{self, Failure, Fate, code},
};

/// What Cinder's driver puts before a volume's id.
const CINDER_PREFIX: &str = "volume-";
const LONGEST_ID: usize = 100;
/// A client's own limit ends first, and says more.
const BEYOND_THE_CLIENT: Duration = Duration::from_secs(10);

/// How long a count of what was written counts for something.
const COUNT_HOLDS: Duration = Duration::from_secs(60);
/// Where Ceph keeps which image is which mirror's.
const MIRRORS: &str = "rbd_mirroring";
const MIRROR_KEY: &str = "global_";
/// Each rbd-mirror of the pool's own site watches this object, with the session that has its replicas open.
const MIRROR_DAEMONS: &str = "rbd_mirror_leader";

pub(crate) struct Cluster {
    pub(crate) array: CephArray,
    /// Those by force, by the image's id.
    pub(crate) promotions: Jobs<()>,
    /// Programs that copy or remove all of an image.
    pub(crate) copies: Jobs<()>,
    pub(crate) catalogue_made: OnceCell<()>,
    pub(crate) memory: Memory,
    options: CephOptions,
    counts: Jobs<u64>,
    slots: Semaphore,
    fsid: OnceCell<String>,
}

/// What this process alone knows of a cluster's images.
#[derive(Default)]
pub(crate) struct Memory {
    /// Since when nobody was seen at work on an image, and when that was looked at last.
    quiet: Mutex<HashMap<String, (Instant, Instant)>>,
    /// What was seen first of a copy that is under way: when, and how many objects were there.
    copying: Mutex<HashMap<String, (Instant, u64)>>,
    /// The promotions that were begun by this process, and by none before it.
    begun: Mutex<HashMap<String, String>>,
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// For how long nobody has been seen at work on `image`, by somebody who looked again within `at_least`.
    pub(crate) fn quiet_for(&self, image: &str, at_least: Duration) -> Duration {
        let (mut quiet, now) = (held(&self.quiet), Instant::now());
        let (since, looked) = quiet.entry(image.to_owned()).or_insert((now, now));
        if looked.elapsed() > at_least {
            *since = now;
        }
        *looked = now;
        since.elapsed()
    }

    /// What was seen of it counts no more: somebody is at work, or is about to be.
    pub(crate) fn is_quiet_no_more(&self, image: &str) {
        held(&self.quiet).remove(image);
    }

    /// When the copy of an image was seen first, and how many objects it had then.
    pub(crate) fn copy_seen_first(&self, image: &str, objects: u64) -> (Duration, u64) {
        let mut copying = held(&self.copying);
        let first = copying.entry(image.to_owned());
        let (at, first) = *first.or_insert_with(|| (Instant::now(), objects));
        (at.elapsed(), first)
    }

    pub(crate) fn copy_has_ended(&self, image: &str) {
        held(&self.copying).remove(image);
    }

    pub(crate) fn promotion_is_begun(&self, image: &str, operation: &str) {
        held(&self.begun).insert(image.to_owned(), operation.to_owned());
    }

    /// Whether no process before this one has begun `operation`'s promotion of an image.
    pub(crate) fn has_begun_promotion(&self, image: &str, operation: &str) -> bool {
        held(&self.begun)
            .get(image)
            .is_some_and(|of| of == operation)
    }
}

impl Cluster {
    pub(crate) fn new(array: CephArray, options: CephOptions) -> Self {
        let places = options.processes.max(1);
        Self {
            array,
            promotions: Jobs::new(places, None),
            copies: Jobs::new(places, None),
            counts: Jobs::new(places, Some(COUNT_HOLDS)),
            catalogue_made: OnceCell::new(),
            memory: Memory::default(),
            slots: Semaphore::new(places),
            fsid: OnceCell::new(),
            options,
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
                    "{}; there is no pool {} that client.{} can see, or its keyring cannot be read",
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
        let spec = self.spec(name);
        match self.ask(&["mirror", "image", "status", &spec]).await {
            // It is being removed, to be copied anew.
            Err(failure) if failure.code == code::EINVAL => Ok(None),
            told => self.confirmed(self.there(told)?).await,
        }
    }

    pub(crate) async fn image(&self, name: &str) -> Result<Option<Image>, StorageError> {
        let image = self.image_if_told(name).await?;
        self.confirmed(image).await
    }

    pub(crate) async fn image_by_id(&self, id: &str) -> Result<Option<Image>, StorageError> {
        let image = self.image_by_id_if_told(id).await?;
        self.confirmed(image).await
    }

    /// As [`Self::image`]; that there is none is not certain.
    pub(crate) async fn image_if_told(&self, name: &str) -> Result<Option<Image>, StorageError> {
        self.there(self.ask(&["info", &self.spec(name)]).await)
    }

    /// As [`Self::image_by_id`]; that there is none is not certain.
    pub(crate) async fn image_by_id_if_told(
        &self,
        id: &str,
    ) -> Result<Option<Image>, StorageError> {
        let arguments = ["info", "--pool", &self.array.pool, "--image-id", id];
        self.there(self.ask(&arguments).await)
    }

    /// `rbd` says ENOENT of an image, and of a pool, a keyring and a `ceph.conf` too: that there is no such image counts
    /// once the pool is seen.
    async fn confirmed<T>(&self, found: Option<T>) -> Result<Option<T>, StorageError> {
        if found.is_none() {
            self.pool_info().await?;
        }
        Ok(found)
    }

    /// The image of the same mirror as the other side's `image`, which mostly has the same name here.
    pub(crate) async fn peer_of(&self, image: &Image) -> Result<Option<Image>, StorageError> {
        let Some(global_id) = image.global_id() else {
            return Ok(None);
        };
        match self.image_if_told(&image.name).await? {
            Some(found) if found.global_id() == Some(global_id) => Ok(Some(found)),
            _ => self.image_by_global_id(global_id).await,
        }
    }

    /// The image of a mirror, whatever it is called here.
    pub(crate) async fn image_by_global_id(
        &self,
        global_id: &str,
    ) -> Result<Option<Image>, StorageError> {
        let is_it = |image: &Image| image.global_id() == Some(global_id);
        let key = format!("{MIRROR_KEY}{global_id}");
        if let Ok(value) = self
            .rados(&["getomapval", MIRRORS, &key, "/dev/stdout"])
            .await
            && let Some(id) = sized_text(&value)
            && let Some(image) = self.image_by_id_if_told(&id).await?
            && is_it(&image)
        {
            return Ok(Some(image));
        }
        // What Ceph keeps for itself proves nothing by its absence. Renamed between the two questions, it is found the
        // second time.
        for _ in 0..2 {
            let listed = self.pool_status().await?.images;
            let Some(listed) = listed.into_iter().find(|one| one.global_id == global_id) else {
                return Ok(None);
            };
            match self.image_if_told(&listed.name).await? {
                Some(image) if is_it(&image) => return Ok(Some(image)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The ids of the images that are in mirrors, by the mirrors' global ids, as far as Ceph lets that be known at once.
    pub(crate) async fn mirrored_images(&self) -> BTreeMap<String, String> {
        let listed = self.rados(&["listomapvals", MIRRORS]).await.ok();
        let listed = listed.and_then(|printed| keys_and_values(&String::from_utf8_lossy(&printed)));
        let image = |(key, value): (String, Vec<u8>)| {
            Some((
                key.strip_prefix(MIRROR_KEY)?.to_owned(),
                sized_text(&value)?,
            ))
        };
        listed.into_iter().flatten().filter_map(image).collect()
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

    /// Who has an image open for writing.
    pub(crate) async fn watchers(&self, image: &Image) -> Result<Vec<Watcher>, StorageError> {
        let asked = self.ask(&["status", &self.spec(&image.name)]).await;
        let status: Status = asked.map_err(|failure| self.failed(failure))?;
        Ok(status.watchers)
    }

    /// The sessions of this site's rbd-mirror, as `client.<number>`.
    pub(crate) async fn mirror_sessions(&self) -> Result<Vec<String>, StorageError> {
        match self.rados(&["listwatchers", MIRROR_DAEMONS]).await {
            Ok(printed) => Ok(sessions_in(&String::from_utf8_lossy(&printed))),
            // Without the object, none has run here yet.
            Err(_) => self.pool_info().await.map(|_| Vec::new()),
        }
    }

    /// Sees that nobody has a primary open: rbd-mirror opens replicas alone.
    pub(crate) async fn see_nobody_writes(&self, image: &Image) -> Result<(), StorageError> {
        let watchers = self.watchers(image).await?;
        if watchers.is_empty() {
            return Ok(());
        }
        let watchers: Vec<String> = watchers.iter().map(Watcher::to_string).collect();
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

    /// Promotes by force, to the end, however long that takes; how it ended, `None` while it has not. Begun in `place` at once,
    /// or not at all. A client that does not get to the cluster gives up after [`Self::settles_within`].
    pub(crate) async fn promote_by_force(
        &self,
        place: Option<Place>,
        image: &Image,
        patience: Duration,
    ) -> Option<Result<(), Failure>> {
        let [mount, ..] = self.limits(Duration::ZERO);
        let spec = self.spec(&image.name);
        let arguments = [&mount, "mirror", "image", "promote", "--force", &spec];
        let job = || self.to_the_end(&arguments, Fate::GoesOn);
        self.promotions
            .run_in(place, &image.id, patience, job)
            .await
    }

    /// How long it may take from a forced promotion's start until it is seen at work on the image.
    pub(crate) fn settles_within(&self) -> Duration {
        self.options.answers_within + BEYOND_THE_CLIENT / 2
    }

    /// Runs `rbd` about `subject` to its end, however long that takes; how it ended, `None` while it has not.
    pub(crate) async fn copy(
        &self,
        subject: &str,
        arguments: &[&str],
        patience: Duration,
    ) -> Option<Result<(), Failure>> {
        let job = || self.to_the_end(arguments, Fate::GoesOn);
        self.copies.run(subject, patience, job).await
    }

    /// How many bytes are in the objects of an image that were written to since a snapshot; `None` while they are being
    /// counted. `written_to` says how far the image was written to, if nobody has it open: else that nothing was found says
    /// nothing a moment later.
    pub(crate) async fn written_since(
        &self,
        image: &Image,
        snapshot: &str,
        written_to: Option<&str>,
        patience: Duration,
    ) -> Option<Result<u64, Failure>> {
        let subject = format!("{}@{snapshot} {}", image.id, written_to.unwrap_or("open"));
        let spec = self.spec(&image.name);
        let words = ["diff", "--whole-object", "--from-snap", snapshot, &spec];
        let (program, arguments) = (self.program("rbd"), self.with_identity(&words, &JSON));
        let job = || async move {
            let printed = program::run_to_the_end(&program, &arguments, Fate::Ends).await?;
            let counted = tokio::task::spawn_blocking(move || {
                let extents: Vec<Extent> = serde_json::from_reader(BufReader::new(printed))?;
                Ok(extents.iter().map(|extent| extent.length).sum())
            });
            let counted: Result<u64, serde_json::Error> = counted.await.map_err(not_understood)?;
            counted.map_err(not_understood)
        };
        let counted = self.counts.run(&subject, patience, job).await;
        match counted {
            Some(Ok(0)) if written_to.is_none() => self.counts.forget_end(&subject),
            Some(Err(_)) => self.counts.forget_end(&subject),
            _ => {}
        }
        counted
    }

    fn to_the_end(
        &self,
        arguments: &[&str],
        fate: Fate,
    ) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
        let (program, arguments) = (self.program("rbd"), self.with_identity(arguments, &[]));
        async move {
            program::run_to_the_end(&program, &arguments, fate)
                .await
                .map(drop)
        }
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
        all.extend(JSON);
        let printed = self.run("rbd", &all, limit).await?;
        serde_json::from_slice(&printed).map_err(|error| Failure {
            message: format!(
                "rbd {}: {}",
                arguments.join(" "),
                not_understood(&error).message
            ),
            ..not_understood(&error)
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
        let all = self.with_identity(arguments, &[]);
        program::run(&self.program(program), &all, limit + BEYOND_THE_CLIENT).await
    }

    fn program(&self, name: &str) -> PathBuf {
        match &self.options.programs {
            Some(directory) => directory.join(name),
            None => PathBuf::from(name),
        }
    }

    fn with_identity(&self, arguments: &[&str], more: &[&str]) -> Vec<String> {
        let mut all = self.identity();
        all.extend(arguments.iter().chain(more).map(|&word| word.to_owned()));
        all
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

const JSON: [&str; 2] = ["--format", "json"];

fn not_understood(error: impl Display) -> Failure {
    Failure {
        code: code::NOT_RUN,
        message: format!(
            "its answer is not understood ({error}); see docs/arrays/ceph-rbd.md for the releases that are"
        ),
    }
}

/// The sessions in what `rados listwatchers` prints: `watcher=127.0.0.1:0/1 client.4214 cookie=94559435608576`.
fn sessions_in(printed: &str) -> Vec<String> {
    let words = printed.split_whitespace();
    let sessions = words.filter(|word| word.starts_with("client."));
    sessions.map(str::to_owned).collect()
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
        time_left: None,
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
    use crate::fake::{Fake, POOL};

    #[tokio::test(start_paused = true)]
    async fn it_is_quiet_only_for_who_keeps_looking() {
        let (memory, limit) = (Memory::default(), Duration::from_secs(10));
        let quiet_after = async |seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            memory.quiet_for("image", limit).as_secs()
        };
        assert_eq!(quiet_after(5).await, 0, "the first look");
        assert_eq!(quiet_after(8).await, 8);
        assert_eq!(quiet_after(8).await, 16);
        assert_eq!(quiet_after(60).await, 0, "nobody has looked since");
        memory.is_quiet_no_more("image");
        assert_eq!(quiet_after(5).await, 0);
    }

    #[tokio::test]
    async fn an_image_is_missing_only_in_a_pool_that_is_seen() {
        let fake = Fake::new(&format!("{POOL}; exit 2"), "");
        assert!(fake.cluster.image("volume-x").await.unwrap().is_none());
        assert!(fake.cluster.image_by_id("123").await.unwrap().is_none());
        // A keyring that cannot be read is ENOENT, too.
        let fake = Fake::new("exit 2", "");
        let error = fake.cluster.image("volume-x").await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Misconfigured);
        assert!(error.message.contains("keyring"), "{error}");
    }

    #[tokio::test]
    async fn a_dead_cluster_leaves_the_other_one_its_places() {
        let dead = Fake::new("touch $here/began; while :; do sleep 0.05; done", "");
        let well = Fake::new(POOL, "");
        let hangs = dead.cluster.pool_info();
        let answers = async {
            while !dead.directory.path().join("began").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            well.cluster.pool_info().await
        };
        tokio::select! {
            _ = hangs => panic!("it is dead"),
            answer = answers => assert_eq!(answer.unwrap().mode, "image"),
        }
    }

    #[tokio::test]
    async fn a_count_that_takes_long_goes_on_behind_the_call() {
        let rbd = r#"echo x >> $here/begun; while [ ! -e $here/go ]; do sleep 0.02; done
            echo '[{"offset":0,"length":4194304,"exists":"true"},{"offset":8388608,"length":1024,"exists":"false"}]'"#;
        let fake = Fake::new(rbd, "");
        let image: Image =
            serde_json::from_str(include_str!("../tests/recorded/info-primary.json")).unwrap();
        let count = async |patience| {
            fake.cluster
                .written_since(&image, "dr-op-1", None, patience)
                .await
        };
        for _ in 0..2 {
            assert!(count(Duration::from_millis(50)).await.is_none());
        }
        std::fs::write(fake.directory.path().join("go"), "").unwrap();
        let counted = count(Duration::from_secs(20)).await.unwrap().unwrap();
        assert_eq!(counted, 4_195_328);
        let begun = std::fs::read_to_string(fake.directory.path().join("begun")).unwrap();
        assert_eq!(begun.lines().count(), 1, "counted once");
    }

    #[test]
    fn the_sessions_of_rbd_mirror_are_read() {
        let recorded = include_str!("../tests/recorded/mirror-daemons.txt");
        assert_eq!(sessions_in(recorded), ["client.4214"]);
        assert!(sessions_in("").is_empty());
    }

    #[test]
    fn a_release_is_read() {
        let told =
            "ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)";
        assert_eq!(release_in(told), Some(16));
        assert_eq!(release_in("rbd 16"), None);
    }
}
