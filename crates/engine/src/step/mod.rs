//! The steps of runbooks, as they are carried out on clouds and arrays. One file per family.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protector_core::{
    fault::StepFailure,
    id::SiteName,
    operation::{Operation, OperationKind, StepRecord, StepState},
    peer_site::PeerSite,
    plan::Plan,
    runbook::{
        Step, Verb,
        table::{About, Asks, Limit, Side, Undo},
    },
    storage::StorageDriver,
};
use protector_openstack::request_log::RequestLog;

use crate::{
    action::{Actions, ConcurrencyLimit, Progress, StepContext, StepLimits},
    clouds::Clouds,
    options::EngineOptions,
    outside::{NothingOutside, Outside},
    step_error::StepError,
};

mod adopted;
mod adoption;
mod arrays;
mod at_one_moment;
mod counterpart_now;
mod counterpart_undo;
mod counterparts;
mod delete_on_termination;
mod fence;
mod fenced_volume;
mod fidelity;
mod floating_ips;
mod hook;
mod import_holder;
mod imported_volume;
mod key_pair;
mod lost_target;
mod mark;
mod marked_counterparts;
mod original_beside;
mod pause;
pub(crate) mod peer_reservation;
mod port_fidelity;
mod port_request;
mod ports;
mod power_state;
mod probe;
mod reading;
mod recorded;
mod recovered_group;
mod released_floating_ip;
mod replication;
mod returned_original;
mod scope;
mod server_group;
mod site_clouds;
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

pub use fence::{may_run_there, why_not_at_rest};

use peer_reservation::PeerReservations;

use adoption::Adoption;
use arrays::Arrays;
use counterparts::Counterparts;
use fence::Fence;
use fenced_volume::FencedVolumes;
use floating_ips::FloatingIps;
use hook::HooksAndProbes;
use imported_volume::ImportedVolumes;
use pause::Pauses;
use ports::Ports;
use replication::ReplicatedVolumes;
use site_clouds::SiteClouds;
use source_server::SourceServers;
use source_volume::SourceVolumes;
use switch::Switch;
use target_check::TargetCheck;
use test_server::TestCounterparts;

/// Carries steps out on the clouds of registered sites and on their arrays.
pub struct CloudActions {
    clouds: Arc<dyn Clouds>,
    arrays: Arrays,
    outside: Arc<dyn Outside>,
    reservations: PeerReservations,
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
            reservations: PeerReservations::alone(),
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
    pub fn beside(self, site: SiteName, other: Arc<dyn PeerSite>) -> Self {
        Self {
            reservations: PeerReservations::of(site, other),
            ..self
        }
    }

