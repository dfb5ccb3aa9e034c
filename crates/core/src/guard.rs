//! The guards: pure functions that decide, from the record and a fresh reading, whether a resource may be deleted.
//!
//! Unknown means keep (invariant I13). Each guard is one small function with its reason in its name; `verdict_*` asks
//! them in order, and the first that objects decides.

use crate::storage::BackendObject;

/// What to do with a resource, decided right before the destructive call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Delete it now.
    Delete,
    /// Not yet: look again later.
    Wait {
        /// What has to happen first.
        on: String,
    },
    /// Leave it where it is.
    Keep {
        /// What was found, why that means keeping it, and the next safe thing to do.
        why: String,
    },
}

/// A volume as its cloud shows it right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVolume {
    /// Its status word.
    pub status: String,
    /// The project that owns it, where the cloud shows it.
    pub project_id: Option<String>,
    /// The servers that it is attached to.
    pub attached_to: Vec<String>,
    /// The generic group that it belongs to.
    pub group_id: Option<String>,
    /// Its migration, if one is under way.
    pub migration_status: Option<String>,
}

/// A server as its cloud shows it right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenServer {
    /// Its status word, `ACTIVE`.
    pub status: String,
    /// What Nova is doing with it.
    pub task_state: Option<String>,
    /// The project that owns it, where the cloud shows it.
    pub project_id: Option<String>,
    /// Whether it is locked.
    pub locked: bool,
    /// Why, if whoever locked it said so.
    pub locked_reason: Option<String>,
}

/// The copy on the target of a source volume, as found right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// The target volume; `None` if it is not there.
    pub volume: Option<SeenVolume>,
    /// The target server that it must be attached to; `None` if it is not there.
    pub server: Option<SeenServer>,
    /// That server's id.
    pub server_id: String,
    /// The object behind the target volume.
    pub object: Option<BackendObject>,
}

/// What the record says of a source volume that is about to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceVolume<'a> {
    /// The tenant's project on the source.
    pub project_id: &'a str,
    /// The server that it belonged to.
    pub server_id: &'a str,
    /// The object behind it.
    pub object: Option<&'a BackendObject>,
}

/// Whether a source volume may be deleted, given its own reading and its twin's.
pub fn verdict_source_volume(source: &SourceVolume<'_>, seen: &SeenVolume, twin: &Twin) -> Verdict {
    owned_by_another_project(source.project_id, seen.project_id.as_deref())
        .or_else(|| attached_to_a_foreign_server(source.server_id, seen))
        .or_else(|| member_of_a_volume_group(seen))
        .or_else(|| being_migrated(seen))
        .or_else(|| not_yet_detached(seen))
        .or_else(|| status_that_is_not_available(seen))
        .or_else(|| twin_is_not_in_use(twin))
        .or_else(|| twin_server_is_not_running(twin))
        .or_else(|| same_object_as_its_twin(source.object, twin))
        .unwrap_or(Verdict::Delete)
}

/// Who asks for a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The operation itself, at its end.
    Automatically,
    /// A person, with `openstack dr operation cleanup`.
    ByHand,
}

/// Whether a source server may be deleted, given its own reading and its copy's.
pub fn verdict_source_server(
    project_id: &str,
    seen: &SeenServer,
    copy: Option<&SeenServer>,
    asked: Asked,
) -> Verdict {
    owned_by_another_project(project_id, seen.project_id.as_deref())
        .or_else(|| locked(seen))
        .or_else(|| server_status_that_is_not_known(seen))
        .or_else(|| started_again(seen, asked))
        .or_else(|| copy_is_not_running(copy))
        .unwrap_or(Verdict::Delete)
}

fn keep(why: impl Into<String>) -> Option<Verdict> {
    Some(Verdict::Keep { why: why.into() })
}

fn owned_by_another_project(recorded: &str, seen: Option<&str>) -> Option<Verdict> {
    match seen {
        Some(owner) if owner == recorded => None,
        Some(owner) => keep(format!(
            "kept: it belongs to project {owner} now, not to {recorded}"
        )),
        None => keep("kept: its cloud does not say which project it belongs to"),
    }
}

fn attached_to_a_foreign_server(server_id: &str, seen: &SeenVolume) -> Option<Verdict> {
    let foreign = seen.attached_to.iter().find(|id| *id != server_id)?;
    keep(format!(
        "kept: attached to server {foreign}, which is not part of this operation; detach it there if it is not needed"
    ))
}

fn member_of_a_volume_group(seen: &SeenVolume) -> Option<Verdict> {
    let group = seen.group_id.as_ref()?;
    keep(format!(
        "kept: it is in volume group {group}; take it out with 'openstack volume group unset', then run cleanup again"
    ))
}

fn being_migrated(seen: &SeenVolume) -> Option<Verdict> {
    match seen.migration_status.as_deref() {
        None | Some("success" | "error" | "none") => None,
        Some(status) => keep(format!(
            "kept: it is being migrated ({status}); run cleanup again when that has ended"
        )),
    }
}

