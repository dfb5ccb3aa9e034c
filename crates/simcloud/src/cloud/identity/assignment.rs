//! Roles and who has them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, text, uuid_of},
    identity::{Assignment, Role, catalog::member, domain, hex, need_admin, not_found},
    reply::{Answer, Reply, empty, identity_error, ok},
};

impl SimCloud {
    pub(crate) fn identity_roles(&mut self, call: &Call<'_>, kind: &str, rest: &[&str]) -> Answer {
        let caller = self.identity_caller(call)?;
        match (call.method.as_str(), kind, rest) {
            ("GET", "roles", []) => {
                need_admin(&caller, "identity:list_roles")?;
                let rows = self
                    .identity
                    .roles
                    .iter()
                    .filter(|row| call.query("name").is_none_or(|wanted| row.name == wanted))
                    .map(|row| self.role_view(row))
                    .collect();
                self.identity_list("roles", rows)
            }
            ("POST", "roles", []) => {
                need_admin(&caller, "identity:create_role")?;
                let given = member(call, "role")?;
                let name = text(&given, "name").unwrap_or_default().to_owned();
                let role = Role {
                    id: self.ids.next(),
                    name,
                };
                let view = self.role_view(&role);
                self.identity.roles.insert(role.id, role);
                Ok(Reply::json(201, &json!({"role": view})))
            }
            ("GET", "roles", [id]) => {
                let role = uuid_of(id).and_then(|id| self.identity.roles.get(id));
                let role = role.ok_or_else(|| not_found("role", id))?;
                ok(json!({"role": self.role_view(role)}))
            }
            ("GET", "role_assignments", []) => {
                need_admin(&caller, "identity:list_role_assignments")?;
                let rows = self.assignment_rows(call);
                self.identity_list("role_assignments", rows)
            }
            _ => Err(identity_error(
                404,
                "Not Found",
                "The resource could not be found.",
            )),
        }
    }

    /// `projects/{project}/users/{user}/roles[/{role}]`.
    pub(crate) fn identity_grants(
        &mut self,
        call: &Call<'_>,
        project: &str,
        user: &str,
        rest: &[&str],
    ) -> Answer {
        let caller = self.identity_caller(call)?;
        need_admin(&caller, "identity:create_grant")?;
        let project = uuid_of(project)
            .filter(|id| self.identity.projects.contains(*id))
            .ok_or_else(|| not_found("project", project))?;
        let user = uuid_of(user)
            .filter(|id| self.identity.users.contains(*id))
            .ok_or_else(|| not_found("user", user))?;
        let [role] = rest else {
            let rows = self
                .identity
                .assignments
                .iter()
                .filter(|row| row.project == project && row.user == user)
                .filter_map(|row| self.identity.roles.get(row.role))
                .map(|role| self.role_view(role))
                .collect();
            return self.identity_list("roles", rows);
        };
        let role = uuid_of(role)
            .filter(|id| self.identity.roles.contains(*id))
            .ok_or_else(|| not_found("role", role))?;
        let row = Assignment {
            user,
            project,
            role,
        };
        let held = self.identity.assignments.contains(&row);
        match call.method.as_str() {
            "PUT" => {
                if !held {
                    self.identity.assignments.push(row);
                }
                empty(204)
            }
            "HEAD" | "GET" if held => empty(204),
            "DELETE" if held => {
                self.identity.assignments.retain(|other| *other != row);
                self.identity
                    .tokens
                    .retain(|_, token| !token.is_for(user, project));
                empty(204)
            }
            _ => Err(identity_error(
                404,
                "Not Found",
                format!(
                    "Could not find role assignment with role: {}, user or group: {}, project, domain, or \
                     system: {}.",
                    hex(role),
                    hex(user),
                    hex(project)
                ),
            )),
        }
    }

    fn assignment_rows(&self, call: &Call<'_>) -> Vec<Value> {
        let names = call
            .query("include_names")
            .is_some_and(|value| value != "0" && value != "False");
        let wanted = |key: &str, id: Uuid| call.query(key).is_none_or(|text| text == hex(id));
        self.identity
            .assignments
            .iter()
            .filter(|row| {
                wanted("user.id", row.user)
                    && wanted("role.id", row.role)
                    && wanted("scope.project.id", row.project)
            })
            .map(|row| self.assignment_view(row, names))
            .collect()
    }

    fn assignment_view(&self, row: &Assignment, names: bool) -> Value {
        let identity = &self.identity;
        let link = format!(
            "projects/{}/users/{}/roles/{}",
            hex(row.project),
            hex(row.user),
            hex(row.role)
        );
        let links = json!({"assignment": self.identity_links(&link)["self"]});
        if !names {
            return json!({
                "role": {"id": hex(row.role)},
                "user": {"id": hex(row.user)},
                "scope": {"project": {"id": hex(row.project)}},
                "links": links,
            });
        }
        let role = identity.roles.get(row.role).map(|role| role.name.as_str());
        let user = identity.users.get(row.user).map(|user| user.name.as_str());
        let project = identity
            .projects
            .get(row.project)
            .map(|project| project.name.as_str());
        json!({
            "role": {"id": hex(row.role), "name": role},
            "user": {"id": hex(row.user), "name": user, "domain": domain()},
            "scope": {"project": {"id": hex(row.project), "name": project, "domain": domain()}},
            "links": links,
        })
    }

    fn role_view(&self, row: &Role) -> Value {
        json!({
            "id": hex(row.id),
            "name": row.name,
            "domain_id": null,
            "description": null,
            "options": {},
            "links": self.identity_links(&format!("roles/{}", hex(row.id))),
        })
    }
}
