//! Servers that moves have left behind: what may run beside its group, on either site, without anybody asking protector.

use std::collections::{BTreeMap, BTreeSet};

use protector_core::{
    generations::Generations,
    group::GroupStatus,
    id::{GroupId, ServerId, SiteName},
    member::MemberStatus,
    operation::{MapKind, OperationKind, OperationState, StepState},
};
use sea_orm::{
    ColumnTrait, EntityTrait, JsonValue, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};

use crate::{
    database::Database,
    entity::{member, operation, protection_group as group, resource_map, step},
    error::StoreError,
    operation_records::left_behind,
    page::AT_ONCE,
    peer_moves::{COPYING, DELETE_SOURCE_VM, Made, Moved, RECREATE_VMS, ToldMoves},
};

/// Groups that an operation moves, or has left half moved: it says itself how they stand afterwards.
const NOT_AT_REST: [GroupStatus; 3] = [
    GroupStatus::FailingOver,
    GroupStatus::FailingBack,
    GroupStatus::Error,
];
/// What the moves of a group have left on one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftoverServers {
    pub group_id: GroupId,
    /// The site that they are on: the one that the group has gone from, or the one where it runs.
    pub site: SiteName,
    /// The servers, each once.
    pub servers: BTreeSet<ServerId>,
}

/// Whose records tell what moves have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Records {
    /// This site's own: each site looks after what its own have left.
    Own,
    /// And the copies of the other site's.
    OfBoth,
}

/// Some groups' servers, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftoverServersPage {
    /// Groups of which something is left.
    pub left: Vec<LeftoverServers>,
    /// After which group to go on; `None` when these were the last.
    pub next: Option<GroupId>,
}

