//! The other site's protector as a caller: whose token it is, and whose key has signed what it says.
//!
//! A token of the peer's user alone is enough only as long as no key is pinned for the site in whose name it speaks: for a
//! protector of a release that signs nothing. The sender has no say in that.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use chrono::{DateTime, SecondsFormat, Utc};
use http::request::Parts;
use protector_core::{
    id::SiteName,
    site::{Site, SiteStatus},
};
use protector_oslo::policy::{Target, rules};
use protector_peer::{
    changed_key::key_has_changed,
    message_signature::{Malformed, MessageStamp, SenderClaim},
};
use protector_store::{PeerMessage, PublicKey, StoreError};

use crate::{
    app::{App, peer_key, refusal::Refusal},
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
    },
};

/// Whoever has a token of the user as whom the other site's protector comes here.
pub struct PeerUser;

impl FromRequestParts<Arc<App>> for PeerUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = Caller::uncounted(parts, app).await?;
        app.enforce(rules::METADATA_PUSH, &caller, &Target::none())?;
        refuse_stranger(app, &caller).await?;
        Ok(Self)
    }
}

/// A role tells what somebody may do on this cloud, not who they are: what the other site's protector says is taken from
/// that one alone.
async fn refuse_stranger(app: &App, caller: &Caller) -> ApiResult<()> {
    let (user, here) = (caller.user_id(), &app.settings.site_name);
    if app.settings.peer_users.contains(user) {
        return Ok(());
    }
    let registered = app.clouds.service_user(here).await?;
    if *user == registered {
        return Ok(());
    }
    tracing::warn!(%user, "somebody spoke as the other site's protector, and is not its user here");
    Err(ApiError::new(
        Refusal::PeerNotKnown,
        format!(
            "User {user} is not the other site's protector: that comes as the service user with which {here} is registered here, or as one that an operator of {here} names in '[DEFAULT] peer_user_ids'."
        ),
    ))
}

/// The other site's protector. Settled before the body is read, which may be much larger than a tenant's; a signed body is
/// compared with its digest when it is read ([`crate::http::extract::Body`]).
pub struct PeerCaller {
    proof: Proof,
}

enum Proof {
    /// The site's key has signed this.
    Signed { by: SiteName, message: PeerMessage },
    /// There is the token of its user, and no key to compare anything with.
    TokenAlone,
}

impl FromRequestParts<Arc<App>> for PeerCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        PeerUser::from_request_parts(parts, app).await?;
        let proof = proof(parts, app).await.inspect_err(|refusal| {
            tracing::warn!(
                why = refusal.message(),
                "a call in the name of another site's protector was refused"
            );
        })?;
        Ok(Self { proof })
    }
}

async fn proof(parts: &mut Parts, app: &App) -> ApiResult<Proof> {
    let Some(claim) = SenderClaim::of(&parts.headers)? else {
        refuse_unsigned(app).await?;
        return Ok(Proof::TokenAlone);
    };
    let sender = &claim.parties.sender;
    let Some(key) = key_of(app, sender).await? else {
        return Ok(Proof::TokenAlone);
    };
    refuse_another_receiver(app, &claim)?;
    refuse_another_key(app, &claim, &key)?;
    if !claim.is_made_with(&key, &parts.method, &parts.uri, &parts.headers)? {
        return Err(ApiError::new(
            Refusal::PeerSignature,
            format!(
                "The signature of this call does not fit it: the call was changed on its way, or {sender} has not made it."
            ),
        ));
    }
    refuse_another_time(app, sender, &claim.stamp)?;
    parts.extensions.insert(claim.digest);
    Ok(Proof::Signed {
        by: sender.clone(),
        message: PeerMessage {
            // Hosts of this site whose clocks differ must not forget too early.
            forget_after: claim.stamp.created + app.settings.peer_signature_window * 2,
            nonce: claim.stamp.nonce,
        },
    })
}

impl From<Malformed> for ApiError {
    fn from(error: Malformed) -> Self {
        Self::bad_request(format!("{error}."))
    }
}

/// The key that counts for `sender`: this site's own, or the pinned one; learned now where none is.
async fn key_of(app: &App, sender: &SiteName) -> ApiResult<Option<PublicKey>> {
    if *sender == app.settings.site_name {
        return Ok(Some(app.identity().kept_key().await?.public));
    }
    match peer_key::pinned_or_learned(app, sender).await {
        Err(StoreError::NotFound { .. }) => Err(ApiError::new(
            Refusal::PeerNotKnown,
            format!(
                "Site {sender} is not registered on {}: an administrator does that with 'openstack dr site create {sender}'; the name must be the same on both.",
                app.settings.site_name
            ),
        )),
        known => Ok(known?),
    }
}

