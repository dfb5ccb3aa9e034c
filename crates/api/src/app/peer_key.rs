//! The keys of the other sites' protectors: learned over the registered connection, pinned, and changed only when an
//! administrator says so.

use protector_core::id::SiteName;
use protector_peer::peer::PeerError;
use protector_store::{PublicKey, StoreError};

use super::App;
use crate::{
    app::refusal::Refusal,
    http::error::{ApiError, ApiResult},
};

/// What to do with the key of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerKeyChange {
    /// Pin the one with this fingerprint, if the site's protector tells it.
    Pin(String),
    /// Pin none, until it is learned anew.
    Forget,
}

/// The key that is pinned for `site`; one that is learned now where none is. `None` while its protector does not answer, or
/// tells none: then nobody can be told from it by a key.
///
/// # Errors
///
/// `NotFound` for a site that is not registered.
pub async fn pinned_or_learned(
    app: &App,
    site: &SiteName,
) -> Result<Option<PublicKey>, StoreError> {
    if let Some(pinned) = app.database.peer_key(site).await? {
        return Ok(Some(pinned.key));
    }
    match app.peer.key_told(site).await {
        Ok(Some(told)) => {
            let now = app.clock.now();
            let kept = app.database.peer_key_pin(site, &told, now).await?;
            tracing::info!(%site, fingerprint = kept.fingerprint(), "key of another site's protector pinned");
            Ok(Some(kept))
        }
        Ok(None) => Ok(None),
        Err(why) => {
            tracing::info!(%site, %why, "the key of another site's protector is not known yet");
            Ok(None)
        }
    }
}

/// Pins or forgets the key of `site`, as an administrator says. Returns the fingerprint that is pinned then.
///
/// # Errors
///
/// 400 for this site itself; 409 when its protector tells another key; 503 when it does not answer.
pub async fn change(
    app: &App,
    site: &SiteName,
    change: &PeerKeyChange,
) -> ApiResult<Option<String>> {
    if *site == app.settings.site_name {
        return Err(ApiError::bad_request(format!(
            "site.peer_key: {site} is this site, whose own key an operator changes with 'protector-manage signing-key rotate'."
        )));
    }
    let wanted = match change {
        PeerKeyChange::Forget => {
            app.database.peer_key_forget(site).await?;
            return Ok(None);
        }
        PeerKeyChange::Pin(wanted) => wanted,
    };
    let told = app.peer.key_told(site).await.map_err(not_told)?;
    match told {
        Some(told) if told.fingerprint() == *wanted => {
            let now = app.clock.now();
            app.database.peer_key_replace(site, &told, now).await?;
            Ok(Some(wanted.clone()))
        }
        Some(told) => Err(ApiError::new(
            Refusal::PeerKeyDiffers,
            format!(
                "site.peer_key: the protector of {site} signs with {}, not with {wanted}. Compare with what 'protector-manage signing-key show' prints there.",
                told.fingerprint()
            ),
        )),
        None => Err(ApiError::new(
            Refusal::PeerKeyDiffers,
            format!(
                "site.peer_key: the protector of {site} is of a release that signs nothing: bring it to this one, or forget its key with 'openstack dr site set {site} --forget-peer-key'."
            ),
        )),
    }
}

fn not_told(error: PeerError) -> ApiError {
    let field = "site.peer_key: the key is asked of the site's protector, which";
    match error {
        PeerError::Unreachable(why) => ApiError::new(
            Refusal::PeerSilent,
            format!("{field} does not answer: {why}"),
        ),
        PeerError::NotTold(why) => {
            ApiError::new(Refusal::PeerSilent, format!("site.peer_key: {why}"))
        }
        PeerError::Refused(why) => ApiError::new(
            Refusal::PeerRefuses,
            format!("{field} does not tell it: {why}"),
        ),
    }
}