impl Database {
    /// The servers that the moves of this site's record have left, on either site:
    ///
    /// - What completed moves have left on the site that their group has gone from: the deletion failed, was not safe, was left
    ///   out, or belongs to an unplanned failover. Not those that could not be recovered: there is no copy beside which they
    ///   would run.
    /// - Every other life of a machine that the group runs: a copy that a move has made and could not take back, whatever
    ///   became of that move, and an original that an earlier move has left on the site to which the group has returned since.
    ///
    /// Not those that were deleted or taken back since, and not those that a group has as a member, because somebody protects
    /// them anew.
    ///
    /// Groups whose other site is gone for good are passed over: nobody is asked there any more.
    ///
    /// Looks at the next `limit` groups after `after`, in the order of their ids, so that one who asks again and again sees
    /// all of them equally often. Reads a few columns by indexes, in proportion to what was moved: the groups of the page with
    /// their members' ids, their moves, which server became which, and the lines about servers that were left or made; no plan.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn leftover_servers(
        &self,
        after: Option<&GroupId>,
        limit: u64,
    ) -> Result<LeftoverServersPage, StoreError> {
        let groups = self.groups_at_rest(after, limit).await?;
        let next = (groups.len() as u64 == limit)
            .then(|| groups.last().map(|(id, _)| GroupId::new(id.as_str())))
            .flatten();
        let groups = groups.into_iter().collect();
        let left = self.left_of(groups, Records::Own).await?;
        Ok(LeftoverServersPage { left, next })
    }

    /// The same for one group, in whatever status it is.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn leftover_servers_of(
        &self,
        id: &GroupId,
    ) -> Result<Vec<LeftoverServers>, StoreError> {
        let group = self.where_it_runs(id).await?;
        self.left_of(group, Records::Own).await
    }

    /// The same, together with what the moves of the other site have left, as far as that one has told of them: what has to
    /// rest before anybody says that the group runs once.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn leftover_servers_of_both(
        &self,
        id: &GroupId,
    ) -> Result<Vec<LeftoverServers>, StoreError> {
        let group = self.where_it_runs(id).await?;
        self.left_of(group, Records::OfBoth).await
    }

    /// A group with the site on which it runs.
    async fn where_it_runs(&self, id: &GroupId) -> Result<BTreeMap<String, String>, StoreError> {
        use group::{Column, Entity};
        let group: Option<(String, String)> = Entity::find_by_id(id.as_str())
            .select_only()
            .columns([Column::Id, Column::CurrentPrimarySite])
            .into_tuple()
            .one(self.pool())
            .await?;
        Ok(group.into_iter().collect())
    }

    /// Groups, each with the site on which it runs.
    async fn left_of(
        &self,
        groups: BTreeMap<String, String>,
        records: Records,
    ) -> Result<Vec<LeftoverServers>, StoreError> {
        let moves = self.moves_of(&groups).await?;
        let made = self.made_by(&moves).await?;
        let lines = self.lines_that_left(completed(&moves)).await?;
        let originals = self.with_a_copy(lines).await?;
        let mut found = found(&groups, &moves, &made, &originals);
        let mut deleted = self.deleted_by(moves.keys().collect()).await?;
        self.keep_left(&mut found, &deleted).await?;
        // What the other site has told is read only where it matters: each of its moves has many lines.
        let told = match records == Records::Own && found.is_empty() {
            true => ToldMoves::default(),
            false => self.peer_moves(&groups).await?,
        };
        if records == Records::OfBoth {
            found.extend(self::found(&groups, &told.moves, &told.made, &told.left));
        }
        deleted.extend(told.deleted.clone());
        self.keep_left(&mut found, &deleted).await?;
        let all_made = made.iter().chain(&told.made);
        let lives = self.lives_of(&groups, all_made).await?;
        let mut left: BTreeMap<(&str, &str), BTreeSet<ServerId>> = BTreeMap::new();
        for found in &found {
            let is_the_groups = found.is_the_groups || lives.are_one(found.group, &found.server);
            if is_the_groups {
                let servers = left.entry((found.group, found.site)).or_default();
                servers.insert(ServerId::new(found.server.as_str()));
            }
        }
        let left = left.into_iter();
        Ok(left
            .map(|((group_id, site), servers)| LeftoverServers {
                group_id: group_id.into(),
                site: site.into(),
                servers,
            })
            .collect())
    }

    /// Of lines that left an original those of which a copy was made.
    async fn with_a_copy(
        &self,
        mut lines: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let servers: Vec<&str> = lines.iter().map(|(_, server)| server.as_str()).collect();
        let copied = self.copied_among(&servers).await?;
        lines.retain(|(_, server)| copied.contains(server));
        Ok(lines)
    }

    /// Of what was found that which is neither known to be gone nor a member of a group.
    async fn keep_left(
        &self,
        found: &mut Vec<Found<'_>>,
        deleted: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        found.retain(|found| found.is_original || !deleted.contains(&found.server));
        let servers: BTreeSet<&str> = found.iter().map(|found| found.server.as_str()).collect();
        let servers: Vec<&str> = servers.into_iter().collect();
        let protected = self.members_among(&servers).await?;
        found.retain(|found| !protected.contains(&found.server));
        Ok(())
    }

    /// What is one machine with which member, by what became what. Beside a member that could not be recovered nothing runs.
    async fn lives_of(
        &self,
        groups: &BTreeMap<String, String>,
        made: impl Iterator<Item = &Made>,
    ) -> Result<Generations, StoreError> {
        use member::{Column, Entity};
        let mut lives = Generations::default();
        for made in made {
            lives.became(&made.original, &made.copy);
        }
        let ids: Vec<&String> = groups.keys().collect();
        for ids in ids.chunks(AT_ONCE) {
            let rows: Vec<(String, String)> = Entity::find()
                .select_only()
                .columns([Column::GroupId, Column::ServerId])
                .filter(Column::GroupId.is_in(ids.iter().copied()))
                .filter(Column::Status.eq(MemberStatus::Protected.as_str()))
                .into_tuple()
                .all(self.pool())
                .await?;
            for (group, server) in rows {
                lives.runs(&group, &server);
            }
        }
        Ok(lives)
    }

    /// Ids, and where each group runs.
    async fn groups_at_rest(
        &self,
        after: Option<&GroupId>,
        limit: u64,
    ) -> Result<Vec<(String, String)>, StoreError> {
        use group::{Column, Entity};
        let mut groups = Entity::find()
            .select_only()
            .columns([Column::Id, Column::CurrentPrimarySite])
            .filter(Column::Status.is_not_in(NOT_AT_REST.iter().map(|status| status.as_str())))
            .filter(Column::PeerRetiredAt.is_null())
            .order_by_asc(Column::Id)
            .limit(limit);
        if let Some(after) = after {
            groups = groups.filter(Column::Id.gt(after.as_str()));
        }
        Ok(groups.into_tuple().all(self.pool()).await?)
    }

    /// What has made copies of servers of `groups`.
    async fn moves_of(
        &self,
        groups: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Moved>, StoreError> {
        use operation::{Column, Entity};
        let mut moves = BTreeMap::new();
        let ids: Vec<&String> = groups.keys().collect();
        for ids in ids.chunks(AT_ONCE) {
            let rows: Vec<(String, String, String, String, String, String)> = Entity::find()
                .select_only()
                .columns([
                    Column::Id,
                    Column::GroupId,
                    Column::Kind,
                    Column::State,
                    Column::SourceSite,
                    Column::TargetSite,
                ])
                .filter(Column::GroupId.is_in(ids.iter().copied()))
                .filter(Column::Kind.is_in(COPYING.iter().map(|kind| kind.as_str())))
                .into_tuple()
                .all(self.pool())
                .await?;
            moves.extend(rows.into_iter().map(
                |(id, group, kind, state, source_site, target_site)| {
                    let moved = Moved {
                        group,
                        kind,
                        is_completed: state == OperationState::Completed.as_str(),
                        source_site,
                        target_site,
                    };
                    (id, moved)
                },
            ));
        }
        Ok(moves)
    }

    /// All copies that `moves` have made, as far as their records know.
    async fn made_by(&self, moves: &BTreeMap<String, Moved>) -> Result<Vec<Made>, StoreError> {
        let unfinished = moves.iter().filter(|(_, moved)| !moved.is_completed);
        let builds = self.builds(unfinished.map(|(id, _)| id).collect()).await?;
        let undone: BTreeSet<(&str, &str)> = builds
            .iter()
            .filter(|build| build.is_undone)
            .map(|build| (build.operation.as_str(), build.original.as_str()))
            .collect();
        let mut made = self.became(moves.keys().collect()).await?;
        for made in &mut made {
            let build = (made.operation.as_str(), made.original.as_str());
            made.is_undone = undone.contains(&build);
        }
        // What came of a build that had not ended well when it was taken back is in no map.
        made.extend(builds.iter().filter_map(Build::made));
        Ok(made)
    }

    /// Which server became which by one of `operations`.
    async fn became(&self, operations: Vec<&String>) -> Result<Vec<Made>, StoreError> {
        use resource_map::{Column, Entity};
        let mut found = Vec::new();
        for ids in operations.chunks(AT_ONCE) {
            let rows: Vec<(String, String, String)> = Entity::find()
                .select_only()
                .columns([Column::OperationId, Column::SourceId, Column::TargetId])
                .filter(Column::OperationId.is_in(ids.iter().copied()))
                .filter(Column::Kind.eq(MapKind::Server.as_str()))
                .into_tuple()
                .all(self.pool())
                .await?;
            let rows = rows.into_iter();
            found.extend(rows.map(|(operation, original, copy)| Made {
                operation,
                original,
                copy,
                is_undone: false,
            }));
        }
        Ok(found)
    }

    /// The lines of `operations` that were to build copies and were begun.
    async fn builds(&self, operations: Vec<&String>) -> Result<Vec<Build>, StoreError> {
        use step::{Column, Entity};
        let mut found = Vec::new();
        for ids in operations.chunks(AT_ONCE) {
            let rows: Vec<(String, Option<String>, String, JsonValue)> = Entity::find()
                .select_only()
                .columns([
                    Column::OperationId,
                    Column::ResourceId,
                    Column::State,
                    Column::Memo,
                ])
                .filter(Column::OperationId.is_in(ids.iter().copied()))
                .filter(Column::PhaseName.eq(RECREATE_VMS))
                .filter(Column::State.ne(StepState::Pending.as_str()))
                .into_tuple()
                .all(self.pool())
                .await?;
            let rows = rows.into_iter();
            found.extend(rows.filter_map(|(operation, original, state, memo)| {
                let made = memo.get("made").and_then(JsonValue::as_str);
                Some(Build {
                    operation,
                    original: original?,
                    made: made.map(str::to_owned),
                    is_undone: state == StepState::Undone.as_str(),
                })
            }));
        }
        Ok(found)
    }

    /// The servers that one of `operations`, or a cleanup after it, has deleted on the site that it went from.
    async fn deleted_by(&self, operations: Vec<&String>) -> Result<BTreeSet<String>, StoreError> {
        use step::{Column, Entity};
        let mut deleted = BTreeSet::new();
        for ids in operations.chunks(AT_ONCE) {
            let rows: Vec<Option<String>> = Entity::find()
                .select_only()
                .column(Column::ResourceId)
                .filter(Column::OperationId.is_in(ids.iter().copied()))
                .filter(Column::PhaseName.eq(DELETE_SOURCE_VM))
                .filter(Column::State.eq(StepState::Done.as_str()))
                .into_tuple()
                .all(self.pool())
                .await?;
            deleted.extend(rows.into_iter().flatten());
        }
        Ok(deleted)
    }

    /// Operation and server of each line that left a server.
    async fn lines_that_left(
        &self,
        operations: Vec<&String>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        use step::{Column, Entity};
        let mut lines = Vec::new();
        for ids in operations.chunks(AT_ONCE) {
            let rows: Vec<(String, Option<String>)> = Entity::find()
                .select_only()
                .columns([Column::OperationId, Column::ResourceId])
                .filter(Column::OperationId.is_in(ids.iter().copied()))
                .filter(Column::PhaseName.eq(DELETE_SOURCE_VM))
                .filter(left_behind())
                .into_tuple()
                .all(self.pool())
                .await?;
            let servers = rows.into_iter();
            lines.extend(servers.filter_map(|(operation, server)| Some((operation, server?))));
        }
        Ok(lines)
    }

    /// Which of `servers` are members of a group.
    async fn members_among(&self, servers: &[&str]) -> Result<BTreeSet<String>, StoreError> {
        use member::{Column, Entity};
        let mut found = BTreeSet::new();
        for ids in servers.chunks(AT_ONCE) {
            let rows: Vec<String> = Entity::find()
                .select_only()
                .column(Column::ServerId)
                .filter(Column::ServerId.is_in(ids.iter().copied()))
                .into_tuple()
                .all(self.pool())
                .await?;
            found.extend(rows);
        }
        Ok(found)
    }

    /// Which of `servers` a move, or a retry of one, has made a copy of. The others run where they always did, whether their
    /// group still has them as members or not: nothing runs beside them.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn copied_among(&self, servers: &[&str]) -> Result<BTreeSet<String>, StoreError> {
        let mut found = BTreeSet::new();
        for ids in servers.chunks(AT_ONCE) {
            let rows: Vec<String> = resource_map::Entity::find()
                .select_only()
                .column(resource_map::Column::SourceId)
                .filter(resource_map::Column::Kind.eq(MapKind::Server.as_str()))
                .filter(resource_map::Column::SourceId.is_in(ids.iter().copied()))
                .filter(
                    resource_map::Column::OperationId.in_subquery(
                        operation::Entity::find()
                            .select_only()
                            .column(operation::Column::Id)
                            .filter(
                                operation::Column::Kind
                                    .is_in(COPYING.iter().map(|kind| kind.as_str())),
                            )
                            .into_query(),
                    ),
                )
                .into_tuple()
                .all(self.pool())
                .await?;
            found.extend(rows);
        }
        Ok(found)
    }
}

