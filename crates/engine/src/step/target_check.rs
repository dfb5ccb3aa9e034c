//! Before anything is touched: can the target take the group?

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use protector_core::{
    fault::{Code, StepFailure},
    id::{FlavorId, NetworkId},
    mark::items_of_copy,
    member::{Flavor as KnownFlavor, Member},
    operation::Mapped,
    plan::Plan,
    security_group::{NoSecurityGroup, SecurityGroupSeen, resolve},
};
use protector_openstack::{
    cloud::Cloud, compute::NovaFlavor, error::ErrorClass, id::VolumeTypeId, status::VolumeStatus,
    volume::Pool,
};

use super::{
    arrays::Arrays,
    counterparts::user_data_of,
    original_beside::asked_again,
    reading,
    scope::{Absent, Eyes, believe_absence, target_networks},
    server_group::absent_server_groups,
    site_clouds::SiteClouds,
};
use crate::{
    action::{Progress, StepContext},
    clouds::{found, stop},
    step_error::{StepError, storage_stop},
};

/// How many members are looked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// Steps that see whether the target can take a group.
pub(super) struct TargetCheck<'a> {
    pub(super) clouds: SiteClouds<'a>,
    pub(super) arrays: &'a Arrays,
}

impl TargetCheck<'_> {
    /// For a planned move, in which all members move or none: each must find what it needs, and no earlier life of it.
    pub(super) async fn check_target(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let source_array = &cx.plan().source_array;
        let answer = self.arrays.check(source_array).await;
        answer.map_err(storage_stop)?;
        let target = self.clouds.target(cx).await?;
        if let Some(lack) = lacking(&target, cx.plan()).await?.into_iter().next() {
            return Err(lack.stop());
        }
        if let Some(not_yet) = self.clouds.any_original_may_run(cx).await? {
            return Ok(not_yet);
        }
        if let Some(not_yet) = self.any_copy_may_run(cx).await? {
            return Ok(not_yet);
        }
        refuse_without_the_unrecovered(&target, cx).await?;
        self.check_storage_of_target(cx).await
    }

    /// What no copy will be built beside is better found now than when everything was stopped for it; each build looks again.
    async fn any_copy_may_run(&self, cx: &StepContext<'_>) -> Result<Option<Progress>, StepError> {
        let looks: Vec<_> = cx
            .plan()
            .members
            .iter()
            .map(|member| {
                let look = || self.clouds.another_copy_may_run(cx, &member.server_id);
                asked_again(look).boxed()
            })
            .collect();
        let seen: Vec<Option<Progress>> = stream::iter(looks)
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        Ok(seen.into_iter().flatten().next())
    }

    /// Without a word from the source or its array, for the members that find what they need: the others fail by
    /// themselves and hold nobody up. With none left, nothing is begun.
    pub(super) async fn check_target_alone(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let target = self.clouds.target(cx).await?;
        let lacking = lacking(&target, cx.plan()).await?;
        let nobody_is_left = lacking.len() == cx.plan().members.len();
        for lack in lacking {
            if nobody_is_left {
                return Err(lack.stop());
            }
            cx.fact(format!("{} cannot be recovered: {}", lack.member, lack.why));
        }
        self.check_storage_of_target(cx).await
    }

    /// Whether the target's array answers, and which Cinder host imports the volumes.
    async fn check_storage_of_target(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let answer = self.arrays.check(&cx.plan().target_array).await;
        answer.map_err(storage_stop)?;
        let admin = self.clouds.target_admin(cx).await?;
        let host = import_host(&admin, cx.plan()).await?;
        refuse_other_backends(&admin, cx.plan()).await?;
        cx.fact(format!("volumes are imported through {host}"));
        Ok(Progress::Done(vec![Mapped::BackendHost { host }.into()]))
    }
}

/// Members that the last failover could not recover are where the group goes, and it is whole again there. Of one that is
/// gone from there too, all that is left is on the site that the group would leave.
pub(super) async fn refuse_without_the_unrecovered(
    target: &Cloud,
    cx: &StepContext<'_>,
) -> Result<(), StepError> {
    let plan = cx.plan();
    for member in &plan.others {
        let Some(lost) = lost_of(target, plan, member).await? else {
            continue;
        };
        return Err(StepError::last(
            Code::Missing,
            format!(
                "{name} was not recovered on {source}, and {lost} is gone from {target}: what is left of it is on {source} alone, so the group does not leave there without it; 'openstack dr retry {group}' recovers it there first, 'openstack dr member remove {group} {name} --give-up' gives it up",
                name = member.name,
                source = plan.source.site,
                target = plan.target.site,
                group = plan.group_name
            ),
        ));
    }
    Ok(())
}

