//! A volume that a planned move has left on its source is written to before it is deleted: nobody else has that.

use protector_simcloud::in_process::lock;
use serde_json::{Value, json};

use super::fixture::{BOOT, DATA, Ended, Fixture, SERVER};

const NEWEST: &str = "written after the last replication";

impl Fixture {
    /// Another server of the project gets the data volume, writes to it and lets go of it.
    async fn a_bystander_writes_to_the_data_volume(&self) {
        let url = format!("compute /servers/{}/os-volume_attachments", self.bystander);
        let body = json!({"volumeAttachment": {"volumeId": self.data}});
        self.user("demo", "POST", &url, body).await;
        self.the_original_writes(&self.data, NEWEST);
        let url = format!("{url}/{}", self.data);
        self.user("demo", "DELETE", &url, Value::Null).await;
    }

    /// It is there with what was written to it, and the record says how much, and the way on.
    fn the_data_volume_is_kept(&self, ended: &Ended) {
        let why = ended.failure(DATA);
        for said in [
            "bytes of it were written on site-a since its last replication, of 2026-01-01T",
            "are nowhere else",
            &format!("openstack --os-cloud site-a volume delete {}", self.data),
        ] {
            assert!(why.contains(said), "{said} is not in {why}");
        }
        let there = self.on_the_source_array(&self.data).unwrap();
        assert_eq!(there, NEWEST.as_bytes());
        assert_eq!(self.deletions_of(&self.data), 0);
    }

    /// Its tenant has saved what he needs of it.
    async fn the_tenant_deletes_the_data_volume(&self) {
        let url = format!("volumev3 /volumes/{}", self.data);
        self.user("demo", "DELETE", &url, Value::Null).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_server_wrote_to_a_volume_that_is_left_is_kept() {
    let mut fixture = Fixture::switched().await;
    fixture.detach_data().await;
    fixture.a_bystander_writes_to_the_data_volume().await;
    let ended = fixture.delete().await;
    fixture.the_data_volume_is_kept(&ended);
    assert_eq!(ended.deleted(), [SERVER, BOOT]);
    let again = fixture.cleanup().await;
    fixture.the_data_volume_is_kept(&again);
    fixture.the_tenant_deletes_the_data_volume().await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_written_after_the_intent_to_delete_a_volume_is_kept() {
    let mut fixture = Fixture::switched().await;
    let (objects, data) = (fixture.source_objects(), fixture.data.clone());
    fixture.at_intent_of(DATA, move || {
        let mut objects = objects.lock().unwrap();
        let volume = objects.get_mut(&format!("volume-{data}")).unwrap();
        volume.bytes = NEWEST.into();
    });
    let ended = fixture.delete().await;
    fixture.the_data_volume_is_kept(&ended);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_to_a_retained_volume_is_kept_and_its_recovery_point_with_it() {
    let retain = |plan: &mut protector_core::plan::Plan| plan.retain_source_volumes = true;
    let mut fixture = Fixture::switched_as(|_| {}, retain).await;
    let ended = fixture.delete().await;
    assert_eq!(ended.deleted(), [SERVER]);
    assert_eq!(fixture.recovery_points().await, 1);
    fixture.a_bystander_writes_to_the_data_volume().await;
    let ended = fixture.cleanup().await;
    fixture.the_data_volume_is_kept(&ended);
    assert_eq!(fixture.recovery_points().await, 1);
    fixture.the_tenant_deletes_the_data_volume().await;
    fixture.cleanup_leaves_nothing().await;
    assert_eq!(fixture.recovery_points().await, 0);
}

/// The recovery point stays for as long as volumes are left: an array that lacks it has lost it, and unknown means keep.
#[tokio::test(start_paused = true)]
async fn a_volume_of_which_the_array_cannot_tell_any_more_is_kept_until_its_tenant_deletes_it() {
    let mut fixture = Fixture::switched().await;
    fixture.detach_data().await;
    fixture.a_bystander_writes_to_the_data_volume().await;
    fixture.forget_the_recovery_points();
    for _ in 0..2 {
        let ended = match fixture.has_server() {
            true => fixture.delete().await,
            false => fixture.cleanup().await,
        };
        let why = ended.failure(DATA);
        for said in [
            "nobody can tell what was written to it on site-a",
            &format!("openstack --os-cloud site-a volume delete {}", fixture.data),
        ] {
            assert!(why.contains(said), "{said} is not in {why}");
        }
        let there = fixture.on_the_source_array(&fixture.data).unwrap();
        assert_eq!(there, NEWEST.as_bytes());
    }
    let boot = fixture.boot.clone();
    let url = format!("volumev3 /volumes/{boot}");
    fixture.user("demo", "DELETE", &url, Value::Null).await;
    fixture.the_tenant_deletes_the_data_volume().await;
    fixture.cleanup_leaves_nothing().await;
    assert_eq!(lock(&fixture.target).servers().len(), 1);
}
