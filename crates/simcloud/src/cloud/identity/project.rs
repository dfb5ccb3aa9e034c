//! Projects, users, domains.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, boolean, text, uuid_of},
    identity::{Project, User, catalog::member, forbidden, hex, need_admin, not_found},
    reply::{Answer, Reply, empty, identity_error, ok},
};

impl SimCloud {
    pub(crate) fn identity_projects(
        &mut self,
        call: &Call<'_>,
        kind: &str,
        rest: &[&str],
    ) -> Answer {
        let caller = self.identity_caller(call)?;
        match (call.method.as_str(), kind, rest) {
            ("GET", "projects", []) => {
                need_admin(&caller, "identity:list_projects")?;
                let rows = self
                    .identity
                    .projects
                    .iter()
                    .filter(|row| call.query("name").is_none_or(|wanted| row.name == wanted))
                    .map(|row| self.project_view(row))
                    .collect();
                self.identity_list("projects", rows)
            }
            ("POST", "projects", []) => {
                need_admin(&caller, "identity:create_project")?;
                self.project_create(call)
            }
            (method, "projects", [id]) => {
                let found = uuid_of(id)
                    .and_then(|id| self.identity.projects.get(id))
                    .cloned();
                let own = found
                    .as_ref()
                    .is_some_and(|project| project.id == caller.project);
                let allowed = caller.is_admin() || (own && method == "GET");
                if !allowed {
                    return Err(forbidden("identity:get_project"));
                }
                let project = found.ok_or_else(|| not_found("project", id))?;
                self.project_change(call, project)
            }
            ("GET", "users", []) => {
                need_admin(&caller, "identity:list_users")?;
                let rows = self
                    .identity
                    .users
                    .iter()
                    .filter(|row| call.query("name").is_none_or(|wanted| row.name == wanted))
                    .map(|row| self.user_view(row))
                    .collect();
                self.identity_list("users", rows)
            }
            ("POST", "users", []) => {
                need_admin(&caller, "identity:create_user")?;
                self.user_create(call)
            }
            (method, "users", [id, rest @ ..]) => {
                let found = uuid_of(id)
                    .and_then(|id| self.identity.users.get(id))
                    .cloned();
                let own = found.as_ref().is_some_and(|user| user.id == caller.user);
                let allowed = caller.is_admin() || (own && method == "GET");
                if !allowed {
                    return Err(forbidden("identity:get_user"));
                }
                let user = found.ok_or_else(|| not_found("user", id))?;
                match (method, rest) {
                    ("GET", []) => ok(json!({"user": self.user_view(&user)})),
                    ("GET", ["projects"]) => {
                        let rows = self.projects_of(user.id);
                        self.identity_list("projects", rows)
                    }
                    ("PATCH", []) => self.user_change(call, user.id),
                    ("DELETE", []) => {
                        self.identity.users.remove(user.id);
                        empty(204)
                    }
                    _ => Err(identity_error(
                        404,
                        "Not Found",
                        "The resource could not be found.",
                    )),
                }
            }
            ("GET", "domains", []) => {
                need_admin(&caller, "identity:list_domains")?;
                let wanted = call.query("name").is_none_or(|name| name == "Default");
                let rows = if wanted {
                    vec![self.domain_view()]
                } else {
                    Vec::new()
                };
                self.identity_list("domains", rows)
            }
            ("GET", "domains", ["default"]) => ok(json!({"domain": self.domain_view()})),
            ("GET", "domains", [id]) => Err(not_found("domain", id)),
            ("GET", "groups", []) => self.identity_list("groups", Vec::new()),
            ("GET", "groups", [id]) => Err(not_found("group", id)),
            _ => Err(identity_error(
                404,
                "Not Found",
                "The resource could not be found.",
            )),
        }
    }

