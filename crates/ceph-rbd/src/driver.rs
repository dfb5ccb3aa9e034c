//! The driver: each call of the port, handed to what it is about.

use std::collections::BTreeMap;

use async_trait::async_trait;
use protector_core::{
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{
        ArrayObjects, ArrayProgress, BackendObject, Capabilities, CinderVolume, Consistency,
        GroupFailover, GroupReplication, PointsKept, PromotedVolume, PromotionKind, PromotionMode,
        RecoveryPoint, Relation, Replication, StorageError, TestClones, WayBack, Written,
    },
};

use crate::{
    clone::TestClone,
    cluster::Cluster,
    config::{CephArray, CephOptions, MirrorMode},
    failover::Promotion,
    pair::Pair,
    point, written,
};

/// Pools of Ceph clusters whose images are mirrored by their journals. What is promoted is the replica itself.
///
/// A site's driver may have both clusters of a replication, or its own alone: a call that needs one that it has not is
/// `Misconfigured`.
pub struct CephRbdDriver {
    clusters: BTreeMap<String, Cluster>,
}

impl CephRbdDriver {
    /// A driver of `arrays`; none of them is asked for anything yet.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a mode that is not; `Misconfigured` if two arrays have one name, or a field is empty.
    pub fn new(arrays: Vec<CephArray>, options: CephOptions) -> Result<Self, StorageError> {
        let mut clusters = BTreeMap::new();
        for array in arrays {
            let name = array.name.clone();
            if options.mode == MirrorMode::Snapshot {
                let what = "mirroring by snapshots is not supported; set mode to journal";
                return Err(StorageError::unsupported(name, what));
            }
            for (field, value) in [("client", &array.client), ("pool", &array.pool)] {
                if value.is_empty() || value.contains(['/', '@']) || value.starts_with('-') {
                    let message = format!("its {field} {value:?} is no name of one");
                    return Err(StorageError::misconfigured(name, message));
                }
            }
            let cluster = Cluster::new(array, options.clone());
            if clusters.insert(name.clone(), cluster).is_some() {
                let message = "two arrays have this name; give one of them another";
                return Err(StorageError::misconfigured(name, message));
            }
        }
        Ok(Self { clusters })
    }

    fn cluster(&self, name: &str) -> Result<&Cluster, StorageError> {
        self.clusters.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.clusters.keys().map(String::as_str).collect();
            let known = match known.is_empty() {
                true => "none".to_owned(),
                false => known.join(", "),
            };
            StorageError::misconfigured(
                name,
                format!("no Ceph cluster of this name is configured on this site ({known})"),
            )
        })
    }

    fn pair<'a>(&'a self, replication: &'a Replication) -> Result<Pair<'a>, StorageError> {
        let source = self.cluster(&replication.source_array)?;
        let target = self.cluster(&replication.target_array)?;
        Pair::new(source, target, replication)
    }

    /// The target, and the source if this site has it.
    fn target<'a>(
        &'a self,
        replication: &'a Replication,
    ) -> Result<(Option<&'a Cluster>, &'a Cluster), StorageError> {
        let target = self.cluster(&replication.target_array)?;
        target.safe("group", replication.group_id.as_str())?;
        let source = self.clusters.get(&replication.source_array);
        if let Some(source) = source {
            Pair::new(source, target, replication)?;
        }
        Ok((source, target))
    }
}

#[async_trait]
impl ArrayObjects for CephRbdDriver {
    async fn check(&self, array: &str) -> Result<(), StorageError> {
        self.cluster(array)?.check().await
    }

    async fn locate(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StorageError> {
        let cluster = self.cluster(array)?;
        match cluster.find(volume).await? {
            Some(image) => cluster.object(&image).await.map(Some),
            None => Ok(None),
        }
    }

    /// While both sides have an image of one mirror, a deletion of the primary takes the replica along, and one of the
    /// replica is refused.
    async fn relation(
        &self,
        one: &BackendObject,
        other: &BackendObject,
    ) -> Result<Relation, StorageError> {
        if one.serial != other.serial {
            return Ok(Relation::Distinct);
        }
        if one.scope == other.scope {
            return Ok(Relation::Same);
        }
        for side in [one, other] {
            let found = match self.cluster(&side.found_on) {
                Ok(cluster) => cluster.image_by_global_id(&side.serial).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let why = format!(
                        "array {} has no image {} in a mirror any more: look at the volumes again",
                        side.found_on, side.serial
                    );
                    return Ok(Relation::Unknown { why });
                }
                Err(error) => {
                    let why = error.to_string();
                    return Ok(Relation::Unknown { why });
                }
            }
        }
        Ok(Relation::LinkedDeletion)
    }
}

