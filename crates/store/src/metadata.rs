//! A group's metadata as it travels to the other site: the group with its mappings, its members, its policy.
//!
//! The document holds array tokens in clear: it goes through TLS to an API that only administrators may call, and is
//! never logged. Its `Debug` shows whose it is and nothing else.

use std::fmt;

use chrono::{DateTime, Utc};
use protector_core::{
    group::Group,
    id::{GroupId, ProjectId},
    member::{Member, UserData},
    site::SiteScope,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    JsonValue, NotSet, QueryFilter, Set,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    database::Database,
    digest,
    entity::protection_group::{self, Model},
    error::{Noun, StoreError},
    given_up,
    group::{self, from_row, locked_row, to_row},
    lineage::{Base, Conflict, Held, Lineage, Mark, Side, lineage},
    lock::{self, Lock, refuse_while_locked},
    member, outbox,
    policy::{self, ReplicationPolicy},
    retirement, tenant_mapping, tombstone,
    words::to_signed,
};

/// What stands for a secret.
const MASK: &str = "***";

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

    /// What the document says, in one word: the same on both sites while nobody has changed anything.
    ///
    /// # Errors
    ///
    /// `Unreadable`, which would be a defect.
    pub fn digest(&self) -> Result<String, StoreError> {
        Ok(digest::digest(&self.to_json()?))
    }

    /// The document as it may be shown to the other site's protector for comparison: it says that there is a secret,
    /// not which.
    ///
    /// # Errors
    ///
    /// `Unreadable`, which would be a defect.
    pub fn to_masked_json(&self) -> Result<JsonValue, StoreError> {
        let mask = |secret: &mut Option<String>| *secret = secret.take().map(|_| MASK.to_owned());
        let mut masked = self.clone();
        for member in &mut masked.members {
            let user_data = &mut member.server.user_data;
            *user_data = user_data.take().map(|_| UserData::new(MASK));
        }
        if let Some(policy) = &mut masked.policy {
            mask(&mut policy.primary_fa_api_token);
            mask(&mut policy.secondary_fa_api_token);
        }
        masked.to_json()
    }

    fn held(&self) -> Result<Held, StoreError> {
        Ok(Held {
            mark: Mark {
                version: self.group.version,
                digest: self.digest()?,
            },
            changed_at: self.group.updated_at,
        })
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

/// Metadata that the other site offers.
#[derive(Clone, Debug)]
pub struct Offered {
    /// What it holds.
    pub document: MetadataDocument,
    /// What it last knew both sites to have held. With `force`: what it saw here, over which its own shall count.
    pub base: Option<Base>,
    /// Whether a person has said that the other site's view counts.
    pub force: bool,
}

/// What became of offered metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This is held now: what was offered, or something newer that was made from it.
    Held(Mark),
    /// The group was changed here too. Nothing was taken over; the conflict is on record.
    Conflict(Conflict),
}

/// A group's metadata as it stands here, with what is known of the other site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The metadata.
    pub document: MetadataDocument,
    /// Its mark, and what both sites last held.
    pub side: Side,
    /// The tenant's project here.
    pub local_project_id: ProjectId,
    /// The conflict on record, if there is one.
    pub conflict: Option<Conflict>,
    /// Since when the other site is gone for good.
    pub peer_retired_at: Option<DateTime<Utc>>,
}

impl Outgoing {
    /// What is held here, and since when.
    pub fn held(&self) -> Held {
        Held {
            mark: self.side.now.clone(),
            changed_at: self.document.group.updated_at,
        }
    }
}

impl Database {
    /// A group's metadata as of one moment.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Secret` when a token cannot be decrypted.
    pub async fn metadata_outgoing(&self, id: &GroupId) -> Result<Outgoing, StoreError> {
        self.read(async |tx| {
            let row = protection_group::Entity::find_by_id(id.as_str())
                .one(tx)
                .await?
                .ok_or_else(|| StoreError::not_found(Noun::Group, id))?;
            self.outgoing_of(tx, row).await
        })
        .await
    }

