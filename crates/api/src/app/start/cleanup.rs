//! What an ended operation left behind: telling it, and starting the cleanup that removes it.

use std::collections::BTreeSet;

use protector_core::{
    group::GroupStatus,
    id::{ServerId, SiteName, UserId},
    leftover::{LeftReason, Leftover, Remedy, leftovers},
    operation::{
        MapKind, Operation, OperationKind, OperationRecord, OperationState, ResourceMap,
        StepRecord, StepState, steps_completed,
    },
    plan::Plan,
    present::map_as_of_now,
    runbook::{
        Reported, Step,
        cleanup::{NEVER_LEAVES, cleanup_of_chosen, with_floating_ips},
    },
};
use protector_store::{Lock, StoreError};
use protector_wire::{
    cleanup::CleanupOptions,
    leftover::{CleanupView, FloatingIpView},
};

use crate::{
    app::{
        App, block_rule,
        refusal::Refusal,
        start::{
            adoptable::adopted_members,
            new_operation::{Asker, insert, queued, refuse_while_cleaned},
            test_failover,
        },
        sync,
    },
    http::error::{ApiError, ApiResult},
};

/// A cleanup: what it found to do, and its operation if that is anything.
pub struct Cleanup {
    /// What there is to do.
    pub view: CleanupView,
    /// The operation that does it; `None` when nothing is left.
    pub record: Option<OperationRecord>,
}

/// What a cleanup takes up.
struct Work {
    leftovers: Vec<Leftover>,
    steps: Vec<StepRecord>,
    /// Lines whose servers are deleted though they run: key, and the member's server on the source.
    though_they_run: Vec<(String, ServerId)>,
}

/// Starts a cleanup of what `parent` left behind: of all of it, or of what `options` name.
pub async fn start_cleanup(
    app: &App,
    asker: Asker<'_>,
    parent: &OperationRecord,
    options: &CleanupOptions,
) -> ApiResult<Cleanup> {
    refuse_uncleanable(&parent.operation)?;
    refuse_while_cleaned(app, &parent.operation.id).await?;
    let parent = &app.database.operation_as_left(parent).await?;
    let work = work(app, parent, options).await?;
    let view = view(parent, &work);
    if work.steps.is_empty() {
        return Ok(Cleanup { view, record: None });
    }
    refuse_while_split(app, parent).await?;
    // What one site would delete, the other may take for the good copy.
    sync::refuse_in_conflict(app, &parent.operation.group_id).await?;
    if app.settings.cleanup_requires_peer && !has_no_other_site(app, parent).await? {
        let other = other_site(&parent.operation, &app.settings.site_name);
        block_rule::require(&*app.peer, other).await?;
    }
    let operation = &parent.operation;
    let current = app
        .database
        .members_of_project(&operation.project_id)
        .await?;
    let mut map = map_as_of_now(parent, &current);
    note_what_may_run(&mut map, &work, asker.caller.user_id());
    let record = OperationRecord {
        operation: queued(
            app,
            asker,
            OperationKind::Cleanup,
            &operation.project_id,
            plan_as_mapped_now(app, operation).await?,
            Some(operation.id.clone()),
        ),
        steps: work.steps,
        map,
    };
    let mut locks = vec![Lock::cleanup_of(&operation.id)];
    // What an adoption has built has the marks of the move that it adopts: the next adoption finds it, too.
    locks.extend(operation.plan.adopts.as_ref().map(Lock::cleanup_of));
    insert(app, &record, &locks, None).await?;
    Ok(Cleanup {
        view,
        record: Some(record),
    })
}

async fn plan_as_mapped_now(app: &App, parent: &Operation) -> ApiResult<Plan> {
    let plan = parent.plan.clone();
    // The networks of a test are its own, and what it has made is in them.
    if matches!(
        parent.kind,
        OperationKind::TestFailover | OperationKind::TestCleanup
    ) {
        return Ok(plan);
    }
    match app.database.group_show_by_id(&parent.group_id).await {
        Ok(stored) => {
            let mapped_now = stored.group.mappings_from(&plan.source.site);
            Ok(plan.known_by(mapped_now))
        }
        Err(StoreError::NotFound { .. }) => Ok(plan),
        Err(error) => Err(error.into()),
    }
}

