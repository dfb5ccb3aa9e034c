//! Tokens: issue, validate, revoke.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud, SimTime,
    call::{Call, text, uuid_of},
    identity::{Caller, IdentityService, domain, forbidden, hex, not_found},
    reply::{Answer, Reply, empty, identity_error, ok},
};

#[derive(Clone, Debug)]
pub(crate) struct Token {
    user: Uuid,
    user_name: String,
    project: Option<Uuid>,
    project_name: Option<String>,
    methods: Vec<String>,
    issued: SimTime,
    pub(crate) expires: SimTime,
    /// Whether a service has validated it before, and so has it in its cache.
    seen: bool,
    audit: Uuid,
}

impl Token {
    pub(crate) fn is_for(&self, user: Uuid, project: Uuid) -> bool {
        self.user == user && self.project == Some(project)
    }
}

fn unauthorized() -> Box<Reply> {
    identity_error(
        401,
        "Unauthorized",
        "The request you have made requires authentication.",
    )
}

/// What an authentication request asks to be scoped to.
enum TokenScope {
    None,
    Project(Uuid),
}

impl IdentityService {
    /// User name and project id of a token, valid or not, for the log.
    pub(crate) fn peek(&self, token: &str) -> Option<(&str, Option<String>)> {
        let token = self.tokens.get(token)?;
        Some((token.user_name.as_str(), token.project.map(hex)))
    }

    pub(crate) fn seen(&self, token: &str) -> bool {
        self.tokens.get(token).is_some_and(|token| token.seen)
    }

    /// The caller behind a valid token with a project; roles are read anew each time.
    pub(crate) fn validate(&mut self, token: &str, now: SimTime) -> Option<Caller> {
        let found = self.tokens.get(token)?.clone();
        let user = self.users.get(found.user)?;
        if self.expired(now, &found) || !user.enabled {
            return None;
        }
        if let Some(stored) = self.tokens.get_mut(token) {
            stored.seen = true;
        }
        let project = found.project.unwrap_or(Uuid::nil());
        Some(Caller {
            user: found.user,
            project,
            roles: self.effective_roles(found.user, project),
            token: token.to_owned(),
        })
    }

    pub(crate) fn revoke(&mut self, user: Option<&str>) {
        self.tokens
            .retain(|_, token| user.is_some_and(|user| user != token.user_name));
    }

    /// A user's roles in a project with those they imply: admin, manager, member, reader.
    pub(crate) fn effective_roles(&self, user: Uuid, project: Uuid) -> BTreeSet<String> {
        let mut roles: BTreeSet<String> = self
            .assignments
            .iter()
            .filter(|row| row.user == user && row.project == project)
            .filter_map(|row| self.roles.get(row.role).map(|role| role.name.clone()))
            .collect();
        for (role, implied) in [
            ("admin", "manager"),
            ("manager", "member"),
            ("member", "reader"),
        ] {
            if roles.contains(role) {
                roles.insert(implied.to_owned());
            }
        }
        roles
    }

    fn authenticate(&self, identity: &Value, now: SimTime) -> Answer<(Uuid, Vec<String>)> {
        let methods: Vec<String> = identity
            .get("methods")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|method| method.as_str().map(str::to_owned))
            .collect();
        let user = match methods.first().map(String::as_str) {
            Some("password") => {
                self.password_user(identity.get("password").and_then(|p| p.get("user")))
            }
            Some("token") => identity
                .get("token")
                .and_then(|token| text(token, "id"))
                .and_then(|id| self.tokens.get(id))
                .filter(|token| !self.expired(now, token))
                .map(|token| token.user),
            _ => None,
        };
        let user = user.filter(|id| self.users.get(*id).is_some_and(|user| user.enabled));
        user.map(|user| (user, methods)).ok_or_else(unauthorized)
    }

    fn password_user(&self, given: Option<&Value>) -> Option<Uuid> {
        let given = given?;
        let user = match text(given, "id") {
            Some(id) => self.users.get(uuid_of(id)?)?,
            None => {
                in_default_domain(given.get("domain")).then_some(())?;
                self.user_named(text(given, "name")?)?
            }
        };
        (text(given, "password") == Some(user.password.as_str())).then_some(user.id)
    }

    fn scope(&self, scope: Option<&Value>, user: Uuid) -> Answer<TokenScope> {
        let Some(scope) = scope else {
            return Ok(
                match self.users.get(user).and_then(|user| user.default_project) {
                    Some(project) => TokenScope::Project(project),
                    None => TokenScope::None,
                },
            );
        };
        if scope.as_str() == Some("unscoped") {
            return Ok(TokenScope::None);
        }
        let Some(wanted) = scope.get("project") else {
            return Err(unauthorized());
        };
        let project = match text(wanted, "id") {
            Some(id) => uuid_of(id).and_then(|id| self.projects.get(id)),
            None if in_default_domain(wanted.get("domain")) => {
                text(wanted, "name").and_then(|name| self.project_named(name))
            }
            None => None,
        };
        let project = project
            .filter(|project| project.enabled)
            .ok_or_else(unauthorized)?;
        if self.effective_roles(user, project.id).is_empty() {
            return Err(unauthorized());
        }
        Ok(TokenScope::Project(project.id))
    }
}

fn in_default_domain(given: Option<&Value>) -> bool {
    given.is_some_and(|domain| {
        text(domain, "id") == Some("default") || text(domain, "name") == Some("Default")
    })
}

