//! What the store promises to the services, on SQLite or, where `PROTECTOR_TEST_MYSQL_URL` is set, on MariaDB.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use std::{collections::BTreeSet, time::Duration};

use bed::records::{TOKEN, at, begin, policy, project, protected};
use protector_core::{
    group::{Group, GroupStatus},
    id::{EngineId, OperationId, SiteName},
    journal::{Claim, Effect, Entry, Journal, OperationChange, Protection},
    journal_conformance::{self, TestBed, operation},
    leftover::leftover_count,
    member::Member,
    operation::{MapKind, OperationKind, OperationState, Planning, StepProgress, StepState},
    queue::Room,
    runbook::{BOOK_VERSION, Step, Verb},
    site::{Site, SiteScope, SiteStatus, TenantMapping},
};
use protector_store::{
    Database, EngineRow, GroupChange, GroupFilter, GroupOrder, KeyRepository, Lock, LockKind, Noun,
    OperationCopy, OperationFilter, OperationOrder, OrderDirection, Page, PoolOptions,
    Precondition, Removable, StoreError,
};
use sea_orm::ConnectionTrait as _;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

const PASSWORD: &str = "s3cret-of-the-service-user";

fn site(name: &str) -> Site {
    Site {
        id: format!("id-of-{name}").into(),
        name: name.into(),
        description: None,
        auth_url: "http://10.0.0.1:5000/v3".to_owned(),
        region_name: Some("RegionOne".to_owned()),
        interface: "public".to_owned(),
        username: "protector".to_owned(),
        user_domain_name: "Default".to_owned(),
        project_name: "service".to_owned(),
        project_domain_name: "Default".to_owned(),
        cacert: None,
        status: SiteStatus::Active,
        created_at: at(0),
        updated_at: at(0),
    }
}

async fn version(database: &Database, group: &Group) -> u64 {
    database
        .group_show_by_id(&group.id)
        .await
        .unwrap()
        .group
        .version
}