#[async_trait]
impl GroupReplication for CephRbdDriver {
    fn capabilities(&self, replication: &Replication) -> Result<Capabilities, StorageError> {
        self.target(replication)?;
        let notes = [
            "each write is sent twice on the source's array: to the journal and to the image",
            "a volume made from an image is copied whole within the source's array when it is protected: it shares no bytes \
             with that image any more",
            "a forced promotion stops what this rbd-mirror brings in of other groups, until it is restarted",
        ];
        Ok(Capabilities {
            driver: "CephRbdDriver".to_owned(),
            promotion: PromotionKind::InPlace,
            consistency: Consistency::GroupWhenQuiet,
            recovery_points: PointsKept::LatestOnly,
            way_back: WayBack::Delta,
            fences_source: true,
            test_clone: true,
            linked_deletion: true,
            names_follow: true,
            notes: notes.into_iter().map(str::to_owned).collect(),
        })
    }

    async fn findings(&self, replication: &Replication) -> Result<Vec<String>, StorageError> {
        self.pair(replication)?.findings().await
    }

    async fn protect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.pair(replication)?.protect(volumes).await
    }

    async fn unprotect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.pair(replication)?.unprotect(volumes).await
    }

    async fn replicate(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<RecoveryPoint>, StorageError> {
        self.pair(replication)?.replicate(volumes, operation).await
    }

    async fn recovery_points(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        let (_, target) = self.target(replication)?;
        point::whole_points(target, replication, volumes).await
    }

    async fn first_copies(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.pair(replication)?.first_copies(volumes).await
    }

    async fn forget(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        let (source, target) = self.target(replication)?;
        point::forget(source, target, replication, volumes, operation).await
    }
}

#[async_trait]
impl GroupFailover for CephRbdDriver {
    async fn fence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let source = self.cluster(&replication.source_array)?;
        source.fence(volumes, operation).await
    }

    /// Needs the source alone; the target, if it can be asked, has a say.
    async fn unfence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let source = self.cluster(&replication.source_array)?;
        let target = self.clusters.get(&replication.target_array);
        source.unfence(target, volumes).await
    }

    /// `point` says from when the bytes are at least: an image is promoted with all that has come.
    async fn promote(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volumes: &[CinderVolume],
        mode: PromotionMode,
        operation: &OperationId,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        let (source, target) = self.target(replication)?;
        target.safe("recovery point", point.as_str())?;
        let source = match mode {
            PromotionMode::Planned => source,
            PromotionMode::Forced => None,
        };
        let promotion = Promotion {
            source,
            target,
            operation,
        };
        promotion.promote(point, volumes, mode).await
    }

    async fn discard_promoted(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let (source, target) = self.target(replication)?;
        let promotion = Promotion {
            source,
            target,
            operation,
        };
        promotion.discard(volume, managed_as).await
    }

    async fn written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let (source, target) = self.target(replication)?;
        written::to_promoted(source, target, volume, operation).await
    }

    async fn is_promoted(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<bool, StorageError> {
        let (_, target) = self.target(replication)?;
        written::is_promoted(target, volume, operation).await
    }

    async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let source = self.cluster(&replication.source_array)?;
        written::to_original(source, volume, operation).await
    }

    async fn resync(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.pair(replication)?.resync(volumes, operation).await
    }
}

