//! What tenants entrust to a record: in no file in clear, bound to its place, and no more than itself when its key is gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use std::{fs, path::PathBuf, time::Duration};

use bed::{
    Bed,
    records::{at, begin, policy, project},
};
use protector_core::{
    confidential::{Confidential, HoldsConfidential},
    group::{Group, GroupStatus},
    id::EngineId,
    journal::{Claim, Effect, Entry, Journal},
    journal_conformance::{TestBed, group, member, operation},
    member::Member,
    operation::OperationRecord,
    queue::Room,
    runbook::BOOK_VERSION,
};
use protector_store::{
    Database, GroupChange, GroupFilter, GroupOrder, KeyRepository, MetadataDocument,
    OperationFilter, OperationOrder, OrderDirection, Page, Precondition, StoreError,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use secrecy::ExposeSecret;
use serde_json::json;

/// `canary-of-user-data` in base64, as Nova keeps it.
const USER_DATA: &str = "Y2FuYXJ5LW9mLXVzZXItZGF0YQ==";
const HOOK_KEY: &str = "canary-of-a-hook";
const PROBE_KEY: &str = "canary-of-a-probe";
const CANARIES: [&str; 3] = [USER_DATA, HOOK_KEY, PROBE_KEY];

struct Entrusted {
    group: Group,
    member: Member,
    record: OperationRecord,
}

/// A group whose member, recovery plan and operation hold all that a tenant entrusts. The operation is queued.
async fn entrusted(bed: &Bed, number: u32) -> Entrusted {
    let mut record = operation(number);
    let mut group = Group {
        status: GroupStatus::Active,
        version: 1,
        name: format!("group-{number}"),
        ..group(&record)
    };
    let mut member = member(&record, &format!("web-server-{number}"));
    member.server_id = format!("server-{number}").into();
    member.server.user_data = Some(USER_DATA.into());
    let plan = json!({
        "members": {member.id.as_str(): {"probe": {"http": {"port": 80, "path": format!("/up?key={PROBE_KEY}")}}}},
        "hooks": [{"name": "tell", "when": "before", "url": format!("https://hooks.example.org/dr/?key={HOOK_KEY}")}],
    });
    group.recovery_plan = serde_json::from_value(plan).unwrap();
    record.operation.plan.members = vec![member.clone()];
    record.operation.plan.recovery = group.recovery_plan.clone();
    bed.put_group(group, vec![member.clone()]).await;
    let group = bed.group(&record.operation.group_id).await.0;
    begin(&bed.database, &record, &group).await.unwrap();
    Entrusted {
        group,
        member,
        record,
    }
}

async fn claimed(database: &Database) -> Claim {
    let (engine, lease) = (EngineId::new("e"), Duration::from_secs(120));
    let claims = database
        .claim(&engine, at(2), lease, BOOK_VERSION, &Room::for_any(1))
        .await;
    claims.unwrap().remove(0)
}

/// Asserts that no file beside the keys holds a canary.
fn no_file_tells(bed: &Bed) {
    let files: Vec<PathBuf> = fs::read_dir(bed.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    assert!(!files.is_empty());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for canary in CANARIES {
            let told = bytes
                .windows(canary.len())
                .any(|part| part == canary.as_bytes());
            assert!(!told, "{canary} is in {}", file.display());
        }
    }
}

fn clear(part: &impl HoldsConfidential) -> Vec<String> {
    let texts = part.confidential();
    let texts = texts.iter().map(|text| text.expose().unwrap().to_owned());
    texts.collect()
}

fn is_sealed(part: &impl HoldsConfidential) -> bool {
    part.confidential().iter().all(|text| text.seal().is_some())
}

fn page<K: Default>() -> Page<K> {
    Page {
        limit: 10,
        marker: None,
        sort_key: K::default(),
        sort_dir: OrderDirection::Asc,
    }
}

async fn plain(bed: &Bed) -> DatabaseConnection {
    let url = bed.url.expose_secret();
    sea_orm::Database::connect(url).await.unwrap()
}

/// Writes `json` into one column of one row.
async fn put(bed: &Bed, table: &str, column: &str, id: &str, json: &serde_json::Value) {
    let database = plain(bed).await;
    let sql = format!("UPDATE {table} SET {column} = ? WHERE id = ?");
    let values = [json.to_string().into(), id.into()];
    let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, values);
    assert_eq!(
        database
            .execute_raw(statement)
            .await
            .unwrap()
            .rows_affected(),
        1
    );
    database.close().await.unwrap();
}

