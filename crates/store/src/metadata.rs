//! A group's metadata as it travels to the other site: the group with its mappings, its members, its policy.
//!
//! The document holds array tokens in clear: it goes through TLS to an API that only administrators may call, and is
//! never logged. Its `Debug` shows whose it is and nothing else.

use std::fmt;

use chrono::{DateTime, Utc};
use protector_core::{
    confidential::{Confidential, Field, HoldsConfidential, StillSealed},
    group::Group,
    id::{GroupId, ProjectId},
    member::Member,
    site::SiteScope,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    JsonValue, NotSet, QueryFilter, Set,
};
use serde::{Deserialize, Serialize};

use crate::{
    database::Database,
    digest,
    entity::{protection_group, protection_group::Model},
    error::{Noun, StoreError},
    given_up, group,
    group::to_row,
    group_row::locked_row,
    lineage::{AgreedState, Conflict, DatedState, Lineage, MetadataState, SiteState, lineage},
    lock::{self, Lock, refuse_while_locked},
    member, outbox, policy,
    policy::ReplicationPolicy,
    retired::{refuse_of, refuse_unknown},
    row::group::from_row,
    sealing::Kept,
    tenant_mapping, tombstone,
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
    primary_fa_api_token: Option<Confidential>,
    secondary_fa_api_token: Option<Confidential>,
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
        let document: Self = serde_json::from_value(json)
            .map_err(|error| StoreError::BadDocument(error.to_string()))?;
        let sealed = document.sealed_texts().chain(document.sealed_tokens());
        match sealed.count() {
            0 => Ok(document),
            _ => Err(StoreError::BadDocument(
                "a text in it is sealed: what is sealed is of one site's database alone".to_owned(),
            )),
        }
    }

    /// The document as it is sent. Not to be logged.
    ///
    /// # Errors
    ///
    /// `Sealed` when a text in it could not be opened; `Unreadable`, which would be a defect.
    pub fn to_json(&self) -> Result<JsonValue, StoreError> {
        match self.sealed_texts().chain(self.sealed_tokens()).next() {
            None => crate::words::to_json(self),
            Some(why) => Err(why.into()),
        }
    }

    /// What the document says, in one word: the same on both sites while nobody has changed anything.
    ///
    /// # Errors
    ///
    /// `Sealed` when a text that counts could not be opened; `Unreadable`, which would be a defect.
    pub fn digest(&self) -> Result<String, StoreError> {
        match self.sealed_texts().next() {
            None => Ok(digest::digest(&crate::words::to_json(self)?)),
            Some(why) => Err(why.into()),
        }
    }

    /// The document as it may be shown to the other site's protector for comparison: it says that there is a secret,
    /// not which.
    ///
    /// # Errors
    ///
    /// `Unreadable`, which would be a defect.
    pub fn to_masked_json(&self) -> Result<JsonValue, StoreError> {
        let mut masked = self.clone();
        let mask = &mut |_: Field<'_>, text: &mut Confidential| *text = Confidential::new(MASK);
        masked.members.each_confidential(mask);
        masked.group.each_confidential(mask);
        for token in masked
            .policy
            .iter_mut()
            .flat_map(PolicyDocument::tokens_mut)
        {
            *token = Confidential::new(MASK);
        }
        masked.to_json()
    }

    /// Why texts that the digest counts cannot be read.
    fn sealed_texts(&self) -> impl Iterator<Item = StillSealed> {
        let mut texts = self.members.confidential();
        texts.extend(self.group.confidential());
        texts.into_iter().filter_map(|text| text.expose().err())
    }

    fn sealed_tokens(&self) -> impl Iterator<Item = StillSealed> {
        let tokens = self.policy.iter().flat_map(PolicyDocument::tokens);
        tokens.filter_map(|token| token.expose().err())
    }

    fn held(&self) -> Result<DatedState, StoreError> {
        Ok(DatedState {
            mark: MetadataState {
                version: self.group.version,
                digest: self.digest()?,
            },
            changed_at: self.group.updated_at,
        })
    }

    /// The group's replication policy.
    pub fn policy(&self) -> Option<ReplicationPolicy> {
        let policy = self.policy.as_ref()?;
        Some(ReplicationPolicy {
            group_id: self.group.id.clone(),
            primary_fa_url: policy.primary_fa_url.clone(),
            secondary_fa_url: policy.secondary_fa_url.clone(),
            primary_fa_api_token: policy.primary_fa_api_token.clone(),
            secondary_fa_api_token: policy.secondary_fa_api_token.clone(),
            rpo_minutes: policy.rpo_minutes,
            created_at: policy.created_at,
            updated_at: policy.updated_at,
        })
    }
}