    fn site_clouds(&self) -> SiteClouds<'_> {
        SiteClouds {
            clouds: &*self.clouds,
            options: &self.options,
        }
    }

    fn source_servers(&self) -> SourceServers<'_> {
        SourceServers {
            clouds: self.site_clouds(),
        }
    }

    fn source_volumes(&self) -> SourceVolumes<'_> {
        SourceVolumes {
            clouds: self.site_clouds(),
            arrays: &self.arrays,
        }
    }

    fn imported_volumes(&self) -> ImportedVolumes<'_> {
        ImportedVolumes {
            clouds: self.site_clouds(),
            arrays: &self.arrays,
        }
    }

    fn counterparts(&self) -> Counterparts<'_> {
        Counterparts {
            clouds: self.site_clouds(),
            arrays: &self.arrays,
            server_groups: &self.server_groups,
        }
    }

    fn ports(&self) -> Ports<'_> {
        Ports {
            clouds: self.site_clouds(),
        }
    }

    fn floating_ips(&self) -> FloatingIps<'_> {
        FloatingIps {
            clouds: self.site_clouds(),
        }
    }

    fn replicated_volumes(&self) -> ReplicatedVolumes<'_> {
        ReplicatedVolumes {
            clouds: self.site_clouds(),
            arrays: &self.arrays,
        }
    }

    fn fenced_volumes(&self) -> FencedVolumes<'_> {
        FencedVolumes {
            clouds: self.site_clouds(),
            arrays: &self.arrays,
        }
    }

    fn fence(&self) -> Fence<'_> {
        Fence {
            clouds: self.site_clouds(),
        }
    }

    fn target_check(&self) -> TargetCheck<'_> {
        TargetCheck {
            clouds: self.site_clouds(),
            arrays: &self.arrays,
        }
    }

    fn test_counterparts(&self) -> TestCounterparts<'_> {
        TestCounterparts {
            clouds: self.site_clouds(),
        }
    }

    fn hooks_and_probes(&self) -> HooksAndProbes<'_> {
        HooksAndProbes {
            clouds: self.site_clouds(),
            outside: &*self.outside,
        }
    }

    fn switch(&self) -> Switch<'_> {
        Switch {
            clouds: self.site_clouds(),
        }
    }

    fn adoption(&self) -> Adoption<'_> {
        Adoption {
            clouds: self.site_clouds(),
        }
    }

    async fn run_step(&self, step: &Step, cx: &mut StepContext<'_>) -> Result<Progress, StepError> {
        match step {
            Step::CheckServer { server } => self.source_servers().check_server(cx, server).await,
            Step::CheckTarget => self.target_check().check_target(cx).await,
            Step::StopServer { server } => self.source_servers().stop_server(cx, server).await,
            Step::ProtectGroup => self.replicated_volumes().protect_group(cx).await,
            Step::UnfenceVolume { volume } => {
                self.fenced_volumes()
                    .unfence_for_the_lost_target(cx, volume)
                    .await
            }
            Step::ReplicateGroup => self.replicated_volumes().replicate_group(cx).await,
            Step::FenceVolume { volume } => self.fenced_volumes().fence_volume(cx, volume).await,
            Step::PromoteVolume { volume } => {
                self.replicated_volumes().promote_volume(cx, volume).await
            }
            Step::ManageVolume { volume } => {
                self.imported_volumes().manage_volume(cx, volume).await
            }
            Step::ReservePorts { server } => self.ports().reserve_ports(cx, server).await,
            Step::CompletePorts { server } => self.ports().complete_ports(cx, server).await,
            Step::RecreateServer { server } => {
                self.counterparts().recreate_server(cx, server).await
            }
            Step::ConfirmServer { server } => self.counterparts().confirm_server(cx, server).await,
            Step::RestorePowerState { server } => {
                self.counterparts().restore_power_state(cx, server).await
            }
            Step::ProbeServer { server } => self.hooks_and_probes().probe_server(cx, server).await,
            Step::CallHook { hook } => self.hooks_and_probes().call_hook(cx, hook).await,
            Step::Pause { number } => Pauses.pause(cx, *number).await,
            Step::AssociateFloatingIps { server } => {
                self.floating_ips().associate_floating_ips(cx, server).await
            }
            Step::RestoreDeleteOnTermination { server } => {
                self.counterparts()
                    .restore_delete_on_termination(cx, server)
                    .await
            }
            Step::SwitchPrimary => self.switch().switch_primary(cx).await,
            Step::DeleteSourceServer { server } => {
                self.source_servers().delete_source_server(cx, server).await
            }
            Step::ResyncVolume { volume } => self.source_volumes().resync_volume(cx, volume).await,
            Step::DeleteSourceVolume { volume } => {
                self.source_volumes().delete_source_volume(cx, volume).await
            }
            Step::ChooseRecoveryPoint => self.replicated_volumes().choose_recovery_point(cx).await,
            Step::CloneVolume { volume } => {
                self.replicated_volumes().clone_volume(cx, volume).await
            }
            Step::CheckTargetAlone => self.target_check().check_target_alone(cx).await,
            Step::CountRecovered { server } => self.switch().count_recovered(cx, server).await,
            Step::ConfirmRecovered => self.switch().confirm_recovered(cx).await,
            Step::SwitchRecovered => self.switch().switch_recovered(cx).await,
            Step::AdmitRecovered => self.switch().admit_recovered(cx).await,
            Step::LeaveSourceServer { server } => {
                self.switch().leave_source_server(cx, server).await
            }
            Step::LeaveSourceVolume { volume } | Step::LeaveReplica { volume } => {
                self.switch().leave_source_volume(cx, volume.as_str()).await
            }
            Step::FenceServer { server } => {
                self.fence().fence_server(cx, Side::Source, server).await
            }
            Step::FenceServerOnTarget { server } => {
                self.fence().fence_server(cx, Side::Target, server).await
            }
            Step::ConfirmFenced => self.fence().confirm_fenced(cx).await,
            Step::StartSourceServer { server } => {
                self.source_servers().start_source_server(cx, server).await
            }
            Step::CheckAtRest { server } => self.adoption().check_at_rest(cx, server).await,
            Step::AdoptVolume { volume } => self.adoption().adopt_volume(cx, volume).await,
            Step::AdoptServer { server } => self.adoption().adopt_server(cx, server).await,
            Step::ConfirmStarted => self.source_servers().confirm_started(cx).await,
            Step::ReleaseReplicas => self.replicated_volumes().release_replicas(cx).await,
            Step::DeleteTestServer { test, server } => {
                self.test_counterparts()
                    .delete_test_server(cx, test, server)
                    .await
            }
            Step::DeleteTestVolume { test, volume } => {
                self.test_counterparts()
                    .delete_test_volume(cx, test, volume)
                    .await
            }
            Step::ReleaseFloatingIp { server, address } => {
                self.floating_ips().release(cx, server, *address).await
            }
            Step::TakeBack { line } => self.undo_step(line, cx).await,
        }
    }

    async fn undo_step(
        &self,
        step: &Step,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        match step.row().undo {
            Undo::Nothing => Ok(Progress::done()),
            Undo::StartOriginal(server) => self.source_servers().start_again(cx, server).await,
            Undo::Unfence(volume) => self.fenced_volumes().unfence_volume(cx, volume).await,
            Undo::DiscardPromoted(volume) => {
                self.replicated_volumes().discard_promoted(cx, volume).await
            }
            Undo::DiscardClone(volume) => self.replicated_volumes().discard_clone(cx, volume).await,
            Undo::Unmanage(volume) => self.imported_volumes().unmanage_volume(cx, volume).await,
            Undo::DeletePorts(server) => self.ports().take_ports_back(cx, server).await,
            Undo::DeleteCopy(server) => self.counterparts().delete_recovered(cx, server).await,
        }
    }
}

