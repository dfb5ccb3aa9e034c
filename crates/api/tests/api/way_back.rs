//! The second disaster: a group has failed over, and the site that it runs on is lost too.

use std::collections::BTreeMap;

use http::Method;
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::OperationId,
    journal::{Effect, Entry, Journal, OperationChange},
    mark,
    member::{Member, MemberStatus},
    operation::{MapKind, OperationState, StepProgress, StepState},
    orphan::CloudResource,
    runbook::{Step, resource::ResourceKind},
    storage::PromotionKind,
};
use protector_store::Lock;
use serde_json::{Value, json};

use crate::{
    engine::{self, claim, cleanup, cleanup_with, not_taken_back, settle},
    fakes::{FixedClock, NET_A, PROJECT_A, WEB},
    house::{Answer, House, failover_body, group_path},
    orphans::holds,
    reset_status::{server, shows},
    site_failover::arrive,
};

async fn act(house: &House, body: Value) -> Answer {
    let path = group_path("web", "/action");
    house.send(Method::POST, &path, "member", body).await
}

async fn group(house: &House) -> Value {
    let shown = house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    shown.body["protection_group"].clone()
}

/// An unplanned move, asked for with `verb`. The fakes leave the members on the primary site's network.
fn lost(verb: &str, dry_run: bool) -> Value {
    json!({verb: {"type": "unplanned", "dry_run": dry_run, "network_mapping": {NET_A: NET_A}}})
}

/// A group that has failed over to site-b, seen from site-a.
pub async fn failed_over() -> House {
    let house = House::with_member(WEB).await;
    engine::start(&house).await;
    arrive(&house).await;
    assert_eq!(group(&house).await["status"], "failed_over");
    house
}

/// The same, left in `status` by an operation that has ended since.
pub async fn left_as(status: GroupStatus) -> House {
    let house = failed_over().await;
    let failback = json!({"failback": {"network_mapping": {NET_A: NET_A}}});
    act(&house, failback).await.expect(202);
    end(&house, OperationState::Failed, |group_id, _| {
        Effect::GroupStatus { group_id, status }
    })
    .await;
    house
}

/// A failback that was interrupted by the loss of its source, and the unplanned one that was to go on from it and failed.
pub async fn taken_over_in_vain() -> (House, [OperationId; 2]) {
    let house = failed_over().await;
    let failback = json!({"failback": {"network_mapping": {NET_A: NET_A}}});
    let mut ids = Vec::new();
    for action in [failback, lost("failover", false)] {
        let started = act(&house, action).await.expect(202).body;
        ids.push(started["operation"]["id"].as_str().unwrap().into());
    }
    end(&house, OperationState::Failed, |group_id, _| {
        let status = GroupStatus::Error;
        Effect::GroupStatus { group_id, status }
    })
    .await;
    (house, ids.try_into().unwrap())
}

/// Ends the operation under way with one effect on its group and members.
async fn end(
    house: &House,
    state: OperationState,
    effect: impl FnOnce(protector_core::id::GroupId, Vec<Member>) -> Effect,
) {
    end_as(house, state, |_| None, effect).await;
}

/// The same, of an operation whose lines have ended as `progress` says.
async fn end_as(
    house: &House,
    state: OperationState,
    progress: impl Fn(&Step) -> Option<StepProgress>,
    effect: impl FnOnce(protector_core::id::GroupId, Vec<Member>) -> Effect,
) {
    let claim = claim(house).await;
    let now = FixedClock.now();
    let record = house.database.load(&claim).await.unwrap();
    let lines = record.steps.iter();
    let mut lines: Vec<(u32, StepProgress)> = lines
        .filter_map(|step| Some((step.position, progress(&step.action)?)))
        .collect();
    let operation = record.operation;
    let members = house
        .database
        .member_list(&operation.group_id)
        .await
        .unwrap();
    let effects = vec![effect(operation.group_id, members)];
    for (change, effects) in [
        (OperationChange::Started { at: now }, effects),
        (OperationChange::Settled { state, at: now }, vec![]),
    ] {
        let entry = Entry {
            operation: Some(change),
            steps: std::mem::take(&mut lines),
            effects,
            ..Entry::default()
        };
        house.database.record(&claim, now, entry).await.unwrap();
    }
}

