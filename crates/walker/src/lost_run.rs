//! An unplanned failover while the source is cut off, and another try at what it could not recover.

use bytes::Bytes;
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::OperationId,
    member::MemberStatus,
    operation::{OperationRecord, OperationState},
    present::{CurrentMember, map_as_of_now},
    runbook::given_up::{given_up_members, with_given_up},
};
use protector_simcloud::in_process::lock;

use crate::{
    operations::{cleanup_named, general_cleanup_id, retry_id, retry_of},
    scenario::Circumstance,
    trouble,
    world::{WalkOutcome, World},
};

/// What is appended to every volume of the source after the recovery point: it is lost.
pub(crate) const LATER: &str = ", written later";

impl World {
    /// Runs the failover to its end; where members could not be recovered, mends the target and tries again.
    pub(crate) async fn run_lost(self) -> WalkOutcome {
        self.take_recovery_point().await;
        self.source.write_more();
        trouble::cut_off(&self.source.cloud);
        self.arrays.cut_off(Some("mock://array-a"));
        self.injector.arm();
        let engines = self.start_engines();
        self.settled(&self.operation).await;
        let calls_on_source = lock(&self.source.cloud).call_log().len();
        let retry = self.try_again().await;
        self.aftermath().await;
        engines.end().await;
        let outcome = self.outcome(Vec::new());
        WalkOutcome {
            retry: retry.and_then(|id| self.journal.operation(&id)),
            calls_on_source,
            ..outcome
        }
    }

    /// Runs the failover, and `retries` more tries that fail as it did; then both clouds are mended, what was not recovered
    /// leaves the group, `meddle` happens, and the failover is cleaned up by hand.
    pub async fn run_and_give_up(self, retries: u32, meddle: impl FnOnce(&Self)) -> WalkOutcome {
        self.take_recovery_point().await;
        trouble::cut_off(&self.source.cloud);
        let engines = self.start_engines();
        self.settled(&self.operation).await;
        let mut last = self.recovered_in_part();
        for number in 1..=retries {
            if let Some(before) = last {
                last = self.retry(&before, number).await;
            }
        }
        trouble::mend([&self.source.cloud, &self.target.cloud]);
        meddle(&self);
        let cleanup = self.give_up(retries);
        if let Some(cleanup) = &cleanup {
            self.settled(cleanup).await;
        }
        self.aftermath().await;
        engines.end().await;
        let cleanup = cleanup.and_then(|id| self.journal.operation(&id));
        self.outcome(cleanup.into_iter().collect())
    }

    /// What the API makes of `openstack dr operation cleanup` of the failover once only recovered members are in the group.
    fn give_up(&self, retries: u32) -> Option<OperationId> {
        let failover = self.journal.operation(&self.operation)?;
        let numbers = 1..=retries;
        let tries: Vec<OperationRecord> = numbers
            .filter_map(|number| self.journal.operation(&retry_id(number)))
            .collect();
        let (group, mut members) = self.journal.group(&self.group)?;
        members.retain(|member| member.status != MemberStatus::Error);
        let given_up = given_up_members(
            &failover,
            &tries,
            Some((&group.current_primary_site, &members)),
        );
        let mut parent = with_given_up(&failover, &tries, &given_up);
        let current: Vec<CurrentMember> = members
            .into_iter()
            .map(|member| CurrentMember {
                site: group.current_primary_site.clone(),
                member,
            })
            .collect();
        parent.map = map_as_of_now(&parent, &current);
        let id = general_cleanup_id();
        self.journal
            .insert(cleanup_named(id.clone(), &parent, self.clock.now()));
        Some(id)
    }

    /// Somebody deletes the volumes of the last member on the source.
    pub fn delete_the_last_original(&self) {
        let Some(failover) = self.journal.operation(&self.operation) else {
            return;
        };
        let lost = failover.operation.plan.members.last();
        for volume in lost.into_iter().flat_map(|lost| &lost.volumes) {
            lock(&self.source.cloud).set_status_of_volume(volume.id.as_str(), "deleting");
        }
    }

    /// Retries as often as the scenario says what the failover could not recover; the last retry, if there was one.
    async fn try_again(&self) -> Option<OperationId> {
        let mut last = self.recovered_in_part()?;
        trouble::mend([&self.target.cloud]);
        if self
            .options
            .scenario
            .has(Circumstance::SourceIsBackBeforeRetry)
        {
            trouble::mend([&self.source.cloud]);
        }
        self.listeners.set_deaf(false);
        let mut number = 1;
        if self.options.scenario.has(Circumstance::FirstRetryIsRefused) {
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

impl crate::world::Site {
    pub(crate) fn write_more(&self) {
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
