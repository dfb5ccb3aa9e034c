//! Protection groups. Each change of one, of its members, its policy or its mappings raises its version in the same
//! transaction, which is what makes it due for the other site.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protector_core::{
    group::{Fidelity, Group, GroupStatus},
    id::{GroupId, OperationId, ProjectId, ServerId, SiteName},
    priority::Priority,
    recovery_plan::RecoveryPlan,
    schedule::left_stopped,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set,
};

pub(crate) use crate::row::group::{from_row, priority, to_row};
use crate::{
    database::Database,
    entity::{
        member,
        protection_group::{ActiveModel, Column, Entity, Model},
    },
    error::{Noun, StoreError},
    group_row::{at_rest_from, change_status, changed, locked_row},
    operation_records::record_of,
    outbox::SyncState,
    page::{After, Listed, Page, paged},
    precondition::Precondition,
    sealing::Kept,
    tombstone,
    words::{to_count, to_json, to_small},
};

/// A group with what this site knows about it beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGroup {
    pub group: Group,
    /// The tenant's project on the site that holds this record.
    pub local_project_id: ProjectId,
    /// How many members it has.
    pub member_count: u64,
    /// How far its metadata got to the other site.
    pub sync: SyncState,
    /// Since when its other site is gone for good: it is not protected, and nobody else has a say in it.
    pub peer_retired_at: Option<DateTime<Utc>>,
}

/// Which groups are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Of this project on this site; `None` for all.
    pub project_id: Option<ProjectId>,
    pub name: Option<String>,
    pub status: Option<GroupStatus>,
    /// That run on this site now.
    pub runs_on: Option<SiteName>,
}

/// By what groups can be sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupOrder {
    /// When it was made.
    #[default]
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
    Name,
    Status,
    Priority,
    Id,
}

/// What of a group a tenant may change. `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupChange {
    pub name: Option<String>,
    /// Its description; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Its networks across the sites, as a whole.
    pub networks: Option<BTreeMap<String, String>>,
    /// Its flavors across the sites, as a whole.
    pub flavors: Option<BTreeMap<String, String>>,
    /// Its server groups across the sites, as a whole.
    pub server_groups: Option<BTreeMap<String, String>>,
    /// Its volume types across the sites, as a whole.
    pub volume_types: Option<BTreeMap<String, String>>,
    /// Its QoS policies across the sites, as a whole.
    pub qos_policies: Option<BTreeMap<String, String>>,
    /// Its recovery plan, as a whole.
    pub recovery_plan: Option<RecoveryPlan>,
    /// When it goes, among the groups of a site that fail over together.
    pub priority: Option<Priority>,
    /// What a planned move does about a copy that is not as its original was.
    pub fidelity: Option<Fidelity>,
    /// The version that the change rests on.
    pub precondition: Precondition,
}

impl Database {
    /// Makes a group.
    ///
    /// # Errors
    ///
    /// `Duplicate` when the project has a group of that name, `OverQuota`.
    pub async fn group_insert(
        &self,
        local_project: &ProjectId,
        group: &Group,
    ) -> Result<(), StoreError> {
        let row = to_row(local_project, &self.kept(&group.id, group.clone())?)?;
        self.write(async |tx| {
            self.quotas().allow_group(tx, local_project).await?;
            insert_row(tx, row.clone()).await
        })
        .await
    }

    /// A page of groups.
    ///
    /// # Errors
    ///
    /// `MarkerNotFound`.
    pub async fn group_list(
        &self,
        filter: &GroupFilter,
        page: &Page<GroupOrder>,
    ) -> Result<Listed<StoredGroup>, StoreError> {
        self.read(async |tx| {
            let after = after_marker(tx, filter, page).await?;
            let rows = paged(
                Entity::find().filter(condition(filter)),
                column(page.sort_key),
                Column::Id,
                page.sort_dir,
                after,
                page.limit,
            )
            .all(tx)
            .await?;
            let listed = Listed::of(rows, page.limit);
            Ok(Listed {
                items: with_counts(tx, listed.items).await?,
                more: listed.more,
            })
        })
        .await
    }

    /// The group of `local_project` with this id or, if there is none, this name.
    ///
    /// # Errors
    ///
    /// `NotFound`, also for a group of another project.
    pub async fn group_show(
        &self,
        local_project: &ProjectId,
        name_or_id: &str,
    ) -> Result<StoredGroup, StoreError> {
        self.read(async |tx| {
            let row = Entity::find()
                .filter(Column::LocalProjectId.eq(local_project.as_str()))
                .filter(
                    Condition::any()
                        .add(Column::Id.eq(name_or_id))
                        .add(Column::Name.eq(name_or_id)),
                )
                .order_by_desc(Column::Id.eq(name_or_id))
                .one(tx)
                .await?;
            shown(tx, row, name_or_id).await
        })
        .await
    }