#[tokio::test]
async fn a_group_whose_second_site_is_lost_comes_back_to_the_first() {
    for verb in ["failover", "failback"] {
        let house = failed_over().await;
        let shown = act(&house, lost(verb, true)).await.expect(200).body;
        let preview = &shown["preview"];
        assert_eq!(preview["operation_type"], "failback");
        assert_eq!(preview["type"], "unplanned");
        assert_eq!(preview["source_site"], "site-b");
        assert_eq!(preview["target_site"], "site-a");

        let started = act(&house, lost(verb, false)).await.expect(202).body;
        let operation = &started["operation"];
        assert_eq!(operation["operation_type"], "failback");
        assert_eq!(operation["source_site"], "site-b");
        assert_eq!(operation["target_site"], "site-a");
        assert_eq!(group(&house).await["status"], "failing_back");
    }
}

#[tokio::test]
async fn it_comes_back_from_whatever_the_lost_site_has_left_it_in() {
    for status in [
        GroupStatus::FailedOverPartial,
        GroupStatus::FailingOver,
        GroupStatus::FailingBack,
        GroupStatus::Error,
    ] {
        let house = left_as(status).await;
        assert_eq!(group(&house).await["status"], status.as_str());
        act(&house, lost("failover", false)).await.expect(202);
        assert_eq!(group(&house).await["status"], "failing_back", "{status}");
    }
}

#[tokio::test]
async fn a_planned_failback_that_the_loss_of_its_source_interrupts_gives_way() {
    let house = failed_over().await;
    let failback = json!({"failback": {"network_mapping": {NET_A: NET_A}}});
    let planned = act(&house, failback).await.expect(202).body["operation"]["id"].clone();
    let shown = act(&house, lost("failover", true)).await.expect(200).body;
    let warnings = shown["preview"]["warnings"].to_string();
    assert!(warnings.contains(planned.as_str().unwrap()), "{warnings}");
    let started = act(&house, lost("failover", false)).await.expect(202).body;
    let its_cleanup = Lock::cleanup_of(&planned.as_str().unwrap().into());
    let holder = house.database.lock_holder(&its_cleanup).await.unwrap();
    let holder = holder.map(|id| id.to_string());
    assert_eq!(
        holder.as_deref(),
        started["operation"]["id"].as_str(),
        "a cleanup could take back what it takes over"
    );
    let path = format!(
        "/v1/{}/operations/{}",
        crate::fakes::PROJECT_A,
        planned.as_str().unwrap()
    );
    let ended = house.get(&path, "member").await.expect(200).body;
    assert_eq!(
        ended["operation"]["error_code"], "PRT-SUPERSEDED",
        "{ended}"
    );
}

#[tokio::test]
async fn old_servers_that_may_run_where_it_would_go_are_fenced_first() {
    let house = left_as(GroupStatus::SplitBrain).await;
    let refused = act(&house, lost("failover", false)).await.expect(409);
    let said = refused.message();
    assert!(said.contains("split_brain"), "{said}");
    assert!(said.contains("'openstack dr fence web'"), "{said}");
}

#[tokio::test]
async fn a_group_on_its_primary_site_has_no_way_back() {
    let house = House::with_member(WEB).await;
    let refused = act(&house, lost("failback", false)).await.expect(409);
    let said = refused.message();
    assert!(
        said.contains("'openstack dr failover web --type unplanned'"),
        "{said}"
    );
}

/// What could not be recovered is retried, and what was left on the lost site is fenced, as after a failover.
#[tokio::test]
async fn what_comes_back_in_part_says_so_and_is_not_moved_onto_what_it_left() {
    let house = failed_over().await;
    act(&house, lost("failover", false)).await.expect(202);
    end(&house, OperationState::Completed, |group_id, members| {
        Effect::GroupSwitched {
            group_id,
            current_primary_site: "site-a".into(),
            members: members
                .into_iter()
                .map(|member| Member {
                    status: MemberStatus::Error,
                    ..member
                })
                .collect(),
        }
    })
    .await;
    let shown = group(&house).await;
    assert_eq!(shown["status"], "active_partial", "{shown}");
    assert_eq!(shown["current_primary_site"], "site-a");
    for action in [json!({"retry": {}}), json!({"fence": null})] {
        act(&house, action.clone()).await.expect(202);
        end(&house, OperationState::Failed, |group_id, _| {
            Effect::GroupAtRest { group_id }
        })
        .await;
        assert_eq!(group(&house).await["status"], "active_partial", "{action}");
    }
}

