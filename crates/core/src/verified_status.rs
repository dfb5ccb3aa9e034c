//! Whether a group is where its record says that it is, told from what both clouds show of its members.
//!
//! A pure function. It says that a group is at rest only where that is certain: each member that runs there runs nowhere
//! else, and where none runs, no other copy is there of which nobody knows which of the two is the newer one.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    group::Group,
    id::ServerId,
    mark,
    member::{Member, MemberStatus},
    orphan::CloudResource,
    runbook::resource::ResourceKind,
    site::SiteScope,
};

/// What is known of the site on which a group does not run.
#[derive(Clone, Copy, Debug)]
pub enum Other<'e> {
    /// All that it shows of the tenant's project.
    Shows(&'e [CloudResource]),
    /// Whoever asks says that it is lost, and answers for it.
    Lost,
}

/// What a group's status is judged by.
#[derive(Clone, Copy, Debug)]
pub struct StatusEvidence<'e> {
    pub group: &'e Group,
    pub members: &'e [Member],
    /// All that the site shows on which it runs.
    pub here: &'e [CloudResource],
    pub other: Other<'e>,
    /// By a member's server: the servers that it was on the other site, by the records of its moves.
    pub recorded: &'e BTreeMap<ServerId, Vec<String>>,
    /// The test failovers whose copies may be up.
    pub tests: &'e BTreeSet<String>,
}

/// What was found of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusFinding {
    pub member: String,
    /// What was found, and what to do about it.
    pub found: String,
    /// Whether the group is not certainly where it is said to be while it is so.
    pub is_in_the_way: bool,
}

/// What was found of a group's members, one or more for each.
pub fn findings(evidence: &StatusEvidence<'_>) -> Vec<StatusFinding> {
    let runs_here = |member: &&Member| member.status == MemberStatus::Protected;
    let mut found: Vec<StatusFinding> = evidence
        .members
        .iter()
        .filter(runs_here)
        .flat_map(|member| of_member(evidence, member))
        .collect();
    if matches!(evidence.other, Other::Lost) {
        let site = &evidence.group.other().site;
        found.push(StatusFinding {
            member: String::new(),
            found: format!(
                "{site} was not asked, since it is said to be lost: what runs there runs twice until it is fenced"
            ),
            is_in_the_way: false,
        });
    }
    found
}

fn of_member(evidence: &StatusEvidence<'_>, member: &Member) -> Vec<StatusFinding> {
    let here = find(
        evidence.here,
        ResourceKind::Server,
        member.server_id.as_str(),
    );
    let mut found = vec![of_server(evidence, member, here)];
    if here.is_some() {
        found.extend(missing_volumes(evidence, member));
    }
    found
}

fn of_server(
    evidence: &StatusEvidence<'_>,
    member: &Member,
    here: Option<&CloudResource>,
) -> StatusFinding {
    let twins = twins(evidence, member, here);
    let running = twins.iter().find(|twin| may_run(&twin.held.status));
    let stopped = twins.iter().find(|twin| twin.is_certain);
    let place = Places::of(evidence.group, member);
    match (here, running, stopped) {
        (Some(here), Some(twin), _) if may_run(&here.status) => place.in_the_way(format!(
            "is {} on {}, and {} is {} on {}: {}",
            here.status,
            place.here(),
            twin.held.id,
            twin.held.status,
            place.there(),
            place.stop(twin)
        )),
        (_, Some(twin), _) => place.in_the_way(format!(
            "does not run on {}, and {} is {} on {}: if that one is to count, delete the group and protect it there; else {}",
            place.here(),
            twin.held.id,
            twin.held.status,
            place.there(),
            place.stop(twin)
        )),
        (Some(here), None, Some(twin)) if !may_run(&here.status) => place.in_the_way(format!(
            "is {} on {}, as {} is on {}, and nobody knows which of them is the newer one: start the one of this group with 'openstack --os-cloud {} server start {}' if it is{}",
            here.status,
            place.here(),
            twin.held.id,
            place.there(),
            place.here(),
            here.id,
            place.unmark(twin)
        )),
        (None, None, Some(twin)) => place.in_the_way(format!(
            "is gone from {}, and {} is left of it on {}: save it, then '{}'{}",
            place.here(),
            twin.held.id,
            place.there(),
            member.removal(&evidence.group.name),
            place.unmark(twin)
        )),
        (None, None, None) => place.note(format!(
            "is gone from {}: '{}' takes it out of the group",
            place.here(),
            member.removal(&evidence.group.name)
        )),
        (Some(here), None, _) => place.note(format!("is {} on {}", here.status, place.here())),
    }
}

