//! A group's metadata as it travels to the other site: the group with its mappings, its members, its policy.
//!
//! The document holds array tokens in clear: it goes through TLS to an API that only administrators may call, and is
//! never logged. Its `Debug` shows whose it is and nothing else.

use std::fmt;

use chrono::{DateTime, Utc};
use protector_core::{
    group::Group,
    id::{GroupId, ProjectId},
    member::Member,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    JsonValue, QueryFilter,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    database::Database,
    entity::protection_group::{self, Model},
    error::{Noun, StoreError},
    group::{self, from_row, locked_row, to_row},
    lock::{Lock, refuse_while_locked},
    member,
    policy::{self, ReplicationPolicy},
};

/// All that the other site must know of a group to fail it over by itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataDocument {
    /// The group, with its mappings and its version.
    pub group: Group,
    /// Its members, by name.
    pub members: Vec<Member>,
    policy: Option<PolicyDocument>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PolicyDocument {
    primary_fa_url: String,
    secondary_fa_url: String,
    primary_fa_api_token: Option<String>,
    secondary_fa_api_token: Option<String>,
    rpo_minutes: u32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl fmt::Debug for MetadataDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataDocument")
            .field("group_id", &self.group.id)
            .field("version", &self.group.version)
            .finish_non_exhaustive()
    }
}

impl MetadataDocument {
    /// Reads a document that came from the other site.
    ///
    /// # Errors
    ///
    /// `BadDocument`, which names the field.
    pub fn from_json(json: JsonValue) -> Result<Self, StoreError> {
        serde_json::from_value(json).map_err(|error| StoreError::BadDocument(error.to_string()))
    }

    /// The document as it is sent. Not to be logged.
    ///
    /// # Errors
    ///
    /// `Unreadable`, which would be a defect.
    pub fn to_json(&self) -> Result<JsonValue, StoreError> {
        crate::words::to_json(self)
    }

    /// The group's replication policy.
    pub fn policy(&self) -> Option<ReplicationPolicy> {
        let policy = self.policy.as_ref()?;
        let secret = |token: &Option<String>| token.clone().map(SecretString::from);
        Some(ReplicationPolicy {
            group_id: self.group.id.clone(),
            primary_fa_url: policy.primary_fa_url.clone(),
            secondary_fa_url: policy.secondary_fa_url.clone(),
            primary_fa_api_token: secret(&policy.primary_fa_api_token),
            secondary_fa_api_token: secret(&policy.secondary_fa_api_token),
            rpo_minutes: policy.rpo_minutes,
            created_at: policy.created_at,
            updated_at: policy.updated_at,
        })
    }
}

impl PolicyDocument {
    fn of(policy: &ReplicationPolicy) -> Self {
        let clear = |token: &Option<SecretString>| {
            token.as_ref().map(|token| token.expose_secret().to_owned())
        };
        Self {
            primary_fa_url: policy.primary_fa_url.clone(),
            secondary_fa_url: policy.secondary_fa_url.clone(),
            primary_fa_api_token: clear(&policy.primary_fa_api_token),
            secondary_fa_api_token: clear(&policy.secondary_fa_api_token),
            rpo_minutes: policy.rpo_minutes,
            created_at: policy.created_at,
            updated_at: policy.updated_at,
        }
    }
}

impl Database {
    /// A group's metadata as of one moment.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Secret` when a token cannot be decrypted.
    pub async fn metadata_document(&self, id: &GroupId) -> Result<MetadataDocument, StoreError> {
        self.read(async |tx| {
            let row = protection_group::Entity::find_by_id(id.as_str())
                .one(tx)
                .await?
                .ok_or_else(|| StoreError::not_found(Noun::Group, id))?;
            self.document_of(tx, row).await
        })
        .await
    }

