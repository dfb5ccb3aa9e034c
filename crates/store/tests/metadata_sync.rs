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
    Bed,
    records::{TOKEN, at, begin, policy, project, protected},
};
use protector_core::{
    group::{Group, GroupStatus},
    id::{EngineId, GroupId, OperationId, ProjectId},
    journal::{Effect, Entry, Journal, OperationChange},
    journal_conformance::operation,
    operation::OperationState,
    runbook::BOOK_VERSION,
};
use protector_store::{
    Basis, Conflict, Database, GroupChange, Held, Mark, MetadataDocument, Offered, PushResult,
    Reservation, StoreError, Taken, UnsentGroup,
};
use secrecy::ExposeSecret;

/// Two sites, and a group of one member that both hold.
struct Sites {
    here: Bed,
    there: Bed,
    group: GroupId,
}

fn remote() -> ProjectId {
    "project-b".into()
}

async fn offer(from: &Database, group: &GroupId) -> Offered {
    let ours = from.metadata_outgoing(group).await.unwrap();
    let sent = ours.document.to_json().unwrap();
    Offered {
        document: MetadataDocument::from_json(sent).unwrap(),
        base: ours.side.base,
        force: false,
    }
}

async fn mark(database: &Database, group: &GroupId) -> Mark {
    let ours = database.metadata_outgoing(group).await.unwrap();
    ours.side.now
}

async fn conflict(database: &Database, group: &GroupId) -> Option<Conflict> {
    let ours = database.metadata_outgoing(group).await.unwrap();
    ours.conflict
}

async fn rename(database: &Database, group: &GroupId, name: &str, second: i64) {
    let change = GroupChange {
        name: Some(name.to_owned()),
        ..GroupChange::default()
    };
    database
        .group_update(group, &change, at(second))
        .await
        .unwrap();
}

async fn name(database: &Database, group: &GroupId) -> String {
    database.group_show_by_id(group).await.unwrap().group.name
}

impl Sites {
    async fn agreed() -> (Self, Group) {
        let (here, there) = (bed::fresh("_a").await, bed::fresh("_b").await);
        let (group, ..) = protected(&here, 1).await;
        let sites = Self {
            here,
            there,
            group: group.id.clone(),
        };
        assert!(matches!(sites.push().await, Ok(Taken::Held(_))));
        (sites, group)
    }

    fn a(&self) -> &Database {
        &self.here.database
    }

    fn b(&self) -> &Database {
        &self.there.database
    }

    /// What a hands over to b, and the note of it where b took it.
    async fn push(&self) -> Result<Taken, StoreError> {
        let offered = offer(self.a(), &self.group).await;
        handed(self.a(), self.b(), &remote(), &offered).await
    }

    /// The other way round.
    async fn push_back(&self) -> Result<Taken, StoreError> {
        let offered = offer(self.b(), &self.group).await;
        handed(self.b(), self.a(), &project(), &offered).await
    }

    async fn assert_agreed(&self) {
        let here = mark(self.a(), &self.group).await;
        assert_eq!(here, mark(self.b(), &self.group).await);
        for database in [self.a(), self.b()] {
            assert_eq!(database.push_due(at(9_999), 5).await.unwrap(), vec![]);
            assert_eq!(conflict(database, &self.group).await, None);
        }
    }
}

async fn handed(
    from: &Database,
    to: &Database,
    project: &ProjectId,
    offered: &Offered,
) -> Result<Taken, StoreError> {
    let taken = to.metadata_apply(project, offered, at(50)).await?;
    let sent = Mark {
        version: offered.document.group.version,
        digest: offered.document.digest().unwrap(),
    };
    if let Taken::Held(kept) = &taken
        && kept.digest == sent.digest
    {
        let group = &offered.document.group.id;
        from.push_done(group, &sent, kept, at(51)).await.unwrap();
    }
    Ok(taken)
}

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
    assert_eq!(token.unwrap().expose_secret(), TOKEN);
    let members = a.member_list(&group.id).await.unwrap();
    assert_eq!(b.member_list(&group.id).await.unwrap(), members);
    sites.assert_agreed().await;

    a.policy_delete(&group.id, Basis::Any, at(2)).await.unwrap();
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
    rename(b, &group.id, "renamed", 3).await;
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
    assert_eq!(name(a, &group.id).await, "renamed");
}

/// Whether b may be asked to hold the group still for anyone but a.
async fn is_free(sites: &Sites) -> bool {
    let wanted = Reservation {
        local_project: remote(),
        group_id: sites.group.clone(),
        version: mark(sites.b(), &sites.group).await.version,
        by_site: "site-c".into(),
        until: at(60),
    };
    match sites.b().group_reserve(&wanted, at(55)).await {
        Ok(()) => true,
        Err(StoreError::Reserved { by_site, .. }) => {
            assert_eq!(by_site, "site-a".into());
            false
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_site_that_moves_a_group_holds_the_other_one_still_until_it_has_ended() {
    let (sites, group) = Sites::agreed().await;
    let wanted = Reservation {
        local_project: remote(),
        group_id: group.id.clone(),
        version: mark(sites.b(), &group.id).await.version,
        by_site: "site-a".into(),
        until: at(100),
    };
    sites.b().group_reserve(&wanted, at(50)).await.unwrap();
    begin(sites.a(), &operation(1), &group).await.unwrap();
    sites.push().await.unwrap();
    assert!(!is_free(&sites).await, "it is being moved");
    let back = Effect::GroupStatus {
        group_id: group.id.clone(),
        status: GroupStatus::Active,
    };
    settle_with(sites.a(), vec![back]).await;
    sites.push().await.unwrap();
    assert!(is_free(&sites).await, "that has ended");
}

/// An engine takes the only operation up, and ends it.
async fn settle(database: &Database) -> OperationId {
    settle_with(database, vec![]).await
}

async fn settle_with(database: &Database, effects: Vec<Effect>) -> OperationId {
    let lease = std::time::Duration::from_secs(60);
    let engine = EngineId::new("engine-1");
    let mut claims = database
        .claim(&engine, at(10), lease, BOOK_VERSION, 5)
        .await
        .unwrap();
    let claim = claims.remove(0);
    let entry = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: at(11),
        }),
        effects,
        ..Entry::default()
    };
    database.record(&claim, at(11), entry).await.unwrap();
    claim.operation_id
}

#[tokio::test]
async fn the_time_of_the_last_replication_is_the_latest_of_both() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    let record = operation(1);
    begin(a, &record, &group).await.unwrap();
    let lease = std::time::Duration::from_secs(60);
    let claims = a
        .claim(&EngineId::new("engine-1"), at(10), lease, BOOK_VERSION, 5)
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
    let other = Mark {
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
    a.group_delete(&group.id, Basis::Any, at(8)).await.unwrap();
    assert!(matches!(
        sites.push_back_of(&forced).await,
        Err(StoreError::Deleted { .. })
    ));
}

impl Sites {
    async fn push_back_of(&self, offered: &Offered) -> Result<Taken, StoreError> {
        let offered = Offered {
            force: false,
            ..offered.clone()
        };
        self.a().metadata_apply(&project(), &offered, at(60)).await
    }
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
    let held = Held {
        mark: Mark {
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
