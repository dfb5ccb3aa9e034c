//! All facts that an operation's steps need, frozen when it was asked for: which servers and volumes, from where to
//! where, with which mappings. A later edit of the group cannot change an operation under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    confidential::{Confidential, Field, HoldsConfidential},
    group::{Fidelity, Group, ReplicationType, ResourceMappings},
    id::{GroupId, MemberId, OperationId, RecoveryPointId, ServerId, VolumeId},
    member::{Member, MemberStatus, PortSpec, ProtectedVolume},
    member_settings::ServerSettings,
    recovery_plan::{RecoveryPlan, UserDataOnCopy},
    site::SiteScope,
    storage::{CinderVolume, PromotionKind, RecoveryPoint, Replication},
};

/// The plan of an operation. Stored as JSON with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub group_id: GroupId,
    pub group_name: String,
    pub source: SiteScope,
    pub target: SiteScope,
    /// How the arrays replicate it.
    pub replication_type: ReplicationType,
    /// The array on the source site, as the replication policy names it.
    pub source_array: String,
    /// The array on the target site.
    pub target_array: String,
    /// What becomes of a replica there that is promoted.
    #[serde(default, skip_serializing_if = "PromotionKind::is_copy")]
    pub promotion: PromotionKind,
    /// The volume type that imported volumes get (an id on the target).
    pub target_volume_type: Option<String>,
    /// Networks and flavors, read from source to target.
    pub mappings: ResourceMappings,
    /// The members, as they were when the operation was asked for, in the order in which they were added.
    pub members: Vec<Member>,
    /// The group's other members, which the operation does not move: they are on the target already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Member>,
    /// Whether source volumes stay after the failover.
    pub retain_source_volumes: bool,
    /// In which order the members start, read from source to target, with the hooks of this kind of operation.
    #[serde(default)]
    pub recovery: RecoveryPlan,
    /// The failover that the loss of the source has interrupted: what it has made on the target is taken over. Before it
    /// those that have tried so and failed, newest first.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_more"
    )]
    pub interrupted: Vec<OperationId>,
    /// The recovery point that was asked for; the latest where none was. Of an unplanned failover or a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<RecoveryPointId>,
    /// The failed move with whose copies this operation goes forward. They keep its marks: until the switch they are its
    /// leftovers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopts: Option<OperationId>,
    /// What the move does, if it is a planned one, about a copy that is not as its original was.
    #[serde(default, skip_serializing_if = "Fidelity::is_told")]
    pub fidelity: Fidelity,
    /// The members that are built as they were until a time, which is after that of the recovery point: they have been changed
    /// since it was made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub built_as_until: BTreeMap<MemberId, DateTime<Utc>>,
    /// Of a fence alone: the servers that moves have left on the target, where the group runs. They are other lives of its
    /// members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_on_target: Vec<ServerId>,
}

impl HoldsConfidential for Plan {
    fn confidential(&self) -> Vec<&Confidential> {
        let mut all = self.members.confidential();
        all.extend(self.others.confidential());
        all.extend(self.recovery.confidential());
        all
    }

    fn each_confidential(&mut self, visit: &mut dyn FnMut(Field<'_>, &mut Confidential)) {
        self.members.each_confidential(visit);
        self.others.each_confidential(visit);
        self.recovery.each_confidential(visit);
    }
}

/// Plans of book version 4 and before name one operation, without a list.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OperationId>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(OperationId),
        More(Vec<OperationId>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(id) => vec![id],
        Written::More(ids) => ids,
    })
}

/// Why an operation cannot be planned. Each names the field and the fix; what the group lacks is said of `it`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanRefusal {
    NoMembers,
    /// No replication policy is attached.
    NoPolicy,
    /// Networks that no mapping covers: id and a member that uses it.
    UnmappedNetworks(Vec<(String, String)>),
    /// Two volumes, or two members, are the same resource.
    SharedVolume(VolumeId),
}