#[tokio::test]
async fn what_a_tenant_entrusts_is_in_no_file_of_the_database() {
    let bed = bed::sqlite("").await;
    let Entrusted { group, member, .. } = entrusted(&bed, 1).await;
    let db = &bed.database;
    // The engine reads them, and the switch writes them again.
    let claim = claimed(db).await;
    let record = db.load(&claim).await.unwrap();
    let plan = &record.operation.plan;
    assert_eq!(clear(&plan.members), [USER_DATA]);
    assert_eq!(clear(&plan.recovery), clear(&group.recovery_plan));
    let switched = Effect::GroupSwitched {
        group_id: group.id.clone(),
        current_primary_site: "site-b".into(),
        members: plan.members.clone(),
    };
    let entry = Entry {
        effects: vec![switched],
        ..Entry::default()
    };
    db.record(&claim, at(3), entry).await.unwrap();
    no_file_tells(&bed);

    let members = db.member_list(&group.id).await.unwrap();
    assert!(is_sealed(&members));
    assert_eq!(clear(&db.opened(&group.id, members)), [USER_DATA]);
    let outgoing = db.metadata_outgoing(&group.id).await.unwrap();
    assert_eq!(clear(&outgoing.document.members), [USER_DATA]);
    assert_eq!(outgoing.document.members[0].id, member.id);
    let texts = clear(&outgoing.document.group);
    assert!(
        texts.iter().any(|text| text.ends_with(HOOK_KEY)),
        "{texts:?}"
    );
}

#[tokio::test]
async fn what_an_earlier_release_kept_in_clear_is_read_and_sealed_by_a_rotation() {
    let bed = bed::sqlite("").await;
    let Entrusted {
        group,
        member,
        record,
    } = entrusted(&bed, 1).await;
    let db = &bed.database;
    let sealed = db.metadata_outgoing(&group.id).await.unwrap().side;
    let server = json!(member.server);
    put(&bed, "members", "server", member.id.as_str(), &server).await;
    let plan = json!(group.recovery_plan);
    put(
        &bed,
        "protection_groups",
        "recovery_plan",
        group.id.as_str(),
        &plan,
    )
    .await;
    let operation = &record.operation;
    put(
        &bed,
        "operations",
        "plan",
        operation.id.as_str(),
        &json!(operation.plan),
    )
    .await;

    let kept = db.member_list(&group.id).await.unwrap();
    assert_eq!(clear(&kept), [USER_DATA]);
    let loaded = bed.operation(&operation.id).await;
    assert_eq!(loaded.operation.plan, operation.plan);
    // Of the member one, of the group two, of the operation's plan three.
    assert_eq!(db.texts_in_clear().await.unwrap(), 6);
    let side = db.metadata_outgoing(&group.id).await.unwrap().side;
    assert_eq!(side, sealed, "to the other site nothing has changed");

    let done = db.secrets_rekey().await.unwrap();
    assert_eq!((done.renewed, done.current, done.unread), (6, 0, vec![]));
    assert_eq!(db.texts_in_clear().await.unwrap(), 0);
    no_file_tells(&bed);
    let side = db.metadata_outgoing(&group.id).await.unwrap().side;
    assert_eq!(side, sealed, "to the other site nothing has changed");
    let again = bed.operation(&operation.id).await;
    assert_eq!(again.operation.plan, operation.plan);
    let again = db.secrets_rekey().await.unwrap();
    assert_eq!((again.renewed, again.current), (0, 6));
}

#[tokio::test]
async fn texts_move_to_the_newest_key_and_the_old_one_can_go() {
    let bed = bed::fresh("").await;
    let Entrusted { group, record, .. } = entrusted(&bed, 1).await;
    let keys = bed.dir.path().join("keys");
    KeyRepository::rotate(&keys).unwrap();
    let database = bed.another().await;
    assert_eq!(database.keys_in_use().await.unwrap(), [0].into());
    let done = database.secrets_rekey().await.unwrap();
    assert_eq!((done.key, done.renewed, done.current), (1, 6, 0));
    let in_use = database.keys_in_use().await.unwrap();
    assert_eq!(in_use, [1].into());
    // The newest two stay.
    KeyRepository::rotate(&keys).unwrap();
    assert_eq!(KeyRepository::prune(&keys, &in_use), Ok(vec![0]));
    // A service that was started before the rotation reads them.
    let kept = bed.operation(&record.operation.id).await;
    assert_eq!(kept.operation.plan, record.operation.plan);
    assert_eq!(bed.group(&group.id).await.0, bed.group(&group.id).await.0);
    assert_eq!(clear(&bed.group(&group.id).await.1), [USER_DATA]);
}

