//! A hook of the recovery plan: somebody is told of the operation.

use std::time::Duration;

use protector_core::{fault::Code, outside::shown, recovery_plan::Hook};

use super::site_clouds::SiteClouds;
use crate::{
    action::{Progress, StepContext},
    outside::Outside,
    outside::{News, OutsideError},
    step_error::StepError,
};

/// Steps that call what a tenant has named.
pub(super) struct HooksAndProbes<'a> {
    pub(super) clouds: SiteClouds<'a>,
    pub(super) outside: &'a dyn Outside,
}

impl HooksAndProbes<'_> {
    /// Calls the hook `name`. Told once at least; who is told twice sees it by the delivery's id.
    pub(super) async fn call_hook(
        &self,
        cx: &mut StepContext<'_>,
        name: &str,
    ) -> Result<Progress, StepError> {
        let hook = cx
            .plan()
            .recovery
            .hooks
            .iter()
            .find(|hook| hook.name == name);
        let Some(hook) = hook.cloned() else {
            let why = format!("hook {name} is not in the operation's plan");
            return Err(StepError::last(Code::Internal, why));
        };
        let news = news(cx, &hook);
        let url = hook.url.expose().map_err(|why| {
            let why = format!("hook {name} cannot be called: {why}");
            StepError::last(Code::Missing, why)
        })?;
        let limit = Duration::from_secs(hook.timeout_seconds.into());
        let intent = cx.intend().await?;
        let call = self.outside.call_hook(url, &news, limit);
        match intent.carry_out(call).await? {
            Ok(()) => {
                cx.fact(format!("{} was told", shown(url)));
                Ok(Progress::done())
            }
            Err(OutsideError::Silent(why)) => {
                Err(StepError::passing(format!("{}: {why}", shown(url))))
            }
            Err(OutsideError::Forbidden(why)) => Err(StepError::last(
                Code::Refused,
                format!("{}: {why}", shown(url)),
            )),
        }
    }
}

fn news(cx: &StepContext<'_>, hook: &Hook) -> News {
    let operation = cx.operation;
    let plan = cx.plan();
    News {
        delivery: format!("{}:{}", operation.id, hook.name),
        hook: hook.name.clone(),
        operation_id: operation.id.to_string(),
        operation_type: operation.kind.to_string(),
        protection_group_id: plan.group_id.to_string(),
        protection_group: plan.group_name.clone(),
        source_site: plan.source.site.to_string(),
        target_site: plan.target.site.to_string(),
        members: plan
            .members
            .iter()
            .map(|member| member.name.clone())
            .collect(),
    }
}
