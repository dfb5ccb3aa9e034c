//! Making one site's view of a group count on both.

use protector_core::id::GroupId;
use protector_peer::{
    group_push::Pushed,
    peer::{HeldPart, PeerError, PeerMetadata},
};
use protector_store::{Lineage, Outgoing, StoreError, lineage};

use super::{App, at_rest};
use crate::{
    app::{
        refusal::Refusal,
        sync::{PAUSE, group_push, newer_there, other_site, retired_there, theirs},
    },
    http::error::{ApiError, ApiResult},
};

/// How often a view is forced that the other site overtakes each time.
pub(crate) const FORCED_TRIES: u32 = 3;

/// Makes this site's view of a group count on the other one, at once. Where the other site's was made from it, or the
/// other way round, nothing has to be decided: it is pushed, or must be pushed from there. A group that both sites take for
/// moving although neither moves it is put at rest first.
pub async fn force(app: &App, group: &GroupId) -> ApiResult<()> {
    for _ in 0..FORCED_TRIES {
        let ours = app.database.metadata_outgoing(group).await?;
        let known = match theirs(app, &ours, HeldPart::Mark).await {
            Ok(known) => known,
            Err(error) => {
                let why = error.to_string();
                group_push(app).failed(group, &why, PAUSE).await?;
                return Ok(());
            }
        };
        let Some(known) = known else {
            let planted = group_push(app).plant(&ours, PAUSE).await?;
            if matches!(planted, Pushed::Agreed(_)) && ours.document.group.status.is_moving() {
                // Now it is known that it is a protector that knows of no move.
                continue;
            }
            return Ok(());
        };
        if let Some(at) = known.retired_at {
            return Err(retired_there(app, &ours, at));
        }
        let ours = at_rest::settled(app, ours, &known).await?;
        match lineage(&ours.side, &known.side) {
            Lineage::Same | Lineage::NewerHere => {
                group_push(app).push(group, PAUSE).await?;
                return Ok(());
            }
            Lineage::NewerAtPeer => return Err(newer_there(app, &ours, &known)),
            Lineage::Conflict => {
                if forced(app, &ours, &known).await? {
                    return Ok(());
                }
            }
        }
    }
    Err(ApiError::new(
        Refusal::Busy,
        "The group is being changed on the other site at this moment; look at it there, and try again.",
    ))
}

/// Ends a conflict in favour of this site. Whether it did; not when the other site has changed the group meanwhile.
pub(crate) async fn forced(app: &App, ours: &Outgoing, known: &PeerMetadata) -> ApiResult<bool> {
    let group = &ours.document.group.id;
    group_push(app).note_conflict(ours, known.held()).await?;
    let (from, there) = (ours.side.now.version, known.side.now.version);
    if from <= there {
        // The view that counts must be the newer one to everybody who only sees the version.
        match app.database.version_raise(group, from, there + 1).await {
            Ok(()) => {}
            Err(StoreError::GroupDiffers { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    let ours = app.database.metadata_outgoing(group).await?;
    match group_push(app).force(&ours, &known.side).await? {
        Ok(_) => {
            tracing::warn!(group_id = %group, over = there, "the conflict was ended in favour of this site");
            Ok(true)
        }
        Err(PeerError::Unreachable(why) | PeerError::NotTold(why)) => {
            group_push(app).failed(group, &why, PAUSE).await?;
            Ok(true)
        }
        Err(PeerError::Refused(why)) => {
            let now = theirs(app, &ours, HeldPart::Mark).await;
            let overtaken = matches!(&now, Ok(Some(now)) if now.side.now != known.side.now);
            if overtaken {
                return Ok(false);
            }
            group_push(app).failed(group, &why, PAUSE).await?;
            Err(ApiError::new(
                Refusal::PeerRefuses,
                format!(
                    "{} does not take this view over: {why}",
                    other_site(app, &ours)
                ),
            ))
        }
    }
}
