//! What the store promises to two sites that keep the same groups: nothing that was changed on one is lost on the other
//! without a person having said so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use bed::{
    records::{TOKEN, at, begin, policy, project, protected},
    sites::{
        Sites, conflict, handed, mark, name, offer, remote, rename, settle, settle_with, status,
    },
};
use protector_core::{
    group::GroupStatus,
    id::{EngineId, GroupId},
    journal::{Effect, Entry, Journal, Protection},
    journal_conformance::operation,
    queue::Room,
    runbook::BOOK_VERSION,
};
use protector_store::{
    Conflict, Database, DatedState, GroupChange, MetadataState, Offered, Precondition, PushResult,
    StoreError, Taken, UnsentGroup,
};

#[tokio::test]
async fn what_was_changed_is_due_until_it_was_pushed() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, ..) = protected(&bed, 1).await;
    let due = db.push_due(at(10), 5).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].group, group);
    assert_eq!(due[0].local_project_id, project());

    db.push_failed(&group.id, "connection refused", at(10), at(20))
        .await
        .unwrap();
    assert_eq!(db.push_due(at(19), 5).await.unwrap(), vec![]);
    // What has to wait for its next push is not sent either.
    let unsent = UnsentGroup {
        id: group.id.clone(),
        pushed_version: 0,
        updated_at: group.updated_at,
    };
    assert_eq!(db.unsent_groups().await.unwrap(), vec![unsent]);
    let due = db.push_due(at(20), 5).await.unwrap();
    assert_eq!(due[0].sync.failed_tries, 1);
    assert_eq!(due[0].sync.last_result(), Some(PushResult::Failed));

    // Changed while the push was under way: what was pushed is not the newest any more.
    let first = mark(db, &group.id).await;
    rename(db, &group.id, "renamed", 21).await;
    let second = mark(db, &group.id).await;
    db.push_done(&group.id, &first, &first, at(22))
        .await
        .unwrap();
    let due = db.push_due(at(22), 5).await.unwrap();
    assert_eq!(due[0].group.version, second.version);
    assert_eq!(due[0].sync.failed_tries, 0);
    db.push_done(&group.id, &second, &second, at(23))
        .await
        .unwrap();
    // A slow push of an older version changes nothing.
    db.push_done(&group.id, &first, &first, at(24))
        .await
        .unwrap();
    assert_eq!(db.push_due(at(30), 5).await.unwrap(), vec![]);
    assert_eq!(db.unsent_groups().await.unwrap(), vec![]);
    let sync = db.group_show_by_id(&group.id).await.unwrap().sync;
    assert_eq!(sync.peer_version, Some(second.version));
    assert_eq!(sync.last_result(), Some(PushResult::Ok));
    db.peer_version_seen(&group.id, Some(3)).await.unwrap();
    let sync = db.group_show_by_id(&group.id).await.unwrap().sync;
    assert_eq!(sync.peer_version, Some(3));
}

#[tokio::test]
async fn metadata_travels_to_the_other_site_and_back() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    a.policy_insert(&policy(&group), at(1)).await.unwrap();
    sites.push().await.unwrap();
    let token = b.policy_show(&group.id).await.unwrap().primary_fa_api_token;
    assert_eq!(token.unwrap().expose(), Ok(TOKEN));
    let members = a.opened(&group.id, a.member_list(&group.id).await.unwrap());
    let there = b.member_list(&group.id).await.unwrap();
    assert_eq!(b.opened(&group.id, there), members);
    sites.assert_agreed().await;

    a.policy_delete(&group.id, Precondition::Any, at(2))
        .await
        .unwrap();
    sites.push().await.unwrap();
    sites.push().await.unwrap();
    assert!(b.policy_find(&group.id).await.unwrap().is_none());
    rename(b, &group.id, "over-there", 3).await;
    sites.push_back().await.unwrap();
    assert_eq!(name(a, &group.id).await, "over-there");
    sites.assert_agreed().await;
}

#[tokio::test]
async fn what_was_overtaken_on_its_way_changes_nothing() {
    let (sites, group) = Sites::agreed().await;
    let a = sites.a();
    rename(a, &group.id, "second", 1).await;
    let late = offer(a, &group.id).await;
    rename(a, &group.id, "third", 2).await;
    sites.push().await.unwrap();
    let now = mark(sites.b(), &group.id).await;
    let taken = handed(a, sites.b(), &remote(), &late).await.unwrap();
    assert_eq!(taken, Taken::Held(now));
    assert_eq!(name(sites.b(), &group.id).await, "third");
    sites.assert_agreed().await;
}