    /// The groups that run on `site` and that nothing moves, project by project.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn groups_at_rest_on(&self, site: &SiteName) -> Result<Vec<Group>, StoreError> {
        let at_rest = [
            GroupStatus::Active,
            GroupStatus::ActivePartial,
            GroupStatus::FailedOver,
            GroupStatus::FailedOverPartial,
        ];
        let rows = Entity::find()
            .filter(Column::CurrentPrimarySite.eq(site.as_str()))
            .filter(Column::Status.is_in(at_rest.map(GroupStatus::as_str)))
            .order_by_asc(Column::LocalProjectId)
            .order_by_asc(Column::Id)
            .all(self.pool())
            .await?;
        rows.into_iter().map(from_row).collect()
    }

    /// The group with this id, whichever project it belongs to. For engines.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn group_show_by_id(&self, id: &GroupId) -> Result<StoredGroup, StoreError> {
        self.read(async |tx| {
            let row = Entity::find_by_id(id.as_str()).one(tx).await?;
            shown(tx, row, id.as_str()).await
        })
        .await
    }

    /// Changes what a tenant may change of a group, and raises its version.
    ///
    /// An operation under way is not affected: its plan is frozen.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Duplicate` for a name that is taken, `GroupChanged` when it is not what the change rests on any
    /// more, `Reserved` while the other site is about to move it, `Unchangeable` or `Locked` while it is moved.
    pub async fn group_update(
        &self,
        id: &GroupId,
        change: &GroupChange,
        now: DateTime<Utc>,
    ) -> Result<StoredGroup, StoreError> {
        let plan = change.recovery_plan.clone();
        let plan = plan.map(|plan| self.kept(id, plan)).transpose()?;
        let row = change_row(change, plan.as_ref())?;
        self.write_unreserved(id, now, async |tx| {
            change.precondition.holds_for(tx, id, now).await?;
            changed(tx, id, row.clone(), now)
                .await?
                .then_some(())
                .ok_or_else(|| StoreError::not_found(Noun::Group, id))?;
            let row = Entity::find_by_id(id.as_str()).one(tx).await?;
            shown(tx, row, id.as_str()).await
        })
        .await
    }

    /// Says that old servers of a group run on the site that it has gone from while it runs on the other one. A group that
    /// is not at rest stays as it is.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn group_split(&self, id: &GroupId, now: DateTime<Utc>) -> Result<(), StoreError> {
        let from: Vec<GroupStatus> = GroupStatus::ALL
            .into_iter()
            .filter(|status| status.is_at_rest())
            .collect();
        self.write(async |tx| change_status(tx, id, &from, GroupStatus::SplitBrain, now).await)
            .await
    }

    /// Says that they do not run any more.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn group_fenced(&self, id: &GroupId, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(async |tx| fenced(tx, id, now).await).await
    }

    /// Forgets a group with its members and its policy, and remembers that it was deleted. Operations stay on record.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Locked` or `Unchangeable` while it is moved, `Reserved` while the other site is about to,
    /// `GroupChanged` when it is not at the version of `basis`.
    pub async fn group_delete(
        &self,
        id: &GroupId,
        precondition: Precondition,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write_unreserved(id, now, async |tx| {
            precondition.holds_for(tx, id, now).await?;
            let row = locked_row(tx, id)
                .await?
                .ok_or_else(|| StoreError::not_found(Noun::Group, id))?;
            tombstone::delete_row(tx, row, now).await
        })
        .await
    }
}

