//! Copies of the operations that the other site runs: to be read, and nothing else.
//!
//! They are in tables of their own, so that nothing that claims, locks, resumes or cleans up operations can find them. A
//! copy holds the record as its home shows it, not the record itself: a home of another release needs no translation.

use std::{cmp::Ordering, collections::BTreeMap};

use chrono::{DateTime, Utc};
use protector_core::{
    id::{GroupId, OperationId, ProjectId, SiteName},
    operation::{OperationKind, OperationRecord, Planning},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, JsonValue,
    QueryFilter, QueryOrder, QuerySelect, Set,
};

use crate::{
    database::Database,
    entity::{
        operation,
        peer_operation::{ActiveModel, Column, Entity, Model},
        peer_operation_line as line, protection_group,
    },
    error::{Noun, StoreError},
    operation::Head,
    operation_records::{OperationFilter, OperationOrder, marker_here, records_of, rows_after},
    page::{AT_ONCE, After, Filling, Listed, OrderDirection, Page, paged},
    retired::refuse_group_or_unknown,
    tenant_mapping,
    words::{to_count, to_signed, to_small},
};

/// Rows per statement: databases limit the values of one.
const CHUNK: usize = 200;

/// What the other site sends of an operation that it runs. A long record comes in several parts.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationCopy {
    pub id: OperationId,
    /// The site that runs it.
    pub home_site: SiteName,
    /// The tenant's project on this site.
    pub project_id: ProjectId,
    /// The group that it is about.
    pub group_id: GroupId,
    /// The group's name when it was asked for.
    pub group_name: String,
    /// What it does: the word that operations are filtered by.
    pub kind: String,
    /// Where it is: the home's word, finer than the status shown.
    pub state: String,
    /// The operation for which it was made.
    pub parent_id: Option<OperationId>,
    /// How much it left behind.
    pub leftovers: u32,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// How many changes it counts.
    pub revision: u64,
    /// The revision that this copy continues; 0 for one that is complete.
    pub since: u64,
    /// Whether this is the last part of what belongs to `revision`.
    pub is_last: bool,
    /// The record as its home shows it, without its lines.
    pub record: JsonValue,
    /// Lines that have changed since `since`, by position, as the home shows them.
    pub lines: Vec<(u32, JsonValue)>,
}

/// A kept copy.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerOperation {
    pub id: OperationId,
    /// The site that runs it.
    pub home_site: SiteName,
    /// The tenant's project on this site.
    pub project_id: ProjectId,
    /// What it does, by its word.
    pub kind: String,
    /// The record as its home showed it last, without its lines.
    pub record: JsonValue,
}

/// An operation that this site knows of.
#[derive(Clone, Debug, PartialEq)]
pub enum KeptOperation {
    Here(Box<OperationRecord>),
    /// The copy of one that the other site runs.
    Elsewhere(PeerOperation),
}

impl KeptOperation {
    pub fn id(&self) -> &OperationId {
        match self {
            Self::Here(record) => &record.operation.id,
            Self::Elsewhere(copy) => &copy.id,
        }
    }

    /// What it does, by its word.
    pub fn kind(&self) -> &str {
        match self {
            Self::Here(record) => record.operation.kind.as_str(),
            Self::Elsewhere(copy) => &copy.kind,
        }
    }

    /// Whether it was to go forward with what `failed` has made.
    pub fn adopts(&self, failed: &OperationId) -> bool {
        match self {
            Self::Here(record) => record.operation.plan.adopts.as_ref() == Some(failed),
            Self::Elsewhere(copy) => copy.adopts().as_ref() == Some(failed),
        }
    }
}

impl PeerOperation {
    /// Whether it is a move whose source is lost, as its home says. A home of an earlier release tells only what was lost, and
    /// nothing is in a planned move.
    pub fn is_unplanned(&self) -> bool {
        match self.record.get("planning").and_then(JsonValue::as_str) {
            Some(word) => word == Planning::Unplanned.as_str(),
            None => {
                is_a_move(&self.kind)
                    && self
                        .record
                        .get("data_loss_seconds")
                        .is_some_and(|lost| !lost.is_null())
            }
        }
    }

