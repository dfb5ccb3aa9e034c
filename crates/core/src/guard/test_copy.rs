//! The guards of a test failover's copies: what must be true of a server or volume on the target right before a test
//! cleanup deletes it.
//!
//! A copy is no backup of anything, so none of them asks for a twin. What they hold back from is deleting something that
//! is not the copy, or that somebody has come to rely on. Unknown means keep (invariant I13).

use super::{
    ownership::{owned_by_another_project, protected_again},
    seen::{SeenMarks, SeenServer, SeenVolume},
    source_server::locked,
    source_volume::{being_migrated, has_snapshots, its_key_would_go_with_it},
    verdict::{Verdict, keep, wait},
};
use crate::{id::OperationId, plan::Plan};

/// What the record says of a copy that is about to be deleted.
#[derive(Clone, Copy, Debug)]
pub struct TestCopy<'a> {
    /// The test failover that made it.
    pub test: &'a OperationId,
    /// The plan of that test failover.
    pub plan: &'a Plan,
    /// The id of its original on the source.
    pub original: &'a str,
    /// Its own id on the target.
    pub id: &'a str,
    /// The protection group that it has become a member of since, or whose member uses it, if there is one.
    pub protected_by: Option<&'a str>,
}

/// Whether a test failover's copy of a server may be deleted.
pub fn verdict_test_server(copy: &TestCopy<'_>, marks: &SeenMarks, seen: &SeenServer) -> Verdict {
    is_an_original(copy)
        .or_else(|| protected_again(copy.protected_by))
        .or_else(|| not_marked_as_this_copy(copy, marks))
        .or_else(|| owned_by_another_project(project_of(copy), seen.project_id.as_deref()))
        .or_else(|| locked(seen))
        .or_else(|| server_in_an_unknown_status(seen))
        .unwrap_or(Verdict::Delete)
}

/// Whether a test failover's copy of a volume may be deleted.
///
/// `server` is the id of the copy that it belongs to, where that is recorded.
pub fn verdict_test_volume(
    copy: &TestCopy<'_>,
    marks: &SeenMarks,
    seen: &SeenVolume,
    server: Option<&str>,
) -> Verdict {
    is_an_original(copy)
        .or_else(|| protected_again(copy.protected_by))
        .or_else(|| not_marked_as_this_copy(copy, marks))
        .or_else(|| owned_by_another_project(project_of(copy), seen.project_id.as_deref()))
        .or_else(|| its_key_would_go_with_it(copy.id, seen))
        .or_else(|| attached_to_another_server(seen, server))
        .or_else(|| in_a_volume_group(copy.id, seen))
        .or_else(|| being_migrated(seen))
        .or_else(|| has_snapshots(seen))
        .or_else(|| still_attached(seen))
        .or_else(|| volume_in_an_unknown_status(seen))
        .unwrap_or(Verdict::Delete)
}

fn project_of<'a>(copy: &TestCopy<'a>) -> &'a str {
    copy.plan.target.project_id.as_str()
}

/// Production is never touched: an id that the plan protects is not a copy, whatever the record says.
fn is_an_original(copy: &TestCopy<'_>) -> Option<Verdict> {
    let protected = copy.plan.member_of_server(copy.id).is_some()
        || copy.plan.volume(copy.id).is_some()
        || copy.plan.source == copy.plan.target;
    if !protected {
        return None;
    }
    keep(format!(
        "kept: {} is what protection group {} protects, not a copy of it",
        copy.id, copy.plan.group_name
    ))
}

fn not_marked_as_this_copy(copy: &TestCopy<'_>, marks: &SeenMarks) -> Option<Verdict> {
    let ours = marks.operation.as_deref() == Some(copy.test.as_str())
        && marks.source.as_deref() == Some(copy.original);
    if ours {
        return None;
    }
    keep(format!(
        "kept: its metadata does not say that operation {} made it as a copy of {} (protector:operation is {}, \
         protector:source is {}); delete it by hand if it is not needed",
        copy.test,
        copy.original,
        marks.operation.as_deref().unwrap_or("not set"),
        marks.source.as_deref().unwrap_or("not set"),
    ))
}

