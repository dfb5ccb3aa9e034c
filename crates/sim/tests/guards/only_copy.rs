//! Somebody deletes the original while its copy is already there: then the copy is all that there is.

use protector_core::{
    group::GroupStatus,
    operation::{MapKind, OperationRecord, OperationState},
};
use protector_sim::in_process::lock;
use serde_json::{Value, json};

use super::bed::Bed;

const NEWEST: &str = "written to the copy before the switch";

impl Bed {
    /// Its tenant sees the copy run and takes the original for done with: Nova deletes its volumes too.
    fn the_original_is_deleted(&self) {
        let server = format!("compute /servers/{}", self.server);
        for volume in [&self.boot, &self.data] {
            let url = format!("{server}/os-volume_attachments/{volume}");
            let body =
                json!({"volumeAttachment": {"volumeId": volume, "delete_on_termination": true}});
            self.at_once("demo", "PUT", &url, &body);
        }
        self.at_once("demo", "DELETE", &server, &Value::Null);
    }

    /// A failover whose original is deleted as soon as its copy runs.
    async fn with_the_copy_alone() -> (Self, OperationRecord) {
        let mut deleted = false;
        Self::moved_among(
            |_| {},
            |bed, record| {
                let runs = record.map.target(MapKind::Server, &bed.server).is_some();
                if runs && !deleted {
                    bed.the_copy_writes(&bed.data, NEWEST);
                    bed.the_original_is_deleted();
                    deleted = true;
                }
            },
        )
        .await
    }

    fn the_copy_is_there(&self) {
        let servers = lock(&self.target).servers();
        assert_eq!(servers.len(), 1);
        assert_eq!(servers[0].status, "ACTIVE");
        let data = self.copy_of(MapKind::Volume, &self.data);
        assert_eq!(self.on_the_target_array(&data).unwrap(), NEWEST.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_not_taken_back_when_what_it_was_made_of_was_deleted() {
    let (mut bed, record) = Bed::with_the_copy_alone().await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(bed.group().status, GroupStatus::Error);
    assert!(!bed.has_volume(&bed.boot) && !bed.has_volume(&bed.data));
    bed.the_copy_is_there();
    let again = bed.cleanup().await;
    let why = again.failure("undo:recreate_vms:vm-001");
    for said in [
        "somebody has deleted what the copy of vm-001 was made of on site-a",
        "openstack dr operation adopt op-",
        "--delete-running vm-001",
    ] {
        assert!(why.contains(said), "{said} is not in {why}");
    }
    bed.the_copy_is_there();
    let adopted = bed.adopt().await;
    assert_eq!(adopted.0.operation.error, None);
    assert_eq!(adopted.0.operation.state, OperationState::Completed);
    assert_eq!(bed.group().status, GroupStatus::FailedOver);
    bed.the_copy_is_there();
}