/// What a member that was not recovered lacks of its original, if it lacks anything: a server whose volumes are gone has none of
/// its bytes.
async fn lost_of(
    target: &Cloud,
    plan: &Plan,
    member: &Member,
) -> Result<Option<String>, StepError> {
    let networks = target_networks(plan);
    let project = &plan.target.project_id;
    let server = reading::server(target, &member.server_id).await?;
    if server.is_none_or(|server| reading::is_being_deleted(&server)) {
        let (absent, eyes) = (Absent::Server, Eyes::Tenant);
        believe_absence(target, absent, eyes, project, &networks).await?;
        return Ok(Some(format!("its original {}", member.server_id)));
    }
    for volume in &member.volumes {
        let there = reading::volume(target, &volume.id).await?;
        if there.is_some_and(|volume| !is_going(&volume.status)) {
            continue;
        }
        let (absent, eyes) = (Absent::Volume, Eyes::Tenant);
        believe_absence(target, absent, eyes, project, &networks).await?;
        return Ok(Some(format!(
            "volume {} of its original {}",
            volume.id, member.server_id
        )));
    }
    Ok(None)
}

fn is_going(status: &VolumeStatus) -> bool {
    matches!(status, VolumeStatus::Deleting | VolumeStatus::ErrorDeleting)
}

/// A member that does not find on the target what it needs.
struct Lack {
    member: String,
    why: String,
}

impl Lack {
    fn stop(self) -> StepError {
        StepError::last(Code::Missing, self.why)
    }
}

/// Each member that lacks something, with the first thing that it lacks.
async fn lacking(target: &Cloud, plan: &Plan) -> Result<Vec<Lack>, StepError> {
    let networks = absent_networks(target, plan).await?;
    let flavors = absent_flavors(target, plan).await?;
    let server_groups = absent_server_groups(target, plan).await?;
    let groups = security_groups_there(target, plan).await?;
    let metadata = most_metadata(target).await?;
    let first_lack = |member: &Member| {
        let network = member
            .server
            .nics
            .iter()
            .find_map(|nic| networks.get(nic.network_id.as_str()));
        let flavor = flavors.get(member.server.flavor.id.as_str());
        let in_group = member.server.server_group.as_ref();
        let mapped_group = in_group.and_then(|known| server_groups.get(known.id.as_str()));
        let group = no_such_group(plan, member, &groups);
        network
            .or(flavor)
            .cloned()
            .or(group)
            .or_else(|| mapped_group.cloned())
            .or_else(|| user_data_of(plan, member).err())
            .or_else(|| too_much_metadata(plan, member, metadata?))
    };
    Ok(plan
        .members
        .iter()
        .filter_map(|member| {
            first_lack(member).map(|why| Lack {
                member: member.name.clone(),
                why,
            })
        })
        .collect())
}

/// The first security group of a member or of one of its ports that is not one group's name, or id, on the target.
fn no_such_group(plan: &Plan, member: &Member, there: &[SecurityGroupSeen]) -> Option<String> {
    let wanted = plan.recovery.security_groups_on_target(member).into_iter();
    wanted
        .map(|(_, there)| there)
        .find_map(|name| match resolve(name, there).err()? {
            NoSecurityGroup::Absent => Some(absent(plan, &format!("security group {name}"))),
            several @ NoSecurityGroup::Several(_) => Some(several.in_words(name, &plan.target)),
        })
}

/// The security groups that copies may have.
pub(super) async fn security_groups_there(
    target: &Cloud,
    plan: &Plan,
) -> Result<Vec<SecurityGroupSeen>, StepError> {
    let project = &plan.target.project_id;
    let groups = target.network().security_groups(project).await;
    let groups = groups.map_err(stop)?.into_iter();
    Ok(groups.map(|group| group.seen_by(project)).collect())
}

/// The source networks whose counterpart is gone, each with a sentence.
async fn absent_networks<'p>(
    target: &Cloud,
    plan: &'p Plan,
) -> Result<BTreeMap<&'p str, String>, StepError> {
    let mut gone = BTreeMap::new();
    for (source, mapped) in &plan.mappings.networks {
        let id = NetworkId::new(mapped.clone());
        if found(target.network().network(&id).await)?.is_none() {
            let why = absent(plan, &format!("mapped network {mapped}"));
            gone.insert(source.as_str(), why);
        }
    }
    Ok(gone)
}

