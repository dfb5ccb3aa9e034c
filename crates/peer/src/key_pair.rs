//! The key pair with which a site's protector proves what it says to another one: Ed25519 (RFC 8032).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use protector_store::{PublicKey, StoredSigningKey};
use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use secrecy::{ExposeSecret, SecretString};

/// Why there is no key pair. Never says anything of the secret half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The operating system gave no random bytes.
    #[error("no signing key can be made: the operating system gives no random bytes")]
    Randomness,
    /// What is kept is no key.
    #[error(
        "the stored signing key is none: 'protector-manage signing-key rotate' makes a new one"
    )]
    Unreadable,
}

/// A key pair that can sign.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Makes a key pair, to be kept.
    ///
    /// # Errors
    ///
    /// `Randomness`.
    pub fn generate(now: DateTime<Utc>) -> Result<StoredSigningKey, KeyFault> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| KeyFault::Randomness)?;
        let secret = SecretString::from(STANDARD.encode(document.as_ref()));
        Ok(StoredSigningKey {
            public: pair_of(&secret)?.public,
            secret,
            created_at: now,
        })
    }

    /// The pair that is kept.
    ///
    /// # Errors
    ///
    /// `Unreadable`.
    pub fn open(kept: &StoredSigningKey) -> Result<Self, KeyFault> {
        pair_of(&kept.secret)
    }

    /// The half that others know.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of `message`, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

fn pair_of(secret: &SecretString) -> Result<SigningKey, KeyFault> {
    let document = STANDARD
        .decode(secret.expose_secret())
        .map_err(|_| KeyFault::Unreadable)?;
    let pair = Ed25519KeyPair::from_pkcs8(&document).map_err(|_| KeyFault::Unreadable)?;
    let public: [u8; 32] = pair
        .public_key()
        .as_ref()
        .try_into()
        .map_err(|_| KeyFault::Unreadable)?;
    Ok(SigningKey {
        pair,
        public: public.into(),
    })
}

/// Whether `signature` is the one that the owner of `key` has made of `message`.
pub fn is_signed_with(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key.bytes())
        .verify(message, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_signed_fits_and_only_what_it_signed() {
        let kept = SigningKey::generate(DateTime::UNIX_EPOCH).unwrap();
        let key = SigningKey::open(&kept).unwrap();
        assert_eq!(*key.public(), kept.public);
        let signature = key.sign(b"hello");
        assert!(is_signed_with(&kept.public, b"hello", &signature));
        assert!(!is_signed_with(&kept.public, b"hullo", &signature));
        let other = SigningKey::generate(DateTime::UNIX_EPOCH).unwrap();
        assert!(!is_signed_with(&other.public, b"hello", &signature));
        assert!(!is_signed_with(&kept.public, b"hello", b"short"));
    }

    #[test]
    fn what_is_kept_shows_no_secret() {
        let kept = SigningKey::generate(DateTime::UNIX_EPOCH).unwrap();
        assert!(!format!("{kept:?}").contains(kept.secret.expose_secret()));
    }
}
