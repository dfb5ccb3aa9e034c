//! The marks on everything that an operation makes: by them, and by ids, resources are found again. Never by name.

use std::collections::BTreeMap;

/// Metadata key: the operation that made the resource.
pub const OPERATION: &str = "protector:operation";

/// Metadata key: the id of the resource on the source that this one is the copy of.
pub const SOURCE: &str = "protector:source";

/// Metadata key on a test failover's copy of a server, beside the others: the same operation.
pub const TEST: &str = "protector:test";

/// Metadata key on a copy of a server: the id of the first server that a move has ever copied it from. Over all moves it stays
/// the same, so that each life of a machine knows every other.
pub const ORIGIN: &str = "protector:origin";

/// The first life of the machine whose server has this metadata; `None` where it is that itself. Copies that were made before
/// [`ORIGIN`] was know the one that they were made from.
pub fn origin(metadata: &BTreeMap<String, String>) -> Option<&str> {
    let first = metadata.get(ORIGIN).or_else(|| metadata.get(SOURCE));
    first.map(String::as_str)
}

/// How many items of metadata the copy of a server with this metadata has: the server's own, and the marks.
pub fn items_of_copy(own: &BTreeMap<String, String>) -> usize {
    const MARKS: [&str; 3] = [OPERATION, SOURCE, ORIGIN];
    let is_a_mark = |key: &str| key == TEST || MARKS.contains(&key);
    MARKS.len() + own.keys().filter(|key| !is_a_mark(key)).count()
}

/// The way on where a server of `site` bears the marks of a copy and is none: anybody can copy metadata.
pub fn take_off(site: &str, server: &str) -> String {
    take_off_that(SOURCE, site, server)
}

/// The same of one mark, by its key.
pub fn take_off_that(mark: &str, site: &str, server: &str) -> String {
    format!(
        "if it is no copy, 'openstack --os-cloud {site} server unset --property {mark} {server}' takes the mark off"
    )
}
