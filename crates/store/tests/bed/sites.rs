//! Two sites that keep the same groups.

use protector_core::{
    group::{Group, GroupStatus},
    id::{EngineId, GroupId, OperationId, ProjectId},
    journal::{Effect, Entry, Journal, OperationChange},
    operation::OperationState,
    queue::Room,
    runbook::BOOK_VERSION,
};
use protector_store::{
    Conflict, Database, GroupChange, MetadataDocument, MetadataState, Offered, StoreError, Taken,
};

use super::{
    Bed,
    records::{at, project, protected},
};

/// Two sites, and a group of one member that both hold.
pub struct Sites {
    pub here: Bed,
    pub there: Bed,
    pub group: GroupId,
}

pub fn remote() -> ProjectId {
    "project-b".into()
}

pub async fn offer(from: &Database, group: &GroupId) -> Offered {
    let ours = from.metadata_outgoing(group).await.unwrap();
    let sent = ours.document.to_json().unwrap();
    Offered {
        document: MetadataDocument::from_json(sent).unwrap(),
        base: ours.side.base,
        force: false,
    }
}

pub async fn mark(database: &Database, group: &GroupId) -> MetadataState {
    let ours = database.metadata_outgoing(group).await.unwrap();
    ours.side.now
}

pub async fn conflict(database: &Database, group: &GroupId) -> Option<Conflict> {
    let ours = database.metadata_outgoing(group).await.unwrap();
    ours.conflict
}

pub async fn rename(database: &Database, group: &GroupId, name: &str, second: i64) {
    let change = GroupChange {
        name: Some(name.to_owned()),
        ..GroupChange::default()
    };
    database
        .group_update(group, &change, at(second))
        .await
        .unwrap();
}

pub async fn name(database: &Database, group: &GroupId) -> String {
    database.group_show_by_id(group).await.unwrap().group.name
}

impl Sites {
    pub async fn agreed() -> (Self, Group) {
        let (here, there) = (super::fresh("_a").await, super::fresh("_b").await);
        let (group, ..) = protected(&here, 1).await;
        let sites = Self {
            here,
            there,
            group: group.id.clone(),
        };
        assert!(matches!(sites.push().await, Ok(Taken::Held(_))));
        (sites, group)
    }

    pub fn a(&self) -> &Database {
        &self.here.database
    }

    pub fn b(&self) -> &Database {
        &self.there.database
    }

    /// What a hands over to b, and the note of it where b took it.
    pub async fn push(&self) -> Result<Taken, StoreError> {
        let offered = offer(self.a(), &self.group).await;
        handed(self.a(), self.b(), &remote(), &offered).await
    }

    /// The other way round.
    pub async fn push_back(&self) -> Result<Taken, StoreError> {
        let offered = offer(self.b(), &self.group).await;
        handed(self.b(), self.a(), &project(), &offered).await
    }

    pub async fn assert_agreed(&self) {
        let here = mark(self.a(), &self.group).await;
        assert_eq!(here, mark(self.b(), &self.group).await);
        for database in [self.a(), self.b()] {
            assert_eq!(database.push_due(at(9_999), 5).await.unwrap(), vec![]);
            assert_eq!(conflict(database, &self.group).await, None);
        }
    }
}

pub async fn handed(
    from: &Database,
    to: &Database,
    project: &ProjectId,
    offered: &Offered,
) -> Result<Taken, StoreError> {
    let taken = to.metadata_apply(project, offered, at(50)).await?;
    let sent = MetadataState {
        version: offered.document.group.version,
        digest: offered.document.digest().unwrap(),
    };
    if let Taken::Held(kept) = &taken
        && kept.digest == sent.digest
    {
        let group = &offered.document.group.id;
        from.push_done(group, &sent, kept, at(51)).await.unwrap();
    }
    Ok(taken)
}

pub async fn status(database: &Database, group: &GroupId) -> GroupStatus {
    let stored = database.group_show_by_id(group).await.unwrap();
    stored.group.status
}

/// An engine takes the only operation up, and ends it.
pub async fn settle(database: &Database) -> OperationId {
    settle_with(database, vec![]).await
}

pub async fn settle_with(database: &Database, effects: Vec<Effect>) -> OperationId {
    let lease = std::time::Duration::from_secs(60);
    let engine = EngineId::new("engine-1");
    let mut claims = database
        .claim(&engine, at(10), lease, BOOK_VERSION, &Room::for_any(5))
        .await
        .unwrap();
    let claim = claims.remove(0);
    let entry = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: at(11),
        }),
        effects,
        ..Entry::default()
    };
    database.record(&claim, at(11), entry).await.unwrap();
    claim.operation_id
}
