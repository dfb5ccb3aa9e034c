//! The key with which a site's protector signs, on the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /v1/signing-key`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SigningKeyAnswer {
    /// The key.
    pub signing_key: SigningKeyView,
}

/// The half of the key that others know.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SigningKeyView {
    /// The site whose key it is.
    #[schema(example = "site-a")]
    pub site: String,
    /// `ed25519`.
    #[schema(example = "ed25519")]
    pub algorithm: String,
    /// The key: 32 bytes in base64.
    pub public_key: String,
    /// Its fingerprint: `SHA256:` and the digest in base64 without padding.
    pub fingerprint: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}
