//! The floating IPs of a member's copy, once the group runs on the target: those that the recovery plan names lead to the copy.
//!
//! One that leads elsewhere is left there, and nothing of it is undone: it is no part of what a failed move takes back. The
//! source's own stay in their project, for the way back.

use std::net::IpAddr;

use protector_core::{
    fault::{Code, StepFailure},
    id::{NetworkId, ServerId},
    mark::floating_ip_description,
    member::{FloatingAddress, Member},
};
use protector_openstack::{
    cloud::Cloud,
    network::{FloatingIp, FloatingIpFilter, NewFloatingIp, Port, PortFilter},
};

use super::{
    counterparts::{mapped_network, member},
    ports,
    recovered_group::taken_in,
    site_clouds::SiteClouds,
};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::StepError,
};

/// Where a floating IP is to lead.
struct Goal {
    port: Port,
    fixed_ip: String,
}

/// The floating IP that is to lead there.
enum Wanted {
    /// One that the project has.
    Address(IpAddr),
    /// A new one of this outer network, with a description that tells it from all others.
    From { network: String, mark: String },
}

/// The step that gives them their floating IPs.
pub(super) struct FloatingIps<'a> {
    pub(super) clouds: SiteClouds<'a>,
}

impl FloatingIps<'_> {
    pub(super) async fn associate_floating_ips(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let member = member(cx, source_id)?.clone();
        let Some(copy) = taken_in(cx, source_id) else {
            cx.fact("not done: it was not recovered");
            return Ok(Progress::done());
        };
        let target = self.clouds.target(cx).await?;
        let on_target = cx.plan().floating_ips_on_target(&member);
        let (mut refused, mut not_yet) = (Vec::new(), None);
        for (number, ((index, floating), there)) in member.floating_ips().zip(on_target).enumerate()
        {
            let Some(there) = there else { continue };
            let wanted = wanted(&member, there, number);
            let goal = goal(&target, cx, &member, &copy, index, floating).await?;
            match lead(&target, cx, &wanted, &goal).await {
                // The others are not to suffer for either.
                Err(StepError::Fault(StepFailure::Final { code, why, .. })) => {
                    refused.push((code, why))
                }
                Err(passing @ StepError::Fault(StepFailure::Passing { .. })) => {
                    not_yet.get_or_insert(passing);
                }
                other => other?,
            }
        }
        if let Some(passing) = not_yet {
            refused.into_iter().for_each(|(_, why)| cx.fact(why));
            return Err(passing);
        }
        let Some((code, _)) = refused.first() else {
            return Ok(Progress::done());
        };
        let all: Vec<&str> = refused.iter().map(|(_, why)| why.as_str()).collect();
        Err(StepError::last(*code, all.join("; ")))
    }
}

fn wanted(member: &Member, there: String, number: usize) -> Wanted {
    match there.parse() {
        Ok(address) => Wanted::Address(address),
        Err(_) => Wanted::From {
            network: there,
            mark: floating_ip_description(&member.id, number),
        },
    }
}

/// The copy's port for the network card `index`, and its address that stands for the one that `floating` has led to.
async fn goal(
    target: &Cloud,
    cx: &StepContext<'_>,
    member: &Member,
    copy: &ServerId,
    index: usize,
    floating: &FloatingAddress,
) -> Result<Goal, StepError> {
    let gone = || {
        StepError::last(
            Code::Missing,
            format!("{copy} has no port for card {index}"),
        )
    };
    let nic = member.server.nics.get(index).ok_or_else(gone)?;
    let made = ports::made_for(cx, &member.server_id, index);
    let filter = PortFilter {
        device_id: Some(copy.to_string()),
        network_id: Some(mapped_network(cx, nic)?),
        ..PortFilter::default()
    };
    let all = target.network().ports(&filter).await.map_err(stop)?;
    let wanted = cx.plan().address_on_target(member, floating.fixed_ip);
    let has_it = |port: &&Port| {
        let mut addresses = port.fixed_ips.iter();
        addresses.any(|ip| ip.ip_address.as_deref() == Some(&*wanted.to_string()))
    };
    let by_map = all.iter().find(|port| Some(&port.id) == made.as_ref());
    let port = by_map.or_else(|| all.iter().find(has_it)).or(all.first());
    let port = port.cloned().ok_or_else(gone)?;
    let mut addresses: Vec<IpAddr> = port
        .fixed_ips
        .iter()
        .filter_map(|ip| ip.ip_address.as_ref()?.parse().ok())
        .filter(|ip: &IpAddr| ip.is_ipv4() == wanted.is_ipv4())
        .collect();
    // The one that stands for it first.
    addresses.sort_by_key(|ip| *ip != wanted);
    let fixed_ip = addresses.first().ok_or_else(gone)?.to_string();
    Ok(Goal { port, fixed_ip })
}