#[tokio::test]
async fn what_a_member_had_before_is_sealed_and_moves_to_the_newest_key_with_it() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let record = operation(1);
    let was = member(&record, "web-server-1");
    let mut now = was.clone();
    let mut had = was.clone();
    had.server.user_data = Some(USER_DATA.into());
    now.server.user_data = Some("bmV3".into());
    let now = had.changed_to(now, at(5), Some(at(0)));
    let at_rest = Group {
        status: GroupStatus::Active,
        ..group(&record)
    };
    bed.put_group(at_rest, vec![was]).await;
    db.member_update(&now, at(6)).await.unwrap();
    let id = &record.operation.group_id;
    let kept = db.member_list(id).await.unwrap();
    assert!(is_sealed(&kept), "{kept:?}");
    assert_eq!(clear(&db.opened(id, kept)), ["bmV3", USER_DATA]);
    no_file_tells(&bed);

    KeyRepository::rotate(&bed.dir.path().join("keys")).unwrap();
    let database = bed.another().await;
    let done = database.secrets_rekey().await.unwrap();
    assert_eq!((done.key, done.renewed), (1, 2));
    assert_eq!(database.keys_in_use().await.unwrap(), [1].into());
    let kept = database.member_list(id).await.unwrap();
    let known = kept[0].known_at(at(4)).unwrap().clone();
    assert_eq!(known.name, "web-server-1");
    assert_eq!(clear(&database.opened(id, kept)), ["bmV3", USER_DATA]);
}

#[tokio::test]
async fn a_text_that_was_moved_to_another_tenant_s_row_is_not_read() {
    let bed = bed::fresh("").await;
    let victim = entrusted(&bed, 1).await;
    let thief = entrusted(&bed, 2).await;
    let db = &bed.database;
    let stolen = db.member_list(&victim.group.id).await.unwrap().remove(0);
    let loot = json!(stolen.server);
    put(&bed, "members", "server", thief.member.id.as_str(), &loot).await;
    let kept = db.member_list(&thief.group.id).await.unwrap();
    let read = db.opened(&thief.group.id, kept);
    let why = read.confidential()[0].expose().unwrap_err().to_string();
    assert!(why.contains("cannot be decrypted"), "{why}");
    assert!(why.contains(thief.member.id.as_str()), "{why}");
    // Nor under the victim's name, in a group of the thief's.
    let read = db.opened(&thief.group.id, vec![stolen]);
    assert!(read.confidential()[0].expose().is_err());
}

#[tokio::test]
async fn another_site_sends_nothing_that_is_sealed() {
    let bed = bed::fresh("").await;
    let Entrusted { group, .. } = entrusted(&bed, 1).await;
    let db = &bed.database;
    let sealed = db.member_list(&group.id).await.unwrap();
    let document = json!({"group": group, "members": sealed, "policy": null});
    let refused = MetadataDocument::from_json(document).unwrap_err();
    assert!(refused.to_string().contains("is sealed"), "{refused}");
    let policy = json!({"primary_fa_url": "a", "secondary_fa_url": "b", "rpo_minutes": 5,
        "primary_fa_api_token": {"sealed": "v1:0:AAAA"}, "secondary_fa_api_token": null,
        "created_at": at(0), "updated_at": at(0)});
    let document = json!({"group": group, "members": [], "policy": policy});
    let refused = MetadataDocument::from_json(document).unwrap_err();
    assert!(refused.to_string().contains("is sealed"), "{refused}");
}

