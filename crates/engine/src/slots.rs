//! How many operations get on at the same time, and whose.
//!
//! A slot is the right to begin lines. It is held by an operation that gets on, not by one that only waits: for a person,
//! or for a cloud that has failed every look for a while. Those keep their lease, and the group held still on the other
//! site. So neither a disaster's dead site nor a tenant's pause stands in anybody's way. Not all of those whose servers
//! stand still because something fails may leave theirs: else the next ones would stop their servers too, and meet the
//! same.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use protector_core::{
    id::ProjectId,
    queue::{Lane, Room},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::options::EngineOptions;

/// The slots of an engine.
pub(crate) struct Slots {
    per_project: usize,
    lanes: [(Lane, Arc<Semaphore>); Lane::ALL.len()],
    /// How many may leave theirs with servers that stand still.
    stalled: Arc<Semaphore>,
    projects: Mutex<HashMap<(Lane, ProjectId), Arc<Semaphore>>>,
}

impl Slots {
    /// Slots as the configuration sets them.
    pub fn new(options: &EngineOptions) -> Self {
        let per_lane = options.concurrent_operations;
        Self {
            per_project: options.operations_per_project.min(per_lane),
            lanes: Lane::ALL.map(|lane| (lane, Arc::new(Semaphore::new(per_lane)))),
            stalled: Arc::new(Semaphore::new(per_lane)),
            projects: Mutex::default(),
        }
    }

    /// How many operations more can get on now.
    pub fn room(&self) -> Room {
        let mut projects = self.projects();
        // Nobody else has one that only the map has.
        projects.retain(|_, slots| Arc::strong_count(slots) > 1);
        let taken = projects.iter().map(|(whose, slots)| {
            let free = slots.available_permits();
            (whose.clone(), self.per_project.saturating_sub(free))
        });
        Room {
            free: self
                .lanes
                .iter()
                .map(|(lane, slots)| (*lane, slots.available_permits()))
                .collect(),
            per_project: self.per_project,
            taken: taken.collect(),
        }
    }

    /// The slot of an operation: its own at once if there is one, else to be waited for.
    pub fn slot(&self, lane: Lane, project_id: &ProjectId) -> Slot {
        let of_project = self
            .projects()
            .entry((lane, project_id.clone()))
            .or_insert_with(|| Arc::new(Semaphore::new(self.per_project)))
            .clone();
        let mut slot = Slot {
            wanted: [of_project, self.of_lane(lane)],
            stalled: Arc::clone(&self.stalled),
            state: State::Left { _stalled: None },
        };
        slot.want();
        slot
    }

    fn of_lane(&self, lane: Lane) -> Arc<Semaphore> {
        let [(first, slots), (_, others)] = &self.lanes;
        if *first == lane {
            slots.clone()
        } else {
            others.clone()
        }
    }

    fn projects(&self) -> MutexGuard<'_, HashMap<(Lane, ProjectId), Arc<Semaphore>>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The share of the project, then one of the lane.
type Permits = [OwnedSemaphorePermit; 2];

/// The slot of one operation. Dropping it gives it back.
pub(crate) struct Slot {
    wanted: [Arc<Semaphore>; 2],
    stalled: Arc<Semaphore>,
    state: State,
}

enum State {
    Held {
        _permits: Permits,
    },
    /// In the queue; its place there is kept for as long as this is.
    Wanted(BoxFuture<'static, Option<Permits>>),
    Left {
        _stalled: Option<OwnedSemaphorePermit>,
    },
}

impl Slot {
    /// Whether the operation may get on.
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Held { .. })
    }

    /// Whether it is waited for.
    pub fn is_wanted(&self) -> bool {
        matches!(self.state, State::Wanted(_))
    }

    /// Gives it back: the operation only waits.
    pub fn leave(&mut self) {
        self.state = State::Left { _stalled: None };
    }

    /// The same for one whose servers stand still because something fails: only if not too many have.
    pub fn leave_if_few_do(&mut self) {
        if matches!(self.state, State::Left { .. }) {
            return;
        }
        if let Ok(stalled) = Arc::clone(&self.stalled).try_acquire_owned() {
            self.state = State::Left {
                _stalled: Some(stalled),
            };
        }
    }

    /// Takes it if one is free, and queues for one if none is.
    pub fn want(&mut self) {
        if !matches!(self.state, State::Left { .. }) {
            return;
        }
        let mut taking = take(self.wanted.clone()).boxed();
        self.state = match taking.as_mut().now_or_never() {
            Some(permits) => held(permits),
            None => State::Wanted(taking),
        };
    }

    /// Until it is held, if it is wanted; else for ever. May be dropped and called again without losing its place.
    pub async fn taken(&mut self) {
        let State::Wanted(taking) = &mut self.state else {
            return std::future::pending().await;
        };
        let permits = taking.await;
        self.state = held(permits);
    }
}

/// A semaphore here is never closed; were it, nobody would wait for it.
fn held(permits: Option<Permits>) -> State {
    let left = State::Left { _stalled: None };
    permits.map_or(left, |permits| State::Held { _permits: permits })
}

async fn take([of_project, of_lane]: [Arc<Semaphore>; 2]) -> Option<Permits> {
    let share = of_project.acquire_owned().await.ok()?;
    let slot = of_lane.acquire_owned().await.ok()?;
    Some([share, slot])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(per_lane: usize, per_project: usize) -> Slots {
        Slots::new(&EngineOptions {
            concurrent_operations: per_lane,
            operations_per_project: per_project,
            ..EngineOptions::default()
        })
    }

    #[tokio::test]
    async fn one_that_waits_leaves_its_slot_to_others_and_queues_for_the_next() {
        let slots = slots(1, 1);
        let (a, b) = (ProjectId::new("a"), ProjectId::new("b"));
        let mut first = slots.slot(Lane::Regular, &a);
        let mut second = slots.slot(Lane::Regular, &b);
        assert!(first.is_held() && !second.is_held());
        assert!(slots.slot(Lane::Urgent, &b).is_held());
        first.leave();
        second.taken().await;
        assert!(second.is_held());
        first.want();
        assert!(!first.is_held());
        drop(second);
        first.taken().await;
        assert!(first.is_held());
    }

    #[tokio::test]
    async fn no_more_leave_theirs_with_servers_down_than_have_one() {
        let slots = slots(2, 2);
        let a = ProjectId::new("a");
        let mut left = Vec::new();
        for _ in 0..2 {
            let mut stalled = slots.slot(Lane::Regular, &a);
            stalled.leave_if_few_do();
            assert!(!stalled.is_held());
            left.push(stalled);
        }
        let mut third = slots.slot(Lane::Regular, &a);
        third.leave_if_few_do();
        assert!(third.is_held());
        left.pop();
        third.leave_if_few_do();
        assert!(!third.is_held());
    }

    #[tokio::test]
    async fn room_tells_what_is_free_and_what_a_project_has() {
        let slots = slots(3, 2);
        let a = ProjectId::new("a");
        let held = [
            slots.slot(Lane::Regular, &a),
            slots.slot(Lane::Regular, &a),
            slots.slot(Lane::Regular, &a),
        ];
        assert_eq!(held.iter().filter(|slot| slot.is_held()).count(), 2);
        let room = slots.room();
        assert_eq!(room.free[&Lane::Regular], 1);
        assert_eq!(room.free[&Lane::Urgent], 3);
        assert_eq!(room.taken[&(Lane::Regular, a)], 2);
        drop(held);
        assert_eq!(
            slots.room(),
            Room {
                per_project: 2,
                ..Room::for_any(3)
            }
        );
    }
}
