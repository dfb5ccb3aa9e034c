//! What becomes of a text that is longer than its column, for every column of text that there is. On SQLite, or on MariaDB
//! where `PROTECTOR_TEST_MYSQL_URL` is set: there it would be refused, and with it what is to be written with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use std::collections::BTreeSet;

use bed::{
    Bed, fresh,
    records::{at, begin, project, protected},
};
use protector_core::{
    fault::Code,
    group::Group,
    id::EngineId,
    journal::{Effect, Entry, Journal, OperationChange},
    journal_conformance::{group, operation},
    operation::{MapKind, StepProgress, StepState},
    queue::Room,
    runbook::BOOK_VERSION,
    text::{CUT, LONGEST},
};
use protector_store::{Database, StoreError};
use sea_orm::{ConnectionTrait as _, DatabaseBackend, Statement};
use secrecy::ExposeSecret as _;

/// What becomes of a long text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Others have said it, and people read it: it is cut, with a mark.
    Cut,
    /// A key, a name, a word, or something that was sealed: half of it would mean something else. Whoever sends it is
    /// refused, by the checks of requests and, at last, with [`StoreError::TooLong`].
    Refused,
}

/// Every column of text, by table.
const COLUMNS: &[(&str, &[&str], Fate)] = &[
    ("operations", &["error", "push_error"], Fate::Cut),
    ("steps", &["error", "note"], Fate::Cut),
    ("protection_groups", &["push_error"], Fate::Cut),
    ("resource_map", &["target_id"], Fate::Cut),
    (
        "operations",
        &[
            "id",
            "kind",
            "group_id",
            "project_id",
            "user_id",
            "source_site",
            "target_site",
            "parent_id",
            "state",
            "request_id",
            "global_request_id",
            "lease_owner",
            "error_code",
            "group_name",
            "lane",
            "planning",
            "adopts_id",
        ],
        Fate::Refused,
    ),
    ("signing_keys", &["public_key", "secret_key"], Fate::Refused),
    ("peer_keys", &["site_id", "public_key"], Fate::Refused),
    ("peer_messages", &["nonce"], Fate::Refused),
    ("quota_turns", &["project_id"], Fate::Refused),
    (
        "steps",
        &[
            "operation_id",
            "phase_name",
            "verb",
            "reported",
            "step_key",
            "resource_id",
            "state",
            "error_code",
        ],
        Fate::Refused,
    ),
    (
        "protection_groups",
        &[
            "id",
            "local_project_id",
            "name",
            "description",
            "primary_site",
            "primary_project_id",
            "secondary_site",
            "secondary_project_id",
            "current_primary_site",
            "status",
            "replication_type",
            "volume_type_id",
            "secondary_volume_type_id",
            "reserved_by",
            "base_digest",
            "fidelity",
        ],
        Fate::Refused,
    ),
    (
        "resource_map",
        &["operation_id", "kind", "source_id"],
        Fate::Refused,
    ),
    (
        "operation_locks",
        &["kind", "resource_id", "operation_id"],
        Fate::Refused,
    ),
    ("engines", &["id", "host", "version"], Fate::Refused),
    (
        "group_tombstones",
        &["group_id", "local_project_id"],
        Fate::Refused,
    ),
    (
        "members",
        &["id", "group_id", "name", "server_id", "status"],
        Fate::Refused,
    ),
    (
        "peer_operations",
        &[
            "id",
            "home_site",
            "project_id",
            "group_id",
            "group_name",
            "kind",
            "state",
            "parent_id",
        ],
        Fate::Refused,
    ),
    ("peer_operation_lines", &["operation_id"], Fate::Refused),
    (
        "replication_policies",
        &[
            "group_id",
            "primary_fa_url",
            "secondary_fa_url",
            "primary_fa_api_token",
            "secondary_fa_api_token",
        ],
        Fate::Refused,
    ),
    ("retired_sites", &["name"], Fate::Refused),
    (
        "sites",
        &[
            "id",
            "name",
            "description",
            "auth_url",
            "region_name",
            "interface",
            "username",
            "password",
            "user_domain_name",
            "project_name",
            "project_domain_name",
            "cacert",
            "status",
        ],
        Fate::Refused,
    ),
    (
        "tenant_mappings",
        &[
            "id",
            "primary_site",
            "primary_project_id",
            "secondary_site",
            "secondary_project_id",
        ],
        Fate::Refused,
    ),
];

fn columns(of: impl Fn(Fate) -> bool) -> BTreeSet<(String, String)> {
    let rows = COLUMNS.iter().filter(|(.., fate)| of(*fate));
    rows.flat_map(|(table, columns, _)| {
        let column = |column: &&str| ((*table).to_owned(), (*column).to_owned());
        columns.iter().map(column)
    })
    .collect()
}

