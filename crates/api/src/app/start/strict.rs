//! A planned move of a group with `fidelity: strict` does not start while a copy would not be as its original in what nobody has
//! announced. What only the built copy shows, the engine judges when it confirms it.

use std::collections::BTreeSet;

use protector_core::{
    comparison::{ComparedAttribute, Strictly},
    group::{Fidelity, Group},
    plan::Plan,
    readiness::strict_cure,
};

use crate::{
    app::{App, comparison::as_recorded, refusal::Refusal},
    http::error::{ApiError, ApiResult},
};

/// Refuses the start of `plan`, whose members have just been read again. What the other site does not tell refuses nothing.
///
/// # Errors
///
/// 409 with each member and field.
pub(crate) async fn refuse_unannounced(app: &App, group: &Group, plan: &Plan) -> ApiResult<()> {
    if plan.fidelity == Fidelity::Told {
        return Ok(());
    }
    let compared = as_recorded(app, group, plan, None).await;
    refuse_failing(plan, &compared)
}

/// The same, of members that are compared already: `compared` has the lines of each, in the plan's order.
///
/// # Errors
///
/// As [`refuse_unannounced`].
pub(crate) fn refuse_failing(plan: &Plan, compared: &[Vec<ComparedAttribute>]) -> ApiResult<()> {
    if plan.fidelity == Fidelity::Told {
        return Ok(());
    }
    let each: Vec<String> = plan
        .members
        .iter()
        .zip(compared)
        .flat_map(|(member, lines)| {
            let failing = lines.iter().filter(|line| line.strictly.fails());
            failing.map(|line| format!("{}: {}", member.name, line.in_words()))
        })
        .collect();
    if each.is_empty() {
        return Ok(());
    }
    let (group, site) = (&plan.group_name, &plan.target.site);
    let failing: BTreeSet<Strictly> = compared
        .iter()
        .flatten()
        .map(|line| line.strictly)
        .collect();
    Err(ApiError::new(
        Refusal::NotFaithful,
        format!(
            "Protection group {group} is strict, and copies on {site} would not be as their originals: {}. Nothing was started: {}. 'openstack dr member show {group} <member> --compare' shows all of a member.",
            each.join("; "),
            strict_cure(group, site.as_str(), &failing),
        ),
    ))
}