fn server_in_an_unknown_status(seen: &SeenServer) -> Option<Verdict> {
    const KNOWN: [&str; 10] = [
        "ACTIVE",
        "SHUTOFF",
        "ERROR",
        "PAUSED",
        "SUSPENDED",
        "SHELVED",
        "SHELVED_OFFLOADED",
        "SOFT_DELETED",
        "RESCUE",
        "VERIFY_RESIZE",
    ];
    if KNOWN.contains(&seen.status.as_str()) {
        return None;
    }
    keep(format!(
        "kept: its status is {}; run cleanup again when that has passed",
        seen.status
    ))
}

fn attached_to_another_server(seen: &SeenVolume, server: Option<&str>) -> Option<Verdict> {
    let foreign = seen
        .attachments
        .iter()
        .map(|attachment| &attachment.server_id)
        .find(|id| Some(id.as_str()) != server)?;
    keep(format!(
        "kept: attached to server {foreign}, which the test failover did not make; detach it there if it is not \
         needed, then run cleanup again"
    ))
}

fn in_a_volume_group(id: &str, seen: &SeenVolume) -> Option<Verdict> {
    let group = seen.group_id.as_ref()?;
    keep(format!(
        "kept: it is in volume group {group}; take it out with 'cinder group-update {group} --remove-volumes {id}', then run cleanup again"
    ))
}

fn still_attached(seen: &SeenVolume) -> Option<Verdict> {
    if !matches!(seen.status.as_str(), "in-use" | "detaching" | "deleting") {
        return None;
    }
    wait(format!("volume status {}", seen.status))
}

