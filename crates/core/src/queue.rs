//! Which of the operations that nobody walks goes next.
//!
//! What brings VMs up after a disaster, or keeps them from running twice, has a lane of its own, so that nothing planned is ever in
//! its way. In each lane projects take turns: the one with the fewest operations under way goes next, and none has more than its
//! share. Within a project what has begun goes first, since its VMs may stand still, then what its owner finds most important
//! ([`Priority`]), then what has waited longest.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use chrono::{DateTime, Utc};

use crate::{
    id::{OperationId, ProjectId},
    operation::{Operation, OperationKind},
    priority::Priority,
};

/// Where an operation queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// What follows a disaster: unplanned failovers and their retries, fences, aborts of what a lost site has left stopped.
    Urgent,
    /// Everything that somebody has planned.
    Regular,
}

impl Lane {
    /// Both, the one that goes first at the beginning.
    pub const ALL: [Self; 2] = [Self::Urgent, Self::Regular];

    /// The lane of an operation.
    pub fn of(operation: &Operation) -> Self {
        match operation.kind {
            OperationKind::Retry | OperationKind::Fence | OperationKind::Abort => Self::Urgent,
            _ if operation.is_unplanned() => Self::Urgent,
            _ => Self::Regular,
        }
    }

    /// The word used in the database and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Regular => "regular",
        }
    }

    /// The lane with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == word)
    }
}

/// An operation that nobody walks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub id: OperationId,
    pub lane: Lane,
    pub project_id: ProjectId,
    /// Whether an engine has begun it already.
    pub has_begun: bool,
    /// How important its group is to its owner.
    pub priority: Priority,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// How many operations more an engine can walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Free places by lane.
    pub free: BTreeMap<Lane, usize>,
    /// How many places of a lane one project may have.
    pub per_project: usize,
    /// How many it has, where it has any.
    pub taken: BTreeMap<(Lane, ProjectId), usize>,
}

impl Room {
    /// Room for `count` operations of each lane, whosesoever they are.
    pub fn for_any(count: usize) -> Self {
        Self {
            free: Lane::ALL.into_iter().map(|lane| (lane, count)).collect(),
            per_project: count,
            taken: BTreeMap::new(),
        }
    }

    /// Whether nothing more can be walked.
    pub fn is_full(&self) -> bool {
        self.free.values().all(|free| *free == 0)
    }

    fn free_in(&self, lane: Lane) -> usize {
        self.free.get(&lane).copied().unwrap_or(0)
    }
}

/// Those of `waiting` that an engine with this `room` takes, in their order.
pub fn next(waiting: &[Waiting], room: &Room) -> Vec<OperationId> {
    Lane::ALL
        .into_iter()
        .flat_map(|lane| next_in(lane, waiting, room))
        .collect()
}

fn next_in(lane: Lane, waiting: &[Waiting], room: &Room) -> Vec<OperationId> {
    let mut queues = by_project(lane, waiting);
    // The project's places, and how long its first has waited: the first of the set goes next.
    let mut turns: BTreeSet<(usize, DateTime<Utc>, &ProjectId)> = queues
        .iter()
        .filter_map(|(project, queue)| {
            let key = (lane, (*project).clone());
            let taken = room.taken.get(&key).copied().unwrap_or(0);
            Some((taken, queue.last()?.created_at, *project))
        })
        .collect();
    let mut taken = Vec::new();
    while taken.len() < room.free_in(lane) {
        let Some((places, _, project)) = turns.pop_first() else {
            break;
        };
        if places >= room.per_project {
            break;
        }
        let queue = queues.entry(project).or_default();
        taken.extend(queue.pop().map(|first| first.id.clone()));
        if let Some(first) = queue.last() {
            turns.insert((places + 1, first.created_at, project));
        }
    }
    taken
}

/// What waits in a lane by project, the first of each last.
fn by_project(lane: Lane, waiting: &[Waiting]) -> BTreeMap<&ProjectId, Vec<&Waiting>> {
    let mut queues: BTreeMap<&ProjectId, Vec<&Waiting>> = BTreeMap::new();
    for one in waiting.iter().filter(|one| one.lane == lane) {
        queues.entry(&one.project_id).or_default().push(one);
    }
    for queue in queues.values_mut() {
        queue.sort_by_key(|one| {
            Reverse((!one.has_begun, one.priority, one.created_at, one.id.clone()))
        });
    }
    queues
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn waiting(id: &str, project: &str, age: i64) -> Waiting {
        Waiting {
            id: id.into(),
            lane: Lane::Regular,
            project_id: project.into(),
            has_begun: false,
            priority: Priority::DEFAULT,
            created_at: DateTime::UNIX_EPOCH - TimeDelta::seconds(age),
        }
    }

    fn room(count: usize, per_project: usize) -> Room {
        Room {
            per_project,
            ..Room::for_any(count)
        }
    }

    fn ids(chosen: &[OperationId]) -> Vec<&str> {
        chosen.iter().map(OperationId::as_str).collect()
    }

    #[test]
    fn projects_take_turns_whoever_has_asked_most() {
        let mut queue: Vec<Waiting> = (0..100)
            .map(|n| waiting(&format!("a{n:02}"), "a", 1000 - n))
            .collect();
        queue.push(waiting("b1", "b", 5));
        queue.push(waiting("c1", "c", 4));
        queue.push(waiting("b2", "b", 3));
        let chosen = next(&queue, &room(6, 10));
        assert_eq!(ids(&chosen), ["a00", "b1", "c1", "a01", "b2", "a02"]);
    }

    #[test]
    fn no_project_has_more_than_its_share() {
        let queue: Vec<Waiting> = (0..9).map(|n| waiting(&format!("a{n}"), "a", 9)).collect();
        assert_eq!(next(&queue, &room(9, 4)).len(), 4);
        let mut under_way = room(9, 4);
        under_way.taken.insert((Lane::Regular, "a".into()), 3);
        assert_eq!(next(&queue, &under_way).len(), 1);
        under_way.taken.insert((Lane::Regular, "a".into()), 4);
        assert_eq!(next(&queue, &under_way).len(), 0);
    }

    #[test]
    fn nothing_planned_is_in_the_way_of_what_follows_a_disaster() {
        let mut queue: Vec<Waiting> = (0..30)
            .map(|n| waiting(&format!("a{n:02}"), "a", 1000))
            .collect();
        queue.push(Waiting {
            lane: Lane::Urgent,
            ..waiting("disaster", "b", 1)
        });
        let mut full = room(20, 10);
        full.free.insert(Lane::Regular, 0);
        full.taken.insert((Lane::Regular, "b".into()), 10);
        assert_eq!(ids(&next(&queue, &full)), ["disaster"]);
        assert_eq!(ids(&next(&queue, &room(1, 1))), ["disaster", "a00"]);
    }

    #[test]
    fn within_a_project_what_has_begun_goes_first_then_what_matters_then_what_is_older() {
        let queue = [
            waiting("young", "a", 1),
            waiting("old", "a", 9),
            Waiting {
                priority: Priority::FIRST,
                ..waiting("important", "a", 0)
            },
            Waiting {
                has_begun: true,
                priority: Priority::LAST,
                ..waiting("begun", "a", 0)
            },
        ];
        let chosen = next(&queue, &room(9, 9));
        assert_eq!(ids(&chosen), ["begun", "important", "old", "young"]);
    }
}
