//! A source server that must not simply go.

use std::time::Duration;

use protector_core::operation::MapKind;
use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, JobEffect, Match},
    in_process::lock,
};
use serde_json::{Value, json};

use super::fixture::{BOOT, DATA, Fixture, SERVER};

#[tokio::test(start_paused = true)]
async fn locked() {
    let mut fixture = Fixture::switched().await;
    fixture
        .act(json!({"lock": {"locked_reason": "audit"}}))
        .await;
    let ended = fixture.delete().await;
    let why = "kept: the server is locked (audit); whoever locked it can run 'openstack server unlock', then run cleanup again";
    assert_eq!(ended.failure(SERVER), why);
    for volume in [BOOT, DATA] {
        assert_eq!(
            ended.failure(volume),
            format!("kept: its server was not deleted ({SERVER}: {why})")
        );
    }
    assert!(fixture.has_server());

    fixture.act(json!({"unlock": null})).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn started_again() {
    let mut fixture = Fixture::switched().await;
    fixture.act(json!({"os-start": null})).await;
    let ended = fixture.delete().await;
    assert_eq!(ended.failure(SERVER), fixture.why_it_stays("ACTIVE"));
    fixture.act(json!({"os-stop": null})).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn by_hand_a_server_that_runs_stays_too() {
    let mut fixture = Fixture::switched().await;
    fixture.delete_nothing().await;
    for (action, status) in [("os-start", "ACTIVE"), ("pause", "PAUSED")] {
        fixture.act(json!({action: null})).await;
        let ended = fixture.cleanup().await;
        let why = ended.failure(SERVER);
        assert!(
            why.starts_with(&format!("kept: it is {status}: it was started again")),
            "{why}"
        );
        let stays = fixture.server_facts(&fixture.server).unwrap();
        assert_eq!(stays.status, status);
        assert!(fixture.has_volume(&fixture.boot) && fixture.has_volume(&fixture.data));
    }
    fixture.act(json!({"unpause": null})).await;
    fixture.act(json!({"suspend": null})).await;
    let why = fixture.cleanup().await.failure(SERVER);
    assert!(why.starts_with("kept: it is SUSPENDED: "), "{why}");
    fixture.act(json!({"resume": null})).await;
    fixture.act(json!({"os-stop": null})).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_in_error_whose_guest_runs_stays_by_hand_too() {
    let mut fixture = Fixture::switched().await;
    fixture.delete_nothing().await;
    fixture.act(json!({"os-start": null})).await;
    fixture.breaks().await;
    let why = fixture.cleanup().await.failure(SERVER);
    assert!(
        why.starts_with("kept: it is ERROR and its guest runs: "),
        "{why}"
    );
    fixture.act(json!({"os-stop": null})).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_named_goes_though_it_runs() {
    let mut fixture = Fixture::switched().await;
    fixture.delete_nothing().await;
    fixture.act(json!({"os-start": null})).await;
    fixture.delete_running.push(fixture.server.clone());
    fixture.cleanup_leaves_nothing().await;
}

/// Somebody starts it while the intent of its deletion is written down.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_started_while_its_deletion_is_written_down_stays() {
    let mut fixture = Fixture::switched().await;
    // The tenant's reading and the administrator's come before the intent.
    fixture.is_active_from_reading(3).await;
    let ended = fixture.delete().await;
    assert_eq!(ended.failure(SERVER), fixture.why_it_stays("ACTIVE"));
    assert_eq!(ended.step(SERVER).progress.memo.intents, 0, "withdrawn");
    assert_eq!(ended.step(SERVER).progress.memo.request_ids, [""; 0]);
    assert!(fixture.has_server());
}

/// Somebody protects it anew after the cleanup was asked for: what counts is what is so when it is looked at.
#[tokio::test(start_paused = true)]
async fn protected_anew_since_it_was_asked_for() {
    let mut fixture = Fixture::switched().await;
    let member = fixture.failover().operation.plan.members[0].clone();
    fixture.protects("second-life", "site-a", Some(member));
    let ended = fixture.delete().await;
    let why = "kept: protection group second-life protects it now; if it may go, remove the member from that group with 'openstack dr member remove', then run cleanup again";
    assert_eq!(ended.failure(SERVER), why);
    for key in [BOOT, DATA] {
        let kept = ended.failure(key);
        assert!(kept.starts_with("kept: "), "{kept}");
    }
    assert!(
        fixture.has_server()
            && fixture.has_volume(&fixture.boot)
            && fixture.has_volume(&fixture.data)
    );
    fixture.protects("second-life", "site-a", None);
    fixture.cleanup_leaves_nothing().await;
}

/// It is protected after the look and before the intent: the journal refuses that in one transaction.
#[tokio::test(start_paused = true)]
async fn protected_while_its_deletion_is_written_down() {
    let mut fixture = Fixture::switched().await;
    let copy = fixture.copy_of(MapKind::Server, &fixture.server);
    lock(&fixture.target).add_fault(FaultRule {
        id: String::new(),
        matches: Match {
            method: Some("GET".to_owned()),
            path: Some(format!("*/servers/{copy}")),
            ..Match::default()
        },
        times: None,
        effect: FaultEffect::Call(CallEffect::Delay { seconds: 25.0 }),
        seen: 0,
    });
    let member = fixture.failover().operation.plan.members[0].clone();
    fixture.protects_in(Duration::from_secs(15), "second-life", "site-a", member);
    let ended = fixture.delete().await;
    let why = ended.failure(SERVER);
    assert!(
        why.starts_with("kept: protection group second-life protects it now"),
        "{why}"
    );
    assert_eq!(ended.step(SERVER).progress.memo.request_ids, [""; 0]);
    assert!(fixture.has_server());
}

#[tokio::test(start_paused = true)]
async fn comes_back_from_its_stack() {
    let mut fixture = Fixture::switched().await;
    let url = format!("compute /servers/{}/metadata", fixture.server);
    let body = json!({"metadata": {"metering.stack": "web"}});
    fixture.user("demo", "POST", &url, body).await;
    let ended = fixture.delete().await;
    assert_eq!(
        ended.failure(SERVER),
        "kept: its metadata (metering.stack=web) says that a stack or cluster owns it, which would build it again; suspend or delete that first, then run cleanup"
    );
    assert!(fixture.has_server());
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn volumes_would_go_with_it() {
    let retain = |plan: &mut protector_core::plan::Plan| plan.retain_source_volumes = true;
    let mut fixture = Fixture::switched_as(|_| {}, retain).await;
    let url = format!(
        "compute /servers/{}/os-volume_attachments/{}",
        fixture.server, fixture.data
    );
    let body =
        json!({"volumeAttachment": {"volumeId": fixture.data, "delete_on_termination": true}});
    fixture.user("demo", "PUT", &url, body).await;
    let ended = fixture.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(!fixture.has_server());
    fixture.a_while().await;
    assert_eq!(
        fixture.volume_facts(&fixture.data).unwrap().status,
        "available"
    );
    let facts = &ended.step(SERVER).progress.memo.facts;
    let fact = format!(
        "delete_on_termination of volume {} was turned off",
        fixture.data
    );
    assert!(facts.contains(&fact), "{facts:?}");
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_soft_deleted_server_is_deleted_for_good() {
    let mut fixture = Fixture::switched_as(|source| source.soft_delete = true, |_| {}).await;
    let ended = fixture.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(ended.deleted(), [SERVER, BOOT, DATA]);
    assert!(!fixture.has_server());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nova_shows_as_deleted_is_waited_for() {
    let mut fixture = Fixture::switched().await;
    let lingers = JobEffect::ServerDeleteLingers { seconds: 20.0 };
    fixture.job_fault(&fixture.server, lingers, None);
    let ended = fixture.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(ended.deleted(), [SERVER, BOOT, DATA]);
    let asked = &ended.step(SERVER).progress.memo.request_ids;
    assert_eq!(asked.len(), 1, "it was asked for once");
}

#[tokio::test(start_paused = true)]
async fn a_server_in_error_goes() {
    let mut fixture = Fixture::switched().await;
    fixture.breaks().await;
    let ended = fixture.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(!fixture.has_server());
}

#[tokio::test(start_paused = true)]
async fn copy_is_not_running() {
    let mut fixture = Fixture::switched().await;
    let copy = fixture.copy_of(MapKind::Server, &fixture.server);
    let stop = |fixture: &Fixture, action: Value| {
        let url = format!("compute /servers/{copy}/action");
        fixture.on_target("demo", "POST", &url, &action);
    };
    stop(&fixture, json!({"os-stop": null}));
    fixture.a_while().await;
    let ended = fixture.delete().await;
    assert_eq!(
        ended.failure(SERVER),
        "kept: the recovered server on the target site is SHUTOFF, expected ACTIVE; when it runs again, run cleanup again"
    );
    assert!(
        fixture.has_server()
            && fixture.has_volume(&fixture.boot)
            && fixture.has_volume(&fixture.data)
    );
    stop(&fixture, json!({"os-start": null}));
    fixture.a_while().await;
    assert_eq!(lock(&fixture.target).servers()[0].status, "ACTIVE");
    fixture.cleanup_leaves_nothing().await;
}

impl Fixture {
    /// The failover's own deletions come to nothing, so that a cleanup by hand has them to do.
    async fn delete_nothing(&mut self) {
        self.act(json!({"lock": null})).await;
        let ended = self.delete().await;
        assert_eq!(ended.failed().len(), 3);
        self.act(json!({"unlock": null})).await;
    }

    /// An administrator sets the server's state to an error; its guest goes on as it is.
    async fn breaks(&self) {
        let url = format!("compute /servers/{}/action", self.server);
        let body = json!({"os-resetState": {"state": "error"}});
        self.user("admin", "POST", &url, body).await;
    }

    /// The source shows the server as running from the engine's `nth` reading on.
    async fn is_active_from_reading(&self, nth: u64) {
        let url = format!("compute /servers/{}", self.server);
        let mut shown = self.user("demo", "GET", &url, Value::Null).await;
        shown["server"]["status"] = json!("ACTIVE");
        shown["server"]["OS-EXT-STS:power_state"] = json!(1);
        let readings = Match {
            method: Some("GET".to_owned()),
            path: Some(format!("*/servers/{}", self.server)),
            user: Some("protector".to_owned()),
            nth: Some(nth),
            ..Match::default()
        };
        self.refuse("started", readings, 200, shown);
    }

    fn why_it_stays(&self, status: &str) -> String {
        let (id, failover) = (&self.server, self.failover().operation.id);
        format!(
            "kept: it is {status}: it was started again after the failover stopped it; save what was written to it since, stop it with 'openstack server stop {id}', then run cleanup again, or, if nothing on it is needed, delete it as it runs with 'openstack dr operation cleanup {failover} --delete-running {id}'"
        )
    }

    /// A user does something to the group's server.
    pub async fn act(&self, action: Value) {
        let url = format!("compute /servers/{}/action", self.server);
        self.user("demo", "POST", &url, action).await;
    }
}

/// Nova has accepted its deletion and lost it: whoever looks after it needs to know what it is at, and where.
#[tokio::test(start_paused = true)]
async fn one_that_stays_in_deleting_is_named_with_its_task_and_its_host() {
    let mut fixture = Fixture::switched().await;
    lock(&fixture.source).add_fault(FaultRule {
        id: "lost".to_owned(),
        matches: Match {
            resource: Some("vm-001".to_owned()),
            ..Match::default()
        },
        times: None,
        effect: FaultEffect::Job(JobEffect::ServerDeleteLost),
        seen: 0,
    });
    let ended = fixture.delete().await;
    let why = ended.failure(SERVER);
    assert!(why.contains("task deleting, host "), "{why}");
    assert!(!why.contains("host unknown"), "{why}");
    assert!(
        fixture.has_server()
            && fixture.has_volume(&fixture.boot)
            && fixture.has_volume(&fixture.data)
    );
}
