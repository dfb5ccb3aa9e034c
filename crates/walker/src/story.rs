//! Stories: operations of one group, one after the other, with what people do between them, under one schedule.

use std::{sync::Arc, time::Duration};

use protector_core::{
    clock::Clock,
    group::{Group, GroupStatus, status_while},
    id::{GroupId, MemberId, OperationId, VolumeId},
    member::Member,
    operation::{OperationKind, OperationRecord, OperationState, StepState},
    present::{CurrentMember, map_as_of_now},
    runbook::{Step, cleanup::left_in_order},
};

use crate::{
    Schedule,
    act::WorldSite,
    life::WorldWatch,
    moment::{FaultPoint, PointContent},
    operations::{cleanup_named, fence_named, move_named, retry_named, takeover_named},
    people::People,
    scenario::{Scenario, WorldOptions},
    story_invariant::check_story,
    trouble,
    violation::Violation,
    world::World,
};

/// How long people leave the group as it is before they go on.
const BETWEEN: Duration = Duration::from_secs(60);

/// A group's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    Failover,
    /// A failover that cannot build its copies and is taken back.
    TakenBack,
    /// A failover that cannot delete what it leaves, and a cleanup when it could.
    LeftBehind,
    /// A failover that cannot be taken back, and a cleanup when it could.
    NotTakenBack,
    /// A failover that cannot be taken back, and the loss of its site before anybody cleans up.
    LostInError,
    /// An unplanned failover that leaves one of two members, the return of the lost site, a retry, and a cleanup.
    Returned,
    /// A failover that cannot delete what it leaves, the failback, and a late cleanup of what the failover has left.
    ThereAndBack,
    /// A failover on two engines whose clocks are an hour apart.
    TwoClocks,
    /// A failover that retains the source's volumes, and the cleanup that deletes them.
    Retained,
    /// The same with the failback before the cleanup, which deletes what nobody needs any more.
    RetainedAndBack,
    /// An unplanned failover, the return of the lost site with its servers running, their fencing, and a cleanup.
    Fenced,
    /// A failover that cannot be taken back in part goes forward with the copy that is in use; then a cleanup.
    Adopted,
    /// The same when the site of the originals is lost (`--source-is-lost`), which then returns.
    AdoptedWithoutSource,
    /// A failover that cannot delete what it leaves; its group is deleted, what runs is protected anew and moved back,
    /// and the first failover is cleaned up.
    Reprotected,
}

/// What happens in a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chapter {
    /// The group's recovery point is taken.
    Replicated,
    /// The source is lost: nobody reaches it, and it goes on running.
    SourceLost,
    /// It can be reached again.
    SourceBack,
    /// The operation with which the story begins.
    Begun,
    /// Whatever was wrong with the clouds is mended.
    Mended,
    /// A cleanup of the first operation that has left something.
    CleanedUp,
    /// Another try at what an unplanned failover could not recover.
    Retried,
    Unplanned,
    /// The group goes back.
    FailedBack,
    /// What runs beside the group is stopped.
    Fenced,
    /// Members that have nothing but their originals, which run again, leave the group.
    LeftOut,
    /// The newest failed move goes forward with its copies.
    Adopted,
    /// The same without the site of their originals.
    TakenOver,
    /// The group is deleted, and what runs is protected in a new one.
    ProtectedAnew,
}

impl Story {
    pub const ALL: [Self; 14] = [
        Self::Failover,
        Self::TakenBack,
        Self::LeftBehind,
        Self::NotTakenBack,
        Self::LostInError,
        Self::Returned,
        Self::ThereAndBack,
        Self::TwoClocks,
        Self::Retained,
        Self::RetainedAndBack,
        Self::Fenced,
        Self::Adopted,
        Self::AdoptedWithoutSource,
        Self::Reprotected,
    ];