/// A group that is back on site-a but for its only member, whose original on the lost site-b is `status` by now.
async fn unrecovered(status: &str) -> House {
    let house = failed_over().await;
    act(&house, lost("failover", false)).await.expect(202);
    end(&house, OperationState::Completed, |group_id, members| {
        let in_error = |member| Member {
            status: MemberStatus::Error,
            ..member
        };
        Effect::GroupSwitched {
            group_id,
            current_primary_site: "site-a".into(),
            members: members.into_iter().map(in_error).collect(),
        }
    })
    .await;
    shows(&house, "site-b", vec![server(WEB, status)]);
    house
}

/// What the arrays have of it on site-b is not a replica of what runs on site-a until a cleanup has made it one: nothing that
/// rests on that may start.
#[tokio::test]
async fn nothing_rests_on_what_a_lost_site_has_before_that_is_a_replica_again() {
    let house = failed_over().await;
    *house.outside.arrays.promotion.lock().unwrap() = PromotionKind::InPlace;
    let started = act(&house, lost("failover", false)).await.expect(202).body;
    let id = started["operation"]["id"].as_str().unwrap().to_owned();
    let left = |action: &Step| match action {
        Step::LeaveReplica { .. } => Some(StepProgress {
            state: StepState::Failed,
            ..StepProgress::default()
        }),
        _ => None,
    };
    end_as(
        &house,
        OperationState::Completed,
        left,
        |group_id, members| Effect::GroupSwitched {
            group_id,
            current_primary_site: "site-a".into(),
            members,
        },
    )
    .await;
    let there = json!({"failover": {"type": "planned", "network_mapping": {NET_A: NET_A}}});
    let test = json!({"test_failover": {"network_mapping": {NET_A: NET_A}}});
    for action in [&there, &test] {
        let refused = act(&house, action.clone()).await.expect(409);
        let said = refused.message();
        assert!(
            said.contains("of 2 of its volumes is not a replica"),
            "{said}"
        );
        let command = format!("'openstack dr operation cleanup {id}' first");
        assert!(said.contains(&command), "{said}");
        assert!(said.contains("site retire site-a --give-up web"), "{said}");
    }
    cleanup(&house, &id.as_str().into(), "member")
        .await
        .expect(202);
    settle(&house, &[]).await;
    act(&house, there).await.expect(202);
}

/// A group that is back on site-a but for its only member, for which the failover has built what is no good.
async fn built_badly() -> (House, OperationId) {
    let house = failed_over().await;
    let started = act(&house, lost("failover", false)).await.expect(202).body;
    let id = started["operation"]["id"].as_str().unwrap().into();
    let built = |action: &Step| match action {
        Step::RecreateServer { .. } => Some(StepProgress {
            state: StepState::Failed,
            ..not_taken_back(Some("built-badly"))
        }),
        _ => None,
    };
    let unrecovered = |group_id, members: Vec<Member>| {
        let in_error = |member| Member {
            status: MemberStatus::Error,
            ..member
        };
        Effect::GroupSwitched {
            group_id,
            current_primary_site: "site-a".into(),
            members: members.into_iter().map(in_error).collect(),
        }
    };
    end_as(&house, OperationState::Completed, built, unrecovered).await;
    (house, id)
}

/// What the failover has made for a member that it could not build is needed by a retry; nobody needs it when that is not in
/// the group any more.
#[tokio::test]
async fn what_was_made_for_a_member_that_has_left_is_taken_by_a_cleanup() {
    let (house, id) = built_badly().await;
    let taken = async || {
        let shown = cleanup_with(&house, &id, "member", json!({"dry_run": true})).await;
        let left = shown.expect(200).body["cleanup"]["leftovers"].take();
        let left = left.as_array().unwrap().clone().into_iter();
        let undone = left.filter(|left| left["step"].as_str().unwrap().starts_with("undo:"));
        undone.collect::<Vec<Value>>()
    };
    assert_eq!(taken().await, Vec::<Value>::new(), "a retry needs it");

    let path = group_path("web", "/members/web-server-1?give_up=true");
    house.delete(&path, "member").await.expect(204);
    let left = taken().await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["step"], "undo:recreate_vms:web-server-1");
    assert_eq!(left[0]["resource_id"], "built-badly");
    assert_eq!(left[0]["site"], "site-a");
    assert_eq!(left[0]["reason"], "not_taken_back");
    cleanup(&house, &id, "member").await.expect(202);
    settle(&house, &[]).await;
    assert_eq!(taken().await, Vec::<Value>::new(), "it is gone");
}

