//! Marking what an operation makes, and knowing it again.

use std::collections::BTreeMap;

pub(super) use protector_core::mark::{OPERATION, ORIGIN, SOURCE, origin, take_off, take_off_that};
use protector_core::{
    guard::SeenMarks,
    id::{OperationId, UserId},
    mark::TEST,
    operation::{Operation, OperationKind},
};
use protector_openstack::cloud::Cloud;

use crate::{clouds::stop, step_error::StepError};

/// Adds the marks to a resource's own metadata. Marks of an earlier operation are replaced.
pub(super) fn mark(
    own: &BTreeMap<String, String>,
    operation: &OperationId,
    source: &str,
) -> BTreeMap<String, String> {
    let mut marked = own.clone();
    marked.insert(OPERATION.to_owned(), operation.to_string());
    marked.insert(SOURCE.to_owned(), source.to_owned());
    marked
}

/// The same of a server, with the first of its lives. A test's copy is no other life of its original: one that is protected
/// is a machine of its own.
pub(super) fn mark_server(
    own: &BTreeMap<String, String>,
    operation: &OperationId,
    source: &str,
) -> BTreeMap<String, String> {
    let known = origin(own).filter(|_| !is_of_a_test(own));
    let mut marked = mark(own, operation, source);
    marked.insert(ORIGIN.to_owned(), known.unwrap_or(source).to_owned());
    marked.remove(TEST);
    marked
}

/// Whether `metadata` says that `operation` made this as the copy of `source`.
pub(super) fn is_ours(
    metadata: &BTreeMap<String, String>,
    operation: &OperationId,
    source: &str,
) -> bool {
    metadata.get(OPERATION).map(String::as_str) == Some(operation.as_str())
        && metadata.get(SOURCE).map(String::as_str) == Some(source)
}

/// What the copy of a server is built with: its own metadata and the marks, which first life it has, and whether a test
/// failover made it.
pub(super) fn for_copy(
    own: &BTreeMap<String, String>,
    operation: &Operation,
    source: &str,
) -> BTreeMap<String, String> {
    let maker = maker(operation);
    let mut marked = mark_server(own, maker, source);
    if operation.kind == OperationKind::TestFailover {
        marked.insert(TEST.to_owned(), maker.to_string());
    }
    marked
}

/// Whether a test failover has made it: production may be recovered beside it.
pub(super) fn is_of_a_test(metadata: &BTreeMap<String, String>) -> bool {
    metadata.contains_key(TEST) && metadata.get(TEST) == metadata.get(OPERATION)
}

/// Whether what carries this operation's marks was made by its service user. Anybody may copy metadata; nobody else can make
/// something as that user (safety, I1).
pub(super) async fn made_as_us(cloud: &Cloud, by: Option<&UserId>) -> Result<bool, StepError> {
    let us = cloud.session().user_id().await.map_err(stop)?;
    Ok(by == Some(&us))
}

/// The two marks alone, to be added to what a resource has.
pub(super) fn marks(operation: &OperationId, source: &str) -> BTreeMap<String, String> {
    mark(&BTreeMap::new(), operation, source)
}

/// The marks in `metadata`, in the guards' words.
pub(super) fn seen(metadata: &BTreeMap<String, String>) -> SeenMarks {
    SeenMarks {
        operation: metadata.get(OPERATION).cloned(),
        source: metadata.get(SOURCE).cloned(),
    }
}

/// The operation whose copies a line is about: a cleanup takes its parent's copies back, a retry completes them, an adoption
/// makes those of a failed move its group.
pub(super) fn maker(operation: &Operation) -> &OperationId {
    let adopted = operation.plan.adopts.as_ref();
    adopted.unwrap_or_else(|| cleaned_up(operation))
}

/// The operation whose leftovers on the source a line is about: that of a cleanup, or the line's own.
pub(super) fn cleaned_up(operation: &Operation) -> &OperationId {
    operation.parent_id.as_ref().unwrap_or(&operation.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_hands_its_first_life_on_and_a_tests_copy_is_the_first_of_its_own() {
        let first = |own: &[(&str, &str)]| {
            let own = own
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let marked = mark_server(&own.collect(), &"op-2".into(), "this");
            marked[ORIGIN].clone()
        };
        assert_eq!(first(&[]), "this");
        assert_eq!(first(&[(SOURCE, "before")]), "before");
        assert_eq!(first(&[(SOURCE, "before"), (ORIGIN, "first")]), "first");
        let test = [
            (SOURCE, "in-production"),
            (ORIGIN, "first"),
            (OPERATION, "op-1"),
            (TEST, "op-1"),
        ];
        assert_eq!(first(&test), "this");
    }
}
