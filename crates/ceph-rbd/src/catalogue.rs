//! What is noted of images in their pool: the object `protector`, each note a key of its omap.
//!
//! A note is written before what it is about is done, so that nothing of ours lies in a pool and could not be told from
//! somebody else's. Each is written whole; two engines that do the same thing for one operation write the same.

use chrono::{DateTime, Utc};
use protector_core::{id::OperationId, storage::StorageError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{cluster::Cluster, dump::keys_and_values};

const OBJECT: &str = "protector";

/// `volume.<volume>`, on both sides: the image of a volume whose name says another one by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeNote {
    pub(crate) group: String,
    pub(crate) global_id: String,
    /// The name by which the source's Cinder knows it.
    pub(crate) cinder_name: String,
    /// The image's own id on this side, written when the mirror is about to be ended.
    #[serde(default)]
    pub(crate) image: Option<String>,
}

/// `point.<operation>.<volume>`, on the target, written when the target has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PointNote {
    pub(crate) group: String,
    pub(crate) global_id: String,
    pub(crate) taken_at: DateTime<Utc>,
}

/// `promoted.<global id>`, on the target: the last operation that promoted the image there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PromotedNote {
    pub(crate) operation: String,
    /// Without the source's consent.
    pub(crate) forced: bool,
}

/// `clone.<operation>.<volume>`, on the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CloneNote {
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

impl Cluster {
    /// The note `key`. That there is none is believed only of a list that the cluster gave.
    pub(crate) async fn note<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<T>, StorageError> {
        // `rados` has one exit code for all that goes wrong.
        let value = self
            .rados(&["getomapval", OBJECT, key, "/dev/stdout"])
            .await;
        let value = match value {
            Ok(value) => value,
            Err(failure) => {
                if self.notes().await?.iter().any(|known| known == key) {
                    return Err(failure.on(&self.array.name));
                }
                return Ok(None);
            }
        };
        let note = serde_json::from_slice(&value);
        note.map(Some).map_err(|error| self.unreadable(key, error))
    }

    /// A missing object and a cluster that does not answer look the same, so the object is made first.
    async fn see_catalogue(&self) -> Result<(), StorageError> {
        self.catalogue_made
            .get_or_try_init(|| async {
                let made = self.rados(&["setomapheader", OBJECT, "protector"]).await;
                match made {
                    Ok(_) => Ok(()),
                    Err(failure) => {
                        self.pool_info().await?;
                        Err(failure.on(&self.array.name).with_unknown_cause())
                    }
                }
            })
            .await
            .copied()
    }

    /// The keys of all notes.
    pub(crate) async fn notes(&self) -> Result<Vec<String>, StorageError> {
        self.see_catalogue().await?;
        let keys = self.rados(&["listomapkeys", OBJECT]).await;
        let keys = keys.map_err(|failure| failure.on(&self.array.name).with_unknown_cause())?;
        let keys = String::from_utf8_lossy(&keys);
        Ok(keys.lines().map(str::to_owned).collect())
    }

    /// All notes whose key begins with `prefix`, with the rest of their keys.
    pub(crate) async fn notes_of<T: DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, T)>, StorageError> {
        self.see_catalogue().await?;
        let printed = self.rados(&["listomapvals", OBJECT]).await;
        let printed =
            printed.map_err(|failure| failure.on(&self.array.name).with_unknown_cause())?;
        let all = keys_and_values(&String::from_utf8_lossy(&printed));
        let mut found = Vec::new();
        for (key, value) in all.ok_or_else(|| self.unreadable("its list", "no dump"))? {
            if let Some(rest) = key.strip_prefix(prefix) {
                let note = serde_json::from_slice(&value);
                let note = note.map_err(|error| self.unreadable(&key, error))?;
                found.push((rest.to_owned(), note));
            }
        }
        Ok(found)
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
        match written {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.on(&self.array.name).with_unknown_cause()),
        }
    }

    /// Removes the note `key`, if it is there.
    pub(crate) async fn remove_note(&self, key: &str) -> Result<(), StorageError> {
        if !self.notes().await?.iter().any(|known| known == key) {
            return Ok(());
        }
        match self.rados(&["rmomapkey", OBJECT, key]).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.on(&self.array.name).with_unknown_cause()),
        }
    }
}

/// `rados` ends with 1 whatever went wrong: that is no statement about rights.
trait OfRados {
    fn with_unknown_cause(self) -> Self;
}

impl OfRados for StorageError {
    fn with_unknown_cause(self) -> Self {
        use protector_core::storage::StorageErrorKind;
        match self.kind {
            StorageErrorKind::Credentials => Self::unavailable(self.array, self.message),
            _ => self,
        }
    }
}
