//! Sites. The password goes in and comes out apart from the site, and is kept encrypted.

use protector_core::{
    id::{SiteId, SiteName},
    site::{Site, SiteStatus},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel,
    ModelTrait, NotSet, PaginatorTrait, QueryFilter, QueryOrder, Set,
};
use secrecy::SecretString;

use crate::{
    database::Database,
    entity::{protection_group, site, tenant_mapping},
    error::{Noun, StoreError},
    secrets::SecretLocation,
    words::{from_word, to_word},
};

impl Database {
    /// Registers a site with the password of its service user.
    ///
    /// # Errors
    ///
    /// `Duplicate` when the name or the id is taken, `Secret` when the password cannot be encrypted.
    pub async fn site_insert(
        &self,
        site: &Site,
        password: &SecretString,
    ) -> Result<(), StoreError> {
        let password = self
            .keys()?
            .encrypt(password_of(site.id.as_str()), password)?;
        let row = to_row(site, password)?;
        self.write(async |tx| {
            site::Entity::insert(row.clone().into_active_model())
                .exec_without_returning(tx)
                .await
                .map_err(|error| {
                    StoreError::unless_duplicate(error, Noun::Site, "name", &site.name)
                })?;
            Ok(())
        })
        .await
    }

    /// All sites, by name.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn site_list(&self) -> Result<Vec<Site>, StoreError> {
        let rows = site::Entity::find()
            .order_by_asc(site::Column::Name)
            .all(self.pool())
            .await?;
        rows.into_iter().map(from_row).collect()
    }

    /// The site with this id or, if there is none, this name.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn site_show(&self, name_or_id: &str) -> Result<Site, StoreError> {
        from_row(row_of(self.pool(), name_or_id).await?)
    }

    /// A site and the password of its service user, read at one moment: it goes only to where it was entered for. Of a
    /// retired site there is none to tell.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Secret` when it cannot be decrypted.
    pub async fn site_registration(
        &self,
        name: &SiteName,
    ) -> Result<(Site, Option<SecretString>), StoreError> {
        let row = row_of(self.pool(), name.as_str()).await?;
        let site = from_row(row.clone())?;
        if site.status == SiteStatus::Retired {
            return Ok((site, None));
        }
        let password = self.keys()?.decrypt(password_of(&row.id), &row.password)?;
        Ok((site, Some(password)))
    }

    /// Changes a site that was `seen` to `site`; its password too if one is given. The status is left as it is unless it is
    /// to change, since a look at the site may have noted another one meanwhile.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Duplicate` for a name that is taken, `InUse` for a new name while groups or tenant mappings refer
    /// to the old one, `SiteChanged` where the password goes somewhere else by now than where it was seen to go.
    pub async fn site_update(
        &self,
        seen: &Site,
        site: &Site,
        password: Option<&SecretString>,
    ) -> Result<(), StoreError> {
        let place = password_of(site.id.as_str());
        let password = password
            .map(|password| self.keys()?.encrypt(place, password))
            .transpose()?;
        self.write(async |tx| {
            let held = row_of(tx, site.id.as_str()).await?;
            if held.name != site.name.as_str() {
                refuse_in_use(tx, &held.name).await?;
            }
            let mut change = to_row(site, String::new())?.into_active_model().reset_all();
            change.id = NotSet;
            change.created_at = NotSet;
            change.password = password.clone().map_or(NotSet, Set);
            if seen.status == site.status {
                change.status = NotSet;
            }
            let written = site::Entity::update_many()
                .set(change)
                .filter(goes_where(seen))
                .exec(tx)
                .await
                .map_err(|error| {
                    StoreError::unless_duplicate(error, Noun::Site, "name", &site.name)
                })?;
            match written.rows_affected {
                0 => Err(StoreError::SiteChanged {
                    site: seen.name.clone(),
                }),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Notes whether a site was reached, and nothing else. One that an administrator has taken out of use, or retired, stays so.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn site_note_reached(
        &self,
        id: &SiteId,
        status: SiteStatus,
    ) -> Result<(), StoreError> {
        let word = to_word(&status)?;
        let noted = [
            to_word(&SiteStatus::Active)?,
            to_word(&SiteStatus::Unreachable)?,
        ];
        self.write(async |tx| {
            site::Entity::update_many()
                .col_expr(site::Column::Status, word.clone().into())
                .filter(site::Column::Id.eq(id.as_str()))
                .filter(site::Column::Status.is_in(noted.clone()))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }

    /// Forgets a site.
    ///
    /// # Errors
    ///
    /// `NotFound`, `InUse` while tenant mappings refer to it, or groups for which it is not gone for good.
    pub async fn site_delete(&self, name_or_id: &str) -> Result<(), StoreError> {
        self.write(async |tx| {
            let held = row_of(tx, name_or_id).await?;
            refuse_in_use(tx, &held.name).await?;
            held.delete(tx).await?;
            Ok(())
        })
        .await
    }

    /// The password of a site's service user.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Secret` when it cannot be decrypted.
    pub async fn site_password(&self, site: &SiteName) -> Result<SecretString, StoreError> {
        let row = site::Entity::find()
            .filter(site::Column::Name.eq(site.as_str()))
            .one(self.pool())
            .await?
            .ok_or_else(|| StoreError::not_found(Noun::Site, site))?;
        Ok(self.keys()?.decrypt(password_of(&row.id), &row.password)?)
    }
}

pub(crate) fn password_of(id: &str) -> SecretLocation<'_> {
    SecretLocation {
        table: "sites",
        row: id,
        column: "password",
    }
}

/// The site `seen`, if its password goes still where it was seen to go.
fn goes_where(seen: &Site) -> Condition {
    use site::Column;

    let cacert = match &seen.cacert {
        Some(path) => Column::Cacert.eq(path.as_str()),
        None => Column::Cacert.is_null(),
    };
    Condition::all()
        .add(Column::Id.eq(seen.id.as_str()))
        .add(Column::AuthUrl.eq(seen.auth_url.as_str()))
        .add(Column::Username.eq(seen.username.as_str()))
        .add(Column::UserDomainName.eq(seen.user_domain_name.as_str()))
        .add(Column::ProjectName.eq(seen.project_name.as_str()))
        .add(Column::ProjectDomainName.eq(seen.project_domain_name.as_str()))
        .add(cacert)
}

async fn row_of(db: &impl ConnectionTrait, name_or_id: &str) -> Result<site::Model, StoreError> {
    let rows = site::Entity::find()
        .filter(
            Condition::any()
                .add(site::Column::Id.eq(name_or_id))
                .add(site::Column::Name.eq(name_or_id)),
        )
        .order_by_desc(site::Column::Id.eq(name_or_id))
        .all(db)
        .await?;
    rows.into_iter()
        .next()
        .ok_or_else(|| StoreError::not_found(Noun::Site, name_or_id))
}

async fn refuse_in_use(db: &impl ConnectionTrait, name: &str) -> Result<(), StoreError> {
    use protection_group::Column as Group;
    use tenant_mapping::Column as Mapping;

    let groups = protection_group::Entity::find()
        .filter(
            Condition::any()
                .add(Group::PrimarySite.eq(name))
                .add(Group::SecondarySite.eq(name)),
        )
        .filter(Group::PeerRetiredAt.is_null())
        .count(db)
        .await?;
    let mappings = tenant_mapping::Entity::find()
        .filter(
            Condition::any()
                .add(Mapping::PrimarySite.eq(name))
                .add(Mapping::SecondarySite.eq(name)),
        )
        .count(db)
        .await?;
    if groups == 0 && mappings == 0 {
        return Ok(());
    }
    Err(StoreError::InUse {
        what: Noun::Site,
        name: name.to_owned(),
        by: format!("{groups} protection groups and {mappings} tenant mappings"),
    })
}

fn to_row(site: &Site, password: String) -> Result<site::Model, StoreError> {
    Ok(site::Model {
        id: site.id.to_string(),
        name: site.name.to_string(),
        description: site.description.clone(),
        auth_url: site.auth_url.clone(),
        region_name: site.region_name.clone(),
        interface: site.interface.clone(),
        username: site.username.clone(),
        password,
        user_domain_name: site.user_domain_name.clone(),
        project_name: site.project_name.clone(),
        project_domain_name: site.project_domain_name.clone(),
        cacert: site.cacert.clone(),
        status: to_word(&site.status)?,
        created_at: site.created_at,
        updated_at: site.updated_at,
    })
}

fn from_row(row: site::Model) -> Result<Site, StoreError> {
    Ok(Site {
        id: row.id.into(),
        name: row.name.into(),
        description: row.description,
        auth_url: row.auth_url,
        region_name: row.region_name,
        interface: row.interface,
        username: row.username,
        user_domain_name: row.user_domain_name,
        project_name: row.project_name,
        project_domain_name: row.project_domain_name,
        cacert: row.cacert,
        status: from_word("sites.status", &row.status)?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
