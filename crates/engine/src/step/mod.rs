//! The steps of runbooks, as they are carried out on clouds and arrays. One file per family.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protector_core::{
    fault::{Code, Fault},
    id::SiteName,
    operation::{Operation, OperationKind, StepRecord, StepState},
    plan::Plan,
    runbook::{
        Step, Verb,
        table::{About, Asks, Limit, Side, Undo},
    },
    site::SiteScope,
    storage::{StorageDriver, StorageError},
};
use protector_openstack::{cloud::Cloud, request_log::RequestLog};

use crate::{
    action::{Actions, Cx, Draws, Patience, Progress, Stop},
    clouds::Clouds,
    options::EngineOptions,
    other_site::OtherSite,
    outside::{NothingOutside, Outside},
};

mod adopted;
mod adoption;
mod arrays;
mod at_one_moment;
mod copies;
mod copy_taken_back;
mod delete_on_termination;
mod fence;
mod fidelity;
mod floating_ips;
mod heir;
mod held_still;
mod hook;
mod import_holder;
mod imported_volume;
mod key_pair;
mod mark;
mod original_beside;
mod pause;
mod port_fidelity;
mod port_request;
mod ports;
mod power_state;
mod probe;
mod reading;
mod recorded;
mod recovered_group;
mod recovered_server;
mod replication;
mod returned_original;
mod scope;
mod server_group;
mod source_at_rest;
mod source_check;
mod source_host;
mod source_server;
mod source_volume;
mod started_again;
mod switch;
mod target_check;
mod test_server;
mod test_volume;
mod written_since;

use arrays::Arrays;
pub use fence::{may_run_there, why_not_at_rest};
pub(crate) use held_still::Standing;

/// Carries steps out on the clouds of registered sites and on their arrays.
pub struct CloudActions {
    clouds: Arc<dyn Clouds>,
    arrays: Arrays,
    outside: Arc<dyn Outside>,
    standing: Standing,
    options: EngineOptions,
    /// Held while a server group is looked for and made.
    server_groups: Arc<server_group::OneAtATime>,
}

impl CloudActions {
    /// Steps that reach clouds and arrays through the given ports.
    pub fn new(
        clouds: Arc<dyn Clouds>,
        storage: Arc<dyn StorageDriver>,
        options: EngineOptions,
    ) -> Self {
        Self {
            clouds,
            arrays: Arrays::new(storage),
            outside: Arc::new(NothingOutside),
            standing: Standing::alone(),
            options,
            server_groups: Arc::default(),
        }
    }

    /// The same with probes and hooks.
    #[must_use]
    pub fn with_outside(self, outside: Arc<dyn Outside>) -> Self {
        Self { outside, ..self }
    }

    /// The same for an engine of `site`, whose groups another site's protector may move too.
    #[must_use]
    pub fn beside(self, site: SiteName, other: Arc<dyn OtherSite>) -> Self {
        Self {
            standing: Standing::of(site, other),
            ..self
        }
    }

    async fn tenant(&self, cx: &Cx<'_>, scope: &SiteScope) -> Result<Cloud, Stop> {
        let request_id = cx.operation.global_request_id.as_deref();
        Ok(self.clouds.tenant(scope, request_id).await?)
    }

    async fn source(&self, cx: &Cx<'_>) -> Result<Cloud, Stop> {
        self.tenant(cx, &cx.plan().source).await
    }

    async fn target(&self, cx: &Cx<'_>) -> Result<Cloud, Stop> {
        self.tenant(cx, &cx.plan().target).await
    }

    async fn target_admin(&self, cx: &Cx<'_>) -> Result<Cloud, Stop> {
        let request_id = cx.operation.global_request_id.as_deref();
        Ok(self
            .clouds
            .admin(&cx.plan().target.site, request_id)
            .await?)
    }

    async fn source_admin(&self, cx: &Cx<'_>) -> Result<Cloud, Stop> {
        let request_id = cx.operation.global_request_id.as_deref();
        Ok(self
            .clouds
            .admin(&cx.plan().source.site, request_id)
            .await?)
    }

    fn look_again(&self, on: impl Into<String>) -> Progress {
        Progress::Waiting {
            on: on.into(),
            again: self.options.status_poll,
        }
    }

    /// What was judged is not so any more once the intent is on record: nothing is sent, and it is looked at anew.
    fn changed_meanwhile(&self, cx: &mut Cx<'_>) -> Progress {
        cx.forget_new_facts();
        self.look_again("what has changed since it was judged")
    }

