//! What `rbd` tells of an image.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;

/// `rbd info`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Image {
    pub(crate) name: String,
    /// Unique in its pool. It stays when the image is renamed, and is another one after a resync.
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) features: Vec<String>,
    #[serde(default)]
    pub(crate) objects: u64,
    #[serde(default)]
    pub(crate) parent: Option<Parent>,
    #[serde(default)]
    mirroring: Option<Mirroring>,
}

/// Of what an image is a copy-on-write clone.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Parent {
    pub(crate) pool: String,
    pub(crate) image: String,
    /// How many bytes of it may still be the parent's.
    pub(crate) overlap: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Mirroring {
    #[serde(default)]
    mode: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    global_id: String,
    #[serde(default)]
    primary: bool,
}

/// What an image is in its mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is in no mirror.
    Plain,
    Primary,
    /// Not primary: written to by rbd-mirror alone.
    Replica,
}

impl Image {
    /// The id that is the same on both clusters.
    pub(crate) fn global_id(&self) -> Option<&str> {
        let mirroring = self.mirroring.as_ref()?;
        let mirrored = mirroring.state != "disabled" && !mirroring.global_id.is_empty();
        mirrored.then_some(mirroring.global_id.as_str())
    }

    /// Whether it is being taken out of its mirror at this moment.
    pub(crate) fn is_leaving(&self) -> bool {
        let mirroring = self.mirroring.as_ref();
        mirroring.is_some_and(|mirroring| mirroring.state == "disabling")
    }

    pub(crate) fn role(&self) -> Role {
        match (self.global_id(), &self.mirroring) {
            (Some(_), Some(mirroring)) if mirroring.primary => Role::Primary,
            (Some(_), _) => Role::Replica,
            (None, _) => Role::Plain,
        }
    }

    /// Whether it is mirrored by its journal.
    pub(crate) fn is_journaled(&self) -> bool {
        self.mirroring
            .as_ref()
            .is_some_and(|mirroring| mirroring.mode == "journal")
    }

    pub(crate) fn has_feature(&self, feature: &str) -> bool {
        self.features.iter().any(|one| one == feature)
    }

    /// What tells it from all others: see `BackendObject::serial`.
    pub(crate) fn serial(&self) -> &str {
        self.global_id().unwrap_or(&self.id)
    }
}

/// `rbd snap ls`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) name: String,
    timestamp: String,
}

impl Snapshot {
    /// When this cluster made it: on the replica that is later than on the primary.
    pub(crate) fn made_at(&self) -> Option<DateTime<Utc>> {
        let parsed = NaiveDateTime::parse_from_str(&self.timestamp, "%a %b %e %H:%M:%S %Y");
        parsed.ok().map(|time| time.and_utc())
    }
}

/// `rbd status`.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) watchers: Vec<Watcher>,
}

/// Who has an image open for writing.
#[derive(Debug, Deserialize)]
pub(crate) struct Watcher {
    pub(crate) address: String,
    pub(crate) client: u64,
}

impl Watcher {
    /// As locks and watches name it.
    pub(crate) fn session(&self) -> String {
        format!("client.{}", self.client)
    }
}

impl fmt::Display for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.session(), self.address)
    }
}

/// A line of `rbd lock ls`.
#[derive(Debug, Deserialize)]
pub(crate) struct Lock {
    pub(crate) id: String,
    pub(crate) locker: String,
}

/// A line of `rbd diff`.
#[derive(Debug, Deserialize)]
pub(crate) struct Extent {
    pub(crate) length: u64,
}

/// `rbd mirror pool info`. Never asked with `--all`, which prints the peer's key.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PoolInfo {
    pub(crate) mode: String,
    #[serde(default)]
    pub(crate) peers: Vec<Peer>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Peer {
    #[serde(default)]
    pub(crate) direction: String,
    #[serde(default)]
    pub(crate) site_name: String,
}

/// `rbd mirror pool status --verbose`.
#[derive(Debug, Deserialize)]
pub(crate) struct PoolStatus {
    #[serde(default)]
    pub(crate) images: Vec<MirrorStatus>,
    #[serde(default)]
    pub(crate) summary: Summary,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Summary {
    #[serde(default)]
    pub(crate) daemon_health: String,
}

/// What rbd-mirror last said of an image: it may be 30 s old, and says nothing of whether the other side lives.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MirrorStatus {
    pub(crate) name: String,
    pub(crate) global_id: String,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) description: String,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    entries_behind_primary: Option<u64>,
}

