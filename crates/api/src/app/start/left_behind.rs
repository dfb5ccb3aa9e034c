//! What earlier operations have left in the way of a new one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use protector_core::{
    group::Group,
    id::{OperationId, ServerId, VolumeId},
    member::Member,
    operation::StepState,
    plan::Plan,
    runbook::unplanned_failover::{replicas_left, servers_left},
    storage::{CinderVolume, RecoveryPoint, Written},
};
use protector_store::{KeptOperation, PeerOperation};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    app::{App, refusal::Refusal, start::last_move::last_completed},
    http::error::{ApiError, ApiResult},
};

/// How long an array may take to say whether it has a replica.
const PATIENCE: Duration = Duration::from_secs(3);

/// Refuses to bring a group back, in a planned move, where the servers of an unplanned failover still are: they hold the
/// addresses, and nobody would know the ones from the others.
pub async fn refuse_while_left(app: &App, group: &Group, plan: &Plan) -> ApiResult<()> {
    let stay: Vec<&Member> = plan.others.iter().collect();
    left_on_the_way_back(app, group, &stay)
        .await?
        .map_or(Ok(()), Err)
}

/// By what a planned move back is refused, if it is. The servers of members that `stay` are where they belong.
pub async fn left_on_the_way_back(
    app: &App,
    group: &Group,
    stay: &[&Member],
) -> ApiResult<Option<ApiError>> {
    let left = left_there(app, group, stay).await?;
    Ok(left.and_then(|left| {
        left.servers_in_the_way(group)
            .or_else(|| left.stale_replicas(group))
    }))
}

/// Refuses a test failover of `plan` where the target's array has no replicas of what runs: what it has is of before the failover
/// that brought the group where it is.
pub async fn refuse_stale_replicas(app: &App, group: &Group, plan: &Plan) -> ApiResult<()> {
    let stay: Vec<&Member> = plan.others.iter().collect();
    let left = left_there(app, group, &stay).await?;
    let refused = left.and_then(|left| left.stale_replicas(group));
    refused.map_or(Ok(()), Err)
}

/// The same of an unplanned failover. The site whose cleanup makes them replicas is lost, and may have told of it no more: what the
/// array here says counts for more than what was heard. That a volume takes no writes does not say that it follows its copy: a fence
/// has closed it too. That something has come from there since the failover does.
pub async fn refuse_stale_replicas_here(app: &App, group: &Group, plan: &Plan) -> ApiResult<()> {
    let stay: Vec<&Member> = plan.others.iter().collect();
    let Some(mut left) = left_there(app, group, &stay).await? else {
        return Ok(());
    };
    // As it was for the failover that has left them.
    let replication = plan.replication().back();
    let follows = !left.replicas.is_empty() && left.has_come_since(app, plan).await;
    if follows {
        // One time for all of them: it is the worst day, and what does not answer has no replica.
        let deadline = Instant::now() + PATIENCE;
        let mut stale = Vec::new();
        for id in left.replicas {
            let volume = CinderVolume::known_by_id(id);
            let asked = app
                .storage
                .original_written_since(&replication, &volume, &left.failover);
            if !matches!(timeout_at(deadline, asked).await, Ok(Ok(Written::Nothing))) {
                stale.push(volume.id);
            }
        }
        left.replicas = stale;
    }
    left.stale_replicas(group).map_or(Ok(()), Err)
}

/// What the unplanned failover that brought the group where it is has left on the site where the group would go.
struct LeftThere {
    failover: OperationId,
    /// When that was asked for; nothing where its copy does not tell.
    begun_at: Option<DateTime<Utc>>,
    /// How many of the old servers are still there.
    servers: usize,
    /// The volumes there that are not yet replicas of their copies.
    replicas: Vec<VolumeId>,
    /// The client, as it reaches the failover's home.
    openstack: String,
}

impl LeftThere {
    /// Whether the array here has a recovery point of all that would be recovered that was taken since the failover: what is no
    /// replica of what runs gets none.
    async fn has_come_since(&self, app: &App, plan: &Plan) -> bool {
        let (replication, volumes) = (plan.replication(), plan.volumes_in_cinder());
        let asked = app.storage.recovery_points(&replication, &volumes);
        let Ok(Ok(points)) = timeout(PATIENCE, asked).await else {
            return false;
        };
        let since = |point: &RecoveryPoint| self.begun_at.is_some_and(|at| point.taken_at > at);
        points.iter().any(since)
    }

