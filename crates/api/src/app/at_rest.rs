//! Whether a view that is to count says of a group that it is being moved, while nobody moves it.
//!
//! Forced upon the other site as it is, it would make the group one that both sites take for moving, and that nothing can
//! be started with.

use protector_core::group::{Group, GroupStatus};
use protector_peer::peer::{HeldPart, PeerMetadata, other_scope};
use protector_store::{Lineage, Outgoing, lineage};
use serde::Deserialize as _;

use super::{App, sync};
use crate::{
    app::refusal::Refusal,
    http::error::{ApiError, ApiResult},
};

/// The view of this site, put at rest if it says that the group is being moved and nobody moves it. `known` is what the
/// other site holds now: one that does not answer may be moving it.
///
/// # Errors
///
/// 409 where the other site holds the group at rest, and both have changed it: then it was that site which has moved the
/// group since, and its view says where the VMs are. 409 while the other site is about to move it.
pub async fn settled(app: &App, ours: Outgoing, known: &PeerMetadata) -> ApiResult<Outgoing> {
    let group = &ours.document.group;
    if !group.status.is_moving() || is_moved(app, group, known).await? {
        return Ok(ours);
    }
    match lineage(&ours.side, &known.side) {
        // That is refused anyway: it arrives from there.
        Lineage::NewerAtPeer => return Ok(ours),
        Lineage::Conflict => refuse_over_a_view_at_rest(app, &ours).await?,
        Lineage::Same | Lineage::NewerHere => {}
    }
    let (version, now) = (ours.side.now.version, app.clock.now());
    let put = app.database.group_put_at_rest(&group.id, version, now);
    if put.await? {
        tracing::warn!(group_id = %group.id, was = %group.status, "put at rest: no operation of either site moves it");
    }
    Ok(app.database.metadata_outgoing(&group.id).await?)
}

async fn is_moved(app: &App, group: &Group, known: &PeerMetadata) -> ApiResult<bool> {
    Ok(known.moved_by.is_some() || app.database.operation_moving(&group.id).await?.is_some())
}

async fn refuse_over_a_view_at_rest(app: &App, ours: &Outgoing) -> ApiResult<()> {
    let group = &ours.document.group;
    let there = sync::theirs_or_refuse(app, ours, HeldPart::Document).await?;
    match there.as_ref().and_then(status) {
        Some(status) if !status.is_moving() => Err(moved_since(app, group, status)),
        _ => Ok(()),
    }
}

fn status(known: &PeerMetadata) -> Option<GroupStatus> {
    let word = known.document.as_ref()?.pointer("/group/status")?;
    GroupStatus::deserialize(word).ok()
}

fn moved_since(app: &App, group: &Group, status: GroupStatus) -> ApiError {
    let there = &other_scope(group, &app.settings.site_name).site;
    ApiError::new(
        Refusal::OutOfSync,
        format!(
            "Protection group {name} is {} on {here}, where no operation moves it any more: that view cannot count. {there} holds it as {status}; 'openstack --os-cloud {there} dr protection-group sync-force {name}' makes that count on both sites.",
            group.status,
            here = app.settings.site_name,
            name = group.name,
        ),
    )
}