/// A group that is again what it was makes an old message look like the present.
#[tokio::test]
async fn an_old_message_that_says_what_is_true_again_opens_no_way_for_another() {
    let (sites, group) = Sites::agreed().await;
    let a = sites.a();
    rename(a, &group.id, "again", 1).await;
    let same = offer(a, &group.id).await;
    rename(a, &group.id, "between", 2).await;
    let other = offer(a, &group.id).await;
    rename(a, &group.id, "again", 3).await;
    sites.push().await.unwrap();
    for late in [same, other] {
        handed(a, sites.b(), &remote(), &late).await.unwrap();
    }
    assert_eq!(name(sites.b(), &group.id).await, "again");
    sites.assert_agreed().await;
}

/// What is now again what it was then makes an old message look like an agreement.
#[tokio::test]
async fn an_old_message_that_says_what_is_true_again_ends_no_conflict() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    rename(a, &group.id, "again", 1).await;
    let late = offer(a, &group.id).await;
    sites.push().await.unwrap();
    rename(a, &group.id, "between", 2).await;
    sites.push().await.unwrap();
    rename(b, &group.id, "again", 3).await;
    rename(a, &group.id, "ours", 4).await;
    assert!(matches!(sites.push().await, Ok(Taken::Conflict(_))));
    let before = b.metadata_outgoing(&group.id).await.unwrap();
    for force in [false, true] {
        let late = Offered {
            force,
            ..late.clone()
        };
        b.metadata_apply(&remote(), &late, at(60)).await.unwrap();
        assert_eq!(b.metadata_outgoing(&group.id).await.unwrap(), before);
    }
    assert!(matches!(sites.push().await, Ok(Taken::Conflict(_))));
    assert_eq!(name(b, &group.id).await, "again");
}

#[tokio::test]
async fn a_push_of_which_the_answer_was_lost_is_made_again() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    rename(a, &group.id, "second", 1).await;
    let lost = offer(a, &group.id).await;
    b.metadata_apply(&remote(), &lost, at(2)).await.unwrap();
    // The other site goes on from what it took, and this one has not heard yet that it did.
    rename(b, &group.id, "third", 3).await;
    sites.push_back().await.unwrap();
    assert_eq!(name(a, &group.id).await, "third");
    sites.assert_agreed().await;
}

#[tokio::test]
async fn changes_on_both_sites_are_a_conflict_until_somebody_decides() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    rename(a, &group.id, "ours", 1).await;
    rename(b, &group.id, "theirs", 2).await;
    rename(b, &group.id, "theirs-again", 3).await;
    let (here, there) = (mark(a, &group.id).await, mark(b, &group.id).await);
    let Ok(Taken::Conflict(found)) = sites.push().await else {
        panic!("the other site took it");
    };
    assert_eq!(name(b, &group.id).await, "theirs-again");
    assert_eq!((&found.local.mark, &found.remote.mark), (&there, &here));
    assert_eq!(found.remote.changed_at, at(1));
    assert_eq!(conflict(b, &group.id).await, Some(found.clone()));

    // Seen from here, the same; a finding from before a change is none.
    let mirrored = Conflict {
        local: found.remote.clone(),
        remote: found.local.clone(),
        detected_at: at(60),
    };
    let older = here.version - 1;
    assert!(
        !a.conflict_note(&group.id, older, Some(&mirrored))
            .await
            .unwrap()
    );
    assert!(
        a.conflict_note(&group.id, here.version, Some(&mirrored))
            .await
            .unwrap()
    );
    assert_eq!(conflict(a, &group.id).await, Some(mirrored));
    assert!(matches!(sites.push_back().await, Ok(Taken::Conflict(_))));
    assert_eq!(name(a, &group.id).await, "ours");

    // Forced over something else than what the person saw.
    a.version_raise(&group.id, here.version, there.version + 1)
        .await
        .unwrap();
    let mut forced = offer(a, &group.id).await;
    forced.force = true;
    forced.base = Some(here.into());
    assert!(matches!(
        handed(a, b, &remote(), &forced).await,
        Err(StoreError::GroupDiffers { .. })
    ));
    forced.base = Some(there.into());
    handed(a, b, &remote(), &forced).await.unwrap();
    assert_eq!(name(b, &group.id).await, "ours");
    sites.assert_agreed().await;
}