#[tokio::test]
async fn migrations_run_from_empty_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::connect(&bed::sqlite_url(&dir), PoolOptions::default())
        .await
        .unwrap();
    let refusal = database.require_current_schema().await.unwrap_err();
    assert!(
        refusal.to_string().contains("protector-manage db sync"),
        "{refusal}"
    );
    assert_eq!(database.schema_version().await.unwrap().applied, None);
    database.migrate().await.unwrap();
    database.migrate().await.unwrap();
    database.require_current_schema().await.unwrap();
    let version = database.schema_version().await.unwrap();
    assert_eq!(version.applied, version.newest);
    assert!(version.pending.is_empty());
    assert_eq!(
        database.pending_migrations().await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_memory_database_works_too() {
    let url = SecretString::from("sqlite::memory:");
    let database = Database::connect(&url, PoolOptions::default())
        .await
        .unwrap();
    database.migrate().await.unwrap();
    assert_eq!(database.site_list().await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_bad_connection_url_is_refused_without_repeating_it() {
    for url in [
        "postgresql://u:hunter2@h/d",
        "mysql://u:hunter2@h:port/d",
        "",
    ] {
        let refusal = Database::connect(&SecretString::from(url), PoolOptions::default())
            .await
            .unwrap_err();
        assert!(matches!(refusal, StoreError::BadConnection(_)), "{refusal}");
        assert!(!refusal.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn a_site_keeps_its_password_to_itself() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    db.tenant_mapping_delete(&bed::LINK.into()).await.unwrap();
    let site_a = site("site-a");
    let password = SecretString::from(PASSWORD);
    db.site_insert(&site_a, &password).await.unwrap();
    assert_eq!(db.site_show("site-a").await.unwrap(), site_a);
    assert_eq!(db.site_show("id-of-site-a").await.unwrap(), site_a);
    let name = SiteName::new("site-a");
    let kept = db.site_password(&name).await.unwrap();
    assert_eq!(kept.expose_secret(), PASSWORD);

    let changed = Site {
        description: Some("first".to_owned()),
        name: "site-1".into(),
        ..site_a.clone()
    };
    db.site_update(&site_a, &changed, None).await.unwrap();
    assert_eq!(db.site_list().await.unwrap(), vec![changed]);
    let kept = db.site_password(&"site-1".into()).await.unwrap();
    assert_eq!(kept.expose_secret(), PASSWORD);

    let twice = db.site_insert(&site("site-1"), &password).await;
    assert!(matches!(
        twice,
        Err(StoreError::Duplicate {
            what: Noun::Site,
            ..
        })
    ));
    db.site_delete("site-1").await.unwrap();
    assert!(matches!(
        db.site_show("site-1").await,
        Err(StoreError::NotFound { .. })
    ));
}

/// Of two who change a site at once, the second has not seen where the first one's password goes.
#[tokio::test]
async fn a_password_never_goes_where_it_was_not_entered_for() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let password = SecretString::from(PASSWORD);
    let seen = site("site-a");
    db.site_insert(&seen, &password).await.unwrap();
    let moved = Site {
        auth_url: "https://new.example.org/v3".to_owned(),
        ..seen.clone()
    };
    let new = SecretString::from("new");
    db.site_update(&seen, &moved, Some(&new)).await.unwrap();

    let described = Site {
        description: Some("by somebody else".to_owned()),
        ..seen.clone()
    };
    let refused = db.site_update(&seen, &described, None).await;
    assert!(
        matches!(refused, Err(StoreError::SiteChanged { .. })),
        "{refused:?}"
    );
    // A look at the site that began before notes what it saw, and nothing else.
    let silent = SiteStatus::Unreachable;
    db.site_note_reached(&seen.id, silent).await.unwrap();
    let kept = db.site_show("site-a").await.unwrap();
    assert_eq!(
        (kept.auth_url, kept.status),
        (moved.auth_url.clone(), silent)
    );

    // Nor does a look that ended before undo what an administrator says.
    let retired = Site {
        status: SiteStatus::Retired,
        ..moved.clone()
    };
    db.site_update(&moved, &retired, None).await.unwrap();
    let active = SiteStatus::Active;
    db.site_note_reached(&seen.id, active).await.unwrap();
    let kept = db.site_show("site-a").await.unwrap();
    assert_eq!(kept.status, SiteStatus::Retired);
}

#[tokio::test]
async fn a_site_in_use_is_neither_deleted_nor_renamed() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let password = SecretString::from(PASSWORD);
    db.site_insert(&site("site-a"), &password).await.unwrap();
    protected(&bed, 1).await;
    let refusal = db.site_delete("site-a").await.unwrap_err();
    assert!(refusal.to_string().contains("1 protection groups"));
    let renamed = Site {
        name: "site-z".into(),
        ..site("site-a")
    };
    assert!(matches!(
        db.site_update(&site("site-a"), &renamed, None).await,
        Err(StoreError::InUse { .. })
    ));
}

#[tokio::test]
async fn no_secret_is_readable_in_the_database_file_or_in_debug() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, ..) = protected(&bed, 1).await;
    db.site_insert(&site("site-a"), &SecretString::from(PASSWORD))
        .await
        .unwrap();
    db.policy_insert(&policy(&group), at(1)).await.unwrap();
    let document = db.metadata_outgoing(&group.id).await.unwrap().document;
    assert!(document.to_json().unwrap().to_string().contains(TOKEN));
    let masked = document.to_masked_json().unwrap().to_string();
    assert!(!masked.contains(TOKEN), "{masked}");
    let shown = format!("{db:?} {document:?} {:?}", db.policy_show(&group.id).await);
    assert!(!shown.contains(TOKEN), "{shown}");

    for file in std::fs::read_dir(bed.dir.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for secret in [PASSWORD, TOKEN] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
}

#[tokio::test]
async fn secrets_outlive_a_rotation_that_another_process_made() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    db.site_insert(&site("site-a"), &SecretString::from("old"))
        .await
        .unwrap();
    KeyRepository::rotate(&bed.dir.path().join("keys")).unwrap();
    let other = bed.another().await;
    other
        .site_insert(&site("site-b"), &SecretString::from("new"))
        .await
        .unwrap();
    for (name, password) in [("site-a", "old"), ("site-b", "new")] {
        for database in [db, &other] {
            let kept = database.site_password(&name.into()).await.unwrap();
            assert_eq!(kept.expose_secret(), password);
        }
    }
}

#[tokio::test]
async fn a_project_has_one_counterpart_on_a_site() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    db.tenant_mapping_delete(&bed::LINK.into()).await.unwrap();
    let scope = |site: &str, project: &str| SiteScope {
        site: site.into(),
        project_id: project.into(),
    };
    let mapping = |id: &str, primary: SiteScope, secondary: SiteScope| TenantMapping {
        id: id.into(),
        primary,
        secondary,
        created_at: at(0),
    };
    let first = mapping("m1", scope("site-a", "pa"), scope("site-b", "pb"));
    db.tenant_mapping_insert(&first).await.unwrap();
    for second in [
        mapping("m2", scope("site-a", "pa"), scope("site-b", "other")),
        mapping("m3", scope("site-a", "other"), scope("site-b", "pb")),
        mapping("m4", scope("site-b", "pb"), scope("site-a", "other")),
    ] {
        assert!(matches!(
            db.tenant_mapping_insert(&second).await,
            Err(StoreError::Duplicate { .. })
        ));
    }
    let there = db
        .tenant_project_on(&scope("site-a", "pa"), &"site-b".into())
        .await
        .unwrap();
    assert_eq!(there, Some("pb".into()));
    let back = db
        .tenant_project_on(&scope("site-b", "pb"), &"site-a".into())
        .await
        .unwrap();
    assert_eq!(back, Some("pa".into()));
    assert_eq!(db.tenant_mapping_list().await.unwrap(), vec![first.clone()]);
    db.tenant_mapping_delete(&first.id).await.unwrap();
    assert!(matches!(
        db.tenant_mapping_delete(&first.id).await,
        Err(StoreError::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_group_is_found_in_its_project_only() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, ..) = protected(&bed, 1).await;
    for key in [group.id.as_str(), group.name.as_str()] {
        let stored = db.group_show(&project(), key).await.unwrap();
        assert_eq!(stored.group, group);
        assert_eq!(stored.member_count, 1);
        assert_eq!(stored.local_project_id, project());
        assert!(matches!(
            db.group_show(&"other".into(), key).await,
            Err(StoreError::NotFound { .. })
        ));
    }
    let namesake = Group {
        id: "another".into(),
        ..group.clone()
    };
    assert!(matches!(
        db.group_insert(&project(), &namesake).await,
        Err(StoreError::Duplicate { .. })
    ));
    db.group_insert(&"other".into(), &namesake).await.unwrap();
}

#[tokio::test]
async fn groups_are_listed_page_by_page() {
    let bed = bed::fresh("").await;
    for number in 1..=5 {
        protected(&bed, number).await;
    }
    let filter = GroupFilter {
        project_id: Some(project()),
        ..GroupFilter::default()
    };
    for (key, dir, expected) in [
        (GroupOrder::Name, OrderDirection::Asc, [1, 2, 3, 4, 5]),
        (GroupOrder::Name, OrderDirection::Desc, [5, 4, 3, 2, 1]),
        // All were made at the same time: the id decides.
        (GroupOrder::CreatedAt, OrderDirection::Desc, [5, 4, 3, 2, 1]),
        (GroupOrder::Status, OrderDirection::Asc, [1, 2, 3, 4, 5]),
    ] {
        let mut page = Page {
            limit: 2,
            marker: None,
            sort_key: key,
            sort_dir: dir,
        };
        let mut names = Vec::new();
        loop {
            let listed = bed.database.group_list(&filter, &page).await.unwrap();
            page.marker = listed.items.last().map(|item| item.group.id.to_string());
            names.extend(listed.items.into_iter().map(|item| item.group.name));
            if !listed.more {
                break;
            }
        }
        assert_eq!(names, expected.map(|number| format!("group-{number}")));
    }
    let page = Page {
        limit: 2,
        marker: Some("unknown".to_owned()),
        sort_key: GroupOrder::Name,
        sort_dir: OrderDirection::Asc,
    };
    assert_eq!(
        bed.database.group_list(&filter, &page).await,
        Err(StoreError::MarkerNotFound("unknown".to_owned()))
    );
}

#[tokio::test]
async fn each_change_raises_the_version() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, member, record) = protected(&bed, 1).await;
    let mut last = version(db, &group).await;
    let mut grown = async |what: &str| {
        let now = version(db, &group).await;
        assert_eq!(now, last + 1, "{what}");
        last = now;
    };
    let change = GroupChange {
        description: Some(Some("new".to_owned())),
        networks: Some([("x".to_owned(), "y".to_owned())].into()),
        ..GroupChange::default()
    };
    let changed = db.group_update(&group.id, &change, at(9)).await.unwrap();
    assert_eq!(changed.group.description.as_deref(), Some("new"));
    assert_eq!(changed.group.updated_at, at(9));
    assert_eq!(changed.group.mappings.flavors, group.mappings.flavors);
    grown("group_update").await;
    let second = protector_core::journal_conformance::member(&record, "db");
    db.member_insert(&second, Precondition::Any, at(9))
        .await
        .unwrap();
    grown("member_insert").await;
    let error = Member {
        status: protector_core::member::MemberStatus::Error,
        ..member.clone()
    };
    db.member_update(&error, at(9)).await.unwrap();
    grown("member_update").await;
    let shown = db.member_show(&group.id, "web-server-1").await.unwrap();
    assert_eq!(db.opened(&group.id, shown), error);
    db.member_delete(
        &group.id,
        "server-db",
        Removable::Recovered,
        Precondition::Any,
        at(9),
    )
    .await
    .unwrap();
    grown("member_delete").await;
    db.policy_insert(&policy(&group), at(9)).await.unwrap();
    grown("policy_insert").await;
    let mut changed = policy(&group);
    changed.rpo_minutes = 5;
    changed.primary_fa_api_token = None;
    db.policy_update(&changed, Precondition::Any, at(9))
        .await
        .unwrap();
    grown("policy_update").await;
    let shown = db.policy_show(&group.id).await.unwrap();
    assert_eq!(shown.rpo_minutes, 5);
    assert!(shown.primary_fa_api_token.is_none());
    db.policy_delete(&group.id, Precondition::Any, at(9))
        .await
        .unwrap();
    grown("policy_delete").await;
    begin(
        db,
        &record,
        &db.group_show_by_id(&group.id).await.unwrap().group,
    )
    .await
    .unwrap();
    grown("operation_insert").await;

    // A refused change leaves the version alone.
    assert!(
        db.member_insert(&member, Precondition::Any, at(9))
            .await
            .is_err()
    );
    assert_eq!(version(db, &group).await, last);
}

