//! A pause of the recovery plan: the operation waits for a person.

use std::time::Duration;

use protector_core::{fault::Code, operation::MapKind};

use crate::{
    action::{Progress, StepContext},
    step_error::StepError,
};

/// How often a paused operation looks whether it may go on.
const LOOK: Duration = Duration::from_secs(3);

/// The step that waits for a person.
pub(super) struct Pauses;

impl Pauses {
    /// Waits until somebody has said that the operation may go on.
    pub(super) async fn pause(
        &self,
        cx: &mut StepContext<'_>,
        number: u32,
    ) -> Result<Progress, StepError> {
        let pauses = &cx.plan().recovery.pauses;
        let pause = usize::try_from(number).ok().and_then(|n| pauses.get(n));
        let Some(message) = pause.map(|pause| pause.message.clone()) else {
            let why = format!("pause {number} is not in the operation's plan");
            return Err(StepError::last(Code::Internal, why));
        };
        match cx.recorded_since(MapKind::Resumed, &cx.step.key).await? {
            Some(user) => {
                cx.fact(format!("user {user} let it go on"));
                Ok(Progress::done())
            }
            None => Ok(Progress::Waiting {
                on: message,
                again: LOOK,
            }),
        }
    }
}
