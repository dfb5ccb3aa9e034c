//! Volumes: list, create, change, delete, act.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, SimulatedService, boolean, integer, next_query, paginate, pairs, text, uuid_of},
    faults::{Component, JobEffect},
    identity::{Caller, hex},
    jobs::Job,
    reply::{Answer, Reply, accepted, empty, fault, ok, policy},
    schema::{self, CINDER_FLAGS},
    volume::{
        NOT_DELETABLE, NOT_FORCE_DELETABLE, Volume, VolumeStatus, missing_volume, need_member,
        record::SETTABLE,
    },
};

/// How a delete was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DeleteMode {
    Plain,
    Cascade,
    Force,
}

impl SimCloud {
    pub(crate) fn volume_calls(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => self.volume_list(call, caller, false),
            ("GET", ["detail"]) => self.volume_list(call, caller, true),
            ("GET", ["summary"]) => self.volume_totals(call, caller),
            ("POST", []) => self.volume_create(call, caller),
            ("GET", [id]) => {
                let volume = self.volume_of(caller, id)?;
                ok(json!({"volume": self.volume_view(call, caller, volume)}))
            }
            ("PUT", [id]) => self.volume_update(call, caller, id),
            ("DELETE", [id]) => {
                let mode = match (call.flag("force") && call.minor >= 23, call.flag("cascade")) {
                    (true, _) => DeleteMode::Force,
                    (false, true) => DeleteMode::Cascade,
                    (false, false) => DeleteMode::Plain,
                };
                self.volume_delete(caller, id, mode, "volume:force_delete")
            }
            ("POST", [id, "action"]) => self.volume_action(call, caller, id),
            (_, [id, "metadata", rest @ ..]) => self.volume_metadata(call, caller, id, rest),
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn volume_list(&self, call: &Call<'_>, caller: &Caller, detail: bool) -> Answer {
        let all = call.all_projects(caller);
        let project = call
            .query("project_id")
            .and_then(uuid_of)
            .filter(|_| caller.is_admin());
        let rows: Vec<&Volume> = self
            .volumes
            .volumes
            .iter()
            .rev()
            .filter(|row| match project {
                Some(project) if all => row.project == project,
                _ => all || row.project == caller.project,
            })
            .filter(|row| {
                call.query("name")
                    .is_none_or(|name| row.name.as_deref() == Some(name))
            })
            .filter(|row| {
                call.query("status")
                    .is_none_or(|status| row.status.as_str() == status)
            })
            .filter(|row| call.query("id").is_none_or(|id| row.id.to_string() == id))
            .filter(|row| {
                call.query("group_id")
                    .is_none_or(|id| row.group.is_some_and(|g| g.to_string() == id))
            })
            .filter(|row| metadata_matches(call, row))
            .collect();
        let total = rows.len();
        let page = paginate(call, rows, 1000, |row| row.id.to_string())?;
        let list: Vec<Value> = page
            .rows
            .iter()
            .map(|row| {
                if detail {
                    self.volume_view(call, caller, row)
                } else {
                    self.volume_summary(caller, row)
                }
            })
            .collect();
        let mut body = json!({"volumes": list});
        if let Some(marker) = page.next {
            let path = if detail { "volumes/detail" } else { "volumes" };
            let href = format!(
                "{}/v3/{}/{path}?{}",
                self.service_url(SimulatedService::Volume),
                hex(caller.project),
                next_query(call, &marker)
            );
            body["volumes_links"] = json!([{"rel": "next", "href": href}]);
        }
        if call.minor >= 45 && call.flag("with_count") {
            body["count"] = json!(total);
        }
        ok(body)
    }

    fn volume_totals(&self, call: &Call<'_>, caller: &Caller) -> Answer {
        let all = call.all_projects(caller);
        let rows = self
            .volumes
            .volumes
            .iter()
            .filter(|row| all || row.project == caller.project);
        let (count, gib) = rows.fold((0_u64, 0_u64), |(count, gib), row| {
            (count + 1, gib + row.gib)
        });
        ok(json!({"volume-summary": {"total_count": count, "total_size": gib, "metadata": {}}}))
    }

    fn volume_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        need_member(caller, "volume:create")?;
        let given = call.object("volume")?;
        let image = self.wanted_image(&given)?;
        let source = self.wanted_source(caller, &given)?;
        let gib = self.wanted_size(&given, source.as_ref())?;
        let kind = self.wanted_kind(&given)?;
        let group = match text(&given, "group_id") {
            Some(id) => Some(self.group_of(caller, id)?.id),
            None => None,
        };
        self.check_volume_quota(caller.project, 1, gib)?;
        let id = self.ids.next();
        let mut volume = Volume::fresh(id, caller.project, caller.user, gib, self.now);
        volume.name = text(&given, "name").map(str::to_owned);
        volume.description = text(&given, "description").map(str::to_owned);
        volume.kind = kind;
        volume.metadata = pairs(&given, "metadata");
        volume.image = image;
        volume.image_properties = self.properties_of_image(image);
        volume.group = group;
        volume.host.clone_from(&self.options.volume_host);
        match &source {
            Some(Source::Snapshot(snapshot, _)) => {
                volume.snapshot = Some(*snapshot);
            }
            Some(Source::Volume(parent, _)) => {
                volume.source = Some(*parent);
                if let Some(parent) = self.volumes.volumes.get(*parent) {
                    volume.bootable = parent.bootable;
                    volume.image_properties.clone_from(&parent.image_properties);
                }
            }
            None => {}
        }
        let view = self.volume_view(call, caller, &volume);
        self.volumes.volumes.insert(id, volume);
        let delay = match image {
            Some(_) => self.options.latency.volume_from_image,
            None => self.options.latency.volume_create,
        };
        self.later(delay, Job::VolumeCreated(id));
        accepted(json!({"volume": view}))
    }

