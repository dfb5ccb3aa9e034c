//! What is noted of images in their pool: the object `protector`, each note a key of its omap.
//!
//! A note is written before what it is about is done, so that nothing of ours lies in a pool and could not be told from
//! somebody else's. Each is written whole; two engines that do the same thing for one operation write the same.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protector_core::{id::OperationId, storage::StorageError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{cluster::Cluster, dump::keys_and_values, image::Image, program::Failure};

const OBJECT: &str = "protector";
/// How often a note is read that was not there and then was.
const READINGS: usize = 3;

/// `volume.<volume>`, on both sides: the image of a volume whose name says another one by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeNote {
    pub(crate) group: String,
    pub(crate) global_id: String,
    /// The name by which the source's Cinder knows it.
    pub(crate) cinder_name: String,
    /// The image's own id on this side, once it is there. A resync gives it another one; once its mirror has ended it is
    /// the only way to it.
    #[serde(default)]
    pub(crate) image: Option<String>,
}

/// `point.<operation>.<volume>`, on the target, written when the target has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PointNote {
    pub(crate) group: String,
    pub(crate) global_id: String,
    /// The target's image, which has all that the point has: one that was made anew since need not.
    pub(crate) image: String,
    pub(crate) taken_at: DateTime<Utc>,
    /// Its snapshot is being removed.
    #[serde(default)]
    pub(crate) dropped: bool,
}

impl PointNote {
    /// Whether the target's `image` has the point.
    pub(crate) fn is_in(&self, image: &Image) -> bool {
        !self.dropped && self.image == image.id && image.global_id() == Some(&self.global_id)
    }
}

/// `promoted.<global id>`, on the target: the last operation that promoted the image there, or is about to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PromotedNote {
    pub(crate) operation: String,
    /// Without the source's consent.
    pub(crate) forced: bool,
    /// The image that is promoted: one that was made anew since is not.
    pub(crate) image: String,
    /// The sessions that had the image's lock before a forced promotion began.
    #[serde(default)]
    pub(crate) lockers: Vec<String>,
    /// The snapshot with which it began to be written to, if it was promoted by force.
    #[serde(default)]
    pub(crate) since: Option<String>,
    /// The promotion was seen to be done: none of its programs is at work any more.
    #[serde(default)]
    pub(crate) ended: bool,
    /// It holds what its source never had, and becomes its replica again by a new copy only.
    #[serde(default)]
    pub(crate) diverged: bool,
    /// The other side has been made its replica since, and has all that was promoted.
    #[serde(default)]
    pub(crate) followed: bool,
}

impl PromotedNote {
    /// Whether the other side cannot follow `image` as it is: that was promoted without its consent, and the other side has
    /// not been copied anew since.
    pub(crate) fn has_left_the_other_side(&self, image: &Image) -> bool {
        self.forced && !self.followed && self.image == image.id
    }
}

/// `clone.<operation>.<volume>`, on the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CloneNote {
    pub(crate) group: String,
    /// The recovery point of which it is a clone, and the other clones of its operation are.
    pub(crate) point: String,
    /// The clone's image id, once it is known.
    pub(crate) image: Option<String>,
}

/// `resync.<global id>`, on the side that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResyncNote {
    pub(crate) operation: String,
    /// The image whose bytes are thrown away.
    pub(crate) image: String,
}

pub(crate) fn volume_key(volume: &str) -> String {
    format!("volume.{volume}")
}

pub(crate) fn point_key(operation: &OperationId, volume: &str) -> String {
    format!("point.{operation}.{volume}")
}

pub(crate) fn promoted_key(global_id: &str) -> String {
    format!("promoted.{global_id}")
}

pub(crate) fn clone_key(operation: &OperationId, volume: &str) -> String {
    format!("clone.{operation}.{volume}")
}

pub(crate) fn resync_key(global_id: &str) -> String {
    format!("resync.{global_id}")
}

/// All notes of a pool, as they were at one moment.
pub(crate) struct Notes<'a> {
    of: &'a Cluster,
    all: BTreeMap<String, Vec<u8>>,
}

impl Notes<'_> {
    /// The note `key`, if it is there.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StorageError> {
        let value = self.all.get(key);
        value.map(|value| self.of.read_note(key, value)).transpose()
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.all.contains_key(key)
    }

    /// The notes whose key begins with `prefix`, with the rest of their keys.
    pub(crate) fn of<T: DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, T)>, StorageError> {
        let mut found = Vec::new();
        for (key, value) in &self.all {
            if let Some(rest) = key.strip_prefix(prefix) {
                found.push((rest.to_owned(), self.of.read_note(key, value)?));
            }
        }
        Ok(found)
    }
}

impl Cluster {
    /// The note `key`. That there is none is believed only of a list that the cluster gave.
    pub(crate) async fn note<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<T>, StorageError> {
        let mut failure = None;
        // Another engine may write it between the two questions.
        for _ in 0..READINGS {
            match self
                .rados(&["getomapval", OBJECT, key, "/dev/stdout"])
                .await
            {
                Ok(value) => return self.read_note(key, &value).map(Some),
                Err(failed) => failure = Some(failed),
            }
            if !self.keys().await?.iter().any(|known| known == key) {
                return Ok(None);
            }
        }
        match failure {
            Some(failure) => Err(self.rados_failed(failure).await),
            None => Ok(None),
        }
    }

    fn read_note<T: DeserializeOwned>(&self, key: &str, value: &[u8]) -> Result<T, StorageError> {
        serde_json::from_slice(value).map_err(|error| self.unreadable(key, error))
    }

