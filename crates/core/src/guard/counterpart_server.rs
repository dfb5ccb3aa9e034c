//! A copy of a server that a failed operation built and takes back, at once or in a later cleanup.

use super::{
    host::HostState,
    ownership::{owned_by_another_project, protected_again, taken_over},
    seen::{SeenMarks, SeenServer, to_make_it_run},
    source_server::{how_it_runs, locked, volumes_would_go_with_it},
    verdict::{Asked, Verdict, keep, wait},
};
use crate::id::{OperationId, SiteName};

/// A copy of a server that is to be taken back, apart from its own reading.
#[derive(Clone, Copy, Debug)]
pub struct CounterpartServer<'a> {
    /// What is known of it as of any copy.
    pub copy: MadeCounterpart<'a>,
    pub id: &'a str,
    pub asked: Asked,
    /// When its cloud made it, in words.
    pub made_at: &'a str,
    /// What has become of its original, in words.
    pub original: &'a str,
    /// The site of its original, where the copy was brought up because that is lost.
    pub lost_site: Option<&'a str>,
    /// The site that has it.
    pub site: &'a SiteName,
    /// The name of its protection group.
    pub group: &'a str,
}

/// A copy that is to be taken back.
#[derive(Clone, Copy, Debug)]
pub struct MadeCounterpart<'a> {
    /// The operation that made it.
    pub maker: &'a OperationId,
    /// The tenant's project on the target.
    pub project_id: &'a str,
    /// The protection group that it has become a member of since, if it has.
    pub protected_by: Option<&'a str>,
}

/// Whether a copy that was built may be taken back: somebody may have come to rely on it since.
pub fn verdict_counterpart_server(
    server: &CounterpartServer<'_>,
    marks: &SeenMarks,
    seen: &SeenServer,
) -> Verdict {
    let copy = &server.copy;
    owned_by_another_project(copy.project_id, seen.project_id.as_deref())
        .or_else(|| taken_over(copy.maker, marks))
        .or_else(|| protected_again(copy.protected_by))
        .or_else(|| locked(seen))
        .or_else(|| its_original_is_lost(server, seen))
        .or_else(|| its_writes_are_nowhere_else(server, seen))
        .or_else(|| lives_on_from_an_earlier_try(server, seen))
        .or_else(|| volumes_would_go_with_it(seen))
        .unwrap_or(Verdict::Delete)
}

/// The failover could not take it back, so it runs, and somebody may work on it: its original is from before that.
fn its_writes_are_nowhere_else(
    server: &CounterpartServer<'_>,
    seen: &SeenServer,
) -> Option<Verdict> {
    let never_ran = seen.status == "BUILD";
    if server.asked != Asked::ByHand || !seen.may_run() || never_ran {
        return None;
    }
    keep(format!(
        "kept: it is {}, made at {}, and what was written to it since is nowhere else; {}; if it is what is in use, 'openstack dr operation adopt {failed}' goes forward with it; else compare the two, save what is needed, and delete it as it runs with 'openstack dr operation cleanup {failed} --delete-running {}'",
        how_it_runs(seen),
        server.made_at,
        server.original,
        server.id,
        failed = server.copy.maker,
    ))
}

/// An earlier try has made it, maybe days ago, and one that somebody has paused or rescued since is somebody's. One that is
/// `ACTIVE` is taken up before anybody asks this.
fn lives_on_from_an_earlier_try(
    server: &CounterpartServer<'_>,
    seen: &SeenServer,
) -> Option<Verdict> {
    let never_ran = seen.status == "BUILD";
    if server.asked != Asked::ByRetry || !seen.may_run() || never_ran {
        return None;
    }
    let (id, site) = (server.id, server.site);
    keep(format!(
        "kept: server {id} on {site} is {}, made at {}, and a retry discards nothing that may run: {}, then 'openstack dr retry {group}' takes it up as it is; if it may be lost, 'openstack --os-cloud {site} server delete {id}' lets the retry build another one from its volumes",
        how_it_runs(seen),
        server.made_at,
        to_make_it_run(&seen.status, site, id),
        group = server.group,
    ))
}

/// What runs while its original is lost is the only one there is, whatever it has not answered and whoever is at work on it.
fn its_original_is_lost(server: &CounterpartServer<'_>, seen: &SeenServer) -> Option<Verdict> {
    let site = server.lost_site?;
    let never_ran = seen.status == "BUILD";
    if server.asked != Asked::Automatically || !seen.may_run() || never_ran {
        return None;
    }
    keep(format!(
        "kept: server {id} is {}, made at {}, and {site}, which has its original, is lost: it may be in use; see why it did not count as recovered (where it did not answer its probe, look at that in the recovery plan), then 'openstack dr operation adopt {failed}' makes it the group's; if what it has written may be lost, 'openstack dr operation cleanup {failed} --delete-running {id}' takes it back",
        how_it_runs(seen),
        server.made_at,
        id = server.id,
        failed = server.copy.maker,
    ))
}