#[async_trait]
impl TestClones for CephRbdDriver {
    async fn clone_point(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<ArrayProgress<PromotedVolume>, StorageError> {
        let (_, target) = self.target(replication)?;
        let clone = TestClone::new(target, &replication.group_id, volume, operation)?;
        clone.make(point).await
    }

    async fn discard_clone(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let (_, target) = self.target(replication)?;
        let clone = TestClone::new(target, &replication.group_id, volume, operation)?;
        clone.discard(managed_as).await
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::Arc};

    use protector_core::{
        id::GroupId,
        storage::{ArrayRegistry, StorageDriver, StorageErrorKind},
    };

    use super::*;

    fn array(name: &str) -> CephArray {
        CephArray {
            name: name.to_owned(),
            conf: PathBuf::from(format!("/nowhere/{name}.conf")),
            client: "cinder".to_owned(),
            keyring: None,
            pool: "volumes".to_owned(),
        }
    }

    fn between(source: &str, target: &str) -> Replication {
        Replication {
            group_id: GroupId::from("g"),
            source_array: source.to_owned(),
            target_array: target.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_cluster_that_the_site_has_not_is_named() {
        let driver = CephRbdDriver::new(vec![array("a")], CephOptions::default()).unwrap();
        let (there, back) = (between("a", "b"), between("b", "a"));
        let error = driver.protect(&there, &[]).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Misconfigured);
        assert_eq!(error.array, "b");
        assert!(error.message.contains("(a)"), "{error}");
        assert!(driver.capabilities(&back).is_ok(), "the target is enough");
    }

    #[tokio::test]
    async fn what_needs_the_source_alone_does_without_the_other_sites_array() {
        let driver = CephRbdDriver::new(vec![array("a")], CephOptions::default()).unwrap();
        let driver: Arc<dyn StorageDriver> = Arc::new(driver);
        let arrays = ArrayRegistry::new(BTreeMap::from([("a".to_owned(), driver)]));
        let (there, operation) = (between("a", "b"), OperationId::from("op-1"));
        let done = arrays.unfence(&there, &[], &operation).await.unwrap();
        assert_eq!(done, ArrayProgress::Done(()));
        let volume = CinderVolume::known_by_id(VolumeId::from("v"));
        let asked = arrays.original_written_since(&there, &volume, &operation);
        assert_eq!(asked.await.unwrap_err().array, "a");
        let volumes = [volume];
        let asked = arrays.fence(&there, &volumes, &operation);
        assert_eq!(asked.await.unwrap_err().array, "a");
    }

    #[tokio::test]
    async fn one_array_and_ids_that_lead_elsewhere_are_refused() {
        let driver = CephRbdDriver::new(vec![array("a"), array("b")], CephOptions::default());
        let driver = driver.unwrap();
        assert!(driver.protect(&between("a", "a"), &[]).await.is_err());
        let evil = CinderVolume::known_by_id(VolumeId::from("x@y/z"));
        let error = driver.locate("a", &evil).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Refused);
        let replication = between("a", "b");
        let operation = OperationId::from("op/1");
        let points = RecoveryPointId::from("p");
        let good = CinderVolume::known_by_id(VolumeId::from("v"));
        let cloned = driver.clone_point(&replication, &points, &good, &operation);
        assert_eq!(cloned.await.unwrap_err().kind, StorageErrorKind::Refused);
    }

    #[test]
    fn what_cannot_be_is_refused_at_once() {
        let snapshot = CephOptions {
            mode: MirrorMode::Snapshot,
            ..CephOptions::default()
        };
        let kind = |made: Result<CephRbdDriver, StorageError>| made.err().map(|error| error.kind);
        let made = CephRbdDriver::new(vec![array("a")], snapshot);
        assert_eq!(kind(made), Some(StorageErrorKind::Unsupported));
        let twice = CephRbdDriver::new(vec![array("a"), array("a")], CephOptions::default());
        assert_eq!(kind(twice), Some(StorageErrorKind::Misconfigured));
        let option = CephArray {
            pool: "--all".to_owned(),
            ..array("a")
        };
        let made = CephRbdDriver::new(vec![option], CephOptions::default());
        assert_eq!(kind(made), Some(StorageErrorKind::Misconfigured));
    }

    #[tokio::test]
    async fn a_missing_configuration_is_named() {
        let driver = CephRbdDriver::new(vec![array("a")], CephOptions::default()).unwrap();
        let error = driver.check("a").await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Misconfigured);
        assert!(error.message.contains("/nowhere/a.conf"), "{error}");
    }

    #[tokio::test]
    async fn different_images_are_distinct_and_one_is_the_same() {
        let driver = CephRbdDriver::new(vec![array("a")], CephOptions::default()).unwrap();
        let object = |scope: &str, serial: &str| BackendObject {
            found_on: "a".to_owned(),
            scope: scope.to_owned(),
            serial: serial.to_owned(),
        };
        let one = object("x", "1");
        let relation = driver.relation(&one, &object("x", "2")).await.unwrap();
        assert_eq!(relation, Relation::Distinct);
        let relation = driver.relation(&one, &one.clone()).await.unwrap();
        assert_eq!(relation, Relation::Same);
        let silent = driver.relation(&one, &object("y", "1")).await.unwrap();
        assert!(matches!(silent, Relation::Unknown { .. }), "{silent:?}");
    }
}
