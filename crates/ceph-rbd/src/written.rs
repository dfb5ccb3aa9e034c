//! What was written to an image since a recovery point.

use std::time::Duration;

use protector_core::{
    id::OperationId,
    storage::{CinderVolume, StorageError, StorageErrorKind, Written},
};

use crate::{
    catalogue::{PromotedNote, promoted_key},
    cluster::Cluster,
    image::{Image, Role},
    pair::{Follows, follows},
    point::snapshot_of,
};

/// How long a call waits for a count, which goes on behind it.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was written to what `operation` promoted of `volume`. After a planned promotion it goes along to the source while
/// that follows; after a forced one it is counted from the moment of the promotion, also if another operation has taken it
/// over since.
pub(crate) async fn to_promoted(
    source: Option<&Cluster>,
    target: &Cluster,
    volume: &CinderVolume,
    operation: &OperationId,
) -> Result<Written, StorageError> {
    let Some((image, note)) = promoted_of(target, volume, operation).await? else {
        return Ok(Written::NoObject);
    };
    let (name, why) = match (note.since, note.forced || note.diverged) {
        (Some(snapshot), _) => return since(target, &image, &snapshot).await,
        (None, true) => (
            &image.name,
            "it holds what the other side never had".to_owned(),
        ),
        (None, false) => match follows(source, &image).await? {
            Follows::Yes => return Ok(Written::GoesAlong),
            Follows::No { why } => (&image.name, why),
        },
    };
    Ok(Written::Unknown {
        why: format!("what was written to image {name} may be there alone ({why})"),
    })
}

/// Whether `operation` has promoted `volume`, without a count of what was written since.
pub(crate) async fn is_promoted(
    target: &Cluster,
    volume: &CinderVolume,
    operation: &OperationId,
) -> Result<bool, StorageError> {
    Ok(promoted_of(target, volume, operation).await?.is_some())
}

/// The primary that `operation` promoted of `volume`, with the note of it.
async fn promoted_of(
    target: &Cluster,
    volume: &CinderVolume,
    operation: &OperationId,
) -> Result<Option<(Image, PromotedNote)>, StorageError> {
    target.safe("operation", operation.as_str())?;
    let Some(image) = target.find(volume).await? else {
        return Ok(None);
    };
    let Some(global_id) = image.global_id() else {
        return Ok(None);
    };
    let note: Option<PromotedNote> = target.note(&promoted_key(global_id)).await?;
    let is_its =
        |note: &PromotedNote| note.operation == operation.as_str() && note.image == image.id;
    // Else it is not promoted yet, or a replica again.
    let note = note.filter(is_its).filter(|_| image.is_primary());
    Ok(note.map(|note| (image, note)))
}

/// What was written to the source's image since the point of `operation`. Nothing can be, while it is no primary.
pub(crate) async fn to_original(
    source: &Cluster,
    volume: &CinderVolume,
    operation: &OperationId,
) -> Result<Written, StorageError> {
    source.safe("operation", operation.as_str())?;
    let Some(image) = source.find(volume).await? else {
        return Ok(Written::NoObject);
    };
    match image.role() {
        Role::Replica => Ok(Written::Nothing),
        Role::Primary => since(source, &image, &snapshot_of(operation.as_str())).await,
        Role::Plain => Ok(Written::Unknown {
            why: format!("image {} is not mirrored any more", image.name),
        }),
    }
}

async fn since(on: &Cluster, image: &Image, snapshot: &str) -> Result<Written, StorageError> {
    let there = on.snapshots(&image.name).await?;
    let Some(snapshot) = there.iter().find(|one| one.name == snapshot) else {
        return Ok(Written::Unknown {
            why: format!("snapshot {snapshot} of {} is not there", image.name),
        });
    };
    let Some(point) = snapshot.made_at() else {
        return Ok(Written::Unknown {
            why: format!("snapshot {} does not say when it was made", snapshot.name),
        });
    };
    let written_to = match on.watchers(image).await?.is_empty() {
        true => Some(on.journal(&image.name).await?.written_to()),
        false => None,
    };
    let counted = on.written_since(image, &snapshot.name, written_to.as_deref(), PATIENCE);
    let bytes = match counted.await {
        Some(counted) => counted.map_err(|failure| on.failed(failure))?,
        None => {
            let message = format!(
                "what was written to image {} since {} is still being counted; ask again",
                image.name, snapshot.name
            );
            return Err(on.error(StorageErrorKind::NotYet, message));
        }
    };
    match bytes {
        0 => Ok(Written::Nothing),
        bytes => Ok(Written::Since { point, bytes }),
    }
}
