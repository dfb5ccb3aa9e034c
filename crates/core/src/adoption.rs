//! Going forward with what a failed move has made and could not take back: whether that can be, told from its record and from
//! what both clouds show.
//!
//! A pure function. The steps of the adoption look at all of it again, and at what is not shown here; what is found here is
//! said before anything is started.

use std::collections::BTreeSet;

use crate::{
    guard::to_make_it_run,
    id::{OperationId, ServerId},
    mark,
    member::{Member, MemberStatus, ProtectedVolume},
    operation::{MapKind, OperationRecord, ResourceMap, StepState},
    orphan::CloudResource,
    plan::Plan,
    runbook::{Step, resource::ResourceKind},
};

/// What both clouds show of the tenant's projects.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'e> {
    /// The site that the group was to leave.
    pub source: &'e [CloudResource],
    /// The site to which it was to go.
    pub target: &'e [CloudResource],
}

/// A member that stands in the way of an adoption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub member: String,
    /// What was found, and the command that leads on.
    pub found: String,
}

/// The plan with which a group of these `members` goes forward with what `failed` has made, and what its record knows of the
/// originals: from where on what is asked of them counts, and the hosts that they were on.
pub fn adoption_of(failed: &OperationRecord, members: &[Member]) -> (Plan, ResourceMap) {
    let operation = &failed.operation;
    let is_member = |known: &Member| members.iter().any(|member| member.id == known.id);
    let mut plan = Plan {
        adopts: Some(operation.id.clone()),
        ..operation.plan.clone()
    };
    plan.members.retain(is_member);
    plan.others.retain(is_member);
    let mut map = ResourceMap::default();
    for (kind, source, target) in failed.map.iter() {
        if matches!(
            kind,
            MapKind::LastAction | MapKind::ComputeHost | MapKind::VolumeSize
        ) {
            map.insert(kind, source, target);
        }
    }
    (plan, map)
}

/// The two ways on where an original has what its copy lacks: which of them counts, a person says.
///
/// `failed` has made the copy, and `status` is what the original shows, if it is there. With it go its volumes: what is left
/// of it is deleted after the switch, and nobody else says that this may be lost.
pub fn ways_on(plan: &Plan, failed: &OperationId, member: &Member, status: Option<&str>) -> String {
    let site = &plan.source.site;
    let server = match status {
        None => String::new(),
        // A delete has been asked for already, and Nova still keeps it.
        Some("SOFT_DELETED") => format!(
            "its server with 'openstack --os-cloud {site} server delete --force {}' and ",
            member.server_id
        ),
        Some(_) => format!(
            "its server with 'openstack --os-cloud {site} server delete {}' and ",
            member.server_id
        ),
    };
    let volumes: Vec<&str> = member
        .volumes
        .iter()
        .map(|volume| volume.id.as_str())
        .collect();
    format!(
        "if the original is to count, 'openstack dr operation cleanup {failed} --delete-running {name}' takes the copy back though it runs; if the copy is to count, save what the original has, delete {server}its volumes, which the adoption deletes only of one that has rested, with 'openstack --os-cloud {site} volume delete {volumes}', and adopt again",
        name = member.name,
        volumes = volumes.join(" "),
    )
}

/// The members of `plan` for which a server has to be built, from the volumes that `failed` has imported.
///
/// # Errors
///
/// All that is in the way, member by member.
pub fn to_build(
    plan: &Plan,
    failed: &OperationRecord,
    members: &[Member],
    shown: Shown<'_>,
) -> Result<BTreeSet<ServerId>, Vec<Obstacle>> {
    let look = Look {
        plan,
        failed,
        shown,
    };
    let mut obstacles: Vec<Obstacle> = members
        .iter()
        .filter(|member| !look.is_moved(member) && !look.is_there_already(member))
        .map(|member| Obstacle {
            member: member.name.clone(),
            found: format!(
                "is no member that operation {} was to move: 'openstack dr member remove {} {}' takes it out of the group, and it can be added again afterwards",
                failed.operation.id, plan.group_name, member.name
            ),
        })
        .collect();
    let mut built = BTreeSet::new();
    for member in &plan.members {
        let found = look.original(member).and_then(|()| look.copy(member));
        match found {
            Ok(Copy::Runs) => {}
            Ok(Copy::CanBeBuilt) => {
                built.insert(member.server_id.clone());
            }
            Err(found) => obstacles.push(Obstacle {
                member: member.name.clone(),
                found,
            }),
        }
    }
    if obstacles.is_empty() && built.len() == plan.members.len() {
        obstacles.push(Obstacle {
            member: plan.group_name.clone(),
            found: format!(
                "has no copy on {} that runs: there is nothing to go forward with; {}",
                plan.target.site,
                look.cleanup()
            ),
        });
    }
    match obstacles.is_empty() {
        true => Ok(built),
        false => Err(obstacles),
    }
}