#[tokio::test]
async fn a_conflict_that_is_found_again_keeps_its_time() {
    let (sites, group) = Sites::agreed().await;
    rename(sites.a(), &group.id, "ours", 1).await;
    rename(sites.b(), &group.id, "theirs", 2).await;
    let offered = offer(sites.a(), &group.id).await;
    let mut times = Vec::new();
    for second in [100, 200] {
        let taken = sites
            .b()
            .metadata_apply(&remote(), &offered, at(second))
            .await;
        let Ok(Taken::Conflict(Conflict { detected_at, .. })) = taken else {
            panic!("the other site took it");
        };
        times.push(detected_at);
    }
    assert_eq!(times, [at(100), at(100)]);
}

#[tokio::test]
async fn a_replication_alone_is_no_change_that_could_be_lost() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    // Replications raise the version and leave everything as it is.
    for _ in 0..3 {
        a.group_update(&group.id, &GroupChange::default(), at(5))
            .await
            .unwrap();
    }
    rename(b, &group.id, "failed-over", 6).await;
    let theirs = mark(b, &group.id).await;
    let ours = mark(a, &group.id).await;
    assert!(ours.version > theirs.version);

    // What a has is known to b: nothing happens there.
    assert_eq!(sites.push().await, Ok(Taken::Held(theirs.clone())));
    // What b has was made from it. The version does not fall.
    let Ok(Taken::Held(kept)) = sites.push_back().await else {
        panic!("it was not taken");
    };
    assert_eq!(kept.version, ours.version + 1);
    assert_eq!(name(a, &group.id).await, "failed-over");
    sites.push().await.unwrap();
    sites.assert_agreed().await;
}

/// The site that was left had begun to move the group by itself, and could not tell.
#[tokio::test]
async fn an_operation_that_the_other_site_never_heard_of_ends_in_a_conflict() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    let record = operation(1);
    begin(a, &record, &group).await.unwrap();
    let held = mark(a, &group.id).await;
    rename(b, &group.id, "failed-over", 8).await;
    assert!(matches!(sites.push_back().await, Ok(Taken::Conflict(_))));
    assert!(matches!(sites.push().await, Ok(Taken::Conflict(_))));
    assert_eq!(mark(a, &group.id).await, held);
    for database in [a, b] {
        assert!(conflict(database, &group.id).await.is_some());
    }
}

#[tokio::test]
async fn a_push_never_changes_a_group_that_an_operation_moves() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    let record = operation(1);
    begin(a, &record, &group).await.unwrap();
    sites.push().await.unwrap();
    let held = mark(a, &group.id).await;
    // Nothing was changed here since, but the operation that moves the group is this site's.
    fail_alone(b, &group.id).await;
    assert!(matches!(
        sites.push_back().await,
        Err(StoreError::Locked { .. })
    ));
    let mut forced = offer(b, &group.id).await;
    forced.force = true;
    forced.base = Some(held.clone().into());
    assert!(matches!(
        handed(b, a, &project(), &forced).await,
        Err(StoreError::Locked { .. })
    ));
    assert_eq!(mark(a, &group.id).await, held);
    assert_eq!(settle(a).await, record.operation.id);
    sites.push_back().await.unwrap();
    assert_eq!(status(a, &group.id).await, GroupStatus::Error);
}

/// A site moves a group by itself, and comes to nothing.
async fn fail_alone(database: &Database, group: &GroupId) {
    let stored = database.group_show_by_id(group).await.unwrap();
    begin(database, &operation(1), &stored.group).await.unwrap();
    let failed = Effect::GroupStatus {
        group_id: group.clone(),
        status: GroupStatus::Error,
    };
    settle_with(database, vec![failed]).await;
}

#[tokio::test]
async fn the_time_of_the_last_replication_is_the_latest_of_both() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    let record = operation(1);
    begin(a, &record, &group).await.unwrap();
    let lease = std::time::Duration::from_secs(60);
    let claims = a
        .claim(
            &EngineId::new("engine-1"),
            at(10),
            lease,
            BOOK_VERSION,
            &Room::for_any(5),
        )
        .await
        .unwrap();
    let entry = Entry {
        effects: vec![Effect::GroupReplicated {
            group_id: group.id.clone(),
            at: at(12),
        }],
        ..Entry::default()
    };
    a.record(&claims[0], at(12), entry).await.unwrap();
    sites.push().await.unwrap();
    let replicated = b.group_show_by_id(&group.id).await.unwrap().group;
    assert_eq!(replicated.last_replication_at, Some(at(12)));
    assert_eq!(replicated.version, mark(a, &group.id).await.version);
}

