//! The key with which this site's protector signs, as it tells the others.

use std::sync::Arc;

use axum::{Json, extract::State};
use protector_wire::signing_key::{SigningKeyAnswer, SigningKeyView};

use crate::{
    app::App,
    http::{error::ApiResult, peer_caller::PeerUser},
};

/// Tells the other site's protector which key this one signs with. It asks over the connection that its administrators have
/// registered, when it does not know the key yet, or to see that it is still the same; a signature is not asked for, since
/// neither may know the other yet.
#[utoipa::path(get, path = "/v1/signing-key", operation_id = "signing_key_show", tag = "metadata",
    responses((status = 200, body = SigningKeyAnswer), (status = 403, description = "Not the other site's protector")))]
pub async fn show(State(app): State<Arc<App>>, _: PeerUser) -> ApiResult<Json<SigningKeyAnswer>> {
    let kept = app.identity().kept_key().await?;
    Ok(Json(SigningKeyAnswer {
        signing_key: SigningKeyView {
            site: app.settings.site_name.to_string(),
            algorithm: "ed25519".to_owned(),
            public_key: kept.public.to_string(),
            fingerprint: kept.public.fingerprint(),
            created_at: kept.created_at,
        },
    }))
}
