//! Clusters whose programs are shell scripts, for what real ones do rarely.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use tempfile::TempDir;

use crate::{
    cluster::Cluster,
    config::{CephArray, CephOptions},
};

/// A cluster, and the directory in which its programs run and leave what they like.
pub(crate) struct Fake {
    pub(crate) cluster: Cluster,
    pub(crate) directory: TempDir,
}

impl Fake {
    /// With `rbd` and `rados` as these scripts, which find their directory in `$here` and what they are asked in `$*`.
    pub(crate) fn new(rbd: &str, rados: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, script) in [("rbd", rbd), ("rados", rados)] {
            let path = directory.path().join(name);
            let here = directory.path().display();
            std::fs::write(&path, format!("#!/bin/sh\nhere={here}\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let array = CephArray {
            name: "a".to_owned(),
            conf: Path::new("/nowhere/a.conf").to_owned(),
            client: "cinder".to_owned(),
            keyring: None,
            pool: "volumes".to_owned(),
        };
        let options = CephOptions {
            programs: Some(directory.path().to_owned()),
            processes: 1,
            answers_within: Duration::from_secs(20),
            ..CephOptions::default()
        };
        Self {
            cluster: Cluster::new(array, options),
            directory,
        }
    }
}

/// What `rbd mirror pool info` says of a pool that is there.
pub(crate) const POOL: &str =
    r#"case "$*" in *"mirror pool info"*) echo '{"mode":"image"}'; exit 0;; esac"#;