impl SimCloud {
    pub(crate) fn identity_auth(&mut self, call: &Call<'_>, rest: &[&str]) -> Answer {
        match (call.method.as_str(), rest) {
            ("POST", ["tokens"]) => self.token_issue(call),
            ("GET" | "HEAD", ["tokens"]) => self.token_show(call),
            ("DELETE", ["tokens"]) => self.token_revoke(call),
            ("GET", ["catalog"]) => {
                let caller = self.identity_caller(call)?;
                let links = self.identity_links("auth/catalog");
                ok(json!({"catalog": self.identity.catalog(caller.project), "links": links}))
            }
            ("GET", ["projects"]) => {
                let caller = self.identity_caller(call)?;
                let rows = self.projects_of(caller.user);
                self.identity_list("projects", rows)
            }
            ("GET", ["domains"]) => self.identity_list("domains", Vec::new()),
            _ => Err(identity_error(
                404,
                "Not Found",
                "The resource could not be found.",
            )),
        }
    }

    fn token_issue(&mut self, call: &Call<'_>) -> Answer {
        let body: Value = serde_json::from_slice(call.body).map_err(|_| {
            identity_error(
                400,
                "Bad Request",
                "Expecting to find valid JSON in the request body. The server could not comply with the \
                 request since it is either malformed or otherwise incorrect. The client is assumed to be \
                 in error.",
            )
        })?;
        let auth = body.get("auth").ok_or_else(|| {
            identity_error(
                400,
                "Bad Request",
                "Expecting to find auth in request body. The server could not comply with the request \
                 since it is either malformed or otherwise incorrect. The client is assumed to be in error.",
            )
        })?;
        let wanted = auth.get("identity").unwrap_or(&Value::Null);
        let (user, methods) = self.identity.authenticate(wanted, self.now)?;
        let project = match self.identity.scope(auth.get("scope"), user)? {
            TokenScope::None => None,
            TokenScope::Project(project) => Some(project),
        };
        let (name, audit) = (hex(self.ids.next()), self.ids.next());
        let token = format!("gAAAAA{name}{}", hex(audit));
        let project_name = project
            .and_then(|id| self.identity.projects.get(id))
            .map(|row| row.name.clone());
        let user_name = self
            .identity
            .users
            .get(user)
            .map(|row| row.name.clone())
            .unwrap_or_default();
        let life = SimTime::from_secs(self.options.token_seconds);
        let now = self.now;
        self.identity.tokens.retain(|_, token| token.expires > now);
        let row = Token {
            user,
            user_name,
            project,
            project_name,
            methods,
            issued: now,
            expires: now + life,
            seen: false,
            audit,
        };
        let view = self.token_view(
            &row,
            !call.flag("nocatalog") || call.query("nocatalog").is_none(),
        );
        self.identity.tokens.insert(token.clone(), row);
        Ok(Reply::json(201, &view).with("x-subject-token", token))
    }

    fn token_view(&self, token: &Token, with_catalog: bool) -> Value {
        let mut view = json!({
            "methods": token.methods,
            "user": {
                "id": hex(token.user),
                "name": token.user_name,
                "domain": domain(),
                "password_expires_at": null,
            },
            "audit_ids": [hex(token.audit).get(..22).unwrap_or_default()],
            "issued_at": format!("{}Z", self.stamp_micro(token.issued)),
            "expires_at": format!("{}Z", self.stamp_micro(token.expires)),
        });
        let (Some(project), Some(fields)) = (token.project, view.as_object_mut()) else {
            return json!({"token": view});
        };
        let roles: Vec<Value> = self
            .identity
            .effective_roles(token.user, project)
            .into_iter()
            .filter_map(|name| {
                let role = self.identity.roles.iter().find(|role| role.name == name)?;
                Some(json!({"id": hex(role.id), "name": role.name}))
            })
            .collect();
        fields.insert("is_domain".to_owned(), json!(false));
        fields.insert(
            "project".to_owned(),
            json!({"id": hex(project), "name": token.project_name, "domain": domain()}),
        );
        fields.insert("roles".to_owned(), json!(roles));
        if with_catalog {
            fields.insert("catalog".to_owned(), self.identity.catalog(project));
        }
        json!({"token": view})
    }

    /// The subject of a validation, for a caller who may ask about it: itself, an administrator or a service.
    fn subject(&mut self, call: &Call<'_>) -> Answer<(String, Token)> {
        let caller = self.identity_caller(call)?;
        let subject = call
            .header("x-subject-token")
            .unwrap_or_default()
            .to_owned();
        let own = subject == caller.token;
        if !own && !caller.is_admin() && !caller.roles.contains("service") {
            return Err(forbidden("identity:validate_token"));
        }
        let valid = self.identity.validate(&subject, self.now).is_some();
        match self.identity.tokens.get(&subject) {
            Some(token) if valid => Ok((subject, token.clone())),
            _ => Err(identity_error(404, "Not Found", "Failed to validate token")),
        }
    }

    fn token_show(&mut self, call: &Call<'_>) -> Answer {
        let (subject, token) = self.subject(call)?;
        let with_catalog = call.query("nocatalog").is_none();
        let view = self.token_view(&token, with_catalog);
        let mut reply = Reply::json(200, &view).with("x-subject-token", subject);
        if call.method == http::Method::HEAD {
            reply.body = bytes::Bytes::new();
        }
        Ok(reply)
    }

    fn token_revoke(&mut self, call: &Call<'_>) -> Answer {
        let (subject, _) = self.subject(call)?;
        self.identity
            .tokens
            .remove(&subject)
            .ok_or_else(|| not_found("token", &subject))?;
        empty(204)
    }
}
