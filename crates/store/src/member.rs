//! Members of protection groups.
//!
//! They cannot change while an operation moves their group: its switch replaces them by its own plan's.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protector_core::{
    id::{GroupId, MemberId, OperationId, ProjectId},
    journal::Protection,
    member::{Member, MemberStatus},
    operation::OperationState,
    present::CurrentMember,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel,
    ModelTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, IntoCondition, Query},
};

pub(crate) use crate::row::member::{earlier, from_row};
use crate::{
    database::Database,
    entity::{
        member::{self, Column, Entity, Model},
        operation, peer_operation, peer_operation_line, protection_group, resource_map, step,
    },
    error::{Noun, StoreError},
    given_up, group,
    group_row::{bump, whole_again},
    lock::{Lock, refuse_while_locked},
    page::AT_ONCE,
    precondition::Precondition,
    row::member::{of_groups, to_row},
    sealing::Kept,
    words::from_word,
};

/// Rows per statement: databases limit the values of one.
const CHUNK: usize = 500;

/// Which members somebody who takes one out means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removable {
    /// One that runs where its group does.
    Recovered,
    /// Any: one that the last move did not recover is given up.
    GivenUp,
}

impl Database {
    /// Adds a member, and raises its group's version, which it returns.
    ///
    /// # Errors
    ///
    /// `NotFound` for the group, `Duplicate` when the server is a member of this group already, `Protected` when another
    /// group protects it or one of its volumes, `Named` while an operation has to do with one of them, `Locked` while
    /// an operation works on the group, `Unchangeable` while the other site moves it and `Reserved` while that is about to,
    /// `GroupChanged` when it is not at the version of `basis`, `OverQuota`.
    pub async fn member_insert(
        &self,
        member: &Member,
        precondition: Precondition,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let row = to_row(&*self.kept(&member.group_id, member.clone())?)?;
        self.write_unreserved(&member.group_id, now, async |tx| {
            precondition.holds_for(tx, &member.group_id, now).await?;
            let version = bump(tx, &member.group_id, now).await?;
            refuse_while_locked(tx, &Lock::group(&member.group_id)).await?;
            self.quotas().allow_member(tx, &member.group_id).await?;
            refuse_in_another_group(tx, &member.group_id, std::slice::from_ref(member)).await?;
            refuse_named_by_an_operation(tx, member).await?;
            Entity::insert(row.clone().into_active_model())
                .exec_without_returning(tx)
                .await
                .map_err(|error| {
                    let server = &member.server_id;
                    StoreError::unless_duplicate(error, Noun::Member, "server_id", server)
                })?;
            Ok(version)
        })
        .await
    }

    /// The members of a group, by name. What is confidential in them is sealed: see [`Database::opened`].
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn member_list(&self, group: &GroupId) -> Result<Vec<Member>, StoreError> {
        of_group(self.pool(), group).await
    }