    /// The failed operation with whose copies it was to go forward, if its home says so. One of an earlier release does not.
    pub fn adopts(&self) -> Option<OperationId> {
        let adopts = self.record.get("adopts_operation_id")?;
        adopts.as_str().map(OperationId::from)
    }
}

fn is_a_move(kind: &str) -> bool {
    [OperationKind::Failover, OperationKind::Failback]
        .iter()
        .any(|of_a_move| of_a_move.as_str() == kind)
}

impl Database {
    /// Keeps what the other site sends of an operation. The newest state wins: what is older than what is kept changes
    /// nothing, nor does what continues a revision that is not kept here. Returns the revision that is kept now.
    ///
    /// # Errors
    ///
    /// `OwnOperation`; `NotFound` when the operation or its group belongs to another project, or the group is not known and no
    /// tenant mapping joins the project to the other site; `NoSiteOfGroup`; `PeerRetired`; `QuotaExceeded` for another record
    /// where no old one can make room for it.
    pub async fn peer_operation_apply(&self, copy: &OperationCopy) -> Result<u64, StoreError> {
        self.write(async |tx| {
            refuse_own(tx, copy).await?;
            let is_known = refuse_strange_group(tx, copy).await?;
            let (group, home) = (&copy.group_id, &copy.home_site);
            refuse_group_or_unknown(tx, group, home, copy.created_at).await?;
            let row = Entity::find_by_id(copy.id.as_str())
                .lock_exclusive()
                .one(tx)
                .await?;
            let held = match &row {
                None => 0,
                Some(row) if is_of(row, copy) => {
                    to_count("peer_operations.revision", row.revision)?
                }
                Some(_) => return Err(StoreError::not_found(Noun::Operation, &copy.id)),
            };
            if !is_known && row.is_none() {
                tenant_mapping::must_reach(tx, &copy.project_id, home).await?;
            }
            if copy.revision < held || copy.since > held {
                return Ok(held);
            }
            if row.is_none() {
                let group = is_known.then_some(&copy.group_id);
                self.copy_quota().make_room(tx, copy, group).await?;
                Entity::insert(to_row(copy, 0))
                    .exec_without_returning(tx)
                    .await?;
            }
            write_lines(tx, copy).await?;
            if !copy.is_last {
                return Ok(held);
            }
            Entity::update_many()
                .set(to_row(copy, copy.revision))
                .filter(Column::Id.eq(copy.id.as_str()))
                .exec(tx)
                .await?;
            Ok(copy.revision)
        })
        .await
    }

    /// The copy of an operation of `project` that the other site runs.
    ///
    /// # Errors
    ///
    /// `NotFound`, also for an operation of another project.
    pub async fn peer_operation_show(
        &self,
        project: &ProjectId,
        id: &OperationId,
    ) -> Result<PeerOperation, StoreError> {
        let row = Entity::find_by_id(id.as_str())
            .filter(Column::ProjectId.eq(project.as_str()))
            .filter(Column::Revision.gt(0))
            .one(self.pool())
            .await?;
        row.map(PeerOperation::from)
            .ok_or_else(|| StoreError::not_found(Noun::Operation, id))
    }

