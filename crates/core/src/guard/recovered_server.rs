//! A copy of a server that a failed operation built and takes back, at once or in a later cleanup.

use super::{
    SeenServer, Verdict,
    ownership::{owned_by_another_project, protected_again},
    source_server::locked,
};

/// Whether a copy that was built may be taken back: somebody may have come to rely on it since.
///
/// `project_id` is the tenant's on the target; `protected_by` is the protection group that the copy has become a member
/// of since, if it has.
pub fn verdict_recovered_server(
    project_id: &str,
    protected_by: Option<&str>,
    seen: &SeenServer,
) -> Verdict {
    owned_by_another_project(project_id, seen.project_id.as_deref())
        .or_else(|| protected_again(protected_by))
        .or_else(|| locked(seen))
        .unwrap_or(Verdict::Delete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_facts::{kept, server};

    #[test]
    fn a_copy_that_nobody_relies_on_is_taken_back_whether_or_not_it_runs() {
        for status in ["ACTIVE", "BUILD", "ERROR", "SOFT_DELETED"] {
            let verdict = verdict_recovered_server("p", None, &server(status));
            assert_eq!(verdict, Verdict::Delete, "{status}");
        }
    }

    #[test]
    fn a_copy_that_somebody_relies_on_is_kept() {
        let seen = server("ACTIVE");
        let protected = verdict_recovered_server("p", Some("second-life"), &seen);
        assert!(kept(Some(protected)).contains("group second-life"));
        let locked = SeenServer {
            locked: true,
            ..server("ACTIVE")
        };
        assert!(kept(Some(verdict_recovered_server("p", None, &locked))).contains("locked"));
        kept(Some(verdict_recovered_server("q", None, &seen)));
    }
}
