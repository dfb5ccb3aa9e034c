//! A volume that the group left behind on the source.

use super::{
    counterpart::{
        Counterpart, copy_is_not_running, its_twin_would_go_with_it, object_is_not_known,
        relation_is_not_known, twin_is_not_in_use,
    },
    host::{HostState, guest_may_still_write},
    ownership::{owned_by_another_project, protected_again},
    seen::SeenVolume,
    verdict::{Cure, Verdict, keep, wait},
};
use crate::{
    group::ReplicationType,
    storage::{BackendObject, Relation},
};

/// What the record says of a source volume that is about to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceVolume<'a> {
    pub id: &'a str,
    /// The tenant's project on the source.
    pub project_id: &'a str,
    /// The server that it belonged to.
    pub server_id: &'a str,
    /// That server, right now.
    pub server: &'a OwnServer,
    /// The object behind it.
    pub object: Option<&'a BackendObject>,
    /// What that is to the object behind its copy; asked of the array where both are known.
    pub relation: &'a Relation,
    /// How its array replicates it.
    pub replication_type: ReplicationType,
    /// The protection group whose member uses it now, if one does.
    pub protected_by: Option<&'a str>,
}

/// The server that a source volume belonged to, right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnServer {
    /// Nova still knows it.
    There {
        /// Whether Nova says that the volume is one of its disks.
        uses_it: bool,
        /// Whether its guest may run, and Nova is not about to end it.
        runs: bool,
    },
    /// Nova says 404 to a token that proved itself.
    Gone {
        /// The host that it was on when it was last seen.
        host: HostState,
    },
}

/// What may be done with a source volume, given its own reading, its server's and its twin's.
pub fn verdict_source_volume(
    source: &SourceVolume<'_>,
    seen: &SeenVolume,
    twin: &Counterpart,
) -> Verdict {
    owned_by_another_project(source.project_id, seen.project_id.as_deref())
        .or_else(|| protected_again(source.protected_by))
        .or_else(|| its_key_would_go_with_it(source.id, seen))
        .or_else(|| attached_to_a_foreign_server(source, seen))
        .or_else(|| offered_to_another_project(seen))
        .or_else(|| being_migrated(seen))
        .or_else(|| has_snapshots(seen))
        .or_else(|| volume_status_that_is_not_known(source, seen))
        .or_else(|| not_yet_detached(source, seen))
        .or_else(|| taken_from_a_server_that_runs(source))
        .or_else(|| server_is_gone_but_its_guest_may_run(source))
        .or_else(|| object_is_not_known(source.object, twin))
        .or_else(|| relation_is_not_known(source.relation))
        .or_else(|| twin_is_not_in_use(twin))
        .or_else(|| copy_is_not_running(twin.server.as_ref(), twin.meant))
        .or_else(|| attached_to_a_server_that_is_gone(seen))
        .or_else(|| member_of_a_volume_group(seen))
        .or_else(|| its_twin_would_go_with_it(source.relation))
        .or_else(|| leg_of_a_live_replication(source.replication_type))
        .unwrap_or(Verdict::Delete)
}

/// Whether re-attached, or attached to several: a server that is not the member's own may be writing.
fn attached_to_a_foreign_server(source: &SourceVolume<'_>, seen: &SeenVolume) -> Option<Verdict> {
    let foreign = seen
        .attachments
        .iter()
        .map(|attachment| &attachment.server_id)
        .find(|id| *id != source.server_id)?;
    keep(format!(
        "kept: attached to server {foreign}, which is not part of this operation; if it is not needed there, run 'openstack server remove volume {foreign} {}', then run cleanup again",
        source.id
    ))
}

/// Cinder deletes an encrypted volume's key with it, and no other copy of its bytes can be read without that. Nor does it let
/// go of such a volume without deleting it.
pub(super) fn its_key_would_go_with_it(id: &str, seen: &SeenVolume) -> Option<Verdict> {
    if !seen.encrypted {
        return None;
    }
    keep(format!(
        "kept: it is encrypted, and Cinder deletes its key with it: no other copy of its bytes could be read again; see that all of it is on a volume that is not encrypted, then run 'openstack volume delete {id}' by hand"
    ))
}

fn offered_to_another_project(seen: &SeenVolume) -> Option<Verdict> {
    let offer = match (seen.transfer.as_deref(), seen.status.as_str()) {
        (Some(transfer), _) => transfer,
        (None, "awaiting-transfer") => "<transfer>",
        (None, _) => return None,
    };
    keep(format!(
        "kept: it is offered to another project; take the offer back with 'openstack volume transfer request delete {offer}', then run cleanup again"
    ))
}

