//! Clones for a test: of a recovery point on the target, beside a replication that goes on.

use protector_core::{
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{ArrayProgress, CinderVolume, PromotedVolume, PromotionKind, StorageError},
};

use crate::{
    catalogue::{CloneNote, clone_key},
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
    volume: &'a CinderVolume,
    name: String,
    key: String,
}

impl<'a> TestClone<'a> {
    pub(crate) fn new(
        target: &'a Cluster,
        volume: &'a CinderVolume,
        operation: &OperationId,
    ) -> Result<Self, StorageError> {
        target.cinder_name(volume)?;
        let id = target.safe("operation", operation.as_str())?;
        let short = id.strip_prefix("op-").unwrap_or(id);
        Ok(Self {
            target,
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
        if let Some(parent) = &image.parent {
            let spec = self.target.spec(&image.name);
            let subject = format!("flatten {}", image.id);
            let arguments = ["flatten", "--no-progress", &spec];
            match self.target.run_long(&subject, &arguments, SOON).await {
                Some(Ok(())) => {}
                Some(Err(failure)) => return Err(self.target.failed(failure)),
                None => {
                    let what = format!(
                        "clone {} to hold all of its bytes itself ({} bytes at most are copied)",
                        image.name, parent.overlap
                    );
                    return Ok(pending(what, LATER));
                }
            }
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
            match self.target.run_long(&subject, &arguments, SOON).await {
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
            Some(CloneNote { image: Some(id) }) => self.target.image_by_id(&id).await,
            // It was about to be made, and has no other name until that is told.
            Some(CloneNote { image: None }) => match self.target.image(&self.name).await? {
                Some(image) => {
                    self.note(&image).await?;
                    Ok(Some(image))
                }
                None => Ok(None),
            },
        }
    }

    async fn note(&self, image: &Image) -> Result<(), StorageError> {
        let note = CloneNote {
            image: Some(image.id.clone()),
        };
        self.target.write_note(&self.key, &note).await
    }

    async fn begin(&self, point: &RecoveryPointId) -> Result<Image, StorageError> {
        let point = self.target.safe("recovery point", point.as_str())?;
        let replica = mirrored(self.target, self.volume).await?;
        let snapshot = snapshot_of(point);
        let there = self.target.snapshots(&replica.name).await?;
        if !there.iter().any(|one| one.name == snapshot) {
            return Err(self.target.refused(format!(
                "recovery point {point} of volume {} is not kept any more; take the latest one",
                self.volume.id
            )));
        }
        if self.target.image(&self.name).await?.is_some() {
            return Err(self.target.refused(format!(
                "{} exists and was not made by this operation; rename or remove it",
                self.name
            )));
        }
        self.target
            .write_note(&self.key, &CloneNote { image: None })
            .await?;
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
                self.note(&image).await?;
                Ok(image)
            }
            None => Err(StorageError::unavailable(
                &self.target.array.name,
                format!("{} was made and cannot be seen", self.name),
            )),
        }
    }
}
