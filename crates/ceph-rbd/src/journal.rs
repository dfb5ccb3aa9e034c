//! How far a replica is with its primary's journal.

use serde::Deserialize;

use crate::dump::bytes;

/// `rbd journal status` of a primary.
#[derive(Debug, Deserialize)]
pub(crate) struct Journal {
    registered_clients: Vec<Client>,
}

#[derive(Debug, Deserialize)]
struct Client {
    /// Empty for the primary itself.
    id: String,
    /// What the client keeps there, as a hex dump.
    data: String,
    commit_position: Position,
}

#[derive(Debug, Deserialize)]
struct Position {
    #[serde(default)]
    object_positions: Vec<serde_json::Value>,
}

/// What rbd-mirror keeps in the journal of a primary about its copy.
#[derive(Debug, PartialEq, Eq)]
struct Copy {
    image: String,
    /// Else the first full copy is still under way.
    replays: bool,
    /// How many objects of it are there.
    objects: u64,
}

impl Journal {
    /// Whether the image with this id on the other cluster has had its first full copy and replays what is written.
    ///
    /// rbd-mirror's status says so too, up to 30 s late, and also of an image that it has removed since.
    pub(crate) fn is_replayed_to(&self, image: &str) -> bool {
        self.registered_clients.iter().any(|client| {
            !client.id.is_empty()
                && !client.commit_position.object_positions.is_empty()
                && copy(&client.data).is_some_and(|copy| copy.replays && copy.image == image)
        })
    }

    /// How far the primary itself has written, as a text that is another one once it has written more. It lags behind what is
    /// being written, and is exact once nobody has the image open.
    pub(crate) fn written_to(&self) -> String {
        let mut clients = self.registered_clients.iter();
        let own = clients.find(|client| client.id.is_empty());
        let position = own.map(|client| &client.commit_position.object_positions);
        serde_json::to_string(&position).unwrap_or_default()
    }

    /// How many objects of the first full copy are there, if the image with this id is being copied. Brought up to date
    /// every half minute.
    pub(crate) fn objects_copied_to(&self, image: &str) -> Option<u64> {
        let copies = self.registered_clients.iter();
        let mut copies = copies.filter_map(|client| copy(&client.data));
        let copy = copies.find(|copy| copy.image == image && !copy.replays)?;
        Some(copy.objects)
    }
}

/// Ceph's `MirrorPeerClientMeta`: version, compatibility, length, type 1, image id, state (0 syncing, 1 replaying), how
/// many objects were copied.
fn copy(dump: &str) -> Option<Copy> {
    let bytes = bytes(dump)?;
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(four.try_into().ok()?))
    };
    if number(6)? != 1 {
        return None;
    }
    let length = usize::try_from(number(10)?).ok()?;
    let end = 14_usize.checked_add(length)?;
    let image = String::from_utf8(bytes.get(14..end)?.to_vec()).ok()?;
    let objects = bytes.get(end + 4..end + 12)?;
    Some(Copy {
        image,
        replays: number(end)? == 1,
        objects: u64::from_le_bytes(objects.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(recorded: &str) -> Journal {
        serde_json::from_str(recorded).unwrap()
    }

    #[test]
    fn a_copy_that_replays_is_told_from_one_that_has_not_begun() {
        let replaying = read(include_str!("../tests/recorded/journal-replaying.json"));
        assert!(replaying.is_replayed_to("1020495af6d9"));
        assert!(!replaying.is_replayed_to("107dffe5994d"), "another image");
        let syncing = read(include_str!("../tests/recorded/journal-syncing.json"));
        assert!(!syncing.is_replayed_to("1020495af6d9"));
    }

    #[test]
    fn a_first_copy_tells_how_far_it_is() {
        let copying = read(include_str!("../tests/recorded/journal-copying.json"));
        assert_eq!(copying.objects_copied_to("1076d36f29ec"), Some(126));
        assert_eq!(copying.objects_copied_to("107dffe5994d"), None);
        let replaying = read(include_str!("../tests/recorded/journal-replaying.json"));
        assert_eq!(replaying.objects_copied_to("1020495af6d9"), None);
    }

    #[test]
    fn what_cannot_be_read_is_not_believed() {
        let recorded = include_str!("../tests/recorded/journal-replaying.json");
        for (from, to) in [
            ("39 01 00 00 00 10", "39 00 00 00 00 10"),
            ("00000000  02 01 38", "00000000  02 01"),
            ("00000000  02 01 38", "zz"),
        ] {
            // The id's digits are the end of the line before, in the recorded dump.
            let broken = recorded.replace(from, to);
            assert_ne!(broken, recorded, "{from}");
            assert!(!read(&broken).is_replayed_to("1020495af6d9"), "{to}");
        }
    }
}