    fn wanted_image(&self, given: &Value) -> Answer<Option<Uuid>> {
        let Some(reference) = text(given, "imageRef").filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let id = reference.rsplit('/').next().unwrap_or(reference);
        let image = uuid_of(id).filter(|id| self.images.get(*id).is_some());
        if image
            .and_then(|image| self.images.get(image))
            .is_some_and(|image| !image.is_active())
        {
            let text = format!("Invalid input received: Image {id} is not active.");
            return Err(fault(400, text));
        }
        match image {
            Some(image) if !self.faults.is_away(Component::Glance) => Ok(Some(image)),
            _ => Err(fault(
                400,
                "Invalid image identifier or unable to access requested image.",
            )),
        }
    }

    fn wanted_source(&self, caller: &Caller, given: &Value) -> Answer<Option<Source>> {
        if let Some(id) = text(given, "snapshot_id") {
            let snapshot = self.snapshot_of(caller, id)?;
            return Ok(Some(Source::Snapshot(snapshot.id, snapshot.gib)));
        }
        if let Some(id) = text(given, "source_volid") {
            let volume = self.volume_of(caller, id)?;
            return Ok(Some(Source::Volume(volume.id, volume.gib)));
        }
        Ok(None)
    }

    fn wanted_size(&self, given: &Value, source: Option<&Source>) -> Answer<u64> {
        let known = match source {
            Some(Source::Snapshot(_, gib) | Source::Volume(_, gib)) => Some(*gib),
            None => None,
        };
        match (integer(given, "size"), known) {
            (Some(size), _) if size < 1 => Err(fault(
                400,
                format!(
                    "Invalid input for field/attribute size. Value: {size}. {size} is less than the \
                     minimum of 1"
                ),
            )),
            (Some(size), _) => Ok(u64::try_from(size).unwrap_or(1)),
            (None, Some(known)) => Ok(known),
            (None, None) => Err(fault(
                400,
                "Invalid input received: Invalid volume size provided for create request: None (size \
                 argument must be an integer (or string representation of an integer) and greater than \
                 zero).",
            )),
        }
    }