/// A copy that is to be taken back, and that its cloud does not show any more.
#[derive(Clone, Copy, Debug)]
pub struct ForgottenCounterpart<'a> {
    pub id: &'a str,
    /// The name of its member.
    pub member: &'a str,
    /// The operation that made it.
    pub maker: &'a OperationId,
    pub asked: Asked,
    /// The host that it was last seen on.
    pub host: &'a HostState,
}

/// Nova forgets a server whose host is down when somebody deletes it, while its guest goes on: its original would run beside
/// that, and its bytes be discarded under it.
pub fn its_guest_may_run_on(copy: &ForgottenCounterpart<'_>) -> Option<Verdict> {
    match copy.host {
        HostState::Up { .. } | HostState::None => None,
        HostState::Down { host } => wait(format!(
            "compute host {host} to answer: Nova has forgotten server {}, and its guest may still run there; when that host is gone for good, an administrator takes it out of Nova ('openstack compute service delete')",
            copy.id
        )),
        HostState::Unknown { .. } if copy.asked == Asked::ByHandThoughItRuns => None,
        HostState::Unknown { why } => keep(format!(
            "kept: Nova has forgotten server {}, and nobody knows whether the compute host that it was on is up ({why}), so its guest may still run; see that no host runs it any more, then run 'openstack dr operation cleanup {} --delete-running {}'",
            copy.id, copy.maker, copy.member
        )),
    }
}

