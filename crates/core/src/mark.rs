//! The marks on everything that an operation makes: by them, and by ids, resources are found again. Never by name.

/// Metadata key: the operation that made the resource.
pub const OPERATION: &str = "protector:operation";

/// Metadata key: the id of the resource on the source that this one is the copy of.
pub const SOURCE: &str = "protector:source";

/// Metadata key on a test failover's copy of a server, beside the others: the same operation.
pub const TEST: &str = "protector:test";

/// The way on where a server of `site` bears the marks of a copy and is none: anybody can copy metadata.
pub fn take_off(site: &str, server: &str) -> String {
    format!(
        "if it is no copy, 'openstack --os-cloud {site} server unset --property {SOURCE} {server}' takes the mark off"
    )
}