#[tokio::test]
async fn an_operation_that_is_not_planned_as_its_lines_are_is_refused() {
    let bed = bed::fresh("").await;
    let (group, _, planned) = protected(&bed, 1).await;
    let mut recovers = planned.clone();
    recovers.steps[0].action = Step::SwitchRecovered;
    let mut loses = planned.clone();
    loses.operation.planning = Planning::Unplanned;
    for mut record in [recovers, loses] {
        for kind in [OperationKind::Failover, OperationKind::Failback] {
            record.operation.kind = kind;
            let refusal = begin(&bed.database, &record, &group).await.unwrap_err();
            let id = record.operation.id.clone();
            assert_eq!(refusal, StoreError::PlanningDiffers(id.clone()), "{kind}");
            let kept = bed.database.operation_show_by_id(&id).await;
            assert!(matches!(kept, Err(StoreError::NotFound { .. })), "{kept:?}");
        }
    }
    begin(&bed.database, &planned, &group).await.unwrap();
}

#[tokio::test]
async fn of_two_failovers_at_once_one_starts() {
    let bed = bed::fresh("").await;
    let (group, _, first) = protected(&bed, 1).await;
    let other = bed.another().await;
    let mut second = first.clone();
    second.operation.id = OperationId::new("op-second");
    let (a, b) = tokio::join!(
        begin(&bed.database, &first, &group),
        begin(&other, &second, &group)
    );
    let (winner, loser) = match (a, b) {
        (Ok(()), Err(refusal)) => (&first, refusal),
        (Err(refusal), Ok(())) => (&second, refusal),
        other => panic!("one of two must win: {other:?}"),
    };
    assert_eq!(
        loser,
        StoreError::Locked {
            kind: LockKind::Group,
            resource_id: group.id.to_string(),
            by_operation: winner.operation.id.clone(),
        }
    );
    let moving = bed.database.operation_moving(&group.id).await.unwrap();
    assert_eq!(moving.unwrap().operation.id, winner.operation.id);
    let stored = bed.database.group_show_by_id(&group.id).await.unwrap();
    assert_eq!(stored.group.status, GroupStatus::FailingOver);
    let all = list(&bed.database, OperationFilter::default()).await;
    assert_eq!(all, vec![winner.operation.id.clone()]);
}

