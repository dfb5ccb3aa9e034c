//! What the copies of the other site's moves tell of servers: which became which, which were left, and which are gone.
//!
//! A copy holds its lines as their home shows them. A line's key names its member; what a line is about has the id that it
//! has on the line's own site, so that a line that builds tells its copy, once there is one.

use std::collections::{BTreeMap, BTreeSet};

use protector_core::operation::{OperationKind, OperationState, StepState};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, JsonValue, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    database::Database,
    entity::{peer_operation, peer_operation_line as line},
    error::StoreError,
    page::AT_ONCE,
};

/// The phase whose lines find the copies that an earlier move has made.
const ADOPT_VMS: &str = "adopt_vms";

/// What is told of the moves of some groups.
#[derive(Default)]
pub(crate) struct ToldMoves {
    pub(crate) moves: BTreeMap<String, Moved>,
    /// The copies that they have made.
    pub(crate) made: Vec<Made>,
    /// Operation and server of each line that left an original of which there is a copy.
    pub(crate) left: Vec<(String, String)>,
    /// The servers that they, or cleanups after them, have deleted there.
    pub(crate) deleted: BTreeSet<String>,
}

/// A line of a copy that is about a server.
struct ToldLine {
    operation: String,
    /// The move that it belongs to: a retry completes another one, whose lines tell of the same members.
    of_move: String,
    phase: String,
    member: String,
    server: String,
    state: String,
}

impl ToldLine {
    fn of(operation: String, of_move: String, shown: &JsonValue) -> Option<Self> {
        let word = |field: &str| shown.get(field).and_then(JsonValue::as_str);
        let (_, member) = word("key")?.split_once(':')?;
        Some(Self {
            operation,
            of_move,
            phase: word("phase")?.to_owned(),
            member: member.to_owned(),
            server: word("resource_id")?.to_owned(),
            state: word("state")?.to_owned(),
        })
    }

    fn is(&self, state: StepState) -> bool {
        self.state == state.as_str()
    }

    /// Its move, and the name of the member in that.
    fn member(&self) -> (&str, &str) {
        (&self.of_move, &self.member)
    }

    fn makes_a_copy(&self) -> bool {
        [RECREATE_VMS, ADOPT_VMS].contains(&self.phase.as_str())
    }

    /// The copy of `original` that it tells of. Before there is one, it names the original.
    fn made(&self, original: &str) -> Option<Made> {
        (self.server != original).then(|| Made {
            operation: self.operation.clone(),
            original: original.to_owned(),
            copy: self.server.clone(),
            is_undone: self.is(StepState::Undone),
        })
    }
}

impl ToldMoves {
    fn of(moves: BTreeMap<String, Moved>, lines: &[ToldLine]) -> Self {
        let deletions = || lines.iter().filter(|line| line.phase == DELETE_SOURCE_VM);
        let originals: BTreeMap<_, &str> = deletions()
            .map(|line| (line.member(), line.server.as_str()))
            .collect();
        let builds = || lines.iter().filter(|line| line.makes_a_copy());
        let copied: BTreeSet<_> = builds()
            .filter(|line| line.is(StepState::Done))
            .map(ToldLine::member)
            .collect();
        let left_an_original = |line: &&ToldLine| {
            let moved = moves.get(&line.operation);
            moved.is_some_and(|moved| moved.is_completed)
                && (line.is(StepState::Failed) || line.is(StepState::Skipped))
                && copied.contains(&line.member())
        };
        let left = deletions().filter(left_an_original);
        let left = left
            .map(|line| (line.operation.clone(), line.server.clone()))
            .collect();
        let deleted = deletions().filter(|line| line.is(StepState::Done));
        let deleted = deleted.map(|line| line.server.clone()).collect();
        let made = builds().filter_map(|line| line.made(originals.get(&line.member())?));
        Self {
            made: made.collect(),
            moves,
            left,
            deleted,
        }
    }
}

