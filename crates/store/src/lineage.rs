//! How what two sites hold of a group is related: the same, one made from the other, or changed on both.
//!
//! Each site remembers its *base*: the last state that it knows both to have held. A site that has not changed the group
//! since, and one whose state is the other's base, has nothing that the other does not know. If neither holds, both were
//! changed apart. That is a conflict: nobody but a person can say which of the two counts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A state of a group's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataState {
    /// Grows with each change.
    pub version: u64,
    /// What it says, in one word: see [`MetadataDocument::digest`](crate::MetadataDocument::digest).
    pub digest: String,
}

/// The last state that both sites are known to have held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedState {
    pub version: u64,
    /// What it said; unknown where it dates from before this was kept.
    pub digest: Option<String>,
}

impl From<MetadataState> for AgreedState {
    fn from(mark: MetadataState) -> Self {
        Self {
            version: mark.version,
            digest: Some(mark.digest),
        }
    }
}

/// A site's side: what it holds, and the last state that it knows both to have held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteState {
    pub now: MetadataState,
    /// What both held; `None` when they never agreed.
    pub base: Option<AgreedState>,
}

impl SiteState {
    /// Whether nothing was changed here since both agreed. A change raises the version; one that leaves the digest as it
    /// was (a replication) changes nothing that could be lost.
    fn is_unchanged(&self) -> bool {
        self.base.as_ref().is_some_and(|base| {
            base.version == self.now.version || base.digest.as_ref() == Some(&self.now.digest)
        })
    }

    /// Whether `other` is what this side knows both to have held.
    fn came_from(&self, other: &MetadataState) -> bool {
        self.base.as_ref().is_some_and(|base| match &base.digest {
            Some(digest) => *digest == other.digest,
            None => base.version == other.version,
        })
    }

    /// Whether `other` is from before the two last agreed. As a message it was overtaken on its way; as the present
    /// state of the other site it means that its database was restored from an old copy.
    pub fn has_passed(&self, other: &MetadataState) -> bool {
        self.base
            .as_ref()
            .is_some_and(|base| other.version < base.version)
    }
}

/// How two sides are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lineage {
    /// They say the same.
    Same,
    /// The other side's was made from what is here.
    NewerAtPeer,
    /// What is here was made from the other side's.
    NewerHere,
    /// Both were changed since they last agreed.
    Conflict,
}

/// How what the other site holds now is related to what is held here now.
pub fn lineage(ours: &SiteState, theirs: &SiteState) -> Lineage {
    if ours.now.digest == theirs.now.digest {
        return Lineage::Same;
    }
    let restored_and_changed = (ours.has_passed(&theirs.now) && !theirs.is_unchanged())
        || (theirs.has_passed(&ours.now) && !ours.is_unchanged());
    if restored_and_changed {
        return Lineage::Conflict;
    }
    let theirs_has_ours = ours.is_unchanged() || theirs.came_from(&ours.now);
    let ours_has_theirs = theirs.is_unchanged() || ours.came_from(&theirs.now);
    match (theirs_has_ours, ours_has_theirs) {
        (true, false) => Lineage::NewerAtPeer,
        (false, true) => Lineage::NewerHere,
        // One of them was restored from an old copy of its database: the higher version is the later one.
        (true, true) if theirs.now.version > ours.now.version => Lineage::NewerAtPeer,
        (true, true) if theirs.now.version < ours.now.version => Lineage::NewerHere,
        _ => Lineage::Conflict,
    }
}

/// What a site holds of a group, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatedState {
    #[serde(flatten)]
    pub mark: MetadataState,
    /// When it was last changed there.
    pub changed_at: DateTime<Utc>,
}

