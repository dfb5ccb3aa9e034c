//! Generic volume groups.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud, SimTime,
    call::{Call, boolean, text, uuid_of},
    identity::{Caller, hex},
    jobs::Job,
    reply::{Answer, accepted, empty, fault, ok},
    volume::{VolumeStatus, manage::python, need_member},
};

/// A group of volumes.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: Uuid,
    name: Option<String>,
    description: Option<String>,
    status: &'static str,
    kind: Uuid,
    volume_kinds: Vec<Uuid>,
    project: Uuid,
    created: SimTime,
}

impl SimCloud {
    pub(crate) fn groups(&mut self, call: &Call<'_>, caller: &Caller, rest: &[&str]) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", [] | ["detail"]) => {
                let all = call.all_projects(caller);
                let detail = !rest.is_empty();
                let rows: Vec<Value> = self
                    .volumes
                    .groups
                    .iter()
                    .rev()
                    .filter(|row| all || row.project == caller.project)
                    .filter(|row| {
                        call.query("name")
                            .is_none_or(|name| row.name.as_deref() == Some(name))
                    })
                    .map(|row| match detail {
                        true => self.group_view(call, row),
                        false => json!({"id": row.id.to_string(), "name": row.name}),
                    })
                    .collect();
                ok(json!({"groups": rows}))
            }
            ("POST", []) => self.group_create(call, caller),
            ("GET", [id]) => {
                let group = self.group_of(caller, id)?;
                ok(json!({"group": self.group_view(call, group)}))
            }
            ("PUT", [id]) => self.group_update(call, caller, id),
            ("POST", [id, "action"]) => self.group_action(call, caller, id),
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    pub(crate) fn group_of(&self, caller: &Caller, id: &str) -> Answer<&Group> {
        uuid_of(id)
            .and_then(|id| self.volumes.groups.get(id))
            .filter(|row| caller.sees(row.project))
            .ok_or_else(|| fault(404, format!("Group {id} could not be found.")))
    }

