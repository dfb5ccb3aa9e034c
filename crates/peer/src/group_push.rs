//! Handing a group's metadata over to the other site, and finding out what it means when that refuses.
//!
//! The push reconciler does this after each change, the API where somebody waits for it. A refusal is looked into: what the other
//! site holds says whether something newer is on its way from there, or whether the group was changed on both sites.

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    group::Group,
    id::{GroupId, SiteName},
};
use protector_store::{
    AgreedState, Conflict, Database, DatedState, Lineage, MetadataState, Outgoing, SiteState,
    StoreError, lineage,
};
use protector_wire::{
    metadata::{BaseState, NewMetadata},
    text::Timestamp,
};

use crate::{
    operation_push::{CopyError, send_copies_of},
    peer::{HeldPart, Peer, PeerError, PeerMetadata, other_scope},
};

/// What handing over stands on.
#[derive(Clone, Copy)]
pub struct GroupPush<'a> {
    pub database: &'a Database,
    /// The other sites' protectors.
    pub peer: &'a dyn Peer,
    pub site: &'a SiteName,
    pub now: DateTime<Utc>,
}

/// How a push ended. It is on record either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Both sites hold the same, under this version.
    Agreed(u64),
    /// The other site refused, for this reason.
    Refused(String),
    /// The other site does not answer.
    Unreachable(String),
}

