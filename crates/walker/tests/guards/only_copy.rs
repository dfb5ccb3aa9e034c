//! Somebody deletes the original while its copy already runs: what that has written is all that there is.

use protector_core::{
    group::GroupStatus,
    operation::{MapKind, OperationRecord, OperationState},
};
use protector_simcloud::in_process::lock;
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

    fn the_bytes_of_the_copy_are_there(&self) {
        let data = self.copy_of(MapKind::Volume, &self.data);
        assert_eq!(self.on_the_target_array(&data).unwrap(), NEWEST.as_bytes());
    }
}

/// The copy itself is taken back, as a failover leaves none running; all that it had written stays, and goes on from there.
#[tokio::test(start_paused = true)]
async fn what_the_copy_of_a_deleted_original_has_written_stays_and_is_adopted() {
    let (mut bed, record) = Bed::with_the_copy_alone().await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert!(!bed.has_volume(&bed.boot) && !bed.has_volume(&bed.data));
    bed.the_bytes_of_the_copy_are_there();
    let again = bed.cleanup().await;
    assert_ne!(again.failed(), vec![]);
    bed.the_bytes_of_the_copy_are_there();
    let adopted = bed.adopt().await;
    assert_eq!(adopted.0.operation.error, None);
    assert_eq!(adopted.0.operation.state, OperationState::Completed);
    assert_eq!(bed.group().status, GroupStatus::FailedOver);
    bed.the_bytes_of_the_copy_are_there();
    assert_eq!(lock(&bed.target).servers()[0].status, "ACTIVE");
}