impl fmt::Display for PlanRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMembers => {
                f.write_str("it has no members: add one with 'openstack dr member add'")
            }
            Self::NoPolicy => f.write_str(
                "it has no replication policy: create one with 'openstack dr policy create'",
            ),
            Self::UnmappedNetworks(networks) => {
                let list: Vec<String> = networks
                    .iter()
                    .map(|(network, member)| format!("{network} (used by {member})"))
                    .collect();
                write!(
                    f,
                    "network_mapping: no network on the target site is mapped for {}: give --network-mapping <source network>=<target network>",
                    list.join(", ")
                )
            }
            Self::SharedVolume(volume) => write!(
                f,
                "volume {volume} belongs to more than one member: a shared volume cannot be moved"
            ),
        }
    }
}

/// The two arrays of a group's replication policy, by site role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayPair {
    /// The array of the group's primary site.
    pub primary: String,
    /// The array of its secondary site.
    pub secondary: String,
    /// What becomes of a replica on either of them that is promoted.
    pub promotion: PromotionKind,
}

impl Plan {
    /// The plan for a cleanup of what this one's operation has left. A network of its time may be gone: the sites are known by
    /// those that are mapped now, too.
    pub fn known_by(mut self, mapped_now: ResourceMappings) -> Self {
        self.mappings.networks.extend(mapped_now.networks);
        self
    }

    /// Plans the move of `group` from where it runs to its other site.
    ///
    /// `mappings` are read from source to target. Refuses what could not end well.
    pub fn move_to_other_site(
        group: &Group,
        members: Vec<Member>,
        arrays: Option<&ArrayPair>,
        mappings: ResourceMappings,
        retain_source_volumes: bool,
    ) -> Result<Self, PlanRefusal> {
        let plan = Self::replicate_to_other_site(group, members, arrays)?;
        refuse_unmapped_networks(&plan.members, &mappings)?;
        Ok(Self {
            mappings,
            retain_source_volumes,
            ..plan
        })
    }

    /// Plans the replication of `group` from where it runs to its other site: no server is built, so no mapping is
    /// needed.
    pub fn replicate_to_other_site(
        group: &Group,
        members: Vec<Member>,
        arrays: Option<&ArrayPair>,
    ) -> Result<Self, PlanRefusal> {
        let arrays = arrays.ok_or(PlanRefusal::NoPolicy)?;
        // What the last failover could not recover is where it was, which is where the group goes.
        let (mut members, mut others): (Vec<Member>, Vec<Member>) = members
            .into_iter()
            .partition(|member| group.site_of(member) == &group.current_primary_site);
        others.iter_mut().for_each(|member| member.earlier.clear());
        if members.is_empty() {
            return Err(PlanRefusal::NoMembers);
        }
        members.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        refuse_shared_volumes(&members)?;
        let from_secondary = group.current_primary_site == group.secondary.site;
        let (source_array, target_array) = if from_secondary {
            (&arrays.secondary, &arrays.primary)
        } else {
            (&arrays.primary, &arrays.secondary)
        };
        Ok(Self {
            group_id: group.id.clone(),
            group_name: group.name.clone(),
            source: group.current().clone(),
            target: group.other().clone(),
            replication_type: group.replication_type,
            source_array: source_array.clone(),
            target_array: target_array.clone(),
            promotion: arrays.promotion,
            target_volume_type: group.volume_type_on_other().map(str::to_owned),
            mappings: group.mappings_from_current(),
            members,
            others,
            retain_source_volumes: false,
            recovery: RecoveryPlan::default(),
            interrupted: vec![],
            recovery_point: None,
            adopts: None,
            fidelity: group.fidelity,
            built_as_until: BTreeMap::new(),
            left_on_target: vec![],
        })
    }