    fn wanted_kind(&self, given: &Value) -> Answer<Option<Uuid>> {
        let Some(wanted) = text(given, "volume_type").filter(|text| !text.is_empty()) else {
            return Ok(self.volumes.kinds.iter().next().map(|kind| kind.id));
        };
        self.volumes
            .kind(wanted)
            .map(|kind| Some(kind.id))
            .ok_or_else(|| {
                let named = if uuid_of(wanted).is_some() {
                    ""
                } else {
                    "with name "
                };
                let text = format!("Volume type {named}{wanted} could not be found.");
                fault(404, text)
            })
    }

    pub(crate) fn check_volume_quota(&self, project: Uuid, count: i64, gib: u64) -> Answer<()> {
        let quotas = self.volume_quotas(project);
        let (used, used_gib) = self.volume_usage(project);
        if quotas.volumes >= 0 && used + count > quotas.volumes {
            let text = format!(
                "VolumeLimitExceeded: Maximum number of volumes allowed ({}) exceeded for quota 'volumes'.",
                quotas.volumes
            );
            return Err(over_limit(&text));
        }
        let gib = i64::try_from(gib).unwrap_or(i64::MAX);
        if quotas.gigabytes >= 0 && used_gib.saturating_add(gib) > quotas.gigabytes {
            let text = format!(
                "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes \
                 quota. Requested {gib}G, quota is {}G and {used_gib}G has been consumed.",
                quotas.gigabytes
            );
            return Err(over_limit(&text));
        }
        Ok(())
    }

    pub(crate) fn volume_usage(&self, project: Uuid) -> (i64, i64) {
        self.volumes
            .volumes
            .iter()
            .filter(|row| row.project == project)
            .fold((0, 0), |(count, gib), row| {
                (count + 1, gib + i64::try_from(row.gib).unwrap_or(i64::MAX))
            })
    }

    /// A creation is over.
    pub(crate) fn volume_created(&mut self, id: Uuid) {
        let Some(volume) = self.volumes.volumes.get(id).cloned() else {
            return;
        };
        if !matches!(
            volume.status,
            VolumeStatus::Creating | VolumeStatus::Downloading
        ) {
            return;
        }
        if self.faults.is_away(Component::CinderVolume) {
            if self.faults.is_seen_down(
                Component::CinderVolume,
                volume.created,
                self.service_down_after(),
            ) {
                self.set_volume_status(id, VolumeStatus::Error);
            } else {
                self.later(Duration::from_secs(1), Job::VolumeCreated(id));
            }
            return;
        }
        let name = volume.name.clone().unwrap_or_default();
        let fails = self.faults.for_job(&id.to_string(), &name, |effect| {
            matches!(effect, JobEffect::VolumeCreateError).then_some(())
        });
        let status = if fails.is_some() || self.write_volume(&volume).is_err() {
            VolumeStatus::Error
        } else {
            VolumeStatus::Available
        };
        self.set_volume_status(id, status);
        if status == VolumeStatus::Available && volume.image.is_some() {
            self.boot_from(id);
        }
    }

    /// A volume can be booted from once its image is on it.
    pub(crate) fn boot_from(&mut self, id: Uuid) {
        if let Some(volume) = self.volume_mut(id) {
            volume.bootable = true;
        }
    }

    /// Makes a volume's object in the backend, from whatever it is made of.
    pub(crate) fn write_volume(
        &mut self,
        volume: &Volume,
    ) -> Result<(), crate::backend::BackendError> {
        let object = volume.object();
        if let Some(snapshot) = volume.snapshot {
            return self.backend.copy(&self.snapshot_object(snapshot), &object);
        }
        if let Some(source) = volume.source {
            return self.backend.copy(&format!("volume-{source}"), &object);
        }
        match volume.image.and_then(|image| self.images.get(image)) {
            Some(image) => {
                let content: Bytes = image.content.clone();
                self.backend
                    .create_from_image(&object, volume.gib, &content)
            }
            None => self.backend.create_blank(&object, volume.gib),
        }
    }

