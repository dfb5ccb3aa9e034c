//! How much is taken of what a cloud or a peer answers.
//!
//! Who answers in a site's place may be somebody else, or be broken. Nothing that comes back costs more memory or time than is
//! written here, and an honest cloud with ten thousand servers stays well within.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::service::Service;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The most bytes of one answer of a cloud.
pub const LARGEST_BODY: usize = 16 * MIB;

/// The most bytes of one document of a peer, in both directions: 500 servers with the most user data that Nova takes.
pub const LARGEST_DOCUMENT: usize = 32 * MIB;

/// The most bytes of an answer with an error status. The rest is not read: the status says that it is one.
pub const LARGEST_ERROR_BODY: usize = 64 * KIB;

/// The most bytes of all pages of a list.
pub(crate) const LARGEST_LIST: usize = 128 * MIB;

/// The most elements of a list.
pub(crate) const MOST_ELEMENTS: usize = 50_000;

/// The most pages of a list. Some clouds let nobody have more than 25 elements per page.
pub(crate) const MOST_PAGES: usize = 2_000;

/// The most values in one answer of a cloud. A thousand servers with everything that Nova tells of them have a third.
const MOST_VALUES: usize = 300_000;

/// As [`MOST_VALUES`], for the record of an operation over 2,000 volumes.
const MOST_VALUES_OF_A_PEER: usize = 1_000_000;

/// The most values of an error that are looked through for its sentence.
pub(crate) const MOST_VALUES_OF_AN_ERROR: usize = 10_000;

/// How deep values may be nested. What OpenStack sends is ten levels deep at the most.
const DEEPEST: usize = 64;

/// The most bytes of an answer of `service`.
pub(crate) fn largest_body(service: Service) -> usize {
    match service {
        Service::DisasterRecovery => LARGEST_DOCUMENT,
        _ => LARGEST_BODY,
    }
}

/// The most values in an answer of `service`.
pub(crate) fn most_values(service: Service) -> usize {
    match service {
        Service::DisasterRecovery => MOST_VALUES_OF_A_PEER,
        _ => MOST_VALUES,
    }
}

/// A number of bytes, for people.
pub(crate) struct Bytes(pub(crate) usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= MIB && bytes % MIB == 0 => write!(f, "{} MiB", bytes / MIB),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// How many bytes of answers one piece of work may still cause, over all its calls to all clouds. Clones share it.
#[derive(Clone, Debug)]
pub struct Allowance {
    whole: usize,
    left: Arc<AtomicUsize>,
}

impl Allowance {
    /// An allowance of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self {
            whole: bytes,
            left: Arc::new(AtomicUsize::new(bytes)),
        }
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    pub(crate) fn spend(&self, bytes: usize) {
        let less = |left: usize| Some(left.saturating_sub(bytes));
        // It never gives None, so it cannot fail.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Bytes(self.whole))
    }
}

/// Why a body is not read into values.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is no JSON.
    NotJson(serde_json::Error),
    /// It would be too much; in which way.
    TooMuch(String),
}

/// Sees that `body` is JSON of no more than `most_values` values, nested no deeper than anything that OpenStack sends. Keeps
/// nothing of it: a body of a few MiB can hold millions of values, each of which takes more memory than it has bytes.
pub(crate) fn weigh(body: &[u8], most_values: usize) -> Result<(), Unreadable> {
    let burden = Burden {
        values: Cell::new(0),
        most_values,
        broken: Cell::new(None),
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Scale {
        burden: &burden,
        depth: 0,
    }
    .deserialize(&mut json)
    .and_then(|()| json.end());
    match (read, burden.broken.take()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(why)) => Err(Unreadable::TooMuch(why)),
        (Err(error), None) => Err(Unreadable::NotJson(error)),
    }
}

struct Burden {
    values: Cell<usize>,
    most_values: usize,
    broken: Cell<Option<String>>,
}

#[derive(Clone, Copy)]
struct Scale<'a> {
    burden: &'a Burden,
    depth: usize,
}

impl Scale<'_> {
    fn add<E: Error>(self) -> Result<(), E> {
        self.burden.values.set(self.burden.values.get() + 1);
        match self.burden.values.get() > self.burden.most_values {
            true => Err(self.give_up(format!(
                "it holds more than {} values",
                self.burden.most_values
            ))),
            false => Ok(()),
        }
    }

    fn below<E: Error>(self) -> Result<Self, E> {
        self.add()?;
        match self.depth >= DEEPEST {
            true => Err(self.give_up(format!("it is nested deeper than {DEEPEST} levels"))),
            false => Ok(Self {
                depth: self.depth + 1,
                ..self
            }),
        }
    }

    fn give_up<E: Error>(self, why: String) -> E {
        self.burden.broken.set(Some(why));
        E::custom("too much")
    }
}

impl<'de> DeserializeSeed<'de> for Scale<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scale<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.add()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.add()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.add()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.add()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.add()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.add()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.below()?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let inner = self.below()?;
        while object.next_key::<IgnoredAny>()?.is_some() {
            object.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(body: &str, most_values: usize) -> String {
        match weigh(body.as_bytes(), most_values).unwrap_err() {
            Unreadable::TooMuch(why) => why,
            Unreadable::NotJson(error) => format!("not JSON: {error}"),
        }
    }

    #[test]
    fn values_are_counted_and_their_nesting_too() {
        let body = r#" {"a": [1, -2, 3.5, true, null, "x"], "b": {"c": {}}} "#;
        assert!(weigh(body.as_bytes(), 10).is_ok());
        assert_eq!(why(body, 9), "it holds more than 9 values");
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(weigh(nested(DEEPEST).as_bytes(), 1000).is_ok());
        assert_eq!(
            why(&nested(DEEPEST + 1), 1000),
            "it is nested deeper than 64 levels"
        );
        assert!(why("{", 10).starts_with("not JSON: "));
        assert!(why("{} {}", 10).starts_with("not JSON: "));
    }

    #[test]
    fn an_allowance_is_shared_and_never_less_than_nothing() {
        let allowance = Allowance::new(2 * MIB);
        allowance.clone().spend(MIB);
        assert_eq!(
            (allowance.left(), allowance.to_string()),
            (MIB, "2 MiB".to_owned())
        );
        allowance.spend(5 * MIB);
        assert_eq!(allowance.left(), 0);
        assert_eq!(Bytes(MIB + 1).to_string(), "1048577 bytes");
    }
}
