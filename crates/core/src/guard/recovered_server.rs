//! A copy of a server that a failed operation built and takes back, at once or in a later cleanup.

use super::{
    SeenMarks, SeenServer, Verdict,
    ownership::{owned_by_another_project, protected_again, taken_over},
    source_server::locked,
};
use crate::id::OperationId;

/// A copy that is to be taken back.
#[derive(Clone, Copy, Debug)]
pub struct RecoveredCopy<'a> {
    /// The operation that made it.
    pub maker: &'a OperationId,
    /// The tenant's project on the target.
    pub project_id: &'a str,
    /// The protection group that it has become a member of since, if it has.
    pub protected_by: Option<&'a str>,
}

/// Whether a copy that was built may be taken back: somebody may have come to rely on it since.
pub fn verdict_recovered_server(
    copy: &RecoveredCopy<'_>,
    marks: &SeenMarks,
    seen: &SeenServer,
) -> Verdict {
    owned_by_another_project(copy.project_id, seen.project_id.as_deref())
        .or_else(|| taken_over(copy.maker, marks))
        .or_else(|| protected_again(copy.protected_by))
        .or_else(|| locked(seen))
        .unwrap_or(Verdict::Delete)
}

/// Why the import of a promoted volume must not be taken back, if it must not: somebody may have come to rely on it since.
pub fn import_must_stay(copy: &RecoveredCopy<'_>, marks: &SeenMarks) -> Option<String> {
    let objection = taken_over(copy.maker, marks).or_else(|| protected_again(copy.protected_by))?;
    match objection {
        Verdict::Keep { why } => Some(why),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_facts::{kept, server};

    fn judged(
        project_id: &str,
        protected_by: Option<&str>,
        by: &str,
        seen: &SeenServer,
    ) -> Verdict {
        let maker = OperationId::new("op-1");
        let copy = RecoveredCopy {
            maker: &maker,
            project_id,
            protected_by,
        };
        verdict_recovered_server(&copy, &marked(by), seen)
    }

    fn marked(by: &str) -> SeenMarks {
        SeenMarks {
            operation: Some(by.to_owned()),
            source: Some("original".to_owned()),
        }
    }

    #[test]
    fn a_copy_that_nobody_relies_on_is_taken_back_whether_or_not_it_runs() {
        for status in ["ACTIVE", "BUILD", "ERROR", "SOFT_DELETED"] {
            let verdict = judged("p", None, "op-1", &server(status));
            assert_eq!(verdict, Verdict::Delete, "{status}");
        }
    }

    #[test]
    fn a_copy_that_somebody_relies_on_is_kept() {
        let seen = server("ACTIVE");
        let protected = judged("p", Some("second-life"), "op-1", &seen);
        assert!(kept(Some(protected)).contains("group second-life"));
        let locked = SeenServer {
            locked: true,
            ..server("ACTIVE")
        };
        assert!(kept(Some(judged("p", None, "op-1", &locked))).contains("locked"));
        kept(Some(judged("q", None, "op-1", &seen)));
    }

    #[test]
    fn a_copy_that_another_failover_has_taken_over_is_kept() {
        let taken_over = judged("p", None, "op-2", &server("ACTIVE"));
        assert!(kept(Some(taken_over)).contains("operation op-2"));
    }

    #[test]
    fn an_import_that_somebody_relies_on_stays() {
        let maker = OperationId::new("op-1");
        let copy = |protected_by| RecoveredCopy {
            maker: &maker,
            project_id: "p",
            protected_by,
        };
        assert_eq!(import_must_stay(&copy(None), &marked("op-1")), None);
        let why = import_must_stay(&copy(None), &marked("op-2")).unwrap();
        assert!(why.contains("operation op-2"), "{why}");
        let why = import_must_stay(&copy(Some("second-life")), &marked("op-1")).unwrap();
        assert!(why.contains("group second-life"), "{why}");
    }
}
