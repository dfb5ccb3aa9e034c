//! A protection group: VMs that fail over together, and what may happen to it when.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    confidential::{Confidential, Field, HoldsConfidential},
    id::{GroupId, MemberId, ProjectId, SiteName},
    member::{Member, MemberStatus},
    operation_kind::OperationKind,
    priority::Priority,
    recovery_plan::RecoveryPlan,
    site::SiteScope,
};

/// Where a group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupStatus {
    /// Runs on its primary site and is protected.
    Active,
    /// Runs on its primary site, but an unplanned failover back to it could not recover every member.
    ActivePartial,
    /// A failover is under way.
    FailingOver,
    /// Runs on its secondary site.
    FailedOver,
    /// Runs on its secondary site, but not every member could be recreated.
    FailedOverPartial,
    /// A failback is under way.
    FailingBack,
    /// The same VMs may run on both sites: nothing is done until one side is fenced.
    SplitBrain,
    /// An operation ended in a way that needs a person.
    Error,
}

impl GroupStatus {
    /// The word used in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ActivePartial => "active_partial",
            Self::FailingOver => "failing_over",
            Self::FailedOver => "failed_over",
            Self::FailedOverPartial => "failed_over_partial",
            Self::FailingBack => "failing_back",
            Self::SplitBrain => "split_brain",
            Self::Error => "error",
        }
    }

    /// Whether an operation brings the group to its other site at this moment.
    pub fn is_moving(self) -> bool {
        matches!(self, Self::FailingOver | Self::FailingBack)
    }

    /// Whether a tenant may change the group: not while it is brought to its other site, nor while its VMs may run on
    /// both.
    pub fn is_changeable(self) -> bool {
        !self.is_moving() && self != Self::SplitBrain
    }

    /// The status of a group that nothing is under way with and nothing is wrong with.
    pub fn at_rest(place: SiteRole, recovered: Recovered) -> Self {
        match (place, recovered) {
            (SiteRole::Primary, Recovered::All) => Self::Active,
            (SiteRole::Primary, Recovered::InPart) => Self::ActivePartial,
            (SiteRole::Secondary, Recovered::All) => Self::FailedOver,
            (SiteRole::Secondary, Recovered::InPart) => Self::FailedOverPartial,
        }
    }

    /// The status of a group while an operation brings it, or the rest of it, to `place`.
    pub fn on_the_way_to(place: SiteRole) -> Self {
        match place {
            SiteRole::Primary => Self::FailingBack,
            SiteRole::Secondary => Self::FailingOver,
        }
    }

    /// Whether it says that the group runs somewhere and nothing is under way.
    pub fn is_at_rest(self) -> bool {
        matches!(
            self,
            Self::Active | Self::ActivePartial | Self::FailedOver | Self::FailedOverPartial
        )
    }

    /// All of them, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Active,
        Self::ActivePartial,
        Self::FailingOver,
        Self::FailedOver,
        Self::FailedOverPartial,
        Self::FailingBack,
        Self::SplitBrain,
        Self::Error,
    ];
}

impl fmt::Display for GroupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of the two sites of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteRole {
    /// Where it was made.
    Primary,
    /// Where it fails over to.
    Secondary,
}

/// How much of a group is where the group runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    All,
    /// Not the members in `error`: the last unplanned failover could not recover them.
    InPart,
}

impl Recovered {
    /// How much of a group with `in_error` members in error.
    pub fn with_in_error(in_error: u64) -> Self {
        match in_error {
            0 => Self::All,
            _ => Self::InPart,
        }
    }

    /// How much of a group with these members.
    pub fn of(members: &[Member]) -> Self {
        let is_whole = members
            .iter()
            .all(|member| member.status == MemberStatus::Protected);
        if is_whole { Self::All } else { Self::InPart }
    }
}

