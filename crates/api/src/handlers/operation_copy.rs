//! Receives the records of operations that the other site runs, to be shown here.

use std::sync::Arc;

use axum::{Json, extract::State};
use protector_core::id::{OperationId, ProjectId};
use protector_store::OperationCopy;
use protector_wire::operation_copy::{
    KeptOperationCopy, NewOperationCopy, OperationCopyAnswer, PushOperationCopy,
};
use serde_json::Value;

use crate::{
    app::App,
    http::{
        error::{ApiError, ApiResult},
        extract::{Body, Path},
        peer_caller::PeerCaller,
    },
};

/// The largest part of a copy that is read. Senders keep far below it.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// Keeps what has changed of an operation that the other site runs. The newest state wins; the answer says up to which
/// revision the copy is kept, from which the next one must continue.
#[utoipa::path(put, path = "/v1/{project_id}/operations/{operation}/copy", operation_id = "operation_copy_receive", tag = "metadata",
    params(("project_id" = String, Path, description = "The tenant's project on this cloud"), ("operation" = String, Path, description = "Id")),
    request_body = PushOperationCopy,
    responses((status = 200, body = OperationCopyAnswer), (status = 404, description = "The operation or its group belongs to another project"),
        (status = 409, description = "The operation is this site's own")))]
pub async fn receive(
    State(app): State<Arc<App>>,
    caller: PeerCaller,
    Path((project, operation)): Path<(ProjectId, String)>,
    Body(body): Body<PushOperationCopy>,
) -> ApiResult<Json<OperationCopyAnswer>> {
    let new = body.operation_copy;
    refuse_mismatch(&app, &operation, &new)?;
    let home = new.home_site.as_str().into();
    caller.speaks_for(&app, &home).await?;
    let copy = OperationCopy {
        id: OperationId::new(operation),
        home_site: new.home_site.into(),
        project_id: project,
        group_id: new.group_id.into(),
        group_name: new.group_name,
        kind: new.kind,
        state: new.state,
        parent_id: new.parent_id.map(OperationId::new),
        leftovers: new.leftovers,
        created_at: new.created_at,
        revision: new.revision,
        since: new.since,
        is_last: new.is_last,
        record: new.record,
        lines: new
            .lines
            .into_iter()
            .map(|line| (line.position, line.line))
            .collect(),
    };
    let revision = app.database.peer_operation_apply(&copy).await?;
    tracing::debug!(operation_id = %copy.id, revision, "copy of an operation kept");
    Ok(Json(OperationCopyAnswer {
        operation_copy: KeptOperationCopy { revision },
    }))
}

/// What is shown later is the record as it came: it must be of this operation, and of another site's.
fn refuse_mismatch(app: &App, operation: &str, new: &NewOperationCopy) -> ApiResult<()> {
    if new.home_site == app.settings.site_name.as_str() {
        return Err(ApiError::bad_request(format!(
            "operation_copy.home_site: is {}, which is this site.",
            new.home_site
        )));
    }
    if new.revision == 0 {
        return Err(ApiError::bad_request(
            "operation_copy.revision: must be at least 1, it is 0.",
        ));
    }
    for (field, expected) in [("id", operation), ("home_site", &new.home_site)] {
        if new.record.get(field).and_then(Value::as_str) != Some(expected) {
            return Err(ApiError::bad_request(format!(
                "operation_copy.record.{field}: must be {expected}."
            )));
        }
    }
    if new.lines.iter().any(|line| !line.line.is_object()) {
        return Err(ApiError::bad_request(
            "operation_copy.lines.line: must be an object.",
        ));
    }
    Ok(())
}
