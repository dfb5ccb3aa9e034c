//! Starting a server again.

use crate::mark;

/// A copy of a server, as its cloud shows it right now, with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenCopy {
    /// The record names it.
    Recorded(String),
    /// Its marks alone say what it is: somebody may have copied them.
    Marked(String),
}

/// Why a source server must not be started again, if it must not: its copy on the target may run, and the same server
/// would run on both sites (invariant I10).
///
/// `not_taken_back` says why taking back its copy's building failed, if it did: then nobody knows whether there is a copy.
pub fn must_stay_stopped(
    target: &str,
    copy: Option<&SeenCopy>,
    not_taken_back: Option<&str>,
) -> Option<String> {
    match (copy, not_taken_back) {
        (Some(SeenCopy::Recorded(copy)), _) => Some(format!(
            "not started: its copy {copy} may still run on {target}; delete that first, then run cleanup"
        )),
        (Some(SeenCopy::Marked(copy)), _) => Some(format!(
            "not started: its copy {copy} may still run on {target}; delete that first, then run cleanup; {}",
            mark::take_off(target, copy)
        )),
        (None, Some(why)) => Some(format!(
            "not started: its copy may still run on {target}, since it could not be taken back ({why}); when {target} is well again, run cleanup"
        )),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_whose_copy_may_run_stays_stopped() {
        assert_eq!(must_stay_stopped("site-b", None, None), None);
        let copy = SeenCopy::Recorded("copy".to_owned());
        let there = must_stay_stopped("site-b", Some(&copy), None).unwrap();
        assert!(there.contains("copy may still run on site-b"), "{there}");
        assert!(!there.contains("unset"), "{there}");
        let unknown = must_stay_stopped("site-b", None, Some("Nova timeout after 900s")).unwrap();
        assert!(unknown.contains("Nova timeout after 900s"), "{unknown}");
    }

    #[test]
    fn whoever_has_copied_the_marks_is_told_how_they_come_off() {
        let copy = SeenCopy::Marked("who-knows".to_owned());
        let why = must_stay_stopped("site-b", Some(&copy), None).unwrap();
        let cure = "openstack --os-cloud site-b server unset --property protector:source who-knows";
        assert!(why.contains(cure), "{why}");
    }
}
