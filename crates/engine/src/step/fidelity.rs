//! Whether a copy is as its original was, in what tenants set.

use protector_core::{
    member::Member,
    member_settings::{Difference, ServerSettings},
};
use protector_openstack::compute::Server;

/// A fact for each setting in which `copy` is not as its original was when it was read last.
pub(super) fn differences(member: &Member, copy: &Server) -> Vec<String> {
    let was = ServerSettings::known(member);
    let mut is = copy.settings();
    if was.addresses.is_empty() {
        // It had none that anybody knew of, and any will do.
        is.addresses.clear();
    }
    was.compared(&is)
        .into_iter()
        .map(|Difference { what, was, is }| {
            format!("the copy is not as its original in its {what}: {is}, before: {was}")
        })
        .collect()
}
