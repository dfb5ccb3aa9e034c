//! What a site has for the copies of servers: asked for comparisons, each list once and with a deadline of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures_util::{StreamExt as _, stream};
use protector_core::{
    comparison::{AddressThere, NetworkThere, ThereSeen},
    id::NetworkId,
    member::Flavor as KnownFlavor,
    readiness::Asked,
    site::SiteScope,
};
use protector_openstack::{
    cloud::Cloud,
    compute::NovaFlavor,
    error::{CallError, ErrorClass},
    network::{Net, Port, PortFilter, Subnet},
    service::Service,
};

use crate::{
    clouds::WantedThere,
    found_server::key_pair,
    site_readings::{ask, groups_seen},
};

/// How many networks are read at once.
const SIDE_BY_SIDE: usize = 8;

/// For how many addresses Neutron is asked at a time. Each takes up to 68 bytes of the URL (`&fixed_ips=ip_address%3D` and an IPv6
/// address with its colons escaped), and uWSGI reads the request's line and its headers, a token among them, into 4096 bytes.
const ADDRESSES_AT_A_TIME: usize = 15;

/// Reads the site: `tenant` is a session in the project of `scope`, `admin` one of the service user's own.
pub(crate) async fn there(
    tenant: &Cloud,
    admin: &Cloud,
    scope: &SiteScope,
    shared: SharedNetworks,
    wanted: &WantedThere,
) -> ThereSeen {
    let (compute, network) = (tenant.compute(), tenant.network());
    let admin = admin.volume();
    let session = tenant.session();
    let (flavors, groups, zones, newest, pairs, told, types, policies) = tokio::join!(
        ask(flavors(tenant, wanted)),
        ask(network.security_groups(&scope.project_id)),
        ask(compute.availability_zones()),
        ask(session.newest_microversion(Service::Compute)),
        ask(compute.keypairs()),
        of_networks(tenant, scope, shared, wanted),
        ask(admin.types()),
        ask(network.qos_policies()),
    );
    ThereSeen {
        flavors,
        security_groups: groups.map(|groups| groups_seen(&groups, &scope.project_id)),
        zones,
        compute_minor: newest.map(|newest| u32::from(newest.minor)),
        key_pairs: pairs.map(|pairs| pairs.into_iter().map(key_pair).collect()),
        networks: told.networks,
        addresses: told.addresses,
        qos_policies: policies,
        volume_types: types.map(|types| {
            let types = types.into_iter();
            types.map(|kind| (kind.id.to_string(), kind.name)).collect()
        }),
    }
}