    /// Whether it ends with a group at rest, if nothing but what passes by itself happens in it.
    fn ends_at_rest(self) -> bool {
        !matches!(self, Self::NotTakenBack | Self::LostInError)
    }

    fn chapters(self) -> &'static [Chapter] {
        use Chapter::*;
        match self {
            Self::Failover | Self::TakenBack | Self::TwoClocks => &[Begun],
            Self::LeftBehind | Self::NotTakenBack => &[Begun, Mended, CleanedUp],
            Self::LostInError => &[Begun, Mended, SourceLost, Unplanned],
            Self::Returned => &[
                Replicated, SourceLost, Begun, SourceBack, Mended, Retried, CleanedUp,
            ],
            Self::ThereAndBack => &[Begun, Mended, FailedBack, CleanedUp],
            Self::Retained => &[Begun, CleanedUp],
            Self::RetainedAndBack => &[Begun, FailedBack, CleanedUp],
            Self::Fenced => &[Replicated, SourceLost, Begun, SourceBack, Fenced, CleanedUp],
            Self::Adopted => &[Begun, Mended, CleanedUp, LeftOut, Adopted, CleanedUp],
            Self::AdoptedWithoutSource => &[
                Begun, Mended, SourceLost, TakenOver, SourceBack, Fenced, CleanedUp,
            ],
            Self::Reprotected => &[Begun, Mended, ProtectedAnew, FailedBack, CleanedUp],
        }
    }

    /// The world in which it happens.
    pub fn world(self) -> WorldOptions {
        let (scenario, members) = match self {
            Self::Failover | Self::TwoClocks => (Scenario::ALL_WELL, 1),
            Self::TakenBack => (Scenario::BUILDS_FAIL, 1),
            Self::LeftBehind | Self::ThereAndBack | Self::Reprotected => {
                (Scenario::DELETIONS_FAIL, 1)
            }
            Self::NotTakenBack | Self::LostInError | Self::Adopted | Self::AdoptedWithoutSource => {
                (Scenario::RUNNING_COUNTERPARTS_STAY, 2)
            }
            Self::Retained | Self::RetainedAndBack => (Scenario::VOLUMES_RETAINED, 1),
            Self::Fenced => (Scenario::SOURCE_LOST, 1),
            Self::Returned => (Scenario::SOURCE_LOST_IN_PART, 2),
        };
        let second_clock_ahead = match self {
            Self::TwoClocks => Duration::from_secs(3600),
            _ => Duration::ZERO,
        };
        WorldOptions {
            second_clock_ahead,
            ..WorldOptions::of(scenario, members)
        }
    }
}

/// What has become of a story.
#[derive(Debug)]
pub struct Told {
    /// The operations, in the order in which they were asked for.
    pub records: Vec<OperationRecord>,
    pub writes: usize,
    pub calls: usize,
    /// What was written and sent at each of them.
    pub(crate) marks: Vec<(FaultPoint, PointContent)>,
    /// What must not be and was.
    pub violations: Vec<Violation>,
}