    /// The lines of a copy, by position, as the home shows them.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn peer_operation_lines(
        &self,
        id: &OperationId,
    ) -> Result<Vec<JsonValue>, StoreError> {
        let rows = line::Entity::find()
            .filter(line::Column::OperationId.eq(id.as_str()))
            .order_by_asc(line::Column::Position)
            .all(self.pool())
            .await?;
        Ok(rows.into_iter().map(|row| row.line).collect())
    }

    /// A page of all operations that this site knows of: its own, and copies of those that the other site runs.
    ///
    /// # Errors
    ///
    /// `MarkerNotFound`.
    pub async fn operation_list_of_both(
        &self,
        filter: &OperationFilter,
        page: &Page<OperationOrder>,
    ) -> Result<Listed<KeptOperation>, StoreError> {
        if !filter.with_leftovers {
            return self.page_of_both(filter, page).await;
        }
        let mut next = Page {
            limit: Ord::max(page.limit, 1),
            ..page.clone()
        };
        let mut filling = Filling::of(page.limit);
        while filling.wants_more() {
            let mut listed = self.page_of_both(filter, &next).await?;
            next.marker = listed.items.last().map(|kept| kept.id().to_string());
            listed.items = self.kept_with_something_left(listed.items).await?;
            filling.add(listed);
        }
        Ok(filling.into_listed())
    }

    /// A page of those that may be what `filter` asks for.
    async fn page_of_both(
        &self,
        filter: &OperationFilter,
        page: &Page<OperationOrder>,
    ) -> Result<Listed<KeptOperation>, StoreError> {
        self.read(async |tx| {
            let listed = heads_of_both(tx, filter, page).await?;
            Ok(Listed {
                items: whole(tx, listed.items).await?,
                more: listed.more,
            })
        })
        .await
    }

    /// The ids of the groups that `project`'s operations are about and that are called `name_or_id`: by their id, or by
    /// the name that they had in their newest operation. Operations outlive their groups.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_groups(
        &self,
        project: &ProjectId,
        name_or_id: &str,
    ) -> Result<Vec<GroupId>, StoreError> {
        self.read(async |tx| {
            if is_operated(tx, project, name_or_id).await? {
                return Ok(vec![name_or_id.into()]);
            }
            let called = ever_called(tx, project, name_or_id).await?;
            let newest = newest_names(tx, project, &called).await?;
            let still = newest.into_iter().filter(|(_, name)| name == name_or_id);
            Ok(still.map(|(group, _)| group.into()).collect())
        })
        .await
    }
}

/// Whether an operation of `project` is about the group `id`.
async fn is_operated(
    db: &impl ConnectionTrait,
    project: &ProjectId,
    id: &str,
) -> Result<bool, StoreError> {
    let here = operation::Entity::find()
        .select_only()
        .column(operation::Column::Id)
        .filter(operation::Column::GroupId.eq(id))
        .filter(operation::Column::ProjectId.eq(project.as_str()))
        .into_tuple::<String>()
        .one(db)
        .await?;
    if here.is_some() {
        return Ok(true);
    }
    let elsewhere = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::GroupId.eq(id))
        .filter(Column::ProjectId.eq(project.as_str()))
        .into_tuple::<String>()
        .one(db)
        .await?;
    Ok(elsewhere.is_some())
}