impl PolicyDocument {
    fn of(policy: ReplicationPolicy) -> Self {
        Self {
            primary_fa_url: policy.primary_fa_url,
            secondary_fa_url: policy.secondary_fa_url,
            primary_fa_api_token: policy.primary_fa_api_token,
            secondary_fa_api_token: policy.secondary_fa_api_token,
            rpo_minutes: policy.rpo_minutes,
            created_at: policy.created_at,
            updated_at: policy.updated_at,
        }
    }

    fn tokens(&self) -> impl Iterator<Item = &Confidential> {
        let tokens = [&self.primary_fa_api_token, &self.secondary_fa_api_token];
        tokens.into_iter().flatten()
    }

    fn tokens_mut(&mut self) -> impl Iterator<Item = &mut Confidential> {
        let tokens = [
            &mut self.primary_fa_api_token,
            &mut self.secondary_fa_api_token,
        ];
        tokens.into_iter().flatten()
    }
}

/// Metadata that the other site offers.
#[derive(Clone, Debug)]
pub struct Offered {
    pub document: MetadataDocument,
    /// What it last knew both sites to have held. With `force`: what it saw here, over which its own shall count.
    pub base: Option<AgreedState>,
    /// Whether a person has said that the other site's view counts.
    pub force: bool,
}

/// What became of offered metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This is held now: what was offered, or something newer that was made from it.
    Held(MetadataState),
    /// The group was changed here too. Nothing was taken over; the conflict is on record.
    Conflict(Conflict),
}

/// A group's metadata as it stands here, with what is known of the other site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub document: MetadataDocument,
    /// Its mark, and what both sites last held.
    pub side: SiteState,
    /// The tenant's project here.
    pub local_project_id: ProjectId,
    /// The conflict on record, if there is one.
    pub conflict: Option<Conflict>,
    /// Since when the other site is gone for good.
    pub peer_retired_at: Option<DateTime<Utc>>,
}