    fn group_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        need_member(caller, "group:create")?;
        let given = call.object("group")?;
        let wanted = text(&given, "group_type").unwrap_or_default();
        let kind = self
            .volumes
            .group_kind(wanted)
            .map(|kind| kind.id)
            .ok_or_else(|| fault(404, format!("Group type {wanted} could not be found.")))?;
        let mut volume_kinds = Vec::new();
        let names = given
            .get("volume_types")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for wanted in names.filter_map(Value::as_str) {
            let kind = self
                .volumes
                .kind(wanted)
                .map(|kind| kind.id)
                .ok_or_else(|| {
                    fault(
                        404,
                        format!("Volume type with name {wanted} could not be found."),
                    )
                })?;
            volume_kinds.push(kind);
        }
        let id = self.ids.next();
        let name = text(&given, "name").map(str::to_owned);
        let group = Group {
            id,
            name: name.clone(),
            description: text(&given, "description").map(str::to_owned),
            status: "creating",
            kind,
            volume_kinds,
            project: caller.project,
            created: self.now,
        };
        self.volumes.groups.insert(id, group);
        self.later(self.options.latency.group, Job::GroupCreated(id));
        accepted(json!({"group": {"id": id.to_string(), "name": name}}))
    }

    fn set_group_status(&mut self, id: Uuid, status: &'static str) {
        if let Some(group) = self.volumes.groups.get_mut(id) {
            group.status = status;
        }
    }

    /// A group's creation is over.
    pub(crate) fn group_created(&mut self, id: Uuid) {
        self.set_group_status(id, "available");
    }

    fn group_update(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let group = self.group_of(caller, id)?.clone();
        need_member(caller, "group:update")?;
        let given = call.object("group")?;
        if given.as_object().is_none_or(serde_json::Map::is_empty) {
            let text = format!(
                "Invalid input for field/attribute group. Value: {0}. {0} is not valid under any of the \
                 given schemas",
                python(&given)
            );
            return Err(fault(400, text));
        }
        if group.status != "available" {
            let text = format!(
                "Invalid Group: Group {id} status must be available, but current status is: {}.",
                group.status
            );
            return Err(fault(400, text));
        }
        let add = self.to_add(caller, &group, text(&given, "add_volumes"))?;
        let remove = self.to_remove(&group, text(&given, "remove_volumes"))?;
        if let Some(row) = self.volumes.groups.get_mut(group.id) {
            if let Some(name) = text(&given, "name") {
                row.name = Some(name.to_owned());
            }
            if let Some(description) = text(&given, "description") {
                row.description = Some(description.to_owned());
            }
        }
        if !add.is_empty() || !remove.is_empty() {
            self.set_group_status(group.id, "updating");
            let job = Job::GroupUpdated {
                group: group.id,
                add,
                remove,
            };
            self.later(self.options.latency.group, job);
        }
        empty(202)
    }

    fn to_add(&self, caller: &Caller, group: &Group, list: Option<&str>) -> Answer<Vec<Uuid>> {
        let mut ids = Vec::new();
        for wanted in list_of(list) {
            let cannot = |why: &str| {
                let text = format!(
                    "Invalid volume: Cannot add volume {wanted} to group {} because {why}.",
                    group.id
                );
                fault(400, text)
            };
            let volume = self
                .volume_of(caller, wanted)
                .map_err(|_| cannot("volume cannot be found"))?;
            if let Some(other) = volume.group {
                return Err(cannot(&format!("it is already in group {other}")));
            }
            let kind = volume.kind.unwrap_or_default();
            if !group.volume_kinds.contains(&kind) {
                let why = format!("volume type {kind} is not supported by the group");
                return Err(cannot(&why));
            }
            if !matches!(volume.status, VolumeStatus::Available | VolumeStatus::InUse) {
                let why = format!("volume is in an invalid state: {}", volume.status.as_str());
                return Err(cannot(&why));
            }
            ids.push(volume.id);
        }
        Ok(ids)
    }

    fn to_remove(&self, group: &Group, list: Option<&str>) -> Answer<Vec<Uuid>> {
        let mut ids = Vec::new();
        for wanted in list_of(list) {
            let volume = uuid_of(wanted)
                .and_then(|id| self.volumes.volumes.get(id))
                .filter(|volume| volume.group == Some(group.id));
            let Some(volume) = volume else {
                let text = format!(
                    "Invalid volume: Cannot remove volume {wanted} from group {} because it is not in the \
                     group.",
                    group.id
                );
                return Err(fault(400, text));
            };
            ids.push(volume.id);
        }
        Ok(ids)
    }

    /// A group's update is over.
    pub(crate) fn group_updated(&mut self, group: Uuid, add: &[Uuid], remove: &[Uuid]) {
        for id in add {
            if let Some(volume) = self.volume_mut(*id) {
                volume.group = Some(group);
            }
        }
        for id in remove {
            if let Some(volume) = self.volume_mut(*id) {
                volume.group = None;
            }
        }
        self.set_group_status(group, "available");
    }

    fn group_action(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let group = self.group_of(caller, id)?.clone();
        let body = call.json()?;
        let Some((action, given)) = body.as_object().and_then(|body| body.iter().next()) else {
            return Err(fault(400, "Malformed request body"));
        };
        match action.as_str() {
            "delete" => {
                need_member(caller, "group:delete")?;
                let delete_volumes = boolean(given, "delete-volumes").unwrap_or(false);
                let occupied = self
                    .volumes
                    .volumes
                    .iter()
                    .any(|volume| volume.group == Some(group.id));
                if occupied && !delete_volumes {
                    let text = format!(
                        "Invalid Group: Group {id} still contains volumes. The delete-volumes flag is \
                         required to delete it."
                    );
                    return Err(fault(400, text));
                }
                self.set_group_status(group.id, "deleting");
                let job = Job::GroupDeleted {
                    group: group.id,
                    delete_volumes,
                };
                self.later(self.options.latency.group, job);
                empty(202)
            }
            "enable_replication" | "disable_replication" | "failover_replication" => {
                let text =
                    format!("Invalid group type: Group {id} is not a replication group type.");
                Err(fault(400, text))
            }
            other => Err(fault(400, format!("There is no such action: {other}"))),
        }
    }

    /// A group's deletion is over.
    pub(crate) fn group_deleted(&mut self, group: Uuid, delete_volumes: bool) {
        let members: Vec<Uuid> = self
            .volumes
            .volumes
            .iter()
            .filter(|volume| volume.group == Some(group))
            .map(|volume| volume.id)
            .collect();
        for id in members {
            if let Some(volume) = self.volume_mut(id) {
                volume.group = None;
            }
            if delete_volumes {
                self.begin_volume_delete(id);
            }
        }
        self.volumes.groups.remove(group);
    }

    fn group_view(&self, call: &Call<'_>, row: &Group) -> Value {
        let kinds: Vec<String> = row.volume_kinds.iter().map(ToString::to_string).collect();
        let mut view = json!({
            "id": row.id.to_string(),
            "name": row.name,
            "description": row.description,
            "status": row.status,
            "availability_zone": "nova",
            "created_at": self.stamp_micro(row.created),
            "group_type": row.kind.to_string(),
            "volume_types": kinds,
            "group_snapshot_id": null,
            "source_group_id": null,
            "replication_status": "disabled",
            "project_id": hex(row.project),
        });
        if call.flag("list_volume") {
            let members: Vec<String> = self
                .volumes
                .volumes
                .iter()
                .filter(|volume| volume.group == Some(row.id))
                .map(|volume| volume.id.to_string())
                .collect();
            view["volumes"] = json!(members);
        }
        view
    }
}

fn list_of(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}