/// Lets a floating IP lead to its goal, if nothing else has it.
async fn lead(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    wanted: &Wanted,
    goal: &Goal,
) -> Result<(), StepError> {
    if let Some(there) = leads_there(target, cx, wanted, goal).await? {
        return told(cx, &there, goal);
    }
    let found = known(target, cx, wanted).await?;
    let outer = match wanted {
        Wanted::Address(_) => None,
        Wanted::From { network, .. } => Some(outer_network(target, cx, network).await?),
    };
    let intent = cx.intend().await?;
    if known(target, cx, wanted).await? != found {
        return Err(StepError::passing(
            "the floating IP has changed since it was read",
        ));
    }
    let open = intent.on(target);
    match (found, wanted, outer) {
        (Some(free), ..) => {
            let network = open.network();
            let led = network.associate_floating_ip(&free.id, &goal.port.id, &goal.fixed_ip);
            led.await.map_err(stop)?;
            told(cx, &free.floating_ip_address, goal)
        }
        (None, Wanted::From { mark, .. }, Some(floating_network_id)) => {
            let new = NewFloatingIp {
                floating_network_id,
                port_id: goal.port.id.clone(),
                fixed_ip_address: goal.fixed_ip.clone(),
                description: mark.clone(),
            };
            let made = open
                .network()
                .create_floating_ip(&new)
                .await
                .map_err(stop)?;
            told(cx, &made.floating_ip_address, goal)
        }
        (None, ..) => Err(missing(cx, wanted, goal)),
    }
}

fn told(cx: &mut StepContext<'_>, address: &str, goal: &Goal) -> Result<(), StepError> {
    cx.fact(format!(
        "floating IP {address} leads to {} of port {}",
        goal.fixed_ip, goal.port.id
    ));
    Ok(())
}

/// The outer address, if it leads to its goal already. One that leads elsewhere stays where it is.
async fn leads_there(
    target: &Cloud,
    cx: &StepContext<'_>,
    wanted: &Wanted,
    goal: &Goal,
) -> Result<Option<String>, StepError> {
    let Some(found) = known(target, cx, wanted).await? else {
        return match wanted {
            Wanted::Address(_) => Err(missing(cx, wanted, goal)),
            Wanted::From { .. } => Ok(None),
        };
    };
    let address = &found.floating_ip_address;
    match &found.port_id {
        None => Ok(None),
        Some(port) if *port == goal.port.id => Ok(Some(address.clone())),
        Some(port) => Err(StepError::last(
            Code::Refused,
            format!(
                "floating IP {address} leads to port {port} and is left there; 'openstack --os-cloud {} floating ip set --port {} --fixed-ip-address {} {address}' takes it to the copy",
                cx.plan().target.site,
                goal.port.id,
                goal.fixed_ip
            ),
        )),
    }
}

async fn known(
    target: &Cloud,
    cx: &StepContext<'_>,
    wanted: &Wanted,
) -> Result<Option<FloatingIp>, StepError> {
    let mut filter = FloatingIpFilter {
        project_id: Some(cx.plan().target.project_id.clone()),
        ..FloatingIpFilter::default()
    };
    match wanted {
        Wanted::Address(address) => filter.address = Some(*address),
        Wanted::From { mark, .. } => filter.description = Some(mark.clone()),
    }
    let found = target.network().floating_ips(&filter).await.map_err(stop)?;
    Ok(found.into_iter().next())
}

fn missing(cx: &StepContext<'_>, wanted: &Wanted, goal: &Goal) -> StepError {
    let site = &cx.plan().target.site;
    let address = match wanted {
        Wanted::Address(address) => address.to_string(),
        Wanted::From { network, .. } => format!("of {network}"),
    };
    StepError::last(
        Code::Missing,
        format!(
            "floating IP {address} is not in project {} of {site}: when it is, 'openstack --os-cloud {site} floating ip set --port {} --fixed-ip-address {} {address}' takes it to the copy",
            cx.plan().target.project_id,
            goal.port.id,
            goal.fixed_ip
        ),
    )
}

/// The id of an outer network that is named, or given by its id.
async fn outer_network(
    target: &Cloud,
    cx: &StepContext<'_>,
    wanted: &str,
) -> Result<NetworkId, StepError> {
    let all = target.network().networks(None).await.map_err(stop)?;
    let mut named = all
        .into_iter()
        .filter(|network| network.external)
        .filter(|network| network.id.as_str() == wanted || network.name == wanted);
    match (named.next(), named.next()) {
        (Some(network), None) => Ok(network.id),
        (found, _) => {
            let how_many = found.map_or("no network", |_| "more than one network");
            Err(StepError::last(
                Code::Missing,
                format!(
                    "{} has {how_many} {wanted} that is external: name the external network by its id in the recovery plan (floating_ips)",
                    cx.plan().target.site
                ),
            ))
        }
    }
}
