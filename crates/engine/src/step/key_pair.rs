//! Key pairs on the target. They belong to users, so the copy of a server gets one of the service user's, with the same
//! public key.
//!
//! A copy without its key pair runs: its boot volume has the keys of its original. So no refusal of a key pair, for a quota
//! or for a key of a kind that is no longer taken, keeps a server from being built.

use protector_core::member::KeyPair;
use protector_openstack::{
    cloud::Cloud,
    compute::KeypairKind,
    error::{CallError, ErrorClass},
};

use crate::{
    action::StepContext,
    clouds::{found, stop},
    step_error::StepError,
};

/// The name of a key pair on the target that holds `known`'s public key; made if it is not there yet.
///
/// `None` where the public key is not known, or Nova does not take it: the copy then boots without one, and the record
/// says so.
pub(super) async fn key_pair_on_target(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    known: &KeyPair,
) -> Result<Option<String>, StepError> {
    let Some(public_key) = &known.public_key else {
        cx.fact(format!(
            "built without key pair {}: its public key was not readable when the member was added",
            known.name
        ));
        return Ok(None);
    };
    let own = known.name_beside_another(&cx.plan().group_id);
    for name in [&known.name, &own] {
        match found(target.compute().keypair(name).await)? {
            Some(there) if KeyPair::is_one_key(&there.public_key, public_key) => {
                return Ok(Some(name.clone()));
            }
            Some(_) => {}
            None => {
                let kind = match known.kind.as_str() {
                    "x509" => KeypairKind::X509,
                    _ => KeypairKind::Ssh,
                };
                let intent = cx.intend_beside().await?;
                let imported = intent
                    .on(target)
                    .compute()
                    .import_keypair(name, public_key, kind)
                    .await;
                return match imported {
                    Ok(()) => Ok(Some(name.clone())),
                    Err(error) if is_refusal(&error) => {
                        cx.fact(format!("built without key pair {}: {error}", known.name));
                        Ok(None)
                    }
                    Err(error) => Err(stop(error)),
                };
            }
        }
    }
    cx.fact(format!(
        "built without key pair {}: another key has that name",
        known.name
    ));
    Ok(None)
}

fn is_refusal(error: &CallError) -> bool {
    matches!(error.class(), ErrorClass::Final | ErrorClass::Forbidden)
}
