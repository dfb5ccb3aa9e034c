//! Tokens validated by the local Keystone, asked as the service user.

use async_trait::async_trait;
use protector_openstack::{
    cloud::Cloud,
    error::{CallError, ErrorClass},
};
use secrecy::SecretString;

use crate::http::token::{TokenError, TokenFacts, TokenSource};

/// The local Keystone.
pub struct KeystoneTokens {
    cloud: Cloud,
}

impl KeystoneTokens {
    /// Asks as the user of `cloud`, who needs the role `admin` or `service`.
    pub fn new(cloud: Cloud) -> Self {
        Self { cloud }
    }
}

#[async_trait]
impl TokenSource for KeystoneTokens {
    async fn validate(&self, token: &SecretString) -> Result<TokenFacts, TokenError> {
        let info = match self.cloud.identity().validate_token(token).await {
            Ok(info) => info,
            Err(error) if says_invalid(&error) => return Err(TokenError::Invalid),
            Err(error) => return Err(TokenError::Unavailable(error.to_string())),
        };
        let project = info.project;
        Ok(TokenFacts {
            user_id: info.user.id,
            user_name: info.user.name,
            user_domain_id: Some(info.user.domain.id),
            project_name: project.as_ref().map(|project| project.name.clone()),
            project_domain_id: project.as_ref().map(|project| project.domain.id.clone()),
            project_id: project.map(|project| project.id),
            roles: info.roles.into_iter().map(|role| role.name).collect(),
            expires_at: info.expires_at,
        })
    }
}

/// Keystone answers 404 for a token that it does not know; one that cannot be sent is none.
fn says_invalid(error: &CallError) -> bool {
    error.class() == ErrorClass::NotFound || matches!(error, CallError::Setup(_))
}
