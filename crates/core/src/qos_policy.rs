//! QoS policies of Neutron: which one of another cloud stands for that of a port.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// A QoS policy, by id, with what makes it comparable on another cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QosPolicy {
    /// Its id on the cloud where it was seen.
    pub id: String,
    /// Its name; empty where nobody could read it.
    #[serde(default)]
    pub name: String,
}

/// Why a QoS policy has no counterpart on another cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoQosPolicy {
    /// The cloud shows none with the id, or the name, that it is mapped to.
    MappedIsGone(String),
    /// The cloud shows several of the name, and nothing says which.
    Several(String),
    /// It shows none of the name.
    NotThere,
}

impl QosPolicy {
    /// The policy among `there`, those that another cloud shows to the tenant, that stands for this one: as `mapping` has it,
    /// by id or name on either side, else the one of the same id, else the only one of the same name.
    ///
    /// # Errors
    ///
    /// Why there is none: the port of the copy is made without.
    pub fn counterpart<'p>(
        &self,
        mapping: &BTreeMap<String, String>,
        there: &'p [Self],
    ) -> Result<&'p Self, NoQosPolicy> {
        let by_name = || Some(&self.name).filter(|name| !name.is_empty());
        let mapped = mapping.get(&self.id).or_else(|| mapping.get(by_name()?));
        if let Some(mapped) = mapped {
            return called(mapped, there)
                .unwrap_or_else(|| Err(NoQosPolicy::MappedIsGone(mapped.clone())));
        }
        if let Some(same) = there.iter().find(|policy| policy.id == self.id) {
            return Ok(same);
        }
        by_name()
            .and_then(|name| called(name, there))
            .unwrap_or(Err(NoQosPolicy::NotThere))
    }
}

/// The one with this id, or the only one of this name; `None` where there is neither.
fn called<'p>(
    id_or_name: &str,
    there: &'p [QosPolicy],
) -> Option<Result<&'p QosPolicy, NoQosPolicy>> {
    if let Some(found) = there.iter().find(|policy| policy.id == id_or_name) {
        return Some(Ok(found));
    }
    let mut named = there.iter().filter(|policy| policy.name == id_or_name);
    match (named.next(), named.next()) {
        (None, _) => None,
        (Some(only), None) => Some(Ok(only)),
        (Some(_), Some(_)) => Some(Err(NoQosPolicy::Several(id_or_name.to_owned()))),
    }
}

impl NoQosPolicy {
    /// What is wrong on `site`: the rest of a sentence that begins with the policy.
    pub fn in_words(&self, site: &str) -> String {
        match self {
            Self::MappedIsGone(mapped) => {
                format!("is mapped to {mapped}, which {site} does not show to the project")
            }
            Self::Several(name) => {
                format!("has several counterparts on {site}: more than one is called {name}")
            }
            Self::NotThere => format!("has no counterpart on {site}"),
        }
    }
}

impl fmt::Display for QosPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => f.write_str(&self.id),
            name => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(id: &str, name: &str) -> QosPolicy {
        QosPolicy {
            id: id.to_owned(),
            name: name.to_owned(),
        }
    }

    fn mapping(from: &str, to: &str) -> BTreeMap<String, String> {
        [(from.to_owned(), to.to_owned())].into()
    }

    #[test]
    fn a_policy_goes_by_its_name_where_nothing_is_mapped() {
        let there = [policy("b1", "silver"), policy("b2", "gold")];
        let found = |known: &QosPolicy| known.counterpart(&BTreeMap::new(), &there).cloned();
        assert_eq!(found(&policy("a1", "gold")), Ok(there[1].clone()));
        assert_eq!(found(&policy("b1", "gold")), Ok(there[0].clone()), "its id");
        assert_eq!(found(&policy("a1", "")), Err(NoQosPolicy::NotThere));
        let twice = [policy("b1", "gold"), policy("b2", "gold")];
        let found = policy("a1", "gold")
            .counterpart(&BTreeMap::new(), &twice)
            .cloned();
        assert_eq!(found, Err(NoQosPolicy::Several("gold".to_owned())));
    }

    #[test]
    fn a_mapping_counts_by_id_or_name_on_either_side() {
        let there = [policy("b1", "silver"), policy("b2", "gold")];
        let known = policy("a1", "gold");
        for (from, to) in [("a1", "b1"), ("gold", "silver"), ("a1", "silver")] {
            let found = known.counterpart(&mapping(from, to), &there);
            assert_eq!(found, Ok(&there[0]), "{from}={to}");
        }
        let gone = known.counterpart(&mapping("gold", "bronze"), &there);
        assert_eq!(gone, Err(NoQosPolicy::MappedIsGone("bronze".to_owned())));
    }
}
