//! What ties a source volume to somebody: snapshots, offers, groups, frozen backends, live replication.

use protector_core::{
    group::ReplicationType,
    operation::{MapKind, OperationState},
};
use protector_simcloud::{cloud::Match, in_process::lock};
use serde_json::{Value, json};

use super::fixture::{BOOT, DATA, Fixture, SERVER};

#[tokio::test(start_paused = true)]
async fn nothing_odd_means_nothing_left() {
    let mut fixture = Fixture::switched().await;
    let ended = fixture.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(ended.deleted(), [SERVER, BOOT, DATA]);
    assert!(
        !fixture.has_server()
            && !fixture.has_volume(&fixture.boot)
            && !fixture.has_volume(&fixture.data)
    );
    fixture.assert_bystander_is_untouched();
}

#[tokio::test(start_paused = true)]
async fn has_snapshots() {
    let mut fixture = Fixture::switched().await;
    let body =
        json!({"snapshot": {"volume_id": fixture.data, "name": "before-upgrade", "force": true}});
    let made = fixture
        .user("demo", "POST", "volumev3 /snapshots", body)
        .await;
    let snapshot = made["snapshot"]["id"].as_str().unwrap().to_owned();
    let ended = fixture.delete().await;
    assert_eq!(ended.deleted(), [SERVER, BOOT]);
    assert_eq!(
        ended.only_failure(DATA),
        format!(
            "kept: it has 1 snapshot ({snapshot}), which are somebody's data; if they are not needed, run 'openstack volume snapshot delete {snapshot}', then run cleanup again"
        )
    );
    assert!(fixture.has_volume(&fixture.data));
    assert_eq!(fixture.deletions_of(&fixture.data), 0);

    let url = format!("volumev3 /snapshots/{snapshot}");
    fixture.user("demo", "DELETE", &url, Value::Null).await;
    fixture.cleanup_leaves_nothing().await;
}

/// One that a move of an earlier release has left, or an unplanned failover, which asks the source nothing.
#[tokio::test(start_paused = true)]
async fn an_encrypted_volume_keeps_its_key() {
    let mut fixture = Fixture::switched().await;
    assert!(lock(&fixture.source).encrypt_volume(&fixture.data));
    let ended = fixture.delete().await;
    assert_eq!(ended.deleted(), [SERVER, BOOT]);
    let why = ended.only_failure(DATA);
    assert!(
        why.starts_with("kept: it is encrypted, and Cinder deletes its key with it"),
        "{why}"
    );
    assert!(fixture.has_volume(&fixture.data));
    assert_eq!(fixture.deletions_of(&fixture.data), 0);
}

