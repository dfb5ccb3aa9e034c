//! Promoted volumes in the target's Cinder: import, and the way back.

use std::collections::BTreeSet;

use protector_core::{
    fault::Code,
    guard::{MadeCounterpart, import_must_stay},
    id::VolumeId,
    journal::Effect,
    member::{Member, ProtectedVolume},
    operation::{Mapped, OperationKind, ResourceMap},
};
use protector_openstack::{
    cloud::Cloud,
    compute::Server,
    status::VolumeStatus,
    volume::{BackendReference, ManagedVolume, Volume, VolumeFilter},
};

use super::{
    adopted,
    arrays::Arrays,
    mark, reading,
    scope::{Absent, Eyes, believe_absence, target_networks},
    site_clouds::SiteClouds,
    written_since::WrittenSince,
};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::{StepError, not_in_plan},
};

/// Steps that take volumes into the target's Cinder, and out of it.
pub(super) struct ImportedVolumes<'a> {
    pub(super) clouds: SiteClouds<'a>,
    pub(super) arrays: &'a Arrays,
}

impl ImportedVolumes<'_> {
    pub(super) async fn manage_volume(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &VolumeId,
    ) -> Result<Progress, StepError> {
        let target = self.clouds.target(cx).await?;
        let own = find_imported(&target, cx, source_id).await?;
        let found = match own {
            None => {
                self.clouds
                    .find_adopted_volume(&target, cx, source_id)
                    .await?
            }
            own => own,
        };
        if let Some(volume) = found {
            cx.memo.made = Some(volume.id.to_string());
            return self.judge_import(&target, cx, source_id, &volume).await;
        }
        // One that was known and is gone must not hide the one that is made now.
        cx.memo.made = None;
        cx.memo.adopted = false;
        let request = import_request(cx, source_id)?;
        let intent = cx.intend().await?;
        let open = intent.on(&target);
        let volume = open.volume().manage(&request).await.map_err(stop)?;
        cx.memo.made = Some(volume.id.to_string());
        Ok(self.clouds.look_again("Cinder to import it"))
    }

    async fn judge_import(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &VolumeId,
        volume: &Volume,
    ) -> Result<Progress, StepError> {
        match &volume.status {
            VolumeStatus::Available if !has_image_properties(cx, source_id, volume)? => {
                let (_, known) = known(cx, source_id)?;
                let intent = cx.intend_beside().await?;
                intent
                    .on(target)
                    .volume()
                    .set_image_metadata(&volume.id, &known.image_properties)
                    .await
                    .map_err(stop)?;
                Ok(self
                    .clouds
                    .look_again("Cinder to keep the properties of its image"))
            }
            VolumeStatus::Available | VolumeStatus::InUse if cx.memo.adopted => {
                adopted::mark_volume(target, cx, source_id, volume).await?;
                Ok(imported_as(source_id, volume))
            }
            VolumeStatus::Available => Ok(imported_as(source_id, volume)),
            VolumeStatus::InUse => match foreign_user(target, cx, source_id, volume).await? {
                None => Ok(imported_as(source_id, volume)),
                Some(user) => Err(StepError::last(
                    Code::Broken,
                    format!(
                        "volume {} on {} is in use by {user}, which is not the copy of its member",
                        volume.id,
                        cx.plan().target.site
                    ),
                )),
            },
            VolumeStatus::Reserved
            | VolumeStatus::Attaching
            | VolumeStatus::Detaching
            | VolumeStatus::Creating
            | VolumeStatus::Managing => Ok(self
                .clouds
                .look_again(format!("volume status {}", volume.status.as_str()))),
            other => Err(StepError::last(
                Code::Broken,
                format!(
                    "Cinder on {} could not import it: volume {} is {}",
                    cx.plan().target.site,
                    volume.id,
                    other.as_str()
                ),
            )),
        }
    }

    /// Takes an import back by `unmanage` only: deleting a half-managed record would destroy the bytes behind it.
    pub(super) async fn unmanage_volume(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &VolumeId,
    ) -> Result<Progress, StepError> {
        if !cx.memo.has_made_something() || cx.memo.adopted {
            return Ok(Progress::done());
        }
        let target = self.clouds.target(cx).await?;
        let Some(volume) = find_imported(&target, cx, source_id).await? else {
            let plan = cx.plan();
            let (networks, project) = (target_networks(plan), &plan.target.project_id);
            // Whoever discards the bytes next goes by this word.
            believe_absence(&target, Absent::Volume, Eyes::Tenant, project, &networks).await?;
            return Ok(Progress::Done(was_imported_as(cx, source_id)));
        };
        cx.memo.made = Some(volume.id.to_string());
        if cx.operation.kind == OperationKind::Retry && has_its_bytes(&volume) {
            cx.fact(format!("volume {} has been imported since", volume.id));
            return Ok(Progress::done());
        }
        let protected_by = cx.protected_by(volume.id.as_str()).await?;
        let copy = MadeCounterpart {
            maker: mark::maker(cx.operation),
            project_id: cx.plan().target.project_id.as_str(),
            protected_by: protected_by.as_deref(),
        };
        if let Some(why) = import_must_stay(&copy, &mark::seen(&volume.metadata)) {
            return Err(StepError::last(Code::Kept, why));
        }
        if let Some(why) = cx.blocked_by {
            // Where Nova has forgotten it with its host down, its guest still has a volume that says "available".
            return Err(StepError::last(
                Code::Kept,
                format!("kept: its server was not taken back ({why})"),
            ));
        }
        // The tenant reaches what was written to it as long as Cinder has it.
        WrittenSince::with(self.clouds, self.arrays)
            .refuse_to_discard_copy_of(cx, source_id)
            .await?;
        match &volume.status {
            VolumeStatus::InUse
            | VolumeStatus::Detaching
            | VolumeStatus::Reserved
            | VolumeStatus::Attaching
            | VolumeStatus::Creating
            | VolumeStatus::Managing
            | VolumeStatus::Deleting
            | VolumeStatus::Unmanaging => {
                let holders = holders(&target, &volume).await?;
                let status = volume.status.as_str();
                return Ok(self
                    .clouds
                    .look_again(format!("volume status {status}{holders}")));
            }
            _ => {}
        }
        let intent = cx.intend_undo_of(volume.id.as_str()).await?;
        match reading::volume(&target, &volume.id).await? {
            Some(again) if again == volume => {}
            _ => return Ok(self.clouds.changed_meanwhile(cx)),
        }
        let open = intent.on(&target);
        open.volume().unmanage(&volume.id).await.map_err(stop)?;
        Ok(Progress::Waiting {
            on: "Cinder to let go of it".to_owned(),
            again: self.clouds.options.status_poll,
        })
    }
}