    /// Takes over metadata that the other site offers, if it was made from what is held here: makes the group, or brings
    /// it up to date. The same again, and what was overtaken on its way, changes nothing.
    ///
    /// # Errors
    ///
    /// `Locked` while an operation moves the group here; `Deleted` for a group that was deleted here, unless it is
    /// forced; `NotLinked` for one that is not known while no tenant mapping joins its two projects here; `PeerRetired` for a
    /// group from before the other site was retired; `SiteRetired` for one that is not known while that is so;
    /// `GroupDiffers` for a forced one when what it was to replace is not held any more; `Duplicate` when the
    /// project has another group of that name; `NotFound` when the group belongs to another project; `BadDocument`.
    pub async fn metadata_apply(
        &self,
        local_project: &ProjectId,
        offered: &Offered,
        now: DateTime<Utc>,
    ) -> Result<Taken, StoreError> {
        check(local_project, &offered.document)?;
        let theirs = offered.document.held()?;
        self.write(async |tx| {
            let id = &offered.document.group.id;
            match locked_row(tx, id).await? {
                None => self.first_taken(tx, local_project, offered, &theirs).await,
                Some(row) if row.local_project_id != local_project.as_str() => {
                    Err(StoreError::not_found(Noun::Group, id))
                }
                Some(row) => self.next_taken(tx, row, offered, &theirs, now).await,
            }
        })
        .await
    }

    async fn first_taken(
        &self,
        tx: &DatabaseTransaction,
        local_project: &ProjectId,
        offered: &Offered,
        theirs: &Held,
    ) -> Result<Taken, StoreError> {
        let document = &offered.document;
        let group = &document.group;
        let id = &group.id;
        let sites = [&group.primary.site, &group.secondary.site];
        retirement::refuse_unknown(tx, &sites, group.created_at).await?;
        tenant_mapping::must_join(tx, &group.primary, &group.secondary).await?;
        match tombstone::deleted_at(tx, id).await? {
            Some(at) if !offered.force => return Err(StoreError::Deleted { at }),
            Some(_) => tombstone::lift(tx, id).await?,
            None => {}
        }
        let row = row_from(local_project, document, &theirs.mark, theirs.mark.version)?;
        group::insert_row(tx, row).await?;
        self.parts_apply(tx, document).await?;
        Ok(Taken::Held(theirs.mark.clone()))
    }

    async fn next_taken(
        &self,
        tx: &DatabaseTransaction,
        row: Model,
        offered: &Offered,
        theirs: &Held,
        now: DateTime<Utc>,
    ) -> Result<Taken, StoreError> {
        retirement::refuse_of(&row)?;
        let ours = self.outgoing_of(tx, row).await?;
        refuse_another_place(&ours.document.group, &offered.document.group)?;
        let side = Side {
            now: theirs.mark.clone(),
            base: offered.base.clone(),
        };
        // Before all else: a group is now and then again what it was, and then an old message looks like the present.
        if ours.side.has_passed(&theirs.mark) && !offered.force {
            return Ok(Taken::Held(ours.side.now));
        }
        if theirs.mark.digest == ours.side.now.digest {
            return agree(tx, &ours, offered, &theirs.mark).await;
        }
        if offered.force {
            refuse_unseen(&ours, offered)?;
            return self.take(tx, &ours, offered, theirs, now).await;
        }
        match lineage(&ours.side, &side) {
            Lineage::TheirsIsNewer => self.take(tx, &ours, offered, theirs, now).await,
            Lineage::Same | Lineage::OursIsNewer => Ok(Taken::Held(ours.side.now)),
            Lineage::Conflict => {
                let id = &ours.document.group.id;
                let conflict = conflict_between(&ours, theirs, now);
                outbox::write_conflict(tx, id, Some(&conflict)).await?;
                Ok(Taken::Conflict(conflict))
            }
        }
    }

