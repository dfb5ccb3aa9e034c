//! Members, to rows and back.

use std::collections::BTreeMap;

use protector_core::{id::GroupId, member::Member};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, JsonValue, QueryFilter, QueryOrder};

use crate::{
    entity::member::{Column, Entity, Model},
    error::StoreError,
    words::{from_json, from_word, to_json},
};

/// How the member was before, as a row has it.
pub(crate) fn earlier(member: &Member) -> Result<Option<JsonValue>, StoreError> {
    match member.earlier.is_empty() {
        true => Ok(None),
        false => Ok(Some(to_json(&member.earlier)?)),
    }
}

pub(crate) fn to_row(member: &Member) -> Result<Model, StoreError> {
    Ok(Model {
        id: member.id.to_string(),
        group_id: member.group_id.to_string(),
        name: member.name.clone(),
        server_id: member.server_id.to_string(),
        status: member.status.as_str().to_owned(),
        server: to_json(&member.server)?,
        volumes: to_json(&member.volumes)?,
        earlier: earlier(member)?,
        created_at: member.created_at,
        updated_at: member.updated_at,
    })
}

pub(crate) fn from_row(row: Model) -> Result<Member, StoreError> {
    Ok(Member {
        id: row.id.into(),
        group_id: row.group_id.into(),
        name: row.name,
        server_id: row.server_id.into(),
        status: from_word("members.status", &row.status)?,
        server: from_json("members.server", row.server)?,
        volumes: from_json("members.volumes", row.volumes)?,
        earlier: row
            .earlier
            .map_or(Ok(vec![]), |json| from_json("members.earlier", json))?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// The members of `groups`, each group's by name. At most [`AT_ONCE`] groups.
pub(crate) async fn of_groups(
    db: &impl ConnectionTrait,
    groups: impl Iterator<Item = &GroupId>,
) -> Result<BTreeMap<GroupId, Vec<Member>>, StoreError> {
    let rows = Entity::find()
        .filter(Column::GroupId.is_in(groups.map(GroupId::as_str)))
        .order_by_asc(Column::Name)
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    let mut members: BTreeMap<GroupId, Vec<Member>> = BTreeMap::new();
    for row in rows {
        let group = GroupId::new(row.group_id.as_str());
        members.entry(group).or_default().push(from_row(row)?);
    }
    Ok(members)
}