fn imported_as(source_id: &VolumeId, volume: &Volume) -> Progress {
    Progress::Done(vec![
        Mapped::Volume {
            source: source_id.clone(),
            target: volume.id.clone(),
        }
        .into(),
    ])
}

/// The name that Cinder gave the bytes outlives the import; who discards them must know it.
fn was_imported_as(cx: &StepContext<'_>, source_id: &VolumeId) -> Vec<Effect> {
    cx.memo
        .made
        .iter()
        .map(|id| {
            Effect::from(Mapped::Volume {
                source: source_id.clone(),
                target: VolumeId::new(id.clone()),
            })
        })
        .collect()
}

/// Whether the import has succeeded, or is taken for one that has by whoever attaches it.
fn has_its_bytes(volume: &Volume) -> bool {
    matches!(
        volume.status,
        VolumeStatus::Available
            | VolumeStatus::InUse
            | VolumeStatus::Reserved
            | VolumeStatus::Attaching
            | VolumeStatus::Detaching
    )
}

/// For whom Cinder keeps a volume, as a clause. Those it is only reserved for are not in its own list.
async fn holders(target: &Cloud, volume: &Volume) -> Result<String, StepError> {
    let attachments = target
        .volume()
        .attachments(&volume.id)
        .await
        .map_err(stop)?;
    let servers: BTreeSet<String> = attachments
        .into_iter()
        .filter_map(|attachment| attachment.instance)
        .map(|server| format!("server {server}"))
        .collect();
    let servers: Vec<String> = servers.into_iter().collect();
    Ok(match servers.is_empty() {
        true => String::new(),
        false => format!(", held for {}", servers.join(" and ")),
    })
}

