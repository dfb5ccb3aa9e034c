//! What lists ask the database: each statement by an index, and as many for many rows as for few.

use std::sync::{Arc, Mutex};

use protector_core::{
    group::{Group, GroupStatus},
    id::ProjectId,
    journal_conformance::{group, member, operation},
    member::Member,
    operation::{OperationKind, OperationRecord, OperationState, Planning, StepState},
    runbook::{Step, Verb},
};
use sea_orm::{ConnectionTrait as _, Statement};
use secrecy::SecretString;
use serde_json::json;

use crate::{
    Database, GroupFilter, GroupOrder, KeyRepository, ListedOperation, NewOperation, OperationCopy,
    OperationFilter, OperationOrder, OrderDirection, Page, PoolOptions, Precondition,
};

/// A database that remembers what it was asked.
struct Watched {
    database: Database,
    asked: Arc<Mutex<Vec<Statement>>>,
    _dir: tempfile::TempDir,
}

async fn watched() -> Watched {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("protector.sqlite");
    let url = SecretString::from(format!("sqlite://{}", file.display()));
    let database = Database::connect(&url, PoolOptions::default());
    let keys = dir.path().join("keys");
    KeyRepository::setup(&keys).unwrap();
    let database = database.await.unwrap();
    let database = database.with_keys(KeyRepository::open(&keys).unwrap());
    database.migrate().await.unwrap();
    let asked: Arc<Mutex<Vec<Statement>>> = Arc::default();
    let told = Arc::clone(&asked);
    Watched {
        database: database.watched(move |info| {
            told.lock().unwrap().push(info.statement.clone());
        }),
        asked,
        _dir: dir,
    }
}

impl Watched {
    /// What was asked since the last time.
    fn asked(&self) -> Vec<Statement> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn insert(&self, record: &OperationRecord) {
        let new = NewOperation {
            operation: &record.operation,
            steps: &record.steps,
            map: &record.map,
            locks: &[],
            group: None,
        };
        let made = self
            .database
            .operation_insert(&new, record.operation.created_at);
        made.await.unwrap();
    }

    async fn protect(&self, record: &OperationRecord) -> (Group, Member) {
        let group = Group {
            status: GroupStatus::Active,
            name: format!("group of {}", record.operation.group_id),
            ..group(record)
        };
        let database = &self.database;
        database.group_insert(&project(), &group).await.unwrap();
        let mut member = member(record, "web-server-1");
        member.server_id = format!("server of {}", group.id).into();
        let added = database.member_insert(&member, Precondition::Any, member.created_at);
        added.await.unwrap();
        (group, member)
    }

    /// The steps of SQLite's plan that read all of a table, or sort what was read.
    async fn slow_steps(&self, statement: &Statement) -> Vec<String> {
        self.plan_of(statement)
            .await
            .into_iter()
            .filter(|detail| {
                let reads_all = detail.starts_with("SCAN") && !detail.contains("CONSTANT ROW");
                reads_all || detail.contains("USE TEMP B-TREE FOR ORDER BY")
            })
            .collect()
    }

    /// SQLite's plan of a statement that reads.
    async fn plan_of(&self, statement: &Statement) -> Vec<String> {
        if !statement.sql.starts_with("SELECT") {
            return Vec::new();
        }
        let mut explained = statement.clone();
        explained.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
        let rows = self.database.pool().query_all_raw(explained).await.unwrap();
        let detail = |row: &sea_orm::QueryResult| row.try_get("", "detail").unwrap();
        rows.iter().map(detail).collect()
    }
}

fn project() -> ProjectId {
    "project-a".into()
}

fn copy(number: u32) -> OperationCopy {
    let record = operation(number);
    OperationCopy {
        id: format!("op-of-b-{number}").into(),
        home_site: record.operation.target_site.clone(),
        project_id: project(),
        group_id: record.operation.group_id.clone(),
        group_name: "gone".to_owned(),
        kind: "failover".to_owned(),
        state: "completed".to_owned(),
        parent_id: None,
        leftovers: 0,
        created_at: record.operation.created_at,
        revision: 1,
        since: 0,
        is_last: true,
        record: json!({}),
        lines: Vec::new(),
    }
}