    async fn run_step(&self, step: &Step, cx: &mut Cx<'_>) -> Result<Progress, Stop> {
        match step {
            Step::CheckServer { server } => self.check_server(cx, server).await,
            Step::CheckTarget => self.check_target(cx).await,
            Step::StopServer { server } => self.stop_server(cx, server).await,
            Step::ReplicateGroup => self.replicate_group(cx).await,
            Step::PromoteVolume { volume } => self.promote_volume(cx, volume).await,
            Step::ManageVolume { volume } => self.manage_volume(cx, volume).await,
            Step::ReservePorts { server } => self.reserve_ports(cx, server).await,
            Step::CompletePorts { server } => self.complete_ports(cx, server).await,
            Step::RecreateServer { server } => self.recreate_server(cx, server).await,
            Step::ConfirmServer { server } => self.confirm_server(cx, server).await,
            Step::RestorePowerState { server } => self.restore_power_state(cx, server).await,
            Step::ProbeServer { server } => self.probe_server(cx, server).await,
            Step::CallHook { hook } => self.call_hook(cx, hook).await,
            Step::Pause { number } => self.pause(cx, *number).await,
            Step::AssociateFloatingIps { server } => self.associate_floating_ips(cx, server).await,
            Step::RestoreDeleteOnTermination { server } => {
                self.restore_delete_on_termination(cx, server).await
            }
            Step::SwitchPrimary => self.switch_primary(cx).await,
            Step::DeleteSourceServer { server } => self.delete_source_server(cx, server).await,
            Step::DeleteSourceVolume { volume } => self.delete_source_volume(cx, volume).await,
            Step::ChooseRecoveryPoint => self.choose_recovery_point(cx).await,
            Step::CloneVolume { volume } => self.clone_volume(cx, volume).await,
            Step::CheckTargetAlone => self.check_target_alone(cx).await,
            Step::CountRecovered { server } => self.count_recovered(cx, server).await,
            Step::ConfirmRecovered => self.confirm_recovered(cx).await,
            Step::SwitchRecovered => self.switch_recovered(cx).await,
            Step::AdmitRecovered => self.admit_recovered(cx).await,
            Step::LeaveSourceServer { server } => self.leave_source_server(cx, server).await,
            Step::LeaveSourceVolume { volume } => {
                self.leave_source_volume(cx, volume.as_str()).await
            }
            Step::FenceServer { server } => self.fence_server(cx, Side::Source, server).await,
            Step::FenceServerOnTarget { server } => {
                self.fence_server(cx, Side::Target, server).await
            }
            Step::ConfirmFenced => self.confirm_fenced(cx).await,
            Step::StartSourceServer { server } => self.start_source_server(cx, server).await,
            Step::CheckAtRest { server } => self.check_at_rest(cx, server).await,
            Step::AdoptVolume { volume } => self.adopt_volume(cx, volume).await,
            Step::AdoptServer { server } => self.adopt_server(cx, server).await,
            Step::ConfirmStarted => self.confirm_started(cx).await,
            Step::ReleaseReplicas => self.release_replicas(cx).await,
            Step::DeleteTestServer { test, server } => {
                self.delete_test_server(cx, test, server).await
            }
            Step::DeleteTestVolume { test, volume } => {
                self.delete_test_volume(cx, test, volume).await
            }
            Step::TakeBack { line } => self.undo_step(line, cx).await,
        }
    }

    async fn undo_step(&self, step: &Step, cx: &mut Cx<'_>) -> Result<Progress, Stop> {
        match step.row().undo {
            Undo::Nothing => Ok(Progress::done()),
            Undo::StartOriginal(server) => self.start_again(cx, server).await,
            Undo::DiscardPromoted(volume) => self.discard_promoted(cx, volume).await,
            Undo::DiscardClone(volume) => self.discard_clone(cx, volume).await,
            Undo::Unmanage(volume) => self.unmanage_volume(cx, volume).await,
            Undo::DeletePorts(server) => self.take_ports_back(cx, server).await,
            Undo::DeleteCopy(server) => self.delete_recovered(cx, server).await,
        }
    }
}

#[async_trait]
impl Actions for CloudActions {
    async fn run(&self, cx: &mut Cx<'_>) -> Result<Progress, Stop> {
        if let (Verb::Member, Some(why)) = (cx.step.verb, cx.blocked_by) {
            // Its member cannot be recovered in this operation; the line that failed says why, once.
            return Ok(Progress::Skipped {
                why: why.to_owned(),
            });
        }
        cx.standing = Some(self.standing.clone());
        cx.hold_still().await?;
        let step = cx.step.action.clone();
        let log = RequestLog::default();
        let outcome = self.reading_and_noting(&log).run_step(&step, cx).await;
        recorded::note(&mut cx.memo, &log);
        match outcome {
            Err(failed @ Stop::Fault(Fault::Final { .. })) => Err(cx.or_superseded(failed).await),
            outcome => outcome,
        }
    }

    async fn undo(&self, cx: &mut Cx<'_>) -> Result<Progress, Stop> {
        cx.standing = Some(self.standing.clone());
        let step = cx.step.action.clone();
        let log = RequestLog::default();
        let outcome = match cx.hold_still_to_undo().await {
            Ok(()) => self.reading_and_noting(&log).undo_step(&step, cx).await,
            Err(stop) => Err(stop),
        };
        recorded::note(&mut cx.memo, &log);
        match outcome {
            Err(stop) => Err(cx.or_left_on_the_lost_target(stop).await?),
            outcome => outcome,
        }
    }

