//! What goes on in the world whether or not an engine is at work: guests write as long as they run, and everything that
//! must never happen is seen when it happens.
//!
//! A disk is known by what stood on it at first ([`Contents::disk`]), and a server by its first disk, so that no mark and no
//! name that somebody has copied or changed can mislead.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::{GroupId, OperationId},
    operation::{MapKind, OperationKind, OperationRecord, OperationState, StepState},
    runbook::Step,
};
use protector_simcloud::{
    backend::MemObjects,
    cloud::{ServerFacts, VolumeFacts},
    in_process::{InProcess, SharedCloud, lock},
};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    act::WorldSite,
    deletions::Deletions,
    disk::Contents,
    fault::Injector,
    memory_journal::{Backup, MemoryJournal},
    scenario::SOURCE,
    violation::Violation,
    world::{VirtualClock, World},
};

/// How often each guest writes.
const BEAT: Duration = Duration::from_secs(4);
/// A person and an engine that act within this time of each other cannot know of each other.
const AT_THE_SAME_TIME: TimeDelta = TimeDelta::seconds(3);

/// One site, as the world looks at it.
pub(crate) struct Ground {
    pub cloud: SharedCloud,
    pub objects: MemObjects,
}

/// What runs, what has been written, and what was seen.
pub(crate) struct WorldWatch {
    pub grounds: BTreeMap<WorldSite, Ground>,
    pub journal: Arc<MemoryJournal>,
    group: Mutex<GroupId>,
    transport: Arc<InProcess>,
    clock: Arc<VirtualClock>,
    injector: Arc<Injector>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Every write: of which disk, by which server, and when.
    writes: BTreeMap<(String, String), Vec<DateTime<Utc>>>,
    /// The servers that ran at the last look.
    running: BTreeSet<(WorldSite, String)>,
    /// Every object that was there at the last look.
    objects: BTreeMap<(WorldSite, String), Contents>,
    /// When each server was first seen.
    born: BTreeMap<(WorldSite, String), DateTime<Utc>>,
    /// The disks that each server had when it was last seen, with when each was first seen there.
    disks: BTreeMap<String, BTreeMap<String, DateTime<Utc>>>,
    /// What people have asked to be deleted: servers and volumes.
    deleted: BTreeSet<String>,
    /// When people have started which server.
    started: BTreeMap<String, DateTime<Utc>>,
    /// Servers and volumes at which people have changed something, so that they are not as they were.
    touched: BTreeSet<String>,
    /// Servers and volumes that were there at the last look, and members of another group than the story's.
    protected: BTreeSet<String>,
    /// What stood on disks that people have deleted, and when it was seen to be gone.
    lost_by_people: Vec<(Instant, Contents)>,
    /// Of which servers people have given up, by a fence, what they had written from when to when.
    given_up: BTreeMap<String, (DateTime<Utc>, DateTime<Utc>)>,
    /// When people have stopped which server last.
    stopped: BTreeMap<String, DateTime<Utc>>,
    /// From when to when nobody reached the source because it was lost.
    source_lost: Option<(DateTime<Utc>, Option<DateTime<Utc>>)>,
    /// From when to when nobody reached a place, for whatever reason.
    cut_off: Vec<(WorldSite, DateTime<Utc>, Option<DateTime<Utc>>)>,
    /// When the records were put back, so that they are older than what was done by them.
    restored: Option<DateTime<Utc>>,
    /// When that was, if an operation had ended by then of whose end they do not know any more.
    end_forgotten: Option<DateTime<Utc>>,
    /// The operations of this story.
    operations: Vec<OperationId>,
    violations: BTreeSet<Violation>,
}

/// What is there at one moment.
pub(crate) struct Look {
    now: DateTime<Utc>,
    servers: Vec<(WorldSite, ServerFacts)>,
    volumes: Vec<(WorldSite, VolumeFacts)>,
    objects: BTreeMap<(WorldSite, String), Contents>,
}

impl Look {
    fn contents(&self, place: WorldSite, volume: &str) -> Option<&Contents> {
        self.objects.get(&(place, format!("volume-{volume}")))
    }