    /// A missing object and a cluster that does not answer look the same, so the object is made first.
    async fn see_catalogue(&self) -> Result<(), StorageError> {
        let made = self.catalogue_made.get_or_try_init(|| async {
            let made = self.rados(&["setomapheader", OBJECT, "protector"]).await;
            self.done_by_rados(made).await.map(drop)
        });
        made.await.copied()
    }

    /// Sees that there is a catalogue that can be read.
    pub(crate) async fn keys(&self) -> Result<Vec<String>, StorageError> {
        self.see_catalogue().await?;
        let keys = self.rados(&["listomapkeys", OBJECT]).await;
        let keys = self.done_by_rados(keys).await?;
        let keys = String::from_utf8_lossy(&keys);
        Ok(keys.lines().map(str::to_owned).collect())
    }

    /// All notes of the pool: for what would else ask for many.
    pub(crate) async fn notes(&self) -> Result<Notes<'_>, StorageError> {
        self.see_catalogue().await?;
        let printed = self.rados(&["listomapvals", OBJECT]).await;
        let printed = self.done_by_rados(printed).await?;
        let all = keys_and_values(&String::from_utf8_lossy(&printed));
        let all = all.ok_or_else(|| self.unreadable("list", "no dump"))?;
        Ok(Notes {
            of: self,
            all: all.into_iter().collect(),
        })
    }

    /// Notes of a promoted `image` that the other side has all of it, so that it never is the one that is copied anew for that
    /// promotion.
    pub(crate) async fn promotion_is_followed(&self, image: &Image) -> Result<(), StorageError> {
        let key = promoted_key(image.serial());
        let note: Option<PromotedNote> = self.note(&key).await?;
        match note {
            Some(note)
                if note.image == image.id
                    && (note.diverged || note.has_left_the_other_side(image)) =>
            {
                let note = PromotedNote {
                    diverged: false,
                    followed: true,
                    ..note
                };
                self.write_note(&key, &note).await
            }
            _ => Ok(()),
        }
    }

    fn unreadable(&self, key: &str, error: impl std::fmt::Display) -> StorageError {
        self.refused(format!(
            "note {key} of object {OBJECT} in pool {} cannot be read ({error}); it was written by another version of \
             protector",
            self.array.pool
        ))
    }

    pub(crate) async fn write_note(
        &self,
        key: &str,
        note: &impl Serialize,
    ) -> Result<(), StorageError> {
        let value = serde_json::to_string(note).map_err(|error| self.refused(error))?;
        let written = self.rados(&["setomapval", OBJECT, key, &value]).await;
        self.done_by_rados(written).await.map(drop)
    }

    /// Removes the note `key`; fine if it is gone.
    pub(crate) async fn remove_note(&self, key: &str) -> Result<(), StorageError> {
        self.see_catalogue().await?;
        let removed = self.rados(&["rmomapkey", OBJECT, key]).await;
        self.done_by_rados(removed).await.map(drop)
    }

    async fn done_by_rados(&self, done: Result<Vec<u8>, Failure>) -> Result<Vec<u8>, StorageError> {
        match done {
            Ok(printed) => Ok(printed),
            Err(failure) => Err(self.rados_failed(failure).await),
        }
    }

    /// `rados` ends with 1 whatever went wrong: what it is, `rbd` says. If that finds nothing, it has passed.
    async fn rados_failed(&self, failure: Failure) -> StorageError {
        match self.pool_info().await {
            Err(error) => error,
            Ok(_) => StorageError::unavailable(&self.array.name, failure.message),
        }
    }
}

#[cfg(test)]
impl<'a> Notes<'a> {
    pub(crate) fn of_test(of: &'a Cluster, notes: &[(&str, serde_json::Value)]) -> Self {
        let all = notes.iter().map(|(key, note)| {
            let value = note.to_string().into_bytes();
            ((*key).to_owned(), value)
        });
        Self {
            of,
            all: all.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use protector_core::storage::StorageErrorKind;

    use super::*;
    use crate::fake::{Fake, POOL};

    const NOTE: &str = r#"{"operation":"op-1","image":"1"}"#;

    #[tokio::test]
    async fn a_note_that_comes_between_two_questions_is_read() {
        let rados = format!(
            r#"case "$*" in
            *getomapval*) [ -e $here/asked ] && {{ printf '%s' '{NOTE}'; exit 0; }}; touch $here/asked; exit 1;;
            *listomapkeys*) echo resync.x;;
            esac"#
        );
        let fake = Fake::new(POOL, &rados);
        let note: Option<ResyncNote> = fake.cluster.note("resync.x").await.unwrap();
        assert_eq!(note.unwrap().operation, "op-1");
    }

    #[tokio::test]
    async fn what_rados_does_not_tell_is_asked_of_rbd() {
        let rados = r#"case "$*" in *listomapkeys*) echo resync.x;; *getomapval*) exit 1;; esac"#;
        let kind = async |rbd: &str, rados: &str| {
            let fake = Fake::new(rbd, rados);
            let note = fake.cluster.note::<ResyncNote>("resync.x").await;
            note.unwrap_err().kind
        };
        assert_eq!(kind(POOL, rados).await, StorageErrorKind::Unavailable);
        assert_eq!(
            kind("exit 13", "exit 1").await,
            StorageErrorKind::Credentials
        );
        assert_eq!(
            kind("exit 110", "exit 1").await,
            StorageErrorKind::Unavailable
        );
        assert_eq!(
            kind("exit 2", "exit 1").await,
            StorageErrorKind::Misconfigured
        );
    }

    #[tokio::test]
    async fn a_note_that_is_not_there_is_none() {
        let rados = r#"case "$*" in *getomapval*) exit 1;; esac"#;
        let fake = Fake::new(POOL, rados);
        let note: Option<ResyncNote> = fake.cluster.note("resync.x").await.unwrap();
        assert_eq!(note, None);
    }
}
