//! Which security group of a site a name or an id stands for: one rule for the engine's steps, the readiness check and the
//! comparison.
//!
//! Groups that another project shares (Neutron's RBAC) come after the project's own: who shares one later takes no name away.

use crate::site::SiteScope;

/// Whose a security group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupOwner {
    Own,
    /// Another project's, which shares it.
    Shared,
}

/// A security group that a project may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroupSeen {
    pub id: String,
    /// Its name; not unique.
    pub name: String,
    pub owner: GroupOwner,
}

impl SecurityGroupSeen {
    /// One of the project's own.
    pub fn own(id: &str, name: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            owner: GroupOwner::Own,
        }
    }
}

/// Why a name or an id stands for no security group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSecurityGroup {
    Absent,
    /// So many have the name.
    Several(usize),
}

impl NoSecurityGroup {
    /// A sentence about the group that was asked for, without its full stop.
    pub fn in_words(self, wanted: &str, target: &SiteScope) -> String {
        let SiteScope { site, project_id } = target;
        match self {
            Self::Absent => format!(
                "security group {wanted} does not exist on {site}: make it in project {project_id}, or map it in the recovery plan (security_groups)"
            ),
            Self::Several(several) => format!(
                "{several} security groups on {site} are called {wanted}: give all but one of them another name in project {project_id}, or map it by id in the recovery plan (security_groups)"
            ),
        }
    }
}

/// The one of `there` that `wanted` stands for. A name counts before an id, as Nova has it.
///
/// # Errors
///
/// That there is none, or that the name is not one group's.
pub fn resolve<'g>(
    wanted: &str,
    there: &'g [SecurityGroupSeen],
) -> Result<&'g SecurityGroupSeen, NoSecurityGroup> {
    for owner in [GroupOwner::Own, GroupOwner::Shared] {
        let of_owner = || there.iter().filter(move |group| group.owner == owner);
        let named: Vec<_> = of_owner().filter(|group| group.name == wanted).collect();
        match named.as_slice() {
            [] => {}
            [group] => return Ok(group),
            several => return Err(NoSecurityGroup::Several(several.len())),
        }
        if let Some(group) = of_owner().find(|group| group.id == wanted) {
            return Ok(group);
        }
    }
    Err(NoSecurityGroup::Absent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(id: &str, name: &str) -> SecurityGroupSeen {
        SecurityGroupSeen {
            owner: GroupOwner::Shared,
            ..SecurityGroupSeen::own(id, name)
        }
    }

    fn found<'g>(wanted: &str, there: &'g [SecurityGroupSeen]) -> Result<&'g str, NoSecurityGroup> {
        resolve(wanted, there).map(|group| group.id.as_str())
    }

    #[test]
    fn a_group_is_found_by_name_and_by_id() {
        let there = [SecurityGroupSeen::own("1", "web"), shared("2", "corp")];
        for (wanted, id) in [("web", "1"), ("1", "1"), ("corp", "2"), ("2", "2")] {
            assert_eq!(found(wanted, &there), Ok(id), "{wanted}");
        }
        assert_eq!(found("db", &there), Err(NoSecurityGroup::Absent));
    }

    #[test]
    fn the_projects_own_come_before_shared_ones() {
        let there = [shared("2", "web"), SecurityGroupSeen::own("1", "web")];
        assert_eq!(found("web", &there), Ok("1"));
        assert_eq!(found("2", &there), Ok("2"));
    }

    #[test]
    fn a_name_of_several_is_not_one_groups_and_each_is_found_by_id() {
        let there = [
            SecurityGroupSeen::own("1", "web"),
            SecurityGroupSeen::own("2", "web"),
            shared("3", "corp"),
            shared("4", "corp"),
        ];
        for wanted in ["web", "corp"] {
            assert_eq!(found(wanted, &there), Err(NoSecurityGroup::Several(2)));
        }
        assert_eq!(found("2", &there), Ok("2"));
        assert_eq!(found("4", &there), Ok("4"));
    }
}