pub(super) fn being_migrated(seen: &SeenVolume) -> Option<Verdict> {
    match seen.migration_status.as_deref() {
        None | Some("success" | "error" | "none") => None,
        Some(status) => keep(format!(
            "kept: it is being migrated ({status}); run cleanup again when that has ended"
        )),
    }
}

/// A snapshot that somebody took is somebody's data: never by `cascade`.
pub(super) fn has_snapshots(seen: &SeenVolume) -> Option<Verdict> {
    const NAMED: usize = 5;
    let count = seen.snapshots.len();
    if count == 0 {
        return None;
    }
    let mut ids = seen.snapshots[..count.min(NAMED)].join(" ");
    if count > NAMED {
        ids.push_str(" …");
    }
    let noun = if count == 1 { "snapshot" } else { "snapshots" };
    keep(format!(
        "kept: it has {count} {noun} ({ids}), which are somebody's data; if they are not needed, run 'openstack volume snapshot delete {ids}', then run cleanup again"
    ))
}

/// Who holds a volume that nothing is attached to yet, and what lets it go.
fn reserved(id: &str, seen: &SeenVolume) -> String {
    let status = &seen.status;
    let Some(held) = seen.reservations.first() else {
        return format!(
            "kept: it is {status}, and Cinder names no attachment that holds it; if nothing is being attached, an administrator sets it free with 'openstack volume set --state available {id}', then run cleanup again"
        );
    };
    let server = held.server_id.as_ref();
    let holder = server.map_or_else(String::new, |server| format!(" to server {server}"));
    format!(
        "kept: it is {status}, held by attachment {attachment}{holder}; if nothing is being attached, let it go with 'openstack --os-volume-api-version 3.27 volume attachment delete {attachment}', then run cleanup again",
        attachment = held.id
    )
}

/// An attachment that a free volume still lists is stale where its server is gone: an operator has reset the volume's
/// status by hand, as the manual says. The attachment is put right later.
fn volume_status_that_is_not_known(
    source: &SourceVolume<'_>,
    seen: &SeenVolume,
) -> Option<Verdict> {
    let server_is_gone = matches!(source.server, OwnServer::Gone { .. });
    match seen.status.as_str() {
        "in-use" | "detaching" => None,
        "available" if seen.attachments.is_empty() || server_is_gone => None,
        "available" => keep(
            "kept: it says available but still lists an attachment; see 'openstack volume attachment list', then run cleanup again",
        ),
        "reserved" | "attaching" => keep(reserved(source.id, seen)),
        "error_deleting" => keep(
            "kept: Cinder failed to delete it (error_deleting); an administrator can see why and use 'openstack volume delete --force'",
        ),
        other => keep(format!(
            "kept: its status is {other}, expected available; when it is, run cleanup again"
        )),
    }
}

/// Its own server lets go of it when that is deleted. One that is gone lets go of nothing any more.
///
/// What Cinder says is not enough while the server is there: a status that was set by hand takes no disk away from a
/// guest.
fn not_yet_detached(source: &SourceVolume<'_>, seen: &SeenVolume) -> Option<Verdict> {
    if matches!(source.server, OwnServer::There { uses_it: true, .. }) {
        return wait(format!("server {} to let go of it", source.server_id));
    }
    let stale = seen.status == "in-use"
        && !seen.attachments.is_empty()
        && matches!(source.server, OwnServer::Gone { .. });
    if seen.status == "available" || stale {
        return None;
    }
    wait(format!("volume status {}", seen.status))
}

/// It was detached from a guest that went on running, so it may hold what that has written since the group has left. The
/// server itself is kept for that reason; its disk is no more out of use than it is.
fn taken_from_a_server_that_runs(source: &SourceVolume<'_>) -> Option<Verdict> {
    if !matches!(source.server, OwnServer::There { runs: true, .. }) {
        return None;
    }
    keep(format!(
        "kept: it was detached from server {server}, which runs: what that has written to it may be nowhere else; if it may go, stop the server with 'openstack server stop {server}', then run cleanup again",
        server = source.server_id
    ))
}

fn server_is_gone_but_its_guest_may_run(source: &SourceVolume<'_>) -> Option<Verdict> {
    match source.server {
        OwnServer::There { .. } => None,
        OwnServer::Gone { host } => guest_may_still_write(source.server_id, host),
    }
}

/// Nova swallows Cinder's errors when it deletes a server: the attachment outlives it. The record of the attachment
/// goes, never the volume's status: two writers can come of that.
fn attached_to_a_server_that_is_gone(seen: &SeenVolume) -> Option<Verdict> {
    let attachments: Vec<String> = seen
        .attachments
        .iter()
        .map(|attachment| attachment.id.clone())
        .collect();
    (!attachments.is_empty())
        .then_some(Verdict::First(Cure::DeleteStaleAttachments { attachments }))
}

