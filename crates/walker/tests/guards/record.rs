//! What the record says of a deletion afterwards.

use super::fixture::{BOOT, DATA, Fixture, SERVER};

#[tokio::test(start_paused = true)]
async fn facts_and_request_ids_of_every_deletion_are_in_the_record() {
    let mut fixture = Fixture::switched().await;
    let ended = fixture.delete().await;
    for key in [SERVER, BOOT, DATA] {
        let memo = &ended.step(key).progress.memo;
        assert_eq!(memo.request_ids.len(), 1, "{key}: {memo:?}");
        assert!(memo.request_ids[0].starts_with("req-"), "{memo:?}");
        let mut once = memo.facts.clone();
        once.dedup();
        assert_eq!(once, memo.facts);
    }
    let facts = ended.step(DATA).progress.memo.facts.join("; ");
    for part in [
        "it was available right before the deletion",
        "was in-use by server",
        "which was ACTIVE, right before the deletion",
        "is not the copy's",
        "compute host site-a-compute-1 of its server was up",
    ] {
        assert!(facts.contains(part), "{part} is not in {facts}");
    }
}