fn not_yet_detached(seen: &SeenVolume) -> Option<Verdict> {
    let waiting = matches!(seen.status.as_str(), "in-use" | "detaching" | "deleting");
    waiting.then(|| Verdict::Wait {
        on: format!("volume status {}", seen.status),
    })
}

fn status_that_is_not_available(seen: &SeenVolume) -> Option<Verdict> {
    match seen.status.as_str() {
        "available" if seen.attached_to.is_empty() => None,
        "available" => keep("kept: it says available but still lists an attachment"),
        "error_deleting" => keep(
            "kept: Cinder failed to delete it (error_deleting); an administrator can see why and use 'openstack volume delete --force'",
        ),
        other => keep(format!("kept: its status is {other}, expected available")),
    }
}

fn twin_is_not_in_use(twin: &Twin) -> Option<Verdict> {
    let Some(volume) = &twin.volume else {
        return keep("kept: its copy on the target site is not there");
    };
    let attached = volume.status == "in-use" && volume.attached_to.contains(&twin.server_id);
    if attached {
        return None;
    }
    keep(format!(
        "kept: its copy on the target site is not attached to the recovered server (status {})",
        volume.status
    ))
}

fn twin_server_is_not_running(twin: &Twin) -> Option<Verdict> {
    copy_is_not_running(twin.server.as_ref())
}