impl MirrorStatus {
    pub(crate) fn is_split(&self) -> bool {
        self.state.ends_with("error") && self.description.starts_with("split-brain")
    }

    /// In words that follow "rbd-mirror says".
    pub(crate) fn in_words(&self) -> String {
        // Details are JSON within the sentence.
        match self.description.split_once(", {") {
            Some((word, details)) => {
                let details: Details =
                    serde_json::from_str(&format!("{{{details}")).unwrap_or_default();
                match details.entries_behind_primary {
                    Some(entries) => format!("{word}, {entries} journal entries behind"),
                    None => word.to_owned(),
                }
            }
            None => format!("{} {}", self.state, self.description),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: for<'a> Deserialize<'a>>(recorded: &str) -> T {
        serde_json::from_str(recorded).unwrap()
    }

    #[test]
    fn an_image_tells_its_role_and_what_it_is_known_by() {
        let plain: Image = read(include_str!("../tests/recorded/info-plain.json"));
        assert_eq!(plain.role(), Role::Plain);
        assert_eq!(plain.serial(), "107dffe5994d");
        assert!(!plain.has_feature("journaling") && plain.has_feature("exclusive-lock"));
        let primary: Image = read(include_str!("../tests/recorded/info-primary.json"));
        assert_eq!(primary.role(), Role::Primary);
        assert!(primary.is_journaled());
        let replica: Image = read(include_str!("../tests/recorded/info-secondary.json"));
        assert_eq!(replica.role(), Role::Replica);
        assert_eq!(replica.serial(), "137de92c-c10b-4f09-b0bf-66bbd0b13fcb");
        assert_eq!(replica.serial(), primary.serial());
        assert_ne!(replica.id, primary.id);
    }

    #[test]
    fn a_clone_of_a_mirrored_image_is_not_mirrored() {
        let clone: Image = read(include_str!("../tests/recorded/info-clone.json"));
        assert_eq!(clone.role(), Role::Plain);
        assert_eq!(clone.serial(), "1045179c0edd");
        let parent = clone.parent.unwrap();
        assert_eq!(
            (parent.overlap, parent.pool.as_str()),
            (64 << 20, "volumes")
        );
    }

    #[test]
    fn all_images_of_a_pool_are_told_at_once() {
        let status: PoolStatus = read(include_str!("../tests/recorded/pool-status.json"));
        let [image] = status.images.as_slice() else {
            panic!("{status:?}");
        };
        assert_eq!(image.global_id, "137de92c-c10b-4f09-b0bf-66bbd0b13fcb");
        assert_eq!(image.in_words(), "replaying, 3 journal entries behind");
        assert!(!image.is_split());
        // Cinder's client may not ask the manager.
        assert_eq!(status.summary.daemon_health, "UNKNOWN");
    }

    #[test]
    fn times_are_read_as_utc() {
        let snapshots: Vec<Snapshot> = read(include_str!("../tests/recorded/snaps.json"));
        assert_eq!(snapshots[0].name, "dr-op-1");
        let made_at = snapshots[0].made_at().unwrap();
        assert_eq!(made_at.to_rfc3339(), "2026-11-29T18:22:02+00:00");
    }

    #[test]
    fn locks_watchers_and_peers_are_read() {
        let locks: Vec<Lock> = read(include_str!("../tests/recorded/locks-secondary.json"));
        assert_eq!(locks[0].id, "auto 93926574723456");
        assert_eq!(locks[0].locker, "client.4128");
        let replica: Status = read(include_str!("../tests/recorded/watchers-secondary.json"));
        assert_eq!(replica.watchers[0].client, 4128);
        let primary: Status = read(include_str!("../tests/recorded/watchers-primary.json"));
        assert!(
            primary.watchers.is_empty(),
            "rbd-mirror is none of a primary"
        );
        let pool: PoolInfo = read(include_str!("../tests/recorded/pool-info.json"));
        assert_eq!((pool.mode.as_str(), pool.peers.len()), ("image", 1));
        assert_eq!(pool.peers[0].direction, "rx-tx");
    }
}