#[tokio::test(start_paused = true)]
async fn offered_to_another_project() {
    let mut fixture = Fixture::switched().await;
    fixture.detach_data().await;
    let body = json!({"transfer": {"volume_id": fixture.data, "name": "gift"}});
    let made = fixture
        .user("demo", "POST", "volumev3 /volume-transfers", body)
        .await;
    let transfer = made["transfer"]["id"].as_str().unwrap().to_owned();
    let ended = fixture.delete().await;
    assert_eq!(
        ended.only_failure(DATA),
        format!(
            "kept: it is offered to another project; take the offer back with 'openstack volume transfer request delete {transfer}', then run cleanup again"
        )
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 0);

    let url = format!("volumev3 /volume-transfers/{transfer}");
    fixture.user("demo", "DELETE", &url, Value::Null).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn reserved_for_a_server_that_somebody_builds() {
    let mut fixture = Fixture::switched().await;
    fixture.detach_data().await;
    let server = "7a3f2c11-5e5e-4b22-a918-000000000001";
    let body = json!({"attachment": {"volume_uuid": fixture.data, "instance_uuid": server}});
    let made = fixture
        .user("demo", "POST", "volumev3 /attachments", body)
        .await;
    let attachment = made["attachment"]["id"].as_str().unwrap().to_owned();
    let ended = fixture.delete().await;
    assert_eq!(
        ended.only_failure(DATA),
        format!(
            "kept: it is reserved, held by attachment {attachment} to server {server}; if nothing is being attached, let it go with 'openstack --os-volume-api-version 3.27 volume attachment delete {attachment}', then run cleanup again"
        )
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 0);

    let url = format!("volumev3 /attachments/{attachment}");
    fixture.user("demo", "DELETE", &url, Value::Null).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn member_of_a_volume_group_is_taken_out_first() {
    let mut fixture = Fixture::switched().await;
    let group = fixture.put_into_group().await;
    let ended = fixture.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(!fixture.has_volume(&fixture.data));
    let facts = &ended.step(DATA).progress.memo.facts;
    let fact = format!("it was taken out of volume group {group}");
    assert!(facts.contains(&fact), "{facts:?}");
}

#[tokio::test(start_paused = true)]
async fn member_of_a_volume_group_that_does_not_let_go_is_kept() {
    let mut fixture = Fixture::switched().await;
    let group = fixture.put_into_group().await;
    let puts = Match {
        method: Some("PUT".to_owned()),
        path: Some("*/groups/*".to_owned()),
        ..Match::default()
    };
    let says =
        json!({"badRequest": {"code": 400, "message": "Invalid group: it has a group snapshot."}});
    fixture.refuse("stubborn", puts, 400, says);
    let ended = fixture.delete().await;
    let why = ended.only_failure(DATA);
    assert!(
        why.starts_with(&format!(
            "kept: it is in volume group {group} and could not be taken out ("
        )),
        "{why}"
    );
    assert!(
        why.contains("Invalid group: it has a group snapshot."),
        "{why}"
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 0);

    lock(&fixture.source).remove_fault("stubborn");
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_backends_refusal_is_kept_in_its_own_words() {
    let mut fixture = Fixture::switched().await;
    let deletes = Match {
        method: Some("DELETE".to_owned()),
        path: Some("*/volumes/*".to_owned()),
        resource: Some(fixture.data.clone()),
        ..Match::default()
    };
    let text = "Invalid volume: Volume's host is frozen.";
    fixture.refuse(
        "frozen",
        deletes,
        400,
        json!({"badRequest": {"code": 400, "message": text}}),
    );
    let ended = fixture.delete().await;
    let why = ended.only_failure(DATA);
    assert!(why.contains("said 400") && why.contains(text), "{why}");
    assert!(fixture.has_volume(&fixture.data));

    lock(&fixture.source).remove_fault("frozen");
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn leg_of_a_live_replication_is_unmanaged() {
    let sync =
        |plan: &mut protector_core::plan::Plan| plan.replication_type = ReplicationType::Sync;
    let mut fixture = Fixture::switched_as(|_| {}, sync).await;
    let objects = [&fixture.boot, &fixture.data].map(|id| fixture.volume_facts(id).unwrap().object);
    let ended = fixture.delete().await;
    assert_eq!(ended.0.operation.state, OperationState::Completed);
    assert_eq!(ended.deleted(), [SERVER, BOOT, DATA]);
    assert!(!fixture.has_volume(&fixture.boot) && !fixture.has_volume(&fixture.data));
    let left = lock(&fixture.source).backend_objects();
    assert!(
        objects.iter().all(|object| left.contains(object)),
        "{left:?}"
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 0);
    let facts = &ended.step(DATA).progress.memo.facts;
    let fact = "unmanaged instead of deleted: it is a leg of a synchronous replication, whose other leg is in use";
    assert!(facts.iter().any(|known| known == fact), "{facts:?}");
}

#[tokio::test(start_paused = true)]
async fn twin_is_not_in_use() {
    let mut fixture = Fixture::switched().await;
    let copy = fixture.copy_of(MapKind::Volume, &fixture.data);
    lock(&fixture.target).set_status_of_volume(&copy, "error");
    let ended = fixture.delete().await;
    assert_eq!(
        ended.only_failure(DATA),
        "kept: its copy on the target site is not attached to the recovered server (status error); when the recovered server uses it again, run cleanup again"
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 0);

    lock(&fixture.target).set_status_of_volume(&copy, "in-use");
    fixture.cleanup_leaves_nothing().await;
}

impl Fixture {
    /// A user takes the data volume off the group's stopped server.
    pub async fn detach_data(&self) {
        let url = format!(
            "compute /servers/{}/os-volume_attachments/{}",
            self.server, self.data
        );
        self.user("demo", "DELETE", &url, Value::Null).await;
    }

    pub async fn put_into_group(&self) -> String {
        let kinds = {
            let cloud = lock(&self.source);
            vec![cloud.volume_type_id("replicated").unwrap()]
        };
        let body = json!({"group": {"name": "cg", "group_type": "generic", "volume_types": kinds}});
        let made = self.user("demo", "POST", "volumev3 /groups", body).await;
        let group = made["group"]["id"].as_str().unwrap().to_owned();
        let body = json!({"group": {"add_volumes": self.data}});
        let url = format!("volumev3 /groups/{group}");
        self.user("demo", "PUT", &url, body).await;
        assert_eq!(
            self.volume_facts(&self.data).unwrap().group.as_ref(),
            Some(&group)
        );
        group
    }
}

/// Its former owner gets a 404, and it lives on.
#[tokio::test(start_paused = true)]
async fn accepted_by_another_project_it_is_not_deleted() {
    let mut fixture = Fixture::switched().await;
    fixture.detach_data().await;
    let body = json!({"transfer": {"volume_id": fixture.data, "name": "gift"}});
    let made = fixture
        .user("demo", "POST", "volumev3 /volume-transfers", body)
        .await;
    let [transfer, key] =
        ["id", "auth_key"].map(|field| made["transfer"][field].as_str().unwrap().to_owned());
    let url = format!("volumev3 /volume-transfers/{transfer}/accept");
    fixture
        .user("admin", "POST", &url, json!({"accept": {"auth_key": key}}))
        .await;
    let ended = fixture.delete().await;
    assert_eq!(ended.deleted(), [SERVER, BOOT]);
    let why = ended.only_failure(DATA);
    assert!(
        why.starts_with("kept: it is not yours any more: it belongs to project "),
        "{why}"
    );
    let by_hand = fixture.cleanup().await;
    assert_eq!(by_hand.only_failure(DATA), why);
    assert!(fixture.has_volume(&fixture.data));
    assert_eq!(fixture.deletions_of(&fixture.data), 0);
}

/// Cinder shows a migration to administrators only.
#[tokio::test(start_paused = true)]
async fn a_migration_that_only_the_administrator_sees_keeps_it() {
    let mut fixture = Fixture::switched().await;
    let url = format!("volumev3 /volumes/{}", fixture.data);
    let mut shown = fixture.user("admin", "GET", &url, Value::Null).await;
    shown["volume"]["migration_status"] = json!("migrating");
    let as_administrator = Match {
        method: Some("GET".to_owned()),
        path: Some(format!(
            "*/{}/volumes/{}",
            fixture.service_project().await,
            fixture.data
        )),
        ..Match::default()
    };
    for (key, value) in [("status", "available"), ("attach_status", "detached")] {
        shown["volume"][key] = json!(value);
    }
    shown["volume"]["attachments"] = json!([]);
    fixture.refuse("migrating", as_administrator, 200, shown);
    let ended = fixture.delete().await;
    assert_eq!(ended.deleted(), [SERVER, BOOT]);
    let why = ended.only_failure(DATA);
    assert!(
        why.starts_with("kept: it is being migrated (migrating)"),
        "{why}"
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 0);
    lock(&fixture.source).clear_faults();
    fixture.cleanup_leaves_nothing().await;
}
