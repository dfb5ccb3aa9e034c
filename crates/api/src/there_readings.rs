//! What a site has for the copy of one server: asked for a comparison, each list with a deadline of its own.

use std::{collections::BTreeMap, net::IpAddr};

use futures_util::{StreamExt as _, stream};
use protector_core::{
    comparison::{AddressThere, ThereSeen},
    id::NetworkId,
    member::Flavor as KnownFlavor,
    readiness::Asked,
    site::SiteScope,
};
use protector_openstack::{
    cloud::Cloud,
    compute::Flavor,
    error::{CloudError as CallError, ErrorClass},
    network::PortFilter,
    service::Service,
};

use crate::{clouds::WantedThere, openstack_clouds::key_pair, site_readings::ask};

/// How many addresses are asked about at once.
const SIDE_BY_SIDE: usize = 8;

/// Reads the site: `tenant` is a session in the project of `scope`, `admin` one of the service user's own.
pub(crate) async fn there(
    tenant: &Cloud,
    admin: &Cloud,
    scope: &SiteScope,
    wanted: &WantedThere,
) -> ThereSeen {
    let (compute, network) = (tenant.compute(), tenant.network());
    let admin = admin.volume();
    let session = tenant.session();
    let (flavors, groups, zones, newest, pairs, addresses, types) = tokio::join!(
        ask(flavors(tenant, wanted)),
        ask(network.security_groups(&scope.project_id)),
        ask(compute.availability_zones()),
        ask(session.newest_microversion(Service::Compute)),
        ask(compute.keypairs()),
        addresses(tenant, scope, &wanted.addresses),
        ask(admin.types()),
    );
    ThereSeen {
        flavors,
        security_groups: groups.map(|groups| groups.into_iter().map(|group| group.name).collect()),
        zones,
        compute_minor: newest.map(|newest| u32::from(newest.minor)),
        key_pairs: pairs.map(|pairs| pairs.into_iter().map(key_pair).collect()),
        addresses,
        volume_types: types.map(|types| {
            let types = types.into_iter();
            types.map(|kind| (kind.id.to_string(), kind.name)).collect()
        }),
    }
}

/// The listed ones, and the mapped one: a list leaves private ones out.
async fn flavors(tenant: &Cloud, wanted: &WantedThere) -> Result<Vec<KnownFlavor>, CallError> {
    let compute = tenant.compute();
    let listed = compute.flavors().await?;
    let mut known: Vec<KnownFlavor> = listed.iter().map(Flavor::known).collect();
    let Some(mapped) = &wanted.flavor else {
        return Ok(known);
    };
    if known.iter().any(|flavor| flavor.id == *mapped) {
        return Ok(known);
    }
    match compute.flavor(mapped).await {
        Ok(mapped) => known.push(mapped.known()),
        Err(error) if error.class() == ErrorClass::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(known)
}

async fn addresses(
    tenant: &Cloud,
    scope: &SiteScope,
    wanted: &[(NetworkId, IpAddr)],
) -> BTreeMap<(NetworkId, IpAddr), Asked<AddressThere>> {
    let asked = wanted.iter().cloned().map(|(network, ip)| async move {
        let found = ask(address(tenant, scope, &network, ip)).await;
        ((network, ip), found)
    });
    stream::iter(asked)
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await
}

async fn address(
    tenant: &Cloud,
    scope: &SiteScope,
    network: &NetworkId,
    ip: IpAddr,
) -> Result<AddressThere, CallError> {
    let neutron = tenant.network();
    let subnets = neutron.subnets(network).await?;
    if !subnets.iter().any(|subnet| subnet.contains(ip)) {
        return Ok(AddressThere::Outside);
    }
    let taken = PortFilter {
        network_id: Some(network.clone()),
        ip_address: Some(ip.to_string()),
        ..PortFilter::default()
    };
    let ports = neutron.ports(&taken).await?;
    let kept = ports.iter().find(|port| port.is_kept_by(&scope.project_id));
    Ok(match kept {
        Some(port) => AddressThere::Kept(port.id.to_string()),
        None if ports.is_empty() => AddressThere::Free,
        None => AddressThere::InUse,
    })
}