/// A volume that is gone under its server may be left on the other site alone.
fn missing_volumes(evidence: &StatusEvidence<'_>, member: &Member) -> Vec<StatusFinding> {
    let place = Places::of(evidence.group, member);
    member
        .volumes
        .iter()
        .filter(|volume| find(evidence.here, ResourceKind::Volume, volume.id.as_str()).is_none())
        .map(|volume| {
            place.in_the_way(format!(
                "lacks volume {} ({}) on {}: 'openstack dr member remove {} {}', then add it again as it is",
                volume.name,
                volume.id,
                place.here(),
                evidence.group.name,
                member.name
            ))
        })
        .collect()
}

/// A server of the other site that may be the same machine.
struct CounterpartSeen<'e> {
    held: &'e CloudResource,
    /// Whether a mark or a record says so; else its name does.
    is_certain: bool,
    /// The key of its own mark that does, which somebody may have copied.
    marked: Option<&'static str>,
}

fn twins<'e>(
    evidence: &StatusEvidence<'e>,
    member: &Member,
    here: Option<&CloudResource>,
) -> Vec<CounterpartSeen<'e>> {
    let Other::Shows(there) = evidence.other else {
        return Vec::new();
    };
    let is_a_test = |held: &CloudResource| {
        held.marked_by()
            .is_some_and(|by| evidence.tests.contains(by))
    };
    let made_from = here.and_then(|here| here.metadata.get(mark::SOURCE));
    // The copy of a test that is protected is a machine of its own.
    let first_life = here
        .filter(|here| !is_a_test(here))
        .and_then(|here| mark::origin(&here.metadata));
    let recorded = evidence.recorded.get(&member.server_id);
    let marked = |held: &CloudResource| {
        let names = |mark, id| held.metadata.get(mark).map(String::as_str) == id;
        if names(mark::SOURCE, Some(member.server_id.as_str())) {
            return Some(mark::SOURCE);
        }
        let is_the_same = first_life.is_some() && names(mark::ORIGIN, first_life);
        is_the_same.then_some(mark::ORIGIN)
    };
    let is_certain = |held: &CloudResource| {
        marked(held).is_some()
            || made_from == Some(&held.id)
            || first_life == Some(held.id.as_str())
            || recorded.is_some_and(|ids| ids.contains(&held.id))
    };
    let mut twins: Vec<CounterpartSeen<'e>> = there
        .iter()
        .filter(|held| held.kind == ResourceKind::Server && !is_a_test(held))
        .map(|held| CounterpartSeen {
            held,
            is_certain: is_certain(held),
            marked: marked(held),
        })
        .filter(|twin| twin.is_certain || twin.held.name == member.name)
        .collect();
    twins.sort_by_key(|twin| !twin.is_certain);
    twins
}

fn find<'e>(held: &'e [CloudResource], kind: ResourceKind, id: &str) -> Option<&'e CloudResource> {
    held.iter().find(|held| held.kind == kind && held.id == id)
}

/// Whether a server of this status word may run. What is not known may.
fn may_run(status: &str) -> bool {
    !matches!(status, "SHUTOFF" | "SOFT_DELETED" | "SHELVED_OFFLOADED")
}

/// Where a member is and could be, for sentences about it.
struct Places<'e> {
    member: &'e Member,
    here: &'e SiteScope,
    there: &'e SiteScope,
}

impl<'e> Places<'e> {
    fn of(group: &'e Group, member: &'e Member) -> Self {
        Self {
            member,
            here: group.current(),
            there: group.other(),
        }
    }

