//! Before what a lost site has of a mirrored volume becomes the replica of what was promoted in its place: all that was written
//! there and never came over is thrown away with that.

use crate::id::{OperationId, SiteName};

use super::{
    counterpart::{Counterpart, copy_is_not_running, twin_is_not_in_use},
    seen::SeenVolume,
    verdict::{Verdict, keep},
};

/// Which side of a mirror the group runs on, by what is read now.
#[derive(Clone, Copy, Debug)]
pub struct SideInUse<'a> {
    /// The site that its failover has brought it to.
    pub target: &'a SiteName,
    /// The site where the group runs; `None` where it is not on record any more.
    pub runs_on: Option<&'a SiteName>,
    /// The operation that has promoted the volume there, as the array says.
    pub promoted_by: Option<&'a OperationId>,
}

/// Why it must not be thrown away, if it must not. Whoever cleans up has said that the volume there may go; until its Cinder
/// has let go of it, nothing of it goes.
pub fn must_not_be_resynced(
    there: Option<&SeenVolume>,
    twin: &Counterpart,
    side: &SideInUse<'_>,
) -> Option<Verdict> {
    still_a_volume(there)
        .or_else(|| group_has_left(side))
        .or_else(|| twin_is_not_promoted(side))
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

/// The record that a cleanup rests on is of when it was asked for: the group may have gone on since.
fn group_has_left(side: &SideInUse<'_>) -> Option<Verdict> {
    let runs_on = side.runs_on.filter(|site| *site != side.target)?;
    keep(format!(
        "kept: by now its protection group runs on {runs_on}, not on {}",
        side.target
    ))
}

fn twin_is_not_promoted(side: &SideInUse<'_>) -> Option<Verdict> {
    if side.promoted_by.is_some() {
        return None;
    }
    keep(format!(
        "kept: the array of {} does not say that its copy was promoted there, so this may be the side with the right bytes; an administrator of the arrays can tell",
        side.target
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_facts::{kept, twin, volume};

    /// The verdict where the group runs on `runs_on`, and `promoted_by` has promoted the copy on site-b.
    fn verdict(
        there: Option<&SeenVolume>,
        twin: &Counterpart,
        runs_on: Option<&str>,
        promoted_by: Option<&str>,
    ) -> Option<Verdict> {
        let (runs_on, promoted_by) = (
            runs_on.map(SiteName::new),
            promoted_by.map(OperationId::new),
        );
        let side = SideInUse {
            target: &SiteName::new("site-b"),
            runs_on: runs_on.as_ref(),
            promoted_by: promoted_by.as_ref(),
        };
        must_not_be_resynced(there, twin, &side)
    }

    /// The same where all of that is as it should be.
    fn well(there: Option<&SeenVolume>, twin: &Counterpart) -> Option<Verdict> {
        verdict(there, twin, Some("site-b"), Some("op-1"))
    }

    #[test]
    fn what_the_group_runs_on_by_now_is_not_thrown_away() {
        let back = kept(verdict(None, &twin(), Some("site-a"), Some("op-1")));
        assert!(back.contains("runs on site-a"), "{back}");
        assert_eq!(
            verdict(None, &twin(), None, Some("op-1")),
            None,
            "it was deleted"
        );
    }

    #[test]
    fn what_was_not_promoted_elsewhere_is_not_thrown_away() {
        let why = kept(verdict(None, &twin(), Some("site-b"), None));
        assert!(
            why.contains("does not say that its copy was promoted"),
            "{why}"
        );
    }

    #[test]
    fn what_cinder_still_has_is_not_thrown_away() {
        assert_eq!(well(None, &twin()), None);
        let why = kept(well(Some(&volume("available")), &twin()));
        assert!(why.contains("status available"), "{why}");
    }

    #[test]
    fn what_may_be_the_last_good_copy_is_not_thrown_away() {
        let lost = Counterpart {
            volume: None,
            ..twin()
        };
        kept(well(None, &lost));
        let stopped = Counterpart {
            server: None,
            ..twin()
        };
        kept(well(None, &stopped));
    }
}