#[tokio::test]
async fn an_operation_planned_from_an_older_group_is_refused_whole() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, _, record) = protected(&bed, 1).await;
    let older = Group {
        version: group.version - 1,
        ..group.clone()
    };
    assert_eq!(
        begin(db, &record, &older).await,
        Err(StoreError::GroupChanged {
            status: GroupStatus::Active,
            version: group.version,
        })
    );
    let mut broken = record.clone();
    broken.steps[1].position = 0;
    assert!(begin(db, &broken, &group).await.is_err());
    assert_eq!(bed.group(&group.id).await.0, group);
    assert_eq!(db.lock_holder(&Lock::group(&group.id)).await.unwrap(), None);
    assert_eq!(list(db, OperationFilter::default()).await, vec![]);
}

#[tokio::test]
async fn a_group_under_way_keeps_its_members() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, member, record) = protected(&bed, 1).await;
    begin(db, &record, &group).await.unwrap();
    let added = protector_core::journal_conformance::member(&record, "db");
    for refusal in [
        db.member_insert(&added, Precondition::Any, at(2))
            .await
            .unwrap_err(),
        db.member_update(&member, at(2)).await.unwrap_err(),
        db.member_delete(
            &group.id,
            "web-server-1",
            Removable::Recovered,
            Precondition::Any,
            at(2),
        )
        .await
        .unwrap_err(),
        db.group_delete(&group.id, Precondition::Any, at(2))
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(refusal, StoreError::Locked { .. }), "{refusal}");
    }
    assert_eq!(bed.group(&group.id).await.1, vec![member]);
}