#[tokio::test]
async fn without_its_key_only_what_needs_a_text_fails_and_says_which_key() {
    let bed = bed::fresh("").await;
    let Entrusted {
        group,
        member,
        record,
    } = entrusted(&bed, 1).await;
    let keys = bed.dir.path().join("keys");
    KeyRepository::rotate(&keys).unwrap();
    fs::remove_file(keys.join("0")).unwrap();
    let db = &bed.another().await;

    let all = (GroupFilter::default(), page::<GroupOrder>());
    assert_eq!(db.group_list(&all.0, &all.1).await.unwrap().items.len(), 1);
    let all = (OperationFilter::default(), page::<OperationOrder>());
    let operations = db.operation_list(&all.0, &all.1).await.unwrap();
    assert_eq!(operations.items.len(), 1);
    db.operation_show(&project(), &record.operation.id)
        .await
        .unwrap();
    db.group_show_by_id(&group.id).await.unwrap();
    assert!(is_sealed(&db.member_list(&group.id).await.unwrap()));

    let claim = claimed(db).await;
    let loaded = db.load(&claim).await.unwrap();
    let read = loaded.operation.plan.members;
    let why = read.confidential()[0].expose().unwrap_err().to_string();
    for said in ["key 0", "key repository", "user_data", member.id.as_str()] {
        assert!(why.contains(said), "{said} is not in {why}");
    }
    // A move that has left the member alone brings it back as it is.
    let switched = Effect::GroupSwitched {
        group_id: group.id.clone(),
        current_primary_site: "site-b".into(),
        members: read,
    };
    let entry = Entry {
        effects: vec![switched],
        ..Entry::default()
    };
    db.record(&claim, at(3), entry).await.unwrap();
    let refused = db.metadata_outgoing(&group.id).await.unwrap_err();
    assert!(matches!(refused, StoreError::Sealed(_)), "{refused}");
    assert!(refused.to_string().contains("key 0"), "{refused}");
    let compared = db.metadata_to_compare(&group.id).await.unwrap();
    assert!(compared.document.to_json().is_err());

    let done = db.secrets_rekey().await.unwrap();
    assert_eq!(
        (done.renewed, done.unread.len()),
        (0, 6),
        "{:?}",
        done.unread
    );
    assert_eq!(db.keys_in_use().await.unwrap(), [0].into());
    // The key is back.
    assert_eq!(clear(&bed.group(&group.id).await.1), [USER_DATA]);
}

#[tokio::test]
async fn what_both_sites_agreed_on_is_known_without_the_key() {
    let bed = bed::fresh("").await;
    let Entrusted { group, .. } = entrusted(&bed, 1).await;
    let mark = bed.database.metadata_outgoing(&group.id).await.unwrap();
    let mark = mark.side.now;
    let pushed = bed.database.push_done(&group.id, &mark, &mark, at(2)).await;
    pushed.unwrap();
    let keys = bed.dir.path().join("keys");
    KeyRepository::rotate(&keys).unwrap();
    fs::remove_file(keys.join("0")).unwrap();
    let known = bed
        .another()
        .await
        .metadata_outgoing(&group.id)
        .await
        .unwrap();
    assert_eq!(known.side.now, mark);
    let refused = known.document.to_json().unwrap_err();
    assert!(refused.to_string().contains("key 0"), "{refused}");
}

#[tokio::test]
async fn a_policy_names_its_arrays_without_the_key_of_its_tokens() {
    let bed = bed::fresh("").await;
    let (group, ..) = bed::records::protected(&bed, 1).await;
    let inserted = bed.database.policy_insert(&policy(&group), at(1)).await;
    inserted.unwrap();
    let keys = bed.dir.path().join("keys");
    KeyRepository::rotate(&keys).unwrap();
    fs::rename(keys.join("0"), bed.dir.path().join("hidden")).unwrap();
    let db = &bed.another().await;
    let mut kept = db.policy_show(&group.id).await.unwrap();
    assert_eq!(kept.primary_fa_url, "mock://array-a");
    let token = kept.primary_fa_api_token.clone().unwrap();
    assert!(token.expose().unwrap_err().to_string().contains("key 0"));
    kept.rpo_minutes = 30;
    db.policy_update(&kept, Precondition::Any, at(3))
        .await
        .unwrap();
    fs::rename(bed.dir.path().join("hidden"), keys.join("0")).unwrap();
    let kept = db.policy_show(&group.id).await.unwrap();
    let token: Option<Confidential> = kept.primary_fa_api_token;
    assert_eq!(token.unwrap().expose(), Ok(bed::records::TOKEN));
}

#[tokio::test]
async fn a_plan_that_a_tenant_sends_is_sealed() {
    let bed = bed::sqlite("").await;
    let (group, ..) = bed::records::protected(&bed, 1).await;
    let plan = json!({"hooks": [{"name": "tell", "when": "after", "url": format!("https://h/?k={HOOK_KEY}")}]});
    let change = GroupChange {
        recovery_plan: Some(serde_json::from_value(plan).unwrap()),
        ..GroupChange::default()
    };
    let stored = bed.database.group_update(&group.id, &change, at(4)).await;
    let stored = stored.unwrap().group;
    assert!(is_sealed(&stored));
    no_file_tells(&bed);
    let read = clear(&bed.database.opened(&group.id, stored));
    assert!(read[0].ends_with(HOOK_KEY), "{read:?}");
}
