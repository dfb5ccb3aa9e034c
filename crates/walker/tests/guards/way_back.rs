//! The second disaster: the site that a group has failed over to is lost while the first one still has its originals.

use protector_core::{
    group::GroupStatus,
    member::MemberStatus,
    operation::{
        MapKind, OperationKind, OperationRecord, OperationState, Planning, ResourceMap,
        steps_failed,
    },
    plan::Plan,
    runbook::{
        Runbook, failover::planned_move, fence::fence, replicate::replicate_now,
        unplanned_failover::unplanned_failover,
    },
};
use protector_simcloud::{cloud::Component, in_process::lock};
use serde_json::json;

use super::{
    fixture::{Fixture, operation, unplanned},
    source_at_rest::{has_begun, once},
};

fn record(id: &str, kind: OperationKind, plan: Plan, book: Runbook) -> OperationRecord {
    let now = plan.members[0].created_at;
    OperationRecord {
        operation: operation(id, kind, plan, None, now),
        steps: book.into_steps().unwrap(),
        map: ResourceMap::default(),
    }
}

/// A fixture whose group has failed over to site-b, with a recovery point on site-a, when site-b is lost; and the way back.
async fn back() -> (Fixture, OperationRecord) {
    let fixture = Fixture::switched().await;
    let plan = fixture.plan_to_other_site();
    let sync = record(
        "op-sync",
        OperationKind::Sync,
        plan.clone(),
        replicate_now(),
    );
    let sync = fixture.walk(sync).await;
    assert_eq!(sync.operation.error, None);
    fixture.lose_target();
    let steps = unplanned_failover(&plan);
    let back = fixture
        .walk(unplanned(record(
            "op-back",
            OperationKind::Failback,
            plan,
            steps,
        )))
        .await;
    (fixture, back)
}

#[tokio::test(start_paused = true)]
async fn a_group_comes_back_to_its_first_site_beside_the_originals_that_are_still_there() {
    let (fixture, back) = back().await;
    assert_eq!(back.operation.error, None);
    assert_eq!(back.operation.state, OperationState::Completed);
    let left: Vec<String> = steps_failed(&back.steps)
        .into_iter()
        .map(|step| step.step)
        .collect();
    assert_eq!(
        left,
        [
            "delete_source_vm:vm-001",
            "delete_source_volume:vm-001-boot",
            "delete_source_volume:vm-001-data-1",
        ],
        "nothing on the lost site was touched"
    );
    let (group, members) = fixture.group_and_members();
    assert_eq!(group.status, GroupStatus::Active);
    assert_eq!(group.current_primary_site.as_str(), "site-a");
    let runs = members[0].server_id.as_str();
    assert_ne!(
        runs, fixture.server,
        "the original is not taken for the copy"
    );
    assert_eq!(fixture.server_facts(runs).unwrap().status, "ACTIVE");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    for volume in [&fixture.boot, &fixture.data] {
        let kept = fixture.volume_facts(volume).unwrap();
        assert_eq!(kept.status, "in-use", "the originals are as they were");
    }
    fixture.assert_bystander_is_untouched();
}

#[tokio::test(start_paused = true)]
async fn what_it_left_is_fenced_when_the_lost_site_is_back() {
    let (fixture, back) = back().await;
    lock(&fixture.target).clear_faults();
    let old = fixture.copy_of(MapKind::Server, &fixture.server);
    let server = |id: &str| {
        let servers = lock(&fixture.target).servers();
        servers.into_iter().find(|server| server.id == id).unwrap()
    };
    assert_eq!(server(&old).status, "ACTIVE", "it came back by itself");
    fixture.set_group_status(GroupStatus::SplitBrain);
    let plan = back.operation.plan.clone();
    let book = fence(&plan, Planning::Planned);
    let fenced = fixture
        .walk(record("op-fence", OperationKind::Fence, plan, book))
        .await;
    assert_eq!(
        fenced.operation.state,
        OperationState::Completed,
        "{:?}",
        fenced.operation.error
    );
    assert_eq!(server(&old).status, "SHUTOFF");
    assert_eq!(fixture.group().status, GroupStatus::Active);
}

/// What the failover has left is started by a tenant.
fn start_original(fixture: &Fixture) {
    let url = format!("compute /servers/{}/action", fixture.server);
    fixture.at_once("demo", "POST", &url, &json!({"os-start": null}));
}

