//! Keystone: who may do what, tokens, the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use token::Token;
use uuid::Uuid;

use crate::cloud::{
    SimCloud, SimTime,
    call::{Call, SimulatedService},
    ids::IdSource,
    options::CloudOptions,
    reply::{Answer, Reply, identity_error, ok},
    table::Table,
};

/// As Keystone and the projects' ids in other services print an id: 32 digits.
pub(crate) fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

/// Who is calling, and with which roles in which project.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: Uuid,
    pub(crate) project: Uuid,
    pub(crate) roles: BTreeSet<String>,
    pub(crate) token: String,
}

impl Caller {
    pub(crate) fn is_admin(&self) -> bool {
        self.roles.contains("admin")
    }

    pub(crate) fn is_member(&self) -> bool {
        self.roles.contains("member")
    }

    /// Whether a resource of `project` is within this caller's sight.
    pub(crate) fn sees(&self, project: Uuid) -> bool {
        self.project == project || self.is_admin()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) enabled: bool,
}

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    password: String,
    pub(crate) enabled: bool,
    default_project: Option<Uuid>,
}

#[derive(Clone, Debug)]
struct Role {
    id: Uuid,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Assignment {
    user: Uuid,
    project: Uuid,
    role: Uuid,
}

#[derive(Clone, Debug)]
struct CatalogService {
    id: Uuid,
    name: String,
    kind: String,
}

#[derive(Clone, Debug)]
struct Endpoint {
    id: Uuid,
    service: Uuid,
    interface: String,
    url: String,
    region: Option<String>,
}

pub(crate) struct IdentityService {
    projects: Table<Project>,
    users: Table<User>,
    roles: Table<Role>,
    assignments: Vec<Assignment>,
    services: Table<CatalogService>,
    endpoints: Table<Endpoint>,
    tokens: BTreeMap<String, Token>,
    region: String,
}

impl IdentityService {
    pub(crate) fn seed(options: &CloudOptions, ids: &IdSource) -> Self {
        let mut identity = Self {
            projects: Table::default(),
            users: Table::default(),
            roles: Table::default(),
            assignments: Vec::new(),
            services: Table::default(),
            endpoints: Table::default(),
            tokens: BTreeMap::new(),
            region: options.name.clone(),
        };
        for name in &options.projects {
            let id = ids.fixed("project", name);
            let description = String::new();
            identity.projects.insert(
                id,
                Project {
                    id,
                    name: name.clone(),
                    description,
                    enabled: true,
                },
            );
        }
        for name in ["admin", "manager", "member", "reader", "service"] {
            let id = ids.fixed("role", name);
            identity.roles.insert(
                id,
                Role {
                    id,
                    name: name.to_owned(),
                },
            );
        }
        for seed in &options.users {
            let id = ids.fixed("user", &seed.name);
            identity.users.insert(
                id,
                User {
                    id,
                    name: seed.name.clone(),
                    password: seed.password.clone(),
                    enabled: true,
                    default_project: None,
                },
            );
            for role in &seed.roles {
                let project = identity
                    .project_named(&role.project)
                    .map(|project| project.id);
                let role = identity.roles.iter().find(|found| found.name == role.role);
                if let (Some(project), Some(role)) = (project, role.map(|role| role.id)) {
                    identity.assignments.push(Assignment {
                        user: id,
                        project,
                        role,
                    });
                }
            }
        }
        let base = &options.base_url;
        for (name, kind, url) in [
            ("keystone", "identity", format!("{base}/identity")),
            ("nova", "compute", format!("{base}/compute/v2.1")),
            (
                "cinderv3",
                "volumev3",
                format!("{base}/volume/v3/%(project_id)s"),
            ),
            ("neutron", "network", format!("{base}/network")),
            ("glance", "image", format!("{base}/image")),
        ] {
            identity.seed_service(ids, name, kind, &url);
        }
        for seed in &options.services {
            identity.seed_service(ids, &seed.name, &seed.service_type, &seed.url);
        }
        identity
    }

    fn seed_service(&mut self, ids: &IdSource, name: &str, kind: &str, url: &str) {
        let id = ids.fixed("service", name);
        let service = CatalogService {
            id,
            name: name.to_owned(),
            kind: kind.to_owned(),
        };
        self.services.insert(id, service);
        for interface in ["public", "internal", "admin"] {
            let endpoint = ids.fixed("endpoint", &format!("{name}/{interface}"));
            self.endpoints.insert(
                endpoint,
                Endpoint {
                    id: endpoint,
                    service: id,
                    interface: interface.to_owned(),
                    url: url.to_owned(),
                    region: Some(self.region.clone()),
                },
            );
        }
    }

    pub(crate) fn project_named(&self, name: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.name == name)
    }

    pub(crate) fn user_named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    pub(crate) fn projects(&self) -> impl Iterator<Item = &Project> {
        self.projects.iter()
    }
}

/// A domain as it stands inside other resources.
fn domain() -> Value {
    json!({"id": "default", "name": "Default"})
}