/// What `moves` have left: the `originals`, each with its move, on the site that they went from, and the copies that they
/// have made where they went, but for those that are known to be gone.
fn found<'m>(
    groups: &BTreeMap<String, String>,
    moves: &'m BTreeMap<String, Moved>,
    made: &[Made],
    originals: &[(String, String)],
) -> Vec<Found<'m>> {
    let originals = originals.iter().filter_map(|(operation, server)| {
        let moved = moves.get(operation)?;
        Some(Found {
            group: &moved.group,
            site: &moved.source_site,
            server: server.clone(),
            is_original: true,
            is_the_groups: groups.get(&moved.group) == Some(&moved.target_site),
        })
    });
    let copies = made.iter().filter(|made| !made.is_undone);
    let copies = copies.filter_map(|made| {
        let moved = moves.get(&made.operation)?;
        Some(Found {
            group: &moved.group,
            site: &moved.target_site,
            server: made.copy.clone(),
            is_original: false,
            is_the_groups: false,
        })
    });
    originals.chain(copies).collect()
}

/// The moves that may have left originals.
fn completed(moves: &BTreeMap<String, Moved>) -> Vec<&String> {
    moves
        .iter()
        .filter(|(_, moved)| moved.is_completed && moved.kind != OperationKind::Retry.as_str())
        .map(|(id, _)| id)
        .collect()
}

/// A server that a move has left.
struct Found<'m> {
    group: &'m str,
    site: &'m str,
    server: String,
    /// Whether it is what a line says was left, and no copy.
    is_original: bool,
    /// Whether it counts whatever became of its member: the group has gone from its site and not come back.
    is_the_groups: bool,
}

/// A line that was to build a copy.
struct Build {
    operation: String,
    original: String,
    made: Option<String>,
    is_undone: bool,
}

impl Build {
    fn made(&self) -> Option<Made> {
        Some(Made {
            operation: self.operation.clone(),
            original: self.original.clone(),
            copy: self.made.clone()?,
            is_undone: self.is_undone,
        })
    }
}
