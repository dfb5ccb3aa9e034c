//! Whether both sites have the same metadata of a group, and bringing the other site up to date at once.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    group::Group,
    id::{GroupId, SiteName},
};
use protector_peer::{
    differences::differs,
    group_push::{GroupPush, Pushed},
    peer::{self, HeldPart, PeerError, PeerMetadata},
};
use protector_store::{
    Conflict, Lineage, Outgoing, PushResult, StoreError, StoredGroup, SyncState, lineage,
};
use protector_wire::{
    metadata::{PushView, SiteVersion, SyncView},
    text::Timestamp,
};

use super::App;
use crate::{
    app::{block_rule, refusal::Refusal},
    http::error::{ApiError, ApiResult},
};

pub(super) const IN_SYNC: &str = "IN SYNC";
/// The other site is gone for good: there is nobody to be in sync with.
const RETIRED: &str = "RETIRED";
const OUT_OF_SYNC: &str = "OUT OF SYNC";
pub(super) const UNREACHABLE: &str = "UNREACHABLE";

/// How long the push reconciler leaves a group alone whose push by hand has failed.
pub(super) const PAUSE: TimeDelta = TimeDelta::seconds(30);

/// How long a site that may be lost is waited for, where its answer is not needed.
pub(super) const LOST_SITE_PATIENCE: Duration = Duration::from_secs(5);

/// The sync word of a group as the last push left it, without asking the other site.
pub fn status_word(stored: &StoredGroup) -> &'static str {
    let (sync, version) = (&stored.sync, stored.group.version);
    if stored.peer_retired_at.is_some() {
        RETIRED
    } else if sync.pushed_version >= version && sync.conflict.is_none() {
        IN_SYNC
    } else {
        OUT_OF_SYNC
    }
}

pub(super) fn group_push(app: &App) -> GroupPush<'_> {
    GroupPush {
        database: &app.database,
        peer: &*app.peer,
        site: &app.settings.site_name,
        now: app.clock.now(),
    }
}

pub(super) fn other_site<'o>(app: &App, ours: &'o Outgoing) -> &'o SiteName {
    &peer::other_scope(&ours.document.group, &app.settings.site_name).site
}

pub(super) async fn theirs(
    app: &App,
    ours: &Outgoing,
    part: HeldPart,
) -> Result<Option<PeerMetadata>, PeerError> {
    let group = &ours.document.group;
    let other = peer::other_scope(group, &app.settings.site_name);
    app.peer.held(other, &group.id, part).await
}

/// Asks the other site and compares.
pub async fn compare(app: &App, stored: &StoredGroup) -> ApiResult<SyncView> {
    let group = &stored.group.id;
    let ours = app.database.metadata_outgoing(group).await?;
    if ours.peer_retired_at.is_some() {
        return Ok(alone(app, &ours, &stored.sync));
    }
    let asked = theirs(app, &ours, HeldPart::Document).await;
    let known = match &asked {
        Ok(known) => known.as_ref(),
        Err(error) => {
            let site = other_site(app, &ours);
            tracing::info!(%site, %error, "the other site does not tell what it holds");
            None
        }
    };
    let conflict = match known {
        Some(known) => conflict_now(app, &ours, known).await?,
        None => ours.conflict.clone(),
    };
    let agreed = known.is_some_and(|known| known.side.now == ours.side.now);
    let status = match &asked {
        Err(_) => UNREACHABLE,
        Ok(_) if agreed && conflict.is_none() => IN_SYNC,
        Ok(_) => OUT_OF_SYNC,
    };
    if asked.is_ok() {
        let version = known.map(|known| known.side.now.version);
        app.database.peer_version_seen(group, version).await?;
    }
    let sync = app.database.group_show_by_id(group).await?.sync;
    Ok(SyncView {
        status,
        sites: sites(app, &ours, known),
        differs: match known {
            Some(known) => differing(app, &ours, known)?,
            None => vec![],
        },
        conflict: conflict.as_ref().map(Into::into),
        last_push: last_push(&sync),
    })
}

/// What there is to say of a group whose other site is gone for good.
fn alone(app: &App, ours: &Outgoing, sync: &SyncState) -> SyncView {
    SyncView {
        status: RETIRED,
        sites: sites(app, ours, None),
        differs: vec![],
        conflict: None,
        last_push: last_push(sync),
    }
}

