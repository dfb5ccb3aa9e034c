//! A call that is cut off at any of its waits leaves a state in which the same call, from another process, ends well.

use std::{future::Future, pin::pin, task::Poll};

use protector_core::{id::OperationId, storage::Replication};

use crate::site_fixture::{Sites, operation};

/// Polls `call` to its end, or at most `polls` times and drops it there. Says whether it ended.
async fn cut_off<F: Future>(call: F, polls: usize) -> bool {
    let mut call = pin!(call);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        call.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test]
async fn replication_cut_off_anywhere_is_repeated() {
    let sites = Sites::new().await;
    let volumes = [sites.volume(&[1; 300_000]), sites.volume(b"two")];
    for polls in 0.. {
        let (replication, operation) = (sites.replication(), operation());
        let call = sites.here().replicate(&replication, &volumes, &operation);
        let ended = cut_off(call, polls).await;

        let point = repeat_replication(&sites, &replication, &volumes, &operation).await;

        let listed = sites
            .there()
            .recovery_points(&replication, &[])
            .await
            .unwrap();
        assert_eq!(
            listed,
            std::slice::from_ref(&point),
            "cut off after {polls}"
        );
        assert_eq!(
            sites.point_directories(&replication.group_id),
            [point.id.as_str()],
            "cut off after {polls}"
        );
        if ended {
            return;
        }
    }
}

async fn repeat_replication(
    sites: &Sites,
    replication: &Replication,
    volumes: &[protector_core::id::VolumeId],
    operation: &OperationId,
) -> protector_core::storage::RecoveryPoint {
    let driver = sites.there();
    driver
        .replicate(replication, volumes, operation)
        .await
        .unwrap()
}

#[tokio::test]
async fn promotion_cut_off_anywhere_is_repeated() {
    let sites = Sites::new().await;
    let (replication, bytes) = (sites.replication(), [5; 300_000]);
    let volume = sites.volume(&bytes);
    let volumes = [volume.clone()];
    let point = sites
        .here()
        .replicate(&replication, &volumes, &operation())
        .await
        .unwrap();
    for polls in 0.. {
        let operation = operation();
        let call = sites
            .here()
            .promote(&replication, &point.id, &volume, &operation);
        let ended = cut_off(call, polls).await;

        let again = sites
            .there()
            .promote(&replication, &point.id, &volume, &operation);
        let name = again.await.unwrap().source_name;

        assert_eq!(
            sites.listed(),
            std::slice::from_ref(&name),
            "cut off after {polls}"
        );
        assert_eq!(sites.staged(), 0, "cut off after {polls}");
        assert!(std::fs::read(sites.target().join(&name)).unwrap() == bytes);
        let discarded = sites
            .there()
            .discard_promoted(&replication, &volume, &operation, None);
        discarded.await.unwrap();
        if ended {
            return;
        }
    }
}

#[tokio::test]
async fn a_promotion_cut_off_anywhere_can_be_discarded() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let volume = sites.volume(&[5; 300_000]);
    let volumes = [volume.clone()];
    let point = sites
        .here()
        .replicate(&replication, &volumes, &operation())
        .await
        .unwrap();
    for polls in 0.. {
        let operation = operation();
        let call = sites
            .here()
            .promote(&replication, &point.id, &volume, &operation);
        let ended = cut_off(call, polls).await;
        let discarded = sites
            .there()
            .discard_promoted(&replication, &volume, &operation, None);
        discarded.await.unwrap();
        assert!(sites.listed().is_empty(), "cut off after {polls}");
        assert_eq!(sites.staged(), 0, "cut off after {polls}");
        if ended {
            return;
        }
    }
}

#[tokio::test]
async fn a_discard_cut_off_anywhere_is_repeated() {
    let sites = Sites::new().await;
    let replication = sites.replication();
    let volume = sites.volume(b"data");
    let volumes = [volume.clone()];
    let point = sites
        .here()
        .replicate(&replication, &volumes, &operation())
        .await
        .unwrap();
    for polls in 0.. {
        let operation = operation();
        let made = sites
            .here()
            .promote(&replication, &point.id, &volume, &operation);
        made.await.unwrap();
        let call = sites
            .here()
            .discard_promoted(&replication, &volume, &operation, None);
        let ended = cut_off(call, polls).await;
        let again = sites
            .there()
            .discard_promoted(&replication, &volume, &operation, None);
        again.await.unwrap();
        assert!(sites.listed().is_empty(), "cut off after {polls}");
        if ended {
            return;
        }
    }
}