/// Two groups would each build a copy of it on the other site.
#[tokio::test]
async fn a_server_is_in_one_group_only() {
    let bed = bed::fresh("").await;
    let (_, member, _) = protected(&bed, 1).await;
    let (other, _, _) = protected(&bed, 2).await;
    let mut again = member.clone();
    again.id = "again".into();
    again.group_id = other.id.clone();
    let db = &bed.database;
    let refused = db
        .member_insert(&again, Precondition::Any, at(2))
        .await
        .unwrap_err();
    let said = refused.to_string();
    assert!(said.contains(member.server_id.as_str()), "{said}");
    assert!(said.contains("protection group group-1 protects"), "{said}");
    let members = db.member_list(&other.id).await.unwrap();
    assert!(members.iter().all(|kept| kept.id != again.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_groups_that_ask_for_a_server_at_once_one_gets_it() {
    const GROUPS: u32 = 8;
    let bed = bed::fresh("").await;
    let mut asking = Vec::new();
    for number in 1..=GROUPS {
        let (_, member, _) = protected(&bed, number).await;
        let mut wanted = member.clone();
        wanted.id = format!("wanted-{number}").into();
        wanted.server_id = "wanted".into();
        for volume in &mut wanted.volumes {
            volume.id = format!("of-the-wanted-{number}").into();
        }
        let database = bed.another().await;
        asking.push(tokio::spawn(async move {
            database
                .member_insert(&wanted, Precondition::Any, at(2))
                .await
        }));
    }
    let mut taken = 0;
    for asked in asking {
        match asked.await.unwrap() {
            Ok(_) => taken += 1,
            Err(StoreError::Protected(_) | StoreError::Duplicate { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(taken, 1);
}

async fn list(database: &Database, filter: OperationFilter) -> Vec<OperationId> {
    let page = Page {
        limit: 100,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Desc,
    };
    let listed = database.operation_list(&filter, &page).await.unwrap();
    assert!(!listed.more);
    listed
        .items
        .into_iter()
        .map(|record| record.operation.id)
        .collect()
}

#[tokio::test]
async fn operations_are_listed_by_what_is_asked_for() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    for number in 1..=3 {
        bed.insert(operation(number)).await;
    }
    let mut child = operation(4);
    child.operation.parent_id = Some(operation(1).operation.id);
    child.operation.project_id = "other".into();
    bed.insert(child.clone()).await;
    let ids = |numbers: &[u32]| -> Vec<OperationId> {
        numbers
            .iter()
            .map(|number| operation(*number).operation.id)
            .collect()
    };
    let all = OperationFilter::default;
    assert_eq!(list(db, all()).await, ids(&[4, 3, 2, 1]));
    let mine = OperationFilter {
        project_id: Some(project()),
        ..all()
    };
    assert_eq!(list(db, mine).await, ids(&[3, 2, 1]));
    let of_group = OperationFilter {
        groups: vec![operation(2).operation.group_id],
        ..all()
    };
    assert_eq!(list(db, of_group).await, ids(&[2]));
    let running = OperationFilter {
        states: vec![OperationState::Running, OperationState::Unwinding],
        ..all()
    };
    assert_eq!(list(db, running).await, vec![]);
    let children = db.operation_children(&ids(&[1])[0]).await.unwrap();
    assert_eq!(children, vec![child.clone()]);
    assert_eq!(
        db.operation_steps(&child.operation.id).await.unwrap(),
        child.steps
    );
    assert!(matches!(
        db.operation_show(&project(), &child.operation.id).await,
        Err(StoreError::NotFound { .. })
    ));
}

/// The filter in SQL and the rule in the domain say the same of every state, verb and kind that there is.
#[tokio::test]
async fn operations_with_leftovers_are_those_that_the_rule_finds() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let mut number = 0;
    let mut left = 0;
    let mut expected = BTreeSet::new();
    for state in OperationState::ALL {
        for kind in [OperationKind::Failover, OperationKind::Cleanup] {
            for line in StepState::ALL {
                for verb in Verb::ALL {
                    number += 1;
                    let mut record = operation(number);
                    record.operation.state = state;
                    record.operation.kind = kind;
                    record.steps[1].progress.state = line;
                    record.steps[1].verb = verb;
                    bed.insert(record.clone()).await;
                    left += leftover_count(&record);
                    if leftover_count(&record) > 0 {
                        expected.insert(record.operation.id);
                    }
                }
            }
        }
    }
    let each = Verb::ALL.len() + 2;
    assert_eq!(
        expected.len(),
        2 * each,
        "of two ended states: undone badly, or two failed attempts"
    );
    let with_leftovers = OperationFilter {
        with_leftovers: true,
        ..OperationFilter::default()
    };
    let found: BTreeSet<OperationId> = list(db, with_leftovers).await.into_iter().collect();
    assert_eq!(found, expected);
    assert_eq!(db.left_count().await.unwrap(), left as u64);
}

#[tokio::test]
async fn groups_are_found_by_the_operations_that_outlived_them() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    for number in 1..=3 {
        let mut record = operation(number);
        let name = if number == 3 { "other" } else { "web" };
        record.operation.plan.group_name = name.to_owned();
        bed.insert(record).await;
    }
    let group = |number| operation(number).operation.group_id;
    let found = |name: &'static str| async move {
        let mut found = db.operation_groups(&project(), name).await.unwrap();
        found.sort();
        found
    };
    assert_eq!(found("web").await, [group(1), group(2)]);
    let id = group(3);
    let by_id = db.operation_groups(&project(), id.as_str()).await.unwrap();
    assert_eq!(by_id, [id]);
    assert!(found("typo").await.is_empty());
    let strangers = db.operation_groups(&"other".into(), "web").await.unwrap();
    assert!(strangers.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_engines_claim_two_hundred_operations_once_each() {
    let bed = bed::fresh("").await;
    for number in 1..=200 {
        bed.insert(operation(number)).await;
    }
    let mut engines = Vec::new();
    for number in 0..8 {
        // Half of them share a process, half have one of their own.
        let database = match number % 2 {
            0 => bed.database.clone(),
            _ => bed.another().await,
        };
        let engine = EngineId::new(format!("engine-{number}"));
        engines.push(tokio::spawn(claim_all(database, engine)));
    }
    let mut claimed = Vec::new();
    for engine in engines {
        claimed.extend(engine.await.unwrap());
    }
    let distinct: BTreeSet<_> = claimed.iter().collect();
    assert_eq!(claimed.len(), 200);
    assert_eq!(distinct.len(), 200);
}

async fn claim_all(database: Database, engine: EngineId) -> Vec<OperationId> {
    let mut claimed = Vec::new();
    loop {
        let claims = database
            .claim(
                &engine,
                at(0),
                Duration::from_secs(60),
                BOOK_VERSION,
                &Room::for_any(16),
            )
            .await
            .unwrap();
        let lost_all = claims.is_empty()
            && database
                .queued_at(at(0), BOOK_VERSION)
                .await
                .unwrap()
                .is_empty();
        claimed.extend(claims.into_iter().map(|claim| claim.operation_id));
        if lost_all {
            return claimed;
        }
    }
}

#[tokio::test]
async fn a_crash_between_two_statements_leaves_nothing() {
    let bed = bed::fresh("").await;
    let (group, member, record) = protected(&bed, 1).await;
    begin(&bed.database, &record, &group).await.unwrap();
    let before = (
        bed.operation(&record.operation.id).await,
        bed.group(&group.id).await,
    );
    let claim = claim(&bed.database).await;
    // The third statement fails: two members with the same id.
    let entry = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: at(3),
        }),
        steps: vec![(
            0,
            StepProgress {
                state: StepState::Done,
                ..StepProgress::default()
            },
        )],
        effects: vec![Effect::GroupSwitched {
            group_id: group.id.clone(),
            current_primary_site: "site-b".into(),
            members: vec![member.clone(), member],
        }],
        unprotected: Vec::new(),
        not_after: None,
    };
    assert!(
        bed.database
            .record(&claim, at(3), entry.clone())
            .await
            .is_err()
    );
    let after = (
        bed.operation(&record.operation.id).await,
        bed.group(&group.id).await,
    );
    assert_eq!(after, before);
    assert!(bed.is_locked(&record.operation.id).await);

    // The same, cut off at a random point by dropping the work, as a killed process does.
    let switched = good(entry);
    let half = bed.database.record(&claim, at(3), switched.clone());
    let cut = tokio::time::timeout(Duration::from_micros(200), half).await;
    // Waits its turn behind what may still be committed or taken back.
    let _ = bed.database.renew(&claim, at(4)).await;
    let record_now = bed.operation(&record.operation.id).await;
    let group_now = bed.group(&group.id).await.0;
    let settled = record_now.operation.state == OperationState::Completed;
    let moved = group_now.current_primary_site.as_str() == "site-b";
    assert_eq!(settled, moved, "all or nothing, also when cut off: {cut:?}");
    assert_eq!(bed.is_locked(&record.operation.id).await, !settled);
}

fn good(entry: Entry) -> Entry {
    let effects = entry
        .effects
        .into_iter()
        .map(|effect| match effect {
            Effect::GroupSwitched {
                group_id,
                current_primary_site,
                mut members,
            } => {
                members.truncate(1);
                Effect::GroupSwitched {
                    group_id,
                    current_primary_site,
                    members,
                }
            }
            other => other,
        })
        .collect();
    Entry { effects, ..entry }
}

async fn claim(database: &Database) -> Claim {
    let engine = EngineId::new("engine-1");
    let lease = Duration::from_secs(60);
    let mut claims = database
        .claim(&engine, at(0), lease, BOOK_VERSION, &Room::for_any(1))
        .await
        .unwrap();
    claims.remove(0)
}

#[tokio::test]
async fn engines_are_listed_as_they_last_reported() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let mut engine = EngineRow {
        id: "engine-1".into(),
        host: "controller-1".to_owned(),
        version: "0.1.0".to_owned(),
        book_version: 1,
        started_at: at(0),
        seen_at: at(0),
        stopping: false,
    };
    db.engine_heartbeat(&engine).await.unwrap();
    engine.seen_at = at(10);
    engine.stopping = true;
    db.engine_heartbeat(&engine).await.unwrap();
    assert_eq!(db.engine_list().await.unwrap(), vec![engine.clone()]);
    db.engine_delete(&engine.id).await.unwrap();
    assert_eq!(db.engine_list().await.unwrap(), vec![]);
}

/// The API's handlers and the engine's tasks move between threads.
#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: fn(&'static Database) -> T) {}
    is_send(|db| db.site_delete(""));
    is_send(|db| db.group_delete(Box::leak(Box::new("g".into())), Precondition::Any, at(0)));
    is_send(|db| db.metadata_outgoing(Box::leak(Box::new("g".into()))));
    is_send(|db| db.operation_show_by_id(Box::leak(Box::new("o".into()))));
}