    fn here(&self) -> &'e str {
        self.here.site.as_str()
    }

    fn there(&self) -> &'e str {
        self.there.site.as_str()
    }

    fn stop(&self, twin: &CounterpartSeen<'_>) -> String {
        format!(
            "stop it with 'openstack --os-cloud {} server stop {}'{}",
            self.there(),
            twin.held.id,
            self.unmark(twin)
        )
    }

    /// The other way on, for behind a sentence, where nothing but its mark says that it is a copy.
    fn unmark(&self, twin: &CounterpartSeen<'_>) -> String {
        let take_off = |mark| mark::take_off_that(mark, self.there(), &twin.held.id);
        twin.marked
            .map(|mark| format!("; {}", take_off(mark)))
            .unwrap_or_default()
    }

    fn in_the_way(&self, found: String) -> StatusFinding {
        self.finding(found, true)
    }

    fn note(&self, found: String) -> StatusFinding {
        self.finding(found, false)
    }

    fn finding(&self, found: String, is_in_the_way: bool) -> StatusFinding {
        StatusFinding {
            member: self.member.name.clone(),
            found,
            is_in_the_way,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal_conformance::{group, member, operation};

    /// What two clouds show of a group of one member that runs on its primary site.
    struct Scene {
        group: Group,
        member: Member,
        here: Vec<CloudResource>,
        there: Vec<CloudResource>,
        recorded: BTreeMap<ServerId, Vec<String>>,
        tests: BTreeSet<String>,
    }

    impl Scene {
        fn new() -> Self {
            let record = operation(1);
            let member = member(&record, "web");
            let mut here = vec![server(member.server_id.as_str(), "web", "ACTIVE")];
            here.extend(member.volumes.iter().map(|volume| CloudResource {
                kind: ResourceKind::Volume,
                ..server(volume.id.as_str(), &volume.name, "in-use")
            }));
            Self {
                group: group(&record),
                member,
                here,
                there: Vec::new(),
                recorded: BTreeMap::new(),
                tests: BTreeSet::new(),
            }
        }

        fn here_is(mut self, status: &str) -> Self {
            self.here[0].status = status.to_owned();
            self
        }

        fn gone_here(mut self) -> Self {
            self.here.remove(0);
            self
        }

        fn copy_is(mut self, status: &str) -> Self {
            let mut copy = server("copy", "other-name", status);
            let source = self.member.server_id.to_string();
            copy.metadata.insert(mark::SOURCE.to_owned(), source);
            copy.metadata
                .insert(mark::OPERATION.to_owned(), "op-1".to_owned());
            self.there.push(copy);
            self
        }

        fn judged_by(&self, other: Other<'_>) -> Vec<StatusFinding> {
            findings(&StatusEvidence {
                group: &self.group,
                members: std::slice::from_ref(&self.member),
                here: &self.here,
                other,
                recorded: &self.recorded,
                tests: &self.tests,
            })
        }

        fn judged(&self) -> Vec<StatusFinding> {
            self.judged_by(Other::Shows(&self.there))
        }

        /// The only thing that is in the way.
        #[track_caller]
        fn in_the_way(&self) -> String {
            let found = self.judged();
            let mut bad = found.iter().filter(|finding| finding.is_in_the_way);
            let first = bad.next().unwrap_or_else(|| panic!("{found:?}"));
            assert_eq!(bad.next(), None);
            first.found.clone()
        }

        #[track_caller]
        fn is_well(&self) {
            let found = self.judged();
            assert!(
                !found.iter().any(|finding| finding.is_in_the_way),
                "{found:?}"
            );
        }
    }

    fn server(id: &str, name: &str, status: &str) -> CloudResource {
        CloudResource {
            kind: ResourceKind::Server,
            id: id.to_owned(),
            name: name.to_owned(),
            project_id: "project".into(),
            status: status.to_owned(),
            size_gib: None,
            created_at: chrono::DateTime::UNIX_EPOCH,
            metadata: BTreeMap::new(),
            servers: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    #[test]
    fn a_member_that_runs_where_it_belongs_and_nowhere_else_is_well() {
        Scene::new().is_well();
        Scene::new().copy_is("SHUTOFF").is_well();
        Scene::new().here_is("SHUTOFF").is_well();
    }

    #[test]
    fn a_server_that_was_deleted_and_left_no_copy_is_no_hindrance() {
        let scene = Scene::new().gone_here();
        scene.is_well();
        let said = &scene.judged()[0].found;
        assert!(said.contains("member remove"), "{said}");
    }

    #[test]
    fn a_copy_that_may_run_is_named_with_the_command_that_stops_it() {
        for status in ["ACTIVE", "ERROR", "PAUSED", "UNHEARD_OF"] {
            let said = Scene::new().copy_is(status).in_the_way();
            assert!(said.contains("server stop copy"), "{said}");
        }
    }

    /// Metadata can be copied: nobody is left with stopping or saving what is a stranger's.
    #[test]
    fn what_nothing_but_its_mark_makes_a_copy_can_be_unmarked() {
        let scenes = [
            Scene::new().copy_is("ACTIVE"),
            Scene::new().here_is("SHUTOFF").copy_is("ACTIVE"),
            Scene::new().here_is("SHUTOFF").copy_is("SHUTOFF"),
            Scene::new().gone_here().copy_is("SHUTOFF"),
        ];
        let cure = "openstack --os-cloud site-b server unset --property protector:source copy";
        for mut scene in scenes {
            let said = scene.in_the_way();
            assert!(said.contains(cure), "{said}");
            scene.there[0].metadata.clear();
            scene.is_well();
        }
    }

    #[test]
    fn a_copy_that_runs_alone_is_not_discarded_for_its_stopped_original() {
        let said = Scene::new()
            .here_is("SHUTOFF")
            .copy_is("ACTIVE")
            .in_the_way();
        assert!(said.contains("protect it there"), "{said}");
        let said = Scene::new().gone_here().copy_is("ACTIVE").in_the_way();
        assert!(said.contains("protect it there"), "{said}");
    }

    #[test]
    fn of_two_that_are_stopped_nobody_knows_which_counts() {
        let said = Scene::new()
            .here_is("SHUTOFF")
            .copy_is("SHUTOFF")
            .in_the_way();
        assert!(said.contains("server start server-web"), "{said}");
    }

    #[test]
    fn a_copy_that_is_all_that_is_left_is_saved_first() {
        let said = Scene::new().gone_here().copy_is("SHUTOFF").in_the_way();
        assert!(said.contains("copy is left of it"), "{said}");
    }

    #[test]
    fn an_original_is_known_by_the_copys_mark_by_the_record_and_by_its_name() {
        let mut scene = Scene::new();
        scene.there.push(server("original", "another", "ACTIVE"));
        scene.is_well();
        let source = "original".to_owned();
        scene.here[0]
            .metadata
            .insert(mark::SOURCE.to_owned(), source);
        scene.in_the_way();

        let mut scene = Scene::new();
        scene.there.push(server("original", "another", "ACTIVE"));
        let first = |id: &str| (mark::ORIGIN.to_owned(), id.to_owned());
        scene.here[0].metadata.extend([first("original")]);
        scene.in_the_way();
        scene.there[0].id = "third".to_owned();
        scene.is_well();
        scene.there[0].metadata.extend([first("original")]);
        let said = scene.in_the_way();
        assert!(
            said.contains("unset --property protector:origin third"),
            "{said}"
        );

        let mut scene = Scene::new();
        scene.there.push(server("original", "another", "ACTIVE"));
        let id = scene.member.server_id.clone();
        scene.recorded.insert(id, vec!["original".to_owned()]);
        scene.in_the_way();

        let mut scene = Scene::new();
        scene.there.push(server("who-knows", "web", "ACTIVE"));
        scene.in_the_way();
        scene.there[0].status = "SHUTOFF".to_owned();
        scene.here[0].status = "SHUTOFF".to_owned();
        scene.is_well();
    }

    #[test]
    fn the_copies_of_a_test_failover_may_run() {
        let mut scene = Scene::new().copy_is("ACTIVE");
        scene.tests.insert("op-1".to_owned());
        scene.is_well();
    }

    #[test]
    fn a_volume_that_is_gone_under_its_server_is_in_the_way() {
        let mut scene = Scene::new();
        scene.here.pop();
        let said = scene.in_the_way();
        assert!(said.contains("lacks volume"), "{said}");
    }

    #[test]
    fn a_site_that_is_said_to_be_lost_is_not_asked_and_that_is_said() {
        let scene = Scene::new().copy_is("ACTIVE");
        let found = scene.judged_by(Other::Lost);
        assert!(
            !found.iter().any(|finding| finding.is_in_the_way),
            "{found:?}"
        );
        assert!(found[1].found.contains("is said to be lost"), "{found:?}");
    }
}
