//! The kinds of network cards that a port can be for.

use serde_json::Value;

use crate::cloud::{
    call::text,
    reply::{Answer, neutron_error},
};

const KINDS: [&str; 11] = [
    "normal",
    "direct",
    "macvtap",
    "baremetal",
    "direct-physical",
    "virtio-forwarder",
    "smart-nic",
    "vdpa",
    "accelerator-direct",
    "accelerator-direct-physical",
    "remote-managed",
];

/// What a request says of `binding:vnic_type`, if it says anything.
pub(crate) fn asked_for(given: &Value) -> Answer<Option<&str>> {
    let Some(kind) = text(given, "binding:vnic_type") else {
        return Ok(None);
    };
    if KINDS.contains(&kind) {
        return Ok(Some(kind));
    }
    let text =
        format!("Invalid input for binding:vnic_type. Reason: {kind} is not in valid_values.");
    Err(neutron_error(400, "HTTPBadRequest", text))
}
