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
    point::snapshot_of,
};

/// How long a call waits for a count, which goes on behind it.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was written to what `operation` promoted of `volume`. After a planned promotion it goes along to the source;
/// after a forced one it is counted from the moment of the promotion,
/// also if another operation has taken it over since.
pub(crate) async fn to_promoted(
    target: &Cluster,
    volume: &CinderVolume,
    operation: &OperationId,
) -> Result<Written, StorageError> {
    target.safe("operation", operation.as_str())?;
    let Some(image) = target.find(volume).await? else {
        return Ok(Written::NoObject);
    };
    let Some(global_id) = image.global_id() else {
        return Ok(Written::NoObject);
    };
    let note: Option<PromotedNote> = target.note(&promoted_key(global_id)).await?;
    let is_its =
        |note: &PromotedNote| note.operation == operation.as_str() && note.image == image.id;
    let Some(note) = note.filter(is_its) else {
        return Ok(Written::NoObject);
    };
    match (image.role(), note.since) {
        (Role::Primary, Some(snapshot)) => since(target, &image, &snapshot).await,
        (Role::Primary, None) => Ok(Written::GoesAlong),
        // Not promoted yet, or a replica again.
        _ => Ok(Written::NoObject),
    }
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
    let bytes = match on.written_since(image, &snapshot.name, PATIENCE).await {
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
