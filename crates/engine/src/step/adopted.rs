//! What an interrupted failover has made on the target: an unplanned failover that comes after it goes on from there.
//!
//! It is found by the marks of the interrupted operation, marked anew, and never taken back: that operation may have come
//! further than this site has heard, and the copies may be what everybody works on.

use protector_core::{
    fault::Code,
    id::{OperationId, ServerId, VolumeId},
};
use protector_openstack::{
    cloud::Cloud,
    compute::{Server, ServerFilter},
    status::VolumeStatus,
    volume::{Volume, VolumeFilter},
};

use super::{mark, reading};
use crate::{
    action::{Cx, Stop},
    clouds::stop,
};

/// The copy of a server that the interrupted operation has built, if there is one. The step remembers it.
pub(super) async fn find_server(
    target: &Cloud,
    cx: &mut Cx<'_>,
    source_id: &ServerId,
) -> Result<Option<Server>, Stop> {
    for interrupted in cx.plan().interrupted.clone() {
        let found = built_by(target, &interrupted, source_id).await?;
        if let Some(server) = &found {
            refuse_member_of_another_group(cx, server.id.as_str()).await?;
            adopt(cx, &interrupted, server.id.as_str());
            return Ok(found);
        }
    }
    Ok(None)
}

/// Its first copy, where there are several: the engine of the interrupted operation may have built one twice.
async fn built_by(
    target: &Cloud,
    maker: &OperationId,
    source_id: &ServerId,
) -> Result<Option<Server>, Stop> {
    let made_by = ServerFilter::marked(mark::OPERATION, maker.as_str());
    let mut servers = target.compute().servers(&made_by).await.map_err(stop)?;
    servers.retain(|server| {
        mark::is_ours(&server.metadata, maker, source_id.as_str())
            && !reading::is_being_deleted(server)
    });
    servers.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
    Ok(servers.into_iter().next())
}

/// The copy of a volume that the interrupted operation has imported, if there is one. The step remembers it.
pub(super) async fn find_volume(
    target: &Cloud,
    cx: &mut Cx<'_>,
    source_id: &VolumeId,
) -> Result<Option<Volume>, Stop> {
    for interrupted in cx.plan().interrupted.clone() {
        let found = imported_by(target, &interrupted, source_id).await?;
        if let Some(volume) = &found {
            refuse_member_of_another_group(cx, volume.id.as_str()).await?;
            adopt(cx, &interrupted, volume.id.as_str());
            return Ok(found);
        }
    }
    Ok(None)
}

/// Whether the interrupted operation, or this one in its place, has imported a volume already: no promotion is needed.
pub(super) async fn is_imported(
    target: &Cloud,
    cx: &Cx<'_>,
    source_id: &VolumeId,
) -> Result<bool, Stop> {
    let by_this = std::iter::once(mark::maker(cx.operation));
    for maker in by_this.chain(&cx.plan().interrupted) {
        if imported_by(target, maker, source_id).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Marks an adopted resource as this operation's, so that its cleanup and its guards know it.
pub(super) async fn mark_server(
    target: &Cloud,
    cx: &mut Cx<'_>,
    source_id: &ServerId,
    server: &Server,
) -> Result<(), Stop> {
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
    cx: &mut Cx<'_>,
    source_id: &VolumeId,
    volume: &Volume,
) -> Result<(), Stop> {
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
) -> Result<bool, Stop> {
    let copies = VolumeFilter::marked(mark::SOURCE, source_id.as_str());
    let volumes = target.volume().volumes(&copies).await.map_err(stop)?;
    let mut volumes = volumes.iter();
    Ok(volumes.any(|volume| mark::is_ours(&volume.metadata, maker, source_id.as_str())))
}

async fn imported_by(
    target: &Cloud,
    maker: &OperationId,
    source_id: &VolumeId,
) -> Result<Option<Volume>, Stop> {
    let copies = VolumeFilter::marked(mark::SOURCE, source_id.as_str());
    let volumes = target.volume().volumes(&copies).await.map_err(stop)?;
    Ok(volumes.into_iter().find(|volume| {
        mark::is_ours(&volume.metadata, maker, source_id.as_str()) && has_its_bytes(volume)
    }))
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
async fn refuse_member_of_another_group(cx: &Cx<'_>, id: &str) -> Result<(), Stop> {
    let (site, own) = (&cx.plan().target.site, &cx.plan().group_name);
    match cx.protected_by(id).await? {
        Some(group) if group != *own => Err(Stop::last(
            Code::Blocked,
            format!(
                "{id} on {site}, which the interrupted operation has made, is a member of protection group {group} by now: it stays there; if it is to be {own}'s, 'openstack dr member remove' takes it out of {group}, then 'openstack dr retry {own}', or the failover again if it recovered nothing"
            ),
        )),
        _ => Ok(()),
    }
}

fn adopt(cx: &mut Cx<'_>, interrupted: &OperationId, id: &str) {
    cx.memo.made = Some(id.to_owned());
    cx.memo.adopted = true;
    cx.fact(format!(
        "{id} was made by operation {interrupted}, which was interrupted; it is used"
    ));
}
