//! What a cloud shows of a tenant's project for the readiness check, in lists: a group of hundreds of servers costs as
//! many calls as one of two.
//!
//! Each list has a deadline of its own, and one that fails takes nothing else away.

use std::collections::BTreeMap;
use std::time::Duration;

use protector_core::group::ReplicationType;
use protector_core::id::NetworkId;
use protector_core::id::ProjectId;
use protector_core::id::ServerId;
use protector_core::readiness::Asked;
use protector_core::readiness::PoolSeen;
use protector_core::readiness::ServerSeen;
use protector_core::readiness::Silence;
use protector_core::readiness::SourceSeen;
use protector_core::readiness::TargetSeen;
use protector_core::readiness::Usage;
use protector_core::readiness::VolumeSeen;
use protector_core::security_group::SecurityGroupSeen;
use protector_core::site::SiteScope;
use protector_openstack::cloud::Cloud;
use protector_openstack::compute::ComputeService;
use protector_openstack::compute::NovaFlavor;
use protector_openstack::compute::NovaServerGroup;
use protector_openstack::compute::Server;
use protector_openstack::compute::ServerFilter;
use protector_openstack::error::CallError;
use protector_openstack::error::ErrorClass;
use protector_openstack::network::Port;
use protector_openstack::network::PortFilter;
use protector_openstack::network::SecurityGroup;
use protector_openstack::quota_set::QuotaUsage;
use protector_openstack::volume::Snapshot;
use protector_openstack::volume::Volume;
use protector_openstack::volume::VolumeFilter;
use protector_openstack::volume::VolumeType;

use crate::clouds::CloudError;
use crate::clouds::FoundVolumeType;
use crate::found_server::port_as_listed;
use crate::volume_type;

/// How long one list may take.
pub const PATIENCE: Duration = Duration::from_secs(15);

impl From<CloudError> for Silence {
    fn from(error: CloudError) -> Self {
        match error {
            CloudError::Unreachable { why, .. } => Self::Unreachable(why),
            CloudError::Refused { why, .. } => Self::Refused(why),
            CloudError::NotTold { why, .. } => Self::NotTold(why),
        }
    }
}

/// One call, given up after [`PATIENCE`].
pub(crate) async fn ask<T>(call: impl Future<Output = Result<T, CallError>>) -> Asked<T> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(silence(&error)),
        Err(_) => Err(late()),
    }
}

/// An answer of an extension that a cloud may lack.
fn absent_as_empty<T: Default>(answer: Result<T, CallError>) -> Result<T, CallError> {
    match answer {
        Err(error) if error.class() == ErrorClass::NotFound => Ok(T::default()),
        answer => answer,
    }
}

fn late() -> Silence {
    Silence::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))
}

pub(crate) fn silence(error: &CallError) -> Silence {
    let why = error.to_string();
    match error.class() {
        ErrorClass::Passing | ErrorClass::Unreachable | ErrorClass::Ambiguous
            if error.may_be_of_a_lost_cloud() =>
        {
            Silence::Unreachable(why)
        }
        ErrorClass::Passing | ErrorClass::Unreachable | ErrorClass::Ambiguous => {
            Silence::NotTold(why)
        }
        ErrorClass::Final
        | ErrorClass::NotFound
        | ErrorClass::Conflict
        | ErrorClass::Unauthorized
        | ErrorClass::Forbidden => Silence::Refused(why),
    }
}

/// Reads the site where a group runs: `tenant` is a session in its project, `admin` one of the service user's own.
pub(crate) async fn source(
    tenant: &Cloud,
    admin: &Cloud,
    scope: &SiteScope,
    wanted: ReplicationType,
) -> SourceSeen {
    let (compute, volume, network) = (tenant.compute(), tenant.volume(), tenant.network());
    let (all_servers, all_volumes) = (ServerFilter::all(), VolumeFilter::all());
    let all_ports = PortFilter {
        project_id: Some(scope.project_id.clone()),
        ..PortFilter::default()
    };
    let (admin_compute, admin_volume) = (admin.compute(), admin.volume());
    let (servers, volumes, snapshots, ports, groups, types, hosts) = tokio::join!(
        ask(compute.servers(&all_servers)),
        ask(volume.volumes(&all_volumes)),
        ask(volume.all_snapshots()),
        ask(network.ports(&all_ports)),
        ask(network.security_groups(&scope.project_id)),
        ask(admin_volume.types()),
        ask(admin_compute.services(Some("nova-compute"))),
    );
    SourceSeen {
        servers: servers.map(|servers| servers.into_iter().map(server_seen).collect()),
        volumes: volumes.and_then(|volumes| Ok(volumes_seen(volumes, &snapshots?))),
        ports: ports.clone().map(|ports| {
            let cards = cards(&ports);
            cards
                .map(|port| (ServerId::new(port.device_id.clone()), port.traits()))
                .collect()
        }),
        port_settings: ports.clone().and_then(|ports| {
            let groups = groups?;
            let settings = cards(&ports).map(|port| {
                let server = ServerId::new(port.device_id.clone());
                (server, port_as_listed(port, &groups))
            });
            Ok(settings.collect())
        }),
        nics: ports.map(|ports| {
            let cards = cards(&ports);
            cards
                .map(|port| {
                    (
                        ServerId::new(port.device_id.clone()),
                        port.network_id.clone(),
                    )
                })
                .collect::<Vec<(ServerId, NetworkId)>>()
        }),
        volume_types: types.map(|types| types_seen(types, wanted)),
        hosts: hosts.map(|_| ()),
    }
}

