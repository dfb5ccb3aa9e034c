//! The marks on everything that an operation makes: by them, and by ids, resources are found again. Never by name.

use std::collections::BTreeMap;

use crate::id::{MemberId, OperationId};

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

/// How the mark in a port's description begins. Neutron has no metadata, and a description is there from a port's first moment.
pub const PORT: &str = "(protector:";

/// What Neutron keeps of a description.
const LONGEST_DESCRIPTION: usize = 255;

/// The description of the port that `maker` makes for the network card `index` of `member`: that of the original, as much of it
/// as fits, and the mark.
pub fn port_description(own: &str, member: &MemberId, maker: &OperationId, index: usize) -> String {
    let number = match index {
        0 => String::new(),
        more => format!(":{more}"),
    };
    let mark = format!("{PORT}{member}:{maker}{number})");
    if own.is_empty() {
        return mark;
    }
    let room = LONGEST_DESCRIPTION.saturating_sub(mark.chars().count() + 1);
    let kept: String = own.chars().take(room).collect();
    format!("{kept} {mark}")
}

/// The description of a marked port with `maker` in place of the operation that is named there; `None` if it has no mark.
pub fn port_description_of(description: &str, maker: &OperationId) -> Option<String> {
    let (own, mark) = port_mark(description)?;
    let mut parts = mark.split(':');
    let member = MemberId::from(parts.next()?);
    let index = parts.nth(1).and_then(|number| number.parse().ok());
    Some(port_description(
        own,
        &member,
        maker,
        index.unwrap_or_default(),
    ))
}

/// A port's description without a mark of ours.
pub fn own_description(description: &str) -> &str {
    match port_mark(description) {
        Some((own, _)) => own,
        None => description,
    }
}

/// The description of the floating IP that a move takes from an outer network for `member`'s floating IP `number`. It names
/// no operation: the next move to that site takes the same one.
pub fn floating_ip_description(member: &MemberId, number: usize) -> String {
    format!("{PORT}{member}:floating:{number})")
}

/// Whether a floating IP with this description was taken from an outer network for a member: the next move to its site looks for
/// it by that.
pub fn is_taken_floating_ip(description: &str) -> bool {
    description.starts_with(PORT) && description.contains(":floating:")
}

/// Whether a port with this description was made by `maker` for `member`.
pub fn is_port_made_by(description: &str, member: &MemberId, maker: &str) -> bool {
    let made = format!("{member}:{maker}");
    port_mark(description).is_some_and(|(_, mark)| {
        let rest = mark.strip_prefix(&made);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

/// Whether a port with this description was made for `member`, by whichever operation.
pub fn is_port_of(description: &str, member: &MemberId) -> bool {
    let of_member = format!("{member}:");
    port_mark(description).is_some_and(|(_, mark)| mark.starts_with(&of_member))
}

fn port_mark(description: &str) -> Option<(&str, &str)> {
    let (own, mark) = description.strip_suffix(')')?.rsplit_once(PORT)?;
    Some((own.strip_suffix(' ').unwrap_or(own), mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_of_a_port_carries_the_mark_and_gives_the_original_back() {
        let (member, maker) = (MemberId::from("m-1"), OperationId::from("op-1"));
        let marked = port_description("of the web", &member, &maker, 0);
        assert_eq!(marked, "of the web (protector:m-1:op-1)");
        assert_eq!(own_description(&marked), "of the web");
        assert!(is_port_of(&marked, &member));
        assert!(!is_port_of(&marked, &MemberId::from("m")));
        assert!(is_port_made_by(&marked, &member, "op-1"));
        assert!(!is_port_made_by(&marked, &member, "op-"));
        let second = port_description("", &member, &maker, 1);
        assert_eq!(second, "(protector:m-1:op-1:1)");
        assert!(is_port_made_by(&second, &member, "op-1"));
        assert_eq!(own_description(&second), "");
        let another = OperationId::from("op-2");
        let taken = port_description_of(&marked, &another);
        assert_eq!(taken.as_deref(), Some("of the web (protector:m-1:op-2)"));
        let taken = port_description_of(&second, &another);
        assert_eq!(taken.as_deref(), Some("(protector:m-1:op-2:1)"));
        assert_eq!(port_description_of("(see protector)", &another), None);
        let long = port_description(&"ü".repeat(300), &member, &maker, 0);
        assert_eq!(long.chars().count(), 255);
        assert!(is_port_of(&long, &member));
        assert_eq!(own_description("(see protector)"), "(see protector)");
    }
}