/// Every start of an operation that a group's status allows, with the status while it runs.
///
/// What is not in this table is refused (docs/adr/0021).
const STARTS: &[(GroupStatus, OperationKind, GroupStatus)] = &[
    (
        GroupStatus::Active,
        OperationKind::Failover,
        GroupStatus::FailingOver,
    ),
    (
        GroupStatus::ActivePartial,
        OperationKind::Failover,
        GroupStatus::FailingOver,
    ),
    (
        GroupStatus::FailedOver,
        OperationKind::Failback,
        GroupStatus::FailingBack,
    ),
    (
        GroupStatus::FailedOverPartial,
        OperationKind::Failback,
        GroupStatus::FailingBack,
    ),
    (
        GroupStatus::Active,
        OperationKind::TestFailover,
        GroupStatus::Active,
    ),
    (
        GroupStatus::FailedOverPartial,
        OperationKind::Retry,
        GroupStatus::FailingOver,
    ),
    (
        GroupStatus::ActivePartial,
        OperationKind::Retry,
        GroupStatus::FailingBack,
    ),
    (
        GroupStatus::SplitBrain,
        OperationKind::Fence,
        GroupStatus::SplitBrain,
    ),
    (
        GroupStatus::Active,
        OperationKind::Fence,
        GroupStatus::Active,
    ),
    (
        GroupStatus::ActivePartial,
        OperationKind::Fence,
        GroupStatus::ActivePartial,
    ),
    (
        GroupStatus::FailedOver,
        OperationKind::Fence,
        GroupStatus::FailedOver,
    ),
    (
        GroupStatus::FailedOverPartial,
        OperationKind::Fence,
        GroupStatus::FailedOverPartial,
    ),
    (
        GroupStatus::Active,
        OperationKind::Sync,
        GroupStatus::Active,
    ),
    (
        GroupStatus::ActivePartial,
        OperationKind::Sync,
        GroupStatus::ActivePartial,
    ),
    (
        GroupStatus::FailedOver,
        OperationKind::Sync,
        GroupStatus::FailedOver,
    ),
    (
        GroupStatus::FailedOverPartial,
        OperationKind::Sync,
        GroupStatus::FailedOverPartial,
    ),
    // Until each server that the move stopped is started again, the group needs a person.
    (
        GroupStatus::FailingOver,
        OperationKind::Abort,
        GroupStatus::Error,
    ),
    (
        GroupStatus::FailingBack,
        OperationKind::Abort,
        GroupStatus::Error,
    ),
    (GroupStatus::Error, OperationKind::Abort, GroupStatus::Error),
];

/// The status of a group while `kind` runs, or `None` if `kind` may not start in `status`.
///
/// Cleanup touches leftovers only, test cleanup copies only; they may run in any status and leave it as it is.
pub fn status_while(status: GroupStatus, kind: OperationKind) -> Option<GroupStatus> {
    if matches!(kind, OperationKind::Cleanup | OperationKind::TestCleanup) {
        return Some(status);
    }
    STARTS
        .iter()
        .find(|(from, started, _)| *from == status && *started == kind)
        .map(|(_, _, during)| *during)
}

/// The statuses in which `kind` may start, for a refusal that says what to wait for.
pub fn start_statuses(kind: OperationKind) -> Vec<GroupStatus> {
    GroupStatus::ALL
        .into_iter()
        .filter(|status| status_while(*status, kind).is_some())
        .collect()
}

/// How the arrays replicate a group. Chosen at creation, final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicationType {
    /// Periodic recovery points; a recovery point objective in minutes.
    Async,
    /// Every write acknowledged by both arrays.
    Sync,
}

impl ReplicationType {
    /// The word used in the API and in a volume type's `replication_type` extra spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Sync => "sync",
        }
    }
}

/// What a planned move does about a copy that is not as its original was, in what neither a mapping nor the recovery plan
/// names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// It says so in its record.
    #[default]
    Told,
    /// It fails, and is taken back.
    Strict,
}

impl Fidelity {
    /// The word used in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Strict => "strict",
        }
    }

    /// Whether it is that of groups for which nobody has asked for another: records are written without it.
    pub fn is_told(&self) -> bool {
        *self == Self::Told
    }
}

/// What one site's names become on the other: primary id → secondary id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceMappings {
    /// Network UUID on the primary → network UUID on the secondary. Needed for each network that a member uses.
    #[serde(default)]
    pub networks: BTreeMap<String, String>,
    /// Flavor id on the primary → flavor id on the secondary. Needed only where the ids differ.
    #[serde(default)]
    pub flavors: BTreeMap<String, String>,
    /// Server group UUID on the primary → server group UUID on the secondary. Without, one of the same name and policy is used
    /// there, or made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub server_groups: BTreeMap<String, String>,
    /// Volume type id on the primary → volume type id on the secondary, beside the group's own pair of types.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volume_types: BTreeMap<String, String>,
    /// QoS policy on the primary → QoS policy on the secondary, by id or name. Without, the one of the same name is used there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub qos_policies: BTreeMap<String, String>,
}

impl ResourceMappings {
    /// The same mappings read from the secondary towards the primary. What two of the primary's became one has no way
    /// back, and is left out: an operation that needs it asks for it.
    pub fn reversed(&self) -> Self {
        Self {
            networks: reversed(&self.networks),
            flavors: reversed(&self.flavors),
            server_groups: reversed(&self.server_groups),
            volume_types: reversed(&self.volume_types),
            qos_policies: reversed(&self.qos_policies),
        }
    }

