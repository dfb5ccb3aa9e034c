//! Engines that are killed at any moment of a move, while rbd-mirror is, too.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use protector_core::{
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{
        CinderVolume, GroupFailover, GroupReplication, PromotionMode, Relation, Replication,
    },
};

use super::relation;
use crate::fixture::{Clusters, name, new_operation, once, until};

/// What the engine that is killed has to do: from where, group, volume, operation, and `there` or `back`.
const ORDER: &str = "PROTECTOR_TEST_CEPH_ORDER";
const MOVES: usize = 6;

/// Half of the moves are taken back. Whatever was killed, each ends with one primary, that has all that was written.
#[allow(clippy::print_stdout, reason = "it is told to people")]
pub async fn a_move_goes_on_whoever_is_killed(clusters: &Clusters) {
    let seed = std::env::var("PROTECTOR_SEED").ok();
    let seed: u64 = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("    PROTECTOR_SEED={seed}");
    let mut random = seed.max(1);
    let mut next = move |below: u64| {
        // Marsaglia's xorshift.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut replication = clusters.there();
    let mut volume = clusters.volume("a");
    for number in 0..MOVES {
        let (from, to) = match replication.source_array == "ceph-a" {
            true => ("a", "b"),
            false => ("b", "a"),
        };
        let (operation, way) = (new_operation(), ["there", "back"][number % 2]);
        clusters
            .write(from, &volume, &format!("of-{number} 2 {}", number * 3))
            .unwrap();
        let written = clusters.hash(from, &name(&volume));
        let order = format!(
            "{from} {} {} {operation} {way}",
            replication.group_id, volume.id
        );
        let kills = next(6);
        for _ in 0..kills {
            let mut engine = engine(&order);
            let until = Instant::now() + Duration::from_millis(200 + next(9000));
            while Instant::now() < until && engine.try_wait().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let _ = engine.kill();
            let _ = engine.wait();
            if next(3) == 0 {
                clusters.restart_mirror(["a", "b"][usize::from(next(2) == 1)]);
            }
        }
        let ended = engine(&order).wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(
            ended.status.success(),
            "move {number}, {kills} kills: {told}"
        );
        let (primary, replica) = if way == "there" {
            (to, from)
        } else {
            (from, to)
        };
        let is_primary =
            |site: &str| clusters.info(site, &name(&volume), "/mirroring/primary") == "true";
        assert!(
            is_primary(primary) && !is_primary(replica),
            "move {number}, {kills} kills"
        );
        assert_eq!(
            clusters.hash(primary, &name(&volume)),
            written,
            "move {number}"
        );
        until("the replica has all", || {
            clusters.hash(replica, &name(&volume)) == written
        })
        .await;
        assert_eq!(relation(clusters, &volume).await, Relation::LinkedDeletion);
        clusters
            .driver
            .forget(&replication, std::slice::from_ref(&volume), &operation)
            .await
            .unwrap();
        if way == "there" {
            volume = clusters.manage(to, &name(&volume));
            replication = replication.back();
        }
        println!("    move {number}, {way}: {kills} engines killed");
    }
}

fn engine(order: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .arg("--nocapture")
        .env("PROTECTOR_TEST_CEPH_ONLY", "what_an_engine_does")
        .env("RUST_BACKTRACE", "0")
        .env(ORDER, order)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The engine: all calls of a move from the beginning, as after each restart.
pub async fn what_an_engine_does(clusters: &Clusters) {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let words: Vec<&str> = order.split(' ').collect();
    let [from, group, volume, operation, way] = words.as_slice() else {
        panic!("{order}");
    };
    let there = clusters.there();
    let mut replication = Replication {
        group_id: protector_core::id::GroupId::from(*group),
        ..there
    };
    if *from == "b" {
        replication = replication.back();
    }
    let volumes = [CinderVolume::known_by_id(VolumeId::from(*volume))];
    let operation = OperationId::from(*operation);
    let driver = &clusters.driver;
    let point = RecoveryPointId::new(operation.as_str());
    // As an engine's journal: what is done is not done again, and what was begun is.
    let journal = clusters.base().join(format!("journal-{operation}"));
    let done = std::fs::read_to_string(&journal).unwrap_or_default();
    let done: usize = done.parse().unwrap_or(0);
    let steps = if *way == "there" { 4 } else { 6 };
    for step in done..steps {
        match step {
            0 => once(|| driver.protect(&replication, &volumes))
                .await
                .unwrap(),
            1 => drop(
                once(|| driver.replicate(&replication, &volumes, &operation))
                    .await
                    .unwrap(),
            ),
            2 => once(|| driver.fence(&replication, &volumes, &operation))
                .await
                .unwrap(),
            3 => {
                let mode = PromotionMode::Planned;
                let promoted =
                    once(|| driver.promote(&replication, &point, &volumes, mode, &operation));
                promoted.await.unwrap();
            }
            4 => once(|| driver.discard_promoted(&replication, &volumes[0], &operation, None))
                .await
                .unwrap(),
            _ => once(|| driver.unfence(&replication, &volumes, &operation))
                .await
                .unwrap(),
        }
        std::fs::write(&journal, (step + 1).to_string()).unwrap();
    }
    let _ = std::fs::remove_file(journal);
}
