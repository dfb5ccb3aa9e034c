//! Before what a lost site has of a mirrored volume becomes the replica of what was promoted in its place: all that was written
//! there and never came over is thrown away with that.

use super::{
    counterpart::{Counterpart, copy_is_not_running, twin_is_not_in_use},
    seen::SeenVolume,
    verdict::{Verdict, keep},
};

/// Why it must not be thrown away, if it must not. Whoever cleans up has said that the volume there may go; until its Cinder
/// has let go of it, nothing of it goes.
pub fn must_not_be_resynced(there: Option<&SeenVolume>, twin: &Counterpart) -> Option<Verdict> {
    still_a_volume(there)
        .or_else(|| twin_is_not_in_use(twin))
        .or_else(|| copy_is_not_running(twin.server.as_ref(), twin.meant))
}

fn still_a_volume(there: Option<&SeenVolume>) -> Option<Verdict> {
    let volume = there?;
    keep(format!(
        "kept: Cinder still has it as a volume (status {}), which is cleaned up first",
        volume.status
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_facts::{kept, twin, volume};

    #[test]
    fn what_cinder_still_has_is_not_thrown_away() {
        assert_eq!(must_not_be_resynced(None, &twin()), None);
        let why = kept(must_not_be_resynced(Some(&volume("available")), &twin()));
        assert!(why.contains("status available"), "{why}");
    }

    #[test]
    fn what_may_be_the_last_good_copy_is_not_thrown_away() {
        let lost = Counterpart {
            volume: None,
            ..twin()
        };
        kept(must_not_be_resynced(None, &lost));
        let stopped = Counterpart {
            server: None,
            ..twin()
        };
        kept(must_not_be_resynced(None, &stopped));
    }
}
