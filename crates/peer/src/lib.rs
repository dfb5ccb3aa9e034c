//! The protocol between the protectors of two sites: who the peer is, what each holds of a group, and how it is told.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod changed_key;
pub mod differences;
pub mod group_push;
pub mod key_pair;
pub mod message_signature;
pub mod openstack_peer;
pub mod operation_push;
pub mod peer;
pub mod peer_protector;
pub mod site_identity;