    /// Plans another try at the members that the failover of `plan` could not recover. The others are where it goes.
    ///
    /// # Errors
    ///
    /// `NoMembers` when there is none such, `UnmappedNetworks`.
    pub fn recover_the_rest(
        plan: &Self,
        members: Vec<Member>,
        mappings: ResourceMappings,
    ) -> Result<Self, PlanRefusal> {
        let (members, others): (Vec<Member>, Vec<Member>) = members
            .into_iter()
            .partition(|member| member.status == MemberStatus::Error);
        if members.is_empty() {
            return Err(PlanRefusal::NoMembers);
        }
        refuse_unmapped_networks(&members, &mappings)?;
        Ok(Self {
            members,
            others,
            mappings,
            built_as_until: BTreeMap::new(),
            ..plan.clone()
        })
    }

    /// The same plan, its members started as `recovery` says, which is read from source to target.
    #[must_use]
    pub fn recovered_as(self, recovery: RecoveryPlan) -> Self {
        Self { recovery, ..self }
    }

    /// The same plan from a recovery point of `time`: each member is built as its disks know it of then
    /// ([`Member::as_it_was`]). An address for which the recovery plan names none, while it does for today's, is today's.
    /// What an interrupted operation has made is built already, and stays as it is.
    #[must_use]
    pub fn as_at(mut self, time: DateTime<Utc>) -> Self {
        if !self.interrupted.is_empty() {
            return self;
        }
        for member in &mut self.members {
            let Some(earlier) = member.known_at(time) else {
                member.earlier.clear();
                continue;
            };
            let mut was = member.as_it_was(earlier);
            let planned = self.recovery.members.get(&member.id);
            for (nic, today) in was.server.nics.iter_mut().zip(&member.server.nics) {
                if planned
                    .is_some_and(|planned| planned.names_only(&today.fixed_ips, &nic.fixed_ips))
                {
                    nic.fixed_ips.clone_from(&today.fixed_ips);
                }
            }
            self.built_as_until.insert(member.id.clone(), earlier.until);
            *member = was;
        }
        self
    }

    /// Whether any member is remembered as it was.
    pub fn has_history(&self) -> bool {
        self.members.iter().any(|member| !member.earlier.is_empty())
    }

    /// The same plan of a move whose members are built as they are now.
    #[must_use]
    pub fn as_now(mut self) -> Self {
        self.members
            .iter_mut()
            .for_each(|member| member.earlier.clear());
        self
    }

    /// The members that are built as they were, with the time until which they were so.
    pub fn built_as_before(&self) -> impl Iterator<Item = (&Member, DateTime<Utc>)> {
        let until = |member: &Member| self.built_as_until.get(&member.id).copied();
        self.members
            .iter()
            .filter_map(move |member| Some((member, until(member)?)))
    }

    /// The same plan, which takes over what `interrupted` has made on the target.
    #[must_use]
    pub fn taking_over(self, interrupted: Vec<OperationId>) -> Self {
        Self {
            interrupted,
            ..self
        }
    }

    /// The same plan, which goes to `point`.
    #[must_use]
    pub fn to_recovery_point(self, point: Option<RecoveryPointId>) -> Self {
        Self {
            recovery_point: point,
            ..self
        }
    }

    /// Of `points` that which the operation goes to: the one that was asked for, or the latest. They are newest first.
    pub fn chosen_of(&self, points: Vec<RecoveryPoint>) -> Option<RecoveryPoint> {
        let is_chosen = |point: &RecoveryPoint| {
            let wanted = self.recovery_point.as_ref();
            wanted.is_none_or(|wanted| *wanted == point.id)
        };
        points.into_iter().find(is_chosen)
    }

    /// All its volumes, as their array finds them.
    pub fn volumes_in_cinder(&self) -> Vec<CinderVolume> {
        self.volumes()
            .map(|(_, volume)| volume.in_cinder())
            .collect()
    }

    /// The replication that the plan moves its group along.
    pub fn replication(&self) -> Replication {
        Replication {
            group_id: self.group_id.clone(),
            source_array: self.source_array.clone(),
            target_array: self.target_array.clone(),
        }
    }

    /// The fixed address that stands for `address` of `member` on the target.
    pub fn address_on_target(&self, member: &Member, address: IpAddr) -> IpAddr {
        self.recovery.address_on_target(&member.id, address)
    }

