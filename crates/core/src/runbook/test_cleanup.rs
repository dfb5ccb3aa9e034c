//! The runbook of a test cleanup.

use chrono::{DateTime, Utc};

use super::{BookError, NewStep, Reported, Runbook, Step, Verb};
use crate::{
    fault::Code,
    id::OperationId,
    member::Member,
    operation::{OperationRecord, StepRecord, StepState},
    plan::Plan,
};

/// What the record says of a copy that stays because the configuration says so.
pub const LEFT_FOR_INSPECTION: &str = "left for inspection by configuration";

/// What becomes of a test failover's copies (`[engine] cleanup_on_test_failover`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestCopies {
    Delete,
    /// They stay until somebody cleans up the test cleanup operation.
    LeaveForInspection,
}

/// The lines that remove what `test`, a test failover, made on its target. No line of it touches the source.
///
/// Lines of copies that are left for inspection have ended at `now`, skipped, before an engine sees them.
///
/// # Errors
///
/// A defect of the runbook.
pub fn test_cleanup(
    test: &OperationRecord,
    copies: TestCopies,
    now: DateTime<Utc>,
) -> Result<Vec<StepRecord>, BookError> {
    let (id, plan) = (&test.operation.id, &test.operation.plan);
    let mut steps = Runbook::default()
        .phase(
            "delete_test_vm",
            Verb::Attempt,
            Reported::ByLine,
            test_servers(id, plan),
        )
        .phase(
            "delete_test_volume",
            Verb::Attempt,
            Reported::ByLine,
            test_volumes(id, plan),
        )
        .into_steps()?;
    for step in &mut steps {
        step.resource_id = copy_of(&step.action, test);
        if copies == TestCopies::LeaveForInspection {
            leave(step, now);
        }
    }
    Ok(steps)
}

fn test_servers(test: &OperationId, plan: &Plan) -> impl Iterator<Item = NewStep> {
    plan.members.iter().map(move |member| NewStep {
        action: delete_test_server(test, member),
        name: member.name.clone(),
        resource_id: Some(member.server_id.to_string()),
        after: Vec::new(),
    })
}

/// A volume's line begins when its own server's line has ended, not when all have.
fn test_volumes(test: &OperationId, plan: &Plan) -> impl Iterator<Item = NewStep> {
    plan.volumes().map(move |(member, volume)| NewStep {
        action: Step::DeleteTestVolume {
            test: test.clone(),
            volume: volume.id.clone(),
        },
        name: volume.name.clone(),
        resource_id: Some(volume.id.to_string()),
        after: vec![delete_test_server(test, member)],
    })
}

fn delete_test_server(test: &OperationId, member: &Member) -> Step {
    Step::DeleteTestServer {
        test: test.clone(),
        server: member.server_id.clone(),
    }
}

/// The id of the copy that a line is about: `steps_failed` names what is left, which is never the original.
fn copy_of(action: &Step, test: &OperationRecord) -> Option<String> {
    match action {
        Step::DeleteTestServer { server, .. } => Some(test.map.server(server)?.to_string()),
        Step::DeleteTestVolume { volume, .. } => Some(test.map.volume(volume)?.to_string()),
        _ => None,
    }
}

fn leave(step: &mut StepRecord, now: DateTime<Utc>) {
    step.progress.state = StepState::Skipped;
    step.progress.error = Some(LEFT_FOR_INSPECTION.to_owned());
    step.progress.error_code = Some(Code::Kept);
    step.progress.started_at = Some(now);
    step.progress.finished_at = Some(now);
}
