//! Starting a server again.

/// Why a source server must not be started again, if it must not: its copy on the target may run, and the same server
/// would run on both sites (invariant I10).
///
/// `copy` is the copy as its cloud shows it right now, with its id; `not_taken_back` says why taking back its building
/// failed, if it did: then nobody knows whether there is a copy.
pub fn must_stay_stopped(
    target: &str,
    copy: Option<&str>,
    not_taken_back: Option<&str>,
) -> Option<String> {
    match (copy, not_taken_back) {
        (Some(copy), _) => Some(format!(
            "not started: its copy {copy} may still run on {target}; delete that first, then run cleanup"
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
        let there = must_stay_stopped("site-b", Some("copy"), None).unwrap();
        assert!(there.contains("copy may still run on site-b"), "{there}");
        let unknown = must_stay_stopped("site-b", None, Some("Nova timeout after 900s")).unwrap();
        assert!(unknown.contains("Nova timeout after 900s"), "{unknown}");
    }
}
