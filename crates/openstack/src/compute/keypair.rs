//! Key pairs. They belong to users: one user cannot boot with another's.

use protector_core::id::UserId;
use serde::{Deserialize, Serialize};

/// The kind of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeypairKind {
    Ssh,
    /// An X.509 certificate.
    X509,
}

/// The public half of a key pair.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Keypair {
    /// Its name, unique for its user.
    pub name: String,
    pub public_key: String,
    pub fingerprint: String,
    /// Its kind (2.2).
    #[serde(rename = "type")]
    pub kind: KeypairKind,
    /// Its user; lists leave it out.
    #[serde(default)]
    pub user_id: Option<UserId>,
}
