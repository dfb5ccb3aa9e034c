//! Finds the image of a volume, whatever it is called by now.

use protector_core::storage::{CinderVolume, StorageError, StorageErrorKind};

use crate::{
    catalogue::{VolumeNote, volume_key},
    cluster::Cluster,
    image::Image,
};

impl Cluster {
    /// The image behind `volume`: under Cinder's name, or under the one that its mirror has by now.
    ///
    /// # Errors
    ///
    /// `Ambiguous` if another image has the name.
    pub(crate) async fn find(&self, volume: &CinderVolume) -> Result<Option<Image>, StorageError> {
        let name = self.cinder_name(volume)?;
        let named = self.image(&name).await?;
        let Some(note) = self.note_of(volume).await? else {
            return Ok(named);
        };
        let is_noted = |image: &Image| image.global_id() == Some(note.global_id.as_str());
        if named.as_ref().is_some_and(is_noted) {
            return Ok(named);
        }
        let mirrored = self.image_by_global_id(&note.global_id).await?;
        match (named, mirrored) {
            (Some(_), Some(mirrored)) if mirrored.name != name => Err(self.error(
                StorageErrorKind::Ambiguous,
                format!(
                    "volume {} is image {} by its mirror, and there is another image {name}; rename or remove the one that \
                     is not it",
                    volume.id, mirrored.name
                ),
            )),
            (_, Some(mirrored)) => Ok(Some(mirrored)),
            (Some(named), None) => Ok(Some(named)),
            (None, None) => match &note.image {
                Some(id) => self.image_by_id(id).await,
                None => Ok(None),
            },
        }
    }

    pub(crate) async fn note_of(
        &self,
        volume: &CinderVolume,
    ) -> Result<Option<VolumeNote>, StorageError> {
        let id = self.safe("volume", volume.id.as_str())?;
        self.note(&volume_key(id)).await
    }
}