    fn project_create(&mut self, call: &Call<'_>) -> Answer {
        let given = member(call, "project")?;
        let name = text(&given, "name").unwrap_or_default().to_owned();
        if self.identity.project_named(&name).is_some() {
            let text = format!(
                "Conflict occurred attempting to store project - it is not permitted to have two projects \
                 with the same name in the same domain : {name}."
            );
            return Err(identity_error(409, "Conflict", text));
        }
        let project = Project {
            id: self.ids.next(),
            name,
            description: text(&given, "description").unwrap_or_default().to_owned(),
            enabled: boolean(&given, "enabled").unwrap_or(true),
        };
        let view = self.project_view(&project);
        self.network.default_group(&self.ids, project.id);
        self.identity.projects.insert(project.id, project);
        Ok(Reply::json(201, &json!({"project": view})))
    }

    fn project_change(&mut self, call: &Call<'_>, project: Project) -> Answer {
        match call.method.as_str() {
            "GET" => ok(json!({"project": self.project_view(&project)})),
            "PATCH" => {
                let given = member(call, "project")?;
                let mut changed = project;
                if let Some(name) = text(&given, "name") {
                    changed.name = name.to_owned();
                }
                changed.enabled = boolean(&given, "enabled").unwrap_or(changed.enabled);
                let view = self.project_view(&changed);
                if let Some(row) = self.identity.projects.get_mut(changed.id) {
                    *row = changed;
                }
                ok(json!({"project": view}))
            }
            "DELETE" => {
                self.identity.projects.remove(project.id);
                self.identity
                    .assignments
                    .retain(|row| row.project != project.id);
                empty(204)
            }
            _ => Err(identity_error(
                405,
                "Method Not Allowed",
                "Method not allowed.",
            )),
        }
    }

    fn user_create(&mut self, call: &Call<'_>) -> Answer {
        let given = member(call, "user")?;
        let name = text(&given, "name").unwrap_or_default().to_owned();
        if self.identity.user_named(&name).is_some() {
            let text = format!(
                "Conflict occurred attempting to store user - Duplicate entry found with name {name} at domain ID default."
            );
            return Err(identity_error(409, "Conflict", text));
        }
        let user = User {
            id: self.ids.next(),
            name,
            password: text(&given, "password").unwrap_or_default().to_owned(),
            enabled: boolean(&given, "enabled").unwrap_or(true),
            default_project: text(&given, "default_project_id").and_then(uuid_of),
        };
        let view = self.user_view(&user);
        self.identity.users.insert(user.id, user);
        Ok(Reply::json(201, &json!({"user": view})))
    }

    fn user_change(&mut self, call: &Call<'_>, id: Uuid) -> Answer {
        let given = member(call, "user")?;
        if let Some(user) = self.identity.users.get_mut(id) {
            user.enabled = boolean(&given, "enabled").unwrap_or(user.enabled);
            if let Some(password) = text(&given, "password") {
                user.password = password.to_owned();
            }
        }
        let view = self.identity.users.get(id).map(|user| self.user_view(user));
        ok(json!({"user": view}))
    }

    pub(crate) fn projects_of(&self, user: Uuid) -> Vec<Value> {
        self.identity
            .projects
            .iter()
            .filter(|project| !self.identity.effective_roles(user, project.id).is_empty())
            .map(|project| self.project_view(project))
            .collect()
    }

    fn project_view(&self, row: &Project) -> Value {
        json!({
            "id": hex(row.id),
            "name": row.name,
            "description": row.description,
            "enabled": row.enabled,
            "domain_id": "default",
            "parent_id": "default",
            "is_domain": false,
            "tags": [],
            "options": {},
            "links": self.identity_links(&format!("projects/{}", hex(row.id))),
        })
    }

    fn user_view(&self, row: &User) -> Value {
        json!({
            "id": hex(row.id),
            "name": row.name,
            "enabled": row.enabled,
            "domain_id": "default",
            "default_project_id": row.default_project.map(hex),
            "password_expires_at": null,
            "options": {},
            "links": self.identity_links(&format!("users/{}", hex(row.id))),
        })
    }

    fn domain_view(&self) -> Value {
        json!({
            "id": "default",
            "name": "Default",
            "description": "The default domain",
            "enabled": true,
            "tags": [],
            "options": {},
            "links": self.identity_links("domains/default"),
        })
    }
}
