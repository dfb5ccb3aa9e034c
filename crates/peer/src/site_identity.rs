//! Who this site is to the protectors of others: its name, and the key with which it signs what it says.

use std::sync::Arc;

use http::HeaderMap;
use protector_core::{clock::Clock, id::SiteName, new_id::Ids};
use protector_openstack::message_signer::{MessageSigner, UnsignedMessage};
use protector_store::{Database, StoreError, StoredSigningKey};

use crate::{
    key_pair::{KeyFault, SigningKey},
    message_signature::{MessageStamp, Parties, sign},
};

/// Why this site cannot say who it is. Nothing is known of another one by that.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// The key cannot be read or kept.
    #[error("this site's signing key cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] KeyFault),
}

/// This site, as it shows itself to others. Cheap to clone.
#[derive(Clone)]
pub struct SiteIdentity {
    /// Where the key is kept, which all hosts of the site share.
    pub database: Database,
    pub site: SiteName,
    /// When a message is signed.
    pub clock: Arc<dyn Clock>,
    /// What tells messages apart.
    pub ids: Arc<dyn Ids>,
}

impl SiteIdentity {
    /// The key as it is kept. The first who needs it makes it; of two hosts that do at once, one's counts for both.
    ///
    /// # Errors
    ///
    /// See [`IdentityError`].
    pub async fn kept_key(&self) -> Result<StoredSigningKey, IdentityError> {
        if let Some(kept) = self.database.signing_key().await? {
            return Ok(kept);
        }
        let made = SigningKey::generate(self.clock.now())?;
        let kept = self.database.signing_key_begin(&made).await?;
        tracing::info!(fingerprint = kept.public.fingerprint(), "signing key made");
        Ok(kept)
    }

    /// Signs with a new key from now on. The other sites have to be told of it.
    ///
    /// # Errors
    ///
    /// See [`IdentityError`].
    pub async fn new_key(&self) -> Result<StoredSigningKey, IdentityError> {
        let made = SigningKey::generate(self.clock.now())?;
        self.database.signing_key_replace(&made).await?;
        Ok(made)
    }

    /// What signs messages to `receiver`. The key is read each time, so that a new one is used at once.
    ///
    /// # Errors
    ///
    /// See [`IdentityError`].
    pub async fn signer(
        &self,
        receiver: &SiteName,
    ) -> Result<Arc<dyn MessageSigner>, IdentityError> {
        Ok(Arc::new(Signer {
            key: SigningKey::open(&self.kept_key().await?)?,
            parties: Parties {
                sender: self.site.clone(),
                receiver: receiver.clone(),
            },
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        }))
    }
}

struct Signer {
    key: SigningKey,
    parties: Parties,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl MessageSigner for Signer {
    fn sign(&self, message: &UnsignedMessage<'_>) -> Result<HeaderMap, String> {
        let stamp = MessageStamp {
            created: self.clock.now(),
            nonce: self.ids.uuid().to_string(),
        };
        sign(message, &self.parties, &stamp, &self.key).map_err(|error| error.to_string())
    }
}