/// Everything that tells of leftovers counts what the cleanup takes.
#[tokio::test]
async fn what_was_made_for_a_member_that_has_left_is_found_wherever_leftovers_are_told() {
    let (house, id) = built_badly().await;
    let built = CloudResource {
        kind: ResourceKind::Server,
        id: "built-badly".to_owned(),
        name: "web-server-1".to_owned(),
        project_id: PROJECT_A.into(),
        status: "ERROR".to_owned(),
        size_gib: None,
        created_at: FixedClock.now(),
        metadata: BTreeMap::from([(mark::OPERATION.to_owned(), id.to_string())]),
        servers: vec![],
        snapshots: vec![],
    };
    holds(&house, "site-a", vec![built]);
    holds(&house, "site-b", vec![]);
    let push = house.database.operation_push(&id).await.unwrap();
    let pushed = house.database.operation_pushed(&id, push.revision);
    pushed.await.unwrap();
    let told = async || {
        let at = |path: &str| format!("/v1/{PROJECT_A}/{path}");
        let get = async |path: &str| house.get(&at(path), "member").await.expect(200).body;
        let listed = get("operations?leftovers=true&limit=1").await;
        let listed = listed["operations"].as_array().unwrap().clone();
        let shown = get(&format!("operations/{id}")).await;
        let found = get("orphans").await;
        let orphans = found["orphans"].as_array().unwrap().clone().into_iter();
        let soon = FixedClock.now() + chrono::TimeDelta::minutes(1);
        let check = get("protection-groups/web/check").await;
        let findings = check["check"]["findings"].as_array().unwrap().clone();
        Told {
            listed: listed
                .iter()
                .map(|one| (one["id"].clone(), one["leftovers"].clone()))
                .collect(),
            shown: shown["operation"]["leftovers"].clone(),
            deletable: orphans
                .map(|orphan| (orphan["resource_id"].clone(), orphan["deletable"].clone()))
                .collect(),
            counted: house.database.left_count().await.unwrap(),
            is_pushed_anew: house
                .database
                .operation_push_due(soon, 10)
                .await
                .unwrap()
                .contains(&id),
            is_checked: findings
                .iter()
                .any(|finding| finding.to_string().contains(id.as_str())),
        }
    };
    let needed = Told {
        listed: vec![],
        shown: json!(0),
        deletable: vec![(json!("built-badly"), json!(false))],
        counted: 0,
        is_pushed_anew: false,
        is_checked: false,
    };
    assert_eq!(told().await, needed, "a retry needs it");

    let path = group_path("web", "/members/web-server-1?give_up=true");
    house.delete(&path, "member").await.expect(204);
    let left = Told {
        listed: vec![(json!(id.as_str()), json!(1))],
        shown: json!(1),
        deletable: vec![(json!("built-badly"), json!(true))],
        counted: 1,
        is_pushed_anew: true,
        is_checked: true,
    };
    assert_eq!(told().await, left);

    let of_it = json!({"resources": ["built-badly"]});
    cleanup_with(&house, &id, "member", of_it).await.expect(202);
    settle(&house, &[]).await;
    let gone = told().await;
    assert_eq!((gone.listed, gone.counted), (vec![], 0));
}

/// Where an operation's leftovers are told.
#[derive(Debug, PartialEq)]
struct Told {
    listed: Vec<(Value, Value)>,
    shown: Value,
    deletable: Vec<(Value, Value)>,
    counted: u64,
    is_pushed_anew: bool,
    is_checked: bool,
}