    fn servers_in_the_way(&self, group: &Group) -> Option<ApiError> {
        let Self {
            failover, servers, ..
        } = self;
        let why = format!(
            "{servers} of its old VMs are still on {}, where unplanned failover {failover} left them",
            group.other().site
        );
        (*servers > 0).then(|| self.cleanup_first(group, &why, ""))
    }

    fn stale_replicas(&self, group: &Group) -> Option<ApiError> {
        let Self {
            failover, replicas, ..
        } = self;
        let (here, there) = (&group.current().site, &group.other().site);
        let count = replicas.len();
        let why = format!(
            "what {there} has of {count} of its volumes is not a replica of what runs on {here}, but what unplanned failover {failover} left there"
        );
        let way_out = format!(
            " It makes them replicas, after Cinder has let go of them. If {here} is gone for good, 'openstack dr site retire {here} --give-up {}' on {there} leads on with what {there} has; where a fence has closed the volumes there, an administrator of the arrays opens them (a forced promotion) before their VMs are started.",
            group.name
        );
        (count > 0).then(|| self.cleanup_first(group, &why, &way_out))
    }

    fn cleanup_first(&self, group: &Group, why: &str, besides: &str) -> ApiError {
        let Self {
            failover,
            openstack,
            ..
        } = self;
        ApiError::new(
            Refusal::LeftoversFirst,
            format!(
                "Protection group {} cannot go back yet: {why}; finish '{openstack} dr operation cleanup {failover}' first.{besides}",
                group.name
            ),
        )
    }
}

async fn left_there(app: &App, group: &Group, stay: &[&Member]) -> ApiResult<Option<LeftThere>> {
    let stays = |server: &str| stay.iter().any(|other| other.server_id.as_str() == server);
    let volume_stays = |id: &str| {
        let mut volumes = stay.iter().flat_map(|other| &other.volumes);
        volumes.any(|volume| volume.id.as_str() == id)
    };
    Ok(match last_completed(app, &group.id).await? {
        Some(KeptOperation::Here(record))
            if record.operation.is_unplanned()
                && record.operation.source_site == group.other().site =>
        {
            let left = servers_left(&record).map(ServerId::as_str);
            let left: Vec<&str> = left.filter(|server| !stays(server)).collect();
            let replicas = replicas_left(&record).filter(|id| !volume_stays(id.as_str()));
            Some(LeftThere {
                servers: app.database.copied_among(&left).await?.len(),
                replicas: replicas.cloned().collect(),
                begun_at: Some(record.operation.created_at),
                failover: record.operation.id,
                openstack: "openstack".to_owned(),
            })
        }
        Some(KeptOperation::Elsewhere(copy)) if copy.is_unplanned() => {
            let lines = app.database.peer_operation_lines(&copy.id).await?;
            let resource = |line: &Value| line.get("resource_id")?.as_str().map(str::to_owned);
            let servers = leftover_servers_in_copy(&lines).filter_map(resource);
            let replicas = failed_lines_in_copy(&lines, "resync_volume").filter_map(resource);
            Some(LeftThere {
                servers: servers.filter(|server| !stays(server)).count(),
                replicas: replicas
                    .filter(|volume| !volume_stays(volume))
                    .map(VolumeId::new)
                    .collect(),
                openstack: format!("openstack --os-cloud {}", copy.home_site),
                begun_at: told_at(&copy),
                failover: copy.id,
            })
        }
        _ => None,
    })
}

fn told_at(copy: &PeerOperation) -> Option<DateTime<Utc>> {
    let told = copy.record.get("created_at")?.as_str()?;
    DateTime::parse_from_rfc3339(told)
        .ok()
        .map(|at| at.to_utc())
}

/// The lines of the servers that a failover run by the other site left on its source, as that site shows them.
pub(crate) fn leftover_servers_in_copy(lines: &[Value]) -> impl Iterator<Item = &Value> {
    failed_lines_in_copy(lines, "delete_source_vm")
}

fn failed_lines_in_copy<'l>(
    lines: &'l [Value],
    phase: &'static str,
) -> impl Iterator<Item = &'l Value> {
    let is = |line: &Value, field: &str, word: &str| {
        line.get(field).and_then(Value::as_str) == Some(word)
    };
    lines.iter().filter(move |line| {
        is(line, "phase", phase) && is(line, "state", StepState::Failed.as_str())
    })
}
