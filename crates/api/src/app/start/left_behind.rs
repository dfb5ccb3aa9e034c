//! What earlier operations have left in the way of a new one.

use protector_core::{
    group::Group, id::ServerId, member::Member, operation::StepState, plan::Plan,
    runbook::unplanned_failover::servers_left,
};
use protector_store::KeptOperation;
use serde_json::Value;

use crate::{
    app::{App, refusal::Refusal, start::last_move::last_completed},
    http::error::{ApiError, ApiResult},
};

/// Refuses to bring a group back, in a planned move, where the servers of an unplanned failover still are: they hold the
/// addresses, and nobody would know the ones from the others.
pub async fn refuse_while_left(app: &App, group: &Group, plan: &Plan) -> ApiResult<()> {
    let stay: Vec<&Member> = plan.others.iter().collect();
    left_on_the_way_back(app, group, &stay)
        .await?
        .map_or(Ok(()), Err)
}

/// By what a planned move back is refused, if it is. The servers of members that `stay` are where they belong.
pub async fn left_on_the_way_back(
    app: &App,
    group: &Group,
    stay: &[&Member],
) -> ApiResult<Option<ApiError>> {
    let stays = |server: &str| stay.iter().any(|other| other.server_id.as_str() == server);
    let (failover, left, openstack) = match last_completed(app, &group.id).await? {
        Some(KeptOperation::Here(record))
            if record.operation.is_unplanned()
                && record.operation.source_site == group.other().site =>
        {
            let left = servers_left(&record).map(ServerId::as_str);
            let left: Vec<&str> = left.filter(|server| !stays(server)).collect();
            let left = app.database.copied_among(&left).await?.len();
            (record.operation.id, left, "openstack".to_owned())
        }
        Some(KeptOperation::Elsewhere(copy)) if copy.is_unplanned() => {
            let lines = app.database.peer_operation_lines(&copy.id).await?;
            let ids = leftover_servers_in_copy(&lines)
                .filter_map(|line| line.get("resource_id").and_then(Value::as_str));
            let left = ids.filter(|server| !stays(server));
            let there = format!("openstack --os-cloud {}", copy.home_site);
            (copy.id, left.count(), there)
        }
        _ => return Ok(None),
    };
    Ok((left > 0).then(|| {
        ApiError::new(Refusal::LeftoversFirst, format!(
            "Protection group {} cannot go back yet: {left} of its old VMs are still on {}, where unplanned failover {failover} left them; finish '{openstack} dr operation cleanup {failover}' first.",
            group.name,
            group.other().site,
        ))
    }))
}

/// The lines of the servers that a failover run by the other site left on its source, as that site shows them.
pub(crate) fn leftover_servers_in_copy(lines: &[Value]) -> impl Iterator<Item = &Value> {
    let word =
        |line: &Value, field: &str| line.get(field).and_then(Value::as_str).map(str::to_owned);
    lines.iter().filter(move |line| {
        word(line, "phase").as_deref() == Some("delete_source_vm")
            && word(line, "state").as_deref() == Some(StepState::Failed.as_str())
    })
}