/// Cinder refuses to delete a volume that is in a group.
fn member_of_a_volume_group(seen: &SeenVolume) -> Option<Verdict> {
    let group = seen.group_id.clone()?;
    Some(Verdict::First(Cure::TakeOutOfGroup { group }))
}

/// Both legs of a synchronous replication are one volume: what is deleted on one side is gone on both.
fn leg_of_a_live_replication(replication_type: ReplicationType) -> Option<Verdict> {
    (replication_type == ReplicationType::Sync).then(|| Verdict::Unmanage {
        why: "it is a leg of a synchronous replication, whose other leg is in use".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{
        SeenReservation,
        test_facts::{attached, down, kept, object, server, twin, up, volume},
    };

    fn judge_on(
        server: &OwnServer,
        object: Option<&BackendObject>,
        seen: &SeenVolume,
        twin: &Counterpart,
    ) -> Verdict {
        let source = SourceVolume {
            id: "v",
            project_id: "p",
            server_id: "old",
            server,
            object,
            relation: &Relation::Distinct,
            replication_type: ReplicationType::Async,
            protected_by: None,
        };
        verdict_source_volume(&source, seen, twin)
    }

    fn gone() -> OwnServer {
        OwnServer::Gone { host: up() }
    }

    fn judge(seen: &SeenVolume, twin: &Counterpart) -> Verdict {
        judge_on(&gone(), Some(&object("a")), seen, twin)
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
        kept(Some(judge(&foreign, &twin())));
    }

    #[test]
    fn a_volume_attached_elsewhere_is_kept() {
        let why = kept(Some(judge(&attached("in-use", "other"), &twin())));
        assert!(
            why.contains("'openstack server remove volume other v'"),
            "{why}"
        );
        let mut shared = attached("in-use", "old");
        shared
            .attachments
            .extend(attached("in-use", "other").attachments);
        assert!(kept(Some(judge(&shared, &twin()))).contains("server other"));
    }

    #[test]
    fn a_volume_that_is_offered_to_another_project_is_kept() {
        let offered = SeenVolume {
            transfer: Some("t-1".into()),
            ..volume("awaiting-transfer")
        };
        let why = kept(Some(judge(&offered, &twin())));
        assert!(
            why.contains("openstack volume transfer request delete t-1"),
            "{why}"
        );
        let silent = kept(Some(judge(&volume("awaiting-transfer"), &twin())));
        assert!(silent.contains("transfer request delete"), "{silent}");
    }

    #[test]
    fn an_encrypted_volume_is_kept_whatever_else_would_let_it_go() {
        let encrypted = SeenVolume {
            encrypted: true,
            ..volume("available")
        };
        let why = kept(Some(judge(&encrypted, &twin())));
        assert!(why.contains("Cinder deletes its key with it"), "{why}");
        assert!(why.contains("'openstack volume delete v'"), "{why}");
        let leg = judge_on(&gone(), Some(&object("b")), &encrypted, &twin());
        kept(Some(leg));
    }

    #[test]
    fn a_volume_in_migration_is_kept() {
        let moving = SeenVolume {
            migration_status: Some("migrating".into()),
            ..volume("available")
        };
        assert!(kept(Some(judge(&moving, &twin()))).contains("(migrating)"));
    }

    #[test]
    fn a_volume_with_snapshots_is_kept_and_they_are_named() {
        let precious = SeenVolume {
            snapshots: vec!["s-1".into(), "s-2".into()],
            ..volume("available")
        };
        let why = kept(Some(judge(&precious, &twin())));
        assert!(why.contains("2 snapshots (s-1 s-2)"), "{why}");
    }

    #[test]
    fn an_unknown_status_is_kept() {
        assert!(kept(Some(judge(&volume("glorious"), &twin()))).contains("glorious"));
        assert!(kept(Some(judge(&volume("error_deleting"), &twin()))).contains("--force"));
        assert!(kept(Some(judge(&volume("reserved"), &twin()))).contains("--state available v'"));
        let reserved = SeenVolume {
            reservations: vec![SeenReservation {
                id: "a-1".into(),
                server_id: Some("s-1".into()),
            }],
            ..volume("reserved")
        };
        let why = kept(Some(judge(&reserved, &twin())));
        assert!(
            why.contains("attachment a-1 to server s-1")
                && why.contains("volume attachment delete a-1'"),
            "{why}"
        );
        let contradiction = attached("available", "old");
        let there = OwnServer::There {
            uses_it: false,
            runs: false,
        };
        kept(Some(judge_on(
            &there,
            Some(&object("a")),
            &contradiction,
            &twin(),
        )));
    }

    #[test]
    fn a_volume_that_was_set_available_by_hand_loses_its_stale_attachment_first() {
        let cure = judge(&attached("available", "old"), &twin());
        assert!(matches!(
            cure,
            Verdict::First(Cure::DeleteStaleAttachments { .. })
        ));
    }

    #[test]
    fn a_volume_still_on_its_own_server_is_waited_for() {
        let seen = attached("in-use", "old");
        let there = OwnServer::There {
            uses_it: false,
            runs: false,
        };
        let verdict = judge_on(&there, Some(&object("a")), &seen, &twin());
        assert!(matches!(verdict, Verdict::Wait { .. }));
        let leaving = attached("detaching", "old");
        assert!(matches!(judge(&leaving, &twin()), Verdict::Wait { .. }));
    }

    #[test]
    fn a_volume_that_was_freed_in_cinder_alone_is_not_taken_from_its_server() {
        let there = OwnServer::There {
            uses_it: true,
            runs: true,
        };
        let verdict = judge_on(&there, Some(&object("a")), &volume("available"), &twin());
        assert!(matches!(verdict, Verdict::Wait { .. }));
        let detached = OwnServer::There {
            uses_it: false,
            runs: false,
        };
        let verdict = judge_on(&detached, Some(&object("a")), &volume("available"), &twin());
        assert_eq!(verdict, Verdict::Delete);
    }

    #[test]
    fn a_volume_that_was_taken_from_a_server_that_runs_is_kept() {
        let runs = OwnServer::There {
            uses_it: false,
            runs: true,
        };
        let verdict = judge_on(&runs, Some(&object("a")), &volume("available"), &twin());
        let why = kept(Some(verdict));
        assert!(why.contains("'openstack server stop old'"), "{why}");
    }

    #[test]
    fn a_volume_whose_servers_host_is_down_is_kept() {
        let server = OwnServer::Gone { host: down() };
        for seen in [volume("available"), attached("in-use", "old")] {
            let verdict = judge_on(&server, Some(&object("a")), &seen, &twin());
            assert!(kept(Some(verdict)).contains("host compute-1 is down"));
        }
    }

    #[test]
    fn a_volume_whose_object_the_array_does_not_know_is_kept() {
        kept(Some(judge_on(&gone(), None, &volume("available"), &twin())));
    }

    #[test]
    fn a_volume_without_a_healthy_twin_is_kept() {
        let lost = Counterpart {
            volume: None,
            ..twin()
        };
        let detached = Counterpart {
            volume: Some(volume("available")),
            ..twin()
        };
        let broken = Counterpart {
            server: Some(server("ERROR")),
            ..twin()
        };
        for twin in [lost, detached, broken] {
            kept(Some(judge(&volume("available"), &twin)));
        }
    }

    #[test]
    fn the_attachment_of_a_server_that_is_gone_is_deleted_first() {
        let cure = Cure::DeleteStaleAttachments {
            attachments: vec!["a-old".into()],
        };
        assert_eq!(
            judge(&attached("in-use", "old"), &twin()),
            Verdict::First(cure)
        );
    }

    #[test]
    fn a_volume_in_a_group_is_taken_out_first() {
        let grouped = SeenVolume {
            group_id: Some("g".into()),
            ..volume("available")
        };
        let cure = Cure::TakeOutOfGroup { group: "g".into() };
        assert_eq!(judge(&grouped, &twin()), Verdict::First(cure));
    }

    fn judge_related(relation: &Relation) -> Verdict {
        let source = SourceVolume {
            id: "v",
            project_id: "p",
            server_id: "old",
            server: &gone(),
            object: Some(&object("a")),
            relation,
            replication_type: ReplicationType::Async,
            protected_by: None,
        };
        verdict_source_volume(&source, &volume("available"), &twin())
    }

    #[test]
    fn what_would_take_its_copy_along_is_unmanaged() {
        for relation in [Relation::Same, Relation::LinkedDeletion] {
            let verdict = judge_related(&relation);
            assert!(matches!(verdict, Verdict::Unmanage { .. }), "{verdict:?}");
        }
    }

    #[test]
    fn what_nobody_knows_the_relation_of_is_kept() {
        let why = "it is away".to_owned();
        kept(Some(judge_related(&Relation::Unknown { why })));
    }

    #[test]
    fn a_leg_of_a_live_replication_is_unmanaged() {
        let source = SourceVolume {
            id: "v",
            project_id: "p",
            server_id: "old",
            server: &gone(),
            object: Some(&object("a")),
            relation: &Relation::Distinct,
            replication_type: ReplicationType::Sync,
            protected_by: None,
        };
        let verdict = verdict_source_volume(&source, &volume("available"), &twin());
        assert!(matches!(verdict, Verdict::Unmanage { .. }));
    }
}