/// What there is of a member on the target.
enum Copy {
    Runs,
    CanBeBuilt,
}

struct Look<'e> {
    plan: &'e Plan,
    failed: &'e OperationRecord,
    shown: Shown<'e>,
}

impl Look<'_> {
    fn is_moved(&self, member: &Member) -> bool {
        self.plan.members.iter().any(|known| known.id == member.id)
    }

    /// One that an earlier failover could not recover is where the group goes.
    fn is_there_already(&self, member: &Member) -> bool {
        member.status == MemberStatus::Error
            && self.plan.others.iter().any(|known| known.id == member.id)
    }

    fn cleanup(&self) -> String {
        format!(
            "'openstack dr operation cleanup {}' takes back what is left",
            self.failed.operation.id
        )
    }

    /// What an original may have written that its copy lacks. Of one that is stopped or gone the adoption asks its cloud.
    fn original(&self, member: &Member) -> Result<(), String> {
        let site = &self.plan.source.site;
        let is_original = |held: &&CloudResource| {
            held.kind == ResourceKind::Server && held.id == member.server_id.as_str()
        };
        let held = match self.shown.source.iter().find(is_original) {
            None => return Ok(()),
            Some(held) if held.status == "SHUTOFF" => return Ok(()),
            Some(held) => held,
        };
        let copies = self.marked(ResourceKind::Server, member.server_id.as_str());
        let (status, id) = (&held.status, &held.id);
        Err(match copies.is_empty() {
            // There is no copy that could count: nobody is told to delete what is nowhere else.
            true => format!(
                "is {status} on {site} ({id}), and has no copy on {}: 'openstack dr member remove {} {}' takes it out of the group, which goes forward without it",
                self.plan.target.site, self.plan.group_name, member.name
            ),
            false => format!(
                "is {status} on {site} ({id}), and what it writes there is not in its copy: {}",
                ways_on(self.plan, &self.failed.operation.id, member, Some(status))
            ),
        })
    }

    fn copy(&self, member: &Member) -> Result<Copy, String> {
        let site = &self.plan.target.site;
        let copies = self.marked(ResourceKind::Server, member.server_id.as_str());
        let failed = &self.failed.operation.id;
        match copies.as_slice() {
            [copy] if copy.marked_by() != Some(failed.as_str()) => Err(format!(
                "has {} on {site}, which operation {} has made and not {failed}: adopt that one; {}",
                copy.id,
                copy.marked_by().unwrap_or("that it does not name"),
                mark::take_off(site.as_str(), &copy.id)
            )),
            [copy] if matches!(copy.status.as_str(), "ACTIVE" | "BUILD") => self
                .missing_imports(member)
                .map_or(Ok(Copy::Runs), |missing| {
                    Err(format!(
                        "runs as {} on {site}, and {missing}: it is not whole; {}",
                        copy.id,
                        self.cleanup()
                    ))
                }),
            [copy] => Err(format!(
                "has its copy {id} on {site}, which is {status}: {first}, then adopt again",
                id = copy.id,
                status = copy.status,
                first = to_make_it_run(&copy.status, site, &copy.id)
            )),
            [] => self.to_be_built(member),
            several => Err(format!(
                "has more than one copy on {site} ({}): delete those that nobody needs, then adopt again; of each of them: {}",
                several
                    .iter()
                    .map(|copy| copy.id.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                mark::take_off(site.as_str(), "<id>")
            )),
        }
    }

    /// Only what the failed move itself has taken back, or never made, is built again: another copy may have been written to.
    fn to_be_built(&self, member: &Member) -> Result<Copy, String> {
        let site = &self.plan.target.site;
        if self.had_a_copy(&member.server_id) {
            return Err(format!(
                "has no copy on {site} any more, where the failed operation had left one: what that has written is in its volumes alone, if they are there; {}",
                self.cleanup()
            ));
        }
        match self.missing_imports(member) {
            None => Ok(Copy::CanBeBuilt),
            Some(missing) => Err(format!(
                "has no copy on {site}, and {missing}: 'openstack dr member remove {} {}' takes it out of the group, which goes forward without it; {}",
                self.plan.group_name,
                member.name,
                self.cleanup()
            )),
        }
    }

    fn had_a_copy(&self, server: &ServerId) -> bool {
        self.failed.steps.iter().any(|step| {
            matches!(&step.action, Step::RecreateServer { server: of } if of == server)
                && step.progress.memo.has_made_something()
                && step.progress.state != StepState::Undone
        })
    }

    fn missing_imports(&self, member: &Member) -> Option<String> {
        let missing: Vec<&str> = member
            .volumes
            .iter()
            .filter(|volume| !self.is_imported(volume))
            .map(|volume| volume.name.as_str())
            .collect();
        (!missing.is_empty()).then(|| {
            format!(
                "the import of its volume {} is not there",
                missing.join(", ")
            )
        })
    }

    fn is_imported(&self, volume: &ProtectedVolume) -> bool {
        let failed = self.failed.operation.id.as_str();
        let imports = self.marked(ResourceKind::Volume, volume.id.as_str());
        imports.iter().any(|held| held.marked_by() == Some(failed))
    }

    /// What is marked as a copy of `source`, but for those of tests.
    fn marked(&self, kind: ResourceKind, source: &str) -> Vec<&CloudResource> {
        self.shown
            .target
            .iter()
            .filter(|held| {
                let of = held.metadata.get(mark::SOURCE).map(String::as_str);
                let is_of_a_test = held.metadata.contains_key(mark::TEST);
                held.kind == kind
                    && of == Some(source)
                    && !is_of_a_test
                    && !matches!(held.status.as_str(), "DELETED" | "SOFT_DELETED")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;

    use super::*;
    use crate::fixtures;
    use crate::{
        operation::{Memo, Operation, OperationKind, OperationState, StepProgress},
        runbook::failover::planned_move,
    };

    fn member(name: &str) -> Member {
        Member {
            volumes: vec![ProtectedVolume {
                name: format!("boot of {name}"),
                device: "/dev/vda".to_owned(),
                boot: true,
                ..fixtures::volume(&format!("boot-{name}"))
            }],
            ..fixtures::member(name)
        }
    }

    fn plan(members: Vec<Member>) -> Plan {
        Plan {
            group_name: "web".into(),
            source_array: "a".into(),
            target_array: "b".into(),
            ..fixtures::plan(members)
        }
    }

    fn operation(plan: Plan) -> Operation {
        Operation {
            state: OperationState::Failed,
            ..fixtures::operation("op-failed", OperationKind::Failover, plan)
        }
    }

    /// A failed move of `members`, as its record says, that has taken back each copy but those of the servers in `left`.
    fn failed(members: &[Member], left: &[&str]) -> OperationRecord {
        let plan = plan(members.to_vec());
        let mut record = OperationRecord {
            steps: planned_move(&plan).into_steps().unwrap(),
            operation: operation(plan),
            map: ResourceMap::default(),
        };
        for step in &mut record.steps {
            let Step::RecreateServer { server } = &step.action else {
                continue;
            };
            let is_left = left.contains(&server.as_str());
            step.progress = StepProgress {
                state: match is_left {
                    true => StepState::UndoFailed,
                    false => StepState::Undone,
                },
                memo: Memo {
                    intents: 1,
                    made: Some("copy-1".to_owned()),
                    ..Memo::default()
                },
                ..StepProgress::default()
            };
        }
        record
    }

    fn held(kind: ResourceKind, id: &str, status: &str) -> CloudResource {
        CloudResource {
            kind,
            id: id.to_owned(),
            name: id.to_owned(),
            project_id: "p".into(),
            status: status.to_owned(),
            size_gib: None,
            created_at: DateTime::UNIX_EPOCH,
            metadata: BTreeMap::new(),
            servers: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    fn copy(kind: ResourceKind, source: &str, status: &str, by: &OperationId) -> CloudResource {
        let mut copy = held(kind, &format!("copy-of-{source}"), status);
        copy.metadata = BTreeMap::from([
            (mark::OPERATION.to_owned(), by.to_string()),
            (mark::SOURCE.to_owned(), source.to_owned()),
        ]);
        copy
    }

    /// The imports of all volumes of a member.
    fn imports(member: &Member, by: &OperationId) -> Vec<CloudResource> {
        let volumes = member.volumes.iter();
        volumes
            .map(|volume| copy(ResourceKind::Volume, volume.id.as_str(), "in-use", by))
            .collect()
    }

    /// A record of two members, both of them with all of their imports.
    struct Case {
        record: OperationRecord,
        plan: Plan,
        members: Vec<Member>,
        source: Vec<CloudResource>,
        target: Vec<CloudResource>,
    }

    impl Case {
        fn with_copies_left(left: usize) -> Self {
            let members = vec![member("first"), member("second")];
            let ids: Vec<&str> = members
                .iter()
                .take(left)
                .map(|member| member.server_id.as_str())
                .collect();
            let record = failed(&members, &ids);
            let (plan, _) = adoption_of(&record, &members);
            let by = &record.operation.id;
            let mut target: Vec<CloudResource> =
                members.iter().flat_map(|m| imports(m, by)).collect();
            target.extend(
                ids.iter()
                    .map(|id| copy(ResourceKind::Server, id, "ACTIVE", by)),
            );
            Self {
                source: members
                    .iter()
                    .map(|member| held(ResourceKind::Server, member.server_id.as_str(), "SHUTOFF"))
                    .collect(),
                plan,
                members,
                target,
                record,
            }
        }

        fn judged(&self) -> Result<BTreeSet<ServerId>, Vec<String>> {
            let shown = Shown {
                source: &self.source,
                target: &self.target,
            };
            to_build(&self.plan, &self.record, &self.members, shown).map_err(|obstacles| {
                let said = obstacles.into_iter();
                said.map(|obstacle| format!("{} {}", obstacle.member, obstacle.found))
                    .collect()
            })
        }

        fn refusal(&self) -> String {
            self.judged().unwrap_err().join("; ")
        }
    }

    #[test]
    fn what_runs_is_adopted_and_what_was_taken_back_is_built_from_its_imports() {
        let whole = Case::with_copies_left(2);
        assert_eq!(whole.judged(), Ok(BTreeSet::new()));
        let part = Case::with_copies_left(1);
        let second = ServerId::new("server-second");
        assert_eq!(part.judged(), Ok(BTreeSet::from([second])));
    }

    #[test]
    fn where_nothing_runs_there_is_nothing_to_go_forward_with() {
        let said = Case::with_copies_left(0).refusal();
        assert!(said.contains("nothing to go forward with"), "{said}");
        assert!(said.contains("operation cleanup"), "{said}");
    }

    #[test]
    fn nothing_is_built_without_its_imports() {
        let mut case = Case::with_copies_left(1);
        case.target.retain(|held| held.id != "copy-of-boot-second");
        let said = case.refusal();
        assert!(said.contains("second has no copy on"), "{said}");
        assert!(said.contains("openstack dr member remove"), "{said}");
    }

    /// What it has written is in its volumes alone.
    #[test]
    fn a_copy_that_was_left_and_is_gone_is_not_built_again() {
        let mut case = Case::with_copies_left(1);
        let gone = format!("copy-of-{}", case.members[0].server_id);
        case.target.retain(|held| held.id != gone);
        let said = case.refusal();
        assert!(said.contains("has no copy on"), "{said}");
        assert!(said.contains("any more"), "{said}");
    }

    #[test]
    fn an_original_that_runs_stands_in_the_way_of_its_copy() {
        let mut case = Case::with_copies_left(2);
        case.source[0].status = "ACTIVE".to_owned();
        let said = case.refusal();
        assert!(said.contains("--delete-running"), "{said}");
        // Nobody is told to delete one that has no copy.
        let mut alone = Case::with_copies_left(1);
        alone.source[1].status = "ACTIVE".to_owned();
        let said = alone.refusal();
        assert!(said.contains("has no copy on"), "{said}");
        assert!(!said.contains("server delete"), "{said}");
    }

    #[test]
    fn a_member_that_the_move_did_not_know_is_named() {
        let mut case = Case::with_copies_left(2);
        let mut late = case.members[0].clone();
        late.id = "late".into();
        late.name = "late".to_owned();
        case.members.push(late);
        let said = case.refusal();
        assert!(said.contains("late is no member that operation"), "{said}");
    }

    #[test]
    fn two_copies_and_one_of_a_stranger_are_not_adopted() {
        let stranger = OperationId::new("op-stranger");
        let mut case = Case::with_copies_left(2);
        let server = case.members[0].server_id.to_string();
        let second = copy(ResourceKind::Server, &server, "ACTIVE", &stranger);
        case.target.push(second.clone());
        let said = case.refusal();
        assert!(said.contains("more than one copy"), "{said}");
        assert!(said.contains("server unset --property"), "{said}");
        case.target.retain(|held| {
            held.kind != ResourceKind::Server || held.id != format!("copy-of-{server}")
        });
        case.target.push(second);
        let said = case.refusal();
        assert!(
            said.contains("which operation op-stranger has made"),
            "{said}"
        );
        // It may be a server that has nothing to do with the group.
        assert!(said.contains("server unset --property"), "{said}");
        assert!(!said.contains("delete"), "{said}");
    }
}