impl GroupPush<'_> {
    /// Pushes the newest metadata of a group. After a failure the push reconciler leaves the group alone for `pause`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn push(&self, group: &GroupId, pause: TimeDelta) -> Result<Pushed, StoreError> {
        let ours = self.database.metadata_outgoing(group).await?;
        let metadata = self.metadata(&ours, ours.side.base.clone().map(Into::into), false)?;
        self.send(&ours, &metadata, pause).await
    }

    /// Pushes a group's metadata to a site that does not know the group, or does not any more.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn plant(&self, ours: &Outgoing, pause: TimeDelta) -> Result<Pushed, StoreError> {
        let metadata = self.metadata(ours, None, true)?;
        self.send(ours, &metadata, pause).await
    }

    async fn send(
        &self,
        ours: &Outgoing,
        metadata: &NewMetadata,
        pause: TimeDelta,
    ) -> Result<Pushed, StoreError> {
        let group = &ours.document.group;
        let sent = &ours.side.now;
        let scope = other_scope(group, self.site);
        if let Err(why) = self.tell_operations(&group.id).await? {
            self.failed(&group.id, &why, pause).await?;
            return Ok(Pushed::Unreachable(why));
        }
        let why = match self.peer.push(scope, &group.id, metadata).await {
            Ok(kept) if kept.digest == sent.digest => return self.agreed(ours, &kept).await,
            Ok(kept) => format!("{} holds version {} already", scope.site, kept.version),
            Err(PeerError::Refused(why)) => why,
            Err(PeerError::Unreachable(why) | PeerError::NotTold(why)) => {
                self.failed(&group.id, &why, pause).await?;
                return Ok(Pushed::Unreachable(why));
            }
        };
        let theirs = self.peer.held(scope, &group.id, HeldPart::Mark).await;
        let why = match theirs {
            Ok(Some(theirs)) if theirs.side.now.digest == sent.digest => {
                return self.agreed(ours, &theirs.side.now).await;
            }
            Ok(Some(theirs)) => self.meaning(ours, &theirs, why).await?,
            Ok(None) | Err(_) => why,
        };
        self.failed(&group.id, &why, pause).await?;
        Ok(Pushed::Refused(why))
    }

    /// What it means that the other site has something else.
    async fn meaning(
        &self,
        ours: &Outgoing,
        theirs: &PeerMetadata,
        refusal: String,
    ) -> Result<String, StoreError> {
        let group = &ours.document.group;
        if theirs.retired_at.is_some() {
            return Ok(refusal);
        }
        let other = &other_scope(group, self.site).site;
        Ok(match lineage(&ours.side, &theirs.side) {
            Lineage::NewerAtPeer => format!(
                "{other} holds newer metadata, of version {}, which it pushes from there",
                theirs.side.now.version
            ),
            Lineage::Same | Lineage::NewerHere => refusal,
            Lineage::Conflict => match self.note_conflict(ours, theirs.held()).await? {
                Some(conflict) => self.in_conflict(&ours.document.group, &conflict),
                None => refusal,
            },
        })
    }

    /// Puts a conflict on record, unless the group has changed here since it was found.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn note_conflict(
        &self,
        ours: &Outgoing,
        remote: DatedState,
    ) -> Result<Option<Conflict>, StoreError> {
        let known = ours.conflict.as_ref();
        let conflict = Conflict {
            local: ours.held(),
            remote,
            detected_at: known.map_or(self.now, |known| known.detected_at),
        };
        let id = &ours.document.group.id;
        let version = ours.side.now.version;
        let noted = self
            .database
            .conflict_note(id, version, Some(&conflict))
            .await?;
        if noted && known.is_none() {
            tracing::warn!(group_id = %id, "{}", self.in_conflict(&ours.document.group, &conflict));
        }
        Ok(noted.then_some(conflict))
    }

    /// What a person has to know of a conflict: what each site has, since when, and the way out.
    pub fn in_conflict(&self, group: &Group, conflict: &Conflict) -> String {
        let there = &other_scope(group, self.site).site;
        format!(
            "Protection group {name} is in conflict: it was changed on both sites since they last agreed, on {here} at {} (version {}) and on {there} at {} (version {}). 'openstack dr protection-group sync-status {name}' shows what differs; 'openstack dr protection-group sync-force {name}', sent to the site whose view shall count, ends the conflict.",
            Timestamp(conflict.local.changed_at),
            conflict.local.mark.version,
            Timestamp(conflict.remote.changed_at),
            conflict.remote.mark.version,
            name = group.name,
            here = self.site,
        )
    }

    /// Says that this site's view counts over `seen`, which the other one held a moment ago.
    ///
    /// # Errors
    ///
    /// What the database says; the inner error is the other site's.
    pub async fn force(
        &self,
        ours: &Outgoing,
        seen: &SiteState,
    ) -> Result<Result<Pushed, PeerError>, StoreError> {
        let group = &ours.document.group;
        if let Err(why) = self.tell_operations(&group.id).await? {
            return Ok(Err(PeerError::NotTold(why)));
        }
        let seen = AgreedState::from(seen.now.clone());
        let metadata = self.metadata(ours, Some(seen.into()), true)?;
        let scope = other_scope(group, self.site);
        match self.peer.push(scope, &group.id, &metadata).await {
            Ok(kept) => self.agreed(ours, &kept).await.map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Sends what the other site lacks of the group's operations. The inner error says that it does not answer; a record
    /// that it refuses stays due and keeps nothing else back.
    async fn tell_operations(&self, group: &GroupId) -> Result<Result<(), String>, StoreError> {
        match send_copies_of(self.database, self.peer, self.site, group).await {
            Ok(()) => Ok(Ok(())),
            Err(CopyError::Store(error)) => Err(error),
            Err(CopyError::Peer(PeerError::Unreachable(why) | PeerError::NotTold(why))) => {
                Ok(Err(why))
            }
            Err(error @ (CopyError::Peer(PeerError::Refused(_)) | CopyError::Gap { .. })) => {
                tracing::warn!(group_id = %group, %error, "operations of the group not copied");
                Ok(Ok(()))
            }
        }
    }

    async fn agreed(&self, ours: &Outgoing, kept: &MetadataState) -> Result<Pushed, StoreError> {
        let id = &ours.document.group.id;
        self.database
            .push_done(id, &ours.side.now, kept, self.now)
            .await?;
        Ok(Pushed::Agreed(kept.version))
    }

    /// Notes why a push failed.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn failed(
        &self,
        group: &GroupId,
        why: &str,
        pause: TimeDelta,
    ) -> Result<(), StoreError> {
        self.database
            .push_failed(group, why, self.now, self.now + pause)
            .await
    }

    fn metadata(
        &self,
        ours: &Outgoing,
        base: Option<BaseState>,
        force: bool,
    ) -> Result<NewMetadata, StoreError> {
        Ok(NewMetadata {
            version: ours.side.now.version,
            digest: ours.side.now.digest.clone(),
            base,
            force,
            origin_site: self.site.to_string(),
            document: ours.document.to_json()?,
        })
    }
}