#[tokio::test]
async fn a_group_that_was_deleted_is_not_brought_back_by_what_is_old() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    let old = offer(a, &group.id).await;
    let known = mark(a, &group.id).await;
    let other = MetadataState {
        version: known.version + 1,
        ..known.clone()
    };
    assert!(matches!(
        b.group_forget(&remote(), &group.id, &other, at(5)).await,
        Err(StoreError::GroupDiffers { .. })
    ));
    // Another project's group is none of theirs.
    b.group_forget(&"elsewhere".into(), &group.id, &known, at(5))
        .await
        .unwrap();
    assert_eq!(name(b, &group.id).await, group.name);
    for _ in 0..2 {
        b.group_forget(&remote(), &group.id, &known, at(6))
            .await
            .unwrap();
    }
    assert_eq!(
        handed(a, b, &remote(), &old).await,
        Err(StoreError::Deleted { at: at(6) })
    );
    let forced = Offered {
        force: true,
        base: None,
        ..old
    };
    handed(a, b, &remote(), &forced).await.unwrap();
    sites.assert_agreed().await;
    a.group_delete(&group.id, Precondition::Any, at(8))
        .await
        .unwrap();
    let late = Offered {
        force: false,
        ..forced
    };
    assert!(matches!(
        a.metadata_apply(&project(), &late, at(60)).await,
        Err(StoreError::Deleted { .. })
    ));
}

#[tokio::test]
async fn a_metadata_document_must_fit() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, ..) = protected(&bed, 1).await;
    let offered = offer(db, &group.id).await;
    let mut stranger = offered.clone();
    stranger.document.members[0].group_id = "another".into();
    for refusal in [
        db.metadata_apply(&"elsewhere".into(), &offered, at(1))
            .await,
        db.metadata_apply(&project(), &stranger, at(1)).await,
    ] {
        assert!(matches!(refusal, Err(StoreError::BadDocument(_))));
    }
    // Another project of the group's may not take it over.
    assert!(matches!(
        db.metadata_apply(&remote(), &offered, at(1)).await,
        Err(StoreError::NotFound { .. })
    ));
}

#[tokio::test]
async fn what_a_site_held_survives_its_record() {
    let held = DatedState {
        mark: MetadataState {
            version: 7,
            digest: "d".to_owned(),
        },
        changed_at: at(1),
    };
    let bed = bed::fresh("").await;
    let (group, ..) = protected(&bed, 1).await;
    let found = Conflict {
        local: held.clone(),
        remote: held,
        detected_at: at(2),
    };
    let db = &bed.database;
    db.conflict_note(&group.id, group.version, Some(&found))
        .await
        .unwrap();
    assert_eq!(conflict(&bed.another().await, &group.id).await, Some(found));
    db.conflict_note(&group.id, group.version, None)
        .await
        .unwrap();
    assert_eq!(conflict(db, &group.id).await, None);
}

/// The same server was added to a group on each site at the same moment: neither site takes the other's group over, and
/// each says which of its own has the server. The same where the other site forces its view.
#[tokio::test]
async fn a_server_that_another_group_has_here_is_a_named_refusal() {
    let [a, b] = [bed::fresh("a").await, bed::fresh("b").await];
    let (first, member, _) = protected(&a, 1).await;
    let (second, ..) = protected(&b, 2).await;
    let mut same = member.clone();
    same.id = "same".into();
    same.group_id = second.id.clone();
    let inserted = b
        .database
        .member_insert(&same, Precondition::Any, at(3))
        .await;
    inserted.unwrap();
    for (from, to, group, holder) in [(&a, &b, &first, &second), (&b, &a, &second, &first)] {
        let document = from
            .database
            .metadata_outgoing(&group.id)
            .await
            .unwrap()
            .document;
        for force in [false, true] {
            let offered = Offered {
                document: document.clone(),
                base: None,
                force,
            };
            let taken = to
                .database
                .metadata_apply(&project(), &offered, at(5))
                .await;
            let protection = Protection {
                resource: member.server_id.to_string(),
                group_name: holder.name.clone(),
            };
            assert_eq!(taken, Err(StoreError::Protected(protection)));
        }
        let unknown = to.database.group_show_by_id(&group.id).await;
        assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
    }
}
