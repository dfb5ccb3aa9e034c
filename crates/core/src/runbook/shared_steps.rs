//! Steps that more than one runbook has.

use super::{NewStep, Reported, Runbook, Step, Verb};
use crate::{
    member::{Member, ProtectedVolume},
    plan::Plan,
};

pub(super) fn each_server(
    plan: &Plan,
    action: fn(&Member) -> Step,
) -> impl Iterator<Item = NewStep> {
    plan.members
        .iter()
        .map(move |member| about_server(member, action))
}

fn about_server(member: &Member, action: fn(&Member) -> Step) -> NewStep {
    NewStep {
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
) -> impl Iterator<Item = NewStep> {
    members.iter().map(move |member| NewStep {
        after: after(member),
        ..about_server(member, action)
    })
}

pub(super) fn each_volume(
    plan: &Plan,
    action: fn(&ProtectedVolume) -> Step,
) -> impl Iterator<Item = NewStep> {
    plan.volumes().map(move |(_, volume)| NewStep {
        action: action(volume),
        name: volume.name.clone(),
        resource_id: Some(volume.id.to_string()),
        after: Vec::new(),
    })
}

/// The same where an array makes the replica itself the volume: there is nothing else to go back to.
pub(super) fn promoted_in_place(
    plan: &Plan,
    action: fn(&ProtectedVolume) -> Step,
) -> impl Iterator<Item = NewStep> {
    each_volume(plan, action).filter(|_| !plan.promotion.is_copy())
}

/// What a copy gets once its group runs on the target, and nothing of the move is taken back any more.
pub(super) fn complete_copies(book: Runbook, plan: &Plan) -> Runbook {
    restore_delete_on_termination(associate_floating_ips(book, plan), plan)
}

/// Those members that come back to a site whose Nova had deleted some of their volumes with them.
fn restore_delete_on_termination(book: Runbook, plan: &Plan) -> Runbook {
    let restore = |member: &Member| Step::RestoreDeleteOnTermination {
        server: member.server_id.clone(),
    };
    let members = plan.members.iter();
    let back = members.filter(|member| member.went_with_it_on(&plan.target.site).next().is_some());
    book.phase(
        "restore_delete_on_termination",
        Verb::Notice,
        Reported::ByLine,
        back.map(|member| about_server(member, restore)),
    )
}

/// The floating IPs of those members that the recovery plan names some for.
fn associate_floating_ips(book: Runbook, plan: &Plan) -> Runbook {
    let named = |member: &&Member| {
        let on_target = plan.floating_ips_on_target(member);
        on_target.iter().any(Option::is_some)
    };
    let associate = |member: &Member| Step::AssociateFloatingIps {
        server: member.server_id.clone(),
    };
    let members = plan.members.iter().filter(named);
    book.phase(
        "associate_floating_ips",
        Verb::Notice,
        Reported::ByLine,
        members.map(|member| about_server(member, associate)),
    )
}

pub(super) fn whole_group(action: Step) -> NewStep {
    NewStep {
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

pub(super) fn fence_volume(volume: &ProtectedVolume) -> Step {
    Step::FenceVolume {
        volume: volume.id.clone(),
    }
}

pub(super) fn promote_volume(volume: &ProtectedVolume) -> Step {
    Step::PromoteVolume {
        volume: volume.id.clone(),
    }
}

/// Imports, each of what its own line promoted.
pub(super) fn manage_promoted(plan: &Plan) -> impl Iterator<Item = NewStep> {
    plan.volumes().map(|(_, volume)| NewStep {
        action: manage_volume(volume),
        name: volume.name.clone(),
        resource_id: Some(volume.id.to_string()),
        after: vec![promote_volume(volume)],
    })
}

/// The phase after which every copy has its ports.
const COMPLETE_PORTS: &str = "complete_ports";

/// The ports of all copies: first each with the addresses that its server has, and only when all of these are reserved the
/// others, with what Neutron gives them. Else one member's new address would be another one's old one.
pub(super) fn make_ports(book: Runbook, plan: &Plan, verb: Verb) -> Runbook {
    let members: Vec<&Member> = plan.members.iter().collect();
    book.phase(
        "reserve_ports",
        verb,
        Reported::Never,
        each_server_of(&members, reserve_ports, imports_of),
    )
    .phase(
        COMPLETE_PORTS,
        verb,
        Reported::Never,
        each_server_of(&members, complete_ports, |member| {
            vec![reserve_ports(member)]
        }),
    )
}

/// Whether the copies of `book` get ports that it makes itself.
pub(super) fn makes_ports(book: &Runbook) -> bool {
    book.has_phase(COMPLETE_PORTS)
}

/// A server is built from all its volumes.
pub(super) fn imports_of(member: &Member) -> Vec<Step> {
    member.volumes.iter().map(manage_volume).collect()
}

/// The same, and with the ports that were made for it.
pub(super) fn imports_and_ports_of(member: &Member) -> Vec<Step> {
    let mut all = imports_of(member);
    all.push(complete_ports(member));
    all
}

pub(super) fn reserve_ports(member: &Member) -> Step {
    Step::ReservePorts {
        server: member.server_id.clone(),
    }
}

pub(super) fn complete_ports(member: &Member) -> Step {
    Step::CompletePorts {
        server: member.server_id.clone(),
    }
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