#[async_trait]
impl Actions for CloudActions {
    async fn run(&self, cx: &mut StepContext<'_>) -> Result<Progress, StepError> {
        if let (Verb::Member, Some(why)) = (cx.step.verb, cx.blocked_by) {
            // Its member cannot be recovered in this operation; the line that failed says why, once.
            return Ok(Progress::Skipped {
                why: why.to_owned(),
            });
        }
        cx.reservations = Some(self.reservations.clone());
        cx.hold_still().await?;
        let step = cx.step.action.clone();
        let log = RequestLog::default();
        let outcome = self.reading_and_noting(&log).run_step(&step, cx).await;
        recorded::note(&mut cx.memo, &log);
        match outcome {
            Err(failed @ StepError::Fault(StepFailure::Final { .. })) => {
                Err(cx.or_superseded(failed).await)
            }
            outcome => outcome,
        }
    }

    async fn undo(&self, cx: &mut StepContext<'_>) -> Result<Progress, StepError> {
        cx.reservations = Some(self.reservations.clone());
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
        self.reservations.keep(operation, now).await;
    }

    fn step_limits(&self, operation: &Operation, step: &StepRecord) -> StepLimits {
        let plan = &operation.plan;
        let (limit, timeout_error) = match step.progress.state {
            StepState::Undoing => self.limit_of_undo(plan, &step.action),
            _ => self.limit(plan, &step.action),
        };
        StepLimits {
            limit,
            retries: retries(operation, step, &self.options),
            timeout_error,
            says_what_for: says_what_for(&step.action),
        }
    }

    fn concurrency_limit(&self, operation: &Operation, step: &StepRecord) -> ConcurrencyLimit {
        concurrency_limit(operation, &step.action)
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
const UNDO_OF_BUILD: Duration = counterparts::CARRIED_OUT_WITHIN.saturating_mul(2);
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

fn concurrency_limit(operation: &Operation, step: &Step) -> ConcurrencyLimit {
    let row = step.row();
    let site = |side: Side| side.scope(&operation.plan).site.clone();
    match row.asks {
        Asks::Compute => ConcurrencyLimit::Compute(site(row.on)),
        Asks::Volume => ConcurrencyLimit::Volume(site(row.on)),
        Asks::Array(side) => ConcurrencyLimit::Storage(site(side)),
        Asks::Nobody => ConcurrencyLimit::Nothing,
    }
}
