//! Making and checking replication policies.

use chrono::{DateTime, Utc};
use protector_core::{
    group::Group,
    plan::{ArrayPair, Plan},
    storage::{Capabilities, CinderVolume, Replication, StorageError},
};
use protector_store::ReplicationPolicy;
use protector_wire::{
    policy::{CapabilitiesView, MASK, NewPolicy, PolicyAnswer, PolicyChanges, PolicyView},
    text::WriteOnly,
    version::Microversion,
};

use super::{App, names, protect};
use crate::{
    app::refusal::Refusal,
    http::error::{ApiError, ApiResult},
};

/// The longest recovery point objective: a year.
const MAX_RPO_MINUTES: u32 = 525_600;

/// The group's policy; 404 with the command that makes one.
pub async fn of(app: &App, group: &Group) -> ApiResult<ReplicationPolicy> {
    app.database.policy_find(&group.id).await?.ok_or_else(|| {
        ApiError::new(Refusal::NoPolicyYet, format!(
                "Protection group {} has no replication policy; 'openstack dr policy create' makes one.",
                group.name
            ),
        )
    })
}

/// A new policy for `group`.
pub fn made(group: &Group, new: NewPolicy, now: DateTime<Utc>) -> ReplicationPolicy {
    ReplicationPolicy {
        group_id: group.id.clone(),
        primary_fa_url: new.primary_array,
        secondary_fa_url: new.secondary_array,
        primary_fa_api_token: new.primary_fa_api_token.map(WriteOnly::into_confidential),
        secondary_fa_api_token: new.secondary_fa_api_token.map(WriteOnly::into_confidential),
        rpo_minutes: new.rpo_minutes,
        created_at: now,
        updated_at: now,
    }
}

/// Refuses to send a stored token to an array for which nobody has entered it: whoever may change a policy must not learn
/// its tokens by naming an array of their own.
///
/// # Errors
///
/// 400 that names the token that is needed anew.
pub fn check_tokens_are_given_anew(
    policy: &ReplicationPolicy,
    changes: &PolicyChanges,
) -> ApiResult<()> {
    let leads_away =
        |url: &Option<String>, held: &String| url.as_ref().is_some_and(|url| url != held);
    for (side, led, is_stored, is_given) in [
        (
            "primary",
            leads_away(&changes.primary_array, &policy.primary_fa_url),
            policy.primary_fa_api_token.is_some(),
            changes.primary_fa_api_token.is_some(),
        ),
        (
            "secondary",
            leads_away(&changes.secondary_array, &policy.secondary_fa_url),
            policy.secondary_fa_api_token.is_some(),
            changes.secondary_fa_api_token.is_some(),
        ),
    ] {
        if led && is_stored && !is_given {
            return Err(ApiError::bad_request(format!(
                "policy.{side}_fa_api_token: is needed in the same request where policy.{side}_array changes, because the stored token would otherwise be sent to an array for which nobody has entered it; give it anew, or null for an array that needs none."
            )));
        }
    }
    Ok(())
}

/// The policy that `changes` make of `policy`.
pub fn changed(
    mut policy: ReplicationPolicy,
    changes: PolicyChanges,
    now: DateTime<Utc>,
) -> ReplicationPolicy {
    if let Some(url) = changes.primary_array {
        policy.primary_fa_url = url;
    }
    if let Some(url) = changes.secondary_array {
        policy.secondary_fa_url = url;
    }
    if let Some(token) = changes.primary_fa_api_token {
        policy.primary_fa_api_token = token.map(WriteOnly::into_confidential);
    }
    if let Some(token) = changes.secondary_fa_api_token {
        policy.secondary_fa_api_token = token.map(WriteOnly::into_confidential);
    }
    if let Some(minutes) = changes.rpo_minutes {
        policy.rpo_minutes = minutes;
    }
    policy.updated_at = now;
    policy
}

/// Sees that the policy's arrays exist, are two, are set up for each other, and hold what the group's members have.
pub async fn check_with_arrays(
    app: &App,
    group: &Group,
    policy: &ReplicationPolicy,
) -> ApiResult<()> {
    check(app, group, policy).await?;
    well_set_up(app, group, policy).await
}

/// Whether `changes` name other arrays than `policy` has.
pub fn changes_arrays(policy: &ReplicationPolicy, changes: &PolicyChanges) -> bool {
    let is_another =
        |given: &Option<String>, held: &String| given.as_ref().is_some_and(|given| given != held);
    is_another(&changes.primary_array, &policy.primary_fa_url)
        || is_another(&changes.secondary_array, &policy.secondary_fa_url)
}

/// Sees that the policy's arrays exist, are two, and hold what the group's members have.
pub async fn check(app: &App, group: &Group, policy: &ReplicationPolicy) -> ApiResult<()> {
    names::array("policy.primary_array", &policy.primary_fa_url)?;
    names::array("policy.secondary_array", &policy.secondary_fa_url)?;
    if policy.primary_fa_url == policy.secondary_fa_url {
        return Err(ApiError::bad_request(
            "policy.secondary_array: must be another array than primary_array.",
        ));
    }
    if !(1..=MAX_RPO_MINUTES).contains(&policy.rpo_minutes) {
        return Err(ApiError::bad_request(format!(
            "policy.rpo_minutes: must be at least 1 and at most {MAX_RPO_MINUTES}, it is {}.",
            policy.rpo_minutes
        )));
    }
    known(app, "policy.primary_array", &policy.primary_fa_url).await?;
    known(app, "policy.secondary_array", &policy.secondary_fa_url).await?;
    let array = current_array(group, policy);
    for member in app.database.member_list(&group.id).await? {
        for volume in &member.volumes {
            if !holds(app, array, &volume.in_cinder()).await? {
                return Err(protect::foreign_backend(&volume.name, &volume.id, array));
            }
        }
    }
    Ok(())
}

