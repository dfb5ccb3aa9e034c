//! Lines that more than one runbook has.

use super::{Line, Step};
use crate::{
    member::{Member, ProtectedVolume},
    plan::Plan,
};

pub(super) fn each_server(plan: &Plan, action: fn(&Member) -> Step) -> impl Iterator<Item = Line> {
    plan.members
        .iter()
        .map(move |member| about_server(member, action))
}

fn about_server(member: &Member, action: fn(&Member) -> Step) -> Line {
    Line {
        action: action(member),
        name: member.name.clone(),
        resource_id: Some(member.server_id.to_string()),
        after: Vec::new(),
    }
}

/// Lines about `members`, each of which waits for the lines of its own member that `after` names.
pub(super) fn each_server_of(
    members: &[&Member],
    action: fn(&Member) -> Step,
    after: fn(&Member) -> Vec<Step>,
) -> impl Iterator<Item = Line> {
    members.iter().map(move |member| Line {
        after: after(member),
        ..about_server(member, action)
    })
}

pub(super) fn each_volume(
    plan: &Plan,
    action: fn(&ProtectedVolume) -> Step,
) -> impl Iterator<Item = Line> {
    plan.volumes().map(move |(_, volume)| Line {
        action: action(volume),
        name: volume.name.clone(),
        resource_id: Some(volume.id.to_string()),
        after: Vec::new(),
    })
}

pub(super) fn whole_group(action: Step) -> Line {
    Line {
        action,
        name: String::new(),
        resource_id: None,
        after: Vec::new(),
    }
}

pub(super) fn manage_volume(volume: &ProtectedVolume) -> Step {
    Step::ManageVolume {
        volume: volume.id.clone(),
    }
}

pub(super) fn promote_volume(volume: &ProtectedVolume) -> Step {
    Step::PromoteVolume {
        volume: volume.id.clone(),
    }
}

/// Imports, each of what its own line promoted.
pub(super) fn manage_promoted(plan: &Plan) -> impl Iterator<Item = Line> {
    plan.volumes().map(|(_, volume)| Line {
        action: manage_volume(volume),
        name: volume.name.clone(),
        resource_id: Some(volume.id.to_string()),
        after: vec![promote_volume(volume)],
    })
}

pub(super) fn recreate_server(member: &Member) -> Step {
    Step::RecreateServer {
        server: member.server_id.clone(),
    }
}

pub(super) fn confirm_server(member: &Member) -> Step {
    Step::ConfirmServer {
        server: member.server_id.clone(),
    }
}
