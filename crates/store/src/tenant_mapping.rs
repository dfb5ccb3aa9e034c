//! Tenant mappings: which project on one site is which on the other.

use protector_core::{
    id::{ProjectId, SiteName, TenantMappingId},
    site::{SiteScope, TenantMapping},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
};

use crate::{
    database::Database,
    entity::tenant_mapping::{self, Column, Entity},
    error::{Noun, StoreError},
};

impl Database {
    /// Links two projects. A project has at most one counterpart on another site, whichever side it was named on.
    ///
    /// # Errors
    ///
    /// `Duplicate` when one of the two has a counterpart on the other's site already.
    pub async fn tenant_mapping_insert(&self, mapping: &TenantMapping) -> Result<(), StoreError> {
        self.write(async |tx| {
            refuse_second(tx, &mapping.primary, &mapping.secondary.site).await?;
            refuse_second(tx, &mapping.secondary, &mapping.primary.site).await?;
            Entity::insert(to_row(mapping).into_active_model())
                .exec_without_returning(tx)
                .await
                .map_err(|error| {
                    let project = &mapping.primary.project_id;
                    StoreError::unless_duplicate(error, Noun::TenantMapping, "project", project)
                })?;
            Ok(())
        })
        .await
    }

    /// All tenant mappings, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn tenant_mapping_list(&self) -> Result<Vec<TenantMapping>, StoreError> {
        let rows = Entity::find()
            .order_by_asc(Column::CreatedAt)
            .order_by_asc(Column::Id)
            .all(self.pool())
            .await?;
        Ok(rows.into_iter().map(from_row).collect())
    }

    /// The mapping with this id.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn tenant_mapping_show(
        &self,
        id: &TenantMappingId,
    ) -> Result<TenantMapping, StoreError> {
        Entity::find_by_id(id.as_str())
            .one(self.pool())
            .await?
            .map(from_row)
            .ok_or_else(|| StoreError::not_found(Noun::TenantMapping, id))
    }

    /// The mapping between `scope` and its counterpart on `other`, if there is one.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn tenant_mapping_of(
        &self,
        scope: &SiteScope,
        other: &SiteName,
    ) -> Result<Option<TenantMapping>, StoreError> {
        Ok(find(self.pool(), scope, other).await?.map(from_row))
    }

    /// The counterpart of `scope` on `other`, if there is one.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn tenant_project_on(
        &self,
        scope: &SiteScope,
        other: &SiteName,
    ) -> Result<Option<ProjectId>, StoreError> {
        let mapping = self.tenant_mapping_of(scope, other).await?;
        Ok(mapping.and_then(|mapping| mapping.project_on(other).cloned()))
    }

    /// Removes a mapping. Groups that were made with it stay.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn tenant_mapping_delete(&self, id: &TenantMappingId) -> Result<(), StoreError> {
        let deleted = self
            .write(async |tx| Ok(Entity::delete_by_id(id.as_str()).exec(tx).await?))
            .await?;
        if deleted.rows_affected == 0 {
            return Err(StoreError::not_found(Noun::TenantMapping, id));
        }
        Ok(())
    }
}

/// Refuses what would tie two projects together that no administrator of this site has linked.
///
/// # Errors
///
/// `NotLinked`.
pub(crate) async fn must_join(
    db: &impl ConnectionTrait,
    one: &SiteScope,
    other: &SiteScope,
) -> Result<(), StoreError> {
    let mapping = find(db, one, &other.site).await?.map(from_row);
    let joined = mapping.and_then(|mapping| mapping.project_on(&other.site).cloned());
    match joined {
        Some(project) if project == other.project_id => Ok(()),
        _ => Err(StoreError::NotLinked {
            one: one.clone(),
            other: other.clone(),
        }),
    }
}

/// Refuses what another site says of a project of this one that no administrator has linked with one there.
///
/// # Errors
///
/// `NotFound`.
pub(crate) async fn must_reach(
    db: &impl ConnectionTrait,
    project: &ProjectId,
    site: &SiteName,
) -> Result<(), StoreError> {
    let there = Condition::all()
        .add(Column::PrimaryProjectId.eq(project.as_str()))
        .add(Column::SecondarySite.eq(site.as_str()));
    let back = Condition::all()
        .add(Column::SecondaryProjectId.eq(project.as_str()))
        .add(Column::PrimarySite.eq(site.as_str()));
    let linked = Entity::find()
        .filter(Condition::any().add(there).add(back))
        .one(db)
        .await?;
    match linked {
        Some(_) => Ok(()),
        None => Err(StoreError::not_found(Noun::TenantMapping, project)),
    }
}

async fn refuse_second(
    db: &impl ConnectionTrait,
    scope: &SiteScope,
    other: &SiteName,
) -> Result<(), StoreError> {
    match find(db, scope, other).await? {
        None => Ok(()),
        Some(_) => Err(StoreError::Duplicate {
            what: Noun::TenantMapping,
            field: "project",
            value: format!("{} of {} towards {other}", scope.project_id, scope.site),
        }),
    }
}

async fn find(
    db: &impl ConnectionTrait,
    scope: &SiteScope,
    other: &SiteName,
) -> Result<Option<tenant_mapping::Model>, StoreError> {
    let there = Condition::all()
        .add(Column::PrimarySite.eq(scope.site.as_str()))
        .add(Column::PrimaryProjectId.eq(scope.project_id.as_str()))
        .add(Column::SecondarySite.eq(other.as_str()));
    let back = Condition::all()
        .add(Column::SecondarySite.eq(scope.site.as_str()))
        .add(Column::SecondaryProjectId.eq(scope.project_id.as_str()))
        .add(Column::PrimarySite.eq(other.as_str()));
    Ok(Entity::find()
        .filter(Condition::any().add(there).add(back))
        .one(db)
        .await?)
}

fn to_row(mapping: &TenantMapping) -> tenant_mapping::Model {
    tenant_mapping::Model {
        id: mapping.id.to_string(),
        primary_site: mapping.primary.site.to_string(),
        primary_project_id: mapping.primary.project_id.to_string(),
        secondary_site: mapping.secondary.site.to_string(),
        secondary_project_id: mapping.secondary.project_id.to_string(),
        created_at: mapping.created_at,
    }
}

fn from_row(row: tenant_mapping::Model) -> TenantMapping {
    TenantMapping {
        id: row.id.into(),
        primary: SiteScope {
            site: row.primary_site.into(),
            project_id: row.primary_project_id.into(),
        },
        secondary: SiteScope {
            site: row.secondary_site.into(),
            project_id: row.secondary_project_id.into(),
        },
        created_at: row.created_at,
    }
}
