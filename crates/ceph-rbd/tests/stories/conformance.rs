//! What every driver must do whose arrays promote in place.

use async_trait::async_trait;
use protector_array::conformance::in_place::{self, MirrorFixture};
use protector_core::{
    id::VolumeId,
    storage::{ArrayObjects, CinderVolume, StorageDriver},
};

use crate::fixture::{Clusters, name};

pub async fn it_is_as_any_driver(clusters: &Clusters) {
    in_place::all(clusters).await;
}

fn site(array: &str) -> &str {
    array.strip_prefix("ceph-").unwrap()
}

fn known(volume: &VolumeId) -> CinderVolume {
    CinderVolume::known_by_id(volume.clone())
}

impl Clusters {
    /// What the image behind a volume is called now: names follow what the other side does.
    async fn image_behind(&self, array: &str, volume: &VolumeId) -> String {
        let (own, site) = (name(&known(volume)), site(array));
        if self.rbd(site, &format!("info volumes/{own}")).is_ok() {
            return own;
        }
        let located = self.driver.locate(array, &known(volume)).await;
        let serial = located.unwrap().unwrap().serial;
        let images = self.rbd(site, "ls volumes").unwrap();
        let is_it = |image: &&str| {
            let told = self.rbd(site, &format!("info volumes/{image} --format json"));
            told.is_ok_and(|told| told.contains(&serial))
        };
        images.lines().find(is_it).unwrap().to_owned()
    }
}

#[async_trait]
impl MirrorFixture for Clusters {
    fn driver(&self) -> &dyn StorageDriver {
        &self.driver
    }

    fn driver_of_target(&self) -> &dyn StorageDriver {
        &self.driver_of_b
    }

    fn source_array(&self) -> &'static str {
        "ceph-a"
    }

    fn target_array(&self) -> &'static str {
        "ceph-b"
    }

    async fn new_volume(&self, text: &str) -> VolumeId {
        let volume = self.small_volume("a");
        self.write("a", &volume, &format!("{text} 2")).unwrap();
        volume.id
    }

    async fn writes(&self, array: &str, volume: &VolumeId, text: &str) -> bool {
        let image = self.image_behind(array, volume).await;
        let id = VolumeId::new(image.trim_start_matches("volume-").to_owned());
        let text = text.replace(' ', "-");
        let written = self.write(site(array), &known(&id), &format!("{text} 1 1"));
        written.is_ok()
    }

    async fn content(&self, array: &str, volume: &VolumeId) -> String {
        let image = self.image_behind(array, volume).await;
        self.hash(site(array), &image)
    }

    async fn manage(&self, array: &str, source_name: &str) -> VolumeId {
        Clusters::manage(self, site(array), source_name).id
    }
}
