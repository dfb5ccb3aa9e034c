//! Changes that rest on what somebody saw, the order of groups, and secrets under new keys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use std::collections::BTreeMap;

use bed::Bed;
use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    group::{Fidelity, Group, GroupStatus},
    journal_conformance::{TestBed, group, member, operation},
    member::{Member, MemberStatus},
    priority::Priority,
    site::{Site, SiteStatus},
};
use protector_store::{
    Database, GroupChange, GroupFilter, GroupOrder, KeyRepository, MetadataDocument,
    OrderDirection, Page, PeerMessage, Precondition, PublicKey, Removable, ReplicationPolicy,
    StoreError, StoredSigningKey,
};
use secrecy::{ExposeSecret, SecretString};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_762_178_400 + seconds)
}

/// A group of one member, `active` at version 2.
async fn protected(bed: &Bed, number: u32, priority: u8) -> Group {
    let record = operation(number);
    let group = Group {
        status: GroupStatus::Active,
        version: 1,
        name: format!("group-{number}"),
        priority: Priority::try_from(priority).unwrap(),
        ..group(&record)
    };
    let id = group.id.clone();
    let mut member = member(&record, "web-server-1");
    member.server_id = format!("server-{number}").into();
    bed.put_group(group, vec![member]).await;
    bed.database.group_show_by_id(&id).await.unwrap().group
}

fn policy(group: &Group) -> ReplicationPolicy {
    ReplicationPolicy {
        group_id: group.id.clone(),
        primary_fa_url: "mock://array-a".to_owned(),
        secondary_fa_url: "mock://array-b".to_owned(),
        primary_fa_api_token: Some("token-a".into()),
        secondary_fa_api_token: Some("token-b".into()),
        rpo_minutes: 15,
        created_at: at(0),
        updated_at: at(0),
    }
}

#[track_caller]
fn refused_at<T: std::fmt::Debug>(outcome: Result<T, StoreError>, version: u64) {
    let refusal = outcome.unwrap_err();
    let StoreError::GroupChanged { version: found, .. } = refusal else {
        panic!("{refusal}");
    };
    assert_eq!(found, version);
}

#[tokio::test]
async fn a_change_that_rests_on_an_old_version_is_refused_and_changes_nothing() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let group = protected(&bed, 1, 3).await;
    db.policy_insert(&policy(&group), at(1)).await.unwrap();
    let before = db.metadata_outgoing(&group.id).await.unwrap().document;
    let now = before.group.version;
    let old = Precondition::Version(now - 1);
    let change = GroupChange {
        name: Some("other".to_owned()),
        precondition: old,
        ..GroupChange::default()
    };
    refused_at(db.group_update(&group.id, &change, at(2)).await, now);
    refused_at(db.policy_update(&policy(&group), old, at(2)).await, now);
    refused_at(db.policy_delete(&group.id, old, at(2)).await, now);
    let key = "web-server-1";
    refused_at(
        db.member_delete(&group.id, key, Removable::Recovered, old, at(2))
            .await,
        now,
    );
    refused_at(db.group_delete(&group.id, old, at(2)).await, now);
    assert_eq!(
        db.metadata_outgoing(&group.id).await.unwrap().document,
        before
    );

    let change = GroupChange {
        precondition: Precondition::Version(now),
        ..change
    };
    let changed = db.group_update(&group.id, &change, at(3)).await.unwrap();
    assert_eq!(changed.group.version, now + 1);
    refused_at(db.group_update(&group.id, &change, at(4)).await, now + 1);
    let gone = db
        .group_delete(&group.id, Precondition::Version(now + 1), at(5))
        .await;
    gone.unwrap();
}

/// Who asked saw a member that runs, and rests on no version: the last move has not recovered it, as this site hears meanwhile.
#[tokio::test]
async fn a_member_that_is_not_recovered_since_somebody_looked_is_given_up_by_word_only() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let group = protected(&bed, 1, 3).await;
    let seen = db.member_show(&group.id, "web-server-1").await.unwrap();
    assert_eq!(seen.status, MemberStatus::Protected);
    let lost = Member {
        status: MemberStatus::Error,
        ..seen
    };
    db.member_update(&lost, at(1)).await.unwrap();
    let before = db.metadata_outgoing(&group.id).await.unwrap().document;
    let removed = async |which| {
        let id = &group.id;
        db.member_delete(id, "web-server-1", which, Precondition::Any, at(2))
            .await
    };
    let refused = removed(Removable::Recovered).await.unwrap_err();
    let expected = StoreError::Unrecovered {
        group: group.name.clone(),
        member: "web-server-1".to_owned(),
    };
    assert_eq!(refused, expected);
    let after = db.metadata_outgoing(&group.id).await.unwrap().document;
    assert_eq!(after, before, "the refusal changes nothing");
    removed(Removable::GivenUp).await.unwrap();
}