/// Whether the other site of the group is gone for good: what is left on this one is cleaned up without it.
async fn has_no_other_site(app: &App, parent: &OperationRecord) -> ApiResult<bool> {
    let group = &parent.operation.group_id;
    match app.database.group_show_by_id(group).await {
        Ok(stored) => Ok(stored.peer_retired_at.is_some()),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What an unplanned failover left may run: it is stopped before it is deleted, so that nobody takes the one for the other.
async fn refuse_while_split(app: &App, parent: &OperationRecord) -> ApiResult<()> {
    if !parent.operation.is_unplanned() {
        return Ok(());
    }
    let group = match app
        .database
        .group_show_by_id(&parent.operation.group_id)
        .await
    {
        Ok(stored) => stored.group,
        Err(StoreError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if group.status != GroupStatus::SplitBrain {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::SplitBrain,
        format!(
            "Protection group {} is split_brain: VMs that operation {} left on {} run there; stop them first with 'openstack dr fence {}'.",
            group.name, parent.operation.id, parent.operation.source_site, group.name
        ),
    ))
}

/// What [`start_cleanup`] would do. Asks nobody but the database, so that it works on the worst day.
pub async fn preview_cleanup(
    app: &App,
    parent: &OperationRecord,
    options: &CleanupOptions,
) -> ApiResult<CleanupView> {
    refuse_uncleanable(&parent.operation)?;
    let parent = &app.database.operation_as_left(parent).await?;
    Ok(view(parent, &work(app, parent, options).await?))
}

async fn work(app: &App, parent: &OperationRecord, options: &CleanupOptions) -> ApiResult<Work> {
    let left = leftovers(parent);
    let chosen = match &options.resources {
        Some(ids) => chosen(parent, left, ids)?,
        None => left,
    };
    let chosen = without_adopted(app, parent, chosen).await?;
    let leftovers = startable(app, parent, chosen).await?;
    let places: BTreeSet<u32> = leftovers.iter().map(|left| left.position).collect();
    let mut steps = cleanup_of_chosen(parent, &places).map_err(|bad| {
        ApiError::bad_request(format!(
            "cleanup.resources: '{}' stands on '{}' and has to go first: name its resource too.",
            key_at(parent, bad.upper),
            key_at(parent, bad.below)
        ))
    })?;
    let though_they_run = though_they_run(parent, &leftovers, &steps, &options.delete_running)?;
    if options.release_floating_ips {
        let is_meant = |server: &ServerId| match &options.resources {
            Some(ids) => ids.iter().any(|id| id == server.as_str()),
            None => true,
        };
        steps = with_floating_ips(parent, steps, is_meant);
    }
    Ok(Work {
        leftovers,
        steps,
        though_they_run,
    })
}

/// Leaves out what a later operation has adopted: it is the group, and no leftover.
async fn without_adopted(
    app: &App,
    parent: &OperationRecord,
    left: Vec<Leftover>,
) -> ApiResult<Vec<Leftover>> {
    let adopted = adopted_members(app, parent).await?;
    let is_adopted = |left: &Leftover| {
        let step = parent
            .steps
            .iter()
            .find(|step| step.position == left.position);
        let member = step.and_then(|step| step.action.member(&parent.operation.plan));
        member.is_some_and(|member| adopted.contains(&member.server_id))
    };
    Ok(left.into_iter().filter(|left| !is_adopted(left)).collect())
}

/// The lines whose servers go though they run: those that `named` names by id or name, and all copies of a test.
fn though_they_run(
    parent: &OperationRecord,
    leftovers: &[Leftover],
    steps: &[StepRecord],
    named: &[String],
) -> ApiResult<Vec<(String, ServerId)>> {
    let servers = takeable(parent, leftovers, steps);
    for name in named {
        refuse_unknown_server(parent, &servers, name)?;
    }
    let is_test = parent.operation.kind == OperationKind::TestFailover;
    let goes = |one: &Takeable| is_test || named.iter().any(|name| one.is_called(name));
    Ok(servers
        .into_iter()
        .filter(goes)
        .map(|one| (one.step, one.server))
        .collect())
}

/// A server that a cleanup takes, or of which it takes what it has written.
struct Takeable {
    step: String,
    name: String,
    /// Its id, and for a copy that is gone its original's.
    ids: Vec<String>,
    /// The member's server on the source.
    server: ServerId,
}

impl Takeable {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.ids.iter().any(|id| id == name)
    }
}

/// The servers of the lines; and of a member whose copy is gone already, or was never built, the first line that takes a volume
/// of it.
fn takeable(
    parent: &OperationRecord,
    leftovers: &[Leftover],
    steps: &[StepRecord],
) -> Vec<Takeable> {
    let mut found: Vec<Takeable> = leftovers
        .iter()
        .zip(steps)
        .filter_map(|(left, step)| {
            Some(Takeable {
                step: left.step.clone(),
                name: left.name.clone(),
                ids: left.resource_id.iter().cloned().collect(),
                server: step.action.takes_a_server_of()?.clone(),
            })
        })
        .collect();
    let takes_a_copy =
        |step: &&StepRecord| step.progress.memo.outlived || takes_bytes(&step.action);
    for step in steps.iter().filter(takes_a_copy) {
        let Some(member) = step.action.member(&parent.operation.plan) else {
            continue;
        };
        if !found.iter().any(|one| one.server == member.server_id) {
            let copies = parent.steps.iter().filter(|line| {
                matches!(&line.action, Step::RecreateServer { server } if *server == member.server_id)
            });
            let copies = copies.filter_map(|line| line.progress.memo.made.clone());
            found.push(Takeable {
                step: step.key.clone(),
                name: member.name.clone(),
                ids: copies.chain([member.server_id.to_string()]).collect(),
                server: member.server_id.clone(),
            });
        }
    }
    found
}

/// Whether a line takes back what a move has promoted of a volume, or its import.
fn takes_bytes(action: &Step) -> bool {
    let Step::TakeBack { line } = action else {
        return false;
    };
    matches!(
        **line,
        Step::PromoteVolume { .. } | Step::ManageVolume { .. }
    )
}

/// One that the operation has removed already is passed over, so that a request can be repeated.
fn refuse_unknown_server(
    parent: &OperationRecord,
    servers: &[Takeable],
    name: &str,
) -> ApiResult<()> {
    let known = servers.iter().filter(|one| one.is_called(name)).count();
    if known == 1 || (known == 0 && is_removed(parent, name)) {
        return Ok(());
    }
    let id = &parent.operation.id;
    let choices: Vec<String> = servers
        .iter()
        .map(|one| match one.ids.first() {
            Some(id) => format!("{} ({id})", one.name),
            None => one.name.clone(),
        })
        .collect();
    let choices = match choices.is_empty() {
        true => "it is to delete none".to_owned(),
        false => format!("name one of {}", choices.join(", ")),
    };
    let what = match known {
        0 => format!("this cleanup of operation {id} deletes no server '{name}'"),
        _ => format!("operation {id} left more than one server '{name}'"),
    };
    Err(ApiError::bad_request(format!(
        "cleanup.delete_running: {what}; {choices}."
    )))
}

/// Writes down whose word it is that a server may go though it runs.
fn note_what_may_run(map: &mut ResourceMap, work: &Work, user: &UserId) {
    for (_, server) in &work.though_they_run {
        map.insert(MapKind::DeleteRunning, server.as_str(), user.as_str());
    }
}

fn key_at(parent: &OperationRecord, position: u32) -> &str {
    parent
        .steps
        .iter()
        .find(|step| step.position == position)
        .map_or("another line", |step| &step.key)
}

/// The leftovers that `ids` name. One that the operation has removed already is passed over, so that a request can be
/// repeated.
fn chosen(
    parent: &OperationRecord,
    left: Vec<Leftover>,
    ids: &[String],
) -> ApiResult<Vec<Leftover>> {
    if ids.is_empty() {
        return Err(ApiError::bad_request(
            "cleanup.resources: must name at least one resource; leave it out to clean up everything.",
        ));
    }
    let is_left = |id: &str| {
        left.iter()
            .any(|left| left.resource_id.as_deref() == Some(id))
    };
    let unknown: Vec<&str> = ids
        .iter()
        .map(String::as_str)
        .filter(|id| !is_left(id) && !is_removed(parent, id))
        .collect();
    if !unknown.is_empty() {
        let id = &parent.operation.id;
        return Err(ApiError::bad_request(format!(
            "cleanup.resources: operation {id} left no resource {} behind; 'openstack dr operation cleanup {id} --dry-run' lists what it left.",
            unknown.join(", ")
        )));
    }
    Ok(left
        .into_iter()
        .filter(|left| left.resource_id.as_ref().is_some_and(|id| ids.contains(id)))
        .collect())
}

/// Whether the operation, or a cleanup of it, has deleted the resource `id`, or taken back that it made it.
/// The lines that are about something that is left.
fn resources(steps: &[StepRecord]) -> impl Iterator<Item = &StepRecord> {
    let about_one = |step: &&StepRecord| step.reported != Reported::Never;
    steps.iter().filter(about_one)
}

fn is_removed(parent: &OperationRecord, id: &str) -> bool {
    parent.steps.iter().any(|step| match step.progress.state {
        StepState::Done => step.action.deletes() && step.resource_id.as_deref() == Some(id),
        StepState::Undone => step.progress.memo.made.as_deref() == Some(id),
        _ => false,
    })
}

/// Leaves out the servers that `parent` stopped and could not start again, and the volumes that it fenced for that, once the group
/// has left `error` or is gone:
/// what they ran may run elsewhere by now. They are the last lines, and no other waits for them.
async fn startable(
    app: &App,
    parent: &OperationRecord,
    left: Vec<Leftover>,
) -> ApiResult<Vec<Leftover>> {
    let is_for_its_servers =
        |left: &Leftover| matches!(left.remedy, Remedy::Start | Remedy::Unfence);
    if !left.iter().any(is_for_its_servers) || needs_its_servers(app, &parent.operation).await? {
        return Ok(left);
    }
    let rest: Vec<Leftover> = left
        .into_iter()
        .filter(|left| !is_for_its_servers(left))
        .collect();
    if rest.is_empty() {
        let operation = &parent.operation;
        return Err(ApiError::new(
            Refusal::NotCleanable,
            format!(
                "Operation {} left servers stopped on {}, and protection group {} has changed since: they may run elsewhere by now. Start them with 'openstack server start' if they do not.",
                operation.id, operation.source_site, operation.plan.group_name
            ),
        ));
    }
    Ok(rest)
}

async fn needs_its_servers(app: &App, operation: &Operation) -> ApiResult<bool> {
    match app.database.group_show_by_id(&operation.group_id).await {
        Ok(stored) => Ok(stored.group.status == GroupStatus::Error
            && stored.group.current_primary_site == operation.source_site),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn refuse_uncleanable(operation: &Operation) -> ApiResult<()> {
    if operation.state == OperationState::AwaitingCleanup {
        return Err(test_failover::is_up(operation));
    }
    if !operation.state.is_terminal() {
        return Err(ApiError::new(
            Refusal::NotEnded,
            format!(
                "Operation not in completed state: the operation must be completed or failed, it is {}",
                operation.state.status()
            ),
        ));
    }
    match &operation.parent_id {
        Some(parent) if operation.kind == NEVER_LEAVES => Err(ApiError::new(
            Refusal::NotCleanable,
            format!(
                "Operation {} is itself a cleanup; clean up {parent}, whose leftovers it removes.",
                operation.id
            ),
        )),
        _ => Ok(()),
    }
}

fn view(parent: &OperationRecord, work: &Work) -> CleanupView {
    CleanupView {
        skipped: steps_completed(&parent.steps).len(),
        retained: work
            .leftovers
            .iter()
            .filter(|left| left.reason == LeftReason::Retained)
            .map(|left| left.step.clone())
            .collect(),
        steps: resources(&work.steps)
            .map(|step| step.key.clone())
            .collect(),
        delete_running: work
            .though_they_run
            .iter()
            .map(|(key, _)| key.clone())
            .collect(),
        leftovers: work.leftovers.iter().map(Into::into).collect(),
        floating_ips: work
            .steps
            .iter()
            .filter_map(|step| floating_ip(&parent.operation.plan, step))
            .collect(),
    }
}

fn floating_ip(plan: &Plan, step: &StepRecord) -> Option<FloatingIpView> {
    let Step::ReleaseFloatingIp { server, address } = &step.action else {
        return None;
    };
    let scope = step.action.scope(plan);
    Some(FloatingIpView {
        step: step.key.clone(),
        resource_id: step.resource_id.clone(),
        address: address.to_string(),
        server: plan.member_of_server(server.as_str())?.name.clone(),
        site: scope.site.to_string(),
        project_id: scope.project_id.to_string(),
        command: format!(
            "openstack --os-cloud {} floating ip delete {address}",
            scope.site
        ),
    })
}

fn other_site<'o>(operation: &'o Operation, local: &SiteName) -> &'o SiteName {
    if &operation.source_site == local {
        &operation.target_site
    } else {
        &operation.source_site
    }
}
