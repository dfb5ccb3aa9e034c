//! Whether both sites have the same metadata of a group, and bringing the other site up to date at once.

use chrono::Duration;
use protector_core::group::Group;
use protector_store::{PushResult, StoredGroup, SyncState};

use super::App;
use crate::{
    error::{ApiError, ApiResult},
    peer::{self, PeerError},
    wire::metadata::{NewMetadata, PushView, SiteVersion, SyncView},
};

pub(super) const IN_SYNC: &str = "IN SYNC";
const OUT_OF_SYNC: &str = "OUT OF SYNC";
pub(super) const UNREACHABLE: &str = "UNREACHABLE";

/// How long the engine leaves a group alone whose push by hand has failed.
const PAUSE_SECONDS: i64 = 30;

/// The sync word of a group as the last push left it, without asking the other site.
pub fn status_word(sync: &SyncState, version: u64) -> &'static str {
    if sync.pushed_version >= version {
        IN_SYNC
    } else {
        OUT_OF_SYNC
    }
}

/// Asks the other site and compares.
pub async fn compare(app: &App, stored: &StoredGroup) -> ApiResult<SyncView> {
    let group = &stored.group;
    let other = peer::other_scope(group, &app.settings.site_name);
    let theirs = app.peer.version(other, &group.id).await;
    let status = match &theirs {
        Ok(Some(version)) if *version == group.version => IN_SYNC,
        Ok(_) => OUT_OF_SYNC,
        Err(_) => UNREACHABLE,
    };
    let version = match theirs {
        Ok(version) => {
            app.database.peer_version_seen(&group.id, version).await?;
            version
        }
        Err(error) => {
            tracing::info!(site = %other.site, %error, "the other site does not tell its version");
            None
        }
    };
    Ok(SyncView {
        status,
        sites: vec![
            SiteVersion {
                site: app.settings.site_name.to_string(),
                version: Some(group.version),
                local: true,
            },
            SiteVersion {
                site: other.site.to_string(),
                version,
                local: false,
            },
        ],
        last_push: last_push(&stored.sync),
    })
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

/// Pushes a group's metadata now and notes how that went.
pub async fn push(app: &App, group: &Group) -> ApiResult<()> {
    let document = app.database.metadata_document(&group.id).await?;
    // The version and the document are of one moment; the group may have moved on since the caller read it.
    let version = document.group.version;
    let metadata = NewMetadata {
        version,
        origin_site: app.settings.site_name.to_string(),
        document: document.to_json()?,
    };
    let other = peer::other_scope(group, &app.settings.site_name);
    let now = app.clock.now();
    match app.peer.push(other, &group.id, &metadata).await {
        Ok(_) => app.database.push_done(&group.id, version, now).await?,
        Err(error) => {
            let next = now + Duration::seconds(PAUSE_SECONDS);
            let text = error.to_string();
            app.database
                .push_failed(&group.id, &text, now, next)
                .await?;
        }
    }
    Ok(())
}

/// Refuses an operation on a group of which the other site knows something newer: a plan made from old metadata would
/// move servers that are not there any more. What is newer here is handed over first.
pub async fn require_in_sync(app: &App, group: &Group) -> ApiResult<()> {
    let mut theirs = version_there(app, group).await?;
    if theirs.is_none_or(|version| version < group.version) {
        push(app, group).await?;
        theirs = version_there(app, group).await?;
    }
    if theirs == Some(group.version) {
        return Ok(());
    }
    let other = &peer::other_scope(group, &app.settings.site_name).site;
    let theirs = theirs.map_or_else(|| "none".to_owned(), |version| version.to_string());
    Err(ApiError::conflict(format!(
        "Protection group {name} is OUT OF SYNC: its metadata has version {} on {} and {theirs} on {other}; 'openstack dr protection-group sync-status {name}' shows when they agree, 'sync-force' sent to the site with the newer one brings them together.",
        group.version,
        app.settings.site_name,
        name = group.name,
    )))
}

async fn version_there(app: &App, group: &Group) -> ApiResult<Option<u64>> {
    let other = peer::other_scope(group, &app.settings.site_name);
    let version = app.peer.version(other, &group.id).await;
    version.map_err(|error| {
        ApiError::conflict(peer::REMOTE_UNREACHABLE).with_detail(format!("{}: {error}", other.site))
    })
}

/// Tells the other site that a group is about to be deleted here. The block rule holds.
pub async fn withdraw(app: &App, group: &Group) -> ApiResult<()> {
    let other = peer::other_scope(group, &app.settings.site_name);
    match app.peer.withdraw(other, &group.id).await {
        Ok(()) => Ok(()),
        Err(PeerError::Unreachable(why)) => {
            Err(ApiError::conflict(peer::REMOTE_UNREACHABLE).with_detail(why))
        }
        Err(PeerError::Refused(why)) => Err(ApiError::conflict(format!(
            "{} refused to forget the group: {why}.",
            other.site
        ))),
    }
}

/// Asks the other site to hold the group still, so that no operation can begin there between the look at its version
/// and the record of the one that begins here. What is recorded here is pushed there, and ends the reservation.
pub async fn reserve(app: &App, group: &Group) -> ApiResult<()> {
    let other = peer::other_scope(group, &app.settings.site_name);
    let local = &app.settings.site_name;
    match app.peer.reserve(other, &group.id, group.version, local).await {
        Ok(()) => Ok(()),
        Err(PeerError::Unreachable(why)) => {
            Err(ApiError::conflict(peer::REMOTE_UNREACHABLE).with_detail(why))
        }
        Err(PeerError::Refused(why)) => Err(ApiError::conflict(format!(
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
