//! Keystone v3: tokens, projects, users, roles.

use http::Method;
use protector_core::id::{ProjectId, UserId};
use secrecy::SecretString;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    ask::Ask,
    error::CallError,
    id::RoleId,
    service::Service,
    session::{Session, TokenAnswer},
    token::{Role, TokenInfo},
};

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Project {
    pub id: ProjectId,
    /// Its name, unique within its domain.
    pub name: String,
    pub domain_id: String,
    /// False when an administrator has disabled it.
    pub enabled: bool,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    pub id: UserId,
    /// Its name, unique within its domain.
    pub name: String,
    pub domain_id: String,
    /// False when an administrator has disabled it.
    pub enabled: bool,
}

/// Keystone of one cloud.
#[derive(Clone, Debug)]
pub struct Identity {
    session: Session,
}

const KEYSTONE: Service = Service::Identity;

impl Identity {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }

    /// `GET /v3/auth/tokens` about `subject`: whose it is, its project, roles and catalogue. Role: the service role
    /// or admin (a user may also check its own). An invalid or expired subject is `NotFound`.
    ///
    /// # Errors
    /// As any call.
    pub async fn validate_token(&self, subject: &SecretString) -> Result<TokenInfo, CallError> {
        let ask = Ask::get(KEYSTONE, &["auth", "tokens"]).about_token(subject);
        let answer: TokenAnswer = self.session.typed(ask).await?;
        Ok(answer.token)
    }

    /// `GET /v3/`: whether Keystone answers. Role: any.
    ///
    /// # Errors
    /// As any call; logs in first if needed.
    pub async fn ping(&self) -> Result<(), CallError> {
        let root = Ask::get(KEYSTONE, &[]);
        self.session.typed::<IgnoredAny>(root).await.map(|_| ())
    }

    /// `GET /v3/projects/{id}`. Role: reader of the project or its domain, or admin.
    ///
    /// # Errors
    /// As any call.
    pub async fn project(&self, id: &ProjectId) -> Result<Project, CallError> {
        self.session
            .object(Ask::get(KEYSTONE, &["projects", id.as_str()]), "project")
            .await
    }

    /// `GET /v3/projects`, by name where given. Role: admin, or reader of the system or domain.
    ///
    /// # Errors
    /// As any call.
    pub async fn projects(&self, name: Option<&str>) -> Result<Vec<Project>, CallError> {
        let ask = Ask::get(KEYSTONE, &["projects"]).query_if("name", name);
        let found: Vec<Project> = self.session.list(ask, "projects").await?;
        Ok(found
            .into_iter()
            .filter(|project| name.is_none_or(|name| same(&project.name, name)))
            .collect())
    }

    /// The project named `name`; `None` when there is none. Role: as [`Identity::projects`].
    ///
    /// # Errors
    /// [`CloudError::Several`] when several domains have one of that name.
    pub async fn find_project(&self, name: &str) -> Result<Option<Project>, CallError> {
        one(self.projects(Some(name)).await?, "projects", name)
    }

    /// `GET /v3/auth/projects`: the projects that the session's user has a role in. Role: any.
    ///
    /// # Errors
    /// As any call.
    pub async fn own_projects(&self) -> Result<Vec<Project>, CallError> {
        self.session
            .list(Ask::get(KEYSTONE, &["auth", "projects"]), "projects")
            .await
    }

    /// `GET /v3/users?name=`; `None` when there is none. Role: admin, or reader of the domain.
    ///
    /// # Errors
    /// [`CloudError::Several`] when several domains have one of that name.
    pub async fn find_user(&self, name: &str) -> Result<Option<User>, CallError> {
        let ask = Ask::get(KEYSTONE, &["users"]).query("name", name);
        let found: Vec<User> = self.session.list(ask, "users").await?;
        one(
            found
                .into_iter()
                .filter(|user| same(&user.name, name))
                .collect(),
            "users",
            name,
        )
    }

    /// `GET /v3/roles?name=`; `None` when there is none. Role: admin or system reader.
    ///
    /// # Errors
    /// [`CloudError::Several`] when there are several of that name.
    pub async fn find_role(&self, name: &str) -> Result<Option<Role>, CallError> {
        let ask = Ask::get(KEYSTONE, &["roles"]).query("name", name);
        let found: Vec<Role> = self.session.list(ask, "roles").await?;
        one(
            found
                .into_iter()
                .filter(|role| same(&role.name, name))
                .collect(),
            "roles",
            name,
        )
    }

    /// `PUT /v3/projects/{p}/users/{u}/roles/{r}`. Granting again is success. Role: admin, or manager of the domain.
    ///
    /// # Errors
    /// As any call.
    pub async fn grant_role(
        &self,
        project: &ProjectId,
        user: &UserId,
        role: &RoleId,
    ) -> Result<(), CallError> {
        self.session
            .done(assignment(Method::PUT, project, user, role))
            .await
    }

    /// `HEAD /v3/projects/{p}/users/{u}/roles/{r}`: whether the user has the role there by direct assignment.
    /// Role: admin or system reader.
    ///
    /// # Errors
    /// As any call.
    pub async fn has_role(
        &self,
        project: &ProjectId,
        user: &UserId,
        role: &RoleId,
    ) -> Result<bool, CallError> {
        match self
            .session
            .done(assignment(Method::HEAD, project, user, role))
            .await
        {
            Ok(()) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `DELETE /v3/projects/{p}/users/{u}/roles/{r}`. Role: admin, or manager of the domain.
    ///
    /// # Errors
    /// As any call; `NotFound` when the role was not granted.
    pub async fn revoke_role(
        &self,
        project: &ProjectId,
        user: &UserId,
        role: &RoleId,
    ) -> Result<(), CallError> {
        self.session
            .done(assignment(Method::DELETE, project, user, role))
            .await
    }
}

fn assignment(method: Method, project: &ProjectId, user: &UserId, role: &RoleId) -> Ask {
    let path = [
        "projects",
        project.as_str(),
        "users",
        user.as_str(),
        "roles",
        role.as_str(),
    ];
    Ask::new(method, KEYSTONE, &path)
}

/// Keystone's names ignore case.
fn same(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

fn one<T>(mut found: Vec<T>, what: &'static str, name: &str) -> Result<Option<T>, CallError> {
    match found.len() {
        0 | 1 => Ok(found.pop()),
        count => Err(CallError::Several {
            service: KEYSTONE,
            what,
            name: name.to_owned(),
            count,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::scripted_cloud::{answer, catalog, ok, scripted};

    fn project(id: &str, name: &str) -> Value {
        json!({"id": id, "name": name, "domain_id": "default", "enabled": true})
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_described_and_goes_in_a_header_that_is_not_printed() {
        let body = json!({"token": {
            "user": {"id": "u2", "name": "alice", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p2", "name": "shop", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r1", "name": "Member"}], "catalog": catalog(),
            "issued_at": "2026-01-02T03:04:05.000000Z", "expires_at": "2026-01-02T04:04:05.000000Z",
        }});
        let (cloud, script) = scripted([ok(body)]);
        let subject = SecretString::from("alices-token");
        let info = cloud.identity().validate_token(&subject).await.unwrap();
        assert_eq!(info.project.as_ref().unwrap().id.as_str(), "p2");
        assert!(info.has_role("member") && !info.has_role("admin"));
        assert!(info.catalog.is_some());
        let call = &script.calls()[0];
        assert_eq!(call.headers["x-subject-token"], "alices-token");
        assert!(!call.url.contains("alices") && !format!("{:?}", call.headers).contains("alices"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_must_mean_one_project() {
        let (cloud, _) = scripted([
            ok(json!({"projects": [project("p1", "Shop")]})),
            ok(json!({"projects": []})),
            ok(json!({"projects": [project("p1", "shop"), project("p2", "shop")]})),
        ]);
        let identity = cloud.identity();
        assert_eq!(
            identity
                .find_project("shop")
                .await
                .unwrap()
                .unwrap()
                .id
                .as_str(),
            "p1"
        );
        assert_eq!(identity.find_project("shop").await.unwrap(), None);
        let error = identity.find_project("shop").await.unwrap_err().to_string();
        assert_eq!(error, "Keystone has 2 projects named \"shop\": use the id");
    }

    #[tokio::test(start_paused = true)]
    async fn roles_are_granted_checked_and_revoked_by_id() {
        let (cloud, script) = scripted([answer(204, ""), answer(404, ""), answer(204, "")]);
        let (project, user, role) = ("p1".into(), "u1".into(), "r1".into());
        let identity = cloud.identity();
        identity.grant_role(&project, &user, &role).await.unwrap();
        assert!(!identity.has_role(&project, &user, &role).await.unwrap());
        identity.revoke_role(&project, &user, &role).await.unwrap();
        let path = "/v3/projects/p1/users/u1/roles/r1";
        assert_eq!(
            script.lines(),
            ["PUT", "HEAD", "DELETE"].map(|method| format!("{method} {path}"))
        );
    }
}