impl Outgoing {
    /// What is held here, and since when.
    pub fn held(&self) -> DatedState {
        DatedState {
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
    /// `NotFound`; `Sealed` when a text that the digest counts cannot be opened, and the digest is not known from the last
    /// time that both sites agreed.
    pub async fn metadata_outgoing(&self, id: &GroupId) -> Result<Outgoing, StoreError> {
        self.outgoing_with(id, digest_known_to_both).await
    }

    /// The same for who is to see whether the other site has gone on without this one. Where a text cannot be opened, the digest
    /// is one that no state of the group has: what has changed since both agreed counts as changed here.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn metadata_to_compare(&self, id: &GroupId) -> Result<Outgoing, StoreError> {
        let unlike_any = |row: &Model, why| {
            Ok(digest_known_to_both(row, why).unwrap_or_else(|_| "sealed".to_owned()))
        };
        self.outgoing_with(id, unlike_any).await
    }

    async fn outgoing_with(
        &self,
        id: &GroupId,
        unread: impl Fn(&Model, StillSealed) -> Result<String, StoreError>,
    ) -> Result<Outgoing, StoreError> {
        self.read(async |tx| {
            let row = protection_group::Entity::find_by_id(id.as_str())
                .one(tx)
                .await?
                .ok_or_else(|| StoreError::not_found(Noun::Group, id))?;
            self.outgoing_of(tx, row, &unread).await
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
    /// project has another group of that name; `QuotaExceeded` for one more group than is kept; `NotFound` when the group belongs to another project; `BadDocument`.
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
        theirs: &DatedState,
    ) -> Result<Taken, StoreError> {
        let document = &offered.document;
        let group = &document.group;
        let id = &group.id;
        let sites = [&group.primary.site, &group.secondary.site];
        refuse_unknown(tx, &sites, group.created_at).await?;
        tenant_mapping::must_join(tx, &group.primary, &group.secondary).await?;
        let between = [&group.primary, &group.secondary];
        let quota = self.copy_quota();
        quota
            .refuse_another_group(tx, local_project, between)
            .await?;
        match tombstone::deleted_at(tx, id).await? {
            Some(at) if !offered.force => return Err(StoreError::Deleted { at }),
            Some(_) => tombstone::lift(tx, id).await?,
            None => {}
        }
        let kept = self.kept(id, group.clone())?;
        let row = row_from(local_project, &kept, &theirs.mark, theirs.mark.version)?;
        group::insert_row(tx, row).await?;
        self.parts_apply(tx, document).await?;
        Ok(Taken::Held(theirs.mark.clone()))
    }

    async fn next_taken(
        &self,
        tx: &DatabaseTransaction,
        row: Model,
        offered: &Offered,
        theirs: &DatedState,
        now: DateTime<Utc>,
    ) -> Result<Taken, StoreError> {
        refuse_of(&row)?;
        let ours = self.outgoing_of(tx, row, digest_known_to_both).await?;
        refuse_another_place(&ours.document.group, &offered.document.group)?;
        let side = SiteState {
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
            Lineage::NewerAtPeer => self.take(tx, &ours, offered, theirs, now).await,
            Lineage::Same | Lineage::NewerHere => Ok(Taken::Held(ours.side.now)),
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
        theirs: &DatedState,
        now: DateTime<Utc>,
    ) -> Result<Taken, StoreError> {
        let document = &offered.document;
        let id = &document.group.id;
        refuse_while_locked(tx, &Lock::group(id)).await?;
        let version = theirs.mark.version.max(ours.side.now.version + 1);
        let kept = self.kept(id, document.group.clone())?;
        let row = row_from(&ours.local_project_id, &kept, &theirs.mark, version)?;
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
        Ok(Taken::Held(MetadataState {
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
        let members = self.kept(id, document.members.clone())?;
        member::replace(tx, id, &members).await?;
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
        unread: impl Fn(&Model, StillSealed) -> Result<String, StoreError>,
    ) -> Result<Outgoing, StoreError> {
        let sync = outbox::SyncState::of(&row)?;
        let local_project_id = ProjectId::new(row.local_project_id.clone());
        let peer_retired_at = row.peer_retired_at;
        let document = self.document_of(tx, row.clone()).await?;
        let digest = match document.digest() {
            Err(StoreError::Sealed(why)) => unread(&row, why)?,
            digest => digest?,
        };
        Ok(Outgoing {
            side: SiteState {
                now: MetadataState {
                    version: document.group.version,
                    digest,
                },
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
    ) -> Result<DatedState, StoreError> {
        let outgoing = self.outgoing_of(tx, row.clone(), digest_known_to_both);
        Ok(outgoing.await?.held())
    }

    async fn document_of(
        &self,
        tx: &DatabaseTransaction,
        row: Model,
    ) -> Result<MetadataDocument, StoreError> {
        let group = from_row(row)?;
        let id = group.id.clone();
        let policy = self.policy_of(tx, &id).await?;
        let members = member::of_group(tx, &id).await?;
        Ok(MetadataDocument {
            members: self.opened(&id, members),
            policy: policy.map(PolicyDocument::of),
            group: self.opened(&id, group),
        })
    }
}

/// The digest of a group of which a text cannot be opened: what both sites last agreed on is known, and the version tells that
/// nothing has changed since.
fn digest_known_to_both(row: &Model, why: StillSealed) -> Result<String, StoreError> {
    match &row.base_digest {
        Some(digest) if row.version == row.pushed_version => Ok(digest.clone()),
        _ => Err(why.into()),
    }
}

/// Both sites say the same: the higher version counts on both, and the later time of replication.
async fn agree(
    tx: &DatabaseTransaction,
    ours: &Outgoing,
    offered: &Offered,
    theirs: &MetadataState,
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
    Ok(Taken::Held(MetadataState {
        version,
        digest: theirs.digest.clone(),
    }))
}

/// Refuses a forced view that is to replace something else than what is held.
fn refuse_unseen(ours: &Outgoing, offered: &Offered) -> Result<(), StoreError> {
    let held = &ours.side.now;
    match &offered.base {
        Some(seen) if *seen == AgreedState::from(held.clone()) => Ok(()),
        seen => Err(StoreError::GroupDiffers {
            held: held.version,
            known: seen.as_ref().map_or(0, |seen| seen.version),
        }),
    }
}

/// A conflict that was found before keeps its time.
fn conflict_between(ours: &Outgoing, theirs: &DatedState, now: DateTime<Utc>) -> Conflict {
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
    group: &Kept<Group>,
    came: &MetadataState,
    version: u64,
) -> Result<Model, StoreError> {
    Ok(Model {
        version: to_signed(version),
        pushed_version: to_signed(came.version),
        peer_version: Some(to_signed(came.version)),
        base_digest: Some(came.digest.clone()),
        ..to_row(local_project, group)?
    })
}