    /// Which of the world's servers this one is a life of.
    fn kin(&self, place: WorldSite, server: &ServerFacts) -> Option<&str> {
        let root = server.volumes.first()?;
        Some(self.contents(place, root)?.disk.as_str())
    }
}

impl WorldWatch {
    /// The life of `world`, which has not begun.
    pub fn of(world: &World) -> Arc<Self> {
        let ground = |site: &crate::world::Site| Ground {
            cloud: Arc::clone(&site.cloud),
            objects: Arc::clone(&site.objects),
        };
        let life = Arc::new(Self {
            grounds: BTreeMap::from([
                (WorldSite::Source, ground(&world.source)),
                (WorldSite::Target, ground(&world.target)),
            ]),
            journal: Arc::clone(&world.journal),
            group: Mutex::new(world.group.clone()),
            transport: Arc::clone(&world.transport),
            clock: Arc::clone(&world.clock),
            injector: Arc::clone(&world.injector),
            memory: Mutex::default(),
        });
        life.look();
        life
    }

    /// Begins: every guest writes from now on.
    pub fn begin(self: &Arc<Self>) -> JoinHandle<()> {
        let life = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let look = life.look();
                life.write(&look);
                tokio::time::sleep(BEAT).await;
            }
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person has asked for the deletion of these.
    pub fn note_deleted(&self, ids: impl IntoIterator<Item = String>) {
        self.memory().deleted.extend(ids);
    }

    /// A person has started this server.
    pub fn note_started(&self, server: &str) {
        let now = self.clock.now();
        self.memory().started.insert(server.to_owned(), now);
    }

    /// A person has stopped this server.
    pub fn note_stopped(&self, server: &str) {
        let now = self.clock.now();
        self.memory().stopped.insert(server.to_owned(), now);
    }

    /// A fence has ended. What those servers that are stopped by then have written since the recovery point is given up.
    pub fn note_fenced(&self, fence: &OperationRecord) {
        let Some(point) = recovery_point_of(fence) else {
            return;
        };
        let look = self.see();
        let runs = |id: &str| {
            let mut servers = look.servers.iter();
            servers.any(|(_, server)| server.running && server.id == id)
        };
        let members = fence.operation.plan.members.iter();
        let stopped = members
            .map(|member| member.server_id.to_string())
            .filter(|id| !runs(id));
        let given_up = stopped.map(|id| (id, (point, look.now)));
        self.memory().given_up.extend(given_up);
    }

    /// Nobody reaches the place from now on.
    pub fn note_cut_off(&self, place: WorldSite) {
        let now = self.clock.now();
        self.memory().cut_off.push((place, now, None));
    }

    /// It can be reached again.
    pub fn note_reconnected(&self, place: WorldSite) {
        let now = self.clock.now();
        let mut memory = self.memory();
        let open = memory.cut_off.iter_mut();
        open.filter(|(there, _, until)| *there == place && until.is_none())
            .for_each(|(_, _, until)| *until = Some(now));
    }

    /// A person has changed something about these.
    pub fn note_touched(&self, ids: impl IntoIterator<Item = String>) {
        self.memory().touched.extend(ids);
    }

    /// From now on the story's group is this one.
    pub fn note_group(&self, id: &GroupId) {
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = id.clone();
    }

    /// The operation is on record.
    pub fn note_operation(&self, id: &OperationId) {
        self.memory().operations.push(id.clone());
    }

    /// Puts the records back to what they were.
    pub fn restore(&self, backup: &Backup) {
        let now = self.clock.now();
        let ended = |id: &&OperationId| {
            let state = self.journal.state(id);
            state.is_some_and(OperationState::is_terminal)
        };
        let mut memory = self.memory();
        let before = memory.operations.iter().filter(ended).count();
        self.journal.restore(backup);
        let after = memory.operations.iter().filter(ended).count();
        memory.restored = Some(now);
        if after < before {
            memory.end_forgotten = Some(now);
        }
    }

    /// Whether the records may know less than was done.
    pub fn is_forgetful(&self) -> bool {
        self.memory().restored.is_some()
    }

