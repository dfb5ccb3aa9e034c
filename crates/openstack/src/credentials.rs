//! Who a session acts as, and in which project.

use protector_core::id::ProjectId;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::catalog::{Catalog, EndpointInterface};

/// The project that a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProjectScope {
    Id(ProjectId),
    /// By name, within a domain by name.
    Name {
        name: String,
        domain: String,
    },
}

/// A user's password login. `Debug` leaves the password out.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Keystone's URL, with or without `/v3`.
    pub auth_url: String,
    pub username: String,
    pub password: SecretString,
    /// The name of the user's domain.
    pub user_domain_name: String,
    /// The project to act in.
    pub project: ProjectScope,
    /// The region whose endpoints are used; `None` where the catalogue has only one.
    pub region_name: Option<String>,
    /// Which endpoints are used.
    pub interface: EndpointInterface,
}

impl Credentials {
    /// The same user in another project.
    pub fn in_project(&self, project: ProjectId) -> Self {
        Self {
            project: ProjectScope::Id(project),
            ..self.clone()
        }
    }

    /// The body of `POST /v3/auth/tokens`. It holds the password.
    pub(crate) fn auth_body(&self) -> Value {
        let scope = match &self.project {
            ProjectScope::Id(id) => json!({"project": {"id": id}}),
            ProjectScope::Name { name, domain } => {
                json!({"project": {"name": name, "domain": {"name": domain}}})
            }
        };
        json!({"auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {
                    "name": self.username,
                    "domain": {"name": self.user_domain_name},
                    "password": self.password.expose_secret(),
                }},
            },
            "scope": scope,
        }})
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.auth_url == other.auth_url
            && self.username == other.username
            && self.password.expose_secret() == other.password.expose_secret()
            && self.user_domain_name == other.user_domain_name
            && self.project == other.project
            && self.region_name == other.region_name
            && self.interface == other.interface
    }
}

/// A caller's own token, to act with the caller's rights. It is never renewed. `Debug` leaves the token out.
#[derive(Clone, Debug)]
pub struct CallerToken {
    /// Keystone's URL, with or without `/v3`.
    pub auth_url: String,
    pub token: SecretString,
    /// The catalogue that belongs to the token's project.
    pub catalog: Catalog,
    pub project_id: Option<ProjectId>,
    /// The region whose endpoints are used; `None` where the catalogue has only one.
    pub region_name: Option<String>,
    /// Which endpoints are used.
    pub interface: EndpointInterface,
}