/// The groups that were called `name` when one of their operations was made.
async fn ever_called(
    db: &impl ConnectionTrait,
    project: &ProjectId,
    name: &str,
) -> Result<Vec<String>, StoreError> {
    let mut groups: Vec<String> = operation::Entity::find()
        .select_only()
        .column(operation::Column::GroupId)
        .distinct()
        .filter(operation::Column::ProjectId.eq(project.as_str()))
        .filter(operation::Column::GroupName.eq(name))
        .into_tuple()
        .all(db)
        .await?;
    let elsewhere: Vec<String> = Entity::find()
        .select_only()
        .column(Column::GroupId)
        .distinct()
        .filter(Column::ProjectId.eq(project.as_str()))
        .filter(Column::GroupName.eq(name))
        .into_tuple()
        .all(db)
        .await?;
    groups.extend(elsewhere);
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

/// What each of `groups` is called in its newest operation, whichever site runs it.
async fn newest_names(
    db: &impl ConnectionTrait,
    project: &ProjectId,
    groups: &[String],
) -> Result<BTreeMap<String, String>, StoreError> {
    let mut newest: BTreeMap<String, (DateTime<Utc>, String)> = BTreeMap::new();
    for ids in groups.chunks(AT_ONCE) {
        let here: Vec<(String, String, DateTime<Utc>)> = operation::Entity::find()
            .select_only()
            .columns([operation::Column::GroupId, operation::Column::GroupName])
            .column_as(operation::Column::CreatedAt.max(), "newest")
            .filter(operation::Column::GroupId.is_in(ids))
            .filter(operation::Column::ProjectId.eq(project.as_str()))
            .group_by(operation::Column::GroupId)
            .group_by(operation::Column::GroupName)
            .into_tuple()
            .all(db)
            .await?;
        let elsewhere: Vec<(String, String, DateTime<Utc>)> = Entity::find()
            .select_only()
            .columns([Column::GroupId, Column::GroupName])
            .column_as(Column::CreatedAt.max(), "newest")
            .filter(Column::GroupId.is_in(ids))
            .filter(Column::ProjectId.eq(project.as_str()))
            .group_by(Column::GroupId)
            .group_by(Column::GroupName)
            .into_tuple()
            .all(db)
            .await?;
        for (group, name, at) in here.into_iter().chain(elsewhere) {
            let known = newest.entry(group).or_insert_with(|| (at, name.clone()));
            if at > known.0 {
                *known = (at, name);
            }
        }
    }
    let names = newest.into_iter();
    Ok(names.map(|(group, (_, name))| (group, name)).collect())
}

async fn refuse_own(db: &impl ConnectionTrait, copy: &OperationCopy) -> Result<(), StoreError> {
    let own = operation::Entity::find_by_id(copy.id.as_str())
        .select_only()
        .column(operation::Column::Id)
        .into_tuple::<String>()
        .one(db)
        .await?;
    match own {
        Some(_) => Err(StoreError::OwnOperation(copy.id.clone())),
        None => Ok(()),
    }
}

/// A group that is known here says whose its operations are, and which sites may run them. One that was deleted does not any
/// more. Gives whether it is known.
async fn refuse_strange_group(
    db: &impl ConnectionTrait,
    copy: &OperationCopy,
) -> Result<bool, StoreError> {
    use protection_group::Column;
    let known: Option<(String, String, String)> =
        protection_group::Entity::find_by_id(copy.group_id.as_str())
            .select_only()
            .columns([
                Column::LocalProjectId,
                Column::PrimarySite,
                Column::SecondarySite,
            ])
            .into_tuple()
            .one(db)
            .await?;
    let Some((owner, primary, secondary)) = known else {
        return Ok(false);
    };
    if owner != copy.project_id.as_str() {
        return Err(StoreError::not_found(Noun::Group, &copy.group_id));
    }
    match [primary, secondary].contains(&copy.home_site.to_string()) {
        true => Ok(true),
        false => Err(StoreError::NoSiteOfGroup {
            site: copy.home_site.clone(),
        }),
    }
}

fn is_of(row: &Model, copy: &OperationCopy) -> bool {
    row.project_id == copy.project_id.as_str() && row.home_site == copy.home_site.as_str()
}

/// Writes the lines of a part, except where a later part was here before it.
async fn write_lines(tx: &DatabaseTransaction, copy: &OperationCopy) -> Result<(), StoreError> {
    let id = copy.id.as_str();
    let revision = to_signed(copy.revision);
    for chunk in copy.lines.chunks(CHUNK) {
        let positions = chunk.iter().map(|(position, _)| to_small(*position));
        let newer: Vec<i32> = line::Entity::find()
            .select_only()
            .column(line::Column::Position)
            .filter(line::Column::OperationId.eq(id))
            .filter(line::Column::Position.is_in(positions.clone()))
            .filter(line::Column::Revision.gt(revision))
            .into_tuple()
            .all(tx)
            .await?;
        let rows: Vec<_> = chunk
            .iter()
            .filter(|(position, _)| !newer.contains(&to_small(*position)))
            .map(|(position, line)| line::ActiveModel {
                operation_id: Set(id.to_owned()),
                position: Set(to_small(*position)),
                revision: Set(revision),
                line: Set(line.clone()),
            })
            .collect();
        if rows.is_empty() {
            continue;
        }
        line::Entity::delete_many()
            .filter(line::Column::OperationId.eq(id))
            .filter(line::Column::Position.is_in(positions))
            .filter(line::Column::Revision.lte(revision))
            .exec(tx)
            .await?;
        line::Entity::insert_many(rows)
            .exec_without_returning(tx)
            .await?;
    }
    Ok(())
}

fn condition(filter: &OperationFilter) -> Condition {
    let states = filter.states.iter().map(|state| state.as_str());
    Condition::all()
        // A copy of which only some parts have come is not shown.
        .add(Column::Revision.gt(0))
        .add_option(
            filter
                .project_id
                .as_ref()
                .map(|project| Column::ProjectId.eq(project.as_str())),
        )
        .add_option(
            (!filter.groups.is_empty())
                .then(|| Column::GroupId.is_in(filter.groups.iter().map(GroupId::as_str))),
        )
        .add_option(
            (!filter.kinds.is_empty())
                .then(|| Column::Kind.is_in(filter.kinds.iter().map(|kind| kind.as_str()))),
        )
        .add_option((!filter.states.is_empty()).then(|| Column::State.is_in(states)))
        .add_option(
            filter
                .parent_id
                .as_ref()
                .map(|parent| Column::ParentId.eq(parent.as_str())),
        )
        .add_option(filter.with_leftovers.then(|| Column::Leftovers.gt(0)))
}

fn column(key: OperationOrder) -> Column {
    match key {
        OperationOrder::CreatedAt => Column::CreatedAt,
        OperationOrder::Kind => Column::Kind,
        OperationOrder::State => Column::State,
        OperationOrder::Id => Column::Id,
    }
}

/// A page of the rows of those that may be what `filter` asks for, of either table.
pub(crate) async fn heads_of_both(
    tx: &DatabaseTransaction,
    filter: &OperationFilter,
    page: &Page<OperationOrder>,
) -> Result<Listed<Row>, StoreError> {
    let after = after_marker(tx, filter, page).await?;
    let here = rows_after(filter, page, after.clone())
        .into_partial_model::<Head>()
        .all(tx)
        .await?;
    let elsewhere = copies_after(tx, filter, page, after).await?;
    Ok(Listed::of(merged(here, elsewhere, page), page.limit))
}

async fn copies_after(
    db: &impl ConnectionTrait,
    filter: &OperationFilter,
    page: &Page<OperationOrder>,
    after: Option<After>,
) -> Result<Vec<Model>, StoreError> {
    let rows = paged(
        Entity::find().filter(condition(filter)),
        column(page.sort_key),
        Column::Id,
        page.sort_dir,
        after,
        page.limit,
    );
    Ok(rows.all(db).await?)
}

async fn after_marker(
    db: &impl ConnectionTrait,
    filter: &OperationFilter,
    page: &Page<OperationOrder>,
) -> Result<Option<After>, StoreError> {
    let Some(marker) = &page.marker else {
        return Ok(None);
    };
    if let Some(after) = marker_here(db, filter, page.sort_key, marker).await? {
        return Ok(Some(after));
    }
    let visible = OperationFilter {
        project_id: filter.project_id.clone(),
        ..OperationFilter::default()
    };
    let row = Entity::find_by_id(marker.as_str())
        .filter(condition(&visible))
        .one(db)
        .await?
        .ok_or_else(|| StoreError::MarkerNotFound(marker.clone()))?;
    let value = match page.sort_key {
        OperationOrder::CreatedAt => row.created_at.into(),
        OperationOrder::Kind => row.kind.into(),
        OperationOrder::State => row.state.into(),
        OperationOrder::Id => row.id.clone().into(),
    };
    Ok(Some(After { value, id: row.id }))
}

/// A row of either table.
pub(crate) enum Row {
    Here(Box<Head>),
    Elsewhere(Box<Model>),
}

/// What a row is sorted by, then its id. Words of one column and times are never mixed.
type SortPosition<'r> = (Option<DateTime<Utc>>, &'r str, &'r str);

impl Row {
    fn place(&self, key: OperationOrder) -> SortPosition<'_> {
        let (at, kind, state, id) = match self {
            Self::Here(row) => (row.created_at, &row.kind, &row.state, &row.id),
            Self::Elsewhere(row) => (row.created_at, &row.kind, &row.state, &row.id),
        };
        match key {
            OperationOrder::CreatedAt => (Some(at), "", id),
            OperationOrder::Kind => (None, kind, id),
            OperationOrder::State => (None, state, id),
            OperationOrder::Id => (None, "", id),
        }
    }
}

