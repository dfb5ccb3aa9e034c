//! A floating IP that led to a server which the group has known. Once it is given back another project may get its address.

use std::net::IpAddr;

use super::{
    ownership::owned_by_another_project,
    verdict::{Verdict, keep},
};
use crate::id::{FloatingIpId, ServerId};

/// What is known of a floating IP that is to be released, apart from its own reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFloatingIp<'a> {
    /// As it was when the operation was asked for.
    pub id: &'a FloatingIpId,
    pub address: IpAddr,
    /// The tenant's project on the source.
    pub project_id: &'a str,
    /// The server that it led to.
    pub server: &'a ServerId,
    /// That server's status word; `None` where it is gone.
    pub server_status: Option<&'a str>,
    /// The member for which the group's recovery plan, as it stands now, names it.
    pub wanted_for: Option<&'a str>,
}

/// A floating IP as it was read right before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFloatingIp {
    pub id: FloatingIpId,
    pub address: String,
    pub project_id: String,
    /// All ports that it leads to, as a whole or by single ports of its own.
    pub leads_to: Vec<String>,
    /// Whether a move has taken it from an outer network, by its description.
    pub taken_by_a_move: bool,
}

/// Whether a floating IP may be released.
pub fn verdict_floating_ip(known: &KnownFloatingIp<'_>, seen: &SeenFloatingIp) -> Verdict {
    owned_by_another_project(known.project_id, Some(&seen.project_id))
        .or_else(|| is_another_one(known, seen))
        .or_else(|| its_server_is_there(known))
        .or_else(|| leads_somewhere(seen))
        .or_else(|| the_way_back_needs_it(known))
        .or_else(|| the_next_move_looks_for_it(seen))
        .unwrap_or(Verdict::Delete)
}

/// Why one is kept whose id nobody has written down: its address may have been given back and taken anew since, for something
/// else.
pub fn floating_ip_is_not_known(address: IpAddr, site: &str) -> String {
    format!(
        "kept: the record of the operation has no id of floating IP {address}; see that nothing needs it, then 'openstack --os-cloud {site} floating ip delete {address}'"
    )
}

fn is_another_one(known: &KnownFloatingIp<'_>, seen: &SeenFloatingIp) -> Option<Verdict> {
    if seen.id == *known.id && seen.address.parse() == Ok(known.address) {
        return None;
    }
    keep(format!(
        "kept: the cloud shows floating IP {} with address {} where {} with address {} was asked for",
        seen.id, seen.address, known.id, known.address
    ))
}

fn its_server_is_there(known: &KnownFloatingIp<'_>) -> Option<Verdict> {
    let status = known.server_status?;
    keep(format!(
        "kept: server {} that it led to is not deleted, it is {status}; when it is gone, run cleanup with --release-floating-ips again",
        known.server
    ))
}

fn leads_somewhere(seen: &SeenFloatingIp) -> Option<Verdict> {
    (!seen.leads_to.is_empty()).then(|| Verdict::Keep {
        why: format!(
            "kept: it leads to {}, so somebody uses it; if it may go, 'openstack floating ip unset --port {}', then run cleanup with --release-floating-ips again",
            seen.leads_to.join(", "),
            seen.id
        ),
    })
}

fn the_way_back_needs_it(known: &KnownFloatingIp<'_>) -> Option<Verdict> {
    let member = known.wanted_for?;
    keep(format!(
        "kept: the group's recovery plan names it for member {member} (floating_ips), so the next move to this site lets it lead there again; if nobody needs it, take it out of the plan, then run cleanup with --release-floating-ips again"
    ))
}

/// Where the recovery plan names a network and no address, the one that was taken from it once is found again by its mark: the
/// tenant's DNS knows it by then.
fn the_next_move_looks_for_it(seen: &SeenFloatingIp) -> Option<Verdict> {
    seen.taken_by_a_move.then(|| Verdict::Keep {
        why: format!(
            "kept: a move has taken it from an external network, and the next one to this site takes it again; if nobody needs it, 'openstack floating ip delete {}'",
            seen.id
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_facts::kept;

    const ADDRESS: &str = "203.0.113.10";

    fn seen() -> SeenFloatingIp {
        SeenFloatingIp {
            id: "fip".into(),
            address: ADDRESS.into(),
            project_id: "p".into(),
            leads_to: vec![],
            taken_by_a_move: false,
        }
    }

    fn judge_known(
        server_status: Option<&str>,
        wanted_for: Option<&str>,
        seen: &SeenFloatingIp,
    ) -> Verdict {
        let known = KnownFloatingIp {
            id: &"fip".into(),
            address: ADDRESS.parse().unwrap(),
            project_id: "p",
            server: &"s".into(),
            server_status,
            wanted_for,
        };
        verdict_floating_ip(&known, seen)
    }

    fn judge(seen: &SeenFloatingIp) -> Verdict {
        judge_known(None, None, seen)
    }

    #[test]
    fn one_that_leads_nowhere_and_that_nobody_wants_goes() {
        assert_eq!(judge(&seen()), Verdict::Delete);
    }

    #[test]
    fn one_of_another_project_is_kept() {
        let foreign = SeenFloatingIp {
            project_id: "q".into(),
            ..seen()
        };
        assert!(kept(Some(judge(&foreign))).contains("project q"));
    }

    #[test]
    fn one_with_another_id_or_address_is_kept() {
        let taken_anew = SeenFloatingIp {
            id: "other".into(),
            ..seen()
        };
        let moved = SeenFloatingIp {
            address: "203.0.113.11".into(),
            ..seen()
        };
        for other in [taken_anew, moved] {
            assert!(kept(Some(judge(&other))).contains("was asked for"));
        }
    }

    #[test]
    fn one_that_leads_somewhere_is_kept() {
        let used = SeenFloatingIp {
            leads_to: vec!["port p1".into()],
            ..seen()
        };
        assert!(kept(Some(judge(&used))).contains("leads to port p1"));
    }

    #[test]
    fn one_whose_server_is_there_is_kept() {
        for status in ["SHUTOFF", "SOFT_DELETED", "ERROR"] {
            let why = kept(Some(judge_known(Some(status), None, &seen())));
            assert!(why.contains(&format!("it is {status}")), "{why}");
        }
    }

    #[test]
    fn one_that_the_recovery_plan_names_is_kept() {
        let why = kept(Some(judge_known(None, Some("m-1"), &seen())));
        assert!(
            why.contains("recovery plan names it for member m-1"),
            "{why}"
        );
    }

    #[test]
    fn one_that_a_move_has_taken_is_kept() {
        let taken = SeenFloatingIp {
            taken_by_a_move: true,
            ..seen()
        };
        let why = kept(Some(judge(&taken)));
        assert!(why.contains("'openstack floating ip delete fip'"), "{why}");
    }

    #[test]
    fn the_words_for_one_without_an_id_say_how_it_is_done_by_hand() {
        let why = floating_ip_is_not_known(ADDRESS.parse().unwrap(), "site-a");
        assert!(
            why.contains("--os-cloud site-a floating ip delete 203.0.113.10"),
            "{why}"
        );
    }
}
