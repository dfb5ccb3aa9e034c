//! A member as it is on record, as its server is now, and as its copy would be. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use protector_core::{
    comparison::{Comparison, ServerNow, Shown, addresses_there, compare},
    id::VolumeId,
    member::{Member, MemberStatus},
    site::SiteScope,
};
use protector_store::StoredGroup;

use super::{
    App,
    member_refresh::{MemberRefresh, as_now},
    protect,
};
use crate::{
    clouds::{FoundServer, FoundVolume, WantedThere},
    error::{ApiError, ApiResult},
    refusal::Refusal,
    wire::comparison::ComparisonView,
};

/// Compares `member` of `stored`.
///
/// # Errors
///
/// 409 where there is no server to compare with, 503 where its cloud does not answer. What the other site does not tell is
/// said with each attribute.
pub async fn of_member(
    app: &App,
    stored: &StoredGroup,
    member: Member,
) -> ApiResult<ComparisonView> {
    let group = &stored.group;
    refuse_not_recovered(stored, &member)?;
    let recorded = app.database.opened(&group.id, member);
    let scope = group.current();
    let server = app.clouds.server(scope, &recorded.server_id).await?;
    let server = server.ok_or_else(|| gone(stored, &recorded))?;
    let volumes = volumes(app, scope, &recorded, &server).await?;
    let now = now(app, scope, &recorded, &server, &volumes).await?;
    let refresh = MemberRefresh {
        database: &app.database,
        clouds: &*app.clouds,
        now: app.clock.now(),
    };
    let key_pair = refresh.key_pair(scope, &recorded, &server).await;
    let built = as_now(&recorded, &server, key_pair, &volumes);
    let mappings = group.mappings_from_current();
    let recovery = group.recovery_plan_from_current(group.kind_of_move());
    let flavor = mappings.flavors.get(built.server.flavor.id.as_str());
    let wanted = WantedThere {
        flavor: flavor.map(|id| id.as_str().into()),
        addresses: addresses_there(&built, &mappings, &recovery),
    };
    let there = app.clouds.there_seen(group.other(), &wanted).await;
    let lines = compare(&Comparison {
        group,
        recovery: &recovery,
        mappings: &mappings,
        recorded: &recorded,
        now: &now,
        built: &built,
        there: &there,
    });
    Ok(ComparisonView::of(group, &recorded, lines, app.clock.now()))
}

fn refuse_not_recovered(stored: &StoredGroup, member: &Member) -> ApiResult<()> {
    let (group, name) = (&stored.group, &member.name);
    if member.status == MemberStatus::Protected {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::NotRecovered,
        format!(
            "Member {name} was not recovered by the last failover: it has no server on {} to be compared. 'openstack dr retry {}' recovers it.",
            group.current_primary_site, group.name
        ),
    ))
}

fn gone(stored: &StoredGroup, member: &Member) -> ApiError {
    let group = &stored.group;
    ApiError::new(
        Refusal::ServerGone,
        format!(
            "Server {} of member {} does not exist on {} any more: '{}' takes the member out of the group.",
            member.server_id,
            member.name,
            group.current_primary_site,
            member.removal(&group.name)
        ),
    )
}

/// The volumes that are attached or known, by id. One that is gone is left out.
async fn volumes(
    app: &App,
    scope: &SiteScope,
    member: &Member,
    server: &FoundServer,
) -> ApiResult<BTreeMap<VolumeId, FoundVolume>> {
    let attached = server.attachments.iter().map(|place| &place.volume_id);
    let known = member.volumes.iter().map(|volume| &volume.id);
    let ids: BTreeSet<&VolumeId> = attached.chain(known).collect();
    let reads = ids.into_iter().map(|id| app.clouds.volume(scope, id));
    let found = try_join_all(reads).await?.into_iter().flatten();
    Ok(found.map(|volume| (volume.id.clone(), volume)).collect())
}

async fn now(
    app: &App,
    scope: &SiteScope,
    recorded: &Member,
    server: &FoundServer,
    volumes: &BTreeMap<VolumeId, FoundVolume>,
) -> ApiResult<ServerNow> {
    let attached: Vec<VolumeId> = server
        .attachments
        .iter()
        .map(|place| place.volume_id.clone())
        .collect();
    let shown = app
        .clouds
        .server_as_shown(scope, &server.id, &attached)
        .await?;
    let types = volumes.values();
    let types = types.filter_map(|volume| Some((volume.id.clone(), volume.volume_type.clone()?)));
    Ok(ServerNow {
        member: Member {
            name: server.name.clone(),
            server: protect::server_spec(server, None, None),
            volumes: protect::protected_volumes(server, volumes),
            ..recorded.clone()
        },
        volume_types: types.collect(),
        not_carried: protect::not_carried_of(server, volumes),
        shown: shown.unwrap_or_else(Shown::default),
    })
}
