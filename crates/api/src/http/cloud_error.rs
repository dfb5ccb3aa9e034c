//! What it means to a request that a cloud, or this site's own key, does not help.

use protector_clouds::clouds::CloudError;
use protector_peer::site_identity::IdentityError;

use crate::{app::refusal::Refusal, http::error::ApiError};

impl From<CloudError> for ApiError {
    fn from(error: CloudError) -> Self {
        match &error {
            CloudError::Unreachable { .. } | CloudError::NotTold { .. } => {
                Self::new(Refusal::CloudSilent, format!("{error}."))
            }
            CloudError::Refused { .. } => Self::new(Refusal::CloudRefuses, format!("{error}.")),
        }
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Store(error) => error.into(),
            IdentityError::Key(fault) => Self::internal(fault),
        }
    }
}
