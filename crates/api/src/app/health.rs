//! Gathering the health report: the sites, the parts of this site's service, and the groups by their records. Whatever
//! does not answer is part of the report and takes nothing else away.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, future::join_all, stream};
use protector_clouds::{clouds::SiteServices, site_health::PATIENCE};
use protector_core::{
    group::{Group, GroupStatus, ReplicationType},
    id::{GroupId, ProjectId, SiteName},
    member::ProtectedVolume,
    readiness::{Asked, Silence},
    site::SiteStatus,
    storage::Replication,
};
use protector_peer::peer::other_scope;
use protector_store::{
    EngineRow, GroupFilter, GroupOrder, OrderDirection, Page, ReplicationPolicy, StoreError,
    StoredGroup,
};
use protector_wire::{
    health::{ComponentView, GroupHealthView, HealthView, ServicesView, SiteHealthView},
    version::Microversion,
};
use tokio::time::timeout;

use super::{App, sync};

/// The microversion from which details are shown.
const WITH_DETAIL: Microversion = Microversion { major: 1, minor: 2 };

/// An engine that has not been seen for so long is down: three heartbeats.
const ENGINE_SILENT: TimeDelta = TimeDelta::seconds(30);

/// How many groups are read at once.
const PAGE: u64 = 100;

/// How many arrays are asked at once.
const SIDE_BY_SIDE: usize = 8;

const OK: &str = "ok";
const DEGRADED: &str = "degraded";
const ERROR: &str = "error";

/// What is asked for, and how much of it the caller may read.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The groups of this project; `None` for all.
    pub project: Option<ProjectId>,
    /// Whether the caller may read how sites and arrays are reached, and so what errors say of that.
    pub reasons: bool,
    /// The version that the request speaks.
    pub version: Microversion,
}

/// A site with what it told.
struct SiteSeen {
    name: SiteName,
    services: SiteServices,
    protector: Asked<()>,
}

impl SiteSeen {
    fn reachable(&self) -> bool {
        self.services.identity.is_ok()
    }

    fn well(&self) -> bool {
        let services = &self.services;
        [
            &services.identity,
            &services.compute,
            &services.volume,
            &services.network,
            &self.protector,
        ]
        .into_iter()
        .all(Result::is_ok)
    }
}

/// A group with its policy.
struct GroupSeen {
    stored: StoredGroup,
    policy: Option<ReplicationPolicy>,
}

/// Makes the report.
pub async fn report(app: &App, wanted: &Wanted) -> HealthView {
    let now = app.clock.now();
    let (sites, engines, writes, groups) = tokio::join!(
        sites_seen(app),
        app.database.engine_list(),
        app.database.check_writable(),
        groups_seen(app, wanted.project.as_ref()),
    );
    let arrays = arrays_seen(app, groups.as_deref().unwrap_or_default()).await;
    let points = points_seen(app, groups.as_deref().unwrap_or_default(), &arrays).await;
    let read = [sites.as_ref().err(), groups.as_ref().err()];
    let database = database_health(writes.as_ref().err(), read.into_iter().flatten().next());
    let sites = sites.unwrap_or_default();
    let groups = groups.unwrap_or_default();
    let detail = wanted.version >= WITH_DETAIL;
    let components: Vec<ComponentView> = [
        component("protector-api", OK, String::new()),
        engine_health(&engines.unwrap_or_default(), now),
        database,
        storage_health(&arrays, wanted.reasons),
    ]
    .into_iter()
    .map(|component| ComponentView {
        detail: component.detail.filter(|text| detail && !text.is_empty()),
        ..component
    })
    .collect();
    let groups: Vec<GroupHealthView> = groups
        .iter()
        .map(|group| {
            let point = points.get(&group.stored.group.id);
            group_health(app, group, point, &sites, now, detail)
        })
        .collect();
    HealthView {
        status: overall(&components, &sites, &groups),
        site: app.settings.site_name.to_string(),
        sites: sites
            .iter()
            .map(|site| site_view(site, wanted.reasons))
            .collect(),
        components,
        protection_groups: groups,
    }
}

fn overall(
    components: &[ComponentView],
    sites: &[SiteSeen],
    groups: &[GroupHealthView],
) -> &'static str {
    if components.iter().any(|component| component.status == ERROR) {
        return ERROR;
    }
    let well = components.iter().all(|component| component.status == OK)
        && sites.iter().all(SiteSeen::well)
        && !groups.iter().any(|group| group.split_brain);
    if well { OK } else { DEGRADED }
}

