//! A server that the group left behind on the source.

use super::{
    counterpart::{CopyState, copy_is_not_running},
    host::{HostState, host_does_not_answer},
    ownership::{owned_by_another_project, protected_again},
    seen::{GuestState, SeenServer, status_in_words},
    verdict::{Asked, Cure, Left, Verdict, keep, wait},
};
use crate::id::OperationId;

/// What is known of a source server that is about to be deleted, apart from its own reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceServer<'a> {
    pub id: &'a str,
    /// The operation that left it: what a cleanup names.
    pub left_by: &'a OperationId,
    /// The tenant's project on the source.
    pub project_id: &'a str,
    pub asked: Asked,
    /// How the operation left it.
    pub left: Left,
    /// The host that it is on.
    pub host: &'a HostState,
    /// How its copy is meant to be.
    pub copy_is_meant: CopyState,
    /// The protection group that it has become a member of since, if it has.
    pub protected_by: Option<&'a str>,
}

/// Whether a source server may be deleted, given its own reading and its copy's.
pub fn verdict_source_server(
    source: &SourceServer<'_>,
    seen: &SeenServer,
    copy: Option<&SeenServer>,
) -> Verdict {
    owned_by_another_project(source.project_id, seen.project_id.as_deref())
        .or_else(|| protected_again(source.protected_by))
        .or_else(|| locked(seen))
        .or_else(|| server_status_that_is_not_known(seen))
        .or_else(|| never_stopped(source, seen))
        .or_else(|| started_again(source, seen))
        .or_else(|| power_is_not_known(source, seen))
        .or_else(|| comes_back_from_its_stack(seen, source.asked))
        .or_else(|| busy_with_a_task(seen))
        .or_else(|| host_does_not_answer(source.host))
        .or_else(|| copy_is_not_running(copy, source.copy_is_meant))
        .or_else(|| volumes_would_go_with_it(seen))
        .unwrap_or(Verdict::Delete)
}

/// A lock is somebody's word, also where we could override it.
pub(super) fn locked(seen: &SeenServer) -> Option<Verdict> {
    if !seen.locked {
        return None;
    }
    let reason = seen
        .locked_reason
        .as_deref()
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    keep(format!(
        "kept: the server is locked{reason}; whoever locked it can run 'openstack server unlock', then run cleanup again"
    ))
}

fn server_status_that_is_not_known(seen: &SeenServer) -> Option<Verdict> {
    const KNOWN: [&str; 8] = [
        "ACTIVE",
        "SHUTOFF",
        "ERROR",
        "PAUSED",
        "SUSPENDED",
        "SHELVED",
        "SHELVED_OFFLOADED",
        "SOFT_DELETED",
    ];
    if KNOWN.contains(&seen.status.as_str()) {
        return None;
    }
    keep(format!(
        "kept: its status is {}, which says nothing about whether it may go; run cleanup again when that has passed",
        seen.status
    ))
}

/// The site that was lost has come back with what ran there, which runs on the other one too. It is stopped before
/// anything of it goes, so that nobody takes the one for the other.
fn never_stopped(source: &SourceServer<'_>, seen: &SeenServer) -> Option<Verdict> {
    if source.left == Left::Stopped || !may_not_go_as_it_runs(source, seen) {
        return None;
    }
    keep(format!(
        "kept: it is {}, and an unplanned failover stopped nothing on the site that was lost; save what was written there since, stop it with 'openstack dr fence', then run cleanup again{}",
        how_it_runs(seen),
        or_as_it_runs(source)
    ))
}

/// The failover stopped it. If it runs, or is paused or suspended, which only a running server can be, somebody started
/// it since, and may have written to its disks: by hand it stays too, unless its own deletion was asked for.
fn started_again(source: &SourceServer<'_>, seen: &SeenServer) -> Option<Verdict> {
    if !may_not_go_as_it_runs(source, seen) {
        return None;
    }
    keep(format!(
        "kept: it is {}: it was started again after the failover stopped it; save what was written to it since, stop it with '{}', then run cleanup again{}",
        how_it_runs(seen),
        stopping(source.id, seen),
        or_as_it_runs(source)
    ))
}

/// A server in error may run on: its status says that Nova failed at something, not that its guest has stopped.
fn power_is_not_known(source: &SourceServer<'_>, seen: &SeenServer) -> Option<Verdict> {
    if seen.life() != GuestState::Unknown || source.asked == Asked::ByHandThoughItRuns {
        return None;
    }
    keep(format!(
        "kept: it is ERROR, and its hypervisor does not say whether its guest runs; stop it with 'openstack server stop {}', then run cleanup again{}",
        source.id,
        or_as_it_runs(source)
    ))
}

