//! Whether the copy that is to be taken back is all that there is of a member (invariant I4).

use super::{Asked, Left};
use crate::id::OperationId;

/// The copy of a member that a move which did not switch has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyToTakeBack<'a> {
    /// The member's name.
    pub member: &'a str,
    /// The operation that made the copy.
    pub maker: &'a OperationId,
    /// The site of the originals.
    pub source: &'a str,
    /// Who asks.
    pub asked: Asked,
    /// How the move left the member's original.
    pub left: Left,
    /// Those of the member's volumes that are not on their site any more, or about to go.
    pub gone: &'a [String],
}

/// Why a copy must not be taken back, if it must not: somebody has deleted what it was made of. An unplanned failover asks
/// the lost site nothing; its copies can be made again from the recovery point.
pub fn its_original_is_gone(copy: &CopyToTakeBack<'_>) -> Option<String> {
    if copy.left == Left::Untouched || copy.asked == Asked::ByHandThoughItRuns {
        return None;
    }
    if copy.gone.is_empty() {
        return None;
    }
    Some(format!(
        "kept: somebody has deleted what the copy of {member} was made of on {source} (volume {gone}), so it may be all there is; 'openstack dr operation adopt {maker}' goes forward with it while its server runs; if it may be lost, 'openstack dr operation cleanup {maker} --delete-running {member}' discards it",
        member = copy.member,
        source = copy.source,
        gone = copy.gone.join(", "),
        maker = copy.maker,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(asked: Asked, left: Left, gone: &[&str]) -> Option<String> {
        let gone: Vec<String> = gone.iter().map(|id| (*id).to_owned()).collect();
        its_original_is_gone(&CopyToTakeBack {
            member: "db",
            maker: &OperationId::new("op-1"),
            source: "site-a",
            asked,
            left,
            gone: &gone,
        })
    }

    #[test]
    fn a_copy_whose_original_was_deleted_is_kept_with_the_way_on() {
        for asked in [Asked::Automatically, Asked::ByHand] {
            let why = judged(asked, Left::Stopped, &["vol-1", "vol-2"]).unwrap();
            for said in [
                "the copy of db was made of on site-a (volume vol-1, vol-2)",
                "openstack dr operation adopt op-1",
                "openstack dr operation cleanup op-1 --delete-running db",
            ] {
                assert!(why.contains(said), "{said} is not in {why}");
            }
        }
    }

    #[test]
    fn what_has_its_original_what_is_named_and_what_a_lost_site_left_goes() {
        assert_eq!(judged(Asked::Automatically, Left::Stopped, &[]), None);
        let named = judged(Asked::ByHandThoughItRuns, Left::Stopped, &["vol-1"]);
        assert_eq!(named, None);
        let lost = judged(Asked::Automatically, Left::Untouched, &["vol-1"]);
        assert_eq!(lost, None);
    }
}
