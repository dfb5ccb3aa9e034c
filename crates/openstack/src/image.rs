//! Glance v2: images.

use serde::Deserialize;

use crate::{ask::Ask, error::CallError, id::ImageId, service::Service, session::Session};

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Image {
    pub id: ImageId,
    /// Its name; not unique.
    #[serde(default)]
    pub name: Option<String>,
    /// `active`, `queued`, `deactivated` …
    pub status: String,
    /// `public`, `private`, `shared`, `community`.
    pub visibility: String,
    /// The least root disk in GiB.
    #[serde(default)]
    pub min_disk: u64,
    /// The least memory in MiB.
    #[serde(default)]
    pub min_ram: u64,
    /// The hash of its content, the same for the same content on another cloud.
    #[serde(default)]
    pub os_hash_value: Option<String>,
}

/// Glance of one cloud in one project.
#[derive(Clone, Debug)]
pub struct Images {
    session: Session,
}

const GLANCE: Service = Service::Image;

impl Images {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }

    /// `GET /v2/images/{id}`. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn image(&self, id: &ImageId) -> Result<Image, CallError> {
        self.session
            .typed(Ask::get(GLANCE, &["images", id.as_str()]))
            .await
    }

    /// `GET /v2/images`, by exact name where given, to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn images(&self, name: Option<&str>) -> Result<Vec<Image>, CallError> {
        let found: Vec<Image> = self
            .session
            .pages(
                Ask::get(GLANCE, &["images"]).query_if("name", name),
                "images",
            )
            .await?;
        Ok(found
            .into_iter()
            .filter(|image| name.is_none_or(|name| image.name.as_deref() == Some(name)))
            .collect())
    }
}