    /// The members of several groups, each group's by name. A group without any is left out.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn members_of(
        &self,
        groups: &[&GroupId],
    ) -> Result<BTreeMap<GroupId, Vec<Member>>, StoreError> {
        self.read(async |tx| {
            let mut members = BTreeMap::new();
            for groups in groups.chunks(AT_ONCE) {
                members.extend(of_groups(tx, groups.iter().copied()).await?);
            }
            Ok(members)
        })
        .await
    }

    /// The members of all groups of a project on this site, with the sites that they run on.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn members_of_project(
        &self,
        local_project: &ProjectId,
    ) -> Result<Vec<CurrentMember>, StoreError> {
        self.read(async |tx| {
            let groups = protection_group::Entity::find()
                .filter(protection_group::Column::LocalProjectId.eq(local_project.as_str()))
                .all(tx)
                .await?;
            let mut members = Vec::new();
            for groups in groups.chunks(AT_ONCE) {
                let groups = groups.iter().cloned().map(group::from_row);
                let groups = groups.collect::<Result<Vec<_>, _>>()?;
                let mut by_group = of_groups(tx, groups.iter().map(|group| &group.id)).await?;
                for group in &groups {
                    let of_group = by_group.remove(&group.id).unwrap_or_default();
                    members.extend(of_group.into_iter().map(|member| CurrentMember {
                        site: group.site_of(&member).clone(),
                        member,
                    }));
                }
            }
            Ok(members)
        })
        .await
    }

    /// The member of a group with this id, server id or name, in this order.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Ambiguous` for a name that two members have.
    pub async fn member_show(&self, group: &GroupId, key: &str) -> Result<Member, StoreError> {
        from_row(row_of(self.pool(), group, key).await?)
    }

    /// Changes a member, found by its id, and raises its group's version.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Duplicate`, `Locked` while an operation works on the group, `Unchangeable` while the other site moves
    /// it, `Reserved` while that is about to.
    pub async fn member_update(
        &self,
        member: &Member,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let row = to_row(&*self.kept(&member.group_id, member.clone())?)?;
        self.write_unreserved(&member.group_id, now, async |tx| {
            Precondition::Any
                .holds_for(tx, &member.group_id, now)
                .await?;
            bump(tx, &member.group_id, now).await?;
            refuse_while_locked(tx, &Lock::group(&member.group_id)).await?;
            let outcome = Entity::update_many()
                .set(row.clone().into_active_model().reset_all())
                .filter(Column::Id.eq(member.id.as_str()))
                .filter(Column::GroupId.eq(member.group_id.as_str()))
                .exec(tx)
                .await
                .map_err(|error| {
                    let server = &member.server_id;
                    StoreError::unless_duplicate(error, Noun::Member, "server_id", server)
                })?;
            if outcome.rows_affected == 0 {
                return Err(StoreError::not_found(Noun::Member, &member.id));
            }
            Ok(())
        })
        .await
    }

    /// Keeps members of `group` as they were read now, all at once, and raises its version. Those that are not there any more
    /// are left out.
    ///
    /// # Errors
    ///
    /// `Locked` while an operation works on the group, `Unchangeable` while the other site moves it, `Reserved` while that is
    /// about to, `GroupChanged` when it is not at the version of `basis`.
    pub async fn members_refresh(
        &self,
        group: &GroupId,
        members: &[Member],
        precondition: Precondition,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let rows = members
            .iter()
            .map(|member| to_row(&*self.kept(group, member.clone())?))
            .collect::<Result<Vec<_>, _>>()?;
        self.write_unreserved(group, now, async |tx| {
            precondition.holds_for(tx, group, now).await?;
            bump(tx, group, now).await?;
            refuse_while_locked(tx, &Lock::group(group)).await?;
            for row in &rows {
                Entity::update_many()
                    .set(row.clone().into_active_model().reset_all())
                    .filter(Column::Id.eq(&row.id))
                    .filter(Column::GroupId.eq(group.as_str()))
                    .exec(tx)
                    .await?;
            }
            Ok(())
        })
        .await
    }

    /// Takes a member out of its group, and raises the group's version. Its server is not touched. Without the last member
    /// that could not be recovered the group is whole.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Ambiguous`, `Locked` while an operation works on the group, `Unchangeable` while the other site moves
    /// it, `Reserved` while that is about to, `GroupChanged` when it is not at the version of `basis`, `Unrecovered` for one
    /// that is not `which`.
    pub async fn member_delete(
        &self,
        group: &GroupId,
        key: &str,
        which: Removable,
        precondition: Precondition,
        now: DateTime<Utc>,
    ) -> Result<MemberId, StoreError> {
        self.write_unreserved(group, now, async |tx| {
            precondition.holds_for(tx, group, now).await?;
            bump(tx, group, now).await?;
            refuse_while_locked(tx, &Lock::group(group)).await?;
            let row = row_of(tx, group, key).await?;
            // Here, and not before: a move may have ended since somebody looked.
            if which == Removable::Recovered {
                refuse_unrecovered(tx, &row).await?;
            }
            let id = MemberId::new(row.id.clone());
            row.delete(tx).await?;
            given_up::shown_anew(tx, group, now).await?;
            whole_again(tx, group, now).await?;
            Ok(id)
        })
        .await
    }
}

async fn refuse_unrecovered(db: &impl ConnectionTrait, row: &Model) -> Result<(), StoreError> {
    if from_word::<MemberStatus>("members.status", &row.status)? == MemberStatus::Protected {
        return Ok(());
    }
    Err(StoreError::Unrecovered {
        group: group_name(db, &row.group_id).await?,
        member: row.name.clone(),
    })
}