async fn sites_seen(app: &App) -> Result<Vec<SiteSeen>, StoreError> {
    let sites = app.database.site_list().await?;
    let asked = sites
        .into_iter()
        .filter(|site| site.status != SiteStatus::Retired);
    let looks = asked.map(|site| async {
        let (services, protector) =
            tokio::join!(app.clouds.services(&site.name), protector(app, &site.name));
        SiteSeen {
            name: site.name,
            services,
            protector,
        }
    });
    Ok(join_all(looks).await)
}

/// The protector of this site is the one that answers.
async fn protector(app: &App, site: &SiteName) -> Asked<()> {
    if site == &app.settings.site_name {
        return Ok(());
    }
    match timeout(PATIENCE, app.peer.knows_us(site)).await {
        Ok(answer) => answer.map_err(Silence::from),
        Err(_) => Err(late()),
    }
}

fn late() -> Silence {
    Silence::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))
}

fn site_view(site: &SiteSeen, reasons: bool) -> SiteHealthView {
    let services = &site.services;
    let word = |asked: &Asked<()>| match asked {
        Ok(()) => OK.to_owned(),
        Err(silence) => reason(silence, reasons),
    };
    SiteHealthView {
        name: site.name.to_string(),
        reachable: site.reachable(),
        error: services
            .identity
            .as_ref()
            .err()
            .map(|silence| reason(silence, reasons)),
        services: ServicesView {
            identity: word(&services.identity),
            compute: word(&services.compute),
            volume: word(&services.volume),
            network: word(&services.network),
            protector: word(&site.protector),
        },
    }
}

/// Errors name addresses and accounts, which tenants do not see of a site.
fn reason(silence: &Silence, reasons: bool) -> String {
    match (reasons, silence) {
        (true, silence) => silence.to_string(),
        (false, Silence::Unreachable(_)) => "does not answer".to_owned(),
        (false, Silence::Refused(_)) => "refuses the service user".to_owned(),
        (false, Silence::NotTold(_)) => "could not be asked".to_owned(),
    }
}

fn component(name: &'static str, status: &'static str, detail: String) -> ComponentView {
    ComponentView {
        name,
        status,
        detail: Some(detail),
    }
}

fn engine_health(engines: &[EngineRow], now: DateTime<Utc>) -> ComponentView {
    let name = "protector-engine";
    let alive = |engine: &&EngineRow| !engine.stopping && now - engine.seen_at <= ENGINE_SILENT;
    let up = engines.iter().filter(alive).count();
    let seen = engines.iter().map(|engine| engine.seen_at).max();
    match (up, seen) {
        (0, None) => component(name, ERROR, "no engine has ever reported".to_owned()),
        (0, Some(seen)) => {
            let ago = (now - seen).num_seconds();
            component(
                name,
                ERROR,
                format!("no engine is up; the last report was {ago} s ago"),
            )
        }
        (up, _) => component(name, OK, format!("{up} engine(s) up")),
    }
}

/// `unwritten` is why it takes no write, `unread` why it cannot be read.
fn database_health(unwritten: Option<&StoreError>, unread: Option<&StoreError>) -> ComponentView {
    let name = "database";
    let why = |error: &StoreError| match error {
        StoreError::Failing { failure, .. } => failure.to_string(),
        _ => "it does not answer as it should".to_owned(),
    };
    match (unread, unwritten) {
        (None, None) => component(name, OK, String::new()),
        (Some(error), _) => component(name, ERROR, format!("it cannot be read: {}", why(error))),
        (None, Some(error)) => component(name, ERROR, format!("it takes no write: {}", why(error))),
    }
}

fn storage_health(arrays: &BTreeMap<String, Asked<()>>, reasons: bool) -> ComponentView {
    let name = "storage";
    let bad: Vec<String> = arrays
        .iter()
        .filter_map(|(array, answer)| {
            let silence = answer.as_ref().err()?;
            Some(format!("{array}: {}", reason(silence, reasons)))
        })
        .collect();
    match (arrays.len(), bad.len()) {
        (0, _) => component(name, OK, "no group names an array".to_owned()),
        (all, 0) => component(name, OK, format!("{all} array(s) answer")),
        (all, silent) if silent == all => component(name, ERROR, bad.join("; ")),
        _ => component(name, DEGRADED, bad.join("; ")),
    }
}

/// The arrays that the groups' policies name, each asked once.
async fn arrays_seen(app: &App, groups: &[GroupSeen]) -> BTreeMap<String, Asked<()>> {
    let arrays: BTreeSet<String> = groups
        .iter()
        .filter_map(|group| group.policy.as_ref())
        .flat_map(|policy| [&policy.primary_fa_url, &policy.secondary_fa_url].map(Clone::clone))
        .collect();
    let asked = arrays.into_iter().map(|array| async {
        let answer = match timeout(PATIENCE, app.storage.check(&array)).await {
            Ok(answer) => answer.map_err(Silence::from),
            Err(_) => Err(late()),
        };
        (array, answer)
    });
    stream::iter(asked)
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await
}

