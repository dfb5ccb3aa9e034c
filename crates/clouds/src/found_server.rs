//! A server, its ports and its key pair as Nova and Neutron show them, in the words of the domain.

use std::collections::BTreeSet;
use std::net::IpAddr;

use protector_core::confidential::Confidential;
use protector_core::mark::own_description;
use protector_core::member::AddressPair;
use protector_core::member::DhcpOption;
use protector_core::member::Flavor;
use protector_core::member::FloatingAddress;
use protector_core::member::KeyPair;
use protector_core::member::Nic;
use protector_core::member::PortSpec;
use protector_core::qos_policy::QosPolicy;
use protector_openstack::compute::Keypair;
use protector_openstack::compute::KeypairKind;
use protector_openstack::compute::NamedGroup;
use protector_openstack::compute::PortAttachment;
use protector_openstack::compute::Server;
use protector_openstack::compute::VolumeAttachment;
use protector_openstack::id::SecurityGroupId;
use protector_openstack::network::FloatingIp;
use protector_openstack::network::Port;
use protector_openstack::network::SecurityGroup;

use crate::clouds::FoundAttachment;
use crate::clouds::FoundServer;

pub(crate) fn key_pair(pair: Keypair) -> KeyPair {
    KeyPair {
        name: pair.name,
        public_key: Some(pair.public_key),
        kind: match pair.kind {
            KeypairKind::Ssh => "ssh".to_owned(),
            KeypairKind::X509 => "x509".to_owned(),
        },
    }
}

pub(crate) fn found_server(
    server: Server,
    flavor: Flavor,
    interfaces: Vec<PortAttachment>,
    attachments: Vec<VolumeAttachment>,
    neutron: &Neutron<'_>,
) -> FoundServer {
    let nics = server.in_order_of_cards(interfaces).into_iter();
    let nics = nics.map(|interface| nic(interface, neutron)).collect();
    FoundServer {
        availability_zone: server.chosen_zone().map(str::to_owned),
        status: server.status.as_str().to_owned(),
        traits: server.traits(),
        ports: neutron.ports.iter().map(Port::traits).collect(),
        security_groups: each_once(server.security_groups),
        user_data: server
            .user_data
            .map(|data| Confidential::new(data.expose())),
        description: server.description.filter(|text| !text.is_empty()),
        tags: server.tags,
        hostname: server.hostname,
        server_group: None,
        flavor,
        nics,
        attachments: attachments
            .into_iter()
            .map(|place| FoundAttachment {
                volume_id: place.volume_id,
                device: place.device.unwrap_or_default(),
                delete_on_termination: place.delete_on_termination,
                tag: place.tag,
            })
            .collect(),
        id: server.id,
        name: server.name,
        project_id: server.project_id,
        user_id: server.user_id,
        task_state: server.task_state,
        root_device: server.root_device_name,
        key_name: server.key_name,
        metadata: server.metadata,
        config_drive: server.config_drive,
    }
}

/// What Cinder writes about the image that a volume was made from. It says nothing about a machine, and a copy was not made
/// from that image.
pub(crate) fn is_of_the_image_itself(key: &str) -> bool {
    const OF_THE_IMAGE: [&str; 9] = [
        "checksum",
        "container_format",
        "disk_format",
        "image_id",
        "image_name",
        "min_disk",
        "min_ram",
        "signature_verified",
        "size",
    ];
    OF_THE_IMAGE.contains(&key)
        || key.starts_with("os_glance_")
        || key.starts_with("cinder_encryption_")
}

/// Nova lists a security group once for each port.
pub(crate) fn each_once(groups: Vec<NamedGroup>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    groups
        .into_iter()
        .map(|group| group.name)
        .filter(|name| seen.insert(name.clone()))
        .collect()
}

/// What is set on a port, as far as its own list shows it, and with the names of `groups`: no floating IPs.
pub(crate) fn port_as_listed(port: &Port, groups: &[SecurityGroup]) -> PortSpec {
    let alone = Neutron {
        ports: &[],
        groups,
        floating: &[],
        policies: &[],
    };
    port_spec(port, &alone)
}

