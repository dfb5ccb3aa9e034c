//! The caller: who a request's token speaks for.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath};
use http::{HeaderName, request::Parts};
use protector_core::id::{ProjectId, UserId};
use protector_oslo::policy::{PolicyCredentials, RuleName, Target};
use secrecy::SecretString;

use crate::{
    app::{App, refusal::Refusal},
    http::{
        error::{ApiError, ApiResult},
        rate_limit::RequestSlot,
        request::RequestContext,
        token::{TokenError, TokenFacts},
    },
};

/// The header with the caller's token.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-auth-token");

/// What callers read when tokens cannot be validated; Keystone's middleware says the same.
const KEYSTONE_AWAY: &str = "The Keystone service is temporarily unavailable.";

/// The longest token that is looked at, in bytes: a fernet token has some 200, a PKI one some thousands.
const LONGEST_TOKEN: usize = 8192;

/// Who asks, with a valid token for a project.
pub struct Caller {
    facts: Arc<TokenFacts>,
    project_id: ProjectId,
    token: SecretString,
    _place: RequestSlot,
}

impl Caller {
    pub fn project_id(&self) -> &ProjectId {
        &self.project_id
    }

    pub fn user_id(&self) -> &UserId {
        &self.facts.user_id
    }

    /// The caller's token, to read in the caller's name what only the caller may read.
    pub fn token(&self) -> &SecretString {
        &self.token
    }

    /// Refuses a path whose project is not the token's, in the words for what does not exist: whether that project has
    /// anything is not for the caller to know.
    pub fn must_own(&self, project: &ProjectId) -> ApiResult<()> {
        if &self.project_id == project {
            return Ok(());
        }
        Err(ApiError::new(
            Refusal::NotFound,
            format!(
                "Project {project} could not be found with this token, which is for project {}; use the token's project in the path.",
                self.project_id
            ),
        ))
    }

    /// The caller's own project as the target of a policy rule.
    pub fn own_project(&self) -> Target {
        Target::of_project(self.project_id.as_str())
    }

    /// Who asks, whatever its project has asked already: for what the other site's protector asks.
    ///
    /// # Errors
    ///
    /// 401 for a token that is none, 403 for one without a project, 503 when Keystone cannot be asked.
    pub(crate) async fn uncounted(parts: &Parts, app: &App) -> ApiResult<Self> {
        let refused = || ApiError::unauthorized(&app.settings.www_authenticate_uri);
        let token = parts
            .headers
            .get(&TOKEN_HEADER)
            .and_then(|value| value.to_str().ok())
            .filter(|text| !text.is_empty() && text.len() <= LONGEST_TOKEN)
            .map(|text| SecretString::from(text.to_owned()))
            .ok_or_else(refused)?;
        let facts = app
            .tokens
            .validate(&token)
            .await
            .map_err(|error| match error {
                TokenError::Invalid => refused(),
                TokenError::Unavailable(why) => {
                    ApiError::new(Refusal::KeystoneSilent, KEYSTONE_AWAY).with_detail(why)
                }
            })?;
        if let Some(context) = parts.extensions.get::<RequestContext>() {
            context.belongs_to(&facts);
        }
        let project_id = facts.project_id.clone().ok_or_else(|| {
            ApiError::new(
                Refusal::TokenWithoutProject,
                "The token is not scoped to a project; ask Keystone for one that is.",
            )
        })?;
        Ok(Self {
            facts,
            project_id,
            token,
            _place: RequestSlot::default(),
        })
    }

    /// The caller as the policy sees it.
    pub fn credentials(&self) -> PolicyCredentials {
        let facts = &self.facts;
        let optional = [
            ("project_name", &facts.project_name),
            ("user_domain_id", &facts.user_domain_id),
            ("project_domain_id", &facts.project_domain_id),
        ];
        let base = PolicyCredentials::new(
            facts.user_id.as_str(),
            self.project_id.as_str(),
            facts.roles.iter().cloned(),
        )
        .with("user_name", facts.user_name.clone());
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .fold(base, |credentials, (name, value)| {
                credentials.with(name, value)
            })
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = Self::uncounted(parts, app).await?;
        let route = parts.extensions.get::<MatchedPath>();
        let route = route.map_or("", MatchedPath::as_str);
        let project = caller.project_id.clone();
        let place = app.shares.admit(&project, &parts.method, route).await?;
        Ok(Self {
            _place: place,
            ..caller
        })
    }
}

impl App {
    /// Asks the policy whether `caller` may do what `rule` guards to `target`; 403 if not.
    ///
    /// On create the target is the new object, on show and delete the stored one, on update both are asked for.
    pub fn enforce(&self, rule: RuleName, caller: &Caller, target: &Target) -> ApiResult<()> {
        if self.allows(rule, caller, target) {
            return Ok(());
        }
        Err(ApiError::new(
            Refusal::PolicyForbids,
            format!("Policy doesn't allow {rule} to be performed."),
        ))
    }

    /// Asks the policy without refusing.
    pub fn allows(&self, rule: RuleName, caller: &Caller, target: &Target) -> bool {
        self.rules
            .enforce(rule, &caller.credentials(), target)
            .is_allowed()
    }
}