    /// What takes the place of each of `member`'s floating IPs on the target: [`RecoveryPlan::floating_ips_on_target`].
    pub fn floating_ips_on_target(&self, member: &Member) -> Vec<Option<String>> {
        self.recovery.floating_ips_on_target(member)
    }

    /// The names of `member`'s security groups on the target.
    pub fn security_groups_on_target(&self, member: &Member) -> Vec<String> {
        self.groups_on_target(member, member.groups_of_ports())
    }

    /// The names on the target of the security groups of `port` of `member`.
    pub fn groups_of_port_on_target(&self, member: &Member, port: &PortSpec) -> Vec<String> {
        let names = port.security_groups.iter();
        self.groups_on_target(member, names.map(|name| (Some(port), name.as_str())))
    }

    /// Each once, as Neutron wants them.
    fn groups_on_target<'n>(
        &self,
        member: &Member,
        groups: impl Iterator<Item = (Option<&'n PortSpec>, &'n str)>,
    ) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for group in groups {
            let there = self.recovery.security_group_on_target(member, group);
            if !all.iter().any(|known| known == there) {
                all.push(there.to_owned());
            }
        }
        all
    }

    /// What the copy of `member` is to have of its settings: as they are, but for what is mapped.
    pub fn settings_of_copy(&self, member: &Member) -> ServerSettings {
        let known = ServerSettings::known(member);
        let addresses = known.addresses.iter();
        let on_target = |address: &IpAddr| self.address_on_target(member, *address);
        ServerSettings {
            addresses: addresses.map(on_target).collect(),
            security_groups: self.security_groups_on_target(member).into_iter().collect(),
            ..known
        }
    }

    /// Whether the copy of `member` is built with its user data.
    pub fn user_data_on_target(&self, member: &Member) -> UserDataOnCopy {
        let recovery = self.recovery.members.get(&member.id);
        recovery
            .map(|recovery| recovery.user_data)
            .unwrap_or_default()
    }

    /// The volume type that the copy of `volume` gets, an id on the target: as mapped, else the group's.
    pub fn volume_type_on_target(&self, volume: &ProtectedVolume) -> Option<&str> {
        let known = volume.volume_type.as_ref();
        let mapped = known.and_then(|known| self.mappings.volume_types.get(known));
        mapped
            .or(self.target_volume_type.as_ref())
            .map(String::as_str)
    }

    /// All volumes of all members, with their member, in runbook order.
    pub fn volumes(&self) -> impl Iterator<Item = (&Member, &ProtectedVolume)> {
        self.members
            .iter()
            .flat_map(|member| member.volumes.iter().map(move |volume| (member, volume)))
    }

    /// The member whose server on the source is `server_id`.
    pub fn member_of_server(&self, server_id: &str) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.server_id.as_str() == server_id)
    }

    /// The volume `volume_id` of the source, with its member.
    pub fn volume(&self, volume_id: &str) -> Option<(&Member, &ProtectedVolume)> {
        self.volumes()
            .find(|(_, volume)| volume.id.as_str() == volume_id)
    }
}

fn refuse_shared_volumes(members: &[Member]) -> Result<(), PlanRefusal> {
    let mut seen = BTreeSet::new();
    for volume in members.iter().flat_map(|member| &member.volumes) {
        if !seen.insert(&volume.id) {
            return Err(PlanRefusal::SharedVolume(volume.id.clone()));
        }
    }
    Ok(())
}

fn refuse_unmapped_networks(
    members: &[Member],
    mappings: &ResourceMappings,
) -> Result<(), PlanRefusal> {
    let mut unmapped = Vec::new();
    for member in members {
        for nic in &member.server.nics {
            let network = nic.network_id.as_str();
            let known = mappings.networks.contains_key(network)
                || unmapped.iter().any(|(seen, _)| seen == network);
            if !known {
                unmapped.push((network.to_owned(), member.name.clone()));
            }
        }
    }
    if unmapped.is_empty() {
        Ok(())
    } else {
        Err(PlanRefusal::UnmappedNetworks(unmapped))
    }
}
