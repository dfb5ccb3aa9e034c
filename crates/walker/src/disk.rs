//! What stands on a disk: which one it is, and the newest write of each server that has written to it.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The contents of a volume's object. A copy has those of its original at the moment in which it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// What stood there before anybody wrote: no two disks begin with the same bytes.
    pub disk: String,
    /// The number of the newest write of each server.
    pub writes: BTreeMap<String, u64>,
}

impl Contents {
    /// Reads them.
    pub fn read(bytes: &Bytes) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let disk = lines.next().unwrap_or_default().to_owned();
        let writes = lines
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(server, number)| Some((server.to_owned(), number.parse().ok()?)))
            .collect();
        Self { disk, writes }
    }

    /// The bytes that say so.
    pub fn bytes(&self) -> Bytes {
        let mut text = self.disk.clone();
        for (server, number) in &self.writes {
            text.push_str(&format!("\n{server} {number}"));
        }
        Bytes::from(text)
    }

    /// Whether everything that `server` has written to that disk up to `number` stands here.
    pub fn has(&self, disk: &str, server: &str, number: u64) -> bool {
        self.disk == disk && self.writes.get(server).is_some_and(|last| *last >= number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut contents = Contents::read(&Bytes::from_static(b"bytes of volume-1"));
        assert!(!contents.has("bytes of volume-1", "s", 1));
        contents.writes.insert("s".into(), 7);
        let read = Contents::read(&contents.bytes());
        assert_eq!(read, contents);
        assert!(read.has("bytes of volume-1", "s", 7));
        assert!(!read.has("bytes of volume-1", "s", 8));
        assert!(!read.has("bytes of volume-2", "s", 7));
    }
}
