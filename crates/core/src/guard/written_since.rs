//! What a copy has written since its recovery point, before it is discarded: the copy may have been in use after the operation
//! that made it had failed, or while that waited for people, also if its server is stopped or gone by now.

use chrono::SecondsFormat;

use super::verdict::{Asked, Left};
use crate::{id::OperationId, storage::Written};

/// A volume of a copy that is to be taken back.
#[derive(Clone, Copy, Debug)]
pub struct WrittenCopy<'a> {
    pub member: &'a str,
    pub volume: &'a str,
    /// The operation that made the copy.
    pub maker: &'a OperationId,
    /// The site that has it.
    pub site: &'a str,
    /// The name of its protection group.
    pub group: &'a str,
    pub asked: Asked,
    /// Whether the copy was there when that operation had ended, or while it waited for people: then it may have been used.
    pub outlived: bool,
    /// Whether Cinder still has the import of it.
    pub imported: bool,
    /// What the array says.
    pub written: &'a Written,
}

/// Why a copy must not be discarded, if it must not: what was written to it is nowhere else.
pub fn its_newer_bytes_are_nowhere_else(copy: &WrittenCopy<'_>) -> Option<String> {
    if copy.asked == Asked::ByHandThoughItRuns || !copy.outlived {
        return None;
    }
    let what = match copy.written {
        Written::Nothing | Written::GoesAlong => return None,
        // The array's word counts for what is gone from Cinder as well.
        Written::NoObject if !copy.imported => return None,
        Written::NoObject => format!(
            "nobody can tell what was written to volume {} on {} since its recovery point (Cinder has its import, and the array knows no object of it)",
            copy.volume, copy.site
        ),
        Written::Since { point, bytes } => format!(
            "{bytes} bytes of volume {} on {} were written since its recovery point of {}, and are nowhere else",
            copy.volume,
            copy.site,
            point.to_rfc3339_opts(SecondsFormat::Secs, true)
        ),
        Written::Unknown { why } => format!(
            "nobody can tell what was written to volume {} on {} since its recovery point ({why})",
            copy.volume, copy.site
        ),
    };
    Some(format!("kept: {what}; {}", ways_on(copy)))
}

fn ways_on(copy: &WrittenCopy<'_>) -> String {
    let (site, member, failed) = (copy.site, copy.member, copy.maker);
    match copy.asked {
        // What it recovers is what is there: its own way on loses nothing.
        Asked::ByRetry => format!(
            "if they are needed, 'openstack --os-cloud {site} server start' its server, and 'openstack dr retry {group}' takes that up as it is, or 'server delete' it there, and the retry builds another one from its volumes as they are; a volume that Cinder has in error an administrator sets to available first ('openstack --os-cloud {site} volume set --state available')",
            group = copy.group,
        ),
        _ => format!(
            "if they are needed, 'openstack dr operation adopt {failed}' goes forward with the copy while its server is there and runs, else save them from that volume; if they may be lost, 'openstack dr operation cleanup {failed} --delete-running {member}' discards them",
        ),
    }
}

/// A volume that a planned move has left on its source, as the array tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenOriginal<'a> {
    pub id: &'a str,
    pub site: &'a str,
    pub asked: Asked,
    /// How the move left the server that it belonged to.
    pub left: Left,
    /// What the array says was written to it since the move replicated it for the last time.
    pub written: &'a Written,
}