fn sites(app: &App, ours: &Outgoing, known: Option<&PeerMetadata>) -> Vec<SiteVersion> {
    let there = known.map(|known| &known.side.now);
    vec![
        SiteVersion {
            site: app.settings.site_name.to_string(),
            version: Some(ours.side.now.version),
            digest: Some(ours.side.now.digest.clone()),
            local: true,
        },
        SiteVersion {
            site: other_site(app, ours).to_string(),
            version: there.map(|mark| mark.version),
            digest: there.map(|mark| mark.digest.clone()),
            local: false,
        },
    ]
}

fn differing(app: &App, ours: &Outgoing, known: &PeerMetadata) -> ApiResult<Vec<String>> {
    let Some(document) = &known.document else {
        return Ok(vec![]);
    };
    let found = differs(
        &ours.document.to_masked_json()?,
        document,
        app.settings.site_name.as_str(),
        other_site(app, ours).as_str(),
    );
    let says_the_same = known.side.now.digest == ours.side.now.digest;
    Ok(match found.is_empty() && !says_the_same {
        true => vec![MASKED_DIFFERS.to_owned()],
        false => found,
    })
}

/// What differs where all that is shown to the other site is the same.
const MASKED_DIFFERS: &str =
    "what is not shown: user data of a member, the URL of a hook or the path of a probe";

/// The conflict between what both sites hold now, put on record; one that is over is taken off it.
async fn conflict_now(
    app: &App,
    ours: &Outgoing,
    known: &PeerMetadata,
) -> ApiResult<Option<Conflict>> {
    let is_paired = known.retired_at.is_none();
    if is_paired && lineage(&ours.side, &known.side) == Lineage::Conflict {
        return Ok(group_push(app).note_conflict(ours, known.held()).await?);
    }
    if ours.conflict.is_some() {
        let (id, version) = (&ours.document.group.id, ours.side.now.version);
        app.database.conflict_note(id, version, None).await?;
    }
    Ok(None)
}

fn last_push(sync: &SyncState) -> Option<PushView> {
    sync.last_result().map(|result| PushView {
        at: sync.last_push_at.map(Into::into),
        result: match result {
            PushResult::Ok => "OK",
            PushResult::Failed => "FAILED",
        },
        error: sync.error.clone(),
    })
}

/// The block rule for a change of a group: the other site must be able to hear of it, must not know something newer,
/// and nobody may have changed the group on both sites.
pub async fn require_changeable(app: &App, group: &Group) -> ApiResult<()> {
    let ours = app.database.metadata_outgoing(&group.id).await?;
    if ours.peer_retired_at.is_some() {
        return Ok(());
    }
    refuse_known_conflict(app, &ours)?;
    match theirs_or_refuse(app, &ours, HeldPart::Mark).await? {
        None => Ok(()),
        Some(known) => refuse_what_they_changed(app, &ours, &known).await,
    }
}

/// Refuses an operation on a group of which the other site knows something newer: a plan made from old metadata would
/// move servers that are not there any more. What is newer here is handed over first.
pub async fn require_in_sync(app: &App, group: &Group) -> ApiResult<()> {
    let mut ours = app.database.metadata_outgoing(&group.id).await?;
    refuse_known_conflict(app, &ours)?;
    let mut known = theirs_or_refuse(app, &ours, HeldPart::Mark).await?;
    if let Some(at) = known.as_ref().and_then(|known| known.retired_at) {
        return Err(retired_there(app, &ours, at));
    }
    let mut refusal = None;
    if !agree(&ours, known.as_ref()) {
        if let Some(known) = &known {
            refuse_what_they_changed(app, &ours, known).await?;
        }
        if let Pushed::Refused(why) = group_push(app).push(&group.id, PAUSE).await? {
            refusal = Some(why);
        }
        ours = app.database.metadata_outgoing(&group.id).await?;
        known = theirs_or_refuse(app, &ours, HeldPart::Mark).await?;
    }
    if agree(&ours, known.as_ref()) {
        return Ok(());
    }
    if let Some(known) = &known {
        refuse_what_they_changed(app, &ours, known).await?;
    }
    let theirs = known.map_or_else(
        || "none".to_owned(),
        |known| known.side.now.version.to_string(),
    );
    Err(match refusal {
        // Such as that a group there has one of the servers.
        Some(why) => ApiError::new(
            Refusal::PeerRefuses,
            format!(
                "Protection group {} is OUT OF SYNC: {} does not take its metadata over, and it is not moved until both sites agree: {why}",
                group.name,
                other_site(app, &ours)
            ),
        ),
        None => out_of_sync(app, &ours, &theirs),
    })
}