/// Ends the `error` of a group in which `failed` has left it, unless a server of one of its members is still stopped: it is
/// at rest where it runs. A group that is gone, or in any other status, stays as it is.
pub(crate) async fn mended(
    db: &impl ConnectionTrait,
    id: &GroupId,
    failed: &OperationId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let steps = match record_of(db, failed).await {
        Ok(record) => record.steps,
        Err(StoreError::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    let stopped: Vec<&str> = left_stopped(&steps).map(ServerId::as_str).collect();
    let stopped_members = member::Entity::find()
        .filter(member::Column::GroupId.eq(id.as_str()))
        .filter(member::Column::ServerId.is_in(stopped))
        .count(db)
        .await?;
    match stopped_members {
        0 => at_rest_from(db, id, GroupStatus::Error, now).await,
        _ => Ok(()),
    }
}

/// Ends the `split_brain` of a group. A group that is gone, or in any other status, stays as it is.
pub(crate) async fn fenced(
    db: &impl ConnectionTrait,
    id: &GroupId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    at_rest_from(db, id, GroupStatus::SplitBrain, now).await
}

pub(crate) async fn insert_row(db: &impl ConnectionTrait, row: Model) -> Result<(), StoreError> {
    let name = row.name.clone();
    Entity::insert(row.into_active_model())
        .exec_without_returning(db)
        .await
        .map_err(|error| StoreError::unless_duplicate(error, Noun::Group, "name", name))?;
    Ok(())
}

/// A group as an operation's steps read it.
pub(crate) async fn now(
    db: &impl ConnectionTrait,
    id: &GroupId,
) -> Result<Option<Group>, StoreError> {
    let row = Entity::find_by_id(id.as_str()).one(db).await?;
    row.map(from_row).transpose()
}

async fn shown(
    db: &impl ConnectionTrait,
    row: Option<Model>,
    name: &str,
) -> Result<StoredGroup, StoreError> {
    let row = row.ok_or_else(|| StoreError::not_found(Noun::Group, name))?;
    with_counts(db, vec![row])
        .await?
        .pop()
        .ok_or_else(|| StoreError::not_found(Noun::Group, name))
}

async fn with_counts(
    db: &impl ConnectionTrait,
    rows: Vec<Model>,
) -> Result<Vec<StoredGroup>, StoreError> {
    let counts: Vec<(String, i64)> = member::Entity::find()
        .select_only()
        .column(member::Column::GroupId)
        .column_as(member::Column::Id.count(), "members")
        .filter(member::Column::GroupId.is_in(rows.iter().map(|row| row.id.as_str())))
        .group_by(member::Column::GroupId)
        .into_tuple()
        .all(db)
        .await?;
    let counts: BTreeMap<String, i64> = counts.into_iter().collect();
    rows.into_iter()
        .map(|row| {
            let count = counts.get(&row.id).copied().unwrap_or_default();
            stored(row, count)
        })
        .collect()
}

fn stored(row: Model, member_count: i64) -> Result<StoredGroup, StoreError> {
    Ok(StoredGroup {
        local_project_id: row.local_project_id.clone().into(),
        member_count: to_count("member_count", member_count)?,
        sync: SyncState::of(&row)?,
        peer_retired_at: row.peer_retired_at,
        group: from_row(row)?,
    })
}

fn condition(filter: &GroupFilter) -> Condition {
    Condition::all()
        .add_option(
            filter
                .project_id
                .as_ref()
                .map(|project| Column::LocalProjectId.eq(project.as_str())),
        )
        .add_option(filter.name.as_ref().map(|name| Column::Name.eq(name)))
        .add_option(
            filter
                .status
                .map(|status| Column::Status.eq(status.as_str())),
        )
        .add_option(
            filter
                .runs_on
                .as_ref()
                .map(|site| Column::CurrentPrimarySite.eq(site.as_str())),
        )
}

fn column(key: GroupOrder) -> Column {
    match key {
        GroupOrder::CreatedAt => Column::CreatedAt,
        GroupOrder::UpdatedAt => Column::UpdatedAt,
        GroupOrder::Name => Column::Name,
        GroupOrder::Status => Column::Status,
        GroupOrder::Priority => Column::Priority,
        GroupOrder::Id => Column::Id,
    }
}

async fn after_marker(
    db: &impl ConnectionTrait,
    filter: &GroupFilter,
    page: &Page<GroupOrder>,
) -> Result<Option<After>, StoreError> {
    let Some(marker) = &page.marker else {
        return Ok(None);
    };
    // The marker must be one of the tenant's own, or it would tell that another's exists.
    let visible = GroupFilter {
        project_id: filter.project_id.clone(),
        ..GroupFilter::default()
    };
    let row = Entity::find_by_id(marker.as_str())
        .filter(condition(&visible))
        .one(db)
        .await?
        .ok_or_else(|| StoreError::MarkerNotFound(marker.clone()))?;
    let value = match page.sort_key {
        GroupOrder::CreatedAt => row.created_at.into(),
        GroupOrder::UpdatedAt => row.updated_at.into(),
        GroupOrder::Name => row.name.into(),
        GroupOrder::Status => row.status.into(),
        GroupOrder::Priority => row.priority.into(),
        GroupOrder::Id => row.id.clone().into(),
    };
    Ok(Some(After { value, id: row.id }))
}

fn change_row(
    change: &GroupChange,
    plan: Option<&Kept<RecoveryPlan>>,
) -> Result<ActiveModel, StoreError> {
    let mut row = ActiveModel::default();
    if let Some(name) = &change.name {
        row.name = Set(name.clone());
    }
    if let Some(description) = &change.description {
        row.description = Set(description.clone());
    }
    if let Some(networks) = &change.networks {
        row.network_mapping = Set(to_json(networks)?);
    }
    if let Some(flavors) = &change.flavors {
        row.flavor_mapping = Set(to_json(flavors)?);
    }
    if let Some(groups) = &change.server_groups {
        row.server_group_mapping = Set(Some(to_json(groups)?));
    }
    if let Some(types) = &change.volume_types {
        row.volume_type_mapping = Set(Some(to_json(types)?));
    }
    if let Some(policies) = &change.qos_policies {
        row.qos_policy_mapping = Set(Some(to_json(policies)?));
    }
    if let Some(plan) = plan {
        row.recovery_plan = Set(Some(to_json(&**plan)?));
    }
    if let Some(priority) = change.priority {
        row.priority = Set(to_small(u32::from(priority.get())));
    }
    if let Some(fidelity) = change.fidelity {
        row.fidelity = Set(fidelity.as_str().to_owned());
    }
    Ok(row)
}
