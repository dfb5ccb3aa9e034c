//! Hex dumps, which is how Ceph's programs print what is no text.

/// The bytes of a hex dump: an address, up to sixteen bytes, and the same as text after `|`.
pub(crate) fn bytes(dump: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in dump.lines() {
        let numbers = line.split('|').next().unwrap_or_default();
        for number in numbers.split_whitespace().skip(1) {
            bytes.push(u8::from_str_radix(number, 16).ok()?);
        }
    }
    Some(bytes)
}

/// What `rados listomapvals` prints: each key on a line of its own, how long its value is, the value as a hex dump, and an
/// empty line.
pub(crate) fn keys_and_values(printed: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut lines = printed.lines();
    while let Some(key) = lines.next() {
        let length = lines.next()?.strip_prefix("value (")?;
        let length: usize = length.split(' ').next()?.parse().ok()?;
        let dump: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let value = bytes(&dump.join("\n"))?;
        if value.len() != length {
            return None;
        }
        found.push((key.to_owned(), value));
    }
    Some(found)
}

/// A text as Ceph keeps it: its length in four bytes, and itself.
pub(crate) fn sized_text(bytes: &[u8]) -> Option<String> {
    let (length, text) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let text = text.get(..length).filter(|_| text.len() == length)?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_notes_are_read_at_once() {
        let recorded = include_str!("../tests/recorded/notes.txt");
        let notes = keys_and_values(recorded).unwrap();
        let keys: Vec<&str> = notes.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["point.op-1.one", "volume.one"]);
        let value: serde_json::Value = serde_json::from_slice(&notes[1].1).unwrap();
        assert_eq!(value["cinder_name"], "volume-one");
    }

    #[test]
    fn a_text_is_read_whole_or_not_at_all() {
        let recorded = b"\x0c\x00\x00\x0010768e4e612a";
        assert_eq!(sized_text(recorded).as_deref(), Some("10768e4e612a"));
        assert_eq!(sized_text(&recorded[..10]), None);
        assert_eq!(sized_text(b"\x0c"), None);
        assert_eq!(sized_text(b"\x01\x00\x00\x00ab"), None);
    }

    #[test]
    fn a_dump_that_is_cut_off_is_not_believed() {
        let recorded = include_str!("../tests/recorded/notes.txt");
        let cut = recorded.replacen("00000010", "|", 1);
        assert!(keys_and_values(&cut).is_none());
        assert!(keys_and_values("a key alone\n").is_none());
    }
}