fn run_on_source(fixture: &Fixture) -> Vec<String> {
    let servers = lock(&fixture.source).servers();
    let running = servers.into_iter().filter(|server| server.running);
    let bystanders = |id: &String| fixture.bystander != *id;
    running.map(|server| server.id).filter(bystanders).collect()
}

/// The way back of the group of `fixture`, while somebody looks on.
async fn failed_back_among(
    fixture: &Fixture,
    look_on: impl FnMut(&Fixture, &OperationRecord),
) -> OperationRecord {
    let plan = fixture.plan_to_other_site();
    let book = planned_move(&plan);
    let back = record("op-back", OperationKind::Failback, plan, book);
    fixture.walk_among(back, look_on).await
}

/// It was refused or taken back, and says which server has to be stopped.
fn assert_only_the_original_is_there(fixture: &Fixture, back: &OperationRecord, line: &str) {
    let why = back.operation.error.clone().unwrap_or_default();
    assert_eq!(back.operation.state, OperationState::Failed, "{why}");
    let words = format!(
        "server stop {}', then 'openstack dr failback",
        fixture.server
    );
    for said in [line, "was made from it", words.as_str()] {
        assert!(why.contains(said), "{said} is not in {why}");
    }
    assert_eq!(
        run_on_source(fixture),
        std::slice::from_ref(&fixture.server)
    );
    let copy = fixture.copy_of(MapKind::Server, &fixture.server);
    let servers = lock(&fixture.target).servers();
    let copy = servers.into_iter().find(|server| server.id == copy);
    assert_eq!(copy.unwrap().status, "ACTIVE", "it runs");
    assert_eq!(fixture.group().status, GroupStatus::FailedOver);
}

#[tokio::test(start_paused = true)]
async fn no_failback_stops_anything_beside_an_original_that_runs() {
    let fixture = Fixture::switched().await;
    start_original(&fixture);
    fixture.a_while().await;
    let back = failed_back_among(&fixture, |_, _| {}).await;
    assert_only_the_original_is_there(&fixture, &back, "check_target");
    let stops = lock(&fixture.target)
        .call_log()
        .iter()
        .filter(|call| call.action.as_deref() == Some("os-stop"))
        .count();
    assert_eq!(stops, 0);
}

#[tokio::test(start_paused = true)]
async fn an_original_started_before_a_build_of_the_failback_takes_that_back() {
    let fixture = Fixture::switched().await;
    let start = |fixture: &Fixture| start_original(fixture);
    let when = |record: &OperationRecord| has_begun(record, "promote_volumes");
    let back = failed_back_among(&fixture, once(when, start)).await;
    assert_only_the_original_is_there(&fixture, &back, "recreate_vms:vm-001");
}

