//! Whether a server that a planned move has stopped still rests: what it writes now is in no copy (invariant I15), and a
//! copy beside it would be a second writer (I16).

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    host::HostState,
    seen::{GuestState, Power, status_in_words},
    verdict::{Verdict, keep, wait},
};

/// Something that was asked of a server, as its cloud remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenAction {
    /// Nova's word for it.
    pub action: String,
    /// The request that asked.
    pub request_id: String,
    /// Who asked, where Nova says.
    pub user_id: Option<String>,
    /// When, by Nova's clock.
    pub at: DateTime<Utc>,
}

/// A volume of a source server whose size is not what it was when that was found stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resized {
    pub volume: String,
    /// The size that was replicated, in GiB.
    pub from: u64,
    /// The size that it has.
    pub to: u64,
}

/// A source server between its stop and the switch, as its cloud shows it right now.
#[derive(Clone, Debug)]
pub struct SourceAtRest<'a> {
    pub name: &'a str,
    pub site: &'a str,
    pub status: &'a str,
    /// Whether its guest runs, whatever its status word says.
    pub power: Power,
    /// What Nova is doing with it.
    pub task_state: Option<&'a str>,
    pub host: &'a HostState,
    /// The volumes that the operation moves.
    pub planned: BTreeSet<&'a str>,
    /// The volumes that it has.
    pub attached: BTreeSet<&'a str>,
    /// Those that have another size by now.
    pub resized: &'a [Resized],
    /// What was asked of it since it was found stopped.
    pub asked_since: &'a [SeenAction],
}

/// What keeps a planned move from going on, if anything does: `Keep` takes everything back, `Wait` looks again.
pub fn source_must_rest(source: &SourceAtRest<'_>) -> Option<Verdict> {
    asked_for_something_since(source)
        .or_else(|| disks_have_changed(source))
        .or_else(|| at_work(source))
        .or_else(|| runs(source))
        .or_else(|| host_is_silent(source))
}

/// What neither runs a guest nor changes its hardware.
const HARMLESS: [&str; 4] = ["lock", "unlock", "createImage", "backup"];

/// Also if it is stopped again by now: what it wrote in between would be lost without a word. Another `stop` is no
/// exception: one is accepted only of a server that runs.
fn asked_for_something_since(source: &SourceAtRest<'_>) -> Option<Verdict> {
    let asked: Vec<String> = source
        .asked_since
        .iter()
        .filter(|action| !HARMLESS.contains(&action.action.as_str()))
        .map(in_words)
        .collect();
    if asked.is_empty() {
        return None;
    }
    keep(format!(
        "server {} has not rested on {} since this operation found it stopped: {}; it is {} now",
        source.name,
        source.site,
        asked.join(", "),
        source.status
    ))
}

/// An original of an adoption that somebody has deleted.
#[derive(Clone, Copy, Debug)]
pub struct DeletedOriginal<'a> {
    pub name: &'a str,
    pub site: &'a str,
    /// What was asked of it since it was found stopped; `None` where nobody knows.
    pub asked_since: Option<&'a [SeenAction]>,
    /// Those of its volumes that are still there.
    pub volumes: &'a [&'a str],
}

/// Why the volumes of a deleted original may hold what its copy lacks, if they may: it has not rested until it was deleted,
/// or nobody knows. One of which no volume is left has nothing to lose.
pub fn deleted_original_had_run(original: &DeletedOriginal<'_>) -> Option<String> {
    if original.volumes.is_empty() {
        return None;
    }
    let what = match original.asked_since {
        None => "nobody knows what was asked of it before, and so whether it has rested".to_owned(),
        Some(asked) => {
            let asked: Vec<String> = asked
                .iter()
                .filter(|action| action.action != DELETE)
                .filter(|action| !HARMLESS.contains(&action.action.as_str()))
                .map(in_words)
                .collect();
            if asked.is_empty() {
                return None;
            }
            format!("it has not rested before: {}", asked.join(", "))
        }
    };
    Some(format!(
        "server {} is gone from {}, and {what}; its volumes {} are still there",
        original.name,
        original.site,
        original.volumes.join(", ")
    ))
}

/// Nova's word for every way to delete a server.
const DELETE: &str = "delete";

fn in_words(action: &SeenAction) -> String {
    format!(
        "{} by user {} at {} (request {})",
        action.action,
        action
            .user_id
            .as_deref()
            .unwrap_or("that Nova does not name"),
        action.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        action.request_id
    )
}

/// A disk that nobody protects would stay behind without a word.
fn disks_have_changed(source: &SourceAtRest<'_>) -> Option<Verdict> {
    let resized = source.resized.iter().map(|volume| {
        format!(
            "{} had {} GiB and has {} now",
            volume.volume, volume.from, volume.to
        )
    });
    let what: Vec<String> = changed_disks(&source.planned, &source.attached)
        .into_iter()
        .chain(resized)
        .collect();
    if what.is_empty() {
        return None;
    }
    keep(format!(
        "the volumes of server {} on {} are not those that were replicated: {}",
        source.name,
        source.site,
        what.join("; ")
    ))
}

