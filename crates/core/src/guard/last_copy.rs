//! Whether what is taken back is the last copy: the original may have been deleted since it was copied, by a person who took
//! the move for done, say. Of what an operation has promoted from its own recovery point nothing else may be left.

use super::verdict::Asked;
use crate::id::{OperationId, VolumeId};

/// A volume of a copy that is to be taken back, and what has become of its original.
#[derive(Clone, Copy, Debug)]
pub struct CopyOfVolume<'a> {
    pub member: &'a str,
    pub volume: &'a str,
    pub original: &'a VolumeId,
    /// The site that has, or had, the original.
    pub site: &'a str,
    /// The operation that made the copy.
    pub maker: &'a OperationId,
    pub asked: Asked,
    /// The original's status word, as the tenant sees it right now; `None` where it does not see it.
    pub original_status: Option<&'a str>,
}

/// What an original has when its bytes are going, or are gone in part.
const GOING: [&str; 2] = ["deleting", "error_deleting"];

/// Why a copy must not be discarded, if it must not: its original is gone, or going.
pub fn original_is_gone(copy: &CopyOfVolume<'_>) -> Option<String> {
    if copy.asked == Asked::ByHandThoughItRuns {
        return None;
    }
    let what = match copy.original_status {
        None => "is not there any more".to_owned(),
        Some(status) if GOING.contains(&status) => format!("is {status}"),
        Some(_) => return None,
    };
    Some(format!(
        "kept: volume {} ({}) on {}, of which it is the copy, {what}: this may be the last copy; 'openstack dr operation adopt {failed}' goes forward with it while its server is there and runs, else save what is needed from it; if it may be lost, 'openstack dr operation cleanup {failed} --delete-running {}' discards it",
        copy.volume,
        copy.original,
        copy.site,
        copy.member,
        failed = copy.maker,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(asked: Asked, original_status: Option<&str>) -> Option<String> {
        original_is_gone(&CopyOfVolume {
            member: "vm-001",
            volume: "vm-001-data",
            original: &VolumeId::new("v1"),
            site: "site-a",
            maker: &OperationId::new("op-1"),
            asked,
            original_status,
        })
    }

    #[test]
    fn a_copy_whose_original_is_gone_is_kept_with_the_way_on() {
        for asked in [Asked::Automatically, Asked::ByHand] {
            let why = judged(asked, None).unwrap();
            for said in [
                "volume vm-001-data (v1) on site-a",
                "is not there any more",
                "openstack dr operation adopt op-1",
                "openstack dr operation cleanup op-1 --delete-running vm-001",
            ] {
                assert!(why.contains(said), "{said} is not in {why}");
            }
        }
    }

    #[test]
    fn one_whose_original_is_going_is_kept_too() {
        for status in GOING {
            let why = judged(Asked::ByHand, Some(status)).unwrap();
            assert!(why.contains(&format!("is {status}")), "{why}");
        }
    }

    #[test]
    fn one_whose_original_is_there_or_that_is_named_goes() {
        for status in ["available", "in-use", "error", "reserved", "?"] {
            assert_eq!(judged(Asked::ByHand, Some(status)), None, "{status}");
        }
        for status in [None, Some("deleting")] {
            assert_eq!(judged(Asked::ByHandThoughItRuns, status), None);
        }
    }
}
