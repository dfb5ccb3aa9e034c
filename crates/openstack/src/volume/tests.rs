use protector_core::id::VolumeId;
use serde_json::{Value, json};

use super::*;
use crate::{
    scripted_cloud::{answer, ok, scripted},
    status::{AttachmentStatus, VolumeStatus},
};

fn row() -> Value {
    json!({
        "id": "v1", "name": "db-data", "status": "in-use", "size": 10, "bootable": "true",
        "volume_type": "replicated", "metadata": {"protector:operation": "op-1"}, "encrypted": false,
        "attachments": [{"server_id": "s1", "attachment_id": "a1", "device": "/dev/vda", "host_name": null,
            "id": "v1", "volume_id": "v1", "attached_at": "2026-01-02T03:04:05.000000"}],
        "multiattach": false, "group_id": null, "os-vol-tenant-attr:tenant_id": "p1", "service_uuid": null,
        "shared_targets": true, "created_at": "2026-01-02T03:04:05.000000", "replication_status": "enabled",
    })
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_read_with_all_that_decides_over_it() {
    let (cloud, script) = scripted([ok(json!({"volume": row()}))]);
    let volume = cloud.volume().volume(&VolumeId::new("v1")).await.unwrap();
    assert_eq!(script.lines(), ["GET /v3/p1/volumes/v1"]);
    assert_eq!(volume.status, VolumeStatus::InUse);
    assert_eq!(volume.attachments[0].server_id.as_str(), "s1");
    assert_eq!(
        (volume.bootable, volume.group_id, volume.service_uuid),
        (true, None, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_without_a_deciding_field_is_not_read_at_all() {
    let fields = [
        "status",
        "attachments",
        "metadata",
        "multiattach",
        "group_id",
        "encrypted",
        "os-vol-tenant-attr:tenant_id",
    ];
    for field in fields {
        let mut volume = row();
        volume.as_object_mut().unwrap().remove(field);
        let (cloud, _) = scripted([ok(json!({"volume": volume}))]);
        let error = cloud
            .volume()
            .volume(&VolumeId::new("v1"))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("missing field `{field}`")),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn volumes_are_found_by_mark() {
    let (cloud, script) = scripted([
        ok(json!({"volumes": [row()]})),
        ok(json!({"volumes": [row()]})),
    ]);
    let marked = |value: &str| VolumeFilter::marked("protector:operation", value);
    assert_eq!(
        cloud.volume().volumes(&marked("op-1")).await.unwrap().len(),
        1
    );
    assert!(
        cloud
            .volume()
            .volumes(&marked("it's"))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        script.lines(),
        [
            "GET /v3/p1/volumes/detail?metadata=%7B%27protector%3Aoperation%27%3A%20%27op-1%27%7D&limit=2",
            "GET /v3/p1/volumes/detail?limit=2",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn orders_never_ask_for_cascade_or_force() {
    let (cloud, script) = scripted((0..5).map(|_| answer(202, "")));
    let id = VolumeId::new("v1");
    let storage = cloud.volume();
    storage.delete_volume(&id).await.unwrap();
    storage.unmanage(&id).await.unwrap();
    storage.set_bootable(&id, true).await.unwrap();
    storage
        .remove_from_group(&"g1".into(), &[id.clone(), VolumeId::new("v2")])
        .await
        .unwrap();
    storage.delete_attachment(&"a1".into()).await.unwrap();
    assert_eq!(
        script.lines(),
        [
            "DELETE /v3/p1/volumes/v1",
            "POST /v3/p1/volumes/v1/action",
            "POST /v3/p1/volumes/v1/action",
            "PUT /v3/p1/groups/g1",
            "DELETE /v3/p1/attachments/a1",
        ]
    );
    let bodies: Vec<Value> = script.calls()[1..4]
        .iter()
        .map(|call| serde_json::from_slice(&call.body).unwrap())
        .collect();
    assert_eq!(
        bodies,
        [
            json!({"os-unmanage": {}}),
            json!({"os-set_bootable": {"bootable": true}}),
            json!({"group": {"remove_volumes": "v1,v2"}}),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn managing_names_the_backend_and_its_own_name_of_the_volume() {
    let (cloud, script) = scripted([answer(
        202,
        json!({"volume": {"id": "v9", "status": "creating"}}).to_string(),
    )]);
    let managed = ManagedVolume {
        host: "site-b@rbd#rbd".to_owned(),
        reference: BackendReference::Name("volume-v1".to_owned()),
        name: "db-data".to_owned(),
        description: None,
        volume_type: Some("replicated".to_owned()),
        metadata: BTreeMap::new(),
        bootable: true,
        availability_zone: None,
    };
    let record = cloud.volume().manage(&managed).await.unwrap();
    assert_eq!(
        (record.id.as_str(), record.status),
        ("v9", VolumeStatus::Creating)
    );
    assert_eq!(script.lines(), ["POST /v3/p1/manageable_volumes"]);
    assert_eq!(
        serde_json::from_slice::<Value>(&script.calls()[0].body).unwrap(),
        json!({"volume": {"host": "site-b@rbd#rbd", "ref": {"source-name": "volume-v1"}, "name": "db-data",
            "metadata": {}, "bootable": true, "volume_type": "replicated"}})
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_refusal_of_the_host_shows_that_volumes_may_be_managed() {
    let said = |code: u16, why: &str| {
        answer(
            code,
            json!({"badRequest": {"code": code, "message": why}}).to_string(),
        )
    };
    let no_host = "Host 'protector-site-validation@none#none' not found";
    let (cloud, _) = scripted([
        said(400, no_host),
        said(404, no_host),
        said(
            403,
            "Policy doesn't allow volume_extension:volume_manage to be performed.",
        ),
        said(404, "The resource could not be found."),
        said(400, "Invalid input for field/attribute volume."),
    ]);
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(cloud.volume().may_manage().await.ok());
    }
    assert_eq!(told, [Some(true), Some(true), Some(false), None, None]);
}

#[tokio::test(start_paused = true)]
async fn attachments_of_other_volumes_and_connection_secrets_are_left_out() {
    let rows = json!({"attachments": [
        {"id": "a1", "volume_id": "v1", "instance": "s1", "status": "attached", "attach_mode": "rw",
            "connection_info": {"auth_password": "chap-secret"}},
        {"id": "a2", "volume_id": "v2", "instance": null, "status": "reserved"},
    ]});
    let (cloud, _) = scripted([ok(rows), ok(json!({"attachments": []}))]);
    let found = cloud
        .volume()
        .attachments(&VolumeId::new("v1"))
        .await
        .unwrap();
    assert_eq!(
        (found.len(), &found[0].status),
        (1, &AttachmentStatus::Attached)
    );
    assert!(!format!("{found:?}").contains("chap-secret"));
}

#[tokio::test(start_paused = true)]
async fn quotas_and_pools_are_read_in_their_odd_forms() {
    let (cloud, _) = scripted([
        ok(
            json!({"quota_set": {"id": "p1", "volumes": {"limit": 10, "in_use": 3, "reserved": 1, "allocated": 0},
            "gigabytes": {"limit": -1, "in_use": 3, "reserved": 0}}}),
        ),
        ok(
            json!({"pools": [{"name": "h@b#p", "capabilities": {"free_capacity_gb": "infinite",
            "total_capacity_gb": 12.5, "volume_backend_name": "rbd"}}]}),
        ),
    ]);
    let quota = cloud.volume().quota(&"p1".into()).await.unwrap();
    assert_eq!(
        (
            quota["volumes"].left(),
            quota["gigabytes"].left(),
            quota.len()
        ),
        (Some(6), None, 2)
    );
    let pools = cloud.volume().pools().await.unwrap();
    assert_eq!(
        (pools[0].free(), pools[0].total()),
        (Capacity::Infinite, Capacity::Gib(12.5))
    );
    assert_eq!(pools[0].backend_name(), Some("rbd"));
}