    /// Adds `over`, which counts where both say something.
    pub fn extend(&mut self, over: Self) {
        self.networks.extend(over.networks);
        self.flavors.extend(over.flavors);
        self.server_groups.extend(over.server_groups);
        self.volume_types.extend(over.volume_types);
        self.qos_policies.extend(over.qos_policies);
    }
}

fn reversed(map: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut back: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (primary, secondary) in map {
        back.entry(secondary.clone())
            .and_modify(|ambiguous| *ambiguous = None)
            .or_insert_with(|| Some(primary.clone()));
    }
    back.into_iter()
        .filter_map(|(secondary, primary)| Some((secondary, primary?)))
        .collect()
}

/// A protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The group's id, the same on both sites.
    pub id: GroupId,
    /// The group's name, unique within the tenant's project.
    pub name: String,
    /// What the tenant wants people to know about it.
    pub description: Option<String>,
    /// The site on which the group was made, and the tenant's project there.
    pub primary: SiteScope,
    /// The site to which it fails over, and the tenant's project there.
    pub secondary: SiteScope,
    /// Where it runs now.
    pub current_primary_site: SiteName,
    /// Where it is in its life.
    pub status: GroupStatus,
    /// How the arrays replicate it.
    pub replication_type: ReplicationType,
    /// The volume type of its volumes on the primary site (an id).
    pub volume_type_id: String,
    /// The volume type of its volumes on the secondary site (an id).
    pub secondary_volume_type_id: Option<String>,
    /// Networks and flavors across the sites.
    pub mappings: ResourceMappings,
    /// When it goes, among the groups of a site that fail over together. A protector that does not know priorities
    /// leaves it out.
    #[serde(default)]
    pub priority: Priority,
    /// In which order its members start, and what has to happen in between; read from the primary to the secondary site.
    #[serde(default)]
    pub recovery_plan: RecoveryPlan,
    /// What a planned move does about a copy that is not as its original was.
    #[serde(default, skip_serializing_if = "Fidelity::is_told")]
    pub fidelity: Fidelity,
    /// Grows by one with each change of the group, its members, its policy or its mappings.
    pub version: u64,
    /// When its volumes were last replicated as a whole.
    pub last_replication_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl HoldsConfidential for Group {
    fn confidential(&self) -> Vec<&Confidential> {
        self.recovery_plan.confidential()
    }

    fn each_confidential(&mut self, visit: &mut dyn FnMut(Field<'_>, &mut Confidential)) {
        self.recovery_plan.each_confidential(visit);
    }
}

impl Group {
    /// The scope in which the group runs now.
    pub fn current(&self) -> &SiteScope {
        if self.current_primary_site == self.secondary.site {
            &self.secondary
        } else {
            &self.primary
        }
    }

    /// The scope on the other site.
    pub fn other(&self) -> &SiteScope {
        if self.current_primary_site == self.secondary.site {
            &self.primary
        } else {
            &self.secondary
        }
    }

    /// The site on which `member` is: where the group runs, but for one that the last failover could not recover.
    pub fn site_of(&self, member: &Member) -> &SiteName {
        match member.status {
            MemberStatus::Protected => &self.current_primary_site,
            MemberStatus::Error => &self.other().site,
        }
    }

    /// Which of the group's sites `site` is. A site that is neither counts as its primary.
    pub fn place_of(&self, site: &SiteName) -> SiteRole {
        if *site == self.secondary.site {
            SiteRole::Secondary
        } else {
            SiteRole::Primary
        }
    }

    /// The status of the group while nothing is under way and nothing is wrong with it.
    pub fn status_at_rest(&self, recovered: Recovered) -> GroupStatus {
        GroupStatus::at_rest(self.place_of(&self.current_primary_site), recovered)
    }

    /// The kind of a move that leaves where the group runs now: back to its primary site it is a failback.
    pub fn kind_of_move(&self) -> OperationKind {
        match self.place_of(&self.current_primary_site) {
            SiteRole::Primary => OperationKind::Failover,
            SiteRole::Secondary => OperationKind::Failback,
        }
    }

    /// The tenant's project on `site`, if the group lives there.
    pub fn project_on(&self, site: &SiteName) -> Option<&ProjectId> {
        [&self.primary, &self.secondary]
            .into_iter()
            .find(|scope| &scope.site == site)
            .map(|scope| &scope.project_id)
    }

    /// The mappings read from where the group runs now towards the other site.
    pub fn mappings_from_current(&self) -> ResourceMappings {
        self.mappings_from(&self.current_primary_site)
    }

    /// The mappings read from `site` towards the group's other one.
    pub fn mappings_from(&self, site: &SiteName) -> ResourceMappings {
        match *site == self.secondary.site {
            true => self.mappings.reversed(),
            false => self.mappings.clone(),
        }
    }

    /// The recovery plan of an operation of `kind` that leaves where the group runs now.
    pub fn recovery_plan_from_current(&self, kind: OperationKind) -> RecoveryPlan {
        let plan = self.recovery_plan.for_kind(kind);
        if self.current_primary_site == self.secondary.site {
            plan.reversed()
        } else {
            plan
        }
    }

    /// The member for which the recovery plan names this floating IP of `site`: a move to there lets it lead to that member.
    pub fn wants_floating_ip(&self, site: &SiteName, address: IpAddr) -> Option<&MemberId> {
        let is_wanted = |(on_primary, on_secondary): (&String, &String)| {
            let named = match *site == self.primary.site {
                true => on_primary,
                false => on_secondary,
            };
            named.parse() == Ok(address)
        };
        let mut members = self.recovery_plan.members.iter();
        let found = members.find(|(_, recovery)| recovery.floating_ips.iter().any(is_wanted));
        found.map(|(member, _)| member)
    }

    /// The volume type that the group's volumes have where it runs now.
    pub fn volume_type_on_current(&self) -> Option<&str> {
        match self.current_primary_site == self.secondary.site {
            true => self.secondary_volume_type_id.as_deref(),
            false => Some(&self.volume_type_id),
        }
    }

    /// The volume type that the group's volumes get on the other site.
    pub fn volume_type_on_other(&self) -> Option<&str> {
        if self.current_primary_site == self.secondary.site {
            Some(&self.volume_type_id)
        } else {
            self.secondary_volume_type_id.as_deref()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failover_starts_where_the_group_is_on_its_primary_site() {
        assert_eq!(
            start_statuses(OperationKind::Failover),
            vec![GroupStatus::Active, GroupStatus::ActivePartial]
        );
    }

    #[test]
    fn failback_starts_where_the_group_has_failed_over() {
        assert_eq!(
            start_statuses(OperationKind::Failback),
            vec![GroupStatus::FailedOver, GroupStatus::FailedOverPartial]
        );
    }

    #[test]
    fn a_floating_ip_is_wanted_on_the_side_where_the_recovery_plan_names_it() {
        let record = crate::journal_conformance::operation(1);
        let mut group = crate::journal_conformance::group(&record);
        let recovery = crate::recovery_plan::MemberRecovery {
            floating_ips: [("203.0.113.10", "198.51.100.7"), ("203.0.113.11", "public")]
                .map(|(primary, secondary)| (primary.to_owned(), secondary.to_owned()))
                .into(),
            ..Default::default()
        };
        let member = MemberId::new("m-1");
        group.recovery_plan.members.insert(member.clone(), recovery);
        let (primary, secondary) = (group.primary.site.clone(), group.secondary.site.clone());
        for (site, address, wanted) in [
            (&primary, "203.0.113.10", true),
            (&primary, "203.0.113.11", true),
            (&primary, "198.51.100.7", false),
            (&primary, "203.0.113.1", false),
            (&secondary, "198.51.100.7", true),
            (&secondary, "203.0.113.10", false),
        ] {
            let found = group.wants_floating_ip(site, address.parse().unwrap());
            assert_eq!(found, wanted.then_some(&member), "{address} on {site}");
        }
    }

    #[test]
    fn cleanup_never_changes_a_group() {
        for status in GroupStatus::ALL {
            for kind in [OperationKind::Cleanup, OperationKind::TestCleanup] {
                assert_eq!(status_while(status, kind), Some(status));
            }
        }
    }

    #[test]
    fn a_test_failover_starts_from_active_and_leaves_the_group_there() {
        let kind = OperationKind::TestFailover;
        assert_eq!(start_statuses(kind), vec![GroupStatus::Active]);
        let during = status_while(GroupStatus::Active, kind);
        assert_eq!(during, Some(GroupStatus::Active));
    }

    #[test]
    fn mappings_turn_round() {
        let there = ResourceMappings {
            networks: BTreeMap::from([("net-a".into(), "net-b".into())]),
            flavors: BTreeMap::new(),
            ..ResourceMappings::default()
        };
        assert_eq!(there.reversed().networks["net-b"], "net-a");
        assert_eq!(there.reversed().reversed(), there);
    }

    #[test]
    fn two_networks_that_became_one_have_no_way_back() {
        let there = ResourceMappings {
            networks: BTreeMap::from([
                ("net-1".into(), "net-b".into()),
                ("net-2".into(), "net-b".into()),
                ("net-3".into(), "net-c".into()),
            ]),
            flavors: BTreeMap::new(),
            ..ResourceMappings::default()
        };
        let back = there.reversed().networks;
        assert_eq!(back, BTreeMap::from([("net-c".into(), "net-3".into())]));
    }
}