/// Why a source volume must not be deleted, if it must not: a planned move replicates it when its server has stopped, so what
/// was written after that, by whichever server, is in no copy. The recovery point stays for as long as volumes are left, so
/// an array that cannot tell has lost it: then nobody knows, and it is kept.
pub fn written_after_its_replication(original: &WrittenOriginal<'_>) -> Option<String> {
    if original.asked == Asked::ByHandThoughItRuns || original.left == Left::Untouched {
        return None;
    }
    let (id, site) = (original.id, original.site);
    let unknown = |why: &str| {
        format!(
            "kept: nobody can tell what was written to it on {site} since its last replication ({why}); when nothing of it is needed, 'openstack --os-cloud {site} volume delete {id}'",
        )
    };
    match original.written {
        // Whether it has an object at all is another guard's question.
        Written::Nothing | Written::NoObject => None,
        Written::Since { point, bytes } => Some(format!(
            "kept: {bytes} bytes of it were written on {site} since its last replication, of {}, and are nowhere else: a server had it since then; save what is needed of them, then 'openstack --os-cloud {site} volume delete {id}'",
            point.to_rfc3339_opts(SecondsFormat::Secs, true),
        )),
        // That is said of what is taken back, and nothing is here.
        Written::GoesAlong => Some(unknown("its array takes it for a copy")),
        Written::Unknown { why } => Some(unknown(why)),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn judged(asked: Asked, outlived: bool, written: &Written) -> Option<String> {
        its_newer_bytes_are_nowhere_else(&WrittenCopy {
            member: "vm-001",
            volume: "vm-001-data",
            maker: &OperationId::new("op-1"),
            site: "site-b",
            group: "prod",
            asked,
            outlived,
            imported: true,
            written,
        })
    }

    fn some() -> Written {
        Written::Since {
            point: DateTime::UNIX_EPOCH,
            bytes: 42,
        }
    }

    fn unknown() -> Written {
        Written::Unknown {
            why: "its point is gone".to_owned(),
        }
    }

    #[test]
    fn what_a_copy_has_written_is_kept_by_hand_with_the_way_on() {
        let why = judged(Asked::ByHand, true, &some()).unwrap();
        for said in [
            "42 bytes of volume vm-001-data on site-b",
            "1970-01-01T00:00:00Z",
            "openstack dr operation adopt op-1",
            "openstack dr operation cleanup op-1 --delete-running vm-001",
        ] {
            assert!(why.contains(said), "{said} is not in {why}");
        }
    }

    #[test]
    fn what_a_copy_that_was_in_use_has_written_is_kept_by_its_operation_too() {
        assert!(judged(Asked::Automatically, true, &some()).is_some());
    }

    #[test]
    fn a_retry_discards_no_writes_and_says_how_it_goes_on_with_them() {
        let why = judged(Asked::ByRetry, true, &some()).unwrap();
        for said in ["42 bytes", "server start", "openstack dr retry prod"] {
            assert!(why.contains(said), "{said} is not in {why}");
        }
        assert!(judged(Asked::ByRetry, true, &unknown()).is_some());
        assert_eq!(judged(Asked::ByRetry, true, &Written::Nothing), None);
    }

    #[test]
    fn what_nobody_can_tell_is_kept_too() {
        let why = judged(Asked::ByHand, true, &unknown()).unwrap();
        assert!(why.contains("its point is gone"), "{why}");
    }

    #[test]
    fn an_import_that_the_array_does_not_know_is_kept_until_cinder_has_let_go_of_it() {
        let why = judged(Asked::ByHand, true, &Written::NoObject).unwrap();
        assert!(why.contains("the array knows no object of it"), "{why}");
        let gone = WrittenCopy {
            member: "vm-001",
            volume: "vm-001-data",
            maker: &OperationId::new("op-1"),
            site: "site-b",
            group: "prod",
            asked: Asked::ByHand,
            outlived: true,
            imported: false,
            written: &Written::NoObject,
        };
        assert_eq!(its_newer_bytes_are_nowhere_else(&gone), None);
    }

    fn original(asked: Asked, left: Left, written: &Written) -> Option<String> {
        written_after_its_replication(&WrittenOriginal {
            id: "vol-1",
            site: "site-a",
            asked,
            left,
            written,
        })
    }

    #[test]
    fn what_was_written_after_the_last_replication_keeps_the_original() {
        for asked in [Asked::Automatically, Asked::ByHand] {
            let why = original(asked, Left::Stopped, &some()).unwrap();
            for said in [
                "42 bytes of it were written on site-a",
                "1970-01-01T00:00:00Z",
                "openstack --os-cloud site-a volume delete vol-1",
            ] {
                assert!(why.contains(said), "{said} is not in {why}");
            }
            assert_eq!(original(asked, Left::Stopped, &Written::Nothing), None);
            let why = original(asked, Left::Stopped, &unknown()).unwrap();
            assert!(why.contains("nobody can tell"), "{why}");
            assert!(why.contains("volume delete vol-1"), "{why}");
            assert_eq!(original(asked, Left::Untouched, &unknown()), None);
            assert_eq!(original(asked, Left::Stopped, &Written::NoObject), None);
        }
    }

    #[test]
    fn what_a_lost_site_wrote_is_announced_with_the_loss_and_what_is_named_goes() {
        assert_eq!(original(Asked::ByHand, Left::Untouched, &some()), None);
        let named = original(Asked::ByHandThoughItRuns, Left::Stopped, &some());
        assert_eq!(named, None);
    }

    #[test]
    fn what_is_unchanged_named_or_of_the_failover_itself_goes() {
        assert_eq!(judged(Asked::ByHand, true, &Written::Nothing), None);
        for written in [some(), unknown()] {
            assert_eq!(judged(Asked::ByHandThoughItRuns, true, &written), None);
            for asked in [Asked::Automatically, Asked::ByHand] {
                assert_eq!(judged(asked, false, &written), None);
            }
        }
    }
}