/// Who uses an import beside the copy of its own member: after an earlier try that one may run on it.
pub(super) async fn foreign_user(
    target: &Cloud,
    cx: &StepContext<'_>,
    source_id: &VolumeId,
    volume: &Volume,
) -> Result<Option<String>, StepError> {
    let (member, _) = known(cx, source_id)?;
    let member = member.server_id.clone();
    let copy = cx.known(|map| map.server(&member));
    let maker = mark::maker(cx.operation);
    for attachment in &volume.attachments {
        let user = &attachment.server_id;
        if copy.as_ref() == Some(user) {
            continue;
        }
        let server = reading::server(target, user).await?;
        let is_copy = |server: Server| mark::is_ours(&server.metadata, maker, member.as_str());
        if !server.is_some_and(is_copy) {
            return Ok(Some(format!("server {user}")));
        }
    }
    Ok(match volume.attachments.as_slice() {
        [] => Some("something that Cinder does not name".to_owned()),
        _ => None,
    })
}

/// The import that this step made, if it made one: by its id where that is known, else by its marks. A retry looks for
/// one whatever it remembers: the tries before it may have made one that nobody heard of.
async fn find_imported(
    target: &Cloud,
    cx: &StepContext<'_>,
    source_id: &VolumeId,
) -> Result<Option<Volume>, StepError> {
    if let Some(id) = &cx.memo.made
        && let Some(volume) = reading::volume(target, &VolumeId::new(id.clone())).await?
    {
        return Ok(Some(volume));
    }
    if cx.memo.intents == 0 && cx.operation.kind != OperationKind::Retry {
        return Ok(None);
    }
    let maker = mark::maker(cx.operation);
    // By the mark of the source, which a few volumes carry; by the operation's it would be all that it imports.
    let copies = VolumeFilter::marked(mark::SOURCE, source_id.as_str());
    let volumes = target.volume().volumes(&copies).await.map_err(stop)?;
    for volume in volumes {
        if mark::is_ours(&volume.metadata, maker, source_id.as_str())
            && mark::made_as_us(target, volume.user_id.as_ref()).await?
        {
            return Ok(Some(volume));
        }
    }
    Ok(None)
}

fn known<'a>(
    cx: &'a StepContext<'_>,
    source_id: &VolumeId,
) -> Result<(&'a Member, &'a ProtectedVolume), StepError> {
    cx.plan()
        .volume(source_id.as_str())
        .ok_or_else(|| not_in_plan("volume", source_id.as_str()))
}

/// Whether an import has what Nova reads off a boot volume. An import into Cinder brings none of it, and a guest that was
/// made for UEFI or for another disk bus would not boot without.
fn has_image_properties(
    cx: &StepContext<'_>,
    source_id: &VolumeId,
    volume: &Volume,
) -> Result<bool, StepError> {
    let there = &volume.volume_image_metadata;
    let (_, known) = known(cx, source_id)?;
    Ok(known
        .image_properties
        .iter()
        .all(|(key, value)| there.get(key) == Some(value)))
}

fn import_request(cx: &StepContext<'_>, source_id: &VolumeId) -> Result<ManagedVolume, StepError> {
    let plan = cx.plan();
    let (_, known) = known(cx, source_id)?;
    let not_recorded =
        |what: &str| StepError::last(Code::Internal, format!("no {what} is recorded"));
    let host = cx.known(ResourceMap::import_host);
    let object = cx.known(|map| map.promoted(source_id));
    let ProtectedVolume {
        name,
        metadata,
        description,
        ..
    } = known;
    Ok(ManagedVolume {
        host: host.ok_or_else(|| not_recorded("target"))?,
        reference: BackendReference::Name(object.ok_or_else(|| not_recorded(source_id.as_str()))?),
        name: name.clone(),
        volume_type: plan.volume_type_on_target(known).map(str::to_owned),
        bootable: known.copy_is_bootable(),
        metadata: mark::mark(metadata, mark::maker(cx.operation), source_id.as_str()),
        availability_zone: None,
        description: description.clone(),
    })
}
