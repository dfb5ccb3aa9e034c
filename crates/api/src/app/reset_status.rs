//! A group whose status nobody leads out of, put at rest when both clouds show that it is where it is said to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use protector_clouds::clouds::{Expected, Holdings};
use protector_core::{
    group::{Group, GroupStatus, Recovered},
    id::ServerId,
    member::Member,
    operation::{MapKind, OperationKind},
    runbook::resource::ResourceKind,
    site::SiteScope,
    verified_status::{Other, StatusEvidence, StatusFinding, findings},
};
use protector_store::{
    KeptOperation, OperationFilter, OperationOrder, OrderDirection, Page, StoredGroup,
};
use protector_wire::reset_status::{ResetStatus, ResetStatusView};

use super::{App, orphan::within, sync};
use crate::{
    app::refusal::Refusal,
    http::error::{ApiError, ApiResult},
};

/// How long a cloud may take to show what it holds.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How many operations are read at once in the search for what a group's members were elsewhere.
const AT_ONCE: u64 = 50;

/// What came of a reset.
pub struct Reset {
    pub before: GroupStatus,
    /// The status that was found to be true; what the group has now, unless nothing was to be changed.
    pub status: GroupStatus,
    pub findings: Vec<StatusFinding>,
}

impl From<Reset> for ResetStatusView {
    fn from(reset: Reset) -> Self {
        Self {
            before: reset.before.as_str(),
            status: reset.status.as_str(),
            findings: reset.findings.into_iter().map(Into::into).collect(),
        }
    }
}

/// Reads the group's members on both clouds, and puts the group at rest if it is certain that it is where it is said to be.
///
/// # Errors
///
/// 409 with all that is in the way, and for each what leads on; 503 while a cloud does not answer.
pub async fn reset(app: &App, stored: &StoredGroup, request: &ResetStatus) -> ApiResult<Reset> {
    let group = &stored.group;
    app.refuse_while_operated(group).await?;
    let request = &ResetStatus {
        other_site_lost: request.other_site_lost || stored.peer_retired_at.is_some(),
        ..*request
    };
    if request.other_site_lost {
        sync::refuse_in_conflict(app, &group.id).await?;
    } else {
        sync::require_changeable(app, group).await?;
        sync::refuse_what_is_newer_there(app, group).await?;
    }
    let members = app.database.member_list(&group.id).await?;
    let findings = look(app, group, &members, request).await?;
    refuse_uncertain(group, &findings)?;
    let status = group.status_at_rest(Recovered::of(&members));
    if !request.dry_run && !group.status.is_at_rest() {
        put_at_rest(app, group).await?;
    }
    Ok(Reset {
        before: group.status,
        status,
        findings,
    })
}

async fn put_at_rest(app: &App, group: &Group) -> ApiResult<()> {
    let now = app.clock.now();
    let put = app
        .database
        .group_put_at_rest(&group.id, group.version, now);
    if put.await? {
        tracing::warn!(group_id = %group.id, was = %group.status, "put at rest: both clouds show that it is where it is said to be");
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::ChangedMeanwhile,
        format!(
            "Protection group {} was changed while its VMs were looked at; look at it, and try again.",
            group.name
        ),
    ))
}

fn refuse_uncertain(group: &Group, findings: &[StatusFinding]) -> ApiResult<()> {
    let bad: Vec<String> = findings
        .iter()
        .filter(|finding| finding.is_in_the_way)
        .map(|finding| format!("{} {}", finding.member, finding.found))
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::CopiesInTheWay,
        format!(
            "Protection group {} stays {}: {}.",
            group.name,
            group.status,
            bad.join("; ")
        ),
    ))
}

async fn look(
    app: &App,
    group: &Group,
    members: &[Member],
    request: &ResetStatus,
) -> ApiResult<Vec<StatusFinding>> {
    let records = records(app, group).await?;
    let here = holdings(app, group.current(), &expected_of(members)).await?;
    let there = match request.other_site_lost {
        true => None,
        false => {
            let expected = records.recorded.values().flatten().map(|id| server(id));
            let expected: Vec<Expected> = expected.collect();
            Some(holdings(app, group.other(), &expected).await?)
        }
    };
    Ok(findings(&StatusEvidence {
        group,
        members,
        here: &here.held,
        other: there
            .as_ref()
            .map_or(Other::Lost, |there| Other::Shows(&there.held)),
        recorded: &records.recorded,
        tests: &records.tests,
    }))
}

/// All that a cloud shows of the tenant's project; one of `expected` that is not in it is gone.
pub(super) async fn holdings(
    app: &App,
    scope: &SiteScope,
    expected: &[Expected],
) -> ApiResult<Holdings> {
    let reading = app.clouds.holdings(scope, expected);
    Ok(within(PATIENCE, &scope.site, reading).await?)
}

fn server(id: &str) -> Expected {
    Expected {
        kind: ResourceKind::Server,
        id: id.to_owned(),
    }
}

/// The servers and volumes of `members`.
pub(super) fn expected_of(members: &[Member]) -> Vec<Expected> {
    members
        .iter()
        .flat_map(|member| {
            let volumes = member.volumes.iter().map(|volume| Expected {
                kind: ResourceKind::Volume,
                id: volume.id.to_string(),
            });
            std::iter::once(server(member.server_id.as_str())).chain(volumes)
        })
        .collect()
}

/// What this site's records know of a group's servers on the site where it does not run.
#[derive(Default)]
struct Records {
    recorded: BTreeMap<ServerId, Vec<String>>,
    tests: BTreeSet<String>,
}

impl Records {
    fn note(&mut self, group: &Group, kept: KeptOperation) {
        match kept {
            KeptOperation::Here(record) => {
                let operation = &record.operation;
                if operation.kind == OperationKind::TestFailover {
                    self.tests.insert(operation.id.to_string());
                    return;
                }
                let came_here = operation.target_site == group.current_primary_site;
                let servers = record.map.iter();
                for (_, source, target) in servers.filter(|(kind, ..)| *kind == MapKind::Server) {
                    let (here, there) = if came_here {
                        (target, source)
                    } else {
                        (source, target)
                    };
                    let known = self.recorded.entry(ServerId::new(here)).or_default();
                    known.push(there.to_owned());
                }
            }
            KeptOperation::Elsewhere(copy) => {
                if copy.kind == OperationKind::TestFailover.as_str() {
                    self.tests.insert(copy.id.to_string());
                }
            }
        }
    }
}

async fn records(app: &App, group: &Group) -> ApiResult<Records> {
    let filter = OperationFilter {
        groups: vec![group.id.clone()],
        kinds: vec![
            OperationKind::Failover,
            OperationKind::Failback,
            OperationKind::Retry,
            OperationKind::TestFailover,
        ],
        ..OperationFilter::default()
    };
    let mut page = Page {
        limit: AT_ONCE,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Desc,
    };
    let mut records = Records::default();
    loop {
        let listed = app.database.operation_list_of_both(&filter, &page).await?;
        page.marker = listed.items.last().map(|kept| kept.id().to_string());
        for kept in listed.items {
            records.note(group, kept);
        }
        if !listed.more {
            return Ok(records);
        }
    }
}
