//! Who may change something, asked at the last moment.

use std::time::Duration;

use crate::error::{Call, CallError};

/// The right of one caller to change something.
pub trait WritePermit: Send + Sync {
    /// Asked right before `call`, which changes something, is sent. Its answer is waited for no longer than `longest`.
    ///
    /// # Errors
    ///
    /// [`CloudError::NotSent`] or [`CloudError::Setup`]: then nothing is sent.
    fn pass(&self, call: &Call, longest: Duration) -> Result<(), CallError>;
}

/// The permit of who only reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadsOnly;

impl WritePermit for ReadsOnly {
    fn pass(&self, call: &Call, _: Duration) -> Result<(), CallError> {
        Err(CallError::Setup(format!(
            "a defect of protector: {call} of {} was to be sent without an intent, and was not",
            call.service
        )))
    }
}
