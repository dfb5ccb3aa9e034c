//! What a recovery plan needs beside clouds: servers that answer probes, somebody who hears hooks, and a person who ends
//! pauses.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use protector_core::{
    confidential::Confidential,
    id::{MemberId, OperationId},
    member::Member,
    operation::StepState,
    priority::Priority,
    recovery_plan::{Hook, MemberRecovery, OnFailure, Pause, Probe, RecoveryPlan, When},
    runbook::Step,
};
use protector_engine::outside::{News, Outside, OutsideError};

use crate::memory_journal::MemoryJournal;

/// Every server and every hook answers at once, but for probes while nothing listens.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    deaf: AtomicBool,
}

impl Listeners {
    /// Sets whether probes find nobody.
    pub fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }
}

#[async_trait]
impl Outside for Listeners {
    async fn probe(&self, _: IpAddr, _: &Probe) -> Result<(), OutsideError> {
        match self.deaf.load(Ordering::SeqCst) {
            true => Err(OutsideError::Silent("connection refused".to_owned())),
            false => Ok(()),
        }
    }

    async fn call_hook(&self, _: &str, _: &News, _: Duration) -> Result<(), OutsideError> {
        Ok(())
    }
}

/// Ends every pause that the operation has come to.
pub(crate) fn end_pauses(journal: &MemoryJournal, operation: &OperationId) {
    let record = journal.operation(operation);
    let waits = |step: &&protector_core::operation::StepRecord| {
        step.progress.state == StepState::Running && matches!(step.action, Step::Pause { .. })
    };
    for step in record.iter().flat_map(|record| &record.steps).filter(waits) {
        journal.resume(operation, &step.key, "the person");
    }
}

/// Whoever protects what a line of the operation waits for lets go of it, as its note says.
pub(crate) fn let_go_when_asked(journal: &MemoryJournal, operation: &OperationId) {
    let record = journal.operation(operation);
    let notes: Vec<String> = record
        .iter()
        .flat_map(|record| &record.steps)
        .filter(|step| step.progress.state == StepState::Running)
        .filter_map(|step| step.progress.note.clone())
        .filter(|note| note.contains("openstack dr member remove"))
        .collect();
    let own = record.as_ref().map(|record| &record.operation.group_id);
    for note in notes {
        for (group, mut members) in journal.groups() {
            if Some(&group.id) != own {
                members.retain(|member| !note.contains(member.server_id.as_str()));
                journal.put_group(group, members);
            }
        }
    }
}

fn pause(before_priority: Priority, message: &str) -> Pause {
    Pause {
        before_priority,
        message: message.to_owned(),
    }
}

/// A plan that only has the last member probed.
pub(crate) fn last_one_probed(members: &[Member]) -> RecoveryPlan {
    let last = members.last().map(|member| {
        let recovery = MemberRecovery {
            probe: Some(Probe::Tcp { port: 5432 }),
            probe_timeout_seconds: Some(10),
            ..MemberRecovery::default()
        };
        (member.id.clone(), recovery)
    });
    RecoveryPlan {
        members: last.into_iter().collect(),
        ..RecoveryPlan::default()
    }
}

/// A plan with something of everything: a pause, the first member by itself and probed, another pause, then the others;
/// hooks before, in between and after.
pub(crate) fn recovery_plan(members: &[Member]) -> RecoveryPlan {
    let [first, second] = [Priority::ALL[1], Priority::ALL[2]];
    let recovery = |place: usize| MemberRecovery {
        priority: if place == 0 { first } else { second },
        probe: (place == 0).then_some(Probe::Tcp { port: 5432 }),
        ..MemberRecovery::default()
    };
    let hook = |name: &str, when: When| Hook {
        name: name.to_owned(),
        when,
        url: Confidential::new(format!("https://hooks.example.org/{name}")),
        timeout_seconds: 30,
        on_failure: OnFailure::Fail,
        operations: [].into(),
    };
    RecoveryPlan {
        members: members
            .iter()
            .enumerate()
            .map(
                |(place, member): (usize, &Member)| -> (MemberId, MemberRecovery) {
                    (member.id.clone(), recovery(place))
                },
            )
            .collect(),
        pauses: vec![
            pause(Priority::ALL[0], "See that the network is ready."),
            pause(second, "Switch the DNS record."),
        ],
        hooks: vec![
            hook("first", When::Before),
            hook("between", When::BeforePriority { priority: second }),
            hook("last", When::After),
        ],
    }
}
