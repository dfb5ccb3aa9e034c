//! The arrays: is there something to fail over to, and are the volumes where the policy says?

use chrono::TimeDelta;

use super::{ArraysSeen, Facts, ReadinessFinding, ReadinessSubject, or_ok};
use crate::{group::ReplicationType, id::VolumeId, storage::ArrayProgress};

/// How many volumes a message names.
const NAMED: usize = 5;

pub(super) fn recovery_point(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let check = ReadinessSubject::RecoveryPoint;
    let name = &facts.group.name;
    let replicate = format!("openstack dr protection-group action {name} --action sync");
    let Some(arrays) = &facts.arrays else {
        let fix = format!("openstack dr policy create {name}, then: {replicate}");
        return vec![ReadinessFinding::error(
            check,
            "no recovery point: the group has no policy",
            fix,
        )];
    };
    if let Ok(ArrayProgress::Pending(pending)) = &arrays.first_copies {
        let message = format!(
            "nothing can be moved yet: array {} waits for {pending}",
            arrays.target_array
        );
        return vec![ReadinessFinding::error(check, message, replicate)];
    }
    let points = match &arrays.points {
        Ok(points) => points,
        Err(silence) => {
            return vec![ReadinessFinding::warning(
                check,
                format!(
                    "not checked: array {} did not tell its recovery points: {silence}",
                    arrays.target_array
                ),
                "see the finding backend, and check again",
            )];
        }
    };
    let Some(newest) = points.iter().max_by_key(|point| point.taken_at) else {
        return vec![ReadinessFinding::error(
            check,
            format!(
                "array {} has no recovery point: if {} were lost now, nothing could be recovered",
                arrays.target_array,
                facts.source_site()
            ),
            replicate,
        )];
    };
    let age = (facts.now - newest.taken_at).max(TimeDelta::zero());
    let asynchronous = facts.group.replication_type == ReplicationType::Async;
    match facts.rpo_minutes {
        Some(objective) if asynchronous && age > TimeDelta::minutes(objective.into()) => {
            vec![ReadinessFinding::warning(
                check,
                format!(
                    "the newest recovery point is {} old, the objective is {objective} min",
                    in_words(age)
                ),
                replicate,
            )]
        }
        _ => vec![ReadinessFinding::ok(
            check,
            format!("the newest recovery point is {} old", in_words(age)),
        )],
    }
}

fn in_words(age: TimeDelta) -> String {
    if age < TimeDelta::minutes(2) {
        format!("{} s", age.num_seconds())
    } else if age < TimeDelta::hours(3) {
        format!("{} min", age.num_minutes())
    } else {
        format!("{} h", age.num_hours())
    }
}

pub(super) fn backend(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let check = ReadinessSubject::Backend;
    let Some(arrays) = &facts.arrays else {
        let fix = format!("openstack dr policy create {}", facts.group.name);
        let why = "not checked: the group has no policy that names arrays";
        return vec![ReadinessFinding::warning(check, why, fix)];
    };
    let mut problems = Vec::new();
    for (array, answer) in [
        (&arrays.source_array, &arrays.source),
        (&arrays.target_array, &arrays.target),
    ] {
        if let Err(silence) = answer {
            problems.push(
                ReadinessFinding::error(
                    check,
                    silence.to_string(),
                    "see that the array is up, and that the policy names it rightly: openstack dr policy show",
                )
                .about(array),
            );
        }
    }
    if let (Ok(()), Ok(()), Err(silence)) = (&arrays.source, &arrays.target, &arrays.set_up) {
        let found = ReadinessFinding::error(
            check,
            format!("not checked: whether the arrays are set up for each other: {silence}"),
            "your operator sees to what it says; then check again",
        );
        problems.push(found.about(&arrays.target_array));
    }
    for finding in arrays.set_up.iter().flatten() {
        let found = ReadinessFinding::error(
            check,
            format!("the arrays are not set up for each other: {finding}"),
            "your operator sets the arrays up as it says; then check again",
        );
        problems.push(found.about(&arrays.target_array));
    }
    problems.extend(volumes(facts, arrays));
    or_ok(
        problems,
        check,
        format!(
            "both arrays answer, and {} holds every volume",
            arrays.source_array
        ),
    )
}

fn volumes(facts: &Facts<'_>, arrays: &ArraysSeen) -> Vec<ReadinessFinding> {
    let mut findings = Vec::new();
    let mut unknown = Vec::new();
    for member in facts.members {
        for volume in &member.volumes {
            match arrays.holds.iter().find(|(id, _)| *id == volume.id) {
                Some((_, Ok(true))) => {}
                Some((_, Ok(false))) => findings.push(
                    ReadinessFinding::error(
                        ReadinessSubject::Backend,
                        format!(
                            "array {} does not hold volume {} of {}: it is not replicated",
                            arrays.source_array, volume.id, member.name
                        ),
                        "migrate the volume to the group's array, or remove the member from the group",
                    )
                    .about(volume.id.as_str()),
                ),
                Some((_, Err(_))) | None => unknown.push(&volume.id),
            }
        }
    }
    // An array that does not answer at all is a finding already.
    if !unknown.is_empty() && arrays.source.is_ok() {
        findings.push(ReadinessFinding::warning(
            ReadinessSubject::Backend,
            format!(
                "not checked: whether array {} holds {}",
                arrays.source_array,
                some_of(&unknown)
            ),
            "check again when the array is less busy",
        ));
    }
    findings
}

fn some_of(volumes: &[&VolumeId]) -> String {
    let named: Vec<&str> = volumes
        .iter()
        .take(NAMED)
        .map(|volume| volume.as_str())
        .collect();
    let named = named.join(", ");
    match volumes.len().checked_sub(NAMED) {
        None | Some(0) => named,
        Some(more) => format!("{named} and {more} more"),
    }
}