    /// Replaces what is held here by what was offered. Its version never falls: other records speak of it.
    async fn take(
        &self,
        tx: &DatabaseTransaction,
        ours: &Outgoing,
        offered: &Offered,
        theirs: &Held,
        now: DateTime<Utc>,
    ) -> Result<Taken, StoreError> {
        let document = &offered.document;
        let id = &document.group.id;
        refuse_while_locked(tx, &Lock::group(id)).await?;
        let version = theirs.mark.version.max(ours.side.now.version + 1);
        let row = row_from(&ours.local_project_id, document, &theirs.mark, version)?;
        let name = row.name.clone();
        let mut row = row.into_active_model().reset_all();
        if document.group.status.is_moving() {
            // The site that moves the group tells of it meanwhile, and goes on holding this one still.
            row.reserved_by = NotSet;
            row.reserved_until = NotSet;
        }
        protection_group::Entity::update_many()
            .set(row)
            .filter(protection_group::Column::Id.eq(id.as_str()))
            .exec(tx)
            .await
            .map_err(|error| StoreError::unless_duplicate(error, Noun::Group, "name", name))?;
        self.parts_apply(tx, document).await?;
        given_up::shown_anew(tx, id, now).await?;
        Ok(Taken::Held(Mark {
            version,
            digest: theirs.mark.digest.clone(),
        }))
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

    async fn outgoing_of(
        &self,
        tx: &DatabaseTransaction,
        row: Model,
    ) -> Result<Outgoing, StoreError> {
        let sync = outbox::SyncState::of(&row)?;
        let local_project_id = ProjectId::new(row.local_project_id.clone());
        let peer_retired_at = row.peer_retired_at;
        let document = self.document_of(tx, row).await?;
        Ok(Outgoing {
            side: Side {
                now: document.held()?.mark,
                base: sync.base(),
            },
            document,
            local_project_id,
            conflict: sync.conflict,
            peer_retired_at,
        })
    }

    /// What is held of a group.
    pub(crate) async fn held_of(
        &self,
        tx: &DatabaseTransaction,
        row: &Model,
    ) -> Result<Held, StoreError> {
        self.document_of(tx, row.clone()).await?.held()
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

/// Both sites say the same: the higher version counts on both, and the later time of replication.
async fn agree(
    tx: &DatabaseTransaction,
    ours: &Outgoing,
    offered: &Offered,
    theirs: &Mark,
) -> Result<Taken, StoreError> {
    let group = &ours.document.group;
    let locked = lock::holder(tx, &Lock::group(&group.id)).await?.is_some();
    let version = if locked {
        ours.side.now.version
    } else {
        theirs.version.max(ours.side.now.version)
    };
    let mut change = protection_group::ActiveModel {
        version: Set(to_signed(version)),
        ..Default::default()
    };
    // What both are known to have held never becomes older, also where somebody forces what is old.
    if !ours.side.has_passed(theirs) {
        let known = ours.side.base.as_ref().map_or(0, |base| base.version);
        let base = known.max(theirs.version.min(version));
        change.pushed_version = Set(to_signed(base));
        change.peer_version = Set(Some(to_signed(theirs.version)));
        change.base_digest = Set(Some(theirs.digest.clone()));
        change.conflict = Set(None);
    }
    if !locked {
        let latest = group
            .last_replication_at
            .max(offered.document.group.last_replication_at);
        change.last_replication_at = Set(latest);
    }
    protection_group::Entity::update_many()
        .set(change)
        .filter(protection_group::Column::Id.eq(group.id.as_str()))
        .exec(tx)
        .await?;
    Ok(Taken::Held(Mark {
        version,
        digest: theirs.digest.clone(),
    }))
}

/// Refuses a forced view that is to replace something else than what is held.
fn refuse_unseen(ours: &Outgoing, offered: &Offered) -> Result<(), StoreError> {
    let held = &ours.side.now;
    match &offered.base {
        Some(seen) if *seen == Base::from(held.clone()) => Ok(()),
        seen => Err(StoreError::GroupDiffers {
            held: held.version,
            known: seen.as_ref().map_or(0, |seen| seen.version),
        }),
    }
}

/// A conflict that was found before keeps its time.
fn conflict_between(ours: &Outgoing, theirs: &Held, now: DateTime<Utc>) -> Conflict {
    Conflict {
        local: ours.held(),
        remote: theirs.clone(),
        detected_at: ours
            .conflict
            .as_ref()
            .map_or(now, |known| known.detected_at),
    }
}

fn check(local_project: &ProjectId, document: &MetadataDocument) -> Result<(), StoreError> {
    let group = &document.group;
    let bad = |why: String| Err(StoreError::BadDocument(why));
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

/// Where a group lives is settled when it is made: nothing that another site says moves it into other projects.
fn refuse_another_place(ours: &Group, theirs: &Group) -> Result<(), StoreError> {
    let place = |group: &Group| {
        let scope = |scope: &SiteScope| format!("project {} on {}", scope.project_id, scope.site);
        format!(
            "{} and {}, {}",
            scope(&group.primary),
            scope(&group.secondary),
            group.replication_type.as_str()
        )
    };
    if place(ours) == place(theirs) {
        return Ok(());
    }
    Err(StoreError::BadDocument(format!(
        "group: it is kept here for {}; the document says {}, and a group's sites, projects and replication type never change",
        place(ours),
        place(theirs)
    )))
}

/// The group's row as it is held from now on. It may be at a higher `version` than the one that came.
fn row_from(
    local_project: &ProjectId,
    document: &MetadataDocument,
    came: &Mark,
    version: u64,
) -> Result<Model, StoreError> {
    Ok(Model {
        version: to_signed(version),
        pushed_version: to_signed(came.version),
        peer_version: Some(to_signed(came.version)),
        base_digest: Some(came.digest.clone()),
        ..to_row(local_project, &document.group)?
    })
}
