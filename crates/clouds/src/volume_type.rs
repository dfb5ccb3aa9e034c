//! Which volume types protection groups can use.

use protector_core::group::ReplicationType;
use protector_core::readiness::TypeSeen;

use crate::clouds::FoundVolumeType;

/// Whether volumes of a type are replicated, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// They are, like this.
    Replicated(ReplicationType),
    /// They are not; why, in words.
    Ineligible(String),
}

/// That a type's volumes are replicated by protector and not by Cinder: for arrays whose Cinder driver takes `replication_enabled`
/// as its own order, as that of RBD does. The scheduler leaves out specs of a scope that it does not know.
const OF_OURS: &str = "protector:replication_type";

/// Reads a type's extra specs: `replication_enabled='<is> True'` and `replication_type='<in> async'` or `'<in> sync'`; or
/// `protector:replication_type` alone, with the same values.
pub fn eligibility(found: &FoundVolumeType) -> Eligibility {
    if found.extra_specs.contains_key(OF_OURS) {
        return match replication_type(found) {
            Some(replication) => Eligibility::Replicated(replication),
            None => Eligibility::Ineligible(format!(
                "its extra spec {OF_OURS} is neither '<in> async' nor '<in> sync'"
            )),
        };
    }
    if !replication_enabled(found) {
        return Eligibility::Ineligible(
            "its extra spec replication_enabled is not '<is> True'".to_owned(),
        );
    }
    match replication_type(found) {
        Some(replication) => Eligibility::Replicated(replication),
        None => Eligibility::Ineligible(
            "its extra spec replication_type is neither '<in> async' nor '<in> sync'".to_owned(),
        ),
    }
}

/// Whether a type says that its volumes are replicated.
pub fn replication_enabled(found: &FoundVolumeType) -> bool {
    operand(found, "replication_enabled", "<is>")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// How a type says that they are.
pub fn replication_type(found: &FoundVolumeType) -> Option<ReplicationType> {
    let spec = match found.extra_specs.contains_key(OF_OURS) {
        true => OF_OURS,
        false => "replication_type",
    };
    match operand(found, spec, "<in>")? {
        "async" => Some(ReplicationType::Async),
        "sync" => Some(ReplicationType::Sync),
        _ => None,
    }
}

fn operand<'t>(found: &'t FoundVolumeType, spec: &str, operator: &str) -> Option<&'t str> {
    let value = found.extra_specs.get(spec)?;
    value.trim().strip_prefix(operator).map(str::trim)
}

/// A type as the readiness check judges it for a group that replicates as `wanted`.
pub fn seen(found: FoundVolumeType, wanted: ReplicationType) -> TypeSeen {
    let eligible = match eligibility(&found) {
        Eligibility::Replicated(how) if how == wanted => Ok(()),
        Eligibility::Replicated(how) => Err(format!(
            "it replicates {}, the group {}",
            how.as_str(),
            wanted.as_str()
        )),
        Eligibility::Ineligible(why) => Err(why),
    };
    TypeSeen {
        backend: found.extra_specs.get("volume_backend_name").cloned(),
        id: found.id,
        name: found.name,
        eligible,
    }
}