fn merged(here: Vec<Head>, elsewhere: Vec<Model>, page: &Page<OperationOrder>) -> Vec<Row> {
    let mut rows: Vec<Row> = here
        .into_iter()
        .map(|row| Row::Here(Box::new(row)))
        .chain(
            elsewhere
                .into_iter()
                .map(|row| Row::Elsewhere(Box::new(row))),
        )
        .collect();
    rows.sort_by(|one, other| {
        let order: Ordering = one.place(page.sort_key).cmp(&other.place(page.sort_key));
        match page.sort_dir {
            OrderDirection::Asc => order,
            OrderDirection::Desc => order.reverse(),
        }
    });
    rows
}

/// Reads this site's own operations whole, in one go, and keeps the order.
async fn whole(
    db: &impl ConnectionTrait,
    rows: Vec<Row>,
) -> Result<Vec<KeptOperation>, StoreError> {
    let own: Vec<String> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Here(head) => Some(head.id.clone()),
            Row::Elsewhere(_) => None,
        })
        .collect();
    let mut own = records_of(db, &own).await?.into_iter();
    Ok(rows
        .into_iter()
        .filter_map(|row| match row {
            Row::Here(_) => own
                .next()
                .map(|record| KeptOperation::Here(Box::new(record))),
            Row::Elsewhere(row) => Some(KeptOperation::Elsewhere((*row).into())),
        })
        .collect())
}