    /// Takes over metadata from the other site: makes the group here, or brings it to `version`. The same document
    /// again changes nothing. Returns the version that is held now.
    ///
    /// # Errors
    ///
    /// `StaleMetadata` for an older version, or the same with other content; `Locked` while an operation moves the
    /// group here; `Duplicate` when the project has another group of that name; `NotFound` when the group belongs to
    /// another project; `BadDocument`.
    pub async fn metadata_apply(
        &self,
        local_project: &ProjectId,
        version: u64,
        document: &MetadataDocument,
    ) -> Result<u64, StoreError> {
        check(local_project, version, document)?;
        self.write(async |tx| {
            let id = &document.group.id;
            match locked_row(tx, id).await? {
                None => {
                    group::insert_row(tx, row_from(local_project, document)?).await?;
                    self.parts_apply(tx, document).await?;
                }
                Some(row) if row.local_project_id != local_project.as_str() => {
                    return Err(StoreError::not_found(Noun::Group, id));
                }
                Some(row) => self.newer_apply(tx, row, document).await?,
            }
            Ok(version)
        })
        .await
    }

    async fn newer_apply(
        &self,
        tx: &DatabaseTransaction,
        row: Model,
        document: &MetadataDocument,
    ) -> Result<(), StoreError> {
        let id = &document.group.id;
        let local_project = ProjectId::new(row.local_project_id.clone());
        let held = self.document_of(tx, row).await?;
        if held == *document {
            return Ok(());
        }
        if document.group.version <= held.group.version {
            return Err(StoreError::StaleMetadata {
                held: held.group.version,
                offered: document.group.version,
            });
        }
        refuse_while_locked(tx, &Lock::group(id)).await?;
        let row = row_from(&local_project, document)?;
        let name = row.name.clone();
        protection_group::Entity::update_many()
            .set(row.into_active_model().reset_all())
            .filter(protection_group::Column::Id.eq(id.as_str()))
            .exec(tx)
            .await
            .map_err(|error| StoreError::unless_duplicate(error, Noun::Group, "name", name))?;
        self.parts_apply(tx, document).await
    }

    async fn parts_apply(
        &self,
        tx: &DatabaseTransaction,
        document: &MetadataDocument,
    ) -> Result<(), StoreError> {
        let id = &document.group.id;
        member::replace(tx, id, &document.members).await?;
        let policy = document
            .policy()
            .map(|policy| self.policy_row(&policy))
            .transpose()?;
        policy::replace(tx, id, policy).await
    }

    async fn document_of(
        &self,
        tx: &DatabaseTransaction,
        row: Model,
    ) -> Result<MetadataDocument, StoreError> {
        let group = from_row(row)?;
        let policy = self.policy_of(tx, &group.id).await?;
        Ok(MetadataDocument {
            members: member::of_group(tx, &group.id).await?,
            policy: policy.as_ref().map(PolicyDocument::of),
            group,
        })
    }
}

fn check(
    local_project: &ProjectId,
    version: u64,
    document: &MetadataDocument,
) -> Result<(), StoreError> {
    let group = &document.group;
    let bad = |why: String| Err(StoreError::BadDocument(why));
    if group.version != version {
        return bad(format!(
            "group.version: it is {} but the push says {version}",
            group.version
        ));
    }
    let mut scopes = [&group.primary, &group.secondary].into_iter();
    if !scopes.any(|scope| scope.project_id == *local_project) {
        return bad(format!(
            "group: project {local_project} is on neither of its sites"
        ));
    }
    match document
        .members
        .iter()
        .find(|member| member.group_id != group.id)
    {
        Some(stranger) => bad(format!("members: {} is of another group", stranger.id)),
        None => Ok(()),
    }
}

/// The group's row as both sites hold it from now on.
fn row_from(local_project: &ProjectId, document: &MetadataDocument) -> Result<Model, StoreError> {
    let mut row = to_row(local_project, &document.group)?;
    row.pushed_version = row.version;
    row.peer_version = Some(row.version);
    Ok(row)
}
