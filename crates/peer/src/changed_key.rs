//! What is said when another key speaks for a site.

use protector_core::id::SiteName;

/// Why the key of `site` is not believed, said on `here`.
pub fn key_has_changed(here: &SiteName, site: &SiteName, pinned: &str, told: &str) -> String {
    format!(
        "The signing key of {site} has changed: it signs with {told}, and {pinned} is pinned on {here}. If that was done on purpose ('protector-manage signing-key show' on {site} prints the same), an administrator of {here} says so: 'openstack dr site set {site} --peer-key {told}'. If not, somebody else may speak for {site}."
    )
}