/// The refusal of what is for a lost site, whose protector is there and does not tell this one anything.
pub(super) fn turned_away(group: &Group, there: &SiteName, why: &str) -> ApiError {
    ApiError::new(
        Refusal::PeerRefuses,
        format!(
            "The protector of {there} answers, and does not tell this site what it holds of protection group {}: {why} It is not lost: do what this says; if it names no command, have its administrator look at the service user with which this site comes there ('openstack dr site show {there}' here, '[DEFAULT] peer_user_ids' there), then try again.",
            group.name
        ),
    )
}

/// Refuses an operation on a group that the other site moves at this moment, or of which it holds what this one does not know:
/// what is left over here may be the group there. What does not answer is no reason: this is for operations that follow the
/// loss of that site. What answers and refuses is there.
pub async fn refuse_what_is_newer_there(app: &App, group: &Group) -> ApiResult<()> {
    let ours = app.database.metadata_to_compare(&group.id).await?;
    if ours.peer_retired_at.is_some() {
        return Ok(());
    }
    let there = &peer::other_scope(group, &app.settings.site_name).site;
    let asked = theirs(app, &ours, HeldPart::Mark);
    let known = match peer::within(&*app.peer, there, LOST_SITE_PATIENCE, asked).await {
        Ok(Some(known)) => known,
        Err(PeerError::Refused(why)) => return Err(turned_away(group, there, &why)),
        Err(unknown @ PeerError::NotTold(_)) => {
            return Err(block_rule::not_in_sync(there, &unknown));
        }
        Ok(None) | Err(PeerError::Unreachable(_)) => return Ok(()),
    };
    match &known.moved_by {
        None => refuse_what_they_changed(app, &ours, &known).await,
        Some(operation) => Err(ApiError::new(
            Refusal::Busy,
            format!(
                "{} moves protection group {} at this moment, with operation {operation}; look at it there, and try again when it has ended.",
                other_site(app, &ours),
                group.name
            ),
        )),
    }
}

fn agree(ours: &Outgoing, known: Option<&PeerMetadata>) -> bool {
    known.is_some_and(|known| known.side.now == ours.side.now)
}

/// What the other site holds. Refuses while it does not answer, or could not be asked.
pub(super) async fn theirs_or_refuse(
    app: &App,
    ours: &Outgoing,
    part: HeldPart,
) -> ApiResult<Option<PeerMetadata>> {
    theirs(app, ours, part)
        .await
        .map_err(|error| block_rule::not_in_sync(other_site(app, ours), &error))
}

async fn refuse_what_they_changed(
    app: &App,
    ours: &Outgoing,
    known: &PeerMetadata,
) -> ApiResult<()> {
    if let Some(at) = known.retired_at {
        return Err(retired_there(app, ours, at));
    }
    match lineage(&ours.side, &known.side) {
        Lineage::Same | Lineage::NewerHere => Ok(()),
        Lineage::NewerAtPeer => Err(newer_there(app, ours, known)),
        Lineage::Conflict => match group_push(app).note_conflict(ours, known.held()).await? {
            Some(conflict) => Err(in_conflict(app, ours, &conflict)),
            None => Err(out_of_sync(app, ours, &known.side.now.version.to_string())),
        },
    }
}

