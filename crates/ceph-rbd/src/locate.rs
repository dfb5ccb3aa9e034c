//! Finds the image of a volume, whatever it is called by now.

use protector_core::storage::{CinderVolume, StorageError, StorageErrorKind};

use crate::{
    catalogue::{Notes, VolumeNote, volume_key},
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
        let note = self.note_of(volume).await?;
        self.find_noted(volume, note.as_ref()).await
    }

    /// The same for one of many volumes.
    pub(crate) async fn find_by(
        &self,
        notes: &Notes<'_>,
        volume: &CinderVolume,
    ) -> Result<Option<Image>, StorageError> {
        let id = self.safe("volume", volume.id.as_str())?;
        let note = notes.get(&volume_key(id))?;
        self.find_noted(volume, note.as_ref()).await
    }

    async fn find_noted(
        &self,
        volume: &CinderVolume,
        note: Option<&VolumeNote>,
    ) -> Result<Option<Image>, StorageError> {
        let name = self.cinder_name(volume)?;
        let Some(note) = note else {
            return self.image(&name).await;
        };
        let is_noted = |image: &Image| image.global_id() == Some(note.global_id.as_str());
        // Mostly this one call tells.
        let hinted = match &note.image {
            Some(id) => self.image_by_id_if_told(id).await?,
            None => None,
        };
        let (mirrored, left) = match hinted {
            Some(image) if is_noted(&image) => (Some(image), None),
            hinted => (None, hinted),
        };
        if let Some(image) = &mirrored
            && image.name == name
        {
            return Ok(mirrored);
        }
        let named = self.image_if_told(&name).await?;
        if named.as_ref().is_some_and(is_noted) {
            return Ok(named);
        }
        let mirrored = match mirrored {
            Some(image) => Some(image),
            None => self.image_by_global_id(&note.global_id).await?,
        };
        match (named, mirrored.or(left)) {
            (Some(named), Some(noted)) if named.id != noted.id => Err(self.error(
                StorageErrorKind::Ambiguous,
                format!(
                    "volume {} is image {} by what is noted of it, and there is another image {name}; rename or remove the \
                     one that is not it",
                    volume.id, noted.name
                ),
            )),
            (_, Some(noted)) => Ok(Some(noted)),
            (named, None) => Ok(named),
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
