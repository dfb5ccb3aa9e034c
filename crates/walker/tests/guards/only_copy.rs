//! Somebody deletes the original while its copy already runs: what that has written is all that there is.

use protector_core::{
    group::GroupStatus,
    operation::{MapKind, OperationRecord, OperationState},
};
use protector_simcloud::in_process::lock;
use serde_json::{Value, json};

use super::fixture::Fixture;

const NEWEST: &str = "written to the copy before the switch";

impl Fixture {
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
            |fixture, record| {
                let runs = record
                    .map
                    .target(MapKind::Server, &fixture.server)
                    .is_some();
                if runs && !deleted {
                    fixture.the_copy_writes(&fixture.data, NEWEST);
                    fixture.the_original_is_deleted();
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
    let (mut fixture, record) = Fixture::with_the_copy_alone().await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert!(!fixture.has_volume(&fixture.boot) && !fixture.has_volume(&fixture.data));
    fixture.the_bytes_of_the_copy_are_there();
    let again = fixture.cleanup().await;
    assert_ne!(again.failed(), vec![]);
    fixture.the_bytes_of_the_copy_are_there();
    let adopted = fixture.adopt().await;
    assert_eq!(adopted.0.operation.error, None);
    assert_eq!(adopted.0.operation.state, OperationState::Completed);
    assert_eq!(fixture.group().status, GroupStatus::FailedOver);
    fixture.the_bytes_of_the_copy_are_there();
    assert_eq!(lock(&fixture.target).servers()[0].status, "ACTIVE");
}
