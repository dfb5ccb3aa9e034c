//! Taking backend objects in (manage) and letting them go (unmanage).

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, boolean, pairs, text, uuid_of},
    faults::{Component, JobEffect},
    identity::Caller,
    jobs::Job,
    reply::{Answer, accepted, empty, fault, ok, policy},
    volume::{Volume, VolumeStatus, need_member},
};

impl SimCloud {
    pub(crate) fn manageable_volumes(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        match (call.method.as_str(), rest) {
            ("POST", []) => self.volume_manage(call, caller),
            ("GET", [] | ["detail"]) => self.manageable_list(call, caller, !rest.is_empty()),
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn may_manage(&self, caller: &Caller, rule: &str) -> Answer<()> {
        if caller.is_admin() {
            return Ok(());
        }
        if !self.options.member_manages_volumes {
            return Err(policy(rule));
        }
        need_member(caller, rule)
    }

    fn volume_manage(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        self.may_manage(caller, "volume_extension:volume_manage")?;
        let given = call.object("volume")?;
        let Some(reference) = given.get("ref").filter(|value| value.is_object()) else {
            let text = format!(
                "Invalid input for field/attribute volume. Value: {}. 'ref' is a required property",
                python(&given)
            );
            return Err(fault(400, text));
        };
        let Some(host) = text(&given, "host") else {
            let text = format!(
                "Invalid input for field/attribute volume. Value: {}. 'host' is a required property",
                python(&given)
            );
            return Err(fault(400, text));
        };
        let kind = match text(&given, "volume_type") {
            None => self.volumes.kinds.iter().next().map(|kind| kind.id),
            Some(wanted) => Some(self.volumes.kind(wanted).map(|kind| kind.id).ok_or_else(
                || {
                    let text = format!(
                        "Invalid volume type: Cannot find requested '{wanted}' volume type"
                    );
                    fault(400, text)
                },
            )?),
        };
        let known = self.options.volume_host.as_str();
        let without_pool = known.split('#').next().unwrap_or(known);
        if host.split('#').next() != Some(without_pool) {
            return Err(fault(400, format!("Host '{host}' not found")));
        }
        if self
            .faults
            .is_seen_down(Component::CinderVolume, self.now, self.service_down_after())
        {
            return Err(fault(400, "Service is unavailable at this time."));
        }
        let source = text(reference, "source-name").map(str::to_owned);
        if source
            .as_deref()
            .is_some_and(|name| self.already_managed(name))
        {
            return Err(fault(
                400,
                "Unable to manage existing volume. The volume is already managed",
            ));
        }
        self.check_volume_quota(caller.project, 1, 0)?;
        let id = self.ids.next();
        let mut volume = Volume::fresh(id, caller.project, caller.user, 0, self.now);
        volume.status = VolumeStatus::Managing;
        volume.name = text(&given, "name").map(str::to_owned);
        volume.description = text(&given, "description").map(str::to_owned);
        volume.kind = kind;
        volume.metadata = pairs(&given, "metadata");
        volume.bootable = boolean(&given, "bootable").unwrap_or(false);
        volume.managed = true;
        host.clone_into(&mut volume.host);
        let view = self.volume_view(call, caller, &volume);
        let pool_given = host == known;
        self.volumes.volumes.insert(id, volume);
        let source = source.filter(|_| pool_given);
        self.later(self.options.latency.manage, Job::VolumeManaged(id, source));
        accepted(json!({"volume": view}))
    }

    fn already_managed(&self, name: &str) -> bool {
        name.strip_prefix("volume-")
            .and_then(uuid_of)
            .is_some_and(|id| self.volumes.volumes.contains(id))
    }

    /// A manage is over: the object is renamed, or the record says `error`.
    pub(crate) fn volume_managed(&mut self, id: Uuid, source: Option<&str>) {
        let Some(volume) = self.volumes.volumes.get(id).cloned() else {
            return;
        };
        if volume.status != VolumeStatus::Managing {
            return;
        }
        let name = volume.name.clone().unwrap_or_default();
        let failure = self
            .faults
            .for_job(&id.to_string(), &name, |effect| match effect {
                JobEffect::ManageError { after_rename } => Some(*after_rename),
                _ => None,
            });
        let size = source.and_then(|source| self.backend.size_gib(source));
        let mut managed = false;
        if let (Some(source), Some(size)) = (source, size)
            && failure != Some(false)
            && self.backend.rename(source, &volume.object()).is_ok()
        {
            if let Some(volume) = self.volume_mut(id) {
                volume.gib = size;
            }
            managed = failure.is_none();
        }
        let status = if managed {
            VolumeStatus::Available
        } else {
            VolumeStatus::ErrorManaging
        };
        self.set_volume_status(id, status);
    }

    pub(crate) fn volume_unmanage(&mut self, caller: &Caller, id: &str) -> Answer {
        let volume = self.volume_of(caller, id)?.clone();
        self.may_manage(caller, "volume_extension:volume_unmanage")?;
        self.check_unmanageable(&volume)?;
        self.set_volume_status(volume.id, VolumeStatus::Deleting);
        self.later(
            self.options.latency.unmanage,
            Job::VolumeUnmanaged(volume.id),
        );
        empty(202)
    }

    /// An unmanage is over: the record goes, the backend's object stays.
    pub(crate) fn volume_unmanaged(&mut self, id: Uuid) {
        self.volumes.volumes.remove(id);
    }

    fn manageable_list(&self, call: &Call<'_>, caller: &Caller, detail: bool) -> Answer {
        if !caller.is_admin() {
            return Err(fault(403, "User does not have admin privileges"));
        }
        let host = call.query("host").unwrap_or_default();
        if host != self.options.volume_host {
            return Err(fault(400, format!("Host '{host}' not found")));
        }
        if self
            .faults
            .is_seen_down(Component::CinderVolume, self.now, self.service_down_after())
        {
            return Err(fault(400, "Service is unavailable at this time."));
        }
        let rows: Vec<Value> = self
            .backend
            .names()
            .into_iter()
            .filter(|name| !name.contains('@'))
            .map(|name| {
                let managed = self.already_managed(&name);
                let mut row = json!({
                    "reference": {"source-name": name},
                    "size": self.backend.size_gib(&name),
                    "safe_to_manage": !managed,
                });
                if detail {
                    let id = name.strip_prefix("volume-").filter(|_| managed);
                    row["cinder_id"] = json!(id);
                    row["reason_not_safe"] = json!(managed.then_some("already managed"));
                    row["extra_info"] = Value::Null;
                }
                row
            })
            .collect();
        ok(json!({"manageable-volumes": rows}))
    }
}

/// JSON as Python prints a dictionary, for refusals that quote the request.
pub(crate) fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => format!("'{text}'"),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(python).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("'{key}': {}", python(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}