/// The failover stopped it. If it runs, somebody started it since, and may have written to its disks.
fn started_again(seen: &SeenServer, asked: Asked) -> Option<Verdict> {
    if asked == Asked::ByHand || seen.status != "ACTIVE" {
        return None;
    }
    keep(
        "kept: it was started again after the failover stopped it; save what was written to it since, then run cleanup",
    )
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

fn copy_is_not_running(copy: Option<&SeenServer>) -> Option<Verdict> {
    match copy {
        Some(server) if is_being_deleted(server) => {
            keep("kept: the recovered server on the target site is being deleted")
        }
        Some(server) if server.status == "ACTIVE" => None,
        Some(server) => keep(format!(
            "kept: the recovered server on the target site is {}, expected ACTIVE",
            server.status
        )),
        None => keep("kept: the recovered server is not on the target site"),
    }
}

/// Nova shows the old status until a deletion is through.
fn is_being_deleted(server: &SeenServer) -> bool {
    matches!(
        server.task_state.as_deref(),
        Some("deleting" | "soft-deleting")
    )
}

fn same_object_as_its_twin(object: Option<&BackendObject>, twin: &Twin) -> Option<Verdict> {
    match (object, twin.object.as_ref()) {
        (Some(source), Some(target)) if source == target => keep(format!(
            "kept: it is the same object ({} on {}) as its copy on the target site",
            source.serial, source.array
        )),
        (_, None) => keep("kept: the array does not know the object behind its copy"),
        (None, _) => keep(
            "kept: the array does not know the object behind it, which might be the one behind its copy",
        ),
        _ => None,
    }
}

fn locked(seen: &SeenServer) -> Option<Verdict> {
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

/// Why a source server must not be started again, if it must not: its copy on the target may run, and the same server
/// would run on both sites (invariant I10).
///
/// `copy` is the copy as its cloud shows it right now, with its id; `not_taken_back` says why taking back its building
/// failed, if it did: then nobody knows whether there is a copy.
pub fn must_stay_stopped(
    target: &str,
    copy: Option<&str>,
    not_taken_back: Option<&str>,
) -> Option<String> {
    match (copy, not_taken_back) {
        (Some(copy), _) => Some(format!(
            "not started: its copy {copy} may still run on {target}; delete that first, then run cleanup"
        )),
        (None, Some(why)) => Some(format!(
            "not started: its copy may still run on {target}, since it could not be taken back ({why}); when {target} is well again, run cleanup"
        )),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_whose_copy_may_run_stays_stopped() {
        assert_eq!(must_stay_stopped("site-b", None, None), None);
        let there = must_stay_stopped("site-b", Some("copy"), None).unwrap();
        assert!(there.contains("copy may still run on site-b"), "{there}");
        let unknown = must_stay_stopped("site-b", None, Some("Nova timeout after 900s")).unwrap();
        assert!(unknown.contains("Nova timeout after 900s"), "{unknown}");
    }

    #[test]
    fn a_copy_that_is_being_deleted_saves_its_source() {
        let leaving = SeenServer {
            task_state: Some("deleting".into()),
            ..server("ACTIVE")
        };
        assert!(kept(&verdict_source_server(
            "p",
            &server("SHUTOFF"),
            Some(&leaving),
            Asked::Automatically
        )));
        let twin = Twin {
            server: Some(leaving),
            ..twin()
        };
        assert!(kept(&judge(&volume("available"), &twin)));
    }

    #[test]
    fn a_volume_whose_object_the_array_does_not_know_is_kept() {
        let unknown = SourceVolume {
            project_id: "p",
            server_id: "old",
            object: None,
        };
        assert!(kept(&verdict_source_volume(
            &unknown,
            &volume("available"),
            &twin()
        )));
    }

    fn volume(status: &str) -> SeenVolume {
        SeenVolume {
            status: status.into(),
            project_id: Some("p".into()),
            attached_to: vec![],
            group_id: None,
            migration_status: None,
        }
    }

    fn server(status: &str) -> SeenServer {
        SeenServer {
            status: status.into(),
            task_state: None,
            project_id: Some("p".into()),
            locked: false,
            locked_reason: None,
        }
    }

    fn object(array: &str) -> BackendObject {
        BackendObject {
            array: array.into(),
            serial: "1".into(),
        }
    }

    fn twin() -> Twin {
        Twin {
            volume: Some(SeenVolume {
                attached_to: vec!["copy".into()],
                ..volume("in-use")
            }),
            server: Some(server("ACTIVE")),
            server_id: "copy".into(),
            object: Some(object("b")),
        }
    }

    fn judge(seen: &SeenVolume, twin: &Twin) -> Verdict {
        let object = object("a");
        let source = SourceVolume {
            project_id: "p",
            server_id: "old",
            object: Some(&object),
        };
        verdict_source_volume(&source, seen, twin)
    }

    fn kept(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Keep { .. })
    }

    #[test]
    fn a_free_volume_with_a_running_twin_is_deleted() {
        assert_eq!(judge(&volume("available"), &twin()), Verdict::Delete);
    }

    #[test]
    fn a_volume_of_another_project_is_kept() {
        let foreign = SeenVolume {
            project_id: Some("q".into()),
            ..volume("available")
        };
        let silent = SeenVolume {
            project_id: None,
            ..volume("available")
        };
        assert!(kept(&judge(&foreign, &twin())) && kept(&judge(&silent, &twin())));
    }

    #[test]
    fn a_volume_attached_elsewhere_is_kept() {
        let seen = SeenVolume {
            attached_to: vec!["other".into()],
            ..volume("in-use")
        };
        assert!(kept(&judge(&seen, &twin())));
    }

    #[test]
    fn a_volume_still_on_its_own_server_is_waited_for() {
        let seen = SeenVolume {
            attached_to: vec!["old".into()],
            ..volume("in-use")
        };
        assert!(matches!(judge(&seen, &twin()), Verdict::Wait { .. }));
    }

    #[test]
    fn an_unknown_status_is_kept() {
        assert!(kept(&judge(&volume("glorious"), &twin())));
        assert!(kept(&judge(&volume("error_deleting"), &twin())));
    }

    #[test]
    fn a_volume_in_a_group_or_in_migration_is_kept() {
        let grouped = SeenVolume {
            group_id: Some("g".into()),
            ..volume("available")
        };
        let moving = SeenVolume {
            migration_status: Some("migrating".into()),
            ..volume("available")
        };
        assert!(kept(&judge(&grouped, &twin())) && kept(&judge(&moving, &twin())));
    }

    #[test]
    fn a_volume_without_a_healthy_twin_is_kept() {
        let gone = Twin {
            volume: None,
            ..twin()
        };
        let detached = Twin {
            volume: Some(volume("available")),
            ..twin()
        };
        let broken = Twin {
            server: Some(server("ERROR")),
            ..twin()
        };
        let unknown = Twin {
            object: None,
            ..twin()
        };
        for twin in [gone, detached, broken, unknown] {
            assert!(kept(&judge(&volume("available"), &twin)), "{twin:?}");
        }
    }

    #[test]
    fn a_volume_that_is_its_own_twin_is_kept() {
        let same = Twin {
            object: Some(object("a")),
            ..twin()
        };
        assert!(kept(&judge(&volume("available"), &same)));
    }

    #[test]
    fn a_server_goes_only_while_its_copy_runs_and_nobody_locked_it() {
        let active = server("ACTIVE");
        let locked = SeenServer {
            locked: true,
            ..server("SHUTOFF")
        };
        assert_eq!(
            verdict_source_server("p", &server("SHUTOFF"), Some(&active), Asked::Automatically),
            Verdict::Delete
        );
        assert!(kept(&verdict_source_server(
            "p",
            &locked,
            Some(&active),
            Asked::Automatically
        )));
        assert!(kept(&verdict_source_server(
            "p",
            &server("SHUTOFF"),
            None,
            Asked::Automatically
        )));
        assert!(kept(&verdict_source_server(
            "p",
            &server("SHUTOFF"),
            Some(&server("ERROR")),
            Asked::Automatically
        )));
        assert!(kept(&verdict_source_server(
            "q",
            &server("SHUTOFF"),
            Some(&active),
            Asked::Automatically
        )));
    }

    #[test]
    fn a_server_that_was_started_again_goes_only_by_hand() {
        let active = server("ACTIVE");
        let judge = |asked| verdict_source_server("p", &active, Some(&active), asked);
        assert!(kept(&judge(Asked::Automatically)));
        assert_eq!(judge(Asked::ByHand), Verdict::Delete);
    }

    #[test]
    fn a_server_of_unknown_status_is_kept_whoever_asks() {
        let active = server("ACTIVE");
        for asked in [Asked::Automatically, Asked::ByHand] {
            let verdict = verdict_source_server("p", &server("GLORIOUS"), Some(&active), asked);
            assert!(kept(&verdict));
        }
    }
}