/// One volume in two groups would be promoted and deleted by both.
#[tokio::test]
async fn a_volume_is_in_one_group_only() {
    let bed = bed::fresh("").await;
    let (group, member, _) = protected(&bed, 1).await;
    let (other, _, _) = protected(&bed, 2).await;
    let mut shares = member.clone();
    shares.id = "shares".into();
    shares.server_id = "server-that-shares".into();
    shares.group_id = other.id.clone();
    let inserted = bed
        .database
        .member_insert(&shares, Precondition::Any, at(2))
        .await;
    let protection = Protection {
        resource: member.volumes[0].id.to_string(),
        group_name: group.name,
    };
    assert_eq!(inserted, Err(StoreError::Protected(protection)));
}

/// Its line may be about to delete it, or its copy is not yet the member that it becomes.
#[tokio::test]
async fn what_an_open_operation_names_is_not_protected_meanwhile() {
    let bed = bed::fresh("").await;
    let (other, mut member, _) = protected(&bed, 2).await;
    let mut record = journal_conformance::operation(1);
    let steps = record.steps.len();
    record.steps[steps - 1].resource_id = Some("left-behind".to_owned());
    record.steps[0].progress.memo.made = Some("just-made".to_owned());
    record.map.insert(MapKind::Server, "gone", "built");
    bed.put_group(journal_conformance::group(&record), vec![])
        .await;
    bed.insert(record.clone()).await;
    member.group_id = other.id.clone();
    member.volumes.clear();
    for server in ["left-behind", "just-made", "built", "gone"] {
        member.id = server.into();
        member.server_id = server.into();
        let inserted = bed
            .database
            .member_insert(&member, Precondition::Any, at(2))
            .await;
        let by_operation = record.operation.id.clone();
        let resource = server.to_owned();
        let named = StoreError::Named {
            resource,
            by_operation,
        };
        assert_eq!(inserted, Err(named));
    }
    let claim = claim(&bed.database).await;
    let settled = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: at(3),
        }),
        ..Entry::default()
    };
    bed.database.record(&claim, at(3), settled).await.unwrap();
    bed.database
        .member_insert(&member, Precondition::Any, at(4))
        .await
        .unwrap();
}

