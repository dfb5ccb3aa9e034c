//! The way out of what a story has come to: the commands that the manual names for the group's status (`docs/ways-out.md`),
//! each carried out as a person would, until one of them ends it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use protector_core::{
    adoption::{Shown, adoption_of, to_build},
    clock::Clock,
    group::{Group, GroupStatus, Recovered},
    id::{OperationId, ProjectId, ServerId},
    mark,
    member::Member,
    operation::{MapKind, OperationKind, OperationRecord, OperationState},
    orphan::CloudResource,
    plan::Plan,
    present::map_as_of_now,
    runbook::{adopt::adopt, cleanup::left_in_order, resource::ResourceKind},
    site::SiteScope,
    verified_status::{Other, StatusEvidence, findings},
};

use crate::{
    act::WorldSite,
    login::Login,
    operations::{cleanup_named, first_of_its_kind},
    trouble,
    violation::Violation,
    world::{CloudFacts, World},
};

/// A way out that a person may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `dr operation cleanup`, of what may go by itself.
    Cleanup,
    /// `openstack server unset --property protector:source` of what bears a copy's marks and is none, where protector says
    /// so, and the cleanup once more.
    TakeMarksOff,
    /// `dr operation adopt` of the copies that are in use.
    Adopt,
    /// `dr protection-group delete` of the group in which somebody has protected a copy anew.
    GiveUpOthers,
    /// `dr operation cleanup --delete-running` of every copy: whoever asks says that what is on them may be lost.
    CleanupOfAll,
    /// `dr protection-group reset-status`.
    ResetStatus,
    /// `dr fence` of what runs beside the group.
    Fence,
}

impl World {
    /// Everything can be reached again, and nothing goes wrong any more.
    pub(crate) fn all_is_well_again(&self) {
        self.injector.disarm();
        trouble::mend([&self.source.cloud, &self.target.cloud]);
    }

    /// Leads the group out of where it is by what loses nothing. Appends the operations to `told`.
    pub(crate) async fn lead_out_gently(&self, told: &mut Vec<OperationId>) {
        if self.status() == Some(GroupStatus::SplitBrain) {
            self.try_way(Way::Fence, told).await;
        }
        for way in [Way::Cleanup, Way::TakeMarksOff, Way::Adopt] {
            if self.status() == Some(GroupStatus::Error) {
                self.try_way(way, told).await;
            }
        }
    }

    /// Leads it out by what a person answers for. A group that is at rest then has a way out.
    pub(crate) async fn lead_out(&self, told: &mut Vec<OperationId>) -> Vec<Violation> {
        let ways = [
            Way::GiveUpOthers,
            Way::CleanupOfAll,
            Way::TakeMarksOff,
            Way::ResetStatus,
        ];
        for way in ways {
            if !self.is_at_rest() {
                self.try_way(way, told).await;
            }
        }
        if self.is_at_rest() {
            return Vec::new();
        }
        let status = self.status();
        let in_the_way = self.in_the_way();
        vec![format!(
            "I18: no command leads out of {status:?}; in the way of reset-status: {in_the_way:?}"
        )]
    }

    fn status(&self) -> Option<GroupStatus> {
        let (group, _) = self.journal.group(&self.group)?;
        Some(group.status)
    }

    fn is_at_rest(&self) -> bool {
        self.status().is_none_or(GroupStatus::is_at_rest)
    }

    async fn try_way(&self, way: Way, told: &mut Vec<OperationId>) {
        match way {
            Way::Cleanup => self.clean_all_up(told, |_| Vec::new()).await,
            Way::TakeMarksOff => {
                if self.take_marks_off(told) {
                    self.clean_all_up(told, |_| Vec::new()).await;
                }
            }
            Way::GiveUpOthers => self.give_up_others(),
            Way::CleanupOfAll => {
                let all = |plan: &Plan| {
                    let servers = plan.members.iter().map(|member| &member.server_id);
                    servers.cloned().collect()
                };
                self.clean_all_up(told, all).await;
            }
            Way::Adopt => {
                if let Some(adoption) = self.adoption(told) {
                    self.carry_out(adoption, told).await;
                }
            }
            Way::ResetStatus => self.reset_status(),
            Way::Fence => {
                if let Some(fence) = self.fence(told) {
                    self.carry_out(fence, told).await;
                }
            }
        }
    }