/// Refuses the start of an operation on a group that was changed on both sites; one that was deleted is no matter. Asks
/// nobody but the database.
pub async fn refuse_in_conflict(app: &App, group: &GroupId) -> ApiResult<()> {
    match app.database.metadata_to_compare(group).await {
        Ok(ours) => refuse_known_conflict(app, &ours),
        Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn refuse_known_conflict(app: &App, ours: &Outgoing) -> ApiResult<()> {
    match &ours.conflict {
        None => Ok(()),
        Some(conflict) => Err(in_conflict(app, ours, conflict)),
    }
}

fn in_conflict(app: &App, ours: &Outgoing, conflict: &Conflict) -> ApiError {
    ApiError::new(
        Refusal::MetadataConflict,
        in_conflict_with(app, &ours.document.group, conflict),
    )
}

/// What a person has to know of a conflict: what each site has, since when, and the way out.
pub fn in_conflict_with(app: &App, group: &Group, conflict: &Conflict) -> String {
    group_push(app).in_conflict(group, conflict)
}

pub(super) fn retired_there(app: &App, ours: &Outgoing, at: DateTime<Utc>) -> ApiError {
    let group = &ours.document.group;
    ApiError::new(
        Refusal::SiteRetired,
        format!(
            "{there} has retired {here} at {}, and says itself where protection group {name} runs: the two do not know of each other any more. 'openstack --os-cloud {here} dr protection-group delete {name}' forgets it here and leaves its VMs; what runs here of it runs beside what runs there.",
            Timestamp(at),
            there = other_site(app, ours),
            here = app.settings.site_name,
            name = group.name,
        ),
    )
}

pub(super) fn newer_there(app: &App, ours: &Outgoing, known: &PeerMetadata) -> ApiError {
    let there = other_site(app, ours);
    ApiError::new(
        Refusal::OutOfSync,
        format!(
            "Protection group {name} is OUT OF SYNC: {there} holds newer metadata, of version {}, made from version {} of {}. It is pushed from there; try again in a moment. 'openstack dr protection-group sync-force {name}' sent to {there} pushes it at once.",
            known.side.now.version,
            ours.side.now.version,
            app.settings.site_name,
            name = ours.document.group.name,
        ),
    )
}

fn out_of_sync(app: &App, ours: &Outgoing, theirs: &str) -> ApiError {
    ApiError::new(
        Refusal::OutOfSync,
        format!(
            "Protection group {name} is OUT OF SYNC: its metadata has version {} on {} and {theirs} on {}; 'openstack dr protection-group sync-status {name}' shows when they agree, 'sync-force' sent to the site with the newer one brings them together.",
            ours.side.now.version,
            app.settings.site_name,
            other_site(app, ours),
            name = ours.document.group.name,
        ),
    )
}

/// Tells the other site that a group is about to be deleted here. The block rule holds; a change that was made there
/// and is not known here keeps the group.
pub async fn withdraw(app: &App, group: &Group) -> ApiResult<()> {
    let mut ours = app.database.metadata_outgoing(&group.id).await?;
    if ours.peer_retired_at.is_some() {
        return Ok(());
    }
    refuse_known_conflict(app, &ours)?;
    let Some(known) = theirs_or_refuse(app, &ours, HeldPart::Mark).await? else {
        return Ok(());
    };
    if known.retired_at.is_some() {
        // It knows nothing of this site any more, and goes on with its own.
        return Ok(());
    }
    if known.side.now != ours.side.now {
        require_in_sync(app, group).await?;
        ours = app.database.metadata_outgoing(&group.id).await?;
    }
    let other = peer::other_scope(group, &app.settings.site_name);
    match app.peer.withdraw(other, &group.id, &ours.side.now).await {
        Ok(()) => Ok(()),
        Err(silent @ (PeerError::Unreachable(_) | PeerError::NotTold(_))) => {
            Err(block_rule::not_in_sync(&other.site, &silent))
        }
        Err(PeerError::Refused(why)) => Err(ApiError::new(
            Refusal::PeerRefuses,
            format!("{} refused to forget the group: {why}.", other.site),
        )),
    }
}

/// Gives a group back to the other site, which was told to forget it, and which could not be deleted here after all.
pub async fn tell_again(app: &App, group: &GroupId) -> ApiResult<()> {
    let ours = match app.database.metadata_outgoing(group).await {
        Ok(ours) => ours,
        // Somebody else has deleted it.
        Err(StoreError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    group_push(app).plant(&ours, PAUSE).await?;
    Ok(())
}

/// Asks the other site to hold the group still, so that no operation can begin there between the look at its version
/// and the record of the one that begins here. What is recorded here is pushed there, and ends the reservation, unless it
/// says that the group is on its way: then it lasts for its minute, in which the engine asks for it anew.
pub async fn reserve(app: &App, group: &Group) -> ApiResult<()> {
    let other = peer::other_scope(group, &app.settings.site_name);
    let local = &app.settings.site_name;
    match app.peer.reserve(other, &group.id, group.version, local).await {
        Ok(()) => Ok(()),
        Err(silent @ (PeerError::Unreachable(_) | PeerError::NotTold(_))) => {
            Err(block_rule::not_in_sync(&other.site, &silent))
        }
        Err(PeerError::Refused(why)) => Err(ApiError::new(Refusal::PeerRefuses, format!(
            "Protection group {} is being changed or moved from {} at this moment; look at it there, and try again.",
            group.name, other.site
        ))
        .with_detail(why)),
    }
}

/// Gives the reservation back; if that fails, it ends by itself.
pub async fn release(app: &App, group: &Group) {
    let other = peer::other_scope(group, &app.settings.site_name);
    let released = app.peer.release(other, &group.id, &app.settings.site_name);
    if let Err(error) = released.await {
        tracing::info!(site = %other.site, %error, "a reservation there ends by itself");
    }
}