/// The copy that an operation of the other site is building here may be taken over by this one.
#[tokio::test]
async fn what_the_other_sites_open_operation_names_is_not_protected_meanwhile() {
    let bed = bed::fresh("").await;
    let (moved, _, _) = protected(&bed, 1).await;
    let (other, mut member, _) = protected(&bed, 2).await;
    let copy = |state: &str, revision| OperationCopy {
        id: "op-of-a".into(),
        home_site: "site-a".into(),
        project_id: moved.primary.project_id.clone(),
        group_id: moved.id.clone(),
        group_name: moved.name.clone(),
        kind: "failover".to_owned(),
        state: state.to_owned(),
        parent_id: None,
        leftovers: 0,
        created_at: at(1),
        revision,
        since: 0,
        is_last: true,
        record: json!({"id": "op-of-a"}),
        lines: vec![(
            0,
            json!({"key": "recreate_vms:web", "resource_id": "just-built"}),
        )],
    };
    let running = copy("running", 1);
    bed.database.peer_operation_apply(&running).await.unwrap();
    member.id = "anew".into();
    member.group_id = other.id.clone();
    member.server_id = "just-built".into();
    member.volumes.clear();
    let inserted = bed
        .database
        .member_insert(&member, Precondition::Any, at(2))
        .await;
    let named = StoreError::Named {
        resource: "just-built".to_owned(),
        by_operation: "op-of-a".into(),
    };
    assert_eq!(inserted, Err(named));
    let ended = copy("completed", 2);
    bed.database.peer_operation_apply(&ended).await.unwrap();
    let inserted = bed
        .database
        .member_insert(&member, Precondition::Any, at(3))
        .await;
    inserted.unwrap();
}