fn not_found(kind: &str, id: &str) -> Box<Reply> {
    identity_error(404, "Not Found", format!("Could not find {kind}: {id}."))
}

fn forbidden(action: &str) -> Box<Reply> {
    let text = format!("You are not authorized to perform the requested action: {action}.");
    identity_error(403, "Forbidden", text)
}

fn need_admin(caller: &Caller, action: &str) -> Answer<()> {
    if caller.is_admin() {
        Ok(())
    } else {
        Err(forbidden(action))
    }
}

impl SimCloud {
    pub(crate) fn identity(&mut self, call: &Call<'_>) -> Answer {
        let parts: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        let method = call.method.as_str();
        match (method, parts.as_slice()) {
            ("GET", []) => {
                let values = json!({"values": [self.identity_version()]});
                Ok(Reply::json(300, &json!({"versions": values})))
            }
            ("GET", ["v3"]) => ok(json!({"version": self.identity_version()})),
            (_, ["v3", "auth", rest @ ..]) => self.identity_auth(call, rest),
            (
                _,
                [
                    "v3",
                    kind @ ("services" | "endpoints" | "regions"),
                    rest @ ..,
                ],
            ) => self.identity_catalog(call, kind, rest),
            (_, ["v3", "projects", project, "users", user, "roles", rest @ ..])
            | (_, ["v3", "domains", project, "users", user, "roles", rest @ ..]) => {
                self.identity_grants(call, project, user, rest)
            }
            (
                _,
                [
                    "v3",
                    kind @ ("roles" | "role_assignments" | "role_inferences"),
                    rest @ ..,
                ],
            ) => self.identity_roles(call, kind, rest),
            (
                _,
                [
                    "v3",
                    kind @ ("projects" | "users" | "domains" | "groups"),
                    rest @ ..,
                ],
            ) => self.identity_projects(call, kind, rest),
            _ => Err(identity_error(
                404,
                "Not Found",
                "The requested URL was not found on the server. If you entered the URL manually \
                 please check your spelling and try again.",
            )),
        }
    }

    fn identity_version(&self) -> Value {
        json!({
            "id": "v3.14",
            "status": "stable",
            "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": format!("{}/v3/", self.service_url(SimulatedService::Identity))}],
            "media-types": [{
                "base": "application/json",
                "type": "application/vnd.openstack.identity-v3+json",
            }],
        })
    }

    fn identity_caller(&mut self, call: &Call<'_>) -> Answer<Caller> {
        let refusal = || {
            identity_error(
                401,
                "Unauthorized",
                "The request you have made requires authentication.",
            )
        };
        let token = call.header("x-auth-token").ok_or_else(refusal)?;
        self.identity.validate(token, self.now).ok_or_else(refusal)
    }

    fn identity_links(&self, path: &str) -> Value {
        json!({"self": format!("{}/v3/{path}", self.service_url(SimulatedService::Identity))})
    }

    fn identity_list(&self, kind: &str, rows: Vec<Value>) -> Answer {
        let links = json!({
            "self": format!("{}/v3/{kind}", self.service_url(SimulatedService::Identity)),
            "next": null,
            "previous": null,
        });
        ok(json!({kind: rows, "links": links}))
    }

    /// Ends all tokens, or those of one user, at once.
    pub fn revoke_tokens(&mut self, user: Option<&str>) {
        self.identity.revoke(user);
    }

    /// The id of a project, by name, in the form of the API (32 digits).
    pub fn project_id(&self, name: &str) -> Option<String> {
        self.identity
            .project_named(name)
            .map(|project| hex(project.id))
    }

    /// Adds a service with its three endpoints to the catalogue; replaces one of the same name.
    pub fn register_service(&mut self, name: &str, service_type: &str, url: &str) {
        let ids = self.ids.clone();
        self.identity.seed_service(&ids, name, service_type, url);
    }

    /// Enables or disables a user; a disabled user's tokens are refused.
    pub fn enable_user(&mut self, name: &str, enabled: bool) {
        if let Some(user) = self
            .identity
            .users
            .iter_mut()
            .find(|user| user.name == name)
        {
            user.enabled = enabled;
        }
    }

    /// Takes a role in a project away from a user, along with the tokens that used it.
    pub fn remove_role(&mut self, user: &str, project: &str, role: &str) {
        let identity = &mut self.identity;
        let user = identity.user_named(user).map(|user| user.id);
        let project = identity.project_named(project).map(|project| project.id);
        let role = identity
            .roles
            .iter()
            .find(|found| found.name == role)
            .map(|role| role.id);
        if let (Some(user), Some(project), Some(role)) = (user, project, role) {
            identity.assignments.retain(|row| {
                *row != Assignment {
                    user,
                    project,
                    role,
                }
            });
            identity
                .tokens
                .retain(|_, token| !token.is_for(user, project));
        }
    }
}

impl IdentityService {
    fn expired(&self, now: SimTime, token: &Token) -> bool {
        token.expires <= now
    }
}

pub mod assignment;
pub mod catalog;
pub mod project;
pub mod token;