    /// Of those servers that were there before anything began, and of which protector says how. Whether there were any.
    fn take_marks_off(&self, told: &[OperationId]) -> bool {
        let said = self.said(told);
        let mut taken_off = false;
        for place in [WorldSite::Source, WorldSite::Target] {
            let site = place.of(self);
            let strangers = site.before.servers.iter().filter(|server| {
                let cure = format!("server unset --property {} {}'", mark::SOURCE, server.id);
                said.iter().any(|text| text.contains(&cure))
            });
            let tenant = Login::of(&site.cloud, "demo", "demo");
            for server in strangers {
                let path = format!(
                    "/compute/v2.1/servers/{}/metadata/{}",
                    server.id,
                    mark::SOURCE
                );
                taken_off |= tenant.ask("DELETE", &path, None).is_success();
            }
        }
        taken_off
    }

    /// All that protector says: the reasons in the records, and what a reset-status finds in its way.
    fn said(&self, told: &[OperationId]) -> Vec<String> {
        let records = told.iter().filter_map(|id| self.journal.operation(id));
        let reasons = records.flat_map(|record| {
            let steps = record.steps.into_iter();
            steps.filter_map(|step| step.progress.error)
        });
        reasons.chain(self.in_the_way()).collect()
    }

    fn give_up_others(&self) {
        for (group, _) in self.journal.groups() {
            if group.id != self.group {
                self.journal.remove_group(&group.id);
            }
        }
    }

    async fn carry_out(&self, record: OperationRecord, told: &mut Vec<OperationId>) {
        let id = record.operation.id.clone();
        self.journal.insert(record);
        self.settled_soon(&id).await;
        told.push(id);
    }

    /// Cleans up each operation that has left something, the oldest first.
    async fn clean_all_up(
        &self,
        told: &mut Vec<OperationId>,
        though_they_run: impl Fn(&Plan) -> Vec<ServerId>,
    ) {
        for parent in told.clone() {
            let Some(parent) = self.journal.operation(&parent) else {
                continue;
            };
            let operation = &parent.operation;
            // What a cleanup has left stands in the record of the operation that it cleaned up.
            let is_cleanup = operation.kind == OperationKind::Cleanup;
            if is_cleanup || !operation.state.is_terminal() || left_in_order(&parent).is_empty() {
                continue;
            }
            let cleanup = cleanup_named(Self::next_id(told), &parent, self.clock.now());
            let mut map = map_as_of_now(&parent, &self.members_now());
            for server in though_they_run(&parent.operation.plan) {
                map.insert(MapKind::DeleteRunning, server.as_str(), "walker");
            }
            self.carry_out(OperationRecord { map, ..cleanup }, told)
                .await;
        }
    }

    /// The adoption of the newest failed move's copies, if the API would start it.
    pub(crate) fn adoption(&self, told: &[OperationId]) -> Option<OperationRecord> {
        let records = told
            .iter()
            .rev()
            .filter_map(|id| self.journal.operation(id));
        let mut moves = records.filter(|record| record.operation.kind.is_a_move());
        // After an unplanned one another unplanned failover takes the copies over.
        let failed = moves.next().filter(|record| {
            record.operation.state == OperationState::Failed && !record.operation.is_unplanned()
        })?;
        let (group, members) = self.journal.group(&self.group)?;
        let (plan, map) = adoption_of(&failed, &members);
        let (source, target) = (self.held(&plan.source), self.held(&plan.target));
        let shown = Shown {
            source: &source,
            target: &target,
        };
        let built = to_build(&plan, &failed, &members, shown).ok()?;
        let status = GroupStatus::on_the_way_to(group.place_of(&plan.target.site));
        self.journal.set_group_status(&self.group, status);
        let book = adopt(&plan, &built);
        let (id, kind) = (Self::next_id(told), failed.operation.kind);
        let record = first_of_its_kind(id, kind, plan, book, self.clock.now());
        Some(OperationRecord { map, ..record })
    }

    /// What `dr protection-group reset-status` does.
    fn reset_status(&self) {
        if self.in_the_way().is_empty()
            && let Some((mut group, members)) = self.journal.group(&self.group)
        {
            let recovered = Recovered::of(&members);
            group.status = group.status_at_rest(recovered);
            self.journal.put_group(group, members);
        }
    }