    /// The source is lost from now on.
    pub fn note_source_lost(&self) {
        self.memory().source_lost = Some((self.clock.now(), None));
        self.note_cut_off(WorldSite::Source);
    }

    pub fn note_source_back(&self) {
        let now = self.clock.now();
        if let Some((_, until)) = &mut self.memory().source_lost {
            *until = Some(now);
        }
        self.note_reconnected(WorldSite::Source);
    }

    /// The newest server there that is a life of `disk`'s, one that runs before others.
    pub fn server_of(&self, place: WorldSite, disk: &str) -> Option<ServerFacts> {
        let look = self.see();
        look.servers
            .iter()
            .filter(|(there, server)| *there == place && look.kin(place, server) == Some(disk))
            .map(|(_, server)| server.clone())
            .max_by_key(|server| server.running)
    }

    /// What stands on a volume.
    pub fn contents_of(&self, place: WorldSite, volume: &str) -> Option<Contents> {
        self.see().contents(place, volume).cloned()
    }

    fn see(&self) -> Look {
        self.transport.advance();
        let mut look = Look {
            now: self.clock.now(),
            servers: Vec::new(),
            volumes: Vec::new(),
            objects: BTreeMap::new(),
        };
        for (place, ground) in &self.grounds {
            let cloud = lock(&ground.cloud);
            let of = |server| (*place, server);
            look.servers.extend(cloud.servers().into_iter().map(of));
            look.volumes
                .extend(cloud.volumes().into_iter().map(|volume| (*place, volume)));
            let objects = ground
                .objects
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let volumes = objects
                .iter()
                .filter(|(name, _)| !name.starts_with("snapshot-"));
            look.objects.extend(
                volumes
                    .map(|(name, object)| ((*place, name.clone()), Contents::read(&object.bytes))),
            );
        }
        look
    }

    /// Takes a look at everything.
    pub fn look(&self) -> Look {
        let look = self.see();
        let mut memory = self.memory();
        memory.remember(&look);
        let gone = memory.gone_since(&look);
        let deleted = memory.deleted_as_they_ran(&look);
        let twice = lives_at_once(&look);
        if !gone.is_empty() || !twice.is_empty() || !deleted.is_empty() {
            let records: Vec<OperationRecord> = memory
                .operations
                .iter()
                .filter_map(|id| self.journal.operation(id))
                .collect();
            memory.no_only_copy_is_gone(&look, gone, &records, &self.injector.deletions);
            memory.no_two_writers(&look, &twice, &records, &self.journal);
            memory.no_running_server_is_cleaned_up(&deleted, &records);
        }
        memory.protected_are_there(&look, self.protected_anew());
        look
    }

    /// The members of all groups but the story's, with their volumes.
    fn protected_anew(&self) -> BTreeSet<String> {
        let own = self
            .group
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let groups = self.journal.groups().into_iter();
        groups
            .filter(|(group, _)| group.id != own)
            .flat_map(|(_, members)| members)
            .flat_map(|member| {
                let volumes = member
                    .volumes
                    .into_iter()
                    .map(|volume| volume.id.to_string());
                std::iter::once(member.server_id.to_string()).chain(volumes)
            })
            .collect()
    }

    /// Every guest writes once to each of its disks.
    fn write(&self, look: &Look) {
        let mut memory = self.memory();
        for (place, server) in look.servers.iter().filter(|(_, server)| server.running) {
            let Some(ground) = self.grounds.get(place) else {
                continue;
            };
            let mut objects = ground
                .objects
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for volume in attached(look, *place, server) {
                let name = format!("volume-{volume}");
                let Some(object) = objects.get_mut(&name) else {
                    continue;
                };
                let mut contents = Contents::read(&object.bytes);
                let key = (contents.disk.clone(), server.id.clone());
                let writes = memory.writes.entry(key).or_default();
                writes.push(look.now);
                contents
                    .writes
                    .insert(server.id.clone(), writes.len() as u64);
                object.bytes = contents.bytes();
                memory.objects.insert((*place, name), contents);
            }
        }
    }

