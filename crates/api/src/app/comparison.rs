//! Members as they are on record, as their servers are now, and as their copies would be. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, future::try_join_all, stream};
use protector_clouds::{
    clouds::{FoundServer, FoundVolume, ProjectLists, WantedThere},
    member_refresh::{MemberRefresh, as_now},
    member_spec::{protected_volumes, server_spec},
    site_readings::PATIENCE,
};
use protector_core::{
    comparison::{
        AttributeOutcome, ComparedAttribute, Comparison, ServerNow, Shown, Strictly,
        addresses_there, compare, networks_there,
    },
    group::{Group, ResourceMappings},
    id::VolumeId,
    member::{Member, MemberStatus},
    plan::Plan,
    recovery_plan::RecoveryPlan,
    site::SiteScope,
};
use protector_store::StoredGroup;
use protector_wire::comparison::ComparisonView;
use tokio::time::{Instant, timeout_at};

use super::{App, protect};
use crate::{
    app::refusal::Refusal,
    http::error::{ApiError, ApiResult},
};

/// How many servers are read at a time.
const SIDE_BY_SIDE: usize = 8;

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
    let read = read(app, group.current(), &recorded, &ProjectLists::default()).await?;
    let (now, built) = read.ok_or_else(|| gone(stored, &recorded))?;
    let mappings = group.mappings_from_current();
    let recovery = group.recovery_plan_from_current(group.kind_of_move());
    let wanted = wanted_there([&built].into_iter(), &mappings, &recovery);
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

/// What the copies of `members` would ask the other site for.
pub(super) fn wanted_there<'m>(
    members: impl Iterator<Item = &'m Member>,
    mappings: &ResourceMappings,
    recovery: &RecoveryPlan,
) -> WantedThere {
    let mut wanted = WantedThere::default();
    for member in members {
        let mapped = mappings.flavors.get(member.server.flavor.id.as_str());
        wanted.flavors.extend(mapped.map(|id| id.as_str().into()));
        wanted.networks.extend(networks_there(member, mappings));
        let addresses = addresses_there(member, mappings, recovery);
        wanted.addresses.extend(addresses);
    }
    wanted
}

/// A member of a plan on the side where it runs.
struct Here {
    recorded: Member,
    now: ServerNow,
    built: Member,
    /// Why only its record is known, where that is so.
    untold: Option<String>,
}

impl Here {
    fn on_record(recorded: Member, untold: Option<String>) -> Self {
        Self {
            now: ServerNow::recorded(&recorded),
            built: recorded.clone(),
            recorded,
            untold,
        }
    }
}

/// What becomes of the attributes of `plan`'s members as their servers are now, in their order. What the source does not tell
/// in time is compared as it is on record, and that is said.
pub(super) async fn as_they_are(
    app: &App,
    group: &Group,
    plan: &Plan,
) -> Vec<Vec<ComparedAttribute>> {
    let lists = ProjectLists::default();
    let deadline = Instant::now() + PATIENCE;
    let members = opened(app, group, plan).map(|recorded| {
        let lists = &lists;
        async move {
            let asked = read(app, &plan.source, &recorded, lists);
            let untold = match timeout_at(deadline, asked).await {
                Ok(Ok(Some((now, built)))) => {
                    return Here {
                        recorded,
                        now,
                        built,
                        untold: None,
                    };
                }
                Ok(Ok(None)) => format!(
                    "{} shows no server {}",
                    plan.source.site, recorded.server_id
                ),
                Ok(Err(error)) => error.message().to_owned(),
                Err(_) => format!(
                    "{} did not tell all of its servers within {} s",
                    plan.source.site,
                    PATIENCE.as_secs()
                ),
            };
            Here::on_record(recorded, Some(untold))
        }
    });
    let members: Vec<Here> = stream::iter(members).buffered(SIDE_BY_SIDE).collect().await;
    with_the_other_site(app, group, plan, &members).await
}

/// The same from the records alone: the site where the group runs is not asked. `untold` is why, if that is to be said.
pub(super) async fn as_recorded(
    app: &App,
    group: &Group,
    plan: &Plan,
    untold: Option<&str>,
) -> Vec<Vec<ComparedAttribute>> {
    let members = opened(app, group, plan);
    let members: Vec<Here> = members
        .map(|recorded| Here::on_record(recorded, untold.map(str::to_owned)))
        .collect();
    with_the_other_site(app, group, plan, &members).await
}

fn opened<'a>(app: &'a App, group: &'a Group, plan: &'a Plan) -> impl Iterator<Item = Member> + 'a {
    let members = plan.members.iter().cloned();
    members.map(|member| app.database.opened(&group.id, member))
}

/// Reads the other site once for all members.
async fn with_the_other_site(
    app: &App,
    group: &Group,
    plan: &Plan,
    members: &[Here],
) -> Vec<Vec<ComparedAttribute>> {
    let (mappings, recovery) = (&plan.mappings, &plan.recovery);
    let built = members.iter().map(|member| &member.built);
    let wanted = wanted_there(built, mappings, recovery);
    let there = app.clouds.there_seen(&plan.target, &wanted).await;
    let of = |member: &Here| {
        let mut lines = compare(&Comparison {
            group,
            recovery,
            mappings,
            recorded: &member.recorded,
            now: &member.now,
            built: &member.built,
            there: &there,
        });
        lines.extend(member.untold.as_deref().map(not_on_record));
        lines
    };
    members.iter().map(of).collect()
}

fn not_on_record(why: &str) -> ComparedAttribute {
    ComparedAttribute {
        field: "what is not on record".to_owned(),
        recorded: None,
        now: None,
        copy: None,
        outcome: AttributeOutcome::Unknown,
        why: Some(why.to_owned()),
        strictly: Strictly::Passes,
    }
}

/// A member's server now, and what a planned move would build from; `None` where there is no server.
async fn read(
    app: &App,
    scope: &SiteScope,
    recorded: &Member,
    lists: &ProjectLists,
) -> ApiResult<Option<(ServerNow, Member)>> {
    let clouds = &app.clouds;
    let server = clouds
        .server_of_round(scope, &recorded.server_id, lists)
        .await?;
    let Some(server) = server else {
        return Ok(None);
    };
    let volumes = volumes(app, scope, recorded, &server).await?;
    let now = now(app, scope, recorded, &server, &volumes).await?;
    let refresh = MemberRefresh {
        database: &app.database,
        clouds: &**clouds,
        now: app.clock.now(),
    };
    let key_pair = refresh.key_pair(scope, recorded, &server).await;
    let built = as_now(recorded, &server, key_pair, &volumes);
    Ok(Some((now, built)))
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
            server: server_spec(server, None, None),
            volumes: protected_volumes(server, volumes),
            ..recorded.clone()
        },
        volume_types: types.collect(),
        not_carried: protect::not_carried_of(server, volumes),
        shown: shown.unwrap_or_else(Shown::default),
    })
}
