//! Key pairs on the target. They belong to users, so the copy of a server gets one of the service user's, with the same
//! public key.

use protector_core::member::KeyPair;
use protector_openstack::{cloud::Cloud, compute::KeypairKind};

use crate::{
    action::{Cx, Stop},
    clouds::{found, stop},
};

/// The name of a key pair on the target that holds `known`'s public key; made if it is not there yet.
///
/// `None` where the public key is not known: the copy then boots without one, and the record says so.
pub(super) async fn key_pair_on_target(
    target: &Cloud,
    cx: &mut Cx<'_>,
    known: &KeyPair,
) -> Result<Option<String>, Stop> {
    let Some(public_key) = &known.public_key else {
        cx.fact(format!(
            "built without key pair {}: its public key was not readable when the member was added",
            known.name
        ));
        return Ok(None);
    };
    let own = format!("{}-{}", known.name, cx.plan().group_id);
    for name in [&known.name, &own] {
        match found(target.compute().keypair(name).await)? {
            Some(there) if same_key(&there.public_key, public_key) => {
                return Ok(Some(name.clone()));
            }
            Some(_) => {}
            None => {
                let kind = match known.kind.as_str() {
                    "x509" => KeypairKind::X509,
                    _ => KeypairKind::Ssh,
                };
                target
                    .compute()
                    .import_keypair(name, public_key, kind)
                    .await
                    .map_err(stop)?;
                return Ok(Some(name.clone()));
            }
        }
    }
    cx.fact(format!(
        "built without key pair {}: another key has that name",
        known.name
    ));
    Ok(None)
}

/// Compares type and key; the comment behind them is not part of the key.
fn same_key(a: &str, b: &str) -> bool {
    let key = |text: &str| {
        text.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    key(a) == key(b)
}
