//! The part of a runbook that builds the members, in the order of their recovery plan.

use super::{
    NewStep, Reported, Runbook, Step, Verb,
    shared_steps::{
        confirm_server, each_server_of, imports_and_ports_of, imports_of, makes_ports,
        recreate_server, whole_group,
    },
};
use crate::{
    member::Member,
    plan::Plan,
    priority::Priority,
    recovery_plan::{OnFailure, RecoveryPlan, When},
};

/// Hooks to be called before anything is changed.
pub(super) fn tell_before(book: Runbook, plan: &Plan) -> Runbook {
    call_hooks(book, &plan.recovery, When::Before)
}

/// Hooks to be called when the group runs on the target. Nothing can be taken back any more, so no failure matters.
pub(super) fn tell_after(book: Runbook, plan: &Plan) -> Runbook {
    let hooks = hooks_of(&plan.recovery, When::After);
    hooks.fold(book, |book, (line, _)| {
        book.phase("call_hook", Verb::Notice, Reported::ByLine, [line])
    })
}

/// Builds the members tier after tier: each is built, confirmed and probed before the next one begins, and what is to
/// happen before a priority happens before its first tier. `verb` is what the failure of a member means.
pub(super) fn recreate_in_order(book: Runbook, plan: &Plan, verb: Verb) -> Runbook {
    let mut book = book;
    let mut last: Option<Priority> = None;
    for tier in plan.recovery.tiers(&plan.members) {
        // Also those of priorities that no member has: the person who wrote them counts on them.
        for priority in Priority::ALL {
            if last.is_none_or(|last| last < priority) && priority <= tier.priority {
                book = before_priority(book, &plan.recovery, priority);
            }
        }
        last = Some(tier.priority);
        book = one_tier(book, plan, &tier.members, verb);
    }
    book
}

fn one_tier(book: Runbook, plan: &Plan, members: &[&Member], verb: Verb) -> Runbook {
    let probed: Vec<&Member> = members
        .iter()
        .copied()
        .filter(|member| plan.recovery.of(&member.id).probe.is_some())
        .collect();
    let built_of = match makes_ports(&book) {
        true => imports_and_ports_of,
        false => imports_of,
    };
    let book = book
        .phase(
            "recreate_vms",
            verb,
            Reported::ByPhase,
            each_server_of(members, recreate_server, built_of),
        )
        .phase(
            "confirm_vms",
            verb,
            Reported::Never,
            each_server_of(members, confirm_server, |member| {
                vec![recreate_server(member)]
            }),
        )
        .phase(
            "probe_vms",
            verb,
            Reported::ByPhase,
            each_server_of(&probed, probe_server, |member| vec![confirm_server(member)]),
        );
    match verb {
        Verb::Member => book.phase(
            "count_recovered",
            verb,
            Reported::Never,
            members.iter().map(|member| count_recovered(plan, member)),
        ),
        _ => book,
    }
}

/// What shows last that a member is up.
fn count_recovered(plan: &Plan, member: &Member) -> NewStep {
    let shown_by = match plan.recovery.of(&member.id).probe {
        Some(_) => probe_server(member),
        None => confirm_server(member),
    };
    NewStep {
        action: Step::CountRecovered {
            server: member.server_id.clone(),
        },
        name: member.name.clone(),
        resource_id: Some(member.server_id.to_string()),
        after: vec![shown_by],
    }
}

/// Whom to tell first, and then whom to wait for: what a hook starts may be what the person looks at.
fn before_priority(book: Runbook, recovery: &RecoveryPlan, priority: Priority) -> Runbook {
    let book = call_hooks(book, recovery, When::BeforePriority { priority });
    let pauses = (0_u32..)
        .zip(&recovery.pauses)
        .filter(|(_, pause)| pause.before_priority == priority);
    pauses.fold(book, |book, (number, _)| {
        let line = NewStep {
            name: number.to_string(),
            ..whole_group(Step::Pause { number })
        };
        book.phase("pause", Verb::Undoable, Reported::ByLine, [line])
    })
}

fn call_hooks(book: Runbook, recovery: &RecoveryPlan, when: When) -> Runbook {
    hooks_of(recovery, when).fold(book, |book, (line, verb)| {
        book.phase("call_hook", verb, Reported::ByLine, [line])
    })
}

fn hooks_of(recovery: &RecoveryPlan, when: When) -> impl Iterator<Item = (NewStep, Verb)> + '_ {
    recovery
        .hooks
        .iter()
        .filter(move |hook| hook.when == when)
        .map(|hook| {
            let line = NewStep {
                name: hook.name.clone(),
                ..whole_group(Step::CallHook {
                    hook: hook.name.clone(),
                })
            };
            let verb = match hook.on_failure {
                OnFailure::Fail => Verb::Undoable,
                OnFailure::Continue => Verb::Notice,
            };
            (line, verb)
        })
}

fn probe_server(member: &Member) -> Step {
    Step::ProbeServer {
        server: member.server_id.clone(),
    }
}
