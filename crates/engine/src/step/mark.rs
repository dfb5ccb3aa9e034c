//! Marking what an operation makes, and knowing it again.

use std::collections::BTreeMap;

pub(super) use protector_core::mark::{OPERATION, SOURCE};
use protector_core::{guard::SeenMarks, id::OperationId};

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

/// Whether `metadata` says that `operation` made this as the copy of `source`.
pub(super) fn is_ours(
    metadata: &BTreeMap<String, String>,
    operation: &OperationId,
    source: &str,
) -> bool {
    metadata.get(OPERATION).map(String::as_str) == Some(operation.as_str())
        && metadata.get(SOURCE).map(String::as_str) == Some(source)
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

/// The operation whose copies a line is about: a cleanup takes its parent's copies back, a retry completes them.
pub(super) fn maker(operation: &protector_core::operation::Operation) -> &OperationId {
    operation.parent_id.as_ref().unwrap_or(&operation.id)
}