fn to_row(copy: &OperationCopy, revision: u64) -> ActiveModel {
    ActiveModel {
        id: Set(copy.id.to_string()),
        home_site: Set(copy.home_site.to_string()),
        project_id: Set(copy.project_id.to_string()),
        group_id: Set(copy.group_id.to_string()),
        group_name: Set(copy.group_name.clone()),
        kind: Set(copy.kind.clone()),
        state: Set(copy.state.clone()),
        parent_id: Set(copy.parent_id.as_ref().map(ToString::to_string)),
        leftovers: Set(to_small(copy.leftovers)),
        created_at: Set(copy.created_at),
        revision: Set(to_signed(revision)),
        record: Set(copy.record.clone()),
    }
}

impl From<Model> for PeerOperation {
    fn from(row: Model) -> Self {
        Self {
            id: row.id.into(),
            home_site: row.home_site.into(),
            project_id: row.project_id.into(),
            kind: row.kind,
            record: row.record,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_home_of_an_earlier_release_tells_of_an_unplanned_move_by_what_was_lost() {
        for (kind, record, expected) in [
            ("failover", json!({"planning": "unplanned"}), true),
            (
                "failback",
                json!({"planning": "planned", "data_loss_seconds": null}),
                false,
            ),
            ("failover", json!({"data_loss_seconds": 0}), true),
            ("failover", json!({"data_loss_seconds": null}), false),
            ("failover", json!({}), false),
            ("retry", json!({"data_loss_seconds": 7}), false),
        ] {
            let copy = PeerOperation {
                id: "op-1".into(),
                home_site: "site-b".into(),
                project_id: "project-a".into(),
                kind: kind.to_owned(),
                record,
            };
            assert_eq!(copy.is_unplanned(), expected, "{kind} {}", copy.record);
        }
    }
}