async fn raw(bed: &Bed) -> sea_orm::DatabaseConnection {
    sea_orm::Database::connect(bed.url.expose_secret())
        .await
        .unwrap()
}

async fn rows(bed: &Bed, mysql: &str, sqlite: &str) -> Vec<(String, String)> {
    let raw = raw(bed).await;
    let backend = raw.get_database_backend();
    let sql = match backend {
        DatabaseBackend::Sqlite => sqlite,
        _ => mysql,
    };
    let rows = raw
        .query_all_raw(Statement::from_string(backend, sql))
        .await;
    let rows = rows.unwrap();
    rows.iter()
        .map(|row| {
            let text = |index: usize| row.try_get_by::<String, _>(index).unwrap();
            (text(0), text(1))
        })
        .collect()
}

#[tokio::test]
async fn every_column_of_text_is_known_with_what_becomes_of_a_long_one() {
    let bed = fresh("").await;
    // A time is text in SQLite, and JSON may be of any length.
    let found = rows(
        &bed,
        "SELECT CONVERT(table_name USING utf8mb4), CONVERT(column_name USING utf8mb4) FROM information_schema.columns
            WHERE table_schema = DATABASE() AND data_type IN ('varchar', 'text') AND table_name <> 'seaql_migrations'",
        "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
            WHERE t.type = 'table' AND t.name <> 'seaql_migrations' AND t.name NOT LIKE 'sqlite_%'
              AND (c.type LIKE 'varchar%' OR lower(c.type) = 'text')
              AND c.name NOT LIKE '%\\_at' ESCAPE '\\' AND c.name NOT LIKE '%\\_until' ESCAPE '\\'
              AND c.name <> 'forget_after'",
    )
    .await;
    let found: BTreeSet<_> = found.into_iter().collect();
    assert_eq!(found, columns(|_| true));
}

fn long() -> String {
    "ü🦀".repeat(1_000_000)
}

/// Writes a long text to each column that is cut, as engines and pushes do.
async fn write_long_ones(bed: &Bed) -> Database {
    let database = bed.database.clone();
    let (group, _, record) = protected(bed, 1).await;
    begin(&database, &record, &group).await.unwrap();
    let id = &record.operation.id;
    let lease = std::time::Duration::from_secs(60);
    let engine = EngineId::new("engine-1");
    let room = Room::for_any(5);
    let claims = database.claim(&engine, at(10), lease, BOOK_VERSION, &room);
    let claim = claims.await.unwrap().remove(0);
    let entry = Entry {
        operation: Some(OperationChange::Unwinding {
            error: long(),
            code: Code::Refused,
        }),
        steps: vec![(
            0,
            StepProgress {
                state: StepState::Failed,
                error: Some(long()),
                note: Some(long()),
                ..record.steps[0].progress.clone()
            },
        )],
        effects: vec![Effect::Mapped {
            kind: MapKind::Volume,
            source: "volume".to_owned(),
            target: long(),
        }],
        ..Entry::default()
    };
    database.record(&claim, at(11), entry).await.unwrap();
    let long = long();
    let failed = database.operation_push_failed(id, 1, &long, at(99));
    failed.await.unwrap();
    let failed = database.push_failed(&group.id, &long, at(12), at(99));
    failed.await.unwrap();
    database
}

#[tokio::test]
async fn what_others_said_is_cut_with_a_mark_and_stops_nothing() {
    let bed = fresh("").await;
    let database = write_long_ones(&bed).await;
    let id = operation(1).operation.id;
    let kept = database.operation_show_by_id(&id).await.unwrap();
    let step = &kept.steps[0].progress;
    for said in [&kept.operation.error, &step.error, &step.note] {
        let said = said.as_deref().unwrap();
        assert!(
            said.len() <= LONGEST && said.ends_with(CUT),
            "{}",
            said.len()
        );
    }
    for (table, column) in columns(|fate| fate == Fate::Cut) {
        let sql = format!("SELECT '{column}', {column} FROM {table} WHERE {column} LIKE '%{CUT}'");
        let found = rows(&bed, &sql, &sql).await;
        assert!(
            !found.is_empty(),
            "{table}.{column} was not written, or not cut"
        );
        for (_, said) in found {
            assert!(said.len() <= LONGEST, "{table}.{column}: {}", said.len());
        }
    }
}

#[tokio::test]
async fn a_name_that_is_too_long_is_refused_by_its_column_where_the_database_has_a_limit() {
    let bed = fresh("").await;
    let group = Group {
        name: "x".repeat(300),
        ..group(&operation(1))
    };
    let made = bed.database.group_insert(&project(), &group).await;
    let is_limited = std::env::var("PROTECTOR_TEST_MYSQL_URL").is_ok();
    let refused = StoreError::TooLong {
        column: "name".to_owned(),
    };
    assert_eq!(made, if is_limited { Err(refused) } else { Ok(()) });
}
