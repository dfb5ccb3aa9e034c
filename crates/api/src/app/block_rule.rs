//! The block rule: a group is changed only while its other site can hear of it.

use protector_core::id::SiteName;
use protector_peer::peer::{Peer, PeerError};

use crate::{
    app::refusal::Refusal,
    http::error::{ApiError, ApiResult},
};

/// The refusal of the block rule, word for word as operators know it.
pub const REMOTE_UNREACHABLE: &str = "Remote site unreachable — metadata sync required";

/// The block rule: refuses while the protector of `site` does not answer.
pub async fn require(peer: &dyn Peer, site: &SiteName) -> ApiResult<()> {
    peer.knows_us(site)
        .await
        .map_err(|error| not_in_sync(site, &error))
}

/// The refusal of what needs a word of the protector of `site`, which has not given it.
pub fn not_in_sync(site: &SiteName, error: &PeerError) -> ApiError {
    match error {
        PeerError::NotTold(why) => ApiError::new(Refusal::PeerSilent, format!("{why}.")),
        PeerError::Unreachable(_) | PeerError::Refused(_) => {
            ApiError::new(Refusal::PeerUnreachable, REMOTE_UNREACHABLE)
                .with_detail(format!("{site}: {error}"))
        }
    }
}