async fn group_name(db: &impl ConnectionTrait, id: &str) -> Result<String, StoreError> {
    let found = protection_group::Entity::find_by_id(id).one(db).await?;
    Ok(found.map_or_else(|| id.to_owned(), |group| group.name))
}

/// A server is moved by one group only, and so is a volume: two would each build a copy of it, and delete the original.
pub(crate) async fn refuse_in_another_group(
    db: &impl ConnectionTrait,
    group: &GroupId,
    members: &[Member],
) -> Result<(), StoreError> {
    for chunk in members.chunks(CHUNK_OF_IDS) {
        let ids: Vec<String> = chunk.iter().flat_map(resources_of).collect();
        let elsewhere = Column::GroupId.ne(group.as_str());
        if let Some(protection) = protection_where(db, elsewhere, &ids).await? {
            return Err(StoreError::Protected(protection));
        }
    }
    Ok(())
}

/// Members whose ids go into one statement together.
const CHUNK_OF_IDS: usize = 10;

/// The ids of all that a member is made of.
fn resources_of(member: &Member) -> Vec<String> {
    let volumes = member.volumes.iter().map(|volume| volume.id.to_string());
    std::iter::once(member.server_id.to_string())
        .chain(volumes)
        .collect()
}

/// Who protects one of the servers and volumes with these ids.
pub(crate) async fn protection_of(
    db: &impl ConnectionTrait,
    resources: &[String],
) -> Result<Option<Protection>, StoreError> {
    protection_where(db, Condition::all(), resources).await
}

async fn protection_where(
    db: &impl ConnectionTrait,
    which: impl IntoCondition,
    resources: &[String],
) -> Result<Option<Protection>, StoreError> {
    if resources.is_empty() {
        return Ok(None);
    }
    let mut named = Condition::any().add(Column::ServerId.is_in(resources));
    for id in resources {
        named = named.add(text_holds(Expr::col(Column::Volumes), id));
    }
    let rows = Entity::find()
        .filter(which.into_condition())
        .filter(named)
        .all(db)
        .await?;
    for row in rows {
        let group = row.group_id.clone();
        let member = from_row(row)?;
        // The text holds the id; whether as that of a volume the member itself says.
        if Protection::of_member("", &member, resources).is_some() {
            let name = group_name(db, &group).await?;
            return Ok(Protection::of_member(&name, &member, resources));
        }
    }
    Ok(None)
}

/// Whether a JSON column holds this text.
fn text_holds(column: Expr, id: &str) -> Expr {
    column.cast_as("CHAR").like(format!("%{id}%"))
}

/// What an operation has to do with that has not ended is not to be protected: its line may be about to delete it, or its
/// copy is not yet the member that it becomes.
async fn refuse_named_by_an_operation(
    db: &impl ConnectionTrait,
    member: &Member,
) -> Result<(), StoreError> {
    for resource in resources_of(member) {
        if let Some(by_operation) = open_operation_about(db, &resource).await? {
            return Err(StoreError::Named {
                resource,
                by_operation,
            });
        }
    }
    Ok(())
}

/// The operation that has not ended and whose record names the server or volume: as what a line is about, as what a line
/// made, or as what became of another one. Of one that the other site runs the copy counts, where that site is not gone for
/// good: what it makes here may be taken over by this one.
async fn open_operation_about(
    db: &impl ConnectionTrait,
    resource: &str,
) -> Result<Option<OperationId>, StoreError> {
    // Only the lines of what has not ended are read: there are few of these, and an index finds them.
    let open = OperationState::ALL
        .into_iter()
        .filter(|state| !state.is_terminal())
        .map(OperationState::as_str);
    let of_operation = |column: Expr| column.equals((operation::Entity, operation::Column::Id));
    let lines = Query::select()
        .column(step::Column::Position)
        .from(step::Entity)
        .and_where(of_operation(Expr::col((
            step::Entity,
            step::Column::OperationId,
        ))))
        .cond_where(
            Condition::any()
                .add(step::Column::ResourceId.eq(resource))
                .add(text_holds(Expr::col(step::Column::Memo), resource)),
        )
        .to_owned();
    let maps = Query::select()
        .column(resource_map::Column::SourceId)
        .from(resource_map::Entity)
        .and_where(of_operation(Expr::col((
            resource_map::Entity,
            resource_map::Column::OperationId,
        ))))
        .cond_where(
            Condition::any()
                .add(resource_map::Column::SourceId.eq(resource))
                .add(resource_map::Column::TargetId.eq(resource)),
        )
        .to_owned();
    let id = operation::Entity::find()
        .select_only()
        .column(operation::Column::Id)
        .filter(operation::Column::State.is_in(open))
        .filter(
            Condition::any()
                .add(Expr::exists(lines))
                .add(Expr::exists(maps)),
        )
        .into_tuple::<String>()
        .one(db)
        .await?;
    match id {
        Some(id) => Ok(Some(OperationId::new(id))),
        None => open_peer_operation_about(db, resource).await,
    }
}

