//! The journal in memory is held to the suite that the database's journal is held to, so that the schedule walker's
//! results are worth something.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use async_trait::async_trait;
use protector_core::{
    group::Group,
    id::{GroupId, OperationId},
    journal_conformance::TestBed,
    member::Member,
    operation::{GivenUp, OperationRecord},
};
use protector_walker::memory_journal::MemoryJournal;

struct Bed(MemoryJournal);

#[async_trait]
impl TestBed for Bed {
    type Journal = MemoryJournal;

    fn journal(&self) -> &MemoryJournal {
        &self.0
    }

    async fn insert(&self, record: OperationRecord) {
        self.0.insert(record);
    }

    async fn abort(&self, id: &OperationId, user: &str) {
        self.0.abort(id, user, GivenUp::Unwanted).unwrap();
    }

    async fn put_group(&self, group: Group, members: Vec<Member>) {
        self.0.put_group(group, members);
    }

    async fn operation(&self, id: &OperationId) -> OperationRecord {
        self.0.operation(id).unwrap()
    }

    async fn group(&self, id: &GroupId) -> (Group, Vec<Member>) {
        self.0.group(id).unwrap()
    }

    async fn is_locked(&self, id: &OperationId) -> bool {
        self.0.is_locked(id)
    }
}

async fn bed(_case: &str) -> Bed {
    Bed(MemoryJournal::new())
}

protector_core::journal_conformance!(crate::bed);
