//! What a failover or a failback would do. All refusals of the real start hold; nothing is stored.

use chrono::SecondsFormat;
use protector_core::{
    comparison::ComparedAttribute,
    group::Fidelity,
    member::Member,
    operation::{OperationKind, StepRecord},
    plan::Plan,
};
use protector_store::StoredGroup;
use protector_wire::{
    policy::CapabilitiesView,
    preview::{PreviewView, PreviewedAttributes, PreviewedMember, PreviewedPoint, PreviewedVolume},
    version::Microversion,
};

use crate::{
    app::{
        App,
        comparison::{as_recorded, as_they_are},
        policy::{capabilities_of, capabilities_shown},
        readiness::earlier,
        start::{
            planned::{Move, plan_move},
            recovery_point::chosen_point,
            source::source_seen,
            strict::{refuse_failing, refuse_unannounced},
            unplanned::{Unplanned, UnplannedFailover, plan_unplanned},
        },
    },
    http::error::ApiResult,
};

/// What a planned move would do; for who speaks a version with comparisons, also what becomes of each member's attributes.
pub async fn preview_move(
    app: &App,
    stored: &StoredGroup,
    asked: &Move,
    spoken: Microversion,
) -> ApiResult<PreviewView> {
    let group = &stored.group;
    let source = source_seen(app, group).await;
    let planned = plan_move(app, stored, asked, &source).await?;
    let plan = &planned.plan;
    let mut view = view(asked.kind, "planned", plan, &planned.steps);
    view.warnings.extend(planned.warnings);
    view.capabilities = can(app, plan, spoken)?;
    if spoken >= Microversion::WITH_FIDELITY {
        let compared = as_they_are(app, group, plan).await;
        refuse_failing(plan, &compared)?;
        show(&mut view, compared);
    } else if plan.fidelity == Fidelity::Strict {
        refuse_unannounced(app, group, plan).await?;
    }
    Ok(view)
}

fn can(app: &App, plan: &Plan, spoken: Microversion) -> ApiResult<Option<CapabilitiesView>> {
    if spoken < Microversion::WITH_CAPABILITIES {
        return Ok(None);
    }
    capabilities_of(app, plan).map(|can| Some(capabilities_shown(can)))
}

/// `compared` has the lines of each member, in their order.
fn show(view: &mut PreviewView, compared: Vec<Vec<ComparedAttribute>>) {
    for (member, lines) in view.members.iter_mut().zip(compared) {
        member.attributes = Some(PreviewedAttributes::of(lines));
    }
}

/// What an unplanned failover would do, and from which recovery point. Asks the target's array and cloud, and nobody else.
pub async fn preview_unplanned(
    app: &App,
    stored: &StoredGroup,
    asked: &Unplanned,
    spoken: Microversion,
) -> ApiResult<PreviewView> {
    let UnplannedFailover {
        plan,
        steps,
        supersedes,
    } = plan_unplanned(app, stored, asked).await?;
    let mut view = view(stored.group.kind_of_move(), "unplanned", &plan, &steps);
    view.capabilities = can(app, &plan, spoken)?;
    if let Some(waiting) = supersedes {
        view.warnings.push(format!(
            "Operation {waiting} is under way here, needs the site that is lost, and is ended by this."
        ));
    }
    for interrupted in &plan.interrupted {
        view.warnings.push(format!(
            "Failover {interrupted} was interrupted: what it has made on {} is used.",
            plan.target.site
        ));
    }
    view.warnings.extend(in_the_way(app, &plan).await?);
    view.warnings
        .extend(plan.built_as_before().map(|(member, until)| {
            format!(
                "{} was changed at {}, after the recovery point: it is built as it was before.",
                member.name,
                until.to_rfc3339_opts(SecondsFormat::Secs, true)
            )
        }));
    if spoken >= Microversion::WITH_FIDELITY {
        let untold = format!(
            "an unplanned failover does not ask {}: the copies are built from what was read of the servers last",
            plan.source.site
        );
        let compared = as_recorded(app, &stored.group, &plan, Some(&untold)).await;
        show(&mut view, compared);
    }
    match chosen_point(app, &plan).await {
        Ok(point) => {
            view.recovery_point = Some(PreviewedPoint {
                id: point.id.to_string(),
                taken_at: point.taken_at.into(),
                age_seconds: (app.clock.now() - point.taken_at).num_seconds().max(0),
            });
        }
        Err(why) => view.warnings.push(why.into_sentence()),
    }
    Ok(view)
}

/// What earlier operations left on the target, which is not touched.
async fn in_the_way(app: &App, plan: &Plan) -> ApiResult<Vec<String>> {
    let site = &plan.target.site;
    let earlier = earlier(app, &plan.group_id).await?;
    let there = earlier
        .into_iter()
        .filter(|earlier| &earlier.source_site == site);
    Ok(there
        .map(|earlier| {
            format!(
                "{} {} left {} resource(s) on {site}. They stay; a copy whose address one of them has gets another one.",
                earlier.kind, earlier.id, earlier.left
            )
        })
        .collect())
}

fn view(kind: OperationKind, how: &'static str, plan: &Plan, steps: &[StepRecord]) -> PreviewView {
    PreviewView {
        operation_type: kind.as_str(),
        kind: how,
        source_site: plan.source.site.to_string(),
        target_site: plan.target.site.to_string(),
        recovery_point: None,
        members: plan
            .members
            .iter()
            .map(|member| previewed(plan, member))
            .collect(),
        steps: steps.iter().map(|step| step.key.clone()).collect(),
        retain_source_volumes: plan.retain_source_volumes,
        warnings: plan
            .others
            .iter()
            .map(|member| {
                format!(
                    "{} was not recovered by the last failover and is on {}: it is not moved.",
                    member.name, plan.target.site
                )
            })
            .collect(),
        capabilities: None,
    }
}

fn previewed(plan: &Plan, member: &Member) -> PreviewedMember {
    let networks = member.server.nics.iter().filter_map(|nic| {
        let network = nic.network_id.as_str();
        let there = plan.mappings.networks.get(network)?;
        Some((network.to_owned(), there.clone()))
    });
    let flavor = member.server.flavor.id.as_str();
    PreviewedMember {
        name: member.name.clone(),
        server_id: member.server_id.to_string(),
        volumes: member
            .volumes
            .iter()
            .map(|volume| PreviewedVolume {
                id: volume.id.to_string(),
                name: volume.name.clone(),
                size_gib: volume.size_gib,
            })
            .collect(),
        networks: networks.collect(),
        flavor: plan
            .mappings
            .flavors
            .get(flavor)
            .map_or(flavor, String::as_str)
            .to_owned(),
        attributes: None,
    }
}
