//! Before the source may write again to a volume that a move has fenced, and before a returned site may not any more.

use crate::id::{OperationId, SiteName, VolumeId};

/// What is seen of a mirrored volume beside the side that is to be opened or closed.
#[derive(Clone, Copy, Debug)]
pub struct OtherSide<'a> {
    /// The site that the group leaves, whose side it is.
    pub source: &'a SiteName,
    pub target: &'a SiteName,
    /// Where the group runs now; `None` where it is not on record any more.
    pub runs_on: Option<&'a SiteName>,
    /// The operation that has promoted it on the target's array, and has not taken that back.
    pub promoted_by: Option<&'a OperationId>,
    /// The volume of the target's Cinder that was imported of it.
    pub imported_as: Option<&'a VolumeId>,
}

/// Why a volume of the source must not be written to again, if it must not: two sides of one mirror would be, and nobody could
/// bring them together.
pub fn must_stay_fenced(other: &OtherSide<'_>) -> Option<String> {
    group_has_gone_on(other)
        .or_else(|| is_promoted_there(other))
        .or_else(|| is_imported_there(other))
}

/// Why what a returned site has of a volume must not be closed, if it must not: it may be what the group runs on.
pub fn must_not_be_fenced(other: &OtherSide<'_>) -> Option<String> {
    does_not_run_on_the_target(other).or_else(|| nothing_is_promoted_there(other))
}

fn group_has_gone_on(other: &OtherSide<'_>) -> Option<String> {
    let runs_on = other.runs_on.filter(|site| *site != other.source)?;
    Some(format!(
        "kept from writing: by now its protection group runs on {runs_on}"
    ))
}

fn is_promoted_there(other: &OtherSide<'_>) -> Option<String> {
    let (by, target) = (other.promoted_by?, other.target);
    Some(format!(
        "kept from writing: {target} answers, and there its replica is promoted by operation {by}, whose abort or cleanup takes that back first"
    ))
}

fn is_imported_there(other: &OtherSide<'_>) -> Option<String> {
    let (volume, target) = (other.imported_as?, other.target);
    Some(format!(
        "kept from writing: {target} answers, and its Cinder has the promoted replica as volume {volume}, which is let go of first"
    ))
}

fn does_not_run_on_the_target(other: &OtherSide<'_>) -> Option<String> {
    if other.runs_on == Some(other.target) {
        return None;
    }
    let runs_on = other.runs_on.map_or("nowhere", SiteName::as_str);
    Some(format!(
        "not fenced: its protection group runs on {runs_on} by now, not on {}",
        other.target
    ))
}

fn nothing_is_promoted_there(other: &OtherSide<'_>) -> Option<String> {
    if other.promoted_by.is_some() {
        return None;
    }
    Some(format!(
        "not fenced: the array of {} says that nothing is promoted of it, so this may be all there is",
        other.target
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(check: impl FnOnce(&SiteName, &SiteName, &OperationId, &VolumeId) -> T) -> T {
        check(
            &SiteName::new("site-a"),
            &SiteName::new("site-b"),
            &OperationId::new("op-1"),
            &VolumeId::new("copy"),
        )
    }

    #[test]
    fn a_volume_whose_other_side_may_be_written_to_stays_fenced() {
        with(|source, target, by, copy| {
            let nothing = OtherSide {
                source,
                target,
                runs_on: Some(source),
                promoted_by: None,
                imported_as: None,
            };
            assert_eq!(must_stay_fenced(&nothing), None);
            let gone = OtherSide {
                runs_on: None,
                ..nothing
            };
            assert_eq!(must_stay_fenced(&gone), None, "its servers are still there");
            let why = |other: OtherSide<'_>| must_stay_fenced(&other).unwrap();
            let promoted = why(OtherSide {
                promoted_by: Some(by),
                ..nothing
            });
            assert!(
                promoted.contains("promoted by operation op-1"),
                "{promoted}"
            );
            let imported = why(OtherSide {
                imported_as: Some(copy),
                ..nothing
            });
            assert!(imported.contains("as volume copy"), "{imported}");
            let moved = why(OtherSide {
                runs_on: Some(target),
                ..nothing
            });
            assert!(moved.contains("runs on site-b"), "{moved}");
        });
    }

    #[test]
    fn what_may_be_all_there_is_of_a_volume_is_not_fenced() {
        with(|source, target, by, _| {
            let lost = OtherSide {
                source,
                target,
                runs_on: Some(target),
                promoted_by: Some(by),
                imported_as: None,
            };
            assert_eq!(must_not_be_fenced(&lost), None);
            let why = |other: OtherSide<'_>| must_not_be_fenced(&other).unwrap();
            let back = why(OtherSide {
                runs_on: Some(source),
                ..lost
            });
            assert!(back.contains("runs on site-a by now"), "{back}");
            let unknown = why(OtherSide {
                runs_on: None,
                ..lost
            });
            assert!(unknown.contains("nowhere"), "{unknown}");
            let kept = why(OtherSide {
                promoted_by: None,
                ..lost
            });
            assert!(kept.contains("nothing is promoted of it"), "{kept}");
        });
    }
}
