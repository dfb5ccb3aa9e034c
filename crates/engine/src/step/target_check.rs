//! Before anything is touched: can the target take the group?

use std::collections::BTreeMap;

use protector_core::{
    fault::Code,
    id::{FlavorId, NetworkId},
    journal::Effect,
    member::Flavor as KnownFlavor,
    operation::MapKind,
    plan::Plan,
};
use protector_openstack::{cloud::Cloud, id::VolumeTypeId, volume::Pool};

use super::{CloudActions, storage_stop};
use crate::{
    action::{Cx, Progress, Stop},
    clouds::{found, stop},
};

/// The key under which the target's import host is kept in the operation's map.
pub(super) const TARGET: &str = "target";

impl CloudActions {
    pub(super) async fn check_target(&self, cx: &mut Cx<'_>) -> Result<Progress, Stop> {
        let source_array = &cx.plan().source_array;
        let answer = self.storage.check(source_array).await;
        answer.map_err(storage_stop)?;
        self.check_target_alone(cx).await
    }

    /// The same without a word from the source or its array.
    pub(super) async fn check_target_alone(&self, cx: &mut Cx<'_>) -> Result<Progress, Stop> {
        let target = self.target(cx).await?;
        let plan = cx.plan();
        let answer = self.storage.check(&plan.target_array).await;
        answer.map_err(storage_stop)?;
        for network in plan.mappings.networks.values() {
            found(
                target
                    .network()
                    .network(&NetworkId::new(network.clone()))
                    .await,
            )?
            .ok_or_else(|| missing(plan, &format!("mapped network {network}")))?;
        }
        for flavor in flavors(plan) {
            flavor_on_target(&target, plan, flavor).await?;
        }
        refuse_missing_security_groups(&target, plan).await?;
        let admin = self.target_admin(cx).await?;
        let host = import_host(&admin, plan).await?;
        cx.fact(format!("volumes are imported through {host}"));
        Ok(Progress::Done(vec![Effect::Mapped {
            kind: MapKind::BackendHost,
            source: TARGET.to_owned(),
            target: host,
        }]))
    }
}

/// Each flavor of the members once: a hundred servers have a few flavors, and each is a call.
fn flavors(plan: &Plan) -> impl Iterator<Item = &KnownFlavor> {
    let by_id: BTreeMap<&str, &KnownFlavor> = plan
        .members
        .iter()
        .map(|member| (member.server.flavor.id.as_str(), &member.server.flavor))
        .collect();
    by_id.into_values()
}

fn missing(plan: &Plan, what: &str) -> Stop {
    Stop::last(
        Code::Missing,
        format!("{what} does not exist on {}", plan.target.site),
    )
}

/// The flavor for a member on the target: as mapped, else of the same id, else of the same name and size.
pub(super) async fn flavor_on_target(
    target: &Cloud,
    plan: &Plan,
    known: &KnownFlavor,
) -> Result<FlavorId, Stop> {
    if let Some(mapped) = plan.mappings.flavors.get(known.id.as_str()) {
        let mapped = FlavorId::new(mapped.clone());
        found(target.compute().flavor(&mapped).await)?
            .ok_or_else(|| missing(plan, &format!("mapped flavor {mapped}")))?;
        return Ok(mapped);
    }
    let flavors = target.compute().flavors().await.map_err(stop)?;
    let by_id = flavors.iter().find(|flavor| flavor.id == known.id);
    let by_name = flavors.iter().find(|flavor| {
        flavor.name == known.name
            && flavor.vcpus == u64::from(known.vcpus)
            && flavor.ram == known.ram_mib
    });
    by_id
        .or(by_name)
        .map(|flavor| flavor.id.clone())
        .ok_or_else(|| {
            let why = format!(
                "flavor {} ({}) has no counterpart on {}: give --flavor-mapping {}=<flavor id there>",
                known.name, known.id, plan.target.site, known.id
            );
            Stop::last(Code::Missing, why)
        })
}

async fn refuse_missing_security_groups(target: &Cloud, plan: &Plan) -> Result<(), Stop> {
    let there = target.network().security_groups(None).await.map_err(stop)?;
    let absent = plan
        .members
        .iter()
        .flat_map(|member| plan.security_groups_on_target(member))
        .find(|name| !there.iter().any(|group| group.name == *name));
    match absent {
        None => Ok(()),
        Some(name) => Err(missing(plan, &format!("security group {name}"))),
    }
}

/// The Cinder host that imports volumes of the group's type: the pool of the type's backend.
async fn import_host(admin: &Cloud, plan: &Plan) -> Result<String, Stop> {
    let pools = admin.volume().pools().await.map_err(stop)?;
    let backend = match &plan.target_volume_type {
        None => None,
        Some(id) => {
            let kind = found(
                admin
                    .volume()
                    .volume_type(&VolumeTypeId::new(id.clone()))
                    .await,
            )?
            .ok_or_else(|| missing(plan, &format!("volume type {id}")))?;
            kind.extra_specs.get("volume_backend_name").cloned()
        }
    };
    let fits = |pool: &&Pool| backend.is_none() || backend.as_deref() == pool.backend_name();
    let mut fitting = pools.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(pool), None) => Ok(pool.name.clone()),
        (None, _) => Err(missing(plan, "a Cinder pool for the group's volume type")),
        (Some(one), Some(other)) => Err(Stop::last(
            Code::Missing,
            format!(
                "more than one Cinder pool on {} takes the group's volume type ({}, {}): set volume_backend_name on it",
                plan.target.site, one.name, other.name
            ),
        )),
    }
}