/// The members' flavors without a counterpart, each with a sentence. A hundred servers have a few flavors, and each is a
/// call.
async fn absent_flavors<'p>(
    target: &Cloud,
    plan: &'p Plan,
) -> Result<BTreeMap<&'p str, String>, StepError> {
    let known: BTreeMap<&str, &KnownFlavor> = plan
        .members
        .iter()
        .map(|member| (member.server.flavor.id.as_str(), &member.server.flavor))
        .collect();
    let mut gone = BTreeMap::new();
    for (id, flavor) in known {
        match flavor_on_target(target, plan, flavor).await {
            Ok(_) => {}
            Err(StepError::Fault(StepFailure::Final {
                code: Code::Missing,
                why,
            })) => {
                gone.insert(id, why);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(gone)
}

/// How many items of metadata a server may have, where Nova tells. Where it refuses to, the build shows it.
async fn most_metadata(target: &Cloud) -> Result<Option<u64>, StepError> {
    match target.compute().limits().await {
        Ok(limits) => Ok(limits.max_server_meta.and_then(|most| most.try_into().ok())),
        Err(error) if error.class() == ErrorClass::Forbidden => Ok(None),
        Err(error) => Err(stop(error)),
    }
}

/// A copy has its original's metadata and the marks, and Nova takes so many items.
fn too_much_metadata(plan: &Plan, member: &Member, most: u64) -> Option<String> {
    let items = u64::try_from(items_of_copy(&member.server.metadata)).unwrap_or(u64::MAX);
    (items > most).then(|| {
        let target = &plan.target;
        format!(
            "the copy of server {} has {items} items of metadata, the marks of what made it among them, and Nova on {} takes {most}: 'openstack --os-cloud {} quota set --properties {items} {}' raises that",
            member.name, target.site, target.site, target.project_id
        )
    })
}

fn absent(plan: &Plan, what: &str) -> String {
    format!("{what} does not exist on {}", plan.target.site)
}

fn missing(plan: &Plan, what: &str) -> StepError {
    StepError::last(Code::Missing, absent(plan, what))
}

/// The flavor for a member on the target: as mapped, else by its meaning ([`KnownFlavor::counterpart`]).
pub(super) async fn flavor_on_target(
    target: &Cloud,
    plan: &Plan,
    known: &KnownFlavor,
) -> Result<KnownFlavor, StepError> {
    if let Some(mapped) = plan.mappings.flavors.get(known.id.as_str()) {
        let mapped = FlavorId::new(mapped.clone());
        // By itself: a list leaves private ones out.
        let there = found(target.compute().flavor(&mapped).await)?;
        let there = there.ok_or_else(|| missing(plan, &format!("mapped flavor {mapped}")))?;
        return Ok(there.known());
    }
    let flavors = target.compute().flavors().await.map_err(stop)?;
    let there: Vec<KnownFlavor> = flavors.iter().map(NovaFlavor::known).collect();
    known.counterpart(None, &there).cloned().map_err(|why| {
        let why = format!(
            "flavor {} ({}) {}: give --flavor-mapping {}=<flavor id there>",
            known.name,
            known.id,
            why.in_words(known, &plan.target.site),
            known.id
        );
        StepError::last(Code::Missing, why)
    })
}

/// The flavors of the members' copies on the target, by those of their originals; without those that are gone there by now,
/// or that Nova does not show.
pub(super) async fn flavors_on_target(
    target: &Cloud,
    plan: &Plan,
) -> Result<BTreeMap<FlavorId, KnownFlavor>, StepError> {
    let mut there = BTreeMap::new();
    for member in &plan.members {
        let known = &member.server.flavor;
        if there.contains_key(&known.id) {
            continue;
        }
        match flavor_on_target(target, plan, known).await {
            Ok(flavor) => {
                there.insert(known.id.clone(), flavor);
            }
            // It names what is there, and nothing rests on it: what is built is not given up for that.
            Err(StepError::Fault(StepFailure::Final { .. })) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(there)
}

/// Volumes of all types are imported through the one host: a type of another backend is of another array.
async fn refuse_other_backends(admin: &Cloud, plan: &Plan) -> Result<(), StepError> {
    let volumes = plan.volumes();
    let types: BTreeSet<&str> = volumes
        .filter_map(|(_, volume)| plan.volume_type_on_target(volume))
        .collect();
    let own = plan.target_volume_type.as_deref();
    if types.iter().all(|id| Some(*id) == own) {
        return Ok(());
    }
    let backend = match own {
        Some(own) => backend_of(admin, plan, own).await?,
        None => None,
    };
    for id in types.into_iter().filter(|id| Some(*id) != own) {
        let other = backend_of(admin, plan, id).await?;
        if backend.is_some() && other.is_some() && backend != other {
            return Err(StepError::last(
                Code::Missing,
                format!(
                    "mapped volume type {id} on {} is of another backend than the group's type: map it to one of the same volume_backend_name",
                    plan.target.site
                ),
            ));
        }
    }
    Ok(())
}

async fn backend_of(admin: &Cloud, plan: &Plan, id: &str) -> Result<Option<String>, StepError> {
    let kind = VolumeTypeId::new(id.to_owned());
    let kind = found(admin.volume().volume_type(&kind).await)?;
    let kind = kind.ok_or_else(|| missing(plan, &format!("volume type {id}")))?;
    Ok(kind.extra_specs.get("volume_backend_name").cloned())
}

/// The Cinder host that imports volumes of the group's type: the pool of the type's backend.
async fn import_host(admin: &Cloud, plan: &Plan) -> Result<String, StepError> {
    let pools = admin.volume().pools().await.map_err(stop)?;
    let backend = match &plan.target_volume_type {
        None => None,
        Some(id) => backend_of(admin, plan, id).await?,
    };
    let fits = |pool: &&Pool| backend.is_none() || backend.as_deref() == pool.backend_name();
    let mut fitting = pools.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(pool), None) => Ok(pool.name.clone()),
        (None, _) => Err(missing(plan, "a Cinder pool for the group's volume type")),
        (Some(one), Some(other)) => Err(StepError::last(
            Code::Missing,
            format!(
                "more than one Cinder pool on {} takes the group's volume type ({}, {}): set volume_backend_name on it",
                plan.target.site, one.name, other.name
            ),
        )),
    }
}