    /// What was seen that must not be, and what does not hold in the end.
    pub fn judge(&self, records: &[OperationRecord]) -> Vec<Violation> {
        let look = self.look();
        let memory = self.memory();
        let mut violations: Vec<Violation> = memory.violations.iter().cloned().collect();
        violations.extend(memory.disks_came_along(&look, records));
        violations
    }

    /// Whether a person has asked for the deletion of `id`, or changed something about it.
    pub fn is_peoples_work(&self, id: &str) -> bool {
        let memory = self.memory();
        memory.deleted.contains(id) || memory.touched.contains(id)
    }
}

/// The lives of a server that run at the same time, of each that has more than one.
fn lives_at_once(look: &Look) -> Vec<Vec<(WorldSite, &ServerFacts)>> {
    let mut running: BTreeMap<&str, Vec<(WorldSite, &ServerFacts)>> = BTreeMap::new();
    for (place, server) in look.servers.iter().filter(|(_, server)| server.running) {
        if let Some(kin) = look.kin(*place, server) {
            running.entry(kin).or_default().push((*place, server));
        }
    }
    running
        .into_values()
        .filter(|lives| lives.len() > 1)
        .collect()
}

/// The volumes of a server to which its guest can write.
fn attached<'l>(
    look: &'l Look,
    place: WorldSite,
    server: &'l ServerFacts,
) -> impl Iterator<Item = &'l str> {
    look.volumes
        .iter()
        .filter(move |(there, volume)| {
            *there == place
                && server.volumes.contains(&volume.id)
                && volume.attached_to.contains(&server.id)
        })
        .map(|(_, volume)| volume.id.as_str())
}

impl Memory {
    fn remember(&mut self, look: &Look) {
        for (place, server) in &look.servers {
            let key = (*place, server.id.clone());
            self.born.entry(key).or_insert(look.now);
            let had = self.disks.remove(&server.id).unwrap_or_default();
            let disks = server.volumes.iter().filter_map(|volume| {
                let disk = look.contents(*place, volume)?.disk.clone();
                let since = had.get(&disk).copied().unwrap_or(look.now);
                Some((disk, since))
            });
            self.disks.insert(server.id.clone(), disks.collect());
        }
    }

    /// The objects that were there at the last look and are not now.
    fn gone_since(&mut self, look: &Look) -> Vec<((WorldSite, String), Contents)> {
        let before = std::mem::replace(&mut self.objects, look.objects.clone());
        before
            .into_iter()
            .filter(|(key, _)| !look.objects.contains_key(key))
            .collect()
    }

    /// The servers that ran at the last look, are not there now, and that nobody has deleted.
    fn deleted_as_they_ran(&mut self, look: &Look) -> Vec<(WorldSite, String)> {
        let key = |(place, server): &(WorldSite, ServerFacts)| (*place, server.id.clone());
        let there: BTreeSet<_> = look.servers.iter().map(key).collect();
        let running = look.servers.iter().filter(|(_, server)| server.running);
        let before = std::mem::replace(&mut self.running, running.map(key).collect());
        before
            .into_iter()
            .filter(|known| !there.contains(known) && !self.deleted.contains(&known.1))
            // One that has written nothing was only said to run: Nova's state of it was reset.
            .filter(|(_, id)| self.writes.keys().any(|(_, server)| server == id))
            .collect()
    }

    /// A cleanup by hand deletes no server as it runs, unless whoever asked has named one.
    fn no_running_server_is_cleaned_up(
        &mut self,
        deleted: &[(WorldSite, String)],
        records: &[OperationRecord],
    ) {
        let is_at_work = |record: &&OperationRecord| {
            record.operation.kind == OperationKind::Cleanup
                && record.operation.started_at.is_some()
                && !record.operation.state.is_terminal()
        };
        let Some(cleanup) = records.iter().find(is_at_work) else {
            return;
        };
        let by = &cleanup.operation.id;
        let gone = deleted.iter().map(|(place, id)| {
            format!("I4: {id} at the {place:?} ran and was deleted while {by} cleaned up")
        });
        self.violations.extend(gone);
    }