#[tokio::test]
async fn of_many_changes_that_rest_on_one_version_one_is_made() {
    let bed = bed::fresh("").await;
    let group = protected(&bed, 1, 3).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let database = bed.another().await;
        let id = group.id.clone();
        let change = GroupChange {
            description: Some(Some(format!("writer {writer}"))),
            precondition: Precondition::Version(group.version),
            ..GroupChange::default()
        };
        writers.spawn(async move { database.group_update(&id, &change, at(5)).await });
    }
    let outcomes = writers.join_all().await;
    let made: Vec<_> = outcomes.iter().flatten().collect();
    assert_eq!(made.len(), 1, "{outcomes:?}");
    let kept = bed.database.group_show_by_id(&group.id).await.unwrap();
    assert_eq!(&kept, made[0]);
}

#[tokio::test]
async fn groups_are_listed_by_priority_where_they_run() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    for (number, priority) in [(1, 5), (2, 1), (3, 3), (4, 1)] {
        protected(&bed, number, priority).await;
    }
    let group = protected(&bed, 5, 2).await;
    let change = GroupChange {
        priority: Some(Priority::LAST),
        ..GroupChange::default()
    };
    db.group_update(&group.id, &change, at(9)).await.unwrap();
    let filter = GroupFilter {
        runs_on: Some(group.current_primary_site.clone()),
        ..GroupFilter::default()
    };
    let mut seen = Vec::new();
    let mut marker = None;
    loop {
        let page = Page {
            limit: 2,
            marker,
            sort_key: GroupOrder::Priority,
            sort_dir: OrderDirection::Asc,
        };
        let listed = db.group_list(&filter, &page).await.unwrap();
        marker = listed.items.last().map(|last| last.group.id.to_string());
        seen.extend(
            listed
                .items
                .into_iter()
                .map(|stored| stored.group.priority.get()),
        );
        if !listed.more {
            break;
        }
    }
    assert_eq!(seen, [1, 1, 3, 5, 5]);
    let elsewhere = GroupFilter {
        runs_on: Some("nowhere".into()),
        ..GroupFilter::default()
    };
    let page = Page {
        limit: 9,
        marker: None,
        sort_key: GroupOrder::Name,
        sort_dir: OrderDirection::Asc,
    };
    let listed = db.group_list(&elsewhere, &page).await.unwrap();
    assert!(listed.items.is_empty());
}

#[tokio::test]
async fn a_document_without_a_priority_has_the_usual_one() {
    let bed = bed::fresh("").await;
    let group = protected(&bed, 1, 1).await;
    let document = bed
        .database
        .metadata_outgoing(&group.id)
        .await
        .unwrap()
        .document;
    let mut json = document.to_json().unwrap();
    assert_eq!(json["group"]["priority"], 1);
    json["group"].as_object_mut().unwrap().remove("priority");
    let old = MetadataDocument::from_json(json).unwrap();
    assert_eq!(old.group.priority, Priority::DEFAULT);
}

/// A peer of an earlier release sends none, and must not see a change in one that nobody has asked for.
#[tokio::test]
async fn a_document_has_a_fidelity_where_somebody_has_asked_for_one() {
    let bed = bed::fresh("").await;
    let group = protected(&bed, 1, 1).await;
    let database = &bed.database;
    let outgoing = database.metadata_outgoing(&group.id).await.unwrap();
    let json = outgoing.document.to_json().unwrap();
    assert!(json["group"].get("fidelity").is_none(), "{json}");
    let old = MetadataDocument::from_json(json).unwrap();
    assert_eq!(old.group.fidelity, Fidelity::Told);
    let change = GroupChange {
        fidelity: Some(Fidelity::Strict),
        ..GroupChange::default()
    };
    let stored = database.group_update(&group.id, &change, at(9)).await;
    assert_eq!(stored.unwrap().group.fidelity, Fidelity::Strict);
    let outgoing = database.metadata_outgoing(&group.id).await.unwrap();
    let json = outgoing.document.to_json().unwrap();
    assert_eq!(json["group"]["fidelity"], "strict");
}