/// The listed ones, and the mapped ones: a list leaves private ones out.
async fn flavors(tenant: &Cloud, wanted: &WantedThere) -> Result<Vec<KnownFlavor>, CallError> {
    let compute = tenant.compute();
    let listed = compute.flavors().await?;
    let mut known: Vec<KnownFlavor> = listed.iter().map(NovaFlavor::known).collect();
    for mapped in &wanted.flavors {
        if known.iter().any(|flavor| flavor.id == *mapped) {
            continue;
        }
        match compute.flavor(mapped).await {
            Ok(mapped) => known.push(mapped.known()),
            Err(error) if error.class() == ErrorClass::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}

/// What is known of networks and of addresses in them.
#[derive(Default)]
struct OfNetworks {
    networks: BTreeMap<NetworkId, Asked<NetworkThere>>,
    addresses: BTreeMap<(NetworkId, IpAddr), Asked<AddressThere>>,
}

/// Each network is read once, for however many addresses.
async fn of_networks(
    tenant: &Cloud,
    scope: &SiteScope,
    shared: SharedNetworks,
    wanted: &WantedThere,
) -> OfNetworks {
    let networks = wanted.networks.iter();
    let mut of_networks: BTreeMap<NetworkId, BTreeSet<IpAddr>> = networks
        .map(|network| (network.clone(), BTreeSet::new()))
        .collect();
    for (network, address) in &wanted.addresses {
        of_networks
            .entry(network.clone())
            .or_default()
            .insert(*address);
    }
    let asked = of_networks.into_iter().map(|(network, wanted)| async move {
        let read = ask(read_network(tenant, &network, &wanted)).await;
        (network, wanted, read)
    });
    let all: Vec<_> = stream::iter(asked)
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    let mut told = OfNetworks::default();
    for (network, wanted, read) in all {
        let owner = read.as_ref().map(|read| read.owner(scope, shared));
        let owner = owner.map_err(Clone::clone);
        for address in wanted {
            let found = read
                .as_ref()
                .map(|read| read.address(scope, shared, address));
            let found = found.map_err(Clone::clone);
            told.addresses.insert((network.clone(), address), found);
        }
        told.networks.insert(network, owner);
    }
    told
}

/// A network, and those ports of it that have a wanted address and that the tenant sees.
struct NetworkRead {
    network: Net,
    subnets: Vec<Subnet>,
    ports: Vec<Port>,
}

async fn read_network(
    tenant: &Cloud,
    id: &NetworkId,
    wanted: &BTreeSet<IpAddr>,
) -> Result<NetworkRead, CallError> {
    let neutron = tenant.network();
    let (network, subnets, ports) = tokio::try_join!(
        neutron.network(id),
        neutron.subnets(id),
        ports_with(tenant, id, wanted)
    )?;
    Ok(NetworkRead {
        network,
        subnets,
        ports,
    })
}

/// A network may have thousands of ports that nobody here asks for.
async fn ports_with(
    tenant: &Cloud,
    network: &NetworkId,
    wanted: &BTreeSet<IpAddr>,
) -> Result<Vec<Port>, CallError> {
    let wanted: Vec<String> = wanted.iter().map(IpAddr::to_string).collect();
    let mut ports = Vec::new();
    for some in wanted.chunks(ADDRESSES_AT_A_TIME) {
        let filter = PortFilter {
            network_id: Some(network.clone()),
            ip_addresses: some.to_vec(),
            ..PortFilter::default()
        };
        ports.extend(tenant.network().ports(&filter).await?);
    }
    Ok(ports)
}

impl NetworkRead {
    fn owner(&self, scope: &SiteScope, shared: SharedNetworks) -> NetworkThere {
        match shared {
            _ if self.network.project_id == scope.project_id => NetworkThere::Own,
            SharedNetworks::OwnerChooses => NetworkThere::Foreign,
            SharedNetworks::TenantsChoose => NetworkThere::Open,
        }
    }

    fn address(&self, scope: &SiteScope, shared: SharedNetworks, wanted: IpAddr) -> AddressThere {
        if !self.subnets.iter().any(|subnet| subnet.contains(wanted)) {
            return AddressThere::Outside;
        }
        let wanted = wanted.to_string();
        let holders = self.ports.iter().filter(|port| {
            let mut addresses = port.fixed_ips.iter();
            addresses.any(|fixed| fixed.ip_address.as_ref() == Some(&wanted))
        });
        let holders: Vec<&Port> = holders.collect();
        let kept = holders
            .iter()
            .find(|port| port.is_kept_by(&scope.project_id));
        match kept {
            Some(port) => AddressThere::Kept(port.id.to_string()),
            None if !holders.is_empty() => AddressThere::InUse,
            None if self.owner(scope, shared) == NetworkThere::Foreign => AddressThere::Foreign,
            None => AddressThere::Free,
        }
    }
}

/// Who chooses addresses and MAC addresses on a network that another project shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedNetworks {
    /// Its owner alone, by Neutron's default policy.
    #[default]
    OwnerChooses,
    /// Tenants too, as an operator says.
    TenantsChoose,
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use protector_core::site::SiteScope;
    use protector_openstack::{
        catalog::EndpointInterface,
        credentials::{Credentials, ProjectScope},
        network::{FixedIp, NewPort},
        options::ClientOptions,
        session::Session,
    };
    use protector_simcloud::{
        backend::MemBackend,
        cloud::{CloudOptions, NetworkSeed, SimCloud},
        in_process::{Calm, InProcess, SharedCloud, lock},
    };

    use super::*;

    /// More servers than Neutron is asked for addresses at a time.
    const SERVERS: u8 = 20;

    /// A tenant with servers on a network of its own, `10.20.0.0/24`, and another project's network `10.9.0.0/24`, which is
    /// shared.
    async fn tenant() -> (SharedCloud, Cloud, SiteScope) {
        let mut options = CloudOptions::demo("site-b", "http://site-b");
        options.networks.push(NetworkSeed {
            name: "shared-net".to_owned(),
            project: "other".to_owned(),
            shared: true,
            external: false,
            cidrs: vec!["10.9.0.0/24".to_owned()],
        });
        let options = options.with_fleet(SERVERS.into());
        let backend = Box::new(MemBackend::new(Arc::default()));
        let cloud = Arc::new(Mutex::new(SimCloud::new(options, backend)));
        let credentials = Credentials {
            auth_url: "http://site-b/identity/v3".into(),
            username: "demo".into(),
            password: "demo".into(),
            user_domain_name: "Default".into(),
            project: ProjectScope::Name {
                name: "demo".into(),
                domain: "Default".into(),
            },
            region_name: Some("site-b".into()),
            interface: EndpointInterface::Public,
        };
        let transport = Arc::new(InProcess::new(vec![Arc::clone(&cloud)], Arc::new(Calm)));
        let session = Session::new(transport, credentials, ClientOptions::default());
        let scope = SiteScope {
            site: "site-b".into(),
            project_id: session.project_id().await.unwrap(),
        };
        (cloud, Cloud::new(session), scope)
    }

    fn network(cloud: &SharedCloud, name: &str) -> NetworkId {
        lock(cloud).network_id(name).unwrap().into()
    }

    async fn told(
        tenant: &Cloud,
        scope: &SiteScope,
        shared: SharedNetworks,
        wanted: &[(NetworkId, IpAddr)],
    ) -> OfNetworks {
        let wanted = WantedThere {
            addresses: wanted.to_vec(),
            ..WantedThere::default()
        };
        of_networks(tenant, scope, shared, &wanted).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_owns_a_network_says_who_chooses_addresses_on_it() {
        let (cloud, tenant, scope) = tenant().await;
        let [own, shared] = ["demo-net", "shared-net"].map(|name| network(&cloud, name));
        let free = [
            (own.clone(), IpAddr::from([10, 20, 0, 200])),
            (shared.clone(), IpAddr::from([10, 9, 0, 200])),
        ];
        for (who, owner, address) in [
            (
                SharedNetworks::OwnerChooses,
                NetworkThere::Foreign,
                AddressThere::Foreign,
            ),
            (
                SharedNetworks::TenantsChoose,
                NetworkThere::Open,
                AddressThere::Free,
            ),
        ] {
            let told = told(&tenant, &scope, who, &free).await;
            assert_eq!(told.networks[&own], Ok(NetworkThere::Own));
            assert_eq!(told.addresses[&free[0]], Ok(AddressThere::Free));
            assert_eq!(told.networks[&shared], Ok(owner));
            assert_eq!(told.addresses[&free[1]], Ok(address));
        }
        let unknown = [(NetworkId::new("gone"), IpAddr::from([10, 20, 0, 200]))];
        let told = told(&tenant, &scope, SharedNetworks::OwnerChooses, &unknown).await;
        assert!(told.networks[&unknown[0].0].is_err());
        assert!(told.addresses[&unknown[0]].is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_free_or_in_use_or_kept_or_outside_however_many_are_asked_for() {
        let (cloud, tenant, scope) = tenant().await;
        let own = network(&cloud, "demo-net");
        let mut port = NewPort::on(own.clone(), "kept");
        port.fixed_ips = vec![FixedIp {
            subnet_id: None,
            ip_address: Some("10.20.0.100".to_owned()),
        }];
        let kept = tenant.network().create_port(&port).await.unwrap();
        let address = |last: u8| (own.clone(), IpAddr::from([10, 20, 0, last]));
        let outside = (own.clone(), IpAddr::from([192, 0, 2, 1]));
        let held: Vec<_> = (2..SERVERS + 2).map(address).collect();
        let mut wanted = held.clone();
        wanted.extend([address(100), address(200), outside.clone()]);
        lock(&cloud).reset_call_log();
        let told = told(&tenant, &scope, SharedNetworks::OwnerChooses, &wanted).await;
        for held in &held {
            assert_eq!(told.addresses[held], Ok(AddressThere::InUse), "{held:?}");
        }
        let is_kept = AddressThere::Kept(kept.id.to_string());
        assert_eq!(told.addresses[&address(100)], Ok(is_kept));
        assert_eq!(told.addresses[&address(200)], Ok(AddressThere::Free));
        assert_eq!(told.addresses[&outside], Ok(AddressThere::Outside));
        let cloud = lock(&cloud);
        let paths = cloud.call_log().iter().map(|call| call.path.clone());
        let reads: Vec<usize> = paths
            .filter(|path| path.contains("/ports?"))
            .map(|path| path.matches("fixed_ips=ip_address").count())
            .collect();
        assert_eq!(reads.iter().sum::<usize>(), wanted.len(), "each once");
        let is_bounded = |count: &usize| (1..=ADDRESSES_AT_A_TIME).contains(count);
        assert!(reads.iter().all(is_bounded), "{reads:?}");
    }
}
