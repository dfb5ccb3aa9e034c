//! The clouds that steps act on, and what their errors mean to a step.

use async_trait::async_trait;
use protector_core::{
    fault::{Code, StepFailure},
    id::SiteName,
    site::SiteScope,
    text,
};
use protector_openstack::{
    cloud::Cloud,
    error::{CallError, ErrorClass},
};

use crate::step_error::StepError;

/// Finds a way into a site's cloud.
#[async_trait]
pub trait Clouds: Send + Sync {
    /// The cloud of a site as the service user sees it within the tenant's project, where it is a `member`.
    ///
    /// `request_id` is the caller's own and is sent on to the cloud.
    async fn tenant(
        &self,
        scope: &SiteScope,
        request_id: Option<&str>,
    ) -> Result<Cloud, StepFailure>;

    /// The cloud of a site as the service user sees it in its own project, where it is `admin`.
    async fn admin(&self, site: &SiteName, request_id: Option<&str>) -> Result<Cloud, StepFailure>;
}

/// What a cloud's error means for a step: whether a repetition can help.
pub fn fault(error: CallError) -> StepFailure {
    match error.class() {
        ErrorClass::Passing | ErrorClass::Unreachable | ErrorClass::Ambiguous
            if error.may_be_of_a_lost_cloud() =>
        {
            StepFailure::Passing {
                after: error.retry_after(),
                why: error.to_string(),
            }
        }
        ErrorClass::Passing
        | ErrorClass::Unreachable
        | ErrorClass::Ambiguous
        | ErrorClass::Unauthorized => StepFailure::NotTold {
            after: error.retry_after(),
            why: text::cut(error.to_string()),
        },
        ErrorClass::Conflict => StepFailure::passing(error),
        ErrorClass::NotFound => StepFailure::last(Code::Missing, error),
        ErrorClass::Forbidden | ErrorClass::Final => StepFailure::last(Code::Refused, error),
    }
}

/// As [`fault`], for the end of a step's look.
pub fn stop(error: CallError) -> StepError {
    if error.class() == ErrorClass::Unauthorized {
        return StepError::LockedOut {
            why: text::cut(error.to_string()),
        };
    }
    match error.was_turned_away() {
        true => StepError::TurnedAway {
            after: error.retry_after(),
            why: text::cut(error.to_string()),
        },
        false => StepError::Fault(fault(error)),
    }
}

/// Tells "it is not there" from other errors.
pub fn found<T>(answer: Result<T, CallError>) -> Result<Option<T>, StepError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.class() == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(stop(error)),
    }
}
