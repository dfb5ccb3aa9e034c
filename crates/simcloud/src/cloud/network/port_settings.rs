//! What a request says of a port, checked as Neutron checks it.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::Value;
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{boolean, text, uuid_of},
    identity::Caller,
    network::missing,
    reply::{Answer, Reply, neutron_error},
};

fn bad(why: String) -> Box<Reply> {
    neutron_error(400, "HTTPBadRequest", why)
}

fn invalid(field: &str, why: &str) -> Box<Reply> {
    bad(format!("Invalid input for {field}. Reason: {why}."))
}

/// Refuses a MAC address that is none.
pub(crate) fn check_mac(given: &Value) -> Answer<()> {
    let Some(mac) = text(given, "mac_address") else {
        return Ok(());
    };
    let parts: Vec<&str> = mac.split(':').collect();
    let is_byte = |part: &&str| part.len() == 2 && u8::from_str_radix(part, 16).is_ok();
    if parts.len() == 6 && parts.iter().all(is_byte) {
        return Ok(());
    }
    Err(invalid(
        "mac_address",
        &format!("'{mac}' is not a valid MAC address"),
    ))
}

/// Refuses addresses that are none, and one that is asked for twice.
pub(crate) fn check_fixed_ips(given: &Value) -> Answer<()> {
    let mut seen = BTreeSet::new();
    let items = given.get("fixed_ips").and_then(Value::as_array);
    for address in items
        .into_iter()
        .flatten()
        .filter_map(|item| text(item, "ip_address"))
    {
        if address.parse::<IpAddr>().is_err() {
            let why = format!("'{address}' is not a valid IP address");
            return Err(invalid("fixed_ips", &why));
        }
        if !seen.insert(address) {
            let why = format!("Duplicate IP address '{address}'");
            return Err(invalid("fixed_ips", &why));
        }
    }
    Ok(())
}

/// The allowed address pairs of a request, if it says anything of them.
pub(crate) fn wanted_pairs(given: &Value) -> Answer<Option<Vec<Value>>> {
    let Some(pairs) = given.get("allowed_address_pairs").and_then(Value::as_array) else {
        return Ok(None);
    };
    let mut seen = BTreeSet::new();
    for pair in pairs {
        let Some(address) = text(pair, "ip_address") else {
            let text = "AllowedAddressPair must contain ip_address";
            return Err(neutron_error(400, "AllowedAddressPairsMissingIP", text));
        };
        let plain = address.split_once('/').map_or(address, |(plain, _)| plain);
        if plain.parse::<IpAddr>().is_err() {
            return Err(bad(format!("'{address}' is not a valid IP address")));
        }
        let mac = text(pair, "mac_address").unwrap_or("None");
        if !seen.insert((mac, address)) {
            let text = format!(
                "Request contains duplicate address pair: mac_address {mac} ip_address {address}."
            );
            return Err(neutron_error(400, "DuplicateAddressPairInRequest", text));
        }
    }
    Ok(Some(pairs.clone()))
}

/// Refuses pairs on a port without port security.
pub(crate) fn check_pairs(has_security: bool, pairs: &[Value]) -> Answer<()> {
    if has_security || pairs.is_empty() {
        return Ok(());
    }
    let text = "Port Security must be enabled in order to have allowed address pairs on a port.";
    Err(neutron_error(
        409,
        "AddressPairAndPortSecurityRequired",
        text,
    ))
}

impl SimCloud {
    /// The security groups of a request by their ids, if it says anything of them.
    pub(crate) fn wanted_port_groups(
        &self,
        caller: &Caller,
        given: &Value,
    ) -> Answer<Option<Vec<Uuid>>> {
        let Some(list) = given.get("security_groups").and_then(Value::as_array) else {
            return Ok(None);
        };
        let ids = list.iter().filter_map(Value::as_str).map(|wanted| {
            if uuid_of(wanted).is_none() {
                let why = format!("'{wanted}' is not a valid UUID");
                return Err(invalid("security_groups", &why));
            }
            self.network
                .group_for_ports(caller.project, wanted)
                .map(|group| group.id)
                .ok_or_else(|| missing("SecurityGroup", wanted))
        });
        ids.collect::<Answer<Vec<Uuid>>>().map(Some)
    }

    /// The groups of a new port: `default` where the request says nothing, and none without port security.
    pub(crate) fn groups_of_new_port(&self, caller: &Caller, given: &Value) -> Answer<Vec<Uuid>> {
        let wanted = self.wanted_port_groups(caller, given)?;
        let has_security = boolean(given, "port_security_enabled").unwrap_or(true);
        match wanted {
            Some(groups) if !groups.is_empty() && !has_security => {
                let text = "Port security must be enabled and port must have an IP address in order to use security \
                            groups.";
                let kind = "PortSecurityAndIPRequiredForSecurityGroups";
                Err(neutron_error(400, kind, text))
            }
            Some(groups) => Ok(groups),
            None if !has_security => Ok(Vec::new()),
            None => {
                let default = self.network.group(caller.project, "default");
                Ok(default.map(|group| group.id).into_iter().collect())
            }
        }
    }

    /// What a request changes of a port's addresses, groups and security.
    pub(crate) fn change_port_settings(
        &mut self,
        caller: &Caller,
        id: Uuid,
        given: &Value,
    ) -> Answer<()> {
        check_fixed_ips(given)?;
        let groups = self.wanted_port_groups(caller, given)?;
        let pairs = wanted_pairs(given)?;
        let Some(mut port) = self.network.ports.get(id).cloned() else {
            return Ok(());
        };
        port.port_security = boolean(given, "port_security_enabled").unwrap_or(port.port_security);
        port.groups = groups.unwrap_or(port.groups);
        port.pairs = pairs.unwrap_or(port.pairs);
        if !port.port_security && !port.groups.is_empty() {
            let text = "Port has security group associated. Cannot disable port security or IP address until \
                        security group is removed.";
            return Err(neutron_error(409, "PortSecurityPortHasSecurityGroup", text));
        }
        check_pairs(port.port_security, &port.pairs)?;
        if let Some(list) = given.get("fixed_ips").and_then(Value::as_array) {
            let others = list.iter().filter(|item| {
                let asked = text(item, "ip_address").and_then(|ip| ip.parse::<IpAddr>().ok());
                !asked.is_some_and(|ip| port.fixed_ips.iter().any(|(_, held)| *held == ip))
            });
            let others: Vec<Value> = others.cloned().collect();
            let kept = port.fixed_ips.iter().filter(|(_, held)| {
                let held = held.to_string();
                list.iter()
                    .any(|item| text(item, "ip_address") == Some(held.as_str()))
            });
            let mut addresses: Vec<(Uuid, IpAddr)> = kept.copied().collect();
            addresses.extend(self.wanted_addresses(port.network, &others, &port.mac)?);
            port.fixed_ips = in_order(addresses);
        }
        if let Some(kept) = self.network.ports.get_mut(id) {
            *kept = port;
        }
        Ok(())
    }
}

/// Addresses as Neutron lists them: by their texts.
pub(crate) fn in_order(mut addresses: Vec<(Uuid, IpAddr)>) -> Vec<(Uuid, IpAddr)> {
    addresses.sort_by_key(|(_, address)| address.to_string());
    addresses.dedup();
    addresses
}