    /// Whatever stood on an object that is gone stands on another one, or was nobody's any more.
    fn no_only_copy_is_gone(
        &mut self,
        look: &Look,
        gone: Vec<((WorldSite, String), Contents)>,
        records: &[OperationRecord],
        deletions: &Deletions,
    ) {
        let now = Instant::now();
        for ((place, name), contents) in gone {
            let id = name.strip_prefix("volume-").unwrap_or(&name);
            if self.deleted.contains(id) {
                self.lost_by_people.push((now, contents));
                continue;
            }
            for (server, number) in &contents.writes {
                if Self::is_kept(look, &contents.disk, server, *number)
                    || self.was_kept_when_sent(
                        deletions.sent_of(&name),
                        &contents.disk,
                        server,
                        *number,
                    )
                    || self.may_be_lost(records, &contents.disk, server, *number)
                {
                    continue;
                }
                let written = self.written_at(&contents.disk, server, *number);
                self.violations.insert(format!(
                    "I4: {name} at the {place:?} was the only one with what {server} wrote until {written:?}; gone by {}",
                    look.now
                ));
            }
            let is_first = contents.writes.is_empty() && name.starts_with("volume-");
            if is_first
                && !look
                    .objects
                    .values()
                    .any(|other| other.disk == contents.disk)
            {
                self.violations
                    .insert(format!("I4: {name} at the {place:?} was the only one"));
            }
        }
    }

    fn written_at(&self, disk: &str, server: &str, number: u64) -> Option<DateTime<Utc>> {
        let writes = self.writes.get(&(disk.to_owned(), server.to_owned()))?;
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        writes.get(place).copied()
    }

    /// Whether it stands elsewhere.
    fn is_kept(look: &Look, disk: &str, server: &str, number: u64) -> bool {
        let mut others = look.objects.values();
        others.any(|other| other.has(disk, server, number))
    }

    /// Whether it stood elsewhere when the call was sent that took the object away, and people have deleted it since: a call
    /// that is under way cannot be called back.
    fn was_kept_when_sent(
        &self,
        sent: Option<Instant>,
        disk: &str,
        server: &str,
        number: u64,
    ) -> bool {
        let lost = self.lost_by_people.iter();
        let mut since = lost.filter(|(gone, _)| sent.is_some_and(|sent| *gone > sent));
        since.any(|(_, other)| other.has(disk, server, number))
    }

    /// What a copy writes belongs to nobody before its operation has switched, or has ended without. What an original has
    /// written after the recovery point from which an unplanned failover has recovered it was announced to be lost: while its
    /// site was lost, and later too if it is a person who has stopped it.
    fn may_be_lost(
        &self,
        records: &[OperationRecord],
        disk: &str,
        server: &str,
        number: u64,
    ) -> bool {
        let Some(written) = self.written_at(disk, server, number) else {
            return false;
        };
        // Known also where the records have been put back since.
        if self
            .given_up
            .get(server)
            .is_some_and(|(point, fenced)| *point < written && written <= *fenced)
        {
            return true;
        }
        let until = self.source_lost.map(|(_, until)| until);
        let was_lost = until.is_some_and(|until| until.is_none_or(|until| written <= until));
        let was_stopped = self
            .stopped
            .get(server)
            .is_some_and(|stopped| written <= *stopped + AT_THE_SAME_TIME);
        if (was_lost || was_stopped)
            && records.iter().any(|record| {
                recovered_without(record, server).is_some_and(|point| written > point)
            })
        {
            return true;
        }
        records.iter().any(|record| {
            let end = switched_at(record).or(record.operation.finished_at);
            self.was_made_by(record, server)
                && end.is_none_or(|end| written <= end + AT_THE_SAME_TIME)
        })
    }

    /// Whether nobody reached the place then.
    fn was_cut_off(&self, place: WorldSite, at: DateTime<Utc>) -> bool {
        self.cut_off.iter().any(|(there, from, until)| {
            *there == place
                && *from <= at
                && until.is_none_or(|until| at <= until + AT_THE_SAME_TIME)
        })
    }

