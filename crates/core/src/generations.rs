//! Which servers are the same machine: what a move has made of one, and that of another, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

/// The lives of machines, each server one of them.
#[derive(Clone, Debug, Default)]
pub struct Generations {
    /// What a server was made from or became.
    beside: BTreeMap<String, BTreeSet<String>>,
    /// By group, the servers that it runs.
    running: BTreeMap<String, BTreeSet<String>>,
}

impl Generations {
    /// Says that a move has made `copy` from `original`.
    pub fn became(&mut self, original: &str, copy: &str) {
        for (one, other) in [(original, copy), (copy, original)] {
            let beside = self.beside.entry(one.to_owned()).or_default();
            beside.insert(other.to_owned());
        }
    }

    /// Says that `group` runs `server`.
    pub fn runs(&mut self, group: &str, server: &str) {
        let running = self.running.entry(group.to_owned()).or_default();
        running.insert(server.to_owned());
    }

    /// Whether `server` is a life of a machine that `group` runs.
    pub fn are_one(&self, group: &str, server: &str) -> bool {
        let Some(running) = self.running.get(group) else {
            return false;
        };
        let mut seen = BTreeSet::from([server]);
        let mut next = vec![server];
        while let Some(life) = next.pop() {
            if running.contains(life) {
                return true;
            }
            let beside = self.beside.get(life).into_iter().flatten();
            next.extend(
                beside
                    .map(String::as_str)
                    .filter(|other| seen.insert(other)),
            );
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_life_of_a_machine_is_known_over_all_its_moves() {
        let mut lives = Generations::default();
        lives.became("first", "second");
        lives.became("first", "in-vain");
        lives.became("second", "third");
        lives.became("another", "its-copy");
        lives.runs("web", "third");
        for life in ["first", "second", "in-vain", "third"] {
            assert!(lives.are_one("web", life), "{life}");
        }
        assert!(!lives.are_one("web", "another") && !lives.are_one("web", "its-copy"));
        assert!(!lives.are_one("another group", "third"));
    }
}