fn volume_in_an_unknown_status(seen: &SeenVolume) -> Option<Verdict> {
    match seen.status.as_str() {
        "available" if seen.attachments.is_empty() => None,
        "available" => keep("kept: it says available but still lists an attachment"),
        "error" => None,
        "error_deleting" => keep(
            "kept: Cinder failed to delete it (error_deleting); an administrator can see why and use 'openstack volume \
             delete --force'",
        ),
        other => keep(format!("kept: its status is {other}, expected available")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::guard::test_facts;

    fn plan() -> Plan {
        Plan {
            source_array: "a".into(),
            target_array: "b".into(),
            ..fixtures::plan(Vec::new())
        }
    }

    fn marks() -> SeenMarks {
        SeenMarks {
            operation: Some("op-test".into()),
            source: Some("original".into()),
        }
    }

    fn server() -> SeenServer {
        SeenServer {
            project_id: Some("project-site-b".into()),
            ..test_facts::server("ACTIVE")
        }
    }

    fn volume(status: &str) -> SeenVolume {
        SeenVolume {
            project_id: Some("project-site-b".into()),
            ..test_facts::volume(status)
        }
    }

    fn judge_server(plan: &Plan, marks: &SeenMarks, seen: &SeenServer) -> Verdict {
        let test = OperationId::new("op-test");
        let copy = TestCopy {
            test: &test,
            plan,
            original: "original",
            id: "copy",
            protected_by: None,
        };
        verdict_test_server(&copy, marks, seen)
    }

    fn judge_volume(marks: &SeenMarks, seen: &SeenVolume) -> Verdict {
        let (plan, test) = (plan(), OperationId::new("op-test"));
        let copy = TestCopy {
            test: &test,
            plan: &plan,
            original: "original",
            id: "copy",
            protected_by: None,
        };
        verdict_test_volume(&copy, marks, seen, Some("copy-server"))
    }

    #[track_caller]
    fn kept(verdict: Verdict, because: &str) {
        match verdict {
            Verdict::Keep { why } => assert!(why.contains(because), "{why}"),
            other => panic!("should be kept, is {other:?}"),
        }
    }

    #[test]
    fn a_marked_copy_goes_whether_or_not_it_runs() {
        for status in ["ACTIVE", "SHUTOFF", "ERROR", "SOFT_DELETED"] {
            let seen = SeenServer {
                status: status.into(),
                ..server()
            };
            assert_eq!(judge_server(&plan(), &marks(), &seen), Verdict::Delete);
        }
        for status in ["available", "error"] {
            let verdict = judge_volume(&marks(), &volume(status));
            assert_eq!(verdict, Verdict::Delete);
        }
    }

    #[test]
    fn what_the_test_did_not_make_is_kept() {
        let strangers = [
            SeenMarks::default(),
            SeenMarks {
                operation: Some("op-other".into()),
                ..marks()
            },
            SeenMarks {
                source: Some("other".into()),
                ..marks()
            },
        ];
        for marks in strangers {
            kept(judge_server(&plan(), &marks, &server()), "metadata");
            kept(judge_volume(&marks, &volume("available")), "metadata");
        }
    }

    #[test]
    fn a_copy_that_a_group_has_taken_up_is_kept() {
        let (plan, test) = (plan(), OperationId::new("op-test"));
        let copy = TestCopy {
            test: &test,
            plan: &plan,
            original: "original",
            id: "copy",
            protected_by: Some("second-life"),
        };
        let because = "group second-life protects it now";
        kept(verdict_test_server(&copy, &marks(), &server()), because);
        let free = volume("available");
        kept(verdict_test_volume(&copy, &marks(), &free, None), because);
    }

    #[test]
    fn nothing_on_the_source_goes() {
        let same_site = Plan {
            target: fixtures::scope("site-a"),
            ..plan()
        };
        kept(judge_server(&same_site, &marks(), &server()), "not a copy");
    }

    #[test]
    fn a_copy_of_another_project_is_kept() {
        for project_id in [Some("other".to_owned()), None] {
            let seen = SeenServer {
                project_id: project_id.clone(),
                ..server()
            };
            kept(judge_server(&plan(), &marks(), &seen), "project");
            let seen = SeenVolume {
                project_id,
                ..volume("available")
            };
            kept(judge_volume(&marks(), &seen), "project");
        }
    }

    #[test]
    fn a_locked_server_is_kept() {
        let seen = SeenServer {
            locked: true,
            locked_reason: Some("audit".into()),
            ..server()
        };
        kept(judge_server(&plan(), &marks(), &seen), "locked (audit)");
    }

    #[test]
    fn a_volume_on_somebodys_server_is_kept_and_one_on_its_own_is_waited_for() {
        let attached = |server: &str| SeenVolume {
            attachments: test_facts::attached("in-use", server).attachments,
            ..volume("in-use")
        };
        kept(judge_volume(&marks(), &attached("other")), "other");
        let own = judge_volume(&marks(), &attached("copy-server"));
        assert!(matches!(own, Verdict::Wait { .. }));
    }

    #[test]
    fn an_encrypted_volume_is_kept() {
        let encrypted = SeenVolume {
            encrypted: true,
            ..volume("available")
        };
        kept(judge_volume(&marks(), &encrypted), "its key");
    }

    #[test]
    fn a_volume_with_snapshots_in_a_group_or_in_migration_is_kept() {
        let photographed = SeenVolume {
            snapshots: vec!["snap-1".to_owned()],
            ..volume("available")
        };
        kept(judge_volume(&marks(), &photographed), "snap-1");
        let grouped = SeenVolume {
            group_id: Some("g".into()),
            ..volume("available")
        };
        kept(judge_volume(&marks(), &grouped), "volume group g");
        let moving = SeenVolume {
            migration_status: Some("migrating".into()),
            ..volume("available")
        };
        kept(judge_volume(&marks(), &moving), "migrated");
    }

    #[test]
    fn an_unknown_status_is_kept() {
        let seen = SeenServer {
            status: "GLORIOUS".into(),
            ..server()
        };
        kept(judge_server(&plan(), &marks(), &seen), "GLORIOUS");
        kept(judge_volume(&marks(), &volume("glorious")), "glorious");
        let stuck = volume("error_deleting");
        kept(judge_volume(&marks(), &stuck), "--force");
    }
}