/// What may be asked for, each with the columns by which an index finds it.
fn filters() -> Vec<(OperationFilter, &'static str)> {
    let mine = || OperationFilter {
        project_id: Some(project()),
        ..OperationFilter::default()
    };
    let of_a_group = OperationFilter {
        groups: vec![operation(3).operation.group_id],
        ..mine()
    };
    let of_a_kind = OperationFilter {
        kinds: vec![OperationKind::Failover],
        ..mine()
    };
    let in_a_state = OperationFilter {
        states: vec![OperationState::Completed],
        ..mine()
    };
    vec![
        (mine(), "(project_id=?"),
        (of_a_group, "(project_id=? AND group_id=?"),
        (of_a_kind, "(project_id=? AND kind=?"),
        (in_a_state, "(project_id=? AND state=?"),
    ]
}

#[tokio::test]
async fn a_page_of_operations_is_read_by_an_index_whatever_is_asked_for() {
    let watched = watched().await;
    for number in 1..=3 {
        let record = operation(number);
        watched.protect(&record).await;
        watched.insert(&record).await;
        let copy = copy(number);
        let kept = watched.database.peer_operation_apply(&copy);
        kept.await.unwrap();
    }
    let markers = [None, Some(operation(2).operation.id.to_string())];
    for (filter, found_by) in filters() {
        for (sort_dir, marker) in [OrderDirection::Asc, OrderDirection::Desc]
            .map(|dir| (dir, markers[dir as usize].clone()))
        {
            let page = Page {
                limit: 2,
                marker,
                sort_key: OperationOrder::CreatedAt,
                sort_dir,
            };
            watched.asked();
            let listed = watched.database.operation_outlines(&filter, &page);
            listed.await.unwrap();
            let mut plans = Vec::new();
            for statement in watched.asked() {
                let slow = watched.slow_steps(&statement).await;
                assert!(slow.is_empty(), "{}: {slow:?}", statement.sql);
                plans.extend(watched.plan_of(&statement).await);
            }
            for table in ["operations", "peer_operations"] {
                let is_page = |step: &&String| {
                    step.starts_with(&format!("SEARCH {table} ")) && step.contains(found_by)
                };
                assert!(
                    plans.iter().any(|step| is_page(&step)),
                    "{table}: {plans:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_groups_is_read_by_an_index() {
    let watched = watched().await;
    for number in 1..=3 {
        watched.protect(&operation(number)).await;
    }
    let filter = GroupFilter {
        project_id: Some(project()),
        ..GroupFilter::default()
    };
    for sort_key in [GroupOrder::CreatedAt, GroupOrder::Name] {
        let page = Page {
            limit: 2,
            marker: Some(operation(1).operation.group_id.to_string()),
            sort_key,
            sort_dir: OrderDirection::Asc,
        };
        watched.asked();
        watched.database.group_list(&filter, &page).await.unwrap();
        for statement in watched.asked() {
            let slow = watched.slow_steps(&statement).await;
            // By its name a group is found in an index that does not hold its id, which sorts equal ones.
            let slow: Vec<_> = slow
                .iter()
                .filter(|step| !step.contains("LAST TERM"))
                .collect();
            assert!(slow.is_empty(), "{}: {slow:?}", statement.sql);
        }
    }
}

#[tokio::test]
async fn the_operations_of_a_group_that_is_gone_are_found_with_as_few_statements_among_many() {
    let watched = watched().await;
    let mut asked = Vec::new();
    for numbers in [1..=2, 3..=30] {
        for number in numbers {
            let mut record = operation(number);
            record.operation.plan.group_name = format!("gone-{number}");
            watched.insert(&record).await;
        }
        watched.asked();
        let project = project();
        let found = watched.database.operation_groups(&project, "gone-2");
        assert_eq!(found.await.unwrap(), [operation(2).operation.group_id]);
        let statements = watched.asked();
        for statement in &statements {
            let slow = watched.slow_steps(statement).await;
            assert!(slow.is_empty(), "{}: {slow:?}", statement.sql);
        }
        asked.push(statements.len());
    }
    assert_eq!(asked[0], asked[1]);
}

/// An unplanned failover that has not recovered its member, which was brought to where its group runs since.
fn unrecovered(number: u32) -> OperationRecord {
    let mut record = operation(number);
    record.operation.state = OperationState::Completed;
    let member = member(&record, "web-server-1");
    let server = member.server_id.clone();
    record.operation.plan.members = vec![member];
    record.operation.planning = Planning::Unplanned;
    record.steps[0].action = Step::SwitchRecovered;
    record.steps[0].progress.state = StepState::Done;
    let built = &mut record.steps[1];
    built.action = Step::RecreateServer { server };
    built.verb = Verb::Member;
    built.progress.state = StepState::Failed;
    built.progress.memo.intents = 1;
    record
}

/// All operations of the project on one page.
fn newest() -> (OperationFilter, Page<OperationOrder>) {
    let filter = OperationFilter {
        project_id: Some(project()),
        ..OperationFilter::default()
    };
    let page = Page {
        limit: 100,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Desc,
    };
    (filter, page)
}

#[tokio::test]
async fn what_the_operations_of_a_page_have_left_is_counted_with_as_few_statements_for_many() {
    let watched = watched().await;
    let mut asked = Vec::new();
    for numbers in [1..=2, 3..=30] {
        let last = *numbers.end() as usize;
        for number in numbers {
            let record = unrecovered(number);
            watched.protect(&record).await;
            watched.insert(&record).await;
        }
        watched.asked();
        let (filter, page) = newest();
        let listed = watched.database.operation_outlines(&filter, &page).await;
        let items = listed.unwrap().items;
        assert_eq!(items.len(), last);
        let given_up = |listed: &ListedOperation| match listed {
            ListedOperation::Here { outline, leftovers } => {
                outline.may_give_members_up() && *leftovers > outline.leftover_count()
            }
            ListedOperation::Elsewhere(_) => false,
        };
        assert!(items.iter().all(given_up), "nothing was looked up");
        asked.push(watched.asked().len());
    }
    assert_eq!(asked[0], asked[1]);
}

/// Of an operation whose VMs were all recovered a list shows neither a plan nor what most of its lines remember.
#[tokio::test]
async fn a_list_of_operations_reads_neither_plans_nor_what_most_lines_remember() {
    let watched = watched().await;
    for number in 1..=3 {
        let mut record = operation(number);
        record.operation.state = OperationState::Completed;
        watched.insert(&record).await;
    }
    watched.asked();
    let (filter, page) = newest();
    let listed = watched.database.operation_outlines(&filter, &page).await;
    assert_eq!(listed.unwrap().items.len(), 3);
    let asked = watched.asked();
    assert!(!asked.is_empty());
    for Statement { sql, .. } in &asked {
        assert!(!sql.contains("\"plan\""), "{sql}");
        let of_few_lines = sql.contains("LIKE");
        assert!(!sql.contains("\"memo\"") || of_few_lines, "{sql}");
    }
}

#[tokio::test]
async fn a_member_is_added_without_a_look_at_the_lines_of_what_has_ended() {
    let watched = watched().await;
    let mut ended = operation(1);
    ended.operation.state = OperationState::Completed;
    watched.insert(&ended).await;
    watched.asked();
    watched.protect(&operation(2)).await;
    let about_operations = |statement: &&Statement| statement.sql.contains("FROM \"operations\"");
    let asked = watched.asked();
    let looks: Vec<_> = asked.iter().filter(about_operations).collect();
    assert!(!looks.is_empty(), "{asked:?}");
    for statement in looks {
        let slow = watched.slow_steps(statement).await;
        assert!(slow.is_empty(), "{}: {slow:?}", statement.sql);
    }
}