/// What a port has beside its addresses. A group that is not known by name is kept by its id, and so is one whose name tells
/// nothing: it would stand for another group on the other site too.
pub(crate) fn port_spec(port: &Port, neutron: &Neutron<'_>) -> PortSpec {
    let named = |id: &SecurityGroupId| {
        let known = neutron.groups.iter().find(|group| group.id == *id);
        known.filter(|known| is_told_by_its_name(known, port, neutron.groups))
    };
    let name_of =
        |id: &SecurityGroupId| named(id).map_or_else(|| id.to_string(), |group| group.name.clone());
    let groups = port.security_groups.iter();
    let with_names = groups.filter_map(|id| Some((named(id)?.name.clone(), id.to_string())));
    PortSpec {
        mac_address: port.mac_address.clone(),
        security_groups: port.security_groups.iter().map(name_of).collect(),
        security_group_ids: with_names.collect(),
        port_security_enabled: port.port_security_enabled,
        allowed_address_pairs: port
            .allowed_address_pairs
            .iter()
            .map(|pair| own_mac_left_out(pair, port))
            .collect(),
        name: port.name.clone(),
        description: own_description(&port.description).to_owned(),
        tags: port.tags.clone(),
        floating_ips: neutron
            .floating
            .iter()
            .filter(|floating| floating.port_id.as_ref() == Some(&port.id))
            .filter_map(|floating| {
                Some(FloatingAddress {
                    id: Some(floating.id.clone()),
                    address: floating.floating_ip_address.parse().ok()?,
                    fixed_ip: floating.fixed_ip_address.as_ref()?.parse().ok()?,
                })
            })
            .collect(),
        admin_state: port.admin_state(),
        extra_dhcp_opts: in_order(&port.extra_dhcp_opts),
        dns_domain: port.dns_domain.clone().unwrap_or_default(),
        qos_policy: port.qos_policy_id.as_ref().map(|id| {
            let known = neutron.policies.iter().find(|policy| policy.id == *id);
            known.cloned().unwrap_or_else(|| QosPolicy {
                id: id.clone(),
                name: String::new(),
            })
        }),
    }
}

/// Neutron keeps them in none.
pub(crate) fn in_order(options: &[DhcpOption]) -> Vec<DhcpOption> {
    let mut options = options.to_vec();
    options.sort();
    options
}

/// Neutron shows the port's own MAC address where its tenant has given none: the copy's may be another.
pub(crate) fn own_mac_left_out(pair: &AddressPair, port: &Port) -> AddressPair {
    let mac = pair.mac_address.clone();
    AddressPair {
        ip_address: pair.ip_address.clone(),
        mac_address: mac.filter(|mac| *mac != port.mac_address),
    }
}

pub(crate) fn nic(interface: PortAttachment, neutron: &Neutron<'_>) -> Nic {
    let mut ports = neutron.ports.iter();
    let port = ports.find(|port| port.id == interface.port_id);
    Nic {
        port: port.map(|port| port_spec(port, neutron)),
        network_id: interface.net_id,
        tag: interface.tag,
        fixed_ips: interface
            .fixed_ips
            .iter()
            .filter_map(|ip| ip.ip_address.parse::<IpAddr>().ok())
            .collect(),
    }
}

/// What Neutron knows of a server.
pub(crate) struct Neutron<'a> {
    pub(crate) ports: &'a [Port],
    pub(crate) groups: &'a [SecurityGroup],
    pub(crate) floating: &'a [FloatingIp],
    pub(crate) policies: &'a [QosPolicy],
}

/// A project's own group is the one that a name stands for, beside those that others share with it.
fn is_told_by_its_name(group: &SecurityGroup, port: &Port, all: &[SecurityGroup]) -> bool {
    let counts_first = |other: &SecurityGroup| {
        group.project_id != port.project_id || other.project_id == port.project_id
    };
    let mut others = all.iter().filter(|other| other.id != group.id);
    !others.any(|other| other.name == group.name && counts_first(other))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(id: &str, name: &str, project: &str) -> SecurityGroup {
        serde_json::from_value(json!({"id": id, "name": name, "project_id": project})).unwrap()
    }

    #[test]
    fn a_group_whose_name_two_have_is_kept_by_its_id() {
        let groups = [
            group("1", "web", "own"),
            group("2", "web", "own"),
            group("3", "default", "own"),
            group("4", "default", "another"),
        ];
        let port: Port = serde_json::from_value(json!({
            "id": "port", "name": "", "network_id": "net", "project_id": "own", "mac_address": "fa:16:3e:00:00:01",
            "device_id": "", "device_owner": "", "status": "ACTIVE", "admin_state_up": true,
            "fixed_ips": [], "security_groups": ["1", "2", "3", "4", "5"],
        }))
        .unwrap();
        let spec = port_as_listed(&port, &groups);
        assert_eq!(spec.security_groups, ["1", "2", "default", "4", "5"]);
        let ids = [("default".to_owned(), "3".to_owned())];
        assert_eq!(spec.security_group_ids, ids.into());
    }
}
