//! What the places that were asked said, or why they did not.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    answer::{Asked, Silence},
    id::{NetworkId, ServerId, VolumeId},
    member::{Flavor, PortSpec},
    member_settings::{ServerSettings, VolumeSettings},
    not_carried::{PortTraits, ServerTraits, VolumeTraits},
    qos_policy::QosPolicy,
    security_group::SecurityGroupSeen,
    server_group::ServerGroupSeen,
    storage::{ArrayProgress, RecoveryPoint},
};

/// A server as a list shows it to a member of its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    pub id: ServerId,
    pub status: String,
    /// Whether somebody locked it.
    pub locked: bool,
    /// What tells that something of it is not carried.
    pub traits: ServerTraits,
    pub flavor_name: String,
    /// The flavor's virtual CPUs.
    pub vcpus: u64,
    /// The flavor's memory in MiB.
    pub ram_mib: u64,
    pub volumes: Vec<VolumeId>,
    /// What its tenant has set.
    pub settings: ServerSettings,
    /// The floating IPs that Nova knows of.
    pub floating_ips: BTreeSet<IpAddr>,
}

/// A volume as a list shows it to a member of its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSeen {
    pub id: VolumeId,
    /// Its name; empty where it has none.
    pub name: String,
    pub metadata: BTreeMap<String, String>,
    pub status: String,
    /// Its size in GiB.
    pub size_gib: u64,
    /// Its volume type's name.
    pub volume_type: Option<String>,
    /// The servers that it is attached to.
    pub servers: Vec<ServerId>,
    /// How many snapshots it has.
    pub snapshots: usize,
    /// What tells that something of it is not carried.
    pub traits: VolumeTraits,
}

impl VolumeSeen {
    /// What its tenant has set.
    pub fn settings(&self) -> VolumeSettings {
        VolumeSettings {
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            size_gib: self.size_gib,
        }
    }
}

/// A volume type, judged for the group by how it replicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeSeen {
    pub id: String,
    pub name: String,
    /// Its extra spec `volume_backend_name`.
    pub backend: Option<String>,
    /// Whether volumes of it replicate as the group does; why not.
    pub eligible: Result<(), String>,
}

/// A pool of a Cinder backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSeen {
    /// `host@backend#pool`.
    pub name: String,
    /// The backend name that volume types refer to.
    pub backend: Option<String>,
}

/// What is used of one quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// In use or reserved.
    pub used: i64,
    /// The most; -1 for no limit.
    pub limit: i64,
}

/// The site where the group runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSeen {
    /// All servers of the tenant's project.
    pub servers: Asked<Vec<ServerSeen>>,
    /// All volumes of the tenant's project.
    pub volumes: Asked<Vec<VolumeSeen>>,
    /// The networks of the project's servers: one entry for each network card.
    pub nics: Asked<Vec<(ServerId, NetworkId)>>,
    /// What tells of each of these cards that it is not carried.
    pub ports: Asked<Vec<(ServerId, PortTraits)>>,
    /// What the tenant has set on each of these cards' ports, floating IPs aside. Not known without the names of its groups.
    pub port_settings: Asked<Vec<(ServerId, PortSpec)>>,
    pub volume_types: Asked<Vec<TypeSeen>>,
    /// Whether the state of compute hosts is shown to the service user: a cleanup deletes no server of a dead host.
    pub hosts: Asked<()>,
}

/// The site to which the group would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSeen {
    /// Nova's quota of the tenant's project, by resource.
    pub compute_quota: Asked<BTreeMap<String, Usage>>,
    /// Cinder's quota of the tenant's project, by resource.
    pub volume_quota: Asked<BTreeMap<String, Usage>>,
    /// Neutron's quota of the tenant's project, by resource; empty where it does not tell what is in use.
    pub network_quota: Asked<BTreeMap<String, Usage>>,
    /// The networks that the project may use.
    pub networks: Asked<Vec<NetworkId>>,
    /// The flavors that the project may use.
    pub flavors: Asked<Vec<Flavor>>,
    /// The security groups that the project may use.
    pub security_groups: Asked<Vec<SecurityGroupSeen>>,
    pub volume_types: Asked<Vec<TypeSeen>>,
    pub pools: Asked<Vec<PoolSeen>>,
    /// The QoS policies that the project sees; empty where Neutron has none.
    pub qos_policies: Asked<Vec<QosPolicy>>,
    /// The project's server groups.
    pub server_groups: Asked<Vec<ServerGroupSeen>>,
    /// How many compute hosts are up and take servers, where the service user may see them.
    pub compute_hosts: Asked<usize>,
}

/// The two arrays of the group's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArraysSeen {
    /// The name of the one on the site where the group runs.
    pub source_array: String,
    /// The name of the other.
    pub target_array: String,
    /// Whether the first answers.
    pub source: Asked<()>,
    /// Whether the second answers.
    pub target: Asked<()>,
    /// What is not right with their set-up for each other, a sentence each.
    pub set_up: Asked<Vec<String>>,
    /// The group's recovery points on the second, newest first.
    pub points: Asked<Vec<RecoveryPoint>>,
    /// How far the first full copies on the second are.
    pub first_copies: Asked<ArrayProgress<()>>,
    /// Whether the first holds each volume, as far as the time sufficed.
    pub holds: Vec<(VolumeId, Asked<bool>)>,
}

/// What was asked for, and why it is not known.
type Named<'s> = (&'static str, &'s Silence);

fn silence<'s, T>(what: &'static str, asked: &'s Asked<T>) -> Option<Named<'s>> {
    asked.as_ref().err().map(|silence| (what, silence))
}

impl SourceSeen {
    /// All of it unknown for the same reason.
    pub fn silent(why: &Silence) -> Self {
        Self {
            servers: Err(why.clone()),
            volumes: Err(why.clone()),
            nics: Err(why.clone()),
            ports: Err(why.clone()),
            port_settings: Err(why.clone()),
            volume_types: Err(why.clone()),
            hosts: Err(why.clone()),
        }
    }

    pub(super) fn silences(&self) -> Vec<Named<'_>> {
        [
            silence("servers", &self.servers),
            silence("volumes", &self.volumes),
            silence("ports", &self.nics),
            silence("volume types", &self.volume_types),
            silence("compute hosts", &self.hosts),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl TargetSeen {
    /// All of it unknown for the same reason.
    pub fn silent(why: &Silence) -> Self {
        Self {
            compute_quota: Err(why.clone()),
            volume_quota: Err(why.clone()),
            network_quota: Err(why.clone()),
            networks: Err(why.clone()),
            flavors: Err(why.clone()),
            security_groups: Err(why.clone()),
            volume_types: Err(why.clone()),
            pools: Err(why.clone()),
            qos_policies: Err(why.clone()),
            server_groups: Err(why.clone()),
            compute_hosts: Err(why.clone()),
        }
    }

    pub(super) fn silences(&self) -> Vec<Named<'_>> {
        [
            silence("compute quota", &self.compute_quota),
            silence("volume quota", &self.volume_quota),
            silence("network quota", &self.network_quota),
            silence("networks", &self.networks),
            silence("flavors", &self.flavors),
            silence("security groups", &self.security_groups),
            silence("volume types", &self.volume_types),
            silence("volume pools", &self.pools),
            silence("server groups", &self.server_groups),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