    async fn keep_held(&self, operation: &Operation, now: DateTime<Utc>) {
        self.standing.keep(operation, now).await;
    }

    fn patience(&self, operation: &Operation, step: &StepRecord) -> Patience {
        let plan = &operation.plan;
        let (limit, timeout_error) = match step.progress.state {
            StepState::Undoing => self.limit_of_undo(plan, &step.action),
            _ => self.limit(plan, &step.action),
        };
        Patience {
            limit,
            retries: retries(operation, step, &self.options),
            timeout_error,
            says_what_for: says_what_for(&step.action),
        }
    }

    fn draws(&self, operation: &Operation, step: &StepRecord) -> Draws {
        draws(operation, &step.action)
    }
}

impl CloudActions {
    fn probe_limit(&self, plan: &Plan, about: About<'_>) -> Duration {
        let seconds = match about {
            About::Server(server) => {
                let recovery = plan.recovery.of_server(&plan.members, server);
                recovery.probe_timeout_seconds
            }
            _ => None,
        };
        seconds.map_or(self.options.probe_timeout, |seconds| {
            Duration::from_secs(seconds.into())
        })
    }

    /// How long a step may take, and what is recorded when it took longer (contract: "Cinder timeout after 300s").
    fn limit(&self, plan: &Plan, step: &Step) -> (Duration, String) {
        if let Step::TakeBack { line } = step {
            return self.limit_of_undo(plan, line);
        }
        let (row, options) = (step.row(), &self.options);
        let limit = match row.limit {
            Limit::Manage => options.manage_timeout,
            Limit::Stop => options.stop_timeout * 2,
            Limit::Build => options.build_timeout,
            Limit::Replication => options.replication_timeout,
            Limit::Cleanup => options.cleanup_timeout,
            Limit::Probe => self.probe_limit(plan, row.about),
            Limit::Hook => HOOK_LIMIT,
            Limit::None => Duration::MAX,
        };
        (limit, timed_out(row.waits_for, limit))
    }

    /// The same for taking the step back.
    fn limit_of_undo(&self, plan: &Plan, step: &Step) -> (Duration, String) {
        let limit = match step.row().undo {
            Undo::DeleteCopy(_) => self.options.build_timeout.max(UNDO_OF_BUILD),
            Undo::DeletePorts(_) => UNDO_OF_BUILD,
            _ => return self.limit(plan, step),
        };
        (limit, timed_out(step.row().waits_for, limit))
    }
}

fn timed_out(what: &str, limit: Duration) -> String {
    format!("{what} timeout after {}s", limit.as_secs())
}

/// Whether what it waited for stands behind the words of a timeout. What is recorded of a volume's deletion is in the contract,
/// and a probe that nobody answers has waited for nothing else.
fn says_what_for(step: &Step) -> bool {
    match step {
        Step::DeleteSourceVolume { .. }
        | Step::DeleteTestVolume { .. }
        | Step::ProbeServer { .. } => false,
        Step::TakeBack { line } => says_what_for(line),
        _ => true,
    }
}

/// The least time for taking a build back: it waits for the end of an unanswered request, then deletes what came of it.
const UNDO_OF_BUILD: Duration = recovered_server::CARRIED_OUT_WITHIN.saturating_mul(2);
/// How long a hook may take, over all its tries.
const HOOK_LIMIT: Duration = Duration::from_secs(900);
/// How often a hook that did not answer is called again.
const HOOK_RETRIES: u32 = 2;

/// Automatic cleanup retries as configured; manual cleanup does not (contract); everything else as time allows.
fn retries(operation: &Operation, step: &StepRecord, options: &EngineOptions) -> Option<u32> {
    match (step.verb, operation.kind) {
        (Verb::Attempt, OperationKind::Cleanup) => Some(0),
        (Verb::Attempt, _) => Some(options.cleanup_retry_attempts),
        (_, _) if matches!(step.action, Step::CallHook { .. }) => Some(HOOK_RETRIES),
        (Verb::Undoable | Verb::Member | Verb::Switch | Verb::Forward | Verb::Notice, _) => None,
    }
}

fn draws(operation: &Operation, step: &Step) -> Draws {
    let row = step.row();
    let site = |side: Side| side.scope(&operation.plan).site.clone();
    match row.asks {
        Asks::Compute => Draws::Compute(site(row.on)),
        Asks::Volume => Draws::Volume(site(row.on)),
        Asks::Array(side) => Draws::Storage(site(side)),
        Asks::Nobody => Draws::Nothing,
    }
}

/// What an array's error means for a step.
fn storage_stop(error: StorageError) -> Stop {
    Stop::Fault(match &error {
        StorageError::Unavailable { .. } => Fault::passing(&error),
        StorageError::Refused { .. } => Fault::last(Code::Refused, &error),
    })
}

/// A line that names something the plan does not hold: a defect, never a reason to guess.
fn not_in_plan(what: &str, id: &str) -> Stop {
    Stop::last(
        Code::Internal,
        format!("{what} {id} is not in the operation's plan"),
    )
}
