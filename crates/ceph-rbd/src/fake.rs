//! Clusters whose programs are shell scripts, for what real ones do rarely.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use tempfile::TempDir;

use crate::{
    cluster::Cluster,
    config::{CephArray, CephOptions},
};

/// `rbd` of a cluster with one image, of which the files of its directory tell.
const RBD: &str = r#"echo "$*" >> $here/asked
case "$*" in
*"mirror pool info"*) echo '{"mode":"image"}';;
*"mirror pool status"*) cat $here/pool-status 2>/dev/null || echo '{"images":[]}';;
*"mirror image status"*) cat $here/mirror-status 2>/dev/null || exit 2;;
*"journal status"*) cat $here/journal;;
*"lock ls"*) echo '[]';;
*"snap ls"*) cat $here/snapshots 2>/dev/null || echo '[]';;
*" diff "*) cat $here/diff;;
*" status "*) cat $here/watchers 2>/dev/null || echo '{"watchers":[]}';;
*" info "*) [ -e $here/dead ] && exit 110; cat $here/image 2>/dev/null || exit 2;;
*" promote --force "*) touch $here/forced;;
*" promote "*) exit $(cat $here/promote-ends-with 2>/dev/null || echo 0);;
esac"#;

/// Its `rados`, with the notes in a directory of their own.
const RADOS: &str = r#"echo "$*" >> $here/asked
cd $here/notes
while [ $# -gt 0 ]; do
    case "$1" in getomapval|setomapval|listomapkeys|listomapvals|rmomapkey|setomapheader|listwatchers) break;; esac
    shift
done
case "$1" in
getomapval) [ -e "$3" ] || exit 1; cat "$3";;
setomapval) printf %s "$4" > "$3"; [ -e $here/then ] && cp $here/then "$3"; exit 0;;
listomapkeys) ls;;
rmomapkey) rm -f "$3";;
listomapvals) for key in *; do
        [ -e "$key" ] || continue
        printf '%s
value (%s bytes) :
' "$key" $(wc -c < "$key"); od -A x -t x1 -v "$key"; echo
    done;;
esac"#;

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

impl Fake {
    /// With one image, of which `info` tells, and no notes.
    pub(crate) fn with_image(info: &str) -> Self {
        let fake = Self::new(RBD, RADOS);
        std::fs::create_dir(fake.directory.path().join("notes")).unwrap();
        fake.put("image", info);
        fake
    }

    /// Makes `file` of its directory tell `text`.
    pub(crate) fn put(&self, file: &str, text: &str) {
        std::fs::write(self.directory.path().join(file), text).unwrap();
    }

    pub(crate) fn take_away(&self, file: &str) {
        std::fs::remove_file(self.directory.path().join(file)).unwrap();
    }

    /// What `file` of its directory tells; nothing if it is not there.
    pub(crate) fn told(&self, file: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(file)).unwrap_or_default()
    }

    pub(crate) fn put_note(&self, key: &str, note: &serde_json::Value) {
        self.put(&format!("notes/{key}"), &note.to_string());
    }

    pub(crate) fn note(&self, key: &str) -> Option<serde_json::Value> {
        serde_json::from_str(&self.told(&format!("notes/{key}"))).ok()
    }
}

/// What `rbd mirror pool info` says of a pool that is there.
pub(crate) const POOL: &str =
    r#"case "$*" in *"mirror pool info"*) echo '{"mode":"image"}'; exit 0;; esac"#;