impl Database {
    /// What the other site has told of its moves of `groups`.
    pub(crate) async fn peer_moves(
        &self,
        groups: &BTreeMap<String, String>,
    ) -> Result<ToldMoves, StoreError> {
        let (moves, retries) = self.moves_told_of(groups).await?;
        let lines = self.lines_told_of(moves.keys().collect(), &retries).await?;
        Ok(ToldMoves::of(moves, &lines))
    }

    /// The moves, and which of them each retry completes.
    async fn moves_told_of(
        &self,
        groups: &BTreeMap<String, String>,
    ) -> Result<(BTreeMap<String, Moved>, BTreeMap<String, String>), StoreError> {
        use peer_operation::{Column, Entity};
        let (mut moves, mut retries) = (BTreeMap::new(), BTreeMap::new());
        let ids: Vec<&String> = groups.keys().collect();
        for ids in ids.chunks(AT_ONCE) {
            let rows = Entity::find()
                .filter(Column::GroupId.is_in(ids.iter().copied()))
                .filter(Column::Kind.is_in(COPYING.iter().map(|kind| kind.as_str())))
                .filter(Column::Revision.gt(0))
                .all(self.pool())
                .await?;
            retries.extend(
                rows.iter()
                    .filter(|row| row.kind == OperationKind::Retry.as_str())
                    .filter_map(|row| Some((row.id.clone(), row.parent_id.clone()?))),
            );
            moves.extend(rows.into_iter().filter_map(|row| {
                let site = |field: &str| {
                    let shown = row.record.get(field).and_then(JsonValue::as_str);
                    shown.map(str::to_owned)
                };
                let moved = Moved {
                    source_site: site("source_site")?,
                    target_site: site("target_site")?,
                    is_completed: row.state == OperationState::Completed.as_str(),
                    group: row.group_id,
                    kind: row.kind,
                };
                Some((row.id, moved))
            }));
        }
        Ok((moves, retries))
    }

    /// The lines of copies that build servers or delete them.
    async fn lines_told_of(
        &self,
        moves: Vec<&String>,
        retries: &BTreeMap<String, String>,
    ) -> Result<Vec<ToldLine>, StoreError> {
        use line::{Column, Entity};
        let mut lines = Vec::new();
        // The text may hold it elsewhere too; what a line is the line itself says.
        let holds = |phase: &str| {
            let text = Expr::col(Column::Line).cast_as("CHAR");
            text.like(format!("%{phase}:%"))
        };
        for ids in moves.chunks(AT_ONCE) {
            let rows: Vec<(String, JsonValue)> = Entity::find()
                .select_only()
                .columns([Column::OperationId, Column::Line])
                .filter(Column::OperationId.is_in(ids.iter().copied()))
                .filter(
                    Condition::any()
                        .add(holds(DELETE_SOURCE_VM))
                        .add(holds(RECREATE_VMS))
                        .add(holds(ADOPT_VMS)),
                )
                .into_tuple()
                .all(self.pool())
                .await?;
            let rows = rows.into_iter();
            lines.extend(rows.filter_map(|(operation, shown)| {
                let of_move = retries.get(&operation).unwrap_or(&operation).clone();
                ToldLine::of(operation, of_move, &shown)
            }));
        }
        Ok(lines)
    }
}

/// A copy that a move has made.
pub(crate) struct Made {
    pub(crate) operation: String,
    pub(crate) original: String,
    pub(crate) copy: String,
    /// Whether it was taken back: it is gone.
    pub(crate) is_undone: bool,
}

/// A move, or a retry of one, of a group.
pub(crate) struct Moved {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) is_completed: bool,
    pub(crate) source_site: String,
    pub(crate) target_site: String,
}

/// What makes the copies that a group runs on.
pub(crate) const COPYING: [OperationKind; 3] = [
    OperationKind::Failover,
    OperationKind::Failback,
    OperationKind::Retry,
];

/// The phase of a move whose lines are the source's servers.
pub(crate) const DELETE_SOURCE_VM: &str = "delete_source_vm";

/// The phase whose lines build the copies.
pub(crate) const RECREATE_VMS: &str = "recreate_vms";