/// Reads the site to which a group would go.
pub(crate) async fn target(
    tenant: &Cloud,
    admin: &Cloud,
    scope: &SiteScope,
    wanted: ReplicationType,
) -> TargetSeen {
    let (compute, volume, network) = (tenant.compute(), tenant.volume(), tenant.network());
    let hosts = admin.compute();
    let admin = admin.volume();
    let project = &scope.project_id;
    let (
        instances,
        disks,
        ports,
        networks,
        flavors,
        groups,
        types,
        pools,
        together,
        hosts,
        policies,
    ) = tokio::join!(
        ask(compute.quota(project)),
        ask(volume.quota(project)),
        ask(async { absent_as_empty(network.quota(project).await) }),
        ask(network.networks(None)),
        ask(compute.flavors()),
        ask(network.security_groups(project)),
        ask(admin.types()),
        ask(admin.pools()),
        ask(compute.server_groups()),
        ask(hosts.services(Some("nova-compute"))),
        ask(network.qos_policies()),
    );
    TargetSeen {
        qos_policies: policies,
        compute_quota: instances.map(usages),
        volume_quota: disks.map(usages),
        network_quota: ports.map(usages),
        networks: networks.map(|networks| networks.into_iter().map(|net| net.id).collect()),
        flavors: flavors.map(|flavors| flavors.iter().map(NovaFlavor::known).collect()),
        security_groups: groups.map(|groups| groups_seen(&groups, project)),
        volume_types: types.map(|types| types_seen(types, wanted)),
        pools: pools.map(|pools| {
            pools
                .into_iter()
                .map(|pool| PoolSeen {
                    backend: pool.backend_name().map(str::to_owned),
                    name: pool.name,
                })
                .collect()
        }),
        server_groups: together.map(|groups| groups.iter().map(NovaServerGroup::seen).collect()),
        compute_hosts: hosts.map(|hosts| hosts.iter().filter(|host| takes_servers(host)).count()),
    }
}

pub(crate) fn groups_seen(groups: &[SecurityGroup], project: &ProjectId) -> Vec<SecurityGroupSeen> {
    groups.iter().map(|group| group.seen_by(project)).collect()
}

/// Whether the scheduler may choose a host.
fn takes_servers(host: &ComputeService) -> bool {
    (host.state.as_str(), host.status.as_str(), host.forced_down) == ("up", "enabled", false)
}

/// The network cards of servers.
fn cards(ports: &[Port]) -> impl Iterator<Item = &Port> {
    let cards = ports.iter();
    cards.filter(|port| port.device_owner.starts_with("compute:"))
}

fn server_seen(server: Server) -> ServerSeen {
    ServerSeen {
        status: server.status.as_str().to_owned(),
        locked: server.locked,
        traits: server.traits(),
        settings: server.settings(),
        floating_ips: server.floating_ips(),
        flavor_name: server.flavor.original_name,
        vcpus: server.flavor.vcpus,
        ram_mib: server.flavor.ram,
        volumes: server
            .volumes_attached
            .into_iter()
            .map(|volume| volume.id)
            .collect(),
        id: server.id,
    }
}

fn volumes_seen(volumes: Vec<Volume>, snapshots: &[Snapshot]) -> Vec<VolumeSeen> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for snapshot in snapshots {
        *count.entry(snapshot.volume_id.as_str()).or_default() += 1;
    }
    volumes
        .into_iter()
        .map(|volume| VolumeSeen {
            traits: volume.traits(),
            name: volume.name.unwrap_or_default(),
            metadata: volume.metadata,
            snapshots: count.get(volume.id.as_str()).copied().unwrap_or_default(),
            status: volume.status.as_str().to_owned(),
            size_gib: volume.size,
            volume_type: volume.volume_type,
            servers: volume
                .attachments
                .into_iter()
                .map(|place| place.server_id)
                .collect(),
            id: volume.id,
        })
        .collect()
}

fn types_seen(
    types: Vec<VolumeType>,
    wanted: ReplicationType,
) -> Vec<protector_core::readiness::TypeSeen> {
    types
        .into_iter()
        .map(|kind| {
            let found = FoundVolumeType {
                id: kind.id.to_string(),
                name: kind.name,
                extra_specs: kind.extra_specs,
            };
            volume_type::seen(found, wanted)
        })
        .collect()
}

fn usages(quota: BTreeMap<String, QuotaUsage>) -> BTreeMap<String, Usage> {
    quota
        .into_iter()
        .map(|(resource, usage)| {
            let usage = Usage {
                used: usage.in_use.saturating_add(usage.reserved),
                limit: usage.limit,
            };
            (resource, usage)
        })
        .collect()
}