fn may_not_go_as_it_runs(source: &SourceServer<'_>, seen: &SeenServer) -> bool {
    seen.may_run() && source.asked != Asked::ByHandThoughItRuns
}

/// Its status word, and what that leaves open.
pub(super) fn how_it_runs(seen: &SeenServer) -> String {
    status_in_words(&seen.status, seen.power)
}

/// Nova stops only what is active or in error.
fn stopping(id: &str, seen: &SeenServer) -> String {
    match seen.status.as_str() {
        "PAUSED" => format!("openstack server unpause {id}; openstack server stop {id}"),
        "SUSPENDED" => format!("openstack server resume {id}; openstack server stop {id}"),
        _ => format!("openstack server stop {id}"),
    }
}

fn or_as_it_runs(source: &SourceServer<'_>) -> String {
    format!(
        ", or, if nothing on it is needed, delete it as it runs with 'openstack dr operation cleanup {} --delete-running {}'",
        source.left_by, source.id
    )
}

/// Heat marks the servers of its scaling groups with `metering.` keys, and Magnum's and Cluster API's nodes bear the
/// name of their cluster: who owns such a server builds another when it is gone.
fn comes_back_from_its_stack(seen: &SeenServer, asked: Asked) -> Option<Verdict> {
    const MARKS: [&str; 4] = [
        "metering.",
        "heat_stack",
        "magnum",
        "cluster-api-provider-openstack",
    ];
    if asked != Asked::Automatically {
        return None;
    }
    let (key, value) = seen
        .metadata
        .iter()
        .find(|(key, _)| MARKS.iter().any(|mark| key.starts_with(mark)))?;
    keep(format!(
        "kept: its metadata ({key}={value}) says that a stack or cluster owns it, which would build it again; suspend or delete that first, then run cleanup"
    ))
}

/// What Nova is doing with it right now is not disturbed; a deletion under way is looked at before guards are asked.
fn busy_with_a_task(seen: &SeenServer) -> Option<Verdict> {
    let task = seen.task_state.as_deref()?;
    wait(format!("server task {task}"))
}