    fn in_the_way(&self) -> Vec<String> {
        let Some((group, members)) = self.journal.group(&self.group) else {
            return Vec::new();
        };
        let (here, there) = (self.held(group.current()), self.held(group.other()));
        let recorded = self.recorded(&group, &members);
        let found = findings(&StatusEvidence {
            group: &group,
            members: &members,
            here: &here,
            other: Other::Shows(&there),
            recorded: &recorded,
            tests: &BTreeSet::new(),
        });
        found
            .into_iter()
            .filter(|finding| finding.is_in_the_way)
            .map(|finding| format!("{} {}", finding.member, finding.found))
            .collect()
    }

    /// What the members' servers were on the other site, by the records of the story's moves.
    fn recorded(&self, group: &Group, members: &[Member]) -> BTreeMap<ServerId, Vec<String>> {
        let mut recorded: BTreeMap<ServerId, Vec<String>> = BTreeMap::new();
        for record in self.journal.operations() {
            let came_here = record.operation.target_site == group.current_primary_site;
            let pairs = record.map.iter();
            for (_, source, target) in pairs.filter(|(kind, ..)| *kind == MapKind::Server) {
                let (here, there) = match came_here {
                    true => (target, source),
                    false => (source, target),
                };
                if members
                    .iter()
                    .any(|member| member.server_id.as_str() == here)
                {
                    let known = recorded.entry(ServerId::new(here)).or_default();
                    known.push(there.to_owned());
                }
            }
        }
        recorded
    }

    /// All that a cloud shows of the group's project there.
    fn held(&self, scope: &SiteScope) -> Vec<CloudResource> {
        let place = match scope.site == self.source_site() {
            true => WorldSite::Source,
            false => WorldSite::Target,
        };
        held(&place.of(self).facts(), &scope.project_id, self.clock.now())
    }
}

fn held(facts: &CloudFacts, project: &ProjectId, now: DateTime<Utc>) -> Vec<CloudResource> {
    let one = |kind, id: &str, name: &str, status: &str, metadata: &BTreeMap<String, String>| {
        CloudResource {
            kind,
            id: id.to_owned(),
            name: name.to_owned(),
            project_id: project.clone(),
            status: status.to_owned(),
            size_gib: None,
            created_at: now,
            metadata: metadata.clone(),
            servers: Vec::new(),
            snapshots: Vec::new(),
        }
    };
    let servers = facts
        .servers
        .iter()
        .filter(|server| server.project == project.as_str())
        .map(|it| {
            let kind = ResourceKind::Server;
            one(kind, &it.id, &it.name, &it.status, &it.metadata)
        });
    let volumes = facts
        .volumes
        .iter()
        .filter(|volume| volume.project == project.as_str())
        .map(|it| {
            let (kind, name) = (ResourceKind::Volume, it.name.as_deref().unwrap_or_default());
            one(kind, &it.id, name, &it.status, &it.metadata)
        });
    servers.chain(volumes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scenario, Schedule, WorldOptions};

    /// The failover of two members has failed, and the copy of the first one runs on, on a cloud that deletes nothing.
    async fn told(is_mended: bool) -> (World, Vec<Violation>) {
        let options = WorldOptions::of(Scenario::RUNNING_COUNTERPARTS_STAY, 2);
        let world = World::build(&options, Schedule::default());
        let engines = world.start_engines();
        world.settled_soon(&world.operation).await;
        assert_eq!(world.status(), Some(GroupStatus::Error));
        if is_mended {
            world.all_is_well_again();
        }
        let mut told = vec![world.operation.clone()];
        world.lead_out_gently(&mut told).await;
        let violations = world.lead_out(&mut told).await;
        engines.end().await;
        (world, violations)
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_no_command_leads_out_of_is_seen() {
        let (world, violations) = told(false).await;
        assert_eq!(world.status(), Some(GroupStatus::Error));
        assert_eq!(violations.len(), 1);
        assert!(violations[0].starts_with("I18: no command leads out of"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_a_command_leads_out_of_is_at_rest_then() {
        let (world, violations) = told(true).await;
        assert_eq!(violations, Vec::<Violation>::new());
        assert!(world.is_at_rest());
    }
}
