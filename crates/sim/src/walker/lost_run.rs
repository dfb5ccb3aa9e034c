//! An unplanned failover while the source is cut off, and another try at what it could not recover.

use bytes::Bytes;
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::OperationId,
    operation::{OperationRecord, OperationState},
};

use super::{
    operations::{retry_id, retry_of},
    trouble,
    world::{Outcome, Scenario, World},
};
use crate::in_process::lock;

/// What is appended to every volume of the source after the recovery point: it is lost.
pub(super) const LATER: &str = ", written later";

impl World {
    /// Runs the failover to its end; where members could not be recovered, mends the target and tries again.
    pub(super) async fn run_lost(self) -> Outcome {
        self.take_recovery_point().await;
        self.source.write_more();
        trouble::cut_off(&self.source.cloud);
        self.injector.arm();
        let engines = self.start_engines();
        self.settled(&self.operation).await;
        let calls_on_source = lock(&self.source.cloud).call_log().len();
        let retry = self.try_again().await;
        self.aftermath().await;
        engines.end().await;
        let outcome = self.outcome(Vec::new());
        Outcome {
            retry: retry.and_then(|id| self.journal.operation(&id)),
            calls_on_source,
            ..outcome
        }
    }

    /// Retries as often as the scenario says what the failover could not recover; the last retry, if there was one.
    async fn try_again(&self) -> Option<OperationId> {
        let mut last = self.recovered_in_part()?;
        trouble::mend([&self.target.cloud]);
        if self.options.scenario == Scenario::SourceLostAndBackBeforeRetry {
            trouble::mend([&self.source.cloud]);
        }
        self.listeners.set_deaf(false);
        let mut number = 1;
        if self.options.scenario == Scenario::SourceLostRetrySkipped {
            self.arrays.set_refusing(true);
            last = self.retry(&last, number).await?;
            self.arrays.set_refusing(false);
            number += 1;
        }
        Some(self.retry(&last, number).await?.operation.id)
    }

    async fn retry(&self, last: &OperationRecord, number: u32) -> Option<OperationRecord> {
        let (_, members) = self.journal.group(&self.group)?;
        let retry = retry_of(last, number, members, self.clock.now());
        self.journal
            .set_group_status(&self.group, GroupStatus::FailingOver);
        self.journal.insert(retry);
        self.settled(&retry_id(number)).await;
        self.journal.operation(&retry_id(number))
    }

    fn recovered_in_part(&self) -> Option<OperationRecord> {
        let (group, _) = self.journal.group(&self.group)?;
        let record = self.journal.operation(&self.operation)?;
        let in_part = group.status == GroupStatus::FailedOverPartial
            && record.operation.state == OperationState::Completed;
        in_part.then_some(record)
    }
}

impl super::world::Site {
    pub(super) fn write_more(&self) {
        let mut objects = self
            .objects
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for volume in objects.values_mut() {
            let mut bytes = volume.bytes.to_vec();
            bytes.extend_from_slice(LATER.as_bytes());
            volume.bytes = Bytes::from(bytes);
        }
    }
}
