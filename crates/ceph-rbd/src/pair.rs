//! The two clusters of a replication.

use futures_util::future::try_join_all;
use protector_core::storage::{CinderVolume, Replication, StorageError, StorageErrorKind};

use crate::{
    cluster::Cluster,
    image::{Image, Role},
};

/// Both clusters, known to be different ones, for calls that need both.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) source: &'a Cluster,
    pub(crate) target: &'a Cluster,
    pub(crate) group: &'a str,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(
        source: &'a Cluster,
        target: &'a Cluster,
        replication: &'a Replication,
    ) -> Result<Self, StorageError> {
        let group = target.safe("group", replication.group_id.as_str())?;
        let (one, other) = (&source.array, &target.array);
        if one.name == other.name || (one.conf == other.conf && one.pool == other.pool) {
            return Err(target.refused(format!(
                "is also the source array {}; replicate between two",
                one.name
            )));
        }
        Ok(Self {
            source,
            target,
            group,
        })
    }
}

/// The mirrored image of each volume on the source.
pub(crate) async fn sources<'a>(
    source: &Cluster,
    volumes: &'a [CinderVolume],
) -> Result<Vec<(&'a CinderVolume, Image)>, StorageError> {
    // One note is asked for sooner than all.
    if let [volume] = volumes {
        return Ok(vec![(volume, mirrored(source, volume).await?)]);
    }
    let notes = source.notes().await?;
    let found = volumes.iter().map(async |volume| {
        let found = source.find_by(&notes, volume).await?;
        Ok((volume, in_its_mirror(source, volume, found)?))
    });
    try_join_all(found).await
}

/// The image of `volume` in its mirror.
pub(crate) async fn mirrored(on: &Cluster, volume: &CinderVolume) -> Result<Image, StorageError> {
    in_its_mirror(on, volume, on.find(volume).await?)
}

fn in_its_mirror(
    on: &Cluster,
    volume: &CinderVolume,
    found: Option<Image>,
) -> Result<Image, StorageError> {
    match found {
        Some(image) if image.global_id().is_some() => Ok(image),
        Some(image) => Err(on.refused(format!(
            "image {} of volume {} is not mirrored; protect its group again",
            image.name, volume.id
        ))),
        None => Err(on.refused(format!(
            "there is no image {} of volume {}, and none is noted for it",
            on.cinder_name(volume)?,
            volume.id
        ))),
    }
}

/// Whether what is written to a primary goes along to the other side.
pub(crate) enum Follows {
    Yes,
    /// Not, or nobody can say so now.
    No {
        why: String,
    },
}

/// Whether `other` follows the primary `image` at this moment. A promotion to which it once agreed does not say so: its image
/// may have been promoted since.
pub(crate) async fn follows(
    other: Option<&Cluster>,
    image: &Image,
) -> Result<Follows, StorageError> {
    let no = |why: String| Ok(Follows::No { why });
    let Some(other) = other else {
        return no("the other side's array is not configured on this site".to_owned());
    };
    let name = &other.array.name;
    let told = async {
        let Some(peer) = other.peer_of(image).await? else {
            return no(format!("{name} has no image of its mirror"));
        };
        if peer.role() != Role::Replica {
            return no(format!("{name} may be written to as well"));
        }
        match other.mirror_status(&peer.name).await? {
            Some(status) if status.is_split() => {
                no(format!("rbd-mirror of {name} says: {}", status.in_words()))
            }
            _ => Ok(Follows::Yes),
        }
    };
    match told.await {
        Err(error) if error.kind == StorageErrorKind::Unavailable => no(error.to_string()),
        told => told,
    }
}

/// What another cluster says, if it can be asked at all. That it does not answer is no error: it may be lost.
pub(crate) async fn peer_image(
    other: Option<&Cluster>,
    image: &Image,
) -> Result<Option<Image>, StorageError> {
    let Some(other) = other else {
        return Ok(None);
    };
    match other.peer_of(image).await {
        Err(error) if error.kind == StorageErrorKind::Unavailable => Ok(None),
        answer => answer,
    }
}
