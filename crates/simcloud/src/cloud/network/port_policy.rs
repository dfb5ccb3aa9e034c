//! What of a port only the owner of its network, or an administrator, may choose.

use serde_json::Value;
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    identity::Caller,
    network::{forbidden_attributes, need_member},
    reply::Answer,
};

/// Attributes with rules of their own, in the order in which Neutron names them; those of `PARTS` are looked at part by part.
const ATTRIBUTES: [&str; 6] = [
    "mac_address",
    "fixed_ips",
    "allowed_address_pairs",
    "binding:vnic_type",
    "binding:host_id",
    "port_security_enabled",
];

const PARTS: [&str; 2] = ["fixed_ips", "allowed_address_pairs"];

/// The attributes with rules that a request asks for: `fixed_ips(subnet_id,ip_address)`.
fn asked_for(given: &Value) -> Vec<String> {
    let asked = ATTRIBUTES.iter().filter_map(|name| {
        let value = given.get(*name)?;
        if !PARTS.contains(name) {
            return Some((*name).to_owned());
        }
        let items = value.as_array().into_iter().flatten();
        let parts: Vec<&str> = items.flat_map(parts_of).collect();
        Some(format!("{name}({})", parts.join(",")))
    });
    asked.collect()
}

/// Neutron gives each entry its parts in its own order.
fn parts_of(item: &Value) -> impl Iterator<Item = &str> {
    let known = ["subnet_id", "ip_address", "mac_address"];
    known
        .into_iter()
        .filter(move |part| item.get(*part).is_some())
}

/// What only the owner of the network may ask for.
fn is_for_owners(asked: &str) -> bool {
    let (name, parts) = asked.split_once('(').unwrap_or((asked, ""));
    match name {
        "fixed_ips" => parts.contains("ip_address"),
        "binding:vnic_type" | "binding:host_id" => false,
        _ => true,
    }
}

impl SimCloud {
    /// Whether a caller may say which addresses a port has there.
    pub(crate) fn may_choose_in(&self, caller: &Caller, network: Uuid) -> bool {
        let row = self.network.networks.get(network);
        caller.is_admin() || row.is_some_and(|row| row.project == caller.project)
    }

    /// Refuses what the caller may not ask for of a port of `network`, with all that it asks for.
    pub(crate) fn check_port_policy(
        &self,
        caller: &Caller,
        rule: &str,
        network: Uuid,
        given: &Value,
    ) -> Answer<()> {
        let asked = asked_for(given);
        let names: Vec<&str> = asked.iter().map(String::as_str).collect();
        let refused = || forbidden_attributes(rule, &names);
        if !caller.is_member() {
            return if names.is_empty() {
                need_member(caller, rule)
            } else {
                Err(refused())
            };
        }
        let owns = self.may_choose_in(caller, network);
        let for_admins = ["binding:host_id"];
        let new_mac = rule == "update_port" && names.contains(&"mac_address");
        let for_admin = names.iter().any(|name| for_admins.contains(name)) || new_mac;
        let for_owner = names.iter().any(|name| is_for_owners(name));
        if (for_admin && !caller.is_admin()) || (for_owner && !owns) {
            return Err(refused());
        }
        Ok(())
    }
}
