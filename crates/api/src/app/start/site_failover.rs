//! Failing over all groups that run on a site, in the order of their priorities.
//!
//! A refusal, a failure, even a defect in one group's start is noted and the next group is started: tenants do not
//! wait for one another.

use std::{collections::BTreeMap, sync::Arc};

use protector_clouds::request_scope;
use protector_core::{
    group::Group,
    id::{ProjectId, SiteName},
    operation::{OperationKind, OperationRecord},
};
use protector_peer::peer;
use protector_store::{GroupFilter, GroupOrder, OrderDirection, Page, StoredGroup};
use protector_wire::{
    operation::{Action, Failover, FailoverKind, OperationDetail, OperationView},
    site_failover::{RefusedGroupView, SiteFailoverAnswer, SiteGroupView},
};

use crate::{
    app::{
        App, block_rule,
        policy::array_pair,
        refusal::Refusal,
        start::{
            admission,
            new_operation::Asker,
            planned,
            unplanned::{Unplanned, plan_unplanned},
        },
    },
    handlers::action,
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
        request::RequestContext,
    },
};

/// How many groups are read at once.
const PAGE: u64 = 500;

/// Who asks, for as long as it takes, even when nobody waits for the answer any more.
#[derive(Clone)]
pub struct LastingAsker {
    pub caller: Arc<Caller>,
    pub request: RequestContext,
}

/// The groups that run on `site`, of `projects` or of all: by priority, then by name.
pub async fn groups_in_order(
    app: &App,
    site: &SiteName,
    projects: Option<&[String]>,
) -> ApiResult<Vec<StoredGroup>> {
    let mut groups = groups_on(app, site).await?;
    if let Some(projects) = projects {
        refuse_projects_without_groups(site, projects, &groups)?;
        groups.retain(|stored| is_of(stored, projects));
    }
    groups.sort_by_cached_key(|stored| {
        let group = &stored.group;
        (group.priority, group.name.clone(), group.id.to_string())
    });
    Ok(groups)
}

async fn groups_on(app: &App, site: &SiteName) -> ApiResult<Vec<StoredGroup>> {
    let filter = GroupFilter {
        runs_on: Some(site.clone()),
        ..GroupFilter::default()
    };
    let mut groups: Vec<StoredGroup> = Vec::new();
    loop {
        let page = Page {
            limit: PAGE,
            marker: groups.last().map(|stored| stored.group.id.to_string()),
            sort_key: GroupOrder::Id,
            sort_dir: OrderDirection::Asc,
        };
        let listed = app.database.group_list(&filter, &page).await?;
        groups.extend(listed.items);
        if !listed.more {
            return Ok(groups);
        }
    }
}

fn is_of(stored: &StoredGroup, projects: &[String]) -> bool {
    projects
        .iter()
        .any(|project| project == stored.local_project_id.as_str())
}

/// A project that was mistyped must not look like one whose groups are safe.
fn refuse_projects_without_groups(
    site: &SiteName,
    projects: &[String],
    groups: &[StoredGroup],
) -> ApiResult<()> {
    if projects.is_empty() {
        return Err(ApiError::bad_request(
            "failover.projects: names no project; leave it out to fail over the groups of all.",
        ));
    }
    let without = projects.iter().position(|project| {
        !groups
            .iter()
            .any(|stored| stored.local_project_id.as_str() == project)
    });
    without.map_or(Ok(()), |place| {
        Err(ApiError::bad_request(format!(
            "failover.projects[{place}]: no protection group of project {} runs on {site}.",
            projects[place]
        )))
    })
}

/// What [`start_all`] would do, as far as it can be known here.
pub async fn preview(
    app: &App,
    kind: FailoverKind,
    groups: &[StoredGroup],
) -> ApiResult<SiteFailoverAnswer> {
    let mut answer = answer_for(groups);
    for stored in groups {
        if let Err(refusal) = would_start(app, kind, stored).await {
            answer.refused.push(refused(stored, refusal));
        }
    }
    Ok(answer)
}

