//! Whose it is.

use super::{
    seen::SeenMarks,
    verdict::{Verdict, keep},
};
use crate::id::OperationId;

/// A resource changes hands by a transfer, or was never ours.
pub(super) fn owned_by_another_project(recorded: &str, seen: Option<&str>) -> Option<Verdict> {
    match seen {
        Some(owner) if owner == recorded => None,
        Some(owner) => keep(format!(
            "kept: it belongs to project {owner} now, not to {recorded}; only its owner can delete it"
        )),
        None => keep(
            "kept: its cloud does not say which project it belongs to; an administrator can with 'openstack volume show' or 'openstack server show'",
        ),
    }
}

/// Somebody started it again and protects it anew: it is nobody's leftover.
pub(super) fn protected_again(group: Option<&str>) -> Option<Verdict> {
    keep(protected_since(group?))
}

/// The same as a sentence for the record, where the journal refuses the intent of a deletion for it.
pub fn protected_since(group: &str) -> String {
    format!(
        "kept: protection group {group} protects it now; if it may go, remove the member from that group with 'openstack dr member remove', then run cleanup again"
    )
}

/// Why a server that a move has left is not stopped by a fence, if it is not: a group has it as a member by now, and it is
/// what people work on.
pub fn a_member_is_not_fenced(protected_by: Option<&str>) -> Option<String> {
    let group = protected_by?;
    Some(format!(
        "not stopped: protection group {group} protects it now, so no move has left it; fence again"
    ))
}

/// Why a 404 to its former owner does not mean that a server or volume is gone, if it does not: `owner` is the project that
/// the administrator sees it in. What another project has accepted lives on there.
pub fn lives_on_unseen(recorded: &str, owner: Option<&str>) -> Option<String> {
    let owner = owner?;
    Some(match owner == recorded {
        true => format!(
            "kept: its cloud says 404 to project {recorded}, but shows it to the administrator in that project; see that the service user has its role there, then run cleanup again"
        ),
        false => format!(
            "kept: it is not yours any more: it belongs to project {owner} now, and lives on there; only its owner can delete it"
        ),
    })
}

/// Another operation has taken it over and marked it as its own: a failover that went on where `maker` was interrupted.
pub(super) fn taken_over(maker: &OperationId, marks: &SeenMarks) -> Option<Verdict> {
    let by = marks.operation.as_deref()?;
    if by == maker.as_str() {
        return None;
    }
    keep(format!(
        "kept: it is marked as made by operation {by} now, not by {maker}: that operation has taken it over; 'openstack dr operation show {by}' on the site that runs it tells what for"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_facts::kept;

    #[test]
    fn what_another_operation_has_taken_over_is_kept() {
        let maker = OperationId::new("op-1");
        let marked = |by: Option<&str>| SeenMarks {
            operation: by.map(str::to_owned),
            source: Some("original".into()),
        };
        assert_eq!(taken_over(&maker, &marked(Some("op-1"))), None);
        assert_eq!(taken_over(&maker, &marked(None)), None);
        assert!(kept(taken_over(&maker, &marked(Some("op-2")))).contains("operation op-2"));
    }

    #[test]
    fn what_the_administrator_still_sees_is_not_gone() {
        assert_eq!(lives_on_unseen("p", None), None);
        let elsewhere = lives_on_unseen("p", Some("q")).unwrap();
        assert!(elsewhere.contains("belongs to project q"), "{elsewhere}");
        let hidden = lives_on_unseen("p", Some("p")).unwrap();
        assert!(hidden.contains("to the administrator"), "{hidden}");
    }

    #[test]
    fn what_a_group_protects_again_is_kept() {
        assert_eq!(protected_again(None), None);
        assert!(kept(protected_again(Some("second-life"))).contains("group second-life"));
    }

    #[test]
    fn what_a_group_has_as_a_member_is_not_fenced() {
        assert_eq!(a_member_is_not_fenced(None), None);
        let why = a_member_is_not_fenced(Some("second-life")).unwrap();
        assert!(why.contains("group second-life"), "{why}");
    }

    #[test]
    fn what_belongs_to_another_project_is_kept() {
        assert_eq!(owned_by_another_project("p", Some("p")), None);
        assert!(kept(owned_by_another_project("p", Some("q"))).contains("project q"));
        assert!(kept(owned_by_another_project("p", None)).contains("does not say"));
    }
}
