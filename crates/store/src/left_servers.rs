//! Servers that moves have left behind: what may run again, on the site from which its group has gone, without anybody
//! asking protector.

use std::collections::{BTreeMap, BTreeSet};

use protector_core::{
    group::GroupStatus,
    id::{GroupId, ServerId, SiteName},
    operation::{MapKind, OperationKind, OperationState},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use crate::{
    database::Database,
    entity::{member, operation, protection_group as group, resource_map, step},
    error::StoreError,
    operation::left_behind,
};

/// Groups that an operation moves, or has left half moved: it says itself how they stand afterwards.
const NOT_AT_REST: [GroupStatus; 3] = [
    GroupStatus::FailingOver,
    GroupStatus::FailingBack,
    GroupStatus::Error,
];
/// What brings a group to another site.
const MOVES: [OperationKind; 2] = [OperationKind::Failover, OperationKind::Failback];
/// What makes the copies that a group runs on.
const COPYING: [OperationKind; 3] = [
    OperationKind::Failover,
    OperationKind::Failback,
    OperationKind::Retry,
];
/// The phase of a move whose lines are the source's servers.
const DELETE_SOURCE_VM: &str = "delete_source_vm";
/// Ids in one statement, at most: SQLite and MariaDB have a limit of parameters.
const AT_ONCE: usize = 500;

/// What the moves of a group have left on one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftServers {
    /// The group.
    pub group_id: GroupId,
    /// The site that it has gone from.
    pub site: SiteName,
    /// The servers, each once.
    pub servers: BTreeSet<ServerId>,
}

/// Some groups' servers, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftServersPage {
    /// Groups of which something is left.
    pub left: Vec<LeftServers>,
    /// After which group to go on; `None` when these were the last.
    pub next: Option<GroupId>,
}

impl Database {
    /// The servers that completed moves of this site's record have left on the site that their group has gone from: their
    /// deletion failed, was not safe, was left out, or belongs to an unplanned failover. Not those that a cleanup has
    /// deleted since, and not those that a group has as a member, because somebody protects them anew. Not those that could
    /// not be recovered either: there is no copy beside which they would run.
    ///
    /// Groups whose other site is gone for good are passed over: nobody is asked there any more.
    ///
    /// Looks at the next `limit` groups after `after`, in the order of their ids, so that one who asks again and again sees
    /// all of them equally often. Reads a few columns by indexes: the groups of the page, their moves, and the lines of these
    /// that left something; no record, plan or line that ended well.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn left_servers(
        &self,
        after: Option<&GroupId>,
        limit: u64,
    ) -> Result<LeftServersPage, StoreError> {
        let groups = self.groups_at_rest(after, limit).await?;
        let next = (groups.len() as u64 == limit)
            .then(|| groups.last().map(|(id, _)| GroupId::new(id.as_str())))
            .flatten();
        let left = self.left_of(groups.into_iter().collect()).await?;
        Ok(LeftServersPage { left, next })
    }

    /// The same for one group, in whatever status it is.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn left_servers_of(&self, id: &GroupId) -> Result<Vec<LeftServers>, StoreError> {
        use group::{Column, Entity};
        let group: Option<(String, String)> = Entity::find_by_id(id.as_str())
            .select_only()
            .columns([Column::Id, Column::CurrentPrimarySite])
            .into_tuple()
            .one(self.pool())
            .await?;
        self.left_of(group.into_iter().collect()).await
    }

    /// Groups, each with the site on which it runs.
    async fn left_of(
        &self,
        groups: BTreeMap<String, String>,
    ) -> Result<Vec<LeftServers>, StoreError> {
        let moves = self.moves_that_hold(groups).await?;
        let lines = self.lines_that_left(moves.keys().collect()).await?;
        let servers: Vec<&str> = lines.iter().map(|(_, server)| server.as_str()).collect();
        let protected = self.members_among(&servers).await?;
        let copied = self.copied_among(&servers).await?;
        let mut left: BTreeMap<(String, String), BTreeSet<ServerId>> = BTreeMap::new();
        for (operation, server) in lines {
            if let Some(place) = moves.get(&operation)
                && !protected.contains(&server)
                && copied.contains(&server)
            {
                let servers = left.entry(place.clone()).or_default();
                servers.insert(ServerId::new(server));
            }
        }
        let left = left.into_iter();
        Ok(left
            .map(|((group_id, site), servers)| LeftServers {
                group_id: group_id.into(),
                site: site.into(),
                servers,
            })
            .collect())
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

    /// The completed moves that brought one of `groups` to where it runs, with the group and the site that they left.
    async fn moves_that_hold(
        &self,
        groups: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, (String, String)>, StoreError> {
        use operation::{Column, Entity};
        let mut moves = BTreeMap::new();
        let ids: Vec<&String> = groups.keys().collect();
        for ids in ids.chunks(AT_ONCE) {
            let rows: Vec<(String, String, String, String)> = Entity::find()
                .select_only()
                .columns([
                    Column::Id,
                    Column::GroupId,
                    Column::SourceSite,
                    Column::TargetSite,
                ])
                .filter(Column::GroupId.is_in(ids.iter().copied()))
                .filter(Column::Kind.is_in(MOVES.iter().map(|kind| kind.as_str())))
                .filter(Column::State.eq(OperationState::Completed.as_str()))
                .into_tuple()
                .all(self.pool())
                .await?;
            let hold = rows
                .into_iter()
                .filter(|(_, group, _, target)| groups.get(group) == Some(target));
            moves.extend(hold.map(|(id, group, source, _)| (id, (group, source))));
        }
        Ok(moves)
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
