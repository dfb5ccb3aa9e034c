//! Tokens: what Keystone says about them, and how long ours is used.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderValue;
use protector_core::id::{ProjectId, UserId};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{catalog::Catalog, field, id::RoleId};

/// A thing with a name inside a domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Named {
    pub id: String,
    pub name: String,
}

/// The user of a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TokenUser {
    pub id: UserId,
    pub name: String,
    pub domain: Named,
}

/// The project of a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TokenProject {
    pub id: ProjectId,
    pub name: String,
    pub domain: Named,
}

/// A role that a token carries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Role {
    pub id: RoleId,
    /// The role's name, `member`.
    pub name: String,
}

/// What Keystone says about a token. It does not hold the token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TokenInfo {
    pub user: TokenUser,
    /// The project that it is for; `None` for an unscoped, a domain's or a system's token.
    pub project: Option<TokenProject>,
    /// The roles that it carries; none when it is unscoped.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// When it was issued.
    #[serde(deserialize_with = "field::time")]
    pub issued_at: DateTime<Utc>,
    #[serde(deserialize_with = "field::time")]
    pub expires_at: DateTime<Utc>,
    /// The catalogue, for a scoped token.
    pub catalog: Option<Catalog>,
    /// `{"all": true}` for a system-scoped token.
    pub system: Option<serde_json::Value>,
}

impl TokenInfo {
    /// True when the token carries the role named `name`, whatever its case (Keystone's names ignore it).
    pub fn has_role(&self, name: &str) -> bool {
        self.roles
            .iter()
            .any(|role| role.name.eq_ignore_ascii_case(name))
    }
}

/// A token in use.
pub(crate) struct Token {
    /// The `X-Auth-Token` header, marked as sensitive.
    pub(crate) header: HeaderValue,
    pub(crate) catalog: Catalog,
    pub(crate) project_id: Option<ProjectId>,
    /// Whose it is; `None` for a caller's token, of which Keystone is not asked.
    pub(crate) user_id: Option<UserId>,
    /// After this a new one is fetched; `None` for a caller's token, which cannot be renewed.
    pub(crate) use_until: Option<Instant>,
    /// Which login of the session it comes from, so that a late 401 does not throw away a newer token.
    pub(crate) login: u64,
}

impl Token {
    pub(crate) fn is_usable(&self) -> bool {
        self.use_until.is_none_or(|until| Instant::now() < until)
    }
}

/// How long a token that was just issued is used: its lifetime less two minutes, or less a quarter when it is
/// short. Taken from Keystone's own two times, so that a difference between the clocks does not matter.
pub(crate) fn time_of_use(info: &TokenInfo) -> Duration {
    let lifetime = (info.expires_at - info.issued_at)
        .to_std()
        .unwrap_or_default();
    lifetime.saturating_sub((lifetime / 4).min(Duration::from_secs(120)))
}