/// A group that was changed on both sites since they last agreed. It stays until a person says which counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What this site held when it was found.
    pub local: DatedState,
    /// What the other one held.
    pub remote: DatedState,
    /// When it was found first.
    pub detected_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(version: u64, digest: &str) -> MetadataState {
        MetadataState {
            version,
            digest: digest.to_owned(),
        }
    }

    fn side(now: (u64, &str), base: Option<(u64, &str)>) -> SiteState {
        SiteState {
            now: mark(now.0, now.1),
            base: base.map(|(version, digest)| mark(version, digest).into()),
        }
    }

    #[test]
    fn of_one_line_the_changed_side_is_newer() {
        let old = side((5, "e"), Some((5, "e")));
        let new = side((7, "g"), Some((5, "e")));
        assert_eq!(lineage(&old, &new), Lineage::NewerAtPeer);
        assert_eq!(lineage(&new, &old), Lineage::NewerHere);
        assert_eq!(lineage(&old, &old), Lineage::Same);
    }

    #[test]
    fn what_both_changed_is_a_conflict_whichever_version_is_higher() {
        let ours = side((6, "a"), Some((5, "e")));
        for version in [6, 7, 60] {
            let theirs = side((version, "b"), Some((5, "e")));
            assert_eq!(lineage(&ours, &theirs), Lineage::Conflict);
            assert_eq!(lineage(&theirs, &ours), Lineage::Conflict);
        }
        let never_agreed = side((1, "x"), None);
        assert_eq!(lineage(&ours, &never_agreed), Lineage::Conflict);
    }

    #[test]
    fn the_same_change_on_both_sides_is_no_conflict() {
        let ours = side((6, "f"), Some((5, "e")));
        let theirs = side((9, "f"), Some((5, "e")));
        assert_eq!(lineage(&ours, &theirs), Lineage::Same);
    }

    #[test]
    fn a_replication_alone_changes_nothing_that_could_be_lost() {
        let replicated = side((8, "e"), Some((5, "e")));
        let failed_over = side((7, "g"), Some((5, "e")));
        assert_eq!(lineage(&replicated, &failed_over), Lineage::NewerAtPeer);
        assert_eq!(lineage(&failed_over, &replicated), Lineage::NewerHere);
    }

    #[test]
    fn an_answer_that_was_lost_does_not_make_a_conflict() {
        // They took over our 6, we never heard of it, and both went on from there, one at a time.
        let taken = side((6, "f"), Some((6, "f")));
        let ours = side((7, "g"), Some((5, "e")));
        assert_eq!(lineage(&taken, &ours), Lineage::NewerAtPeer);
        let sender = side((6, "f"), Some((5, "e")));
        let went_on = side((7, "h"), Some((6, "f")));
        assert_eq!(lineage(&sender, &went_on), Lineage::NewerAtPeer);
        // Both went on at once: that is one.
        assert_eq!(lineage(&ours, &went_on), Lineage::Conflict);
    }

    #[test]
    fn what_is_from_before_the_two_agreed_has_been_passed() {
        let ours = side((9, "i"), Some((8, "h")));
        assert!(ours.has_passed(&mark(7, "g")));
        assert!(!ours.has_passed(&mark(8, "h")));
    }

    #[test]
    fn a_site_that_was_restored_from_a_backup_is_older() {
        let restored = side((5, "e"), Some((5, "e")));
        let ours = side((8, "h"), Some((8, "h")));
        assert_eq!(lineage(&ours, &restored), Lineage::NewerHere);
        assert_eq!(lineage(&restored, &ours), Lineage::NewerAtPeer);
    }

    #[test]
    fn a_site_that_was_restored_and_changed_since_is_in_conflict() {
        let restored = side((6, "x"), Some((5, "e")));
        let ours = side((8, "h"), Some((8, "h")));
        assert_eq!(lineage(&ours, &restored), Lineage::Conflict);
        assert_eq!(lineage(&restored, &ours), Lineage::Conflict);
    }

    #[test]
    fn a_base_without_a_digest_counts_by_its_version() {
        let old = |now: (u64, &str), version| SiteState {
            now: mark(now.0, now.1),
            base: Some(AgreedState {
                version,
                digest: None,
            }),
        };
        assert_eq!(
            lineage(&old((5, "e"), 5), &old((6, "f"), 5)),
            Lineage::NewerAtPeer
        );
        assert_eq!(
            lineage(&old((6, "g"), 5), &old((6, "f"), 5)),
            Lineage::Conflict
        );
    }
}
