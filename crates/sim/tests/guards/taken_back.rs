//! A failover that failed and could not take its copy back: what a cleanup does about it later.

use protector_core::{group::GroupStatus, present::CurrentMember};
use protector_sim::{
    cloud::{CallEffect, Effect, FaultRule, Match},
    in_process::lock,
};
use serde_json::{Value, json};

use super::bed::Bed;

const COPY: &str = "undo:recreate_vms:vm-001";
const START: &str = "undo:stop_source_vms:vm-001";

impl Bed {
    fn copy(&self) -> String {
        let servers = lock(&self.target).servers();
        assert_eq!(servers.len(), 1);
        servers[0].id.clone()
    }

    fn target_answers(&self, path: &str, status: u16, body: Value) {
        lock(&self.target).add_fault(FaultRule {
            id: path.to_owned(),
            matches: Match {
                method: Some("GET".to_owned()),
                path: Some(path.to_owned()),
                ..Match::default()
            },
            times: None,
            effect: Effect::Call(CallEffect::Status {
                status,
                body: Some(body),
                headers: std::collections::BTreeMap::new(),
            }),
            seen: 0,
        });
    }

    async fn cleanup_takes_everything_back(&mut self) {
        let ended = self.cleanup().await;
        assert_eq!(ended.failed(), vec![]);
        assert_eq!(lock(&self.target).servers().len(), 0);
        assert_eq!(lock(&self.target).volumes().len(), 0);
        let server = self.server_facts(&self.server).unwrap();
        assert_eq!(server.status, "ACTIVE");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_not_believed_gone_by_a_cloud_that_may_be_another() {
    let mut bed = Bed::stuck().await;
    let copy = bed.copy();
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    bed.target_answers(&format!("*/servers/{copy}"), 404, not_found.clone());
    bed.target_answers("*/servers/detail*", 200, json!({"servers": []}));
    bed.target_answers("*/networks/*", 404, not_found);
    let ended = bed.cleanup().await;
    let why = ended.failure(COPY);
    assert!(
        why.starts_with("kept: its cloud says 404, but also to network "),
        "{why}"
    );
    let why = ended.failure(START);
    assert!(
        why.starts_with("not started: its copy may still run on site-b"),
        "{why}"
    );
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "SHUTOFF");

    lock(&bed.target).clear_faults();
    bed.cleanup_takes_everything_back().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_a_group_has_taken_up_stays() {
    let mut bed = Bed::stuck().await;
    let copy = bed.copy();
    let mut member = bed.failover().operation.plan.members[0].clone();
    member.id = "another-member".into();
    member.server_id = copy.as_str().into();
    bed.current.push(CurrentMember {
        group_name: "second-life".to_owned(),
        site: "site-b".into(),
        member,
    });
    let ended = bed.cleanup().await;
    let why = ended.failure(COPY);
    assert!(
        why.starts_with("kept: protection group second-life protects it now"),
        "{why}"
    );
    let why = ended.failure(START);
    assert!(why.starts_with("not started: its copy "), "{why}");
    assert_eq!(bed.copy(), copy);
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "SHUTOFF");

    bed.current.clear();
    bed.cleanup_takes_everything_back().await;
}

/// The failover could not take its copy back, somebody works on it, and its original is from before.
#[tokio::test(start_paused = true)]
async fn a_copy_that_runs_is_taken_back_only_when_it_is_named() {
    let mut bed = Bed::stuck().await;
    let copy = bed.copy();
    let url = format!("compute /servers/{copy}/action");
    let runs = json!({"os-resetState": {"state": "active"}});
    bed.on_target("admin", "POST", &url, &runs);
    let ended = bed.cleanup().await;
    let why = ended.failure(COPY);
    let (original, failover) = (bed.server.clone(), bed.failover().operation.id);
    for said in [
        "kept: it is ACTIVE, made at 2040-01-01T00:00:0".to_owned(),
        format!("its original {original} on site-a is SHUTOFF and has nothing of that"),
        format!("openstack dr operation cleanup {failover} --delete-running {copy}"),
    ] {
        assert!(why.contains(&said), "{said} is not in {why}");
    }
    let why = ended.failure(START);
    assert!(why.starts_with("not started: its copy "), "{why}");
    assert_eq!(bed.copy(), copy);
    assert_eq!(lock(&bed.target).volumes().len(), 2);
    assert_eq!(bed.server_facts(&original).unwrap().status, "SHUTOFF");

    bed.delete_running.push(original);
    bed.cleanup_takes_everything_back().await;
}

/// A stopped server that somebody has deleted by hand is nothing that a person still has to start.
#[tokio::test(start_paused = true)]
async fn a_stopped_server_that_was_deleted_by_hand_ends_the_groups_error() {
    let mut bed = Bed::stuck().await;
    assert_eq!(bed.group().status, GroupStatus::Error);
    let url = format!("compute /servers/{}", bed.server);
    bed.user("demo", "DELETE", &url, Value::Null).await;
    assert!(!bed.has_server());
    let ended = bed.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    let facts = &ended.step(START).progress.memo.facts;
    let fact = format!(
        "server {} is gone from site-a: nothing is left to start",
        bed.server
    );
    assert!(facts.contains(&fact), "{facts:?}");
    assert_eq!(bed.group().status, GroupStatus::Active);
}

/// A source that may be another cloud says nothing about the server.
#[tokio::test(start_paused = true)]
async fn a_stopped_server_is_not_believed_gone_by_a_cloud_that_may_be_another() {
    let mut bed = Bed::stuck().await;
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    for path in [
        format!("*/servers/{}", bed.server),
        "*/networks/*".to_owned(),
    ] {
        let matches = Match {
            method: Some("GET".to_owned()),
            path: Some(path.clone()),
            ..Match::default()
        };
        bed.refuse(&path, matches, 404, not_found.clone());
    }
    let ended = bed.cleanup().await;
    let why = ended.failure(START);
    assert!(
        why.contains("its cloud says 404, but also to network "),
        "{why}"
    );
    assert_eq!(bed.group().status, GroupStatus::Error);
}
