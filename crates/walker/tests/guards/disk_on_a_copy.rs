//! A disk that no plan names, and that Nova would delete together with a copy that is taken back: somebody has attached it so.

use std::sync::Arc;

use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, Match},
    in_process::lock,
};
use serde_json::{Value, json};

use super::fixture::Fixture;

impl Fixture {
    /// A new volume of the tenant's on the target; gives its id.
    fn a_disk_of_his(&self) -> String {
        let wanted = json!({"volume": {"name": "disk9", "size": 1}});
        let made = self.on_target("demo", "POST", "volume /volumes", &wanted);
        made["volume"]["id"].as_str().unwrap().to_owned()
    }

    fn attached(&self, copy: &str, disk: &str, goes_with_it: bool) {
        let url = format!("compute /servers/{copy}/os-volume_attachments");
        let body =
            json!({"volumeAttachment": {"volumeId": disk, "delete_on_termination": goes_with_it}});
        self.on_target("demo", "POST", &url, &body);
    }

    async fn stopped(&self, copy: &str) {
        let url = format!("compute /servers/{copy}/action");
        self.on_target("demo", "POST", &url, &json!({"os-stop": null}));
        self.a_while().await;
    }

    fn volumes_there(&self) -> Vec<String> {
        let volumes = lock(&self.target).volumes();
        volumes.into_iter().map(|volume| volume.id).collect()
    }
}

/// In use with a copy that somebody stops: by hand, and only its server goes.
#[tokio::test(start_paused = true)]
async fn a_disk_that_somebody_attached_does_not_go_with_the_copy() {
    let mut fixture = Fixture::left_running().await;
    let (copy, disk) = (fixture.copy(), fixture.a_disk_of_his());
    fixture.a_while().await;
    fixture.attached(&copy, &disk, true);
    fixture.a_while().await;
    fixture.stopped(&copy).await;
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    fixture.a_while().await;
    assert!(lock(&fixture.target).servers().is_empty());
    assert_eq!(fixture.volumes_there(), vec![disk.clone()]);
    let kept = format!("delete_on_termination of volume {disk} was turned off");
    let facts = ended.facts("undo:recreate_vms:vm-001");
    assert!(facts.contains(&kept), "{facts:?}");
}

/// It is made so between the look and the call.
#[tokio::test(start_paused = true)]
async fn a_disk_that_would_go_with_the_copy_by_then_does_not() {
    let mut fixture = Fixture::left_running().await;
    let (copy, disk) = (fixture.copy(), fixture.a_disk_of_his());
    fixture.a_while().await;
    fixture.attached(&copy, &disk, false);
    fixture.a_while().await;
    fixture.stopped(&copy).await;
    let (target, made_so) = (Arc::clone(&fixture.target), disk.clone());
    fixture.at_write(
        |entry| {
            // The failover that left it has asked once.
            let mut steps = entry.steps.iter();
            steps.any(|(_, step)| step.memo.undo_intents > 1)
        },
        move || lock(&target).set_delete_on_termination(&made_so),
    );
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    fixture.a_while().await;
    assert!(lock(&fixture.target).servers().is_empty());
    assert_eq!(fixture.volumes_there(), vec![disk]);
}

/// A copy that was built twice.
#[tokio::test(start_paused = true)]
async fn a_disk_does_not_go_with_a_surplus_copy() {
    let mut second = false;
    let (fixture, record) = Fixture::moved_among(
        |fixture| {
            lock(&fixture.target).add_fault(FaultRule {
                id: String::new(),
                matches: Match {
                    method: Some("POST".to_owned()),
                    path: Some("*/servers".to_owned()),
                    ..Match::default()
                },
                times: Some(1),
                effect: FaultEffect::Call(CallEffect::Drop),
                seen: 0,
            });
        },
        |fixture, record| {
            let mut steps = record.steps.iter();
            let build = steps
                .find(|step| step.key == "recreate_vms:vm-001")
                .unwrap();
            let memo = &build.progress.memo;
            if !second && memo.intents == 2 && memo.made.is_some() {
                built_again(fixture, record.operation.id.as_str());
                second = true;
            }
        },
    )
    .await;
    assert!(second);
    assert_eq!(record.operation.error, None);
    fixture.a_while().await;
    assert_eq!(
        lock(&fixture.target).servers().len(),
        1,
        "the other one is gone"
    );
    assert_eq!(lock(&fixture.target).volumes().len(), 3, "its disk is not");
}

/// A second copy of the operation's, with a disk that goes with it.
fn built_again(fixture: &Fixture, operation: &str) {
    let flavors = fixture.on_target("demo", "GET", "compute /flavors", &Value::Null);
    let server = json!({"server": {
        "name": "second",
        "flavorRef": flavors["flavors"][0]["id"],
        "networks": [{"uuid": lock(&fixture.target).network_id("demo-net").unwrap()}],
        "metadata": {"protector:operation": operation, "protector:source": fixture.server},
        "block_device_mapping_v2": [{
            "source_type": "blank", "destination_type": "volume",
            "volume_size": 1, "boot_index": 0, "delete_on_termination": true,
        }],
    }});
    fixture.on_target("protector", "POST", "compute /servers", &server);
}