async fn would_start(app: &App, kind: FailoverKind, stored: &StoredGroup) -> ApiResult<()> {
    let group = &stored.group;
    if kind == FailoverKind::Unplanned {
        let asked = Unplanned::failover(Failover::of_kind(kind));
        return plan_unplanned(app, stored, &asked).await.map(|_| ());
    }
    refuse_away_from_home(group)?;
    app.refuse_while_operated(group).await?;
    admission::refuse_wrong_status(group, OperationKind::Failover)?;
    let members = app.database.member_list(&group.id).await?;
    let policy = app.database.policy_find(&group.id).await?;
    let arrays = array_pair(app, group, policy.as_ref())?;
    let mappings = group.mappings_from_current();
    let retain = app.settings.retain_source_volumes;
    let kind = OperationKind::Failover;
    planned::plan_and_runbook(group, kind, members, arrays.as_ref(), mappings, retain).map(|_| ())
}

/// Starts the failover of each of `groups`, one after the other in their order.
///
/// It goes on when the caller does not wait for the answer: half a site is the last thing that anybody wants.
pub async fn start_all(
    app: Arc<App>,
    asker: LastingAsker,
    kind: FailoverKind,
    groups: Vec<StoredGroup>,
) -> ApiResult<SiteFailoverAnswer> {
    let work = request_scope::lasting(async move {
        let mut peers = Peers::default();
        let mut answer = answer_for(&groups);
        for stored in groups {
            match start_one(&app, &asker, kind, &stored, &mut peers).await {
                Ok(record) => answer.started.push(OperationView::of(
                    &app.settings.site_name,
                    &record,
                    OperationDetail::Record,
                )),
                Err(refusal) => answer.refused.push(refused(&stored, refusal)),
            }
        }
        answer
    });
    work.await.map_err(ApiError::internal)
}

/// A group leaves its second site by a failback, which a planned failover is not: its mappings are read backwards. An
/// unplanned one goes either way.
fn refuse_away_from_home(group: &Group) -> ApiResult<()> {
    if group.current_primary_site == group.primary.site {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::WrongDirection,
        format!(
            "Protection group {name} is {} and runs on its second site: 'openstack dr failback {name}' brings it back to {}.",
            group.status,
            group.primary.site,
            name = group.name,
        ),
    ))
}

async fn start_one(
    app: &Arc<App>,
    asker: &LastingAsker,
    kind: FailoverKind,
    stored: &StoredGroup,
    peers: &mut Peers,
) -> ApiResult<OperationRecord> {
    if kind == FailoverKind::Planned {
        refuse_away_from_home(&stored.group)?;
        peers.require(app, stored).await?;
    }
    let (app, asker, stored) = (app.clone(), asker.clone(), stored.clone());
    let start = request_scope::lasting(async move {
        let asker = Asker {
            caller: &asker.caller,
            request: &asker.request,
        };
        let action = Action::Failover(Failover::of_kind(kind));
        action::start(&app, asker, &stored, action).await
    });
    start.await.map_err(ApiError::internal)?
}

fn answer_for(groups: &[StoredGroup]) -> SiteFailoverAnswer {
    SiteFailoverAnswer {
        protection_groups: groups
            .iter()
            .map(|stored| SiteGroupView::of(&stored.group, &stored.local_project_id))
            .collect(),
        started: Vec::new(),
        refused: Vec::new(),
    }
}

fn refused(stored: &StoredGroup, refusal: ApiError) -> RefusedGroupView {
    RefusedGroupView {
        protection_group_id: stored.group.id.to_string(),
        name: stored.group.name.clone(),
        project_id: stored.local_project_id.to_string(),
        reason: refusal.into_reason(),
    }
}

/// Whether the protectors of other sites answer: each is asked once, not once for each of hundreds of groups.
#[derive(Default)]
struct Peers(BTreeMap<SiteName, ApiResult<()>>);

impl Peers {
    async fn require(&mut self, app: &App, stored: &StoredGroup) -> ApiResult<()> {
        let other = &peer::other_scope(&stored.group, &app.settings.site_name).site;
        if let Some(known) = self.0.get(other) {
            return known.clone();
        }
        let answer = block_rule::require(&*app.peer, other).await;
        self.0.insert(other.clone(), answer.clone());
        answer
    }
}

/// The projects whose groups are in `groups`, for the log.
pub fn project_count(groups: &[StoredGroup]) -> usize {
    let projects: std::collections::BTreeSet<&ProjectId> = groups
        .iter()
        .map(|stored| &stored.local_project_id)
        .collect();
    projects.len()
}