    pub(crate) fn set_volume_status(&mut self, id: Uuid, status: VolumeStatus) {
        if let Some(volume) = self.volume_mut(id) {
            volume.status = status;
        }
    }

    fn volume_update(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let found = self.volume_of(caller, id)?.id;
        need_member(caller, "volume:update")?;
        let given = call.object("volume")?;
        schema::not_empty("volume", &given)?;
        if let Some(volume) = self.volume_mut(found) {
            if let Some(name) = given.get("name") {
                volume.name = name.as_str().map(str::to_owned);
            }
            if let Some(description) = given.get("description") {
                volume.description = description.as_str().map(str::to_owned);
            }
            if given.get("metadata").is_some() {
                volume.metadata = pairs(&given, "metadata");
            }
        }
        let volume = self.volume_of(caller, id)?;
        ok(json!({"volume": self.volume_view(call, caller, volume)}))
    }

    fn volume_metadata(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        id: &str,
        rest: &[&str],
    ) -> Answer {
        let found = self.volume_of(caller, id)?.id;
        let method = call.method.as_str();
        if method != "GET" {
            need_member(caller, "volume:update_volume_metadata")?;
        }
        let body = call.json()?;
        let Some(volume) = self.volume_mut(found) else {
            return Err(missing_volume(id));
        };
        match (method, rest) {
            ("GET", []) => {}
            ("POST", []) => volume.metadata.extend(pairs(&body, "metadata")),
            ("PUT", []) => volume.metadata = pairs(&body, "metadata"),
            ("PUT", [_]) => volume.metadata.extend(pairs(&body, "meta")),
            ("DELETE", [key]) => {
                let removed = volume.metadata.remove(*key);
                return match removed {
                    Some(_) => empty(200),
                    None => Err(fault(
                        404,
                        format!("Volume {id} has no metadata with key {key}."),
                    )),
                };
            }
            _ => return Err(fault(404, "The resource could not be found.")),
        }
        ok(json!({"metadata": volume.metadata}))
    }

    fn volume_action(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let body = call.json()?;
        let Some((action, given)) = body.as_object().and_then(|body| body.iter().next()) else {
            return Err(fault(400, "Malformed request body"));
        };
        let admin_rule = |name: &str| format!("volume_extension:volume_admin_actions:{name}");
        match action.as_str() {
            "os-unmanage" => self.volume_unmanage(caller, id),
            "os-force_delete" => {
                self.volume_delete(caller, id, DeleteMode::Force, &admin_rule("force_delete"))
            }
            "os-reset_status" => {
                if !caller.is_admin() {
                    self.volume_of(caller, id)?;
                    return Err(policy(&admin_rule("reset_status")));
                }
                self.volume_reset(caller, id, given)
            }
            "os-set_bootable" => {
                let found = self.volume_of(caller, id)?.id;
                need_member(caller, "volume:update")?;
                schema::flag(given, "bootable", CINDER_FLAGS)?;
                let bootable = boolean(given, "bootable").unwrap_or(false);
                if let Some(volume) = self.volume_mut(found) {
                    volume.bootable = bootable;
                }
                empty(200)
            }
            "os-set_image_metadata" => {
                let found = self.volume_of(caller, id)?.id;
                need_member(caller, "volume_extension:volume_image_metadata:set")?;
                schema::metadata_keys(given, "/")?;
                if let Some(volume) = self.volume_mut(found) {
                    volume.image_properties.extend(pairs(given, "metadata"));
                }
                let volume = self.volume_of(caller, id)?;
                ok(json!({"metadata": volume.image_properties}))
            }
            "os-show_image_metadata" => {
                let volume = self.volume_of(caller, id)?;
                if volume.image_properties.is_empty() {
                    return Err(no_image_metadata(id));
                }
                ok(json!({"metadata": volume.image_properties}))
            }
            "os-unset_image_metadata" => {
                let found = self.volume_of(caller, id)?.id;
                need_member(caller, "volume_extension:volume_image_metadata:remove")?;
                let key = text(given, "key").unwrap_or_default();
                let volume = self.volume_mut(found);
                match volume.and_then(|volume| volume.image_properties.remove(key)) {
                    Some(_) => empty(200),
                    None => Err(no_image_metadata(id)),
                }
            }
            "os-update_readonly_flag" => {
                self.volume_of(caller, id)?;
                need_member(
                    caller,
                    "volume_extension:volume_actions:update_readonly_flag",
                )?;
                empty(202)
            }
            "os-extend" => self.volume_extend(call, caller, id, given),
            "os-reserve" | "os-unreserve" | "os-attach" | "os-detach" | "os-begin_detaching" => {
                self.volume_of(caller, id)?;
                Err(policy("volume_extension:volume_actions:attach"))
            }
            other => Err(fault(400, format!("There is no such action: {other}"))),
        }
    }