/// Nova must not delete the volumes itself: what happens to them is a decision of its own, with its own guards.
pub(super) fn volumes_would_go_with_it(seen: &SeenServer) -> Option<Verdict> {
    let volumes = seen.volumes_that_go_with_it.clone();
    (!volumes.is_empty()).then_some(Verdict::First(Cure::KeepVolumesOfServer { volumes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{
        Power,
        test_facts::{down, kept, server, up},
    };

    fn judge_on(host: &HostState, asked: Asked, left: Left, seen: &SeenServer) -> Verdict {
        judge_with_copy(host, asked, left, seen, Some(&server("ACTIVE")))
    }

    fn judge_with_copy(
        host: &HostState,
        asked: Asked,
        left: Left,
        seen: &SeenServer,
        copy: Option<&SeenServer>,
    ) -> Verdict {
        let left_by = OperationId::new("op-1");
        let source = SourceServer {
            id: "s",
            left_by: &left_by,
            project_id: "p",
            asked,
            left,
            host,
            copy_is_meant: CopyState::Running,
            protected_by: None,
        };
        verdict_source_server(&source, seen, copy)
    }

    fn judge_as(asked: Asked, seen: &SeenServer) -> Verdict {
        judge_on(&up(), asked, Left::Stopped, seen)
    }

    fn judge(seen: &SeenServer) -> Verdict {
        judge_as(Asked::Automatically, seen)
    }

    #[test]
    fn a_server_that_is_down_in_any_way_may_go() {
        for status in [
            "SHUTOFF",
            "ERROR",
            "SHELVED",
            "SHELVED_OFFLOADED",
            "SOFT_DELETED",
        ] {
            assert_eq!(judge(&server(status)), Verdict::Delete, "{status}");
        }
    }

    #[test]
    fn a_server_of_another_project_is_kept() {
        let foreign = SeenServer {
            project_id: Some("q".into()),
            ..server("SHUTOFF")
        };
        kept(Some(judge(&foreign)));
    }

    #[test]
    fn a_locked_server_is_kept_and_the_text_says_who_can_unlock() {
        let locked = SeenServer {
            locked: true,
            locked_reason: Some("audit".into()),
            ..server("SHUTOFF")
        };
        let why = kept(Some(judge(&locked)));
        assert!(
            why.contains("(audit)") && why.contains("openstack server unlock"),
            "{why}"
        );
    }

    #[test]
    fn an_unknown_status_is_kept() {
        for status in ["VERIFY_RESIZE", "RESCUE", "UNKNOWN", "glorious"] {
            let why = kept(Some(judge(&server(status))));
            assert!(why.contains(&format!("status is {status}")), "{why}");
        }
    }

    /// Whatever may run: by its status, or in its hypervisor's words.
    fn running() -> Vec<SeenServer> {
        let on = |status| SeenServer {
            power: Power::On,
            ..server(status)
        };
        let words = ["ACTIVE", "PAUSED", "SUSPENDED"].map(server);
        words
            .into_iter()
            .chain(["ERROR", "SHUTOFF"].map(on))
            .collect()
    }

    #[test]
    fn a_server_that_was_started_again_goes_only_when_it_is_named() {
        for seen in running() {
            for asked in [Asked::Automatically, Asked::ByHand] {
                let why = kept(Some(judge_as(asked, &seen)));
                assert!(why.contains("started again"), "{why}");
                assert!(why.contains("openstack server stop s"), "{why}");
                assert!(why.contains("cleanup op-1 --delete-running s"), "{why}");
            }
            assert_eq!(judge_as(Asked::ByHandThoughItRuns, &seen), Verdict::Delete);
        }
    }

    #[test]
    fn a_server_that_an_unplanned_failover_left_goes_only_when_it_is_stopped_or_named() {
        let judge = |asked, seen: &SeenServer| judge_on(&up(), asked, Left::Untouched, seen);
        for seen in running() {
            let why = kept(Some(judge(Asked::ByHand, &seen)));
            assert!(why.contains("openstack dr fence"), "{why}");
            assert!(why.contains("cleanup op-1 --delete-running s"), "{why}");
            assert_eq!(judge(Asked::ByHandThoughItRuns, &seen), Verdict::Delete);
        }
        assert_eq!(judge(Asked::ByHand, &server("SHUTOFF")), Verdict::Delete);
    }

    #[test]
    fn a_server_in_error_of_which_nobody_knows_whether_it_runs_is_kept() {
        let silent = |status| SeenServer {
            power: Power::Unknown,
            ..server(status)
        };
        for asked in [Asked::Automatically, Asked::ByHand] {
            let why = kept(Some(judge_as(asked, &silent("ERROR"))));
            assert!(why.contains("does not say"), "{why}");
        }
        let named = judge_as(Asked::ByHandThoughItRuns, &silent("ERROR"));
        assert_eq!(named, Verdict::Delete);
        assert_eq!(judge(&silent("SHUTOFF")), Verdict::Delete);
    }

    #[test]
    fn a_server_of_a_stack_goes_only_by_hand() {
        let stacked = SeenServer {
            metadata: [("metering.stack".to_owned(), "web".to_owned())].into(),
            ..server("SHUTOFF")
        };
        assert!(kept(Some(judge(&stacked))).contains("metering.stack=web"));
        assert_eq!(judge_as(Asked::ByHand, &stacked), Verdict::Delete);
    }

    #[test]
    fn a_server_that_nova_is_busy_with_is_waited_for() {
        let busy = SeenServer {
            task_state: Some("image_snapshot".into()),
            ..server("SHUTOFF")
        };
        assert!(matches!(judge(&busy), Verdict::Wait { .. }));
    }

    #[test]
    fn a_server_on_a_dead_host_is_kept() {
        for asked in [Asked::ByHand, Asked::ByHandThoughItRuns] {
            let verdict = judge_on(&down(), asked, Left::Stopped, &server("SHUTOFF"));
            kept(Some(verdict));
        }
    }

    #[test]
    fn a_server_whose_copy_does_not_run_is_kept() {
        let ill = server("ERROR");
        for copy in [None, Some(&ill)] {
            let (asked, seen) = (Asked::ByHandThoughItRuns, server("ACTIVE"));
            let verdict = judge_with_copy(&up(), asked, Left::Stopped, &seen, copy);
            kept(Some(verdict));
        }
    }

    #[test]
    fn volumes_that_would_go_with_the_server_are_saved_first() {
        let greedy = SeenServer {
            volumes_that_go_with_it: vec!["v".into()],
            ..server("SHUTOFF")
        };
        let cure = Cure::KeepVolumesOfServer {
            volumes: vec!["v".into()],
        };
        assert_eq!(judge(&greedy), Verdict::First(cure));
    }
}