    /// Whether the server was built where the operation builds, while that was at work, and is none that it moves.
    fn was_made_by(&self, record: &OperationRecord, server: &str) -> bool {
        let operation = &record.operation;
        let born = self.born.get(&(target_of(record), server.to_owned()));
        operation.plan.member_of_server(server).is_none()
            && born.is_some_and(|born| {
                operation.created_at <= *born
                    && operation.finished_at.is_none_or(|end| end >= *born)
            })
    }

    /// At no time do two lives of a server run at once, unless a person has started the one, and nobody could know, or the
    /// group says so.
    fn no_two_writers(
        &mut self,
        look: &Look,
        twice: &[Vec<(WorldSite, &ServerFacts)>],
        records: &[OperationRecord],
        journal: &MemoryJournal,
    ) {
        let says_so = records.iter().any(|record| {
            journal
                .group(&record.operation.group_id)
                .is_some_and(|(group, _)| group.status == GroupStatus::SplitBrain)
        });
        for lives in twice {
            let excused = says_so || self.may_both_run(look, lives, records);
            if !excused {
                let who: Vec<String> = lives
                    .iter()
                    .map(|(place, server)| format!("{} at the {place:?}", server.id))
                    .collect();
                self.violations
                    .insert(format!("I10: two lives run at once: {}", who.join(", ")));
            }
        }
    }

    fn may_both_run(
        &self,
        look: &Look,
        lives: &[(WorldSite, &ServerFacts)],
        records: &[OperationRecord],
    ) -> bool {
        let by_a_person = lives
            .iter()
            .filter_map(|(place, server)| Some((place, self.started.get(&server.id)?)))
            // Where nobody reaches it, nobody could know: what is built without its source announces that both may run.
            .filter(|(place, started)| !self.was_cut_off(**place, **started))
            .map(|(_, started)| started)
            .max();
        if let Some(started) = by_a_person {
            return nobody_could_know(*started, look.now, records);
        }
        // An operation that has ended and is put back begins again, and what has run since at its own site, by another id,
        // is in no record and bears no mark of the original: docs/safety.md, what an operator should know.
        let built_after = |(place, server): &(WorldSite, &ServerFacts)| {
            let born = self.born.get(&(*place, server.id.clone()));
            born.is_some_and(|born| self.end_forgotten.is_some_and(|at| *born > at))
        };
        if lives.iter().any(built_after) {
            return true;
        }
        let places: BTreeSet<WorldSite> = lives.iter().map(|(place, _)| *place).collect();
        if places.len() < lives.len() {
            return false;
        }
        let built_while_lost = |(place, server): &(WorldSite, &ServerFacts)| {
            let born = self.born.get(&(*place, server.id.clone()));
            *place == WorldSite::Target
                && records.iter().any(|record| {
                    goes_without_its_source(record) && self.was_made_by(record, &server.id)
                })
                && born.is_some_and(|born| self.was_cut_off(WorldSite::Source, *born))
        };
        lives.iter().any(built_while_lost)
    }

    /// What a person protects in another group goes by a person's hand alone, as long as it is in that.
    fn protected_are_there(&mut self, look: &Look, now: BTreeSet<String>) {
        let servers = look.servers.iter().map(|(_, server)| server.id.as_str());
        let volumes = look.volumes.iter().map(|(_, volume)| volume.id.as_str());
        let there: BTreeSet<&str> = servers.chain(volumes).collect();
        let gone = self
            .protected
            .iter()
            .filter(|id| !there.contains(id.as_str()) && !self.deleted.contains(*id))
            .map(|id| format!("I1: {id} is a member of another group and is gone"));
        self.violations.extend(gone);
        self.protected = now
            .into_iter()
            .filter(|id| there.contains(id.as_str()))
            .collect();
    }

