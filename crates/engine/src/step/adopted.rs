//! What an interrupted failover has made on the target: an unplanned failover that comes after it goes on from there.
//!
//! It is found by the marks of the interrupted operation, marked anew, and never taken back: that operation may have come
//! further than this site has heard, and the copies may be what everybody works on.

use protector_core::{
    fault::Code,
    id::{OperationId, ServerId, UserId, VolumeId},
};
use protector_openstack::{
    cloud::Cloud,
    compute::Server,
    status::VolumeStatus,
    volume::{Volume, VolumeFilter},
};

use super::{
    mark::{self, SOURCE},
    marked_counterparts::{CounterpartState, ServerCopy},
    site_clouds::SiteClouds,
};
use crate::{action::StepContext, clouds::stop, step_error::StepError};

impl SiteClouds<'_> {
    /// The copy of a server that the interrupted operation has built, if there is one: its first, where there are several,
    /// since its engine may have built one twice. The step remembers it.
    pub(super) async fn find_adopted_server(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Option<Server>, StepError> {
        let interrupted = cx.plan().interrupted.clone();
        if interrupted.is_empty() {
            return Ok(None);
        }
        let copies = self.copies_on_target(cx, source_id).await?;
        for maker in &interrupted {
            // Anybody may copy metadata: beside what nobody of ours has made, nothing is built.
            let lasting = |copy: &&ServerCopy| {
                copy.is_of(maker) && copy.life != CounterpartState::Ending && self.knows(copy)
            };
            if let Some(copy) = copies.iter().find(lasting) {
                refuse_member_of_another_group(cx, copy.server.id.as_str()).await?;
                adopt(cx, maker, copy.server.id.as_str());
                return Ok(Some(copy.server.clone()));
            }
        }
        Ok(None)
    }

    fn knows(&self, copy: &ServerCopy) -> bool {
        copy.is_ours || self.is_a_peer(copy.server.user_id.as_ref())
    }

    /// Whether `user` is that of another site's protector here.
    fn is_a_peer(&self, user: Option<&UserId>) -> bool {
        user.is_some_and(|user| self.options.peer_users.contains(user))
    }

    /// The copy of a volume that the interrupted operation has imported, if there is one. The step remembers it.
    pub(super) async fn find_adopted_volume(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &VolumeId,
    ) -> Result<Option<Volume>, StepError> {
        for interrupted in cx.plan().interrupted.clone() {
            let found = self.imported_by(target, cx, &interrupted, source_id);
            if let Some(volume) = found.await? {
                refuse_member_of_another_group(cx, volume.id.as_str()).await?;
                adopt(cx, &interrupted, volume.id.as_str());
                return Ok(Some(volume));
            }
        }
        Ok(None)
    }

    /// Whether the interrupted operation, or this one in its place, has imported a volume already: no promotion is needed.
    pub(super) async fn is_imported(
        &self,
        target: &Cloud,
        cx: &StepContext<'_>,
        source_id: &VolumeId,
    ) -> Result<bool, StepError> {
        let by_this = std::iter::once(mark::maker(cx.operation));
        for maker in by_this.chain(&cx.plan().interrupted) {
            let found = self.imported_by(target, cx, maker, source_id).await?;
            if found.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The import that `maker` has made of a volume: the oldest of those that a protector has made. A restored backup has the
    /// marks too, and is somebody else's; of what nobody of ours has made a person has to say what it is.
    async fn imported_by(
        &self,
        target: &Cloud,
        cx: &StepContext<'_>,
        maker: &OperationId,
        source_id: &VolumeId,
    ) -> Result<Option<Volume>, StepError> {
        let copies = VolumeFilter::marked(mark::SOURCE, source_id.as_str());
        let mut volumes = target.volume().volumes(&copies).await.map_err(stop)?;
        volumes.retain(|volume| mark::is_ours(&volume.metadata, maker, source_id.as_str()));
        volumes.sort_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)));
        let us = target.session().user_id().await.map_err(stop)?;
        let is_a_protectors = |volume: &Volume| {
            let by = volume.user_id.as_ref();
            by == Some(&us) || self.is_a_peer(by)
        };
        let (made, others): (Vec<_>, Vec<_>) = volumes.into_iter().partition(is_a_protectors);
        match (made.into_iter().find(has_its_bytes), others.first()) {
            (Some(import), _) => Ok(Some(import)),
            (None, Some(stranger)) => Err(not_known(cx, maker, source_id, stranger)),
            (None, None) => Ok(None),
        }
    }
}

