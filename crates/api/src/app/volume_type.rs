//! Which volume types protection groups can use, and how one site's type is found on the other.

use protector_clouds::{
    clouds::FoundVolumeType,
    volume_type::{Eligibility, eligibility, replication_enabled, replication_type},
};
use protector_core::{group::ReplicationType, id::SiteName};
use protector_wire::site::VolumeTypeView;

use crate::http::error::{ApiError, ApiResult};

/// A type with its eligibility, as the API shows it.
pub fn view(found: &FoundVolumeType) -> VolumeTypeView {
    let (eligible, reason) = match eligibility(found) {
        Eligibility::Replicated(_) => (true, None),
        Eligibility::Ineligible(why) => (false, Some(why)),
    };
    VolumeTypeView {
        id: found.id.clone(),
        name: found.name.clone(),
        replication_enabled: replication_enabled(found),
        replication_type: replication_type(found).map(ReplicationType::as_str),
        eligible,
        reason,
    }
}

/// The type that a caller named in `field`, if groups that replicate as `wanted` can use it.
pub fn named<'t>(
    field: &str,
    site: &SiteName,
    types: &'t [FoundVolumeType],
    given: &str,
    wanted: ReplicationType,
) -> ApiResult<&'t FoundVolumeType> {
    let found = types
        .iter()
        .find(|known| known.id == given)
        .or_else(|| types.iter().find(|known| known.name == given))
        .ok_or_else(|| {
            ApiError::bad_request(format!(
                "{field}: {site} has no volume type {given}; 'openstack dr site list-volume-types {site}' lists them."
            ))
        })?;
    match eligibility(found) {
        Eligibility::Replicated(replication) if replication == wanted => Ok(found),
        Eligibility::Replicated(replication) => Err(ApiError::bad_request(format!(
            "{field}: volume type {} on {site} replicates {}, the group is to replicate {}.",
            found.name,
            replication.as_str(),
            wanted.as_str()
        ))),
        Eligibility::Ineligible(why) => Err(ApiError::bad_request(format!(
            "{field}: volume type {} on {site} is not eligible: {why}.",
            found.name
        ))),
    }
}

/// The other site's counterpart of `primary`: of the eligible types that replicate as `wanted`, the one of the same
/// name, else the one on the same backend name, else the only one.
pub fn counterpart<'t>(
    site: &SiteName,
    types: &'t [FoundVolumeType],
    primary: &FoundVolumeType,
    wanted: ReplicationType,
) -> ApiResult<&'t FoundVolumeType> {
    let fitting: Vec<&FoundVolumeType> = types
        .iter()
        .filter(|found| eligibility(found) == Eligibility::Replicated(wanted))
        .collect();
    let same_name = fitting.iter().find(|found| found.name == primary.name);
    let backend = primary.extra_specs.get("volume_backend_name");
    let same_backend = || {
        fitting.iter().find(|found| {
            backend.is_some() && found.extra_specs.get("volume_backend_name") == backend
        })
    };
    if let Some(found) = same_name.or_else(same_backend) {
        return Ok(found);
    }
    match fitting.as_slice() {
        [only] => Ok(only),
        [] => Err(ApiError::bad_request(format!(
            "secondary_volume_type: {site} has no eligible volume type that replicates {}; an administrator can set the extra specs replication_enabled='<is> True' and replication_type='<in> {}' on one.",
            wanted.as_str(),
            wanted.as_str()
        ))),
        several => {
            let names: Vec<&str> = several.iter().map(|found| found.name.as_str()).collect();
            Err(ApiError::bad_request(format!(
                "secondary_volume_type: several volume types on {site} fit ({}); name one.",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_type(name: &str, specs: &[(&str, &str)]) -> FoundVolumeType {
        FoundVolumeType {
            id: format!("id-{name}"),
            name: name.to_owned(),
            extra_specs: specs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn replicated(name: &str, how: &str) -> FoundVolumeType {
        a_type(
            name,
            &[
                ("replication_enabled", "<is> True"),
                ("replication_type", how),
            ],
        )
    }

    fn site() -> SiteName {
        "site-b".into()
    }

    #[test]
    fn both_extra_specs_make_a_type_eligible() {
        assert_eq!(
            eligibility(&replicated("gold", "<in> async")),
            Eligibility::Replicated(ReplicationType::Async)
        );
        assert_eq!(
            eligibility(&replicated("pod", "<in> sync")),
            Eligibility::Replicated(ReplicationType::Sync)
        );
        let ours = |how| a_type("rbd", &[("protector:replication_type", how)]);
        assert_eq!(
            eligibility(&ours("<in> async")),
            Eligibility::Replicated(ReplicationType::Async)
        );
        for found in [
            ours("async"),
            a_type("plain", &[]),
            a_type("half", &[("replication_enabled", "<is> True")]),
            a_type(
                "off",
                &[
                    ("replication_enabled", "<is> False"),
                    ("replication_type", "<in> async"),
                ],
            ),
            replicated("odd", "<in> trisync"),
            replicated("bare", "async"),
        ] {
            assert!(
                matches!(eligibility(&found), Eligibility::Ineligible(_)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_named_type_must_exist_and_replicate_as_the_group_does() {
        let types = [replicated("gold", "<in> async"), a_type("plain", &[])];
        let wanted = ReplicationType::Async;
        assert!(named("volume_type", &site(), &types, "gold", wanted).is_ok());
        assert!(named("volume_type", &site(), &types, "id-gold", wanted).is_ok());
        for (given, kind) in [
            ("tin", ReplicationType::Async),
            ("plain", ReplicationType::Async),
            ("gold", ReplicationType::Sync),
        ] {
            let error = named("volume_type", &site(), &types, given, kind).unwrap_err();
            assert!(error.message().starts_with("volume_type: "), "{error}");
        }
    }

    #[test]
    fn the_counterpart_is_the_one_of_the_same_name_or_the_only_one() {
        let gold = replicated("gold", "<in> async");
        let wanted = ReplicationType::Async;
        let two = [
            replicated("silver", "<in> async"),
            replicated("gold", "<in> async"),
        ];
        assert_eq!(
            counterpart(&site(), &two, &gold, wanted).unwrap().name,
            "gold"
        );
        let one = [
            replicated("silver", "<in> async"),
            replicated("pod", "<in> sync"),
        ];
        assert_eq!(
            counterpart(&site(), &one, &gold, wanted).unwrap().name,
            "silver"
        );
        let other = [
            replicated("silver", "<in> async"),
            replicated("bronze", "<in> async"),
        ];
        let error = counterpart(&site(), &other, &gold, wanted).unwrap_err();
        assert!(error.message().contains("silver, bronze"));
        assert!(counterpart(&site(), &[], &gold, wanted).is_err());
    }
}
