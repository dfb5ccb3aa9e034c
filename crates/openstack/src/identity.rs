//! Keystone v3: tokens, projects, users, roles.

use http::Method;
use protector_core::id::{ProjectId, UserId};
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    ask::Ask,
    error::CloudError,
    id::RoleId,
    service::Service,
    session::{Session, TokenAnswer},
    token::{Role, TokenInfo},
};

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its name, unique within its domain.
    pub name: String,
    /// Its domain's id.
    pub domain_id: String,
    /// False when an administrator has disabled it.
    pub enabled: bool,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name, unique within its domain.
    pub name: String,
    /// Its domain's id.
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
    pub async fn validate_token(&self, subject: &SecretString) -> Result<TokenInfo, CloudError> {
        let mut ask = Ask::get(KEYSTONE, &["auth", "tokens"]).about_token(subject);
        ask.wants_json = true;
        let call = ask.call.clone();
        let answer = self.session.send(&ask).await?;
        serde_json::from_slice::<TokenAnswer>(&answer.body)
            .map(|answer| answer.token)
            .map_err(|error| crate::listing::unexpected(&call, error))
    }

    /// `GET /v3/`: whether Keystone answers. Role: any.
    ///
    /// # Errors
    /// As any call; logs in first if needed.
    pub async fn ping(&self) -> Result<(), CloudError> {
        self.session
            .value(Ask::get(KEYSTONE, &[]))
            .await
            .map(|_| ())
    }

    /// `GET /v3/projects/{id}`. Role: reader of the project or its domain, or admin.
    ///
    /// # Errors
    /// As any call.
    pub async fn project(&self, id: &ProjectId) -> Result<Project, CloudError> {
        self.session
            .object(Ask::get(KEYSTONE, &["projects", id.as_str()]), "project")
            .await
    }

    /// `GET /v3/projects`, by name where given. Role: admin, or reader of the system or domain.
    ///
    /// # Errors
    /// As any call.
    pub async fn projects(&self, name: Option<&str>) -> Result<Vec<Project>, CloudError> {
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
    pub async fn find_project(&self, name: &str) -> Result<Option<Project>, CloudError> {
        one(self.projects(Some(name)).await?, "projects", name)
    }

    /// `GET /v3/auth/projects`: the projects that the session's user has a role in. Role: any.
    ///
    /// # Errors
    /// As any call.
    pub async fn own_projects(&self) -> Result<Vec<Project>, CloudError> {
        self.session
            .list(Ask::get(KEYSTONE, &["auth", "projects"]), "projects")
            .await
    }

    /// `GET /v3/users?name=`; `None` when there is none. Role: admin, or reader of the domain.
    ///
    /// # Errors
    /// [`CloudError::Several`] when several domains have one of that name.
    pub async fn find_user(&self, name: &str) -> Result<Option<User>, CloudError> {
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
    pub async fn find_role(&self, name: &str) -> Result<Option<Role>, CloudError> {
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
    ) -> Result<(), CloudError> {
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
    ) -> Result<bool, CloudError> {
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
    ) -> Result<(), CloudError> {
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

fn one<T>(mut found: Vec<T>, what: &'static str, name: &str) -> Result<Option<T>, CloudError> {
    match found.len() {
        0 | 1 => Ok(found.pop()),
        count => Err(CloudError::Several {
            service: KEYSTONE,
            what,
            name: name.to_owned(),
            count,
        }),
    }
}