/// The time of each group's newest recovery point where its next move goes. A group is left out of which the array holds
/// none, as after a move, whose points went the other way, or does not tell.
async fn points_seen(
    app: &App,
    groups: &[GroupSeen],
    arrays: &BTreeMap<String, Asked<()>>,
) -> BTreeMap<GroupId, DateTime<Utc>> {
    let mut asked = Vec::new();
    for seen in groups {
        let Some(policy) = &seen.policy else { continue };
        let replication = policy.replication(&seen.stored.group);
        if matches!(arrays.get(&replication.target_array), Some(Ok(()))) {
            asked.push(newest_point(app, replication));
        }
    }
    let seen: Vec<_> = stream::iter(asked)
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    seen.into_iter().flatten().collect()
}

async fn newest_point(app: &App, replication: Replication) -> Option<(GroupId, DateTime<Utc>)> {
    let members = app.database.member_list(&replication.group_id).await.ok()?;
    let volumes: Vec<_> = members
        .iter()
        .flat_map(|member| &member.volumes)
        .map(ProtectedVolume::in_cinder)
        .collect();
    let asking = app.storage.recovery_points(&replication, &volumes);
    let points = timeout(PATIENCE, asking).await.ok()?.ok()?;
    let newest = points.iter().map(|point| point.taken_at).max()?;
    Some((replication.group_id, newest))
}

async fn groups_seen(app: &App, project: Option<&ProjectId>) -> Result<Vec<GroupSeen>, StoreError> {
    let filter = GroupFilter {
        project_id: project.cloned(),
        ..GroupFilter::default()
    };
    let mut all: Vec<GroupSeen> = Vec::new();
    loop {
        let page = Page {
            limit: PAGE,
            marker: all.last().map(|seen| seen.stored.group.id.to_string()),
            sort_key: GroupOrder::Name,
            sort_dir: OrderDirection::Asc,
        };
        let listed = app.database.group_list(&filter, &page).await?;
        for stored in listed.items {
            let policy = policy(app, &stored.group.id).await;
            all.push(GroupSeen { stored, policy });
        }
        if !listed.more {
            return Ok(all);
        }
    }
}

/// A policy whose token cannot be decrypted is a matter for whoever uses it; the report goes on.
async fn policy(app: &App, group: &GroupId) -> Option<ReplicationPolicy> {
    match app.database.policy_find(group).await {
        Ok(policy) => policy,
        Err(error) => {
            tracing::warn!(group_id = %group, %error, "a policy cannot be read");
            None
        }
    }
}

fn group_health(
    app: &App,
    seen: &GroupSeen,
    point: Option<&DateTime<Utc>>,
    sites: &[SiteSeen],
    now: DateTime<Utc>,
    detail: bool,
) -> GroupHealthView {
    let GroupSeen { stored, policy } = seen;
    let group = &stored.group;
    let lag = point.map(|at| (now - *at).num_seconds().max(0));
    GroupHealthView {
        id: group.id.to_string(),
        name: group.name.clone(),
        status: group.status.as_str(),
        sync_status: sync::status_word(stored),
        last_replication_at: group.last_replication_at.map(Into::into),
        lag_seconds: detail.then_some(lag),
        rpo_minutes: policy.as_ref().map(|policy| policy.rpo_minutes),
        rpo_met: detail.then(|| rpo_met(group, policy.as_ref(), lag)),
        failover_ready: point.is_some() && failover_ready(app, seen, sites),
        split_brain: group.status == GroupStatus::SplitBrain,
    }
}

/// Whether the newest recovery point is within the policy's objective. A synchronous group has no lag to speak of.
fn rpo_met(group: &Group, policy: Option<&ReplicationPolicy>, lag: Option<i64>) -> Option<bool> {
    let objective = i64::from(policy?.rpo_minutes) * 60;
    match group.replication_type {
        ReplicationType::Sync => None,
        ReplicationType::Async => Some(lag.is_some_and(|lag| lag <= objective)),
    }
}

fn failover_ready(app: &App, seen: &GroupSeen, sites: &[SiteSeen]) -> bool {
    let GroupSeen { stored, policy } = seen;
    let group = &stored.group;
    let at_rest = matches!(group.status, GroupStatus::Active | GroupStatus::FailedOver);
    let other = &other_scope(group, &app.settings.site_name).site;
    let both = [&app.settings.site_name, other];
    let reached = both
        .into_iter()
        .all(|name| sites.iter().any(|site| &site.name == name && site.well()));
    at_rest
        && stored.member_count > 0
        && policy.is_some()
        && sync::status_word(stored) == sync::IN_SYNC
        && reached
}