/// Marks an adopted resource as this operation's, so that its cleanup and its guards know it.
pub(super) async fn mark_server(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    source_id: &ServerId,
    server: &Server,
) -> Result<(), StepError> {
    let maker = mark::maker(cx.operation).clone();
    if mark::is_ours(&server.metadata, &maker, source_id.as_str()) {
        return Ok(());
    }
    let intent = cx.intend().await?;
    let marks = mark::marks(&maker, source_id.as_str());
    intent
        .on(target)
        .compute()
        .set_server_metadata(&server.id, &marks)
        .await
        .map_err(stop)
}

/// The same for a volume.
pub(super) async fn mark_volume(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    source_id: &VolumeId,
    volume: &Volume,
) -> Result<(), StepError> {
    let maker = mark::maker(cx.operation).clone();
    if mark::is_ours(&volume.metadata, &maker, source_id.as_str()) {
        return Ok(());
    }
    let intent = cx.intend().await?;
    let marks = mark::marks(&maker, source_id.as_str());
    intent
        .on(target)
        .volume()
        .set_metadata(&volume.id, &marks)
        .await
        .map_err(stop)
}

/// Whether Cinder has a volume that `maker` has imported, in whatever state.
pub(super) async fn is_imported_by(
    target: &Cloud,
    maker: &OperationId,
    source_id: &VolumeId,
) -> Result<bool, StepError> {
    let copies = VolumeFilter::marked(mark::SOURCE, source_id.as_str());
    let volumes = target.volume().volumes(&copies).await.map_err(stop)?;
    let mut volumes = volumes.iter();
    Ok(volumes.any(|volume| mark::is_ours(&volume.metadata, maker, source_id.as_str())))
}

/// Nobody but a person can tell a restored backup from an import of the other site's protector whose user nobody knows here.
fn not_known(
    cx: &StepContext<'_>,
    maker: &OperationId,
    source_id: &VolumeId,
    stranger: &Volume,
) -> StepError {
    let (site, group) = (&cx.plan().target.site, &cx.plan().group_name);
    let by = match &stranger.user_id {
        Some(user) => format!("user {user} has made it"),
        None => "Cinder does not say who has made it".to_owned(),
    };
    StepError::last(
        Code::Blocked,
        format!(
            "volume {id} on {site} is marked as the import of volume {source_id} that operation {maker} has made, but {by}: if it is a restored backup or the like, 'openstack --os-cloud {site} volume unset --property {SOURCE} {id}' takes the mark off; if that is the user of the other site's protector here, an administrator adds it to '[DEFAULT] peer_user_ids'; then 'openstack dr retry {group}', or the failover again if it recovered nothing",
            id = stranger.id,
        ),
    )
}

/// Whether an import has succeeded or still may. One that has failed is left where it is, and another one is made.
fn has_its_bytes(volume: &Volume) -> bool {
    matches!(
        volume.status,
        VolumeStatus::Available
            | VolumeStatus::InUse
            | VolumeStatus::Reserved
            | VolumeStatus::Attaching
            | VolumeStatus::Detaching
            | VolumeStatus::Creating
            | VolumeStatus::Managing
    )
}

/// A copy that somebody has taken into another group is that group's, until a person has said which it is to be. Its member
/// fails here; the others go on.
async fn refuse_member_of_another_group(cx: &StepContext<'_>, id: &str) -> Result<(), StepError> {
    let (site, own) = (&cx.plan().target.site, &cx.plan().group_name);
    match cx.protected_by(id).await? {
        Some(group) if group != *own => Err(StepError::last(
            Code::Blocked,
            format!(
                "{id} on {site}, which the interrupted operation has made, is a member of protection group {group} by now: it stays there; if it is to be {own}'s, 'openstack dr member remove' takes it out of {group}, then 'openstack dr retry {own}', or the failover again if it recovered nothing"
            ),
        )),
        _ => Ok(()),
    }
}

fn adopt(cx: &mut StepContext<'_>, interrupted: &OperationId, id: &str) {
    cx.memo.made = Some(id.to_owned());
    cx.memo.adopted = true;
    cx.fact(format!(
        "{id} was made by operation {interrupted}, which was interrupted; it is used"
    ));
}