    /// A server that was moved has all the disks that it had before the switch, or the record says which it lacks.
    fn disks_came_along(&self, look: &Look, records: &[OperationRecord]) -> Vec<Violation> {
        let mut violations = Vec::new();
        for record in records {
            // What comes from a recovery point has the disks that it had then.
            if goes_without_its_source(record) {
                continue;
            }
            let Some(switched) = switched_at(record) else {
                continue;
            };
            for member in &record.operation.plan.members {
                violations.extend(self.came_along(
                    look,
                    record,
                    switched,
                    member.server_id.as_str(),
                ));
            }
        }
        violations
    }

    fn came_along(
        &self,
        look: &Look,
        record: &OperationRecord,
        switched: DateTime<Utc>,
        original: &str,
    ) -> Vec<Violation> {
        let copy = record
            .map
            .target(protector_core::operation::MapKind::Server, original);
        let there = |id: &str| look.servers.iter().any(|(_, server)| server.id == id);
        let Some(has) = copy
            .filter(|id| there(id) && !self.touched.contains(*id))
            .and_then(|id| self.disks.get(id))
        else {
            return Vec::new();
        };
        let told: Vec<&str> = record
            .steps
            .iter()
            .filter_map(|step| step.progress.error.as_deref())
            .collect();
        let had = self.disks.get(original).into_iter().flatten();
        had.filter(|(disk, since)| {
            **since + AT_THE_SAME_TIME < switched && !has.contains_key(*disk)
        })
        .filter(|(disk, _)| {
            let volume = disk.rsplit("volume-").next().unwrap_or(disk);
            !told.iter().any(|error| error.contains(volume))
        })
        .map(|(disk, since)| {
            format!("the copy of {original} lacks the disk with {disk}, which it had since {since}")
        })
        .collect()
    }
}

/// When the group was switched by this operation, planned or not.
fn switched_at(record: &OperationRecord) -> Option<DateTime<Utc>> {
    let is_switch = |step: &Step| matches!(step, Step::SwitchPrimary | Step::SwitchRecovered);
    let switch = record.steps.iter().find(|step| is_switch(&step.action))?;
    (switch.progress.state == StepState::Done)
        .then_some(switch.progress.finished_at)
        .flatten()
}

/// Where the operation builds its copies.
fn target_of(record: &OperationRecord) -> WorldSite {
    match record.operation.target_site.as_str() == SOURCE {
        true => WorldSite::Source,
        false => WorldSite::Target,
    }
}

/// Whether the operation recovers from a recovery point, whatever has become of the source: an unplanned failover, or a retry.
fn goes_without_its_source(record: &OperationRecord) -> bool {
    record.operation.kind == OperationKind::Retry
        || record
            .steps
            .iter()
            .any(|step| step.action == Step::ChooseRecoveryPoint)
}

/// As of when an unplanned failover that has switched its group has recovered `server`, if that is of its members.
fn recovered_without(record: &OperationRecord, server: &str) -> Option<DateTime<Utc>> {
    record.operation.plan.member_of_server(server)?;
    switched_at(record)?;
    recovery_point_of(record)
}

/// As of when the operation, or the one that it follows, has recovered its members from a recovery point.
fn recovery_point_of(record: &OperationRecord) -> Option<DateTime<Utc>> {
    let group = record.operation.group_id.as_str();
    let point = record.map.target(MapKind::RecoveryPointTime, group)?;
    point.parse().ok()
}

/// Whether no operation has looked since a person has started a server, nor should have: none that looks has switched its
/// group since, and those that were under way may still take everything back.
fn nobody_could_know(
    started: DateTime<Utc>,
    now: DateTime<Utc>,
    records: &[OperationRecord],
) -> bool {
    let was_before = |switched: DateTime<Utc>| switched <= started + AT_THE_SAME_TIME;
    let looks = |record: &&OperationRecord| !goes_without_its_source(record);
    let mut after_a_look = records.iter().filter(looks).filter_map(switched_at);
    if after_a_look.any(|switched| !was_before(switched)) {
        return false;
    }
    let takes_back = |record: &OperationRecord| {
        !record.operation.state.is_terminal() || record.operation.state == OperationState::Failed
    };
    records.iter().filter_map(switched_at).any(was_before)
        || records.iter().any(takes_back)
        || now - started <= AT_THE_SAME_TIME
}