fn refuse_another_receiver(app: &App, claim: &SenderClaim) -> ApiResult<()> {
    let (meant, here) = (&claim.parties.receiver, &app.settings.site_name);
    if meant == here {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::PeerSignature,
        format!(
            "This call is signed for {meant}, this is {here}: see where the endpoint 'protector' in the catalogue of {meant} leads, and that the site is called the same on both protectors."
        ),
    ))
}

fn refuse_another_key(app: &App, claim: &SenderClaim, key: &PublicKey) -> ApiResult<()> {
    let pinned = key.fingerprint();
    if claim.fingerprint == pinned {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::PeerKeyChanged,
        key_has_changed(
            &app.settings.site_name,
            &claim.parties.sender,
            &pinned,
            &claim.fingerprint,
        ),
    ))
}

fn refuse_another_time(app: &App, sender: &SiteName, stamp: &MessageStamp) -> ApiResult<()> {
    let (now, window) = (app.clock.now(), app.settings.peer_signature_window);
    if (now - stamp.created).abs() <= window {
        return Ok(());
    }
    let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    Err(ApiError::new(
        Refusal::PeerClock,
        format!(
            "This call was signed at {} by the clock of {sender}, and it is {} by the clock of {}: more than {} s apart. Let both take their time from NTP; '[api] peer_signature_window_seconds' allows for more.",
            shown(stamp.created),
            shown(now),
            app.settings.site_name,
            window.num_seconds()
        ),
    ))
}

/// Refuses what is not signed before its body is read, where each site that it may speak for has a pinned key.
async fn refuse_unsigned(app: &App) -> ApiResult<()> {
    let keys = app.database.peer_keys().await?;
    let mut others = app.database.site_list().await?;
    others.retain(|site| is_another(app, site));
    let Some(unknown) = others.iter().find(|site| !keys.contains_key(&site.name)) else {
        let signs = others
            .first()
            .and_then(|site| keys.get_key_value(&site.name));
        return match signs {
            Some((site, pinned)) => Err(not_signed(app, site, &pinned.key)),
            None => Ok(()),
        };
    };
    tracing::debug!(site = %unknown.name, "a call is not signed; no key of this site is pinned");
    Ok(())
}

fn is_another(app: &App, site: &Site) -> bool {
    site.name != app.settings.site_name && site.status != SiteStatus::Retired
}

fn not_signed(app: &App, site: &SiteName, pinned: &PublicKey) -> ApiError {
    let here = &app.settings.site_name;
    ApiError::new(
        Refusal::PeerSignature,
        format!(
            "This call is not signed, and {here} knows that {site} signs: its key {} is pinned. A token alone is not enough. If the protector of {site} was set up with an older release, bring it to this one, or let an administrator of {here} forget the key: 'openstack dr site set {site} --forget-peer-key'.",
            pinned.fingerprint()
        ),
    )
}

impl PeerCaller {
    /// Refuses a caller who is not the protector of `site`, in whose name it speaks.
    pub async fn speaks_for(&self, app: &App, site: &SiteName) -> ApiResult<()> {
        match &self.proof {
            Proof::Signed { by, .. } if by == site => Ok(()),
            Proof::Signed { by, .. } => Err(ApiError::new(
                Refusal::PeerSignature,
                format!("This call is signed by {by}, which cannot speak for {site}."),
            )),
            Proof::TokenAlone => match app.database.peer_key(site).await {
                Ok(Some(pinned)) => Err(not_signed(app, site, &pinned.key)),
                // What comes from a site that nobody has registered is refused for that.
                Ok(None) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Refuses a caller who may be anybody, where nothing tells in whose name it speaks.
    pub async fn speaks_for_somebody(&self, app: &App) -> ApiResult<()> {
        match &self.proof {
            Proof::Signed { .. } => Ok(()),
            Proof::TokenAlone => {
                let keys = app.database.peer_keys().await?;
                let known = keys.iter().next();
                known.map_or(Ok(()), |(site, pinned)| {
                    Err(not_signed(app, site, &pinned.key))
                })
            }
        }
    }

    /// Whether this is not said again: by a proxy, or by somebody who has overheard it. What is not signed is always new.
    pub async fn is_first(&self, app: &App) -> ApiResult<bool> {
        match &self.proof {
            Proof::TokenAlone => Ok(true),
            Proof::Signed { by, message } => {
                let now = app.clock.now();
                let first = app.database.peer_message_is_first(message, now).await?;
                if !first {
                    tracing::warn!(site = %by, nonce = message.nonce, "a message is said again, and does nothing");
                }
                Ok(first)
            }
        }
    }
}