#[tokio::test(start_paused = true)]
async fn an_original_started_after_the_last_build_of_the_failback_takes_that_back() {
    let fixture = Fixture::switched().await;
    let start = |fixture: &Fixture| start_original(fixture);
    let when = |record: &OperationRecord| has_begun(record, "confirm_vms");
    let back = failed_back_among(&fixture, once(when, start)).await;
    assert_only_the_original_is_there(&fixture, &back, "switch_primary");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recovered_beside_an_original_that_runs() {
    let fixture = Fixture::switched().await;
    let plan = fixture.plan_to_other_site();
    let book = replicate_now();
    fixture
        .walk(record("op-sync", OperationKind::Sync, plan.clone(), book))
        .await;
    fixture.lose_target();
    start_original(&fixture);
    fixture.a_while().await;
    let book = unplanned_failover(&plan);
    let back = record("op-back", OperationKind::Failback, plan, book);
    let back = fixture.walk(unplanned(back)).await;
    let build = back
        .steps
        .iter()
        .find(|step| step.key == "recreate_vms:vm-001");
    let why = build
        .and_then(|step| step.progress.error.clone())
        .unwrap_or_default();
    assert!(why.contains("was made from it"), "{why}");
    assert!(why.contains("then 'openstack dr retry "), "{why}");
    assert_eq!(
        run_on_source(&fixture),
        std::slice::from_ref(&fixture.server)
    );
}

/// What is left of it is on the site that the group would leave, and nobody would recover it from there any more.
#[tokio::test(start_paused = true)]
async fn a_group_does_not_leave_the_last_bytes_of_a_member_that_was_not_recovered() {
    let with_one_that_is_gone = |plan: &mut Plan| {
        let mut lost = plan.members[0].clone();
        lost.id = "lost-member".into();
        lost.name = "db".to_owned();
        lost.server_id = "db-server".into();
        lost.status = MemberStatus::Error;
        lost.volumes.clear();
        plan.others = vec![lost];
    };
    let (fixture, record) = Fixture::moved_as(with_one_that_is_gone, |_| {}, |_, _| {}).await;
    let why = record.operation.error.clone().unwrap();
    for word in [
        "its original db-server is gone from site-b",
        "'openstack dr retry ",
        "'openstack dr member remove ",
    ] {
        assert!(why.contains(word), "{why}");
    }
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(fixture.group().status, GroupStatus::Active);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}

/// A server without its volumes has none of its bytes.
#[tokio::test(start_paused = true)]
async fn nor_those_of_one_whose_original_has_lost_a_volume() {
    let fixture = Fixture::switched().await;
    let mut plan = fixture.plan_to_other_site();
    let mut lost = plan.members[0].clone();
    lost.id = "lost-member".into();
    lost.name = "db".to_owned();
    lost.server_id = fixture.bystander.as_str().into();
    lost.status = MemberStatus::Error;
    lost.volumes.truncate(1);
    lost.volumes[0].id = "gone-volume".into();
    plan.others = vec![lost];
    let book = planned_move(&plan);
    let back = fixture
        .walk(record("op-back", OperationKind::Failback, plan, book))
        .await;
    let why = back.operation.error.clone().unwrap();
    for word in [
        "volume gone-volume of its original",
        "is gone from site-a",
        "'openstack dr retry ",
    ] {
        assert!(why.contains(word), "{why}");
    }
    assert_eq!(back.operation.state, OperationState::Failed);
}

/// Marks the server that the group runs as a later life: made from one that is gone, and `first` is its first one.
fn as_a_later_life(fixture: &Fixture, first: &str) {
    let copy = fixture.copy_of(MapKind::Server, &fixture.server);
    let marks = json!({"metadata": {"protector:source": "gone-server", "protector:origin": first}});
    let url = format!("compute /servers/{copy}/metadata");
    fixture.on_target("demo", "POST", &url, &marks);
}

/// Four moves, the last one when what the group runs on is lost: then only the record tells what it was made from.
#[tokio::test(start_paused = true)]
async fn a_copy_knows_the_first_of_its_lives_over_all_moves() {
    let fixture = Fixture::switched().await;
    let origin = |cloud, id: &str| {
        let servers = lock(cloud).servers();
        let server = servers.into_iter().find(|server| server.id == id).unwrap();
        server.metadata.get("protector:origin").cloned()
    };
    let runs = || fixture.group_and_members().1[0].server_id.to_string();
    assert_eq!(
        origin(&fixture.target, &runs()),
        Some(fixture.server.clone())
    );
    for (id, kind, cloud) in [
        ("op-back", OperationKind::Failback, &fixture.source),
        ("op-there", OperationKind::Failover, &fixture.target),
    ] {
        let plan = fixture.plan_to_other_site();
        let book = planned_move(&plan);
        let moved = fixture.walk(record(id, kind, plan, book)).await;
        assert_eq!(moved.operation.error, None, "{id}");
        assert_eq!(origin(cloud, &runs()), Some(fixture.server.clone()), "{id}");
    }
    start_original(&fixture);
    fixture.a_while().await;
    let plan = fixture.plan_to_other_site();
    let book = replicate_now();
    fixture
        .walk(record("op-sync", OperationKind::Sync, plan.clone(), book))
        .await;
    fixture.lose_target();
    let book = unplanned_failover(&plan);
    let last = record("op-last", OperationKind::Failback, plan, book);
    let last = fixture.walk(unplanned(last)).await;
    let build = last
        .steps
        .iter()
        .find(|step| step.key == "recreate_vms:vm-001");
    let why = build.unwrap().progress.error.clone().unwrap_or_default();
    let runs = format!("server {} on site-a is ACTIVE", fixture.server);
    assert!(
        why.contains(&runs) && why.contains("was made from it"),
        "{why}"
    );
}

/// A tenant has protected the copy of a test anew: that is a machine of its own.
#[tokio::test(start_paused = true)]
async fn what_another_group_protects_is_in_nobodys_way() {
    let fixture = Fixture::switched().await;
    as_a_later_life(&fixture, "first-server");
    let url = format!("compute /servers/{}/metadata", fixture.server);
    let same = json!({"metadata": {"protector:origin": "first-server"}});
    fixture.at_once("demo", "POST", &url, &same);
    start_original(&fixture);
    fixture.a_while().await;
    let mut member = fixture.group_and_members().1[0].clone();
    member.id = "of-another-group".into();
    member.server_id = fixture.server.as_str().into();
    member.volumes.clear();
    fixture.protects("another", "site-a", Some(member));
    let back = failed_back_among(&fixture, |_, _| {}).await;
    assert_eq!(back.operation.error, None);
}

/// Whoever has started and protected the original itself: it and the copy are one machine.
#[tokio::test(start_paused = true)]
async fn an_original_that_another_group_protects_is_still_the_same_machine() {
    let fixture = Fixture::switched().await;
    start_original(&fixture);
    fixture.a_while().await;
    let mut member = fixture.group_and_members().1[0].clone();
    member.id = "of-another-group".into();
    member.server_id = fixture.server.as_str().into();
    member.volumes.clear();
    fixture.protects("another", "site-a", Some(member));
    let back = failed_back_among(&fixture, |_, _| {}).await;
    assert_only_the_original_is_there(&fixture, &back, "check_target");
}

/// The one that the copy was made from is long gone; the first one was left by a move before.
#[tokio::test(start_paused = true)]
async fn no_failback_stops_anything_beside_an_earlier_life_that_runs() {
    let fixture = Fixture::switched().await;
    as_a_later_life(&fixture, &fixture.server);
    start_original(&fixture);
    fixture.a_while().await;
    let back = failed_back_among(&fixture, |_, _| {}).await;
    assert_only_the_original_is_there(&fixture, &back, "check_target");
}

/// What has the same first life is the same machine, whichever move has left it there.
#[tokio::test(start_paused = true)]
async fn nor_beside_one_that_has_the_same_first_life() {
    let fixture = Fixture::switched().await;
    as_a_later_life(&fixture, "first-server");
    let url = format!("compute /servers/{}/metadata", fixture.server);
    let same = json!({"metadata": {"protector:origin": "first-server"}});
    fixture.at_once("demo", "POST", &url, &same);
    start_original(&fixture);
    fixture.a_while().await;
    let back = failed_back_among(&fixture, |_, _| {}).await;
    assert_only_the_original_is_there(&fixture, &back, "check_target");
    let why = back.operation.error.unwrap();
    assert!(why.contains("unset --property protector:origin"), "{why}");
}

/// Nova cannot end it, and its guest may go on.
#[tokio::test(start_paused = true)]
async fn a_failback_waits_for_an_original_that_is_being_deleted() {
    let fixture = Fixture::switched().await;
    start_original(&fixture);
    fixture.a_while().await;
    lock(&fixture.source).set_away(Component::NovaCompute, true);
    let url = format!("compute /servers/{}", fixture.server);
    fixture.at_once("demo", "DELETE", &url, &json!(null));
    fixture.compute_host(true).await;
    let back = failed_back_among(&fixture, |_, _| {}).await;
    let why = back.operation.error.clone().unwrap_or_default();
    assert!(why.contains("to be gone"), "{why}");
    assert_eq!(back.operation.state, OperationState::Failed);
    assert_eq!(fixture.group().status, GroupStatus::FailedOver);
}

/// Where everything is built it takes no longer than a build may.
#[tokio::test(start_paused = true)]
async fn a_switch_does_not_wait_for_ever_for_an_original_that_is_being_deleted() {
    let fixture = Fixture::switched().await;
    let mut is_deleted = false;
    let back = failed_back_among(&fixture, |fixture, record| {
        if record.operation.state == OperationState::Unwinding {
            lock(&fixture.source).set_away(Component::NovaCompute, false);
        }
        if is_deleted || !has_begun(record, "confirm_vms") {
            return;
        }
        is_deleted = true;
        let action = format!("compute /servers/{}/action", fixture.server);
        let runs = json!({"os-resetState": {"state": "active"}});
        fixture.at_once("admin", "POST", &action, &runs);
        lock(&fixture.source).set_away(Component::NovaCompute, true);
        let url = format!("compute /servers/{}", fixture.server);
        fixture.at_once("demo", "DELETE", &url, &json!(null));
    })
    .await;
    let why = back.operation.error.clone().unwrap_or_default();
    assert!(why.contains("waited for server"), "{why}");
    assert_eq!(back.operation.state, OperationState::Failed);
    assert_eq!(fixture.group().status, GroupStatus::FailedOver);
}
