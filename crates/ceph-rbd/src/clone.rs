//! Clones for a test: of a recovery point on the target, beside a replication that goes on.

use protector_core::{
    id::{GroupId, OperationId, RecoveryPointId, VolumeId},
    storage::{ArrayProgress, CinderVolume, PromotedVolume, PromotionKind, StorageError},
};

use crate::{
    catalogue::{CloneNote, PointNote, clone_key, point_key},
    cluster::{Cluster, LATER, SOON, cinder_id, managed_name, pending},
    image::Image,
    pair::mirrored,
    point::snapshot_of,
    program::code,
};

/// What a clone needs; it is not mirrored, so it has no journal.
const FEATURES: [&str; 5] = [
    "layering",
    "exclusive-lock",
    "object-map",
    "fast-diff",
    "deep-flatten",
];

/// The clone that an operation has of a volume.
pub(crate) struct TestClone<'a> {
    target: &'a Cluster,
    group: &'a str,
    volume: &'a CinderVolume,
    name: String,
    key: String,
}

impl<'a> TestClone<'a> {
    pub(crate) fn new(
        target: &'a Cluster,
        group: &'a GroupId,
        volume: &'a CinderVolume,
        operation: &OperationId,
    ) -> Result<Self, StorageError> {
        let group = target.safe("group", group.as_str())?;
        target.cinder_name(volume)?;
        let id = target.safe("operation", operation.as_str())?;
        let short = id.strip_prefix("op-").unwrap_or(id);
        Ok(Self {
            target,
            group,
            volume,
            name: format!("protector-{short}-{}", volume.id),
            key: clone_key(operation, volume.id.as_str()),
        })
    }

    /// Makes it as of `point`; done when it stands by itself.
    pub(crate) async fn make(
        &self,
        point: &RecoveryPointId,
    ) -> Result<ArrayProgress<PromotedVolume>, StorageError> {
        let image = match self.find().await? {
            Some(image) => image,
            None => self.begin(point).await?,
        };
        if let Some(parent) = &image.parent
            && !self.target.flatten(&image).await?
        {
            let what = format!(
                "clone {} to hold all of its bytes itself ({} bytes at most are copied)",
                image.name, parent.overlap
            );
            return Ok(pending(what, LATER));
        }
        Ok(ArrayProgress::Done(PromotedVolume {
            volume: self.volume.id.clone(),
            object: self.target.object(&image).await?,
            managed_as: cinder_id(&image.name).map(VolumeId::from),
            source_name: image.name,
            kind: PromotionKind::Copy,
        }))
    }

    /// Removes it, under its first name or under Cinder's.
    pub(crate) async fn discard(
        &self,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        if let Some(image) = self.find().await? {
            let managed = managed_as.map(|id| managed_name(id.as_str()));
            if image.name != self.name && Some(&image.name) != managed.as_ref() {
                return Err(self.target.refused(format!(
                    "the clone {} is now called {}; unmanage it and say so before it is discarded",
                    self.name, image.name
                )));
            }
            let spec = self.target.spec(&image.name);
            let subject = format!("remove {}", image.id);
            let arguments = ["rm", "--no-progress", &spec];
            match self.target.copy(&subject, &arguments, SOON).await {
                None => {
                    let what = format!("clone {} to be removed", image.name);
                    return Ok(pending(what, SOON));
                }
                Some(Err(failure)) if failure.code != code::ENOENT => {
                    return Err(self.target.failed(failure));
                }
                Some(_) => {}
            }
        }
        self.target.remove_note(&self.key).await?;
        Ok(ArrayProgress::Done(()))
    }

    /// What it is called now, if it is there. An image of its first name that is not noted is somebody else's.
    async fn find(&self) -> Result<Option<Image>, StorageError> {
        let note: Option<CloneNote> = self.target.note(&self.key).await?;
        match note {
            None => Ok(None),
            Some(CloneNote {
                image: Some(id), ..
            }) => self.target.image_by_id(&id).await,
            // It was about to be made, and has no other name until that is told.
            Some(note) => match self.target.image(&self.name).await? {
                Some(image) => {
                    self.note(note, &image).await?;
                    Ok(Some(image))
                }
                None => Ok(None),
            },
        }
    }

    async fn note(&self, note: CloneNote, image: &Image) -> Result<(), StorageError> {
        let image = Some(image.id.clone());
        let note = CloneNote { image, ..note };
        self.target.write_note(&self.key, &note).await
    }

    async fn begin(&self, point: &RecoveryPointId) -> Result<Image, StorageError> {
        let point = self.target.safe("recovery point", point.as_str())?;
        let replica = mirrored(self.target, self.volume).await?;
        let snapshot = snapshot_of(point);
        let there = self.target.snapshots(&replica.name).await?;
        if !there.iter().any(|one| one.name == snapshot) || !self.is_kept(point, &replica).await? {
            return Err(self.not_kept(point));
        }
        if self.target.image(&self.name).await?.is_some() {
            return Err(self.target.refused(format!(
                "{} exists and was not made by this operation; rename or remove it",
                self.name
            )));
        }
        let note = CloneNote {
            group: self.group.to_owned(),
            point: point.to_owned(),
            image: None,
        };
        self.target.write_note(&self.key, &note).await?;
        // Who drops a point marks it, and looks for clones then: one of the two sees the other.
        if !self.is_kept(point, &replica).await? {
            self.target.remove_note(&self.key).await?;
            return Err(self.not_kept(point));
        }
        let from = format!("{}@{snapshot}", self.target.spec(&replica.name));
        let features = FEATURES.join(",");
        let to = self.target.spec(&self.name);
        // Of format 2: the snapshot needs no protection, which could not be written to a replica.
        let format = ["--rbd-default-clone-format", "2"];
        let mut arguments = vec!["clone"];
        arguments.extend(format);
        arguments.extend(["--image-feature", &features, &from, &to]);
        match self.target.change(&arguments).await {
            Err(failure) if failure.code != code::EEXIST => {
                return Err(self.target.failed(failure));
            }
            _ => {}
        }
        match self.target.image(&self.name).await? {
            Some(image) => {
                self.note(note, &image).await?;
                Ok(image)
            }
            None => Err(StorageError::unavailable(
                &self.target.array.name,
                format!("{} was made and cannot be seen", self.name),
            )),
        }
    }

    /// Whether `replica` has the point and keeps it.
    async fn is_kept(&self, point: &str, replica: &Image) -> Result<bool, StorageError> {
        let key = point_key(&OperationId::from(point), self.volume.id.as_str());
        let note: Option<PointNote> = self.target.note(&key).await?;
        Ok(note.is_some_and(|note| note.is_in(replica)))
    }

    fn not_kept(&self, point: &str) -> StorageError {
        self.target.refused(format!(
            "recovery point {point} of volume {} is not kept any more; take the latest one",
            self.volume.id
        ))
    }
}

impl Cluster {
    /// Copies what `image` has of its parent; whether it stands by itself.
    pub(crate) async fn flatten(&self, image: &Image) -> Result<bool, StorageError> {
        let subject = format!("flatten {}", image.id);
        let arguments = ["flatten", "--no-progress", &self.spec(&image.name)];
        match self.copy(&subject, &arguments, SOON).await {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            // One that an earlier process began may have ended it.
            Some(Err(failure)) => match self.image_by_id(&image.id).await? {
                Some(now) if now.parent.is_none() => Ok(true),
                _ => Err(self.failed(failure)),
            },
        }
    }
}
