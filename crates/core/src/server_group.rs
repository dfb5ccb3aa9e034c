//! Server groups of Nova: which servers may be on one host, and which must not be.
//!
//! A server is put into one when it is built, and nothing changes that later. A copy gets the group that stands for its
//! original's on the other cloud: as mapped, else one of the same name and policy in its project, else a new one of these.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::ServerId;

/// A server group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerGroup {
    /// Its id on the cloud where it was seen.
    pub id: String,
    /// Its name; several may share one.
    pub name: String,
    /// `affinity`, `anti-affinity`, `soft-affinity` or `soft-anti-affinity`.
    pub policy: String,
    /// How many of its servers one host takes, where its anti-affinity says another number than one (Nova 2.64).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_per_host: Option<u32>,
}

/// A server group of the target with the servers that are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerGroupSeen {
    pub group: ServerGroup,
    pub servers: Vec<ServerId>,
}

/// The server group that is mapped does not exist there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedGroupIsGone(pub String);

impl ServerGroup {
    /// The group among `there`, another cloud's, that stands for this one: as mapped, else of the same name, policy and number
    /// on a host. Of several such the one that has copies of `ours` already, then the one of the same id, then always the
    /// same one: what is together in a group stays so. `None` where it has to be made.
    ///
    /// # Errors
    ///
    /// The one that is mapped is not there.
    pub fn counterpart<'g>(
        &self,
        mapped: Option<&str>,
        there: &'g [ServerGroupSeen],
        ours: &[ServerId],
    ) -> Result<Option<&'g ServerGroup>, MappedGroupIsGone> {
        if let Some(mapped) = mapped {
            let found = there.iter().find(|seen| seen.group.id == mapped);
            return match found {
                Some(seen) => Ok(Some(&seen.group)),
                None => Err(MappedGroupIsGone(mapped.to_owned())),
            };
        }
        let like = there.iter().filter(|seen| self.is_like(&seen.group));
        let best = like.min_by_key(|seen| {
            let has_ours = seen.servers.iter().any(|server| ours.contains(server));
            (!has_ours, seen.group.id != self.id, &seen.group.id)
        });
        Ok(best.map(|seen| &seen.group))
    }

    /// Whether the other means the same.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.name, &self.policy, self.most_per_host)
            == (&other.name, &other.policy, other.most_per_host)
    }

    /// How many of its servers may be on one host, where its policy keeps them apart whatever comes.
    pub fn holds_apart(&self) -> Option<u32> {
        (self.policy == "anti-affinity").then(|| self.most_per_host.unwrap_or(1).max(1))
    }

    /// Whether Nova builds no server of it rather than break its policy.
    pub fn is_strict(&self) -> bool {
        matches!(self.policy.as_str(), "affinity" | "anti-affinity")
    }
}

impl fmt::Display for ServerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str, name: &str, policy: &str) -> ServerGroup {
        ServerGroup {
            id: id.to_owned(),
            name: name.to_owned(),
            policy: policy.to_owned(),
            most_per_host: None,
        }
    }

    fn seen(id: &str, servers: &[&str]) -> ServerGroupSeen {
        ServerGroupSeen {
            group: group(id, "web", "anti-affinity"),
            servers: servers.iter().map(|id| ServerId::from(*id)).collect(),
        }
    }

    fn chosen(there: &[ServerGroupSeen], ours: &[&str]) -> Option<String> {
        let ours: Vec<ServerId> = ours.iter().map(|id| ServerId::from(*id)).collect();
        let here = group("a", "web", "anti-affinity");
        let found = here.counterpart(None, there, &ours).unwrap();
        found.map(|group| group.id.clone())
    }

    #[test]
    fn a_group_goes_by_its_name_and_its_policy() {
        let mut other = seen("c", &[]);
        other.group.policy = "affinity".to_owned();
        assert_eq!(chosen(std::slice::from_ref(&other), &[]), None);
        let mut looser = seen("d", &[]);
        looser.group.most_per_host = Some(2);
        let there = [other, looser, seen("e", &[])];
        assert_eq!(chosen(&there, &[]).as_deref(), Some("e"));
    }

    #[test]
    fn members_of_one_group_stay_together_where_several_have_its_name() {
        let there = [seen("f", &[]), seen("e", &["s-9"]), seen("g", &["s-1"])];
        assert_eq!(chosen(&there, &[]).as_deref(), Some("e"));
        assert_eq!(chosen(&there, &["s-1"]).as_deref(), Some("g"));
        let back = [seen("b", &[]), seen("a", &[])];
        assert_eq!(chosen(&back, &[]).as_deref(), Some("a"), "its own id");
    }

    #[test]
    fn a_mapping_counts_whatever_the_name() {
        let here = group("a", "db", "affinity");
        let there = [seen("e", &[])];
        let mapped = here.counterpart(Some("e"), &there, &[]).unwrap();
        assert_eq!(mapped, Some(&there[0].group));
        let gone = here.counterpart(Some("z"), &there, &[]);
        assert_eq!(gone, Err(MappedGroupIsGone("z".to_owned())));
    }

    #[test]
    fn anti_affinity_alone_keeps_servers_apart_whatever_comes() {
        assert_eq!(group("a", "a", "anti-affinity").holds_apart(), Some(1));
        assert_eq!(group("a", "a", "soft-anti-affinity").holds_apart(), None);
        let two = ServerGroup {
            most_per_host: Some(2),
            ..group("a", "a", "anti-affinity")
        };
        assert_eq!(two.holds_apart(), Some(2));
        assert!(group("a", "a", "affinity").is_strict());
        assert!(!group("a", "a", "soft-affinity").is_strict());
    }
}
