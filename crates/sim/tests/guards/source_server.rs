//! A source server that must not simply go.

use protector_core::operation::MapKind;
use protector_sim::{cloud::JobEffect, in_process::lock};
use serde_json::{Value, json};

use super::bed::{BOOT, Bed, DATA, SERVER};

#[tokio::test(start_paused = true)]
async fn locked() {
    let mut bed = Bed::switched().await;
    bed.act(json!({"lock": {"locked_reason": "audit"}})).await;
    let ended = bed.delete().await;
    let why = "kept: the server is locked (audit); whoever locked it can run 'openstack server unlock', then run cleanup again";
    assert_eq!(ended.failure(SERVER), why);
    for volume in [BOOT, DATA] {
        assert_eq!(
            ended.failure(volume),
            format!("kept: its server was not deleted ({SERVER}: {why})")
        );
    }
    assert!(bed.has_server());

    bed.act(json!({"unlock": null})).await;
    bed.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn started_again() {
    let mut bed = Bed::switched().await;
    bed.act(json!({"os-start": null})).await;
    let ended = bed.delete().await;
    assert_eq!(
        ended.failure(SERVER),
        "kept: it was started again after the failover stopped it; save what was written to it since, then run cleanup"
    );
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "ACTIVE");
    bed.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn comes_back_from_its_stack() {
    let mut bed = Bed::switched().await;
    let url = format!("compute /servers/{}/metadata", bed.server);
    let body = json!({"metadata": {"metering.stack": "web"}});
    bed.user("demo", "POST", &url, body).await;
    let ended = bed.delete().await;
    assert_eq!(
        ended.failure(SERVER),
        "kept: its metadata (metering.stack=web) says that a stack or cluster owns it, which would build it again; suspend or delete that first, then run cleanup"
    );
    assert!(bed.has_server());
    bed.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn volumes_would_go_with_it() {
    let retain = |plan: &mut protector_core::plan::Plan| plan.retain_source_volumes = true;
    let mut bed = Bed::switched_as(|_| {}, retain).await;
    let url = format!(
        "compute /servers/{}/os-volume_attachments/{}",
        bed.server, bed.data
    );
    let body = json!({"volumeAttachment": {"volumeId": bed.data, "delete_on_termination": true}});
    bed.user("demo", "PUT", &url, body).await;
    let ended = bed.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(!bed.has_server());
    bed.a_while().await;
    assert_eq!(bed.volume_facts(&bed.data).unwrap().status, "available");
    let facts = &ended.step(SERVER).progress.memo.facts;
    let fact = format!(
        "delete_on_termination of volume {} was turned off",
        bed.data
    );
    assert!(facts.contains(&fact), "{facts:?}");
    bed.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_soft_deleted_server_is_deleted_for_good() {
    let mut bed = Bed::switched_as(|source| source.soft_delete = true, |_| {}).await;
    let ended = bed.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(ended.deleted(), [SERVER, BOOT, DATA]);
    assert!(!bed.has_server());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nova_shows_as_deleted_is_waited_for() {
    let mut bed = Bed::switched().await;
    let lingers = JobEffect::ServerDeleteLingers { seconds: 20.0 };
    bed.job_fault(&bed.server, lingers, None);
    let ended = bed.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(ended.deleted(), [SERVER, BOOT, DATA]);
    let asked = &ended.step(SERVER).progress.memo.request_ids;
    assert_eq!(asked.len(), 1, "it was asked for once");
}

#[tokio::test(start_paused = true)]
async fn a_server_in_error_goes() {
    let mut bed = Bed::switched().await;
    let url = format!("compute /servers/{}/action", bed.server);
    let body = json!({"os-resetState": {"state": "error"}});
    bed.user("admin", "POST", &url, body).await;
    let ended = bed.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(!bed.has_server());
}

#[tokio::test(start_paused = true)]
async fn copy_is_not_running() {
    let mut bed = Bed::switched().await;
    let copy = bed.copy_of(MapKind::Server, &bed.server);
    let stop = |bed: &Bed, action: Value| {
        let url = format!("compute /servers/{copy}/action");
        bed.on_target("demo", "POST", &url, &action);
    };
    stop(&bed, json!({"os-stop": null}));
    bed.a_while().await;
    let ended = bed.delete().await;
    assert_eq!(
        ended.failure(SERVER),
        "kept: the recovered server on the target site is SHUTOFF, expected ACTIVE; when it runs again, run cleanup again"
    );
    assert!(bed.has_server() && bed.has_volume(&bed.boot) && bed.has_volume(&bed.data));
    stop(&bed, json!({"os-start": null}));
    bed.a_while().await;
    assert_eq!(lock(&bed.target).servers()[0].status, "ACTIVE");
    bed.cleanup_leaves_nothing().await;
}

impl Bed {
    /// A user does something to the group's server.
    pub async fn act(&self, action: Value) {
        let url = format!("compute /servers/{}/action", self.server);
        self.user("demo", "POST", &url, action).await;
    }
}