/// The bytes of its only member are lost with an array, or nobody knows any more how it was to be recovered.
#[tokio::test]
async fn a_group_is_whole_without_the_member_that_cannot_be_recovered() {
    for with_record in [true, false] {
        let house = match with_record {
            true => unrecovered("DELETED").await,
            false => partial_without_a_record().await,
        };
        assert_eq!(group(&house).await["status"], "active_partial");
        if !with_record {
            let refused = act(&house, json!({"retry": {}})).await.expect(409);
            let why = refused.message();
            assert!(why.contains("'openstack dr member remove web"), "{why}");
        }
        let path = group_path("web", "/members/web-server-1");
        let refused = house.delete(&path, "member").await.expect(409);
        let why = refused.message();
        for way_on in [
            "'openstack dr retry web'",
            "'openstack dr member remove web web-server-1 --give-up'",
        ] {
            assert!(why.contains(way_on), "{why}");
        }
        let path = format!("{path}?give_up=true");
        house.delete(&path, "member").await.expect(204);
        let whole = group(&house).await;
        assert_eq!(whole["status"], "active", "{whole}");
        assert_eq!(whole["current_primary_site"], "site-a");
    }
}

/// The same as if the record of its unplanned failover had been lost: what is on record moved all of it.
async fn partial_without_a_record() -> House {
    let house = failed_over().await;
    let failback = json!({"failback": {"network_mapping": {NET_A: NET_A}}});
    act(&house, failback).await.expect(202);
    end(&house, OperationState::Completed, |group_id, members| {
        let in_error = |member| Member {
            status: MemberStatus::Error,
            ..member
        };
        Effect::GroupSwitched {
            group_id,
            current_primary_site: "site-a".into(),
            members: members.into_iter().map(in_error).collect(),
        }
    })
    .await;
    house
}

#[tokio::test]
async fn a_retry_asks_the_site_that_was_lost_before_it_starts() {
    let retry = |said| json!({"retry": {"lose_newer_writes": said}});
    for (status, said) in [("ACTIVE", false), ("ACTIVE", true), ("SHUTOFF", false)] {
        let house = unrecovered(status).await;
        let refused = act(&house, retry(said)).await.expect(409);
        let why = refused.message();
        for word in [
            &format!("web-server-1 ({WEB}, {status}"),
            "is not retried beside what is back on site-b",
            "'--action failover' brings the other VMs to it",
            "openstack dr retry web --lose-newer-writes",
        ] {
            assert!(why.contains(word), "{word} is not in {why}");
        }
        assert_eq!(group(&house).await["status"], "active_partial");
    }
    let house = unrecovered("SHUTOFF").await;
    let started = act(&house, retry(true)).await.expect(202).body;
    let id = started["operation"]["id"].as_str().unwrap().into();
    let record = house.database.operation_show_by_id(&id).await.unwrap();
    assert!(record.map.target(MapKind::NewerIsLost, WEB).is_some());
}

#[tokio::test]
async fn a_group_that_came_back_is_not_failed_over_onto_what_it_left() {
    let house = failed_over().await;
    let back = act(&house, lost("failover", false)).await.expect(202).body;
    let back = back["operation"]["id"].as_str().unwrap().to_owned();
    came_back(&house).await;
    assert_eq!(group(&house).await["status"], "active");
    let refused = act(&house, failover_body()).await.expect(409);
    let said = refused.message();
    assert!(
        said.contains(&format!("operation cleanup {back}")),
        "{said}"
    );
    assert!(said.contains("still on site-b"), "{said}");
    act(&house, json!({"fence": null})).await.expect(202);
}

/// Ends the way back as an engine does: what was on site-b is left there.
async fn came_back(house: &House) {
    let claim = claim(house).await;
    let now = FixedClock.now();
    let record = house.database.load(&claim).await.unwrap();
    let group_id = record.operation.group_id.clone();
    let members = house.database.member_list(&group_id).await.unwrap();
    let steps = record.steps.iter().map(|step| {
        let left = step.key.starts_with("delete_source");
        let progress = if left {
            engine::failed_line()
        } else {
            engine::done()
        };
        (step.position, progress)
    });
    let copies = members.iter().map(|member| Effect::Mapped {
        kind: MapKind::Server,
        source: member.server_id.to_string(),
        target: "its-copy".to_owned(),
    });
    let mut effects: Vec<Effect> = copies.collect();
    effects.push(Effect::GroupSwitched {
        group_id,
        current_primary_site: "site-a".into(),
        members,
    });
    let began = Entry {
        unprotected: Vec::new(),
        not_after: None,
        operation: Some(OperationChange::Started { at: now }),
        steps: steps.collect(),
        effects,
    };
    let ended = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: now,
        }),
        ..Entry::default()
    };
    for entry in [began, ended] {
        house.database.record(&claim, now, entry).await.unwrap();
    }
}
