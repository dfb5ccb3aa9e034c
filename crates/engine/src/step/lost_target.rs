//! A target that is lost, as somebody has said: it is asked all the same, since what answers there has a say.

use std::time::Duration;

use crate::{action::StepContext, step_error::StepError};

/// How long one question to a lost target may take. A cloud that hangs answers no sooner than its callers give up, call by call,
/// and the line that asks has a limit of its own, in which it has a server to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a lost target answers, if it does so in time: one that hangs is as silent as one that turns everybody away.
///
/// # Errors
///
/// That it took too long, as what may pass.
pub(super) async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, StepError> {
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    let seconds = PATIENCE.as_secs();
    answer.map_err(|_| StepError::passing(format!("no answer within {seconds} s")))
}

/// Notes that the target's silence counts as its loss.
pub(super) fn note_silence(cx: &mut StepContext<'_>, why: &str) {
    let target = cx.plan().target.site.clone();
    cx.fact(format!(
        "{target} does not answer ({why}); that it is lost was said by who asked"
    ));
}
