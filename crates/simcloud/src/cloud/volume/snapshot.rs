//! Snapshots.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud, SimTime,
    call::{Call, boolean, pairs, text, uuid_of},
    identity::{Caller, hex},
    jobs::Job,
    reply::{Answer, accepted, empty, fault, ok},
    volume::{VolumeStatus, need_member},
};

#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: Uuid,
    name: Option<String>,
    description: Option<String>,
    volume: Uuid,
    pub(crate) gib: u64,
    status: &'static str,
    project: Uuid,
    metadata: BTreeMap<String, String>,
    created: SimTime,
}

impl SimCloud {
    pub(crate) fn snapshots(&mut self, call: &Call<'_>, caller: &Caller, rest: &[&str]) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", [] | ["detail"]) => {
                let all = call.all_projects(caller);
                let rows: Vec<Value> = self
                    .volumes
                    .snapshots
                    .iter()
                    .rev()
                    .filter(|row| all || row.project == caller.project)
                    .filter(|row| {
                        call.query("volume_id")
                            .is_none_or(|id| row.volume.to_string() == id)
                    })
                    .filter(|row| {
                        call.query("name")
                            .is_none_or(|name| row.name.as_deref() == Some(name))
                    })
                    .map(|row| self.snapshot_view(row))
                    .collect();
                ok(json!({"snapshots": rows}))
            }
            ("POST", []) => self.snapshot_create(call, caller),
            ("GET", [id]) => {
                let snapshot = self.snapshot_of(caller, id)?;
                ok(json!({"snapshot": self.snapshot_view(snapshot)}))
            }
            ("DELETE", [id]) => {
                let id = self.snapshot_of(caller, id)?.id;
                need_member(caller, "volume:delete_snapshot")?;
                if let Some(row) = self.volumes.snapshots.get_mut(id) {
                    row.status = "deleting";
                }
                self.later(self.options.latency.snapshot, Job::SnapshotDeleted(id));
                empty(202)
            }
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    pub(crate) fn snapshot_of(&self, caller: &Caller, id: &str) -> Answer<&Snapshot> {
        uuid_of(id)
            .and_then(|id| self.volumes.snapshots.get(id))
            .filter(|row| caller.sees(row.project))
            .ok_or_else(|| fault(404, format!("Snapshot {id} could not be found.")))
    }

    pub(crate) fn snapshots_of(&self, volume: Uuid) -> Vec<Uuid> {
        self.volumes
            .snapshots
            .iter()
            .filter(|row| row.volume == volume)
            .map(|row| row.id)
            .collect()
    }

    /// The name of a snapshot's object in the backend.
    pub(crate) fn snapshot_object(&self, id: Uuid) -> String {
        let volume = self
            .volumes
            .snapshots
            .get(id)
            .map(|row| row.volume)
            .unwrap_or_default();
        format!("volume-{volume}@snapshot-{id}")
    }

    fn snapshot_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        let given = call.object("snapshot")?;
        let volume = self
            .volume_of(caller, text(&given, "volume_id").unwrap_or_default())?
            .clone();
        need_member(caller, "volume:create_snapshot")?;
        let forced = boolean(&given, "force").unwrap_or(false) || call.minor >= 66;
        let allowed = match volume.status {
            VolumeStatus::Available => true,
            VolumeStatus::InUse => forced,
            _ => false,
        };
        if !allowed {
            let text = format!(
                "Invalid volume: Volume {} status must be available, but current status is: {}.",
                volume.id,
                volume.status.as_str()
            );
            return Err(fault(400, text));
        }
        let snapshot = Snapshot {
            id: self.ids.next(),
            name: text(&given, "name").map(str::to_owned),
            description: text(&given, "description").map(str::to_owned),
            volume: volume.id,
            gib: volume.gib,
            status: "creating",
            project: volume.project,
            metadata: pairs(&given, "metadata"),
            created: self.now,
        };
        let (id, view) = (snapshot.id, self.snapshot_view(&snapshot));
        self.volumes.snapshots.insert(id, snapshot);
        self.later(self.options.latency.snapshot, Job::SnapshotCreated(id));
        accepted(json!({"snapshot": view}))
    }

    /// A snapshot's creation is over.
    pub(crate) fn snapshot_created(&mut self, id: Uuid) {
        let Some(row) = self.volumes.snapshots.get(id) else {
            return;
        };
        let from = format!("volume-{}", row.volume);
        let copied = self.backend.copy(&from, &self.snapshot_object(id)).is_ok();
        if let Some(row) = self.volumes.snapshots.get_mut(id) {
            row.status = if copied { "available" } else { "error" };
        }
    }

    /// A snapshot's deletion is over.
    pub(crate) fn snapshot_deleted(&mut self, id: Uuid) {
        let object = self.snapshot_object(id);
        if self.backend.delete(&object).is_ok() {
            self.volumes.snapshots.remove(id);
        }
    }

    fn snapshot_view(&self, row: &Snapshot) -> Value {
        json!({
            "id": row.id.to_string(),
            "name": row.name,
            "description": row.description,
            "volume_id": row.volume.to_string(),
            "size": row.gib,
            "status": row.status,
            "metadata": row.metadata,
            "created_at": self.stamp_micro(row.created),
            "updated_at": self.stamp_micro(row.created),
            "group_snapshot_id": null,
            "user_id": null,
            "consumes_quota": true,
            "os-extended-snapshot-attributes:progress": "100%",
            "os-extended-snapshot-attributes:project_id": hex(row.project),
        })
    }
}
