//! What the configuration says of each cluster, and of all of them.

use std::{path::PathBuf, time::Duration};

/// A pool of a Ceph cluster, in which a site's Cinder keeps its volumes.
#[derive(Clone, Debug)]
pub struct CephArray {
    /// As replication policies name it.
    pub name: String,
    /// The cluster's `ceph.conf`.
    pub conf: PathBuf,
    /// The client without `client.`: what Cinder uses has all the rights that are needed.
    pub client: String,
    /// The client's keyring, if the `ceph.conf` does not name it.
    pub keyring: Option<PathBuf>,
    /// Mirroring pairs pools of one name.
    pub pool: String,
}

/// How images are mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MirrorMode {
    /// Each write goes through the image's journal. What a lost site leaves is an exact prefix of what was written.
    #[default]
    Journal,
    /// Snapshots are compared now and then. Not supported: with Ceph 16 a site that is lost in the middle of a
    /// synchronisation leaves an older or a torn image.
    Snapshot,
}

/// What holds for all clusters.
#[derive(Clone, Debug)]
pub struct CephOptions {
    pub mode: MirrorMode,
    /// The directory of `rbd`, `rados` and `ceph`, if they are not to be looked for in `PATH`.
    pub programs: Option<PathBuf>,
    /// How many programs run at a time for each cluster, at least 1, and as many of each kind of those that take long:
    /// forced promotions, copies, counts of what was written. Each takes 35 MiB.
    pub processes: usize,
    /// How long the client of a cluster waits for it, when it only reads.
    pub answers_within: Duration,
    /// How long a program that changes something may take. A forced promotion, a flattening, a removal and a count of what
    /// was written take as long as they take.
    pub changes_within: Duration,
}

impl Default for CephOptions {
    fn default() -> Self {
        Self {
            mode: MirrorMode::Journal,
            programs: None,
            processes: 4,
            answers_within: Duration::from_secs(5),
            changes_within: Duration::from_secs(30),
        }
    }
}