/// A peer of an earlier release does not know it, and must not see a change in one that nobody has made.
#[tokio::test]
async fn a_mapping_of_qos_policies_is_kept_and_told_where_there_is_one() {
    let bed = bed::fresh("").await;
    let group = protected(&bed, 1, 1).await;
    let database = &bed.database;
    let outgoing = database.metadata_outgoing(&group.id).await.unwrap();
    let json = outgoing.document.to_json().unwrap();
    assert!(json["group"]["mappings"].get("qos_policies").is_none());
    let mapping = BTreeMap::from([("gold".to_owned(), "silver".to_owned())]);
    let change = GroupChange {
        qos_policies: Some(mapping.clone()),
        ..GroupChange::default()
    };
    let stored = database.group_update(&group.id, &change, at(9)).await;
    assert_eq!(stored.unwrap().group.mappings.qos_policies, mapping);
    let outgoing = database.metadata_outgoing(&group.id).await.unwrap();
    let told = MetadataDocument::from_json(outgoing.document.to_json().unwrap()).unwrap();
    assert_eq!(told.group.mappings.qos_policies, mapping);
    let back = told.group.mappings.reversed().qos_policies;
    assert_eq!(back.get("silver").map(String::as_str), Some("gold"));
}

fn site(name: &str) -> Site {
    Site {
        id: format!("id-of-{name}").into(),
        name: name.into(),
        description: None,
        auth_url: format!("http://{name}:5000/v3"),
        region_name: None,
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

/// Two sites, a member with user data and a policy, whose five secrets are encrypted with key 0.
async fn with_secrets() -> (Bed, Group) {
    let bed = bed::fresh("").await;
    let group = protected(&bed, 1, 3).await;
    for name in ["site-a", "site-b"] {
        let password = SecretString::from(format!("password of {name}"));
        let inserted = bed.database.site_insert(&site(name), &password).await;
        inserted.unwrap();
    }
    let inserted = bed.database.policy_insert(&policy(&group), at(1)).await;
    inserted.unwrap();
    (bed, group)
}

async fn secrets_are_readable(database: &Database, group: &Group) {
    for name in ["site-a", "site-b"] {
        let kept = database.site_password(&name.into()).await.unwrap();
        assert_eq!(kept.expose_secret(), format!("password of {name}"));
    }
    let kept = database.policy_show(&group.id).await.unwrap();
    let tokens = [kept.primary_fa_api_token, kept.secondary_fa_api_token];
    let tokens = tokens.map(|token| token.unwrap().expose().unwrap().to_owned());
    assert_eq!(tokens, ["token-a", "token-b"]);
}

#[tokio::test]
async fn all_secrets_move_to_the_newest_key_and_older_ones_can_go() {
    let (bed, group) = with_secrets().await;
    let keys = bed.dir.path().join("keys");
    KeyRepository::rotate(&keys).unwrap();
    KeyRepository::rotate(&keys).unwrap();
    let database = bed.another().await;
    let in_use = database.keys_in_use().await.unwrap();
    assert_eq!(in_use, [0].into());

    let version = database.group_show_by_id(&group.id).await.unwrap();
    let done = database.secrets_rekey().await.unwrap();
    assert_eq!((done.key, done.renewed, done.current), (2, 5, 0));
    let again = database.secrets_rekey().await.unwrap();
    assert_eq!((again.key, again.renewed, again.current), (2, 0, 5));
    // Nothing changed for anybody but the keys.
    assert_eq!(database.group_show_by_id(&group.id).await.unwrap(), version);
    let in_use = database.keys_in_use().await.unwrap();
    assert_eq!(in_use, [2].into());
    // The one before the newest stays: something may be about to be written with it.
    assert_eq!(KeyRepository::prune(&keys, &in_use), Ok(vec![0]));

    // A service that was started before the rotation reads them, and so does one that is started now.
    secrets_are_readable(&bed.database, &group).await;
    secrets_are_readable(&bed.another().await, &group).await;
}

#[tokio::test]
async fn a_secret_whose_key_is_gone_leaves_all_as_they_were() {
    let (bed, group) = with_secrets().await;
    let keys = bed.dir.path().join("keys");
    KeyRepository::rotate(&keys).unwrap();
    let third = SecretString::from("password of site-c");
    let newer = bed.another().await;
    newer.site_insert(&site("site-c"), &third).await.unwrap();
    KeyRepository::rotate(&keys).unwrap();
    let hidden = bed.dir.path().join("hidden");
    std::fs::rename(keys.join("1"), &hidden).unwrap();
    let database = bed.another().await;
    let refusal = database.secrets_rekey().await.unwrap_err();
    let words = "sites/id-of-site-c/password needs key 1, which is not";
    assert!(refusal.to_string().contains(words), "{refusal}");
    assert_eq!(database.keys_in_use().await.unwrap(), [0, 1].into());

    std::fs::rename(&hidden, keys.join("1")).unwrap();
    assert_eq!(database.secrets_rekey().await.unwrap().renewed, 6);
    secrets_are_readable(&database, &group).await;
}

fn signing_key(number: u8) -> StoredSigningKey {
    StoredSigningKey {
        public: [number; 32].into(),
        secret: SecretString::from(format!("signing key {number}")),
        created_at: at(i64::from(number)),
    }
}

#[tokio::test]
async fn of_two_signing_keys_that_are_made_at_once_one_counts_for_all() {
    let bed = bed::fresh("").await;
    assert!(bed.database.signing_key().await.unwrap().is_none());
    let other = bed.another().await;
    let made = [signing_key(1), signing_key(2)];
    let (here, there) = tokio::join!(
        bed.database.signing_key_begin(&made[0]),
        other.signing_key_begin(&made[1])
    );
    let (here, there) = (here.unwrap(), there.unwrap());
    assert_eq!(here.public, there.public);
    assert_eq!(here.secret.expose_secret(), there.secret.expose_secret());
    let made = signing_key(3);
    other.signing_key_replace(&made).await.unwrap();
    let kept = bed.database.signing_key().await.unwrap().unwrap();
    assert_eq!(kept.public, made.public);
    assert_eq!(kept.secret.expose_secret(), "signing key 3");
    assert_eq!(kept.created_at, made.created_at);
}

#[tokio::test]
async fn the_signing_key_moves_to_the_newest_key_too() {
    let bed = bed::fresh("").await;
    let begun = bed.database.signing_key_begin(&signing_key(1)).await;
    begun.unwrap();
    let keys = bed.dir.path().join("keys");
    KeyRepository::rotate(&keys).unwrap();
    let database = bed.another().await;
    assert_eq!(database.keys_in_use().await.unwrap(), [0].into());
    assert_eq!(database.secrets_rekey().await.unwrap().renewed, 1);
    let in_use = database.keys_in_use().await.unwrap();
    assert_eq!(in_use, [1].into());
    // The newest two stay.
    KeyRepository::rotate(&keys).unwrap();
    assert_eq!(KeyRepository::prune(&keys, &in_use), Ok(vec![0]));
    let kept = bed.another().await.signing_key().await.unwrap().unwrap();
    assert_eq!(kept.secret.expose_secret(), "signing key 1");
}

#[tokio::test]
async fn a_key_stays_pinned_until_somebody_says_otherwise() {
    let (bed, _) = with_secrets().await;
    let database = &bed.database;
    let there = "site-b".into();
    let keys: [PublicKey; 2] = [[1; 32].into(), [2; 32].into()];
    assert_eq!(database.peer_key(&there).await.unwrap(), None);
    for key in keys {
        let kept = database.peer_key_pin(&there, &key, at(1)).await.unwrap();
        assert_eq!(kept, keys[0]);
    }
    // A change of the registration is none of its key.
    let seen = site("site-b");
    let changed = Site {
        description: Some("moved".to_owned()),
        ..seen.clone()
    };
    database.site_update(&seen, &changed, None).await.unwrap();
    let pinned = database.peer_keys().await.unwrap();
    assert_eq!(pinned.len(), 1);
    assert_eq!(
        (pinned[&there].key, pinned[&there].pinned_at),
        (keys[0], at(1))
    );
    database
        .peer_key_replace(&there, &keys[1], at(2))
        .await
        .unwrap();
    let replaced = database.peer_key(&there).await.unwrap().unwrap();
    assert_eq!((replaced.key, replaced.pinned_at), (keys[1], at(2)));
    database.peer_key_forget(&there).await.unwrap();
    assert_eq!(database.peer_key(&there).await.unwrap(), None);
    let nobody = database
        .peer_key_pin(&"site-x".into(), &keys[0], at(3))
        .await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_message_is_heard_once_as_long_as_it_could_be_said_again() {
    let bed = bed::fresh("").await;
    let other = bed.another().await;
    let message = |nonce: &str| PeerMessage {
        nonce: nonce.to_owned(),
        forget_after: at(600),
    };
    let first = async |database: &Database, nonce: &str, now: i64| {
        let message = message(nonce);
        let heard = database.peer_message_is_first(&message, at(now)).await;
        heard.unwrap()
    };
    assert!(first(&bed.database, "a", 0).await);
    assert!(first(&bed.database, "A", 0).await);
    assert!(!first(&other, "a", 1).await);
    assert!(!first(&bed.database, "a", 600).await);
    let (here, there) = tokio::join!(first(&bed.database, "b", 1), first(&other, "b", 1));
    assert!(
        here != there,
        "heard by {}",
        if here { "both" } else { "nobody" }
    );
    // It is forgotten when it is too old to be believed.
    assert!(first(&bed.database, "a", 601).await);
}
