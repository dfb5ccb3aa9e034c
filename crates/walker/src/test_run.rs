//! A test failover with its cleanup, as operations under one schedule.

use protector_core::{
    clock::Clock,
    id::OperationId,
    operation::{MapKind, OperationRecord, OperationState, steps_failed},
    storage::GroupReplication,
};
use protector_simcloud::{
    cloud::SimulatedService,
    in_process::{SharedCloud, lock},
};

use crate::{
    operations::{cleanup_named, general_cleanup_id, test_cleanup_id, test_cleanup_of},
    scenario::Circumstance,
    tenant::Tenant,
    world::{WalkOutcome, World},
};

impl World {
    /// Runs the test failover until its copies are up or it was taken back, then its cleanup; where a tenant relied on
    /// copies, once more when they are let go.
    pub(crate) async fn run_test(self) -> WalkOutcome {
        self.take_recovery_point().await;
        self.injector.arm();
        let engines = self.start_engines();
        self.settled(&self.operation).await;
        let mut kept = Vec::new();
        if let Some(test) = self.copies_up() {
            let scenario = self.options.scenario;
            let tenant = scenario
                .has(Circumstance::TestCounterpartsReliedOn)
                .then(|| relied_on(&test, &self.target.cloud))
                .flatten();
            self.journal
                .insert(test_cleanup_of(&test, self.clock.now()));
            self.settled(&test_cleanup_id()).await;
            if let (Some(tenant), Some(cleanup)) =
                (tenant, self.journal.operation(&test_cleanup_id()))
            {
                kept = steps_failed(&cleanup.steps);
                tenant.let_go();
                self.journal.insert(cleanup_named(
                    general_cleanup_id(),
                    &cleanup,
                    self.clock.now(),
                ));
                self.settled(&general_cleanup_id()).await;
            }
        }
        self.aftermath().await;
        engines.end().await;
        let outcome = self.outcome(Vec::new());
        let cleanups = [test_cleanup_id(), general_cleanup_id()];
        WalkOutcome {
            test_cleanup: self.journal.operation(&test_cleanup_id()),
            kept,
            locked: outcome.locked || cleanups.iter().any(|id| self.journal.is_locked(id)),
            ..outcome
        }
    }

    fn copies_up(&self) -> Option<OperationRecord> {
        self.journal
            .operation(&self.operation)
            .filter(|record| record.operation.state == OperationState::AwaitingCleanup)
    }

    /// What a replication before the test has brought to the target's array.
    pub(crate) async fn take_recovery_point(&self) {
        let Some(record) = self.journal.operation(&self.operation) else {
            return;
        };
        let plan = &record.operation.plan;
        let volumes = plan.volumes_in_cinder();
        let earlier = OperationId::new("op-7a3f2c11-0000-4b22-a918-000000000001");
        let protected = self.arrays.protect(&plan.replication(), &volumes).await;
        debug_assert!(protected.is_ok(), "{protected:?}");
        let taken = self
            .arrays
            .replicate(&plan.replication(), &volumes, &earlier)
            .await;
        debug_assert!(taken.is_ok(), "{taken:?}");
    }

    /// The calls to the source that can change something; asking for a token is not one.
    pub(crate) fn changes_on_source(&self) -> Vec<String> {
        lock(&self.source.cloud)
            .call_log()
            .iter()
            .filter(|call| call.service != SimulatedService::Identity)
            .filter(|call| !matches!(call.method.as_str(), "GET" | "HEAD"))
            .map(|call| format!("{} {}", call.method, call.path))
            .collect()
    }
}

/// The tenant relies on the first member's server and on the last member's last volume.
fn relied_on(test: &OperationRecord, cloud: &SharedCloud) -> Option<Tenant> {
    let plan = &test.operation.plan;
    let server = plan.members.first()?.server_id.as_str();
    let (_, volume) = plan.volumes().last()?;
    let server = test.map.target(MapKind::Server, server)?;
    let volume = test.map.target(MapKind::Volume, volume.id.as_str())?;
    Some(Tenant::relying_on(cloud, server, volume))
}