/// The difference between the disks that are planned for and those that are there, in words.
pub fn changed_disks(planned: &BTreeSet<&str>, attached: &BTreeSet<&str>) -> Option<String> {
    let list = |ids: Vec<&&str>| ids.into_iter().copied().collect::<Vec<_>>().join(", ");
    let new = list(attached.difference(planned).collect());
    let gone = list(planned.difference(attached).collect());
    let parts: Vec<String> = [("attached since", new), ("not attached any more", gone)]
        .into_iter()
        .filter(|(_, ids)| !ids.is_empty())
        .map(|(what, ids)| format!("{what}: {ids}"))
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn at_work(source: &SourceAtRest<'_>) -> Option<Verdict> {
    let task = source.task_state?;
    wait(format!(
        "server {} on {} to rest: its task is {task}",
        source.name, source.site
    ))
}

/// Nova starts guests without being asked, too: with their host.
fn runs(source: &SourceAtRest<'_>) -> Option<Verdict> {
    if source.status == "SHUTOFF"
        && GuestState::of(source.status, source.power) == GuestState::Rests
    {
        return None;
    }
    keep(format!(
        "server {} is {} on {}, where this operation had found it stopped",
        source.name,
        status_in_words(source.status, source.power),
        source.site
    ))
}

/// Of a server on a dead host Nova shows what it last knew.
fn host_is_silent(source: &SourceAtRest<'_>) -> Option<Verdict> {
    match source.host {
        HostState::Up { .. } | HostState::None => None,
        HostState::Down { host } => wait(format!(
            "compute host {host} of server {} on {} to answer: while it is down nobody knows whether the guest runs",
            source.name, source.site
        )),
        HostState::Unknown { why } => keep(format!(
            "nobody knows whether the compute host of server {} on {} is up, and so whether its guest rests: {why}",
            source.name, source.site
        )),
    }
}

/// What was asked of a server that runs again after the operation had stopped it, if anything may have made it run: then
/// somebody needs it, and it is not stopped a second time. Whatever else was asked for on top of a start hides nothing.
pub fn goes_on_again(asked_since_stop: &[SeenAction]) -> Option<String> {
    let asked: Vec<String> = asked_since_stop
        .iter()
        .filter(|action| !HARMLESS.contains(&action.action.as_str()))
        .map(in_words)
        .collect();
    (!asked.is_empty()).then(|| asked.join(", "))
}

/// What changes a server's hardware or its disks' content between its check and its stop, if anything was asked for that
/// may: the copy would be built as the check saw it.
pub fn changed_before_it_stopped(
    name: &str,
    site: &str,
    asked_since_check: &[SeenAction],
) -> Option<String> {
    /// Of all else nobody knows what it leaves.
    const LEAVES_IT_AS_IT_IS: [&str; 17] = [
        "start",
        "stop",
        "reboot",
        "pause",
        "unpause",
        "suspend",
        "resume",
        "lock",
        "unlock",
        "createImage",
        "backup",
        "changePassword",
        "trigger_crash_dump",
        "live-migration",
        "live_migration_abort",
        "live_migration_force_complete",
        "migrate",
    ];
    let changed: Vec<String> = asked_since_check
        .iter()
        .filter(|action| !LEAVES_IT_AS_IT_IS.contains(&action.action.as_str()))
        .map(in_words)
        .collect();
    (!changed.is_empty()).then(|| {
        format!(
            "server {name} on {site} has been changed since it was checked: {}",
            changed.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_facts::{down, unknown, up};

    fn action(word: &str) -> SeenAction {
        SeenAction {
            action: word.to_owned(),
            request_id: "req-1".to_owned(),
            user_id: Some("alice".to_owned()),
            at: DateTime::UNIX_EPOCH,
        }
    }

    fn at_rest<'a>(host: &'a HostState, asked_since: &'a [SeenAction]) -> SourceAtRest<'a> {
        SourceAtRest {
            name: "web",
            site: "site-a",
            status: "SHUTOFF",
            power: Power::Off,
            task_state: None,
            host,
            planned: BTreeSet::from(["v1"]),
            attached: BTreeSet::from(["v1"]),
            resized: &[],
            asked_since,
        }
    }

    fn taken_back(verdict: Option<Verdict>) -> String {
        match verdict {
            Some(Verdict::Keep { why }) => why,
            other => panic!("{other:?}"),
        }
    }

    fn waits(verdict: Option<Verdict>) -> String {
        match verdict {
            Some(Verdict::Wait { on }) => on,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_server_that_rests_on_a_living_host_holds_nothing_up() {
        assert_eq!(source_must_rest(&at_rest(&up(), &[])), None);
        assert_eq!(source_must_rest(&at_rest(&HostState::None, &[])), None);
    }

    #[test]
    fn a_server_that_runs_takes_everything_back() {
        let host = up();
        for status in ["ACTIVE", "PAUSED", "SUSPENDED", "ERROR", "SOMETHING"] {
            let running = SourceAtRest {
                status,
                ..at_rest(&host, &[])
            };
            assert!(taken_back(source_must_rest(&running)).contains(status));
        }
    }

    #[test]
    fn a_guest_that_runs_behind_its_status_takes_everything_back() {
        let host = up();
        let running = SourceAtRest {
            power: Power::On,
            ..at_rest(&host, &[])
        };
        let why = taken_back(source_must_rest(&running));
        assert!(
            why.contains("SHUTOFF and its guest runs on site-a"),
            "{why}"
        );
    }

    /// Cinder tells Nova of it, and that may get lost.
    #[test]
    fn a_volume_of_another_size_takes_everything_back() {
        let host = up();
        let extended = SourceAtRest {
            resized: &[Resized {
                volume: "v1".to_owned(),
                from: 1,
                to: 2,
            }],
            ..at_rest(&host, &[])
        };
        let why = taken_back(source_must_rest(&extended));
        assert!(why.contains("v1 had 1 GiB and has 2 now"), "{why}");
    }

    #[test]
    fn a_start_counts_whatever_was_asked_for_on_top_of_it() {
        let asked = ["createImage", "attach_volume", "start"].map(action);
        let why = goes_on_again(&asked).unwrap();
        assert!(why.contains("start by user alice"), "{why}");
        assert_eq!(goes_on_again(&[]), None);
        assert_eq!(goes_on_again(&HARMLESS.map(action)), None);
    }

    #[test]
    fn a_server_that_ran_and_was_stopped_again_takes_everything_back() {
        let asked = [action("stop"), action("start")];
        let why = taken_back(source_must_rest(&at_rest(&up(), &asked)));
        assert!(why.contains("start by user alice at 1970-01-01T00:00:00Z (request req-1)"));
        let stopped = [action("stop")];
        taken_back(source_must_rest(&at_rest(&up(), &stopped)));
    }

    #[test]
    fn what_neither_runs_a_guest_nor_changes_it_holds_nothing_up() {
        let asked = HARMLESS.map(action);
        assert_eq!(source_must_rest(&at_rest(&up(), &asked)), None);
    }

    #[test]
    fn another_disk_or_a_missing_one_takes_everything_back() {
        let host = up();
        let more = SourceAtRest {
            attached: BTreeSet::from(["v1", "v2"]),
            ..at_rest(&host, &[])
        };
        assert!(taken_back(source_must_rest(&more)).contains("attached since: v2"));
        let fewer = SourceAtRest {
            attached: BTreeSet::new(),
            ..at_rest(&host, &[])
        };
        assert!(taken_back(source_must_rest(&fewer)).contains("not attached any more: v1"));
    }

    #[test]
    fn a_server_at_work_and_one_on_a_dead_host_are_waited_for() {
        let host = up();
        let busy = SourceAtRest {
            task_state: Some("image_snapshot"),
            ..at_rest(&host, &[])
        };
        assert!(waits(source_must_rest(&busy)).contains("image_snapshot"));
        assert!(waits(source_must_rest(&at_rest(&down(), &[]))).contains("compute-1"));
        assert!(taken_back(source_must_rest(&at_rest(&unknown(), &[]))).contains("403"));
    }

    fn deleted<'a>(
        asked_since: Option<&'a [SeenAction]>,
        volumes: &'a [&'a str],
    ) -> DeletedOriginal<'a> {
        DeletedOriginal {
            name: "web",
            site: "site-a",
            asked_since,
            volumes,
        }
    }

    #[test]
    fn a_deleted_original_that_had_run_is_not_written_off_while_it_has_a_volume() {
        let asked = [action("delete"), action("stop"), action("start")];
        let why = deleted_original_had_run(&deleted(Some(&asked), &["v1"])).unwrap();
        for said in ["web is gone from site-a", "start by user alice", "v1"] {
            assert!(why.contains(said), "{said} is not in {why}");
        }
        assert_eq!(deleted_original_had_run(&deleted(Some(&asked), &[])), None);
    }

    #[test]
    fn nor_is_one_of_which_nobody_knows_what_was_asked() {
        let why = deleted_original_had_run(&deleted(None, &["v1"])).unwrap();
        assert!(why.contains("nobody knows what was asked of it"), "{why}");
        assert_eq!(deleted_original_had_run(&deleted(None, &[])), None);
    }

    #[test]
    fn one_that_was_only_deleted_is() {
        let asked = [action("delete"), action("lock")];
        let original = deleted(Some(&asked), &["v1"]);
        assert_eq!(deleted_original_had_run(&original), None);
    }

    #[test]
    fn what_changes_a_server_between_its_check_and_its_stop_is_named() {
        let usual = [action("stop"), action("reboot"), action("start")];
        assert_eq!(changed_before_it_stopped("web", "site-a", &usual), None);
        for word in [
            "attach_volume",
            "attach_interface",
            "resize",
            "rebuild",
            "?",
        ] {
            let why = changed_before_it_stopped("web", "site-a", &[action(word)]);
            assert!(why.unwrap().contains(word));
        }
    }
}