/// Refuses a policy whose arrays are not set up for each other: at the failover it would be too late.
async fn well_set_up(app: &App, group: &Group, policy: &ReplicationPolicy) -> ApiResult<()> {
    const FIELD: &str = "policy.secondary_array";
    match app.storage.findings(&policy.replication(group)).await {
        Ok(findings) if findings.is_empty() => Ok(()),
        Ok(findings) => Err(ApiError::bad_request(format!(
            "{FIELD}: {} and {} are not set up for each other: {}.",
            policy.primary_fa_url,
            policy.secondary_fa_url,
            findings.join("; ")
        ))),
        Err(error) if error.kind.may_pass() => Err(refused_by_array(&error)),
        Err(error) => Err(ApiError::bad_request(format!("{FIELD}: {error}."))),
    }
}

/// The array on the site where the group runs now.
pub fn current_array<'p>(group: &Group, policy: &'p ReplicationPolicy) -> &'p str {
    if group.current_primary_site == group.secondary.site {
        &policy.secondary_fa_url
    } else {
        &policy.primary_fa_url
    }
}

/// The arrays of `group`'s policy, where it has one, and how they promote.
///
/// # Errors
///
/// That its other site's array is not among this site's.
pub fn array_pair(
    app: &App,
    group: &Group,
    policy: Option<&ReplicationPolicy>,
) -> ApiResult<Option<ArrayPair>> {
    let Some(policy) = policy else {
        return Ok(None);
    };
    promoting(app, policy, &policy.replication(group)).map(Some)
}

/// The policy's arrays, and how they promote in this direction.
///
/// # Errors
///
/// That the array that it leads to is not among this site's.
pub fn promoting(
    app: &App,
    policy: &ReplicationPolicy,
    replication: &Replication,
) -> ApiResult<ArrayPair> {
    let capabilities = app.storage.capabilities(replication);
    let capabilities = capabilities.map_err(|error| refused_by_array(&error))?;
    Ok(policy.arrays(capabilities.promotion))
}

/// What the plan's arrays can do.
///
/// # Errors
///
/// That its other site's array is not among this site's.
pub fn capabilities_of(app: &App, plan: &Plan) -> ApiResult<Capabilities> {
    let capabilities = app.storage.capabilities(&plan.replication());
    capabilities.map_err(|error| refused_by_array(&error))
}

async fn known(app: &App, field: &str, array: &str) -> ApiResult<()> {
    app.storage.check(array).await.map_err(|error| {
        if error.kind.may_pass() {
            ApiError::new(Refusal::ArraySilent, format!("{field}: {error}."))
        } else {
            ApiError::bad_request(format!("{field}: {error}."))
        }
    })
}

/// Whether `volume` is an object on `array`.
pub async fn holds(app: &App, array: &str, volume: &CinderVolume) -> ApiResult<bool> {
    let found = app.storage.locate(array, volume).await;
    found
        .map(|object| object.is_some())
        .map_err(|error| refused_by_array(&error))
}

fn refused_by_array(error: &StorageError) -> ApiError {
    let refusal = match error.kind.may_pass() {
        true => Refusal::ArraySilent,
        false => Refusal::ArrayRefuses,
    };
    ApiError::new(refusal, format!("{error}."))
}

/// A policy as the API shows it to a caller of that version.
pub fn answer(
    app: &App,
    group: &Group,
    policy: &ReplicationPolicy,
    spoken: Microversion,
) -> PolicyAnswer {
    let has_arrays = spoken >= Microversion::WITH_CAPABILITIES;
    let capabilities = app.storage.capabilities(&policy.replication(group));
    PolicyAnswer {
        policy: PolicyView {
            primary_array: has_arrays.then(|| policy.primary_fa_url.clone()),
            secondary_array: has_arrays.then(|| policy.secondary_fa_url.clone()),
            primary_fa_url: policy.primary_fa_url.clone(),
            secondary_fa_url: policy.secondary_fa_url.clone(),
            primary_fa_api_token: policy.primary_fa_api_token.as_ref().map(|_| MASK),
            secondary_fa_api_token: policy.secondary_fa_api_token.as_ref().map(|_| MASK),
            rpo_minutes: policy.rpo_minutes,
            created_at: policy.created_at.into(),
            updated_at: policy.updated_at.into(),
            capabilities: capabilities
                .ok()
                .filter(|_| has_arrays)
                .map(capabilities_shown),
        },
    }
}

/// Capabilities as the API shows them.
pub fn capabilities_shown(capabilities: Capabilities) -> CapabilitiesView {
    CapabilitiesView {
        driver: capabilities.driver,
        promotion: capabilities.promotion.as_str(),
        consistency: capabilities.consistency.as_str(),
        recovery_points: capabilities.recovery_points.as_str(),
        way_back: capabilities.way_back.as_str(),
        fences_source: capabilities.fences_source,
        test_clone: capabilities.test_clone,
        linked_deletion: capabilities.linked_deletion,
        names_follow: capabilities.names_follow,
        notes: capabilities.notes,
    }
}
