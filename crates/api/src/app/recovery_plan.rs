//! From a recovery plan as it is sent to the one that is kept, and back.

use std::collections::BTreeMap;

use protector_core::{
    confidential::StillSealed,
    id::MemberId,
    member::Member,
    priority::Priority,
    recovery_plan::{MemberRecovery, Pause, RecoveryPlan, When},
};
use protector_store::StoreError;
use protector_wire::recovery_plan::{
    HookTime, HookView, MemberRecoveryView, PauseView, RecoveryPlanView,
};

use super::{Settings, names};
use crate::http::error::{ApiError, ApiResult};

/// The plan as it is shown. What it says of servers that are no members any more is left out.
///
/// # Errors
///
/// 503 when the URL of a hook or the path of a probe cannot be read: its key is missing.
pub fn view(plan: &RecoveryPlan, members: &[Member]) -> ApiResult<RecoveryPlanView> {
    let shown = |id: &MemberId| {
        let member = members.iter().find(|member| member.id == *id)?;
        let alone = members.iter().filter(|m| m.name == member.name).count() == 1;
        Some(if alone {
            member.name.clone()
        } else {
            id.to_string()
        })
    };
    let members = plan.members.iter().filter_map(|(id, recovery)| {
        let depends_on = recovery.depends_on.iter().filter_map(shown).collect();
        let (name, view) = (shown(id)?, MemberRecoveryView::of(recovery, depends_on));
        Some(view.map(|view| (name, view)))
    });
    let hooks = plan.hooks.iter().map(HookView::of);
    Ok(RecoveryPlanView {
        members: members.collect::<Result<_, _>>().map_err(sealed)?,
        pauses: plan.pauses.iter().map(PauseView::from).collect(),
        hooks: hooks.collect::<Result<_, _>>().map_err(sealed)?,
    })
}

fn sealed(why: StillSealed) -> ApiError {
    StoreError::from(why).into()
}

/// The plan that `sent` means for `members`.
///
/// # Errors
///
/// 400 that names the field: a member that is not there or not the only one of its name, a number out of range, a circle, a
/// probe or a hook that this service may not make.
pub fn understood(
    sent: RecoveryPlanView,
    members: &[Member],
    settings: &Settings,
) -> ApiResult<RecoveryPlan> {
    let mut plan = RecoveryPlan::default();
    for (name, recovery) in sent.members {
        let id = member_called(&format!("members.{name}"), &name, members)?;
        let recovery = member_recovery(&name, recovery, members)?;
        if plan.members.insert(id, recovery).is_some() {
            let why = format!("members.{name}: is named twice, by its name and by its id");
            return Err(refused(&why));
        }
    }
    for (number, pause) in sent.pauses.into_iter().enumerate() {
        plan.pauses.push(Pause {
            before_priority: priority(
                &format!("pauses[{number}].before_priority"),
                pause.before_priority,
            )?,
            message: pause.message,
        });
    }
    for (number, hook) in sent.hooks.into_iter().enumerate() {
        refuse_foreign_url(&format!("hooks[{number}].url"), &hook.url, settings)?;
        let when = when(&format!("hooks[{number}]"), &hook)?;
        plan.hooks.push(hook.into_hook(when));
    }
    plan.check(members).map_err(|fault| refused(&fault))?;
    refuse_unseen("recovery_plan", &plan)?;
    refuse_unmade_probes(&plan, members, settings)?;
    Ok(plan)
}

/// Refuses what people are told to do in characters that they do not see.
pub fn refuse_unseen(field: &str, plan: &RecoveryPlan) -> ApiResult<()> {
    let mut pauses = plan.pauses.iter().enumerate();
    pauses.try_for_each(|(number, pause)| {
        names::seen(&format!("{field}.pauses[{number}].message"), &pause.message)
    })
}

fn refused(why: &impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("recovery_plan.{why}."))
}

fn member_called(field: &str, given: &str, members: &[Member]) -> ApiResult<MemberId> {
    if let Some(member) = members.iter().find(|member| member.id.as_str() == given) {
        return Ok(member.id.clone());
    }
    let mut called = members.iter().filter(|member| member.name == given);
    match (called.next(), called.next()) {
        (Some(member), None) => Ok(member.id.clone()),
        (None, _) => Err(refused(&format!(
            "{field}: no member has this name or id; 'openstack dr member list' shows them"
        ))),
        (Some(_), Some(_)) => Err(refused(&format!(
            "{field}: more than one member has this name; give its id"
        ))),
    }
}

fn member_recovery(
    name: &str,
    sent: MemberRecoveryView,
    members: &[Member],
) -> ApiResult<MemberRecovery> {
    let depends_on = sent
        .depends_on
        .iter()
        .map(|other| member_called(&format!("members.{name}.depends_on"), other, members))
        .collect::<ApiResult<_>>()?;
    Ok(MemberRecovery {
        priority: priority(&format!("members.{name}.priority"), sent.priority)?,
        depends_on,
        probe: sent.probe.map(Into::into),
        probe_timeout_seconds: sent.probe_timeout_seconds,
        fixed_ips: sent.fixed_ips,
        floating_ips: sent.floating_ips,
        security_groups: sent.security_groups,
        user_data: sent.user_data,
    })
}

fn priority(field: &str, number: u8) -> ApiResult<Priority> {
    Priority::try_from(number).map_err(|why| refused(&format!("{field}: {why}")))
}

fn when(field: &str, hook: &HookView) -> ApiResult<When> {
    match (hook.when, hook.priority) {
        (HookTime::Before, None) => Ok(When::Before),
        (HookTime::After, None) => Ok(When::After),
        (HookTime::BeforePriority, Some(number)) => Ok(When::BeforePriority {
            priority: priority(&format!("{field}.priority"), number)?,
        }),
        (HookTime::BeforePriority, None) => Err(refused(&format!(
            "{field}.priority: is needed for 'before_priority'"
        ))),
        (HookTime::Before | HookTime::After, Some(_)) => Err(refused(&format!(
            "{field}.priority: is for 'before_priority' only"
        ))),
    }
}

/// The engine calls from inside the operator's network: tenants choose among what the operator allows.
fn refuse_foreign_url(field: &str, url: &str, settings: &Settings) -> ApiResult<()> {
    if settings.outside.allows_hook(url) {
        return Ok(());
    }
    let allowed = settings.outside.hook_url_prefixes();
    let why = if allowed.is_empty() {
        "this site allows no hooks; an operator can with '[engine] hook_url_prefixes'".to_owned()
    } else {
        format!(
            "must be an https or http URL that begins with one of: {}",
            allowed.join(", ")
        )
    };
    Err(refused(&format!("{field}: {why}")))
}

fn refuse_unmade_probes(
    plan: &RecoveryPlan,
    members: &[Member],
    settings: &Settings,
) -> ApiResult<()> {
    let names: BTreeMap<&MemberId, &str> = members
        .iter()
        .map(|member| (&member.id, member.name.as_str()))
        .collect();
    let probed = plan
        .members
        .iter()
        .find(|(_, recovery)| recovery.probe.is_some());
    match probed {
        Some((id, _)) if !settings.outside.allows_any_probe() => {
            let name = names.get(id).copied().unwrap_or_default();
            Err(refused(&format!(
                "members.{name}.probe: this site makes no probes; an operator can name the networks that its engines reach with '[engine] probe_networks'"
            )))
        }
        _ => Ok(()),
    }
}
