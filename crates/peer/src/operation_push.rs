//! Sending the record of an operation to the other site, which shows it read-only.
//!
//! Sent is what the other site lacks: the record's head, and the lines that have changed. A long record goes in parts, each
//! of a bounded size, so that neither a proxy nor a database in between refuses it.

use protector_core::{
    id::{GroupId, SiteName},
    leftover::leftover_count,
    operation::OperationRecord,
    site::SiteScope,
    text,
};
use protector_store::{Database, OperationPush, StoreError};
use protector_wire::{
    operation::{OperationDetail, OperationView, step_view},
    operation_copy::{CopiedLine, NewOperationCopy},
};
use serde_json::Value;

use crate::peer::{Peer, PeerError};

/// The most lines in a part.
const MOST_LINES: usize = 200;
/// The most bytes of lines in a part.
const MOST_BYTES: usize = 1 << 20;
/// The longest text in a copy. A cloud's error that is longer is cut; the operation's home has it whole.
const LONGEST_TEXT: usize = 4096;

/// Why a copy was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The other site did not take it.
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It takes one record and not the next: it has another revision than it said.
    #[error("the other site keeps revision {held}, after revision {sent} was sent")]
    Gap { held: u64, sent: u64 },
}

/// Sends what the other site lacks of an operation, and notes it. Returns the revision that it has now.
///
/// # Errors
///
/// [`CopyError`].
pub async fn send_copy(
    database: &Database,
    peer: &dyn Peer,
    site: &SiteName,
    push: OperationPush,
) -> Result<u64, CopyError> {
    let id = &push.record.operation.id;
    let held = send_parts(database, peer, site, &push).await?;
    if held >= push.revision {
        database.operation_pushed(id, push.revision).await?;
        return Ok(push.revision);
    }
    // It has less than was thought: once again, from there.
    database.operation_push_from(id, held).await?;
    let push = database.operation_push(id).await?;
    let held = send_parts(database, peer, site, &push).await?;
    if held >= push.revision {
        database
            .operation_pushed(&push.record.operation.id, push.revision)
            .await?;
        return Ok(push.revision);
    }
    Err(CopyError::Gap {
        held,
        sent: push.revision,
    })
}

/// Sends what the other site lacks of a group's operations, oldest first.
///
/// # Errors
///
/// [`CopyError`], at the first that is not taken.
pub async fn send_copies_of(
    database: &Database,
    peer: &dyn Peer,
    site: &SiteName,
    group: &GroupId,
) -> Result<(), CopyError> {
    for id in database.operations_unpushed(group).await? {
        let push = database.operation_push(&id).await?;
        send_copy(database, peer, site, push).await?;
    }
    Ok(())
}

async fn send_parts(
    database: &Database,
    peer: &dyn Peer,
    site: &SiteName,
    push: &OperationPush,
) -> Result<u64, CopyError> {
    let scope = peer_scope_of(&push.record, site);
    let as_left = database.operation_as_left(&push.record).await?;
    let left = leftover_count(&as_left);
    let mut held = 0;
    for part in parts(push, site, left)? {
        held = peer.copy(scope, &push.record.operation.id, &part).await?;
        // A part before the last leaves the revision as it is.
        if !part.is_last && held != part.since {
            return Ok(held);
        }
    }
    Ok(held)
}

/// The site that does not run the operation, and the tenant's project there.
pub fn peer_scope_of<'r>(record: &'r OperationRecord, site: &SiteName) -> &'r SiteScope {
    let plan = &record.operation.plan;
    if &plan.source.site == site {
        &plan.target
    } else {
        &plan.source
    }
}

/// `left` is how many leftovers the operation has.
fn parts(
    push: &OperationPush,
    site: &SiteName,
    left: usize,
) -> Result<Vec<NewOperationCopy>, StoreError> {
    let record = &push.record;
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for step in &record.steps {
        if push.changed.binary_search(&step.position).is_err() {
            continue;
        }
        let line = shortened(json_of(&step_view(record, step))?);
        let size = line.to_string().len();
        let full = parts
            .last()
            .is_some_and(|part| part.len() >= MOST_LINES || bytes + size > MOST_BYTES);
        if full && bytes > 0 {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.push(CopiedLine {
                position: step.position,
                line,
            });
        }
    }
    let last = parts.len();
    let head = head(push, site, left)?;
    Ok(parts
        .into_iter()
        .enumerate()
        .map(|(place, lines)| {
            let is_last = place + 1 == last;
            NewOperationCopy {
                is_last,
                // The lists of what is done are long: once is enough.
                record: if is_last {
                    head.record.clone()
                } else {
                    brief(&head.record)
                },
                lines,
                ..head.clone()
            }
        })
        .collect())
}

fn head(
    push: &OperationPush,
    site: &SiteName,
    left: usize,
) -> Result<NewOperationCopy, StoreError> {
    let record = &push.record;
    let operation = &record.operation;
    let view = OperationView {
        leftovers: left,
        ..OperationView::of(site, record, OperationDetail::Record)
    };
    Ok(NewOperationCopy {
        home_site: site.to_string(),
        revision: push.revision,
        since: push.since,
        is_last: true,
        group_id: operation.group_id.to_string(),
        group_name: operation.plan.group_name.clone(),
        kind: operation.kind.as_str().to_owned(),
        state: operation.state.as_str().to_owned(),
        parent_id: operation.parent_id.as_ref().map(ToString::to_string),
        leftovers: u32::try_from(left).unwrap_or(u32::MAX),
        created_at: operation.created_at,
        record: shortened(json_of(&view)?),
        lines: vec![],
    })
}

/// Who the record is of, and nothing else.
fn brief(record: &Value) -> Value {
    let of = |field: &str| (field.to_owned(), record[field].clone());
    Value::Object(["id", "home_site"].map(of).into_iter().collect())
}

fn json_of(view: &impl serde::Serialize) -> Result<Value, StoreError> {
    serde_json::to_value(view).map_err(|error| StoreError::Unreadable(error.to_string()))
}

fn shortened(value: Value) -> Value {
    match value {
        Value::String(long) => Value::String(text::cut_to(long, LONGEST_TEXT)),
        Value::Array(items) => items.into_iter().map(shortened).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, shortened(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ü".repeat(LONGEST_TEXT);
        let cut = shortened(json!({"error": long, "note": ["short"]}));
        let said = cut["error"].as_str().unwrap();
        assert!(said.len() <= LONGEST_TEXT, "{}", said.len());
        assert!(said.ends_with(text::CUT));
        assert_eq!(cut["note"][0], "short");
    }
}