impl World {
    /// Tells the story, with what `schedule` says about it.
    pub async fn tell(mut self, story: Story, schedule: &Schedule) -> Told {
        let life = WorldWatch::of(&self);
        let people = People::of(&self, &life);
        life.note_operation(&self.operation);
        let living = life.begin();
        let acts = schedule.acts.clone();
        let watching = Arc::clone(&life);
        self.injector.at_each_point(move |here: FaultPoint| {
            watching.look();
            let due = acts.iter().filter(|(_, point)| *point == here);
            for (act, people) in due.filter_map(|(act, _)| Some((*act, people.as_ref()?))) {
                people.act(act);
            }
        });
        let mut told = vec![self.operation.clone()];
        // Guests have something to lose before anything begins.
        tokio::time::sleep(BETWEEN).await;
        self.injector.arm();
        let held = self.withhold();
        let mut open_sides = Vec::new();
        let mut engines = None;
        for chapter in story.chapters() {
            if let Some(id) = self.chapter(*chapter, &life, &told).await {
                life.note_operation(&id);
                self.settled_soon(&id).await;
                if let Some(fence) = self.journal.operation(&id).filter(is_fence) {
                    life.note_fenced(&fence);
                    open_sides.extend(self.left_open_by(&fence));
                }
                told.push(id);
            }
            if *chapter == Chapter::Begun {
                held.iter()
                    .for_each(|record| self.journal.insert(record.clone()));
                engines.get_or_insert_with(|| self.start_engines());
                self.settled_soon(&self.operation).await;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        self.aftermath().await;
        self.all_is_well_again();
        let needless = self.needs_a_person(story, schedule);
        self.lead_out_gently(&mut told).await;
        let records: Vec<_> = told
            .iter()
            .filter_map(|id| self.journal.operation(id))
            .collect();
        let mut violations = life.judge(&records);
        violations.extend(check_story(&self, &life, &records));
        violations.extend(needless);
        violations.extend(open_sides);
        // From here on a person answers for what is lost.
        violations.extend(self.lead_out(&mut told).await);
        if let Some(engines) = engines {
            engines.end().await;
        }
        living.abort();
        Told {
            records,
            writes: self.injector.writes(),
            calls: self.injector.calls(),
            marks: self.injector.marks(),
            violations,
        }
    }

    /// What a fence says that it has closed, by its line or by its own end, and that may be written to all the same: whoever starts
    /// a server there would.
    fn left_open_by(&self, fence: &OperationRecord) -> Vec<Violation> {
        let objects = self.source.facts().objects;
        let has_ended_well = fence.operation.state == OperationState::Completed;
        let closed = fence.steps.iter().filter_map(|step| match &step.action {
            Step::FenceVolume { volume }
                if has_ended_well || step.progress.state == StepState::Done =>
            {
                Some(volume)
            }
            _ => None,
        });
        let is_open = |volume: &&VolumeId| {
            let object = objects.get(&format!("volume-{volume}"));
            object.is_some_and(|object| !object.is_replica())
        };
        let open = closed.filter(is_open);
        open.map(|volume| format!("I10: {volume} was fenced and may be written to"))
            .collect()
    }

    /// What passes by itself leaves nothing to do for a person, where the story itself does not.
    fn needs_a_person(&self, story: Story, schedule: &Schedule) -> Option<Violation> {
        let passes = schedule.faults.iter().all(|(fault, _)| fault.passes())
            && schedule.acts.iter().all(|(act, _)| act.deed.passes());
        let (group, _) = self.journal.group(&self.group)?;
        let is_stuck = !group.status.is_at_rest();
        (passes && story.ends_at_rest() && is_stuck).then(|| {
            format!(
                "what passes by itself left the group in {}: a person has to see to it",
                group.status
            )
        })
    }

    /// The first operation, asked for as late as it is its turn.
    fn withhold(&self) -> Option<OperationRecord> {
        let mut record = self.journal.operation(&self.operation)?;
        record.operation.created_at = self.clock.now();
        Some(record)
    }

    /// Lets the chapter happen; the operation that is asked for in it, if there is one.
    async fn chapter(
        &mut self,
        chapter: Chapter,
        life: &WorldWatch,
        told: &[OperationId],
    ) -> Option<OperationId> {
        let source = Arc::clone(&self.source.cloud);
        match chapter {
            Chapter::Begun => {}
            Chapter::Replicated => self.take_recovery_point().await,
            Chapter::SourceLost => {
                trouble::cut_off(&source);
                life.note_source_lost();
            }
            Chapter::SourceBack => {
                trouble::reconnect(&source);
                life.note_source_back();
            }
            Chapter::Mended => {
                let lost = trouble::is_cut_off(&source);
                trouble::mend([&source, &self.target.cloud]);
                if lost {
                    trouble::cut_off(&source);
                }
            }
            Chapter::CleanedUp => return self.clean_up_oldest(told),
            Chapter::Retried => return self.try_the_rest(told),
            Chapter::Unplanned => return self.fail_over_unplanned(told),
            Chapter::FailedBack => return self.fail_back(told),
            Chapter::Fenced => return self.begin(self.fence(told)?),
            Chapter::LeftOut => self.leave_out(),
            Chapter::Adopted => return self.begin(self.adoption(told)?),
            Chapter::TakenOver => return self.take_over(told),
            Chapter::ProtectedAnew => self.protect_anew(life),
        }
        None
    }

    pub(crate) fn next_id(told: &[OperationId]) -> OperationId {
        let number = told.len() + 1;
        OperationId::new(format!("op-7a3f2c11-0009-4b22-a918-{number:012}"))
    }

    fn clean_up_oldest(&self, told: &[OperationId]) -> Option<OperationId> {
        let mut records = told.iter().filter_map(|id| self.journal.operation(id));
        let parent = records.find(|record| !left_in_order(record).is_empty())?;
        let id = Self::next_id(told);
        let cleanup = cleanup_named(id.clone(), &parent, self.clock.now());
        let map = map_as_of_now(&parent, &self.members_now());
        self.journal.insert(OperationRecord { map, ..cleanup });
        Some(id)
    }

    /// All members of all groups.
    pub(crate) fn members_now(&self) -> Vec<CurrentMember> {
        let groups = self.journal.groups().into_iter();
        groups
            .flat_map(|(group, members)| current_members(&group, members))
            .collect()
    }

    fn try_the_rest(&self, told: &[OperationId]) -> Option<OperationId> {
        let (group, members) = self.journal.group(&self.group)?;
        if group.status != GroupStatus::FailedOverPartial {
            return None;
        }
        let last = self.journal.operation(told.last()?)?;
        let id = Self::next_id(told);
        let retry = retry_named(id.clone(), &last, members, self.clock.now());
        self.begin_move(GroupStatus::FailingOver, retry)
    }

    fn fail_over_unplanned(&self, told: &[OperationId]) -> Option<OperationId> {
        let (group, members) = self.journal.group(&self.group)?;
        let is_open = matches!(group.status, GroupStatus::Error | GroupStatus::Active);
        if !is_open || group.current_primary_site != group.primary.site {
            return None;
        }
        let id = Self::next_id(told);
        let failover = takeover_named(
            id,
            (&group, &members),
            self.options.promotion,
            Vec::new(),
            self.clock.now(),
        );
        self.begin_move(GroupStatus::FailingOver, failover)
    }

    fn fail_back(&self, told: &[OperationId]) -> Option<OperationId> {
        let (group, members) = self.journal.group(&self.group)?;
        let is_away = group.current_primary_site != self.source_site();
        if !is_away || !matches!(group.status, GroupStatus::FailedOver | GroupStatus::Active) {
            return None;
        }
        let id = Self::next_id(told);
        let kind = group.kind_of_move();
        let status = GroupStatus::on_the_way_to(group.place_of(&group.other().site));
        let back = move_named(
            id,
            kind,
            (&group, &members),
            self.options.promotion,
            self.clock.now(),
        )?;
        self.begin_move(status, back)
    }

    /// What `dr member remove` does with those that the refusal of an adoption names.
    fn leave_out(&self) {
        let Some((group, members)) = self.journal.group(&self.group) else {
            return;
        };
        if group.status != GroupStatus::Error {
            return;
        }
        let servers = self.source.facts().servers;
        let runs_there = |member: &Member| {
            let mut running = servers.iter().filter(|server| server.running);
            running.any(|server| server.id == member.server_id.as_str())
        };
        let (gone, left): (Vec<_>, Vec<_>) = members.into_iter().partition(runs_there);
        if !gone.is_empty() && !left.is_empty() {
            self.journal.put_group(group, left);
        }
    }

    /// What `dr operation adopt --source-is-lost` makes of the newest failed move.
    fn take_over(&self, told: &[OperationId]) -> Option<OperationId> {
        let (group, members) = self.journal.group(&self.group)?;
        if group.status != GroupStatus::Error {
            return None;
        }
        let mut records = told
            .iter()
            .rev()
            .filter_map(|id| self.journal.operation(id));
        let failed = records.find(|record| {
            record.operation.kind == OperationKind::Failover
                && record.operation.state == OperationState::Failed
        })?;
        let id = Self::next_id(told);
        let makers = vec![failed.operation.id];
        let failover = takeover_named(
            id,
            (&group, &members),
            self.options.promotion,
            makers,
            self.clock.now(),
        );
        self.begin_move(GroupStatus::FailingOver, failover)
    }

    /// What `dr fence` makes of the newest unplanned failover. The watch has said before what it has seen.
    pub(crate) fn fence(&self, told: &[OperationId]) -> Option<OperationRecord> {
        let mut records = told
            .iter()
            .rev()
            .filter_map(|id| self.journal.operation(id));
        let failover = records.find(|record| record.operation.is_unplanned())?;
        let left = &failover.operation.plan.members;
        let runs = self.source.facts().servers.into_iter().any(|server| {
            server.running
                && left
                    .iter()
                    .any(|member| member.server_id.as_str() == server.id)
        });
        let (group, _) = self.journal.group(&self.group)?;
        if runs && group.status.is_at_rest() && group.current_primary_site != self.source_site() {
            self.journal
                .set_group_status(&self.group, GroupStatus::SplitBrain);
        }
        let (group, _) = self.journal.group(&self.group)?;
        status_while(group.status, OperationKind::Fence)?;
        let id = Self::next_id(told);
        Some(fence_named(id, &failover, self.clock.now()))
    }

    /// The group is deleted, and another one protects what runs, from where it runs.
    fn protect_anew(&mut self, life: &WorldWatch) {
        let Some((group, members)) = self.journal.group(&self.group) else {
            return;
        };
        if !group.status.is_at_rest() || group.current_primary_site == self.source_site() {
            return;
        }
        let id = GroupId::new("5f3c0000-0000-4000-8000-000000000003");
        let anew = Group {
            id: id.clone(),
            primary: group.secondary.clone(),
            secondary: group.primary.clone(),
            status: GroupStatus::Active,
            mappings: group.mappings.reversed(),
            volume_type_id: group.secondary_volume_type_id.clone().unwrap_or_default(),
            secondary_volume_type_id: Some(group.volume_type_id.clone()),
            ..group
        };
        let members = members.into_iter().map(|member| Member {
            id: MemberId::new(format!("{}-again", member.id)),
            group_id: id.clone(),
            ..member
        });
        self.journal.remove_group(&self.group);
        self.journal.put_group(anew, members.collect());
        life.note_group(&id);
        self.group = id;
    }

    fn begin(&self, record: OperationRecord) -> Option<OperationId> {
        let id = record.operation.id.clone();
        self.journal.insert(record);
        Some(id)
    }

    fn begin_move(&self, status: GroupStatus, record: OperationRecord) -> Option<OperationId> {
        self.journal.set_group_status(&self.group, status);
        self.begin(record)
    }
}

fn is_fence(record: &OperationRecord) -> bool {
    record.operation.kind == OperationKind::Fence
}

fn current_members(
    group: &Group,
    members: Vec<Member>,
) -> impl Iterator<Item = CurrentMember> + use<> {
    let group = group.clone();
    members.into_iter().map(move |member| CurrentMember {
        site: group.site_of(&member).clone(),
        member,
    })
}

impl WorldSite {
    /// The facts of that site from before the story, and now.
    pub(crate) fn of(self, world: &World) -> &crate::world::Site {
        match self {
            Self::Source => &world.source,
            Self::Target => &world.target,
        }
    }
}