    fn volume_extend(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        id: &str,
        given: &Value,
    ) -> Answer {
        let volume = self.volume_of(caller, id)?.clone();
        need_member(caller, "volume:extend")?;
        let size = integer(given, "new_size")
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0);
        if size <= volume.gib {
            let text = format!(
                "Invalid input received: New size for extend must be greater than current size. (current: \
                 {}, extended: {size}).",
                volume.gib
            );
            return Err(fault(400, text));
        }
        if let Some(volume) = self.volume_mut(volume.id) {
            volume.gib = size;
        }
        // Cinder sends `volume-extended` to Nova, which notes it as asked of each server that has the volume.
        for attachment in &volume.attachments {
            self.remember_extension(call, caller, attachment.server);
        }
        empty(202)
    }

    fn volume_reset(&mut self, caller: &Caller, id: &str, given: &Value) -> Answer {
        let volume = self.volume_of(caller, id)?.id;
        let Some(wanted) = text(given, "status") else {
            if let Some(volume) = self.volume_mut(volume)
                && text(given, "attach_status") == Some("detached")
            {
                volume.attachments.clear();
            }
            return empty(202);
        };
        let Some(status) = VolumeStatus::parse(wanted) else {
            let list: Vec<String> = SETTABLE.iter().map(|name| format!("'{name}'")).collect();
            let text = format!(
                "Volume status: {wanted} is invalid, valid statuses are: ({}).",
                list.join(", ")
            );
            return Err(fault(400, text));
        };
        self.set_volume_status(volume, status);
        empty(202)
    }

    fn volume_delete(
        &mut self,
        caller: &Caller,
        id: &str,
        mode: DeleteMode,
        force_rule: &str,
    ) -> Answer {
        let volume = self.volume_of(caller, id)?.clone();
        need_member(caller, "volume:delete")?;
        if mode == DeleteMode::Force && !caller.is_admin() {
            return Err(policy(force_rule));
        }
        self.check_deletable(&volume, mode)?;
        if mode == DeleteMode::Cascade {
            let snapshots = self.snapshots_of(volume.id);
            for snapshot in snapshots {
                self.snapshot_deleted(snapshot);
            }
        }
        self.begin_volume_delete(volume.id);
        empty(202)
    }

    /// The delete's message to the volume service.
    pub(crate) fn begin_volume_delete(&mut self, id: Uuid) {
        self.set_volume_status(id, VolumeStatus::Deleting);
        self.later(self.options.latency.volume_delete, Job::VolumeDeleted(id));
    }

    fn check_deletable(&self, volume: &Volume, mode: DeleteMode) -> Answer<()> {
        let status_allows = matches!(
            volume.status,
            VolumeStatus::Available | VolumeStatus::Error | VolumeStatus::ErrorManaging
        ) || matches!(
            volume.status.as_str(),
            "error_restoring" | "error_extending"
        );
        let tied = !volume.attachments.is_empty()
            || volume.group.is_some()
            || volume.status == VolumeStatus::AwaitingTransfer
            || (mode != DeleteMode::Cascade && !self.snapshots_of(volume.id).is_empty());
        match mode {
            DeleteMode::Force if tied => Err(fault(400, NOT_FORCE_DELETABLE)),
            DeleteMode::Force => Ok(()),
            DeleteMode::Plain | DeleteMode::Cascade if tied || !status_allows => {
                Err(fault(400, NOT_DELETABLE))
            }
            DeleteMode::Plain | DeleteMode::Cascade => Ok(()),
        }
    }

    /// What holds for DELETE holds for `os-unmanage`.
    pub(crate) fn check_unmanageable(&self, volume: &Volume) -> Answer<()> {
        if volume.encrypted {
            let text = "Invalid volume: Unmanaging encrypted volumes is not supported.";
            return Err(fault(400, text));
        }
        self.check_deletable(volume, DeleteMode::Plain)
    }

    /// A delete is over, one way or another.
    pub(crate) fn volume_deleted(&mut self, id: Uuid) {
        let Some(volume) = self.volumes.volumes.get(id).cloned() else {
            return;
        };
        if volume.status != VolumeStatus::Deleting {
            return;
        }
        if self.faults.is_away(Component::CinderVolume) {
            self.later(Duration::from_secs(1), Job::VolumeDeleted(id));
            return;
        }
        let name = volume.name.clone().unwrap_or_default();
        let effect = self
            .faults
            .for_job(&id.to_string(), &name, |effect| match effect {
                JobEffect::VolumeDeleteSticks { .. }
                | JobEffect::VolumeDeleteErrors
                | JobEffect::VolumeDeleteBackToAvailable => Some(effect.clone()),
                _ => None,
            });
        match effect {
            Some(JobEffect::VolumeDeleteSticks {
                seconds: Some(seconds),
            }) => {
                let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                self.later(wait, Job::VolumeDeleted(id));
            }
            Some(JobEffect::VolumeDeleteSticks { seconds: None }) => {}
            Some(JobEffect::VolumeDeleteErrors) => {
                self.set_volume_status(id, VolumeStatus::ErrorDeleting);
            }
            Some(JobEffect::VolumeDeleteBackToAvailable) => {
                self.set_volume_status(id, VolumeStatus::Available);
            }
            _ => {
                if self.backend.delete(&volume.object()).is_err() {
                    self.set_volume_status(id, VolumeStatus::ErrorDeleting);
                } else {
                    self.volumes.volumes.remove(id);
                }
            }
        }
    }
}

/// What a new volume is copied from, with its size.
enum Source {
    Snapshot(Uuid, u64),
    Volume(Uuid, u64),
}

fn no_image_metadata(id: &str) -> Box<Reply> {
    let text = format!("Glance metadata for volume/snapshot {id} cannot be found.");
    fault(404, text)
}

fn over_limit(text: &str) -> Box<Reply> {
    let body = json!({"overLimit": {"code": 413, "message": text, "retryAfter": "0"}});
    Box::new(Reply::json(413, &body).with("retry-after", "0"))
}

/// `?metadata={'key': 'value'}` in Python's or JSON's spelling.
fn metadata_matches(call: &Call<'_>, volume: &Volume) -> bool {
    let Some(wanted) = call.query("metadata") else {
        return true;
    };
    let wanted: Value = serde_json::from_str(&wanted.replace('\'', "\"")).unwrap_or_default();
    wanted
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| volume.metadata.get(key).map(String::as_str) == value.as_str())
}
