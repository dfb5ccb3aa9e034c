//! Making and changing protection groups.

use protector_clouds::clouds::FoundVolumeType;
use protector_core::{
    group::{Fidelity, Group, GroupStatus, ResourceMappings},
    id::{GroupId, ProjectId, SiteName},
    priority::Priority,
    recovery_plan::RecoveryPlan,
    site::{Site, SiteScope, SiteStatus},
};
use protector_oslo::policy::{RuleName, Target};
use protector_store::{Precondition, StoreError, StoredGroup, group::GroupChange};
use protector_wire::{
    group::{GroupChanges, NewGroup},
    version::Microversion,
};

use super::{App, names, sync, volume_type};
use crate::{
    app::{block_rule, refusal::Refusal},
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
        version::lacks,
    },
};

impl App {
    /// The registered site called `given`; 400 that names `field` if there is none.
    pub async fn registered_site(&self, field: &str, given: &str) -> ApiResult<Site> {
        match self.database.site_show(given).await {
            Ok(site) => Ok(site),
            Err(StoreError::NotFound { .. }) => Err(ApiError::bad_request(format!(
                "{field}: no site {given} is registered; 'openstack dr site list' shows those that are."
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// The project's group called `name`, if `caller` may do to it what `rule` guards.
    ///
    /// The path must name the token's project (403); another project's group is 404, as if it did not exist.
    pub async fn group_for(
        &self,
        caller: &Caller,
        project: &ProjectId,
        name: &str,
        rule: RuleName,
    ) -> ApiResult<StoredGroup> {
        caller.must_own(project)?;
        let stored = self.database.group_show(project, name).await?;
        let target = Target::of_project(stored.local_project_id.as_str());
        self.enforce(rule, caller, &target)?;
        Ok(stored)
    }

    /// The block rule for `group`: its other site must be able to hear of a change, and must not know something newer.
    pub async fn require_peer_of(&self, group: &Group) -> ApiResult<()> {
        sync::require_changeable(self, group).await
    }
}

/// Checks everything that can be known of a new group without asking anybody.
pub fn check_new(new: &NewGroup) -> ApiResult<()> {
    names::name("protection_group.name", &new.name)?;
    names::description("protection_group.description", new.description.as_deref())?;
    names::network_mapping("protection_group.network_mapping", &new.network_mapping)?;
    names::flavor_mapping("protection_group.flavor_mapping", &new.flavor_mapping)?;
    let groups = &new.server_group_mapping;
    names::server_group_mapping("protection_group.server_group_mapping", groups)?;
    let types = &new.volume_type_mapping;
    names::volume_type_mapping("protection_group.volume_type_mapping", types)?;
    let policies = &new.qos_policy_mapping;
    names::qos_policy_mapping("protection_group.qos_policy_mapping", policies)
}

/// Checks what is to change of a group.
pub fn check_changes(changes: &GroupChanges) -> ApiResult<()> {
    if let Some(name) = &changes.name {
        names::name("protection_group.name", name)?;
    }
    if let Some(description) = &changes.description {
        names::description("protection_group.description", description.as_deref())?;
    }
    if let Some(map) = &changes.network_mapping {
        names::network_mapping("protection_group.network_mapping", map)?;
    }
    if let Some(map) = &changes.flavor_mapping {
        names::flavor_mapping("protection_group.flavor_mapping", map)?;
    }
    if let Some(map) = &changes.server_group_mapping {
        names::server_group_mapping("protection_group.server_group_mapping", map)?;
    }
    if let Some(map) = &changes.volume_type_mapping {
        names::volume_type_mapping("protection_group.volume_type_mapping", map)?;
    }
    changes.qos_policy_mapping.as_ref().map_or(Ok(()), |map| {
        names::qos_policy_mapping("protection_group.qos_policy_mapping", map)
    })
}

/// Makes the group that `new` describes for the tenant whose project here is `project`. Nothing is stored yet.
pub async fn planned(app: &App, project: &ProjectId, new: NewGroup) -> ApiResult<Group> {
    check_new(&new)?;
    let (primary, secondary) = two_sites(app, &new).await?;
    let (primary, secondary) = scopes(app, project, primary.name, secondary.name).await?;
    block_rule::require(&*app.peer, remote_of(app, &primary, &secondary)).await?;
    let (primary_type, secondary_type) =
        volume_types(app, &primary.site, &secondary.site, &new).await?;
    let now = app.clock.now();
    Ok(Group {
        id: GroupId::new(app.ids.uuid().to_string()),
        name: new.name,
        description: new.description,
        current_primary_site: primary.site.clone(),
        primary,
        secondary,
        status: GroupStatus::Active,
        replication_type: new.replication_type,
        volume_type_id: primary_type.id,
        secondary_volume_type_id: Some(secondary_type.id),
        mappings: ResourceMappings {
            networks: new.network_mapping,
            flavors: new.flavor_mapping,
            server_groups: new.server_group_mapping,
            volume_types: new.volume_type_mapping,
            qos_policies: new.qos_policy_mapping,
        },
        priority: new.priority.unwrap_or_default(),
        fidelity: new.fidelity.unwrap_or_default(),
        version: 1,
        recovery_plan: RecoveryPlan::default(),
        last_replication_at: None,
        created_at: now,
        updated_at: now,
    })
}

/// The two sites of a new group: registered, different, one of them this protector's own.
async fn two_sites(app: &App, new: &NewGroup) -> ApiResult<(Site, Site)> {
    let primary = app
        .registered_site("protection_group.primary_site", &new.primary_site)
        .await?;
    let secondary = app
        .registered_site("protection_group.secondary_site", &new.secondary_site)
        .await?;
    if primary.id == secondary.id {
        return Err(ApiError::bad_request(format!(
            "protection_group.secondary_site: must be another site than primary_site, both are {}.",
            primary.name
        )));
    }
    for site in [&primary, &secondary] {
        refuse_retired(site)?;
    }
    let local = &app.settings.site_name;
    if &primary.name != local && &secondary.name != local {
        return Err(ApiError::bad_request(format!(
            "protection_group.primary_site: one of the two sites must be {local}, whose protector this is."
        )));
    }
    Ok((primary, secondary))
}

fn refuse_retired(site: &Site) -> ApiResult<()> {
    if site.status != SiteStatus::Retired {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::SiteRetired,
        format!(
            "Site {name} was retired: no group can be protected with it. Where another site has taken its place, an administrator forgets the old one with 'openstack dr site delete {name}' and registers the new one.",
            name = site.name
        ),
    ))
}

/// The tenant's projects on both sites: the caller's own here, the mapped one there.
async fn scopes(
    app: &App,
    project: &ProjectId,
    primary: SiteName,
    secondary: SiteName,
) -> ApiResult<(SiteScope, SiteScope)> {
    let local = &app.settings.site_name;
    let other = if &primary == local {
        &secondary
    } else {
        &primary
    };
    let here = SiteScope {
        site: local.clone(),
        project_id: project.clone(),
    };
    let mapped = app
        .database
        .tenant_project_on(&here, other)
        .await?
        .ok_or_else(|| no_mapping(project, other))?;
    let scope = |site: SiteName| SiteScope {
        project_id: if &site == local {
            project.clone()
        } else {
            mapped.clone()
        },
        site,
    };
    Ok((scope(primary), scope(secondary)))
}

fn no_mapping(project: &ProjectId, other: &SiteName) -> ApiError {
    ApiError::new(
        Refusal::NotLinked,
        format!(
            "Project {project} has no tenant mapping to {other}; ask an administrator for 'openstack dr tenant mapping create'."
        ),
    )
}

fn remote_of<'s>(app: &App, primary: &'s SiteScope, secondary: &'s SiteScope) -> &'s SiteName {
    if primary.site == app.settings.site_name {
        &secondary.site
    } else {
        &primary.site
    }
}

async fn volume_types(
    app: &App,
    primary: &SiteName,
    secondary: &SiteName,
    new: &NewGroup,
) -> ApiResult<(FoundVolumeType, FoundVolumeType)> {
    let wanted = new.replication_type;
    let here = app.clouds.volume_types(primary).await?;
    let first = volume_type::named(
        "protection_group.volume_type",
        primary,
        &here,
        &new.volume_type,
        wanted,
    )?;
    let there = app.clouds.volume_types(secondary).await?;
    let second = match &new.secondary_volume_type {
        Some(given) => volume_type::named(
            "protection_group.secondary_volume_type",
            secondary,
            &there,
            given,
            wanted,
        )?,
        None => volume_type::counterpart(secondary, &there, first, wanted)?,
    };
    Ok((first.clone(), second.clone()))
}

/// Refuses what a request gives and the version that it speaks has not.
pub fn check_version(
    priority: Option<Priority>,
    fidelity: Option<Fidelity>,
    spoken: Microversion,
) -> ApiResult<()> {
    let given = [
        (
            priority.is_some(),
            "protection_group.priority",
            Microversion::WITH_PRIORITY,
        ),
        (
            fidelity.is_some(),
            "protection_group.fidelity",
            Microversion::WITH_FIDELITY,
        ),
    ];
    let mut given = given.into_iter();
    match given.find(|(is_given, _, since)| *is_given && spoken < *since) {
        None => Ok(()),
        Some((_, field, since)) => Err(lacks(spoken, field, since)),
    }
}

/// What the store is to change.
pub fn change(changes: GroupChanges, precondition: Precondition) -> GroupChange {
    GroupChange {
        name: changes.name,
        description: changes.description,
        networks: changes.network_mapping,
        flavors: changes.flavor_mapping,
        server_groups: changes.server_group_mapping,
        volume_types: changes.volume_type_mapping,
        qos_policies: changes.qos_policy_mapping,
        recovery_plan: None,
        priority: changes.priority,
        fidelity: changes.fidelity,
        precondition,
    }
}

/// Refuses the removal of a group of which it is not certain where its servers run.
pub fn refuse_delete(group: &Group) -> ApiResult<()> {
    if group.status.is_changeable() {
        return Ok(());
    }
    Err(undeletable(&group.name, group.status))
}

/// The refusal to delete a group, from the look before as from the deletion itself.
pub fn undeletable(group: &str, status: GroupStatus) -> ApiError {
    ApiError::new(
        Refusal::WrongStatus,
        format!(
            "Protection group {group} is {status}: it can be deleted when it is active, active_partial, failed_over, failed_over_partial or error."
        ),
    )
}

/// Refuses a change of members, policy or mappings while the group moves. The change itself sees to it again.
pub fn refuse_while_moving(group: &Group) -> ApiResult<()> {
    if group.status.is_changeable() {
        return Ok(());
    }
    Err(StoreError::Unchangeable {
        name: group.name.clone(),
        status: group.status,
    }
    .into())
}