/// Why the import of a promoted volume must not be taken back, if it must not: somebody may have come to rely on it since.
pub fn import_must_stay(copy: &MadeCounterpart<'_>, marks: &SeenMarks) -> Option<String> {
    let objection = taken_over(copy.maker, marks).or_else(|| protected_again(copy.protected_by))?;
    match objection {
        Verdict::Keep { why } => Some(why),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::guard::{
        Cure,
        test_facts::{down, kept, server, unknown, up},
    };

    fn judged(
        project_id: &str,
        protected_by: Option<&str>,
        by: &str,
        seen: &SeenServer,
    ) -> Verdict {
        let maker = OperationId::new("op-1");
        let copy = MadeCounterpart {
            maker: &maker,
            project_id,
            protected_by,
        };
        verdict_counterpart_server(&server_of(copy, Asked::Automatically), &marked(by), seen)
    }

    fn server_of(copy: MadeCounterpart<'_>, asked: Asked) -> CounterpartServer<'_> {
        static SITE: LazyLock<SiteName> = LazyLock::new(|| SiteName::new("site-b"));
        CounterpartServer {
            copy,
            id: "copy",
            asked,
            made_at: "2026-01-01T00:00:00Z",
            original: "its original s on site-a is SHUTOFF",
            lost_site: None,
            site: &SITE,
            group: "prod",
        }
    }

    fn marked(by: &str) -> SeenMarks {
        SeenMarks {
            operation: Some(by.to_owned()),
            source: Some("original".to_owned()),
        }
    }

    #[test]
    fn a_copy_that_nobody_relies_on_is_taken_back_whether_or_not_it_runs() {
        for status in ["ACTIVE", "BUILD", "ERROR", "SOFT_DELETED"] {
            let verdict = judged("p", None, "op-1", &server(status));
            assert_eq!(verdict, Verdict::Delete, "{status}");
        }
    }

    #[test]
    fn by_hand_a_copy_that_runs_is_taken_back_only_when_it_is_named() {
        let maker = OperationId::new("op-1");
        let copy = MadeCounterpart {
            maker: &maker,
            project_id: "p",
            protected_by: None,
        };
        let judge = |asked, status| {
            let server_of = server_of(copy, asked);
            verdict_counterpart_server(&server_of, &marked("op-1"), &server(status))
        };
        for status in ["ACTIVE", "PAUSED", "SUSPENDED"] {
            let why = kept(Some(judge(Asked::ByHand, status)));
            for said in [
                status,
                "made at 2026-01-01T00:00:00Z",
                "s on site-a is SHUTOFF",
                "openstack dr operation adopt op-1",
                "cleanup op-1 --delete-running copy",
            ] {
                assert!(why.contains(said), "{said} is not in {why}");
            }
            assert_eq!(judge(Asked::ByHandThoughItRuns, status), Verdict::Delete);
        }
        for status in ["SHUTOFF", "ERROR"] {
            assert_eq!(judge(Asked::ByHand, status), Verdict::Delete);
        }
    }

    #[test]
    fn a_copy_that_runs_while_its_original_is_lost_is_not_taken_back_by_itself() {
        let maker = OperationId::new("op-1");
        let copy = MadeCounterpart {
            maker: &maker,
            project_id: "p",
            protected_by: None,
        };
        let judge = |asked, status| {
            let server_of = CounterpartServer {
                lost_site: Some("site-a"),
                ..server_of(copy, asked)
            };
            verdict_counterpart_server(&server_of, &marked("op-1"), &server(status))
        };
        for status in ["ACTIVE", "PAUSED", "SUSPENDED", "RESCUE"] {
            let why = kept(Some(judge(Asked::Automatically, status)));
            for said in [
                status,
                "server copy",
                "site-a, which has its original, is lost",
                "openstack dr operation adopt op-1",
                "cleanup op-1 --delete-running copy",
            ] {
                assert!(why.contains(said), "{said} is not in {why}");
            }
            assert_eq!(judge(Asked::ByHandThoughItRuns, status), Verdict::Delete);
        }
        for status in ["BUILD", "ERROR", "SHUTOFF"] {
            assert_eq!(judge(Asked::Automatically, status), Verdict::Delete);
        }
    }

    #[test]
    fn a_retry_takes_no_copy_back_that_may_run() {
        let maker = OperationId::new("op-1");
        let copy = MadeCounterpart {
            maker: &maker,
            project_id: "p",
            protected_by: None,
        };
        let judge = |status| {
            let server_of = server_of(copy, Asked::ByRetry);
            verdict_counterpart_server(&server_of, &marked("op-1"), &server(status))
        };
        for (status, command) in [("PAUSED", "unpause"), ("SUSPENDED", "resume")] {
            let why = kept(Some(judge(status)));
            for said in [
                format!("server copy on site-b is {status}"),
                format!("openstack --os-cloud site-b server {command} copy"),
                "openstack dr retry prod".to_owned(),
                "openstack --os-cloud site-b server delete copy".to_owned(),
            ] {
                assert!(why.contains(&said), "{said} is not in {why}");
            }
        }
        for status in ["BUILD", "ERROR", "SHUTOFF"] {
            assert_eq!(judge(status), Verdict::Delete);
        }
    }

    #[test]
    fn a_copy_that_somebody_relies_on_is_kept() {
        let seen = server("ACTIVE");
        let protected = judged("p", Some("second-life"), "op-1", &seen);
        assert!(kept(Some(protected)).contains("group second-life"));
        let locked = SeenServer {
            locked: true,
            ..server("ACTIVE")
        };
        assert!(kept(Some(judged("p", None, "op-1", &locked))).contains("locked"));
        kept(Some(judged("q", None, "op-1", &seen)));
    }

    #[test]
    fn disks_that_would_go_with_a_copy_are_saved_first() {
        let seen = SeenServer {
            volumes_that_go_with_it: vec!["disk-9".to_owned()],
            ..server("SHUTOFF")
        };
        let cure = Cure::KeepVolumesOfServer {
            volumes: vec!["disk-9".to_owned()],
        };
        assert_eq!(judged("p", None, "op-1", &seen), Verdict::First(cure));
    }

    #[test]
    fn a_copy_that_another_failover_has_taken_over_is_kept() {
        let taken_over = judged("p", None, "op-2", &server("ACTIVE"));
        assert!(kept(Some(taken_over)).contains("operation op-2"));
    }

    fn forgotten(asked: Asked, host: &HostState) -> Option<Verdict> {
        its_guest_may_run_on(&ForgottenCounterpart {
            id: "copy",
            member: "vm-001",
            maker: &OperationId::new("op-1"),
            asked,
            host,
        })
    }

    #[test]
    fn a_copy_that_nova_forgot_with_its_host_down_is_waited_for() {
        for asked in [
            Asked::Automatically,
            Asked::ByHand,
            Asked::ByHandThoughItRuns,
        ] {
            for host in [up(), HostState::None] {
                assert_eq!(forgotten(asked, &host), None);
            }
            let Some(Verdict::Wait { on }) = forgotten(asked, &down()) else {
                panic!("{asked:?}");
            };
            assert!(on.contains("compute host compute-1 to answer"), "{on}");
        }
    }

    #[test]
    fn a_copy_whose_host_nobody_knows_is_gone_when_a_person_says_so() {
        for asked in [Asked::Automatically, Asked::ByHand] {
            let why = kept(forgotten(asked, &unknown()));
            assert!(
                why.contains("cleanup op-1 --delete-running vm-001"),
                "{why}"
            );
        }
        assert_eq!(forgotten(Asked::ByHandThoughItRuns, &unknown()), None);
    }

    #[test]
    fn an_import_that_somebody_relies_on_stays() {
        let maker = OperationId::new("op-1");
        let copy = |protected_by| MadeCounterpart {
            maker: &maker,
            project_id: "p",
            protected_by,
        };
        assert_eq!(import_must_stay(&copy(None), &marked("op-1")), None);
        let why = import_must_stay(&copy(None), &marked("op-2")).unwrap();
        assert!(why.contains("operation op-2"), "{why}");
        let why = import_must_stay(&copy(Some("second-life")), &marked("op-1")).unwrap();
        assert!(why.contains("group second-life"), "{why}");
    }
}
