//! Databases to test on.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod records;
pub mod sites;

use async_trait::async_trait;
use chrono::DateTime;
use protector_core::{
    group::Group,
    id::{GroupId, OperationId, ProjectId},
    journal_conformance::TestBed,
    member::Member,
    operation::{GivenUp, OperationRecord},
    site::{SiteScope, TenantMapping},
};
use protector_store::{
    Database, KeyRepository, Lock, MetadataDocument, NewOperation, Offered, PoolOptions,
    Precondition,
};
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;

/// The mapping that links the tenant's two projects.
pub const LINK: &str = "tenants";

/// A migrated database with keys, in which the tenant's two projects are linked, gone with its directory.
pub struct Bed {
    pub database: Database,
    pub dir: TempDir,
    pub url: SecretString,
}

impl Bed {
    /// Nobody adds members to a group that is being moved: it comes with them from the other site.
    async fn put_moving(&self, project: &ProjectId, group: &Group, members: &[Member]) {
        let json = json!({"group": group, "members": members, "policy": null});
        let offered = Offered {
            document: MetadataDocument::from_json(json).unwrap(),
            base: None,
            force: false,
        };
        let now = group.updated_at;
        let taken = self.database.metadata_apply(project, &offered, now).await;
        taken.unwrap();
    }

    /// Another connection to the same database, as another process has it.
    pub async fn another(&self) -> Database {
        Database::connect(&self.url, PoolOptions::default())
            .await
            .unwrap()
            .with_keys(KeyRepository::open(&self.dir.path().join("keys")).unwrap())
    }
}

pub fn sqlite_url(dir: &TempDir) -> SecretString {
    let file = dir.path().join("protector.sqlite");
    SecretString::from(format!("sqlite://{}", file.display()))
}

pub async fn sqlite(_case: &str) -> Bed {
    let dir = tempfile::tempdir().unwrap();
    let url = sqlite_url(&dir);
    bed(dir, &url).await
}

pub async fn mysql_or_sqlite(case: &str) -> Bed {
    let Ok(server) = std::env::var("PROTECTOR_TEST_MYSQL_URL") else {
        return sqlite(case).await;
    };
    let url = fresh_mysql(&server, case).await;
    bed(tempfile::tempdir().unwrap(), &url).await
}

/// A database of the test's own, named by the test's thread and `suffix`.
pub async fn fresh(suffix: &str) -> Bed {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let start = test.len().saturating_sub(50);
    mysql_or_sqlite(&format!("{}{suffix}", &test[start..])).await
}

async fn fresh_mysql(server: &str, case: &str) -> SecretString {
    use sea_orm::ConnectionTrait;

    // MySQL's names end at 64 characters.
    let name = format!("pt_{}", &case[..case.len().min(60)]);
    let server = server.trim_end_matches('/');
    let admin = sea_orm::Database::connect(server).await.unwrap();
    for sql in [
        format!("DROP DATABASE IF EXISTS {name}"),
        format!("CREATE DATABASE {name}"),
    ] {
        admin.execute_unprepared(&sql).await.unwrap();
    }
    SecretString::from(format!("{server}/{name}"))
}

async fn bed(dir: TempDir, url: &SecretString) -> Bed {
    let keys = dir.path().join("keys");
    KeyRepository::setup(&keys).unwrap();
    let database = Database::connect(url, PoolOptions::default())
        .await
        .unwrap()
        .with_keys(KeyRepository::open(&keys).unwrap());
    database.migrate().await.unwrap();
    let scope = |site: &str, project: &str| SiteScope {
        site: site.into(),
        project_id: project.into(),
    };
    let linked = TenantMapping {
        id: LINK.into(),
        primary: scope("site-a", "project-a"),
        secondary: scope("site-b", "project-b"),
        created_at: DateTime::default(),
    };
    database.tenant_mapping_insert(&linked).await.unwrap();
    Bed {
        database,
        dir,
        url: url.clone(),
    }
}

#[async_trait]
impl TestBed for Bed {
    type Journal = Database;

    fn journal(&self) -> &Database {
        &self.database
    }

    async fn insert(&self, record: OperationRecord) {
        let operation = &record.operation;
        let new = NewOperation {
            operation,
            steps: &record.steps,
            map: &record.map,
            locks: &[Lock::group(&operation.group_id)],
            group: None,
        };
        self.database
            .operation_insert(&new, operation.created_at)
            .await
            .unwrap();
    }

    async fn abort(&self, id: &OperationId, user: &str) {
        let now = DateTime::UNIX_EPOCH;
        let aborted = self
            .database
            .operation_abort(id, &user.into(), GivenUp::Unwanted, now)
            .await;
        assert_eq!(aborted.unwrap(), Ok(()));
    }

    async fn put_group(&self, group: Group, members: Vec<Member>) {
        let project = group.primary.project_id.clone();
        if group.status.is_moving() {
            return self.put_moving(&project, &group, &members).await;
        }
        self.database.group_insert(&project, &group).await.unwrap();
        for member in members {
            let now = member.created_at;
            let added = self
                .database
                .member_insert(&member, Precondition::Any, now)
                .await;
            added.unwrap();
        }
    }

    async fn operation(&self, id: &OperationId) -> OperationRecord {
        let mut record = self.database.operation_show_by_id(id).await.unwrap();
        let operation = &mut record.operation;
        operation.plan = self
            .database
            .opened(&operation.group_id, operation.plan.clone());
        record
    }

    async fn group(&self, id: &GroupId) -> (Group, Vec<Member>) {
        let stored = self.database.group_show_by_id(id).await.unwrap();
        let members = self.database.member_list(id).await.unwrap();
        let group = self.database.opened(id, stored.group);
        (group, self.database.opened(id, members))
    }

    async fn is_locked(&self, id: &OperationId) -> bool {
        let group = self.operation(id).await.operation.group_id;
        self.database
            .lock_holder(&Lock::group(&group))
            .await
            .unwrap()
            .is_some()
    }
}
