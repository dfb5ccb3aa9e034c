//! The copy on the target: nothing goes on the source unless it is well (invariants I2 and I4).

use super::{
    seen::{SeenServer, SeenVolume},
    verdict::{Verdict, keep},
};
use crate::storage::{BackendObject, Relation};

/// How the copy of a server is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyState {
    Running,
    /// It was shut off after it had shown that it runs, as its original was. Its tenant may have started it since.
    RunningOrShutOff,
}

/// The copy of a source volume, as found right now: on the target, or on the source again if the group has come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterpart {
    /// The volume's id; empty where none is recorded.
    pub id: String,
    /// The volume; `None` if it is not there.
    pub volume: Option<SeenVolume>,
    /// The server that it must be attached to; `None` if it is not there.
    pub server: Option<SeenServer>,
    pub server_id: String,
    /// How that server is meant to be.
    pub meant: CopyState,
    /// The object behind the volume.
    pub object: Option<BackendObject>,
}

pub(super) fn twin_is_not_in_use(twin: &Counterpart) -> Option<Verdict> {
    let Some(volume) = &twin.volume else {
        return keep(
            "kept: its copy on the target site is not there: this may be the only good copy; find out what became of the other before anything is deleted",
        );
    };
    if volume.status == "in-use" && volume.is_attached_to(&twin.server_id) {
        return None;
    }
    keep(format!(
        "kept: its copy on the target site is not attached to the recovered server (status {}); when the recovered server uses it again, run cleanup again",
        volume.status
    ))
}

/// The copy of a server must run, or be off as it is meant to be, before anything of the server itself goes.
pub(super) fn copy_is_not_running(copy: Option<&SeenServer>, meant: CopyState) -> Option<Verdict> {
    match copy {
        Some(server) if is_being_deleted(server) => keep(
            "kept: the recovered server on the target site is being deleted; if that is meant, delete this one by hand",
        ),
        Some(server) if server.status == "ACTIVE" => None,
        Some(server) if server.status == "SHUTOFF" && meant == CopyState::RunningOrShutOff => None,
        Some(server) => keep(format!(
            "kept: the recovered server on the target site is {}, expected ACTIVE; when it runs again, run cleanup again",
            server.status
        )),
        None => keep(
            "kept: the recovered server is not on the target site; find out what became of it before anything is deleted",
        ),
    }
}

/// Nova shows the old status until a deletion is through.
fn is_being_deleted(server: &SeenServer) -> bool {
    matches!(
        server.task_state.as_deref(),
        Some("deleting" | "soft-deleting")
    )
}

/// Two volumes that nobody can tell apart might be one.
pub(super) fn object_is_not_known(
    object: Option<&BackendObject>,
    twin: &Counterpart,
) -> Option<Verdict> {
    match (object, twin.object.as_ref()) {
        (_, None) => keep(
            "kept: the array does not know the object behind its copy; when the array answers for it, run cleanup again",
        ),
        (None, _) => keep(
            "kept: the array does not know the object behind it, which might be the one behind its copy; when the array answers for it, run cleanup again",
        ),
        _ => None,
    }
}

/// In a stretched pod both clouds' volumes are one object, and of a mirror's peers the array takes one away with the other:
/// deleting the source destroys production. Cinder forgets it, and its bytes stay.
pub(super) fn its_twin_would_go_with_it(relation: &Relation) -> Option<Verdict> {
    let why = match relation {
        Relation::Distinct | Relation::Unknown { .. } => return None,
        Relation::Same => "it is the same object as its copy on the target site",
        Relation::LinkedDeletion => {
            "it is the replica of its copy on the target site, and their array does not delete one without the other"
        }
    };
    Some(Verdict::Unmanage {
        why: why.to_owned(),
    })
}

/// What is deleted might take the copy with it.
pub(super) fn relation_is_not_known(relation: &Relation) -> Option<Verdict> {
    let Relation::Unknown { why } = relation else {
        return None;
    };
    keep(format!(
        "kept: the array does not tell whether its copy would be deleted with it ({why}); when it does, run cleanup again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_facts::{attached, kept, object, server, twin, volume};

    #[test]
    fn a_copy_that_is_not_there_or_not_attached_saves_its_source() {
        assert_eq!(twin_is_not_in_use(&twin()), None);
        for volume in [
            None,
            Some(volume("available")),
            Some(attached("in-use", "other")),
            Some(attached("error", "copy")),
        ] {
            let twin = Counterpart { volume, ..twin() };
            kept(twin_is_not_in_use(&twin));
        }
    }

    #[test]
    fn a_copy_that_does_not_run_saves_its_source() {
        let running = |copy: Option<&SeenServer>| copy_is_not_running(copy, CopyState::Running);
        assert_eq!(running(Some(&server("ACTIVE"))), None);
        kept(running(None));
        kept(running(Some(&server("ERROR"))));
        kept(running(Some(&server("SHUTOFF"))));
        let leaving = SeenServer {
            task_state: Some("deleting".into()),
            ..server("ACTIVE")
        };
        assert!(kept(running(Some(&leaving))).contains("being deleted"));
    }

    #[test]
    fn a_copy_that_is_off_as_its_original_was_is_well() {
        let off =
            |copy: Option<&SeenServer>| copy_is_not_running(copy, CopyState::RunningOrShutOff);
        assert_eq!(off(Some(&server("SHUTOFF"))), None);
        assert_eq!(off(Some(&server("ACTIVE"))), None);
        kept(off(Some(&server("ERROR"))));
        kept(off(None));
    }

    #[test]
    fn an_object_that_the_array_does_not_know_is_kept() {
        let known = object("a");
        assert_eq!(object_is_not_known(Some(&known), &twin()), None);
        kept(object_is_not_known(None, &twin()));
        let nameless = Counterpart {
            object: None,
            ..twin()
        };
        kept(object_is_not_known(Some(&known), &nameless));
    }

    #[test]
    fn what_would_take_its_copy_along_is_unmanaged() {
        assert_eq!(its_twin_would_go_with_it(&Relation::Distinct), None);
        for relation in [Relation::Same, Relation::LinkedDeletion] {
            let verdict = its_twin_would_go_with_it(&relation);
            assert!(matches!(verdict, Some(Verdict::Unmanage { .. })));
        }
    }

    #[test]
    fn what_nobody_knows_the_relation_of_is_kept() {
        assert_eq!(relation_is_not_known(&Relation::Distinct), None);
        let silent = Relation::Unknown {
            why: "it is away".to_owned(),
        };
        assert!(kept(relation_is_not_known(&silent)).contains("(it is away)"));
    }
}
