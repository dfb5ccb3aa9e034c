//! What is not right with two clusters, before a group has anything on them.

use protector_core::storage::{StorageError, StorageErrorKind};

use crate::{
    cluster::Cluster,
    image::{Peer, PoolInfo},
    pair::Pair,
};

/// The release with which the driver was tried: earlier ones mirror an image in other ways.
const OLDEST: u32 = 16;

impl Cluster {
    /// Sees that the cluster answers, lets the driver in, and has the pool.
    pub(crate) async fn check(&self) -> Result<(), StorageError> {
        self.ask_fsid().await?;
        self.pool_info().await?;
        Ok(())
    }
}

impl Pair<'_> {
    /// A sentence each, with its cure. What keeps one cluster from being asked is a finding too, unless it may pass.
    pub(crate) async fn findings(&self) -> Result<Vec<String>, StorageError> {
        let mut findings = Vec::new();
        let mut fsids = Vec::new();
        for side in [self.source, self.target] {
            match self.findings_of(side).await {
                Ok((fsid, found)) => {
                    fsids.push(fsid);
                    findings.extend(found);
                }
                Err(error) if error.kind.may_pass() => return Err(error),
                Err(error) => findings.push(error.to_string()),
            }
        }
        match self.target.release().await? {
            Some(OLDEST..) => {}
            found => findings.push(format!(
                "the program rbd of this host is of release {}: install ceph-common {OLDEST} or later",
                found.map_or("unknown".to_owned(), |found| found.to_string())
            )),
        }
        if let [one, other] = fsids.as_slice()
            && one == other
        {
            findings.push(format!(
                "arrays {} and {} are one cluster ({one}): set conf of one of them to the other site's ceph.conf",
                self.source.array.name, self.target.array.name
            ));
        }
        let (one, other) = (&self.source.array.pool, &self.target.array.pool);
        if one != other {
            findings.push(format!(
                "pool {one} cannot be mirrored to pool {other}: both sides' pools have one name; set pool of both arrays"
            ));
        }
        Ok(findings)
    }

    async fn findings_of(&self, side: &Cluster) -> Result<(String, Vec<String>), StorageError> {
        let fsid = side.ask_fsid().await?;
        let pool = side.pool_info().await?;
        let mut findings = of_pool(&side.array.name, &side.array.pool, &pool);
        if pool.mode == "disabled" {
            return Ok((fsid, findings));
        }
        let health = side.pool_status().await?.summary.daemon_health;
        // UNKNOWN is what a client is told that may not ask the manager, as Cinder's.
        if matches!(health.as_str(), "WARNING" | "ERROR") {
            findings.push(format!(
                "array {}: rbd-mirror's health is {health}: see `rbd mirror pool status {} --verbose`, and start rbd-mirror",
                side.array.name, side.array.pool
            ));
        }
        if let Err(error) = side.keys().await {
            match error.kind {
                StorageErrorKind::Unavailable => return Err(error),
                _ => findings.push(error.to_string()),
            }
        }
        Ok((fsid, findings))
    }
}

fn of_pool(array: &str, pool: &str, info: &PoolInfo) -> Vec<String> {
    match info.mode.as_str() {
        "image" => {}
        "pool" => {
            return vec![format!(
                "array {array}: pool {pool} mirrors all of its images, those of no group too: run `rbd mirror pool enable \
                 {pool} image`"
            )];
        }
        mode => {
            return vec![format!(
                "array {array}: pool {pool} is not mirrored (mode {mode}): run `rbd mirror pool enable {pool} image`"
            )];
        }
    }
    let both_ways = |peer: &&Peer| peer.direction == "rx-tx";
    let known: Vec<&Peer> = info.peers.iter().collect();
    match known.as_slice() {
        [] => vec![format!(
            "array {array}: pool {pool} has no peer: run `rbd mirror pool peer bootstrap create {pool}` on one site, and \
             `rbd mirror pool peer bootstrap import --direction rx-tx {pool} TOKEN-FILE` on the other"
        )],
        [peer] if both_ways(peer) => Vec::new(),
        [peer] => vec![format!(
            "array {array}: pool {pool} is mirrored one way only ({} with {}), a group could not come back: remove the peer \
             and import it with `--direction rx-tx`",
            peer.direction, peer.site_name
        )],
        peers => vec![format!(
            "array {array}: pool {pool} has {} peers, and an image cannot have two replicas: leave one, see `rbd mirror pool \
             info {pool}`",
            peers.len()
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(mode: &str, directions: &[&str]) -> PoolInfo {
        PoolInfo {
            mode: mode.to_owned(),
            peers: directions
                .iter()
                .map(|&direction| Peer {
                    direction: direction.to_owned(),
                    site_name: "site-b".to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn each_finding_says_what_to_run() {
        assert!(of_pool("a", "volumes", &info("image", &["rx-tx"])).is_empty());
        for (pool, cure) in [
            (
                info("disabled", &[]),
                "rbd mirror pool enable volumes image",
            ),
            (info("pool", &["rx-tx"]), "mirrors all of its images"),
            (info("image", &[]), "peer bootstrap create volumes"),
            (info("image", &["rx-only"]), "--direction rx-tx"),
            (
                info("image", &["rx-tx", "rx-tx"]),
                "rbd mirror pool info volumes",
            ),
        ] {
            let found = of_pool("a", "volumes", &pool);
            assert_eq!(found.len(), 1, "{pool:?}");
            assert!(found[0].contains(cure), "{found:?}");
        }
    }
}