/// A database from before the rule: nothing is changed, and a person is told which group has what.
#[tokio::test]
async fn servers_in_two_groups_are_named_before_the_schema_is_changed() {
    let bed = bed::fresh("").await;
    let (_, member, _) = protected(&bed, 1).await;
    protected(&bed, 2).await;
    let plain = sea_orm::Database::connect(bed.url.expose_secret())
        .await
        .unwrap();
    let drop = match bed.url.expose_secret().starts_with("sqlite") {
        true => "DROP INDEX uq_members_one_group",
        false => "DROP INDEX uq_members_one_group ON members",
    };
    let server = &member.server_id;
    for statement in [
        drop.to_owned(),
        "DELETE FROM seaql_migrations WHERE version = 'm0010_one_group_per_server'".to_owned(),
        format!("UPDATE members SET server_id = '{server}'"),
    ] {
        plain.execute_unprepared(&statement).await.unwrap();
    }
    let refused = bed.database.migrate().await.unwrap_err().to_string();
    for said in ["group-1", "group-2", server.as_str(), "dr member remove"] {
        assert!(refused.contains(said), "{said} is not in {refused}");
    }
    let repaired = "UPDATE members SET server_id = 'another' WHERE group_id IN (SELECT id FROM protection_groups WHERE name = 'group-2')";
    plain.execute_unprepared(repaired).await.unwrap();
    bed.database.migrate().await.unwrap();
}