async fn open_peer_operation_about(
    db: &impl ConnectionTrait,
    resource: &str,
) -> Result<Option<OperationId>, StoreError> {
    let ended = OperationState::ALL
        .into_iter()
        .filter(|state| state.is_terminal())
        .map(OperationState::as_str);
    let lines = Query::select()
        .column(peer_operation_line::Column::Position)
        .from(peer_operation_line::Entity)
        .and_where(
            Expr::col((
                peer_operation_line::Entity,
                peer_operation_line::Column::OperationId,
            ))
            .equals((peer_operation::Entity, peer_operation::Column::Id)),
        )
        .and_where(text_holds(
            Expr::col(peer_operation_line::Column::Line),
            resource,
        ))
        .to_owned();
    let paired = Query::select()
        .column(protection_group::Column::Id)
        .from(protection_group::Entity)
        .and_where(protection_group::Column::PeerRetiredAt.is_null())
        .to_owned();
    let id = peer_operation::Entity::find()
        .select_only()
        .column(peer_operation::Column::Id)
        .filter(peer_operation::Column::State.is_not_in(ended))
        .filter(peer_operation::Column::GroupId.in_subquery(paired))
        .filter(Expr::exists(lines))
        .into_tuple::<String>()
        .one(db)
        .await?;
    Ok(id.map(OperationId::new))
}

pub(crate) async fn of_group(
    db: &impl ConnectionTrait,
    group: &GroupId,
) -> Result<Vec<Member>, StoreError> {
    let rows = Entity::find()
        .filter(Column::GroupId.eq(group.as_str()))
        .order_by_asc(Column::Name)
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Makes `members` the members of `group`, all of them.
pub(crate) async fn replace(
    db: &impl ConnectionTrait,
    group: &GroupId,
    members: &Kept<Vec<Member>>,
) -> Result<(), StoreError> {
    Entity::delete_many()
        .filter(Column::GroupId.eq(group.as_str()))
        .exec(db)
        .await?;
    refuse_in_another_group(db, group, members).await?;
    for chunk in members.chunks(CHUNK) {
        let rows = chunk
            .iter()
            .map(|member| Ok(to_row(member)?.into_active_model()))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Entity::insert_many(rows)
            .exec_without_returning(db)
            .await
            .map_err(|error| {
                StoreError::unless_duplicate(error, Noun::Member, "id or server_id", group)
            })?;
    }
    Ok(())
}

async fn row_of(
    db: &impl ConnectionTrait,
    group: &GroupId,
    key: &str,
) -> Result<member::Model, StoreError> {
    let rows = Entity::find()
        .filter(Column::GroupId.eq(group.as_str()))
        .filter(
            Condition::any()
                .add(Column::Id.eq(key))
                .add(Column::ServerId.eq(key))
                .add(Column::Name.eq(key)),
        )
        .all(db)
        .await?;
    let by_id = rows.iter().position(|row| row.id == key);
    let by_server = rows.iter().position(|row| row.server_id == key);
    let many = rows.len() > 1;
    match by_id.or(by_server) {
        Some(place) => rows.into_iter().nth(place),
        None if many => {
            return Err(StoreError::Ambiguous {
                what: Noun::Member,
                name: key.to_owned(),
            });
        }
        None => rows.into_iter().next(),
    }
    .ok_or_else(|| StoreError::not_found(Noun::Member, key))
}
