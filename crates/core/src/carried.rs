//! What becomes of each attribute of a server and of what belongs to it, as Nova, Cinder and Neutron show them to an
//! administrator at the microversions that are asked for.
//!
//! One list, of which the manual's page is made. Tests hold it to recorded answers of real clouds, so that no attribute is
//! forgotten when a newer release shows more.

use serde_json::Value;

/// What attributes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarriedResource {
    /// A server, as Nova shows it.
    Server,
    /// A flavor, as Nova shows it.
    Flavor,
    /// A volume, as Cinder shows it.
    Volume,
    /// A port, as Neutron shows it.
    Port,
}

impl CarriedResource {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 4] = [Self::Server, Self::Flavor, Self::Volume, Self::Port];

    /// The word that its API has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Flavor => "flavor",
            Self::Volume => "volume",
            Self::Port => "port",
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Server => "Server (Nova)",
            Self::Flavor => "Flavor (Nova)",
            Self::Volume => "Volume (Cinder)",
            Self::Port => "Port (Neutron)",
        }
    }

    fn attributes(self) -> &'static [Attribute] {
        match self {
            Self::Server => SERVER,
            Self::Flavor => FLAVOR,
            Self::Volume => VOLUME,
            Self::Port => PORT,
        }
    }
}

/// What becomes of an attribute on the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The copy has the same.
    Kept,
    /// The copy has what stands for it on the other site.
    Mapped,
    /// A server with it is not moved.
    Refused,
    /// The copy lacks it, and a finding, a warning or a fact of a step says so.
    Told,
    /// The copy lacks it, and nothing but this table says so.
    Lost,
    /// The cloud writes it: ids, times, states, places.
    Own,
}

impl Fate {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 6] = [
        Self::Kept,
        Self::Mapped,
        Self::Refused,
        Self::Told,
        Self::Lost,
        Self::Own,
    ];

    /// The words in the manual.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Mapped => "mapped",
            Self::Refused => "refused",
            Self::Told => "lost and told",
            Self::Lost => "lost",
            Self::Own => "the cloud's own",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Kept => "the copy has the same",
            Self::Mapped => "the copy has what stands for it on the other site",
            Self::Refused => "a server with it is not moved",
            Self::Told => {
                "the copy lacks it, and a finding of the check, a warning or a fact of a step says so"
            }
            Self::Lost => "the copy lacks it, and nothing but this page says so",
            Self::Own => {
                "the cloud writes it: ids, times, states, places; the other cloud writes its own"
            }
        }
    }
}

/// One attribute and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name in the cloud's JSON; one inside another after a dot.
    pub name: &'static str,
    /// What becomes of it.
    pub fate: Fate,
    pub why: &'static str,
}

use Fate::{Kept, Lost, Mapped, Own, Refused, Told};

const fn row(name: &'static str, fate: Fate, why: &'static str) -> Attribute {
    Attribute { name, fate, why }
}

const SERVER: &[Attribute] = &[
    row(
        "OS-DCF:diskConfig",
        Lost,
        "the copy has the one of Nova there",
    ),
    row(
        "OS-EXT-AZ:availability_zone",
        Own,
        "where its host is; see `pinned_availability_zone`",
    ),
    row("OS-EXT-SRV-ATTR:host", Own, ""),
    row(
        "OS-EXT-SRV-ATTR:hostname",
        Kept,
        "where Nova there takes one (2.90, with dots 2.94); else told",
    ),
    row("OS-EXT-SRV-ATTR:hypervisor_hostname", Own, ""),
    row("OS-EXT-SRV-ATTR:instance_name", Own, ""),
    row(
        "OS-EXT-SRV-ATTR:kernel_id",
        Own,
        "of the image that it was made from; a copy boots from its volume",
    ),
    row("OS-EXT-SRV-ATTR:launch_index", Own, ""),
    row(
        "OS-EXT-SRV-ATTR:ramdisk_id",
        Own,
        "of the image that it was made from; a copy boots from its volume",
    ),
    row("OS-EXT-SRV-ATTR:reservation_id", Own, ""),
    row(
        "OS-EXT-SRV-ATTR:root_device_name",
        Kept,
        "asked for as the boot volume's device; the hypervisor there may name it otherwise",
    ),
    row(
        "OS-EXT-SRV-ATTR:user_data",
        Kept,
        "given with `--user-data` where policy does not show it. The copy is a new instance to cloud-init, which runs it again: `member set --user-data omit` has it built without, and told",
    ),
    row(
        "OS-EXT-STS:power_state",
        Kept,
        "a server that was shut off is shut off again after a planned move; after an unplanned one it runs",
    ),
    row("OS-EXT-STS:task_state", Own, ""),
    row(
        "OS-EXT-STS:vm_state",
        Kept,
        "a server that was shut off is shut off again after a planned move; after an unplanned one it runs",
    ),
    row("OS-SRV-USG:launched_at", Own, ""),
    row("OS-SRV-USG:terminated_at", Own, ""),
    row(
        "accessIPv4",
        Told,
        "an address of the site, which its user has noted for others",
    ),
    row(
        "accessIPv6",
        Told,
        "an address of the site, which its user has noted for others",
    ),
    row(
        "addresses",
        Kept,
        "fixed ones as its ports' `fixed_ips`. Floating ones belong to a site: the recovery plan names what takes the place of each; one without is lost, which the check tells",
    ),
    row("config_drive", Kept, ""),
    row("created", Own, ""),
    row("description", Kept, ""),
    row("fault", Own, ""),
    row(
        "flavor",
        Mapped,
        "see the flavor, whose attributes it repeats",
    ),
    row("hostId", Own, ""),
    row("host_status", Own, ""),
    row(
        "id",
        Own,
        "the copy's is in the operation's `id_map`, the original's in its metadata",
    ),
    row(
        "image",
        Refused,
        "its root disk would be on its hypervisor, which nothing replicates",
    ),
    row(
        "key_name",
        Kept,
        "the public half is imported for the service user. One that cannot be read or imported is told",
    ),
    row("links", Own, ""),
    row(
        "locked",
        Refused,
        "a locked server can be neither stopped nor deleted",
    ),
    row("locked_reason", Refused, "goes with `locked`"),
    row("metadata", Kept, "with the marks `protector:…` beside it"),
    row("name", Kept, ""),
    row("os-extended-volumes:volumes_attached", Mapped, ""),
    row(
        "os-extended-volumes:volumes_attached.delete_on_termination",
        Told,
        "off on the copy, so that its volumes outlive it; `confirm_vms` names those that had it on. After the way back to that site it is on again there",
    ),
    row(
        "os-extended-volumes:volumes_attached.id",
        Mapped,
        "the volume's copy, in the order of the devices",
    ),
    row(
        "pinned_availability_zone",
        Kept,
        "where a zone of that name is there; else told, and Nova chooses",
    ),
    row("progress", Own, ""),
    row(
        "security_groups",
        Mapped,
        "by name, or as the recovery plan names another for the member",
    ),
    row(
        "server_groups",
        Mapped,
        "by the group's `server_group_mapping`, else one of the same name and policy, else a new one of these. Where Nova refuses one, the copy is built without, and told",
    ),
    row(
        "status",
        Kept,
        "a server that was shut off is shut off again after a planned move; after an unplanned one it runs",
    ),
    row("tags", Kept, ""),
    row("tenant_id", Mapped, "by the tenant mapping"),
    row(
        "trusted_image_certificates",
        Refused,
        "Nova takes them of servers that boot from an image alone, and these are refused",
    ),
    row("updated", Own, ""),
    row("user_id", Lost, "the service user makes the copy"),
];

const FLAVOR: &[Attribute] = &[
    row("OS-FLV-DISABLED:disabled", Own, ""),
    row(
        "OS-FLV-EXT-DATA:ephemeral",
        Refused,
        "an ephemeral disk is on the hypervisor, which nothing replicates",
    ),
    row("description", Own, ""),
    row(
        "disk",
        Mapped,
        "the same size is looked for; a mapping may name another",
    ),
    row(
        "extra_specs",
        Mapped,
        "those of the flavor there. `hw:pmem` and `hw:tpm_version` are refused, devices of a host told; others are not compared",
    ),
    row(
        "id",
        Mapped,
        "as mapped, else of the same id and size, else of the same name and size",
    ),
    row("links", Own, ""),
    row("name", Mapped, "as `id`"),
    row("os-flavor-access:is_public", Own, ""),
    row(
        "ram",
        Mapped,
        "the same size is looked for; a mapping may name another",
    ),
    row("rxtx_factor", Lost, "not compared"),
    row(
        "swap",
        Told,
        "what is on it stays behind; the copy has an empty one by its flavor there",
    ),
    row(
        "vcpus",
        Mapped,
        "the same size is looked for; a mapping may name another",
    ),
];

const VOLUME: &[Attribute] = &[
    row(
        "attachments",
        Mapped,
        "to the server's copy, on the device of the same name where the hypervisor there follows it",
    ),
    row(
        "availability_zone",
        Lost,
        "the copy is where the other site's replicated back end is",
    ),
    row("bootable", Kept, ""),
    row("cluster_name", Own, ""),
    row("consistencygroup_id", Own, "replaced by `group_id`"),
    row("consumes_quota", Own, ""),
    row("created_at", Own, ""),
    row("description", Kept, ""),
    row(
        "encrypted",
        Refused,
        "Cinder imports no encrypted volume, and its deletion destroys the key",
    ),
    row("group_id", Lost, "the copy is in no volume group of Cinder"),
    row(
        "id",
        Own,
        "the copy's is in the operation's `id_map`, the original's in its metadata",
    ),
    row("links", Own, ""),
    row("metadata", Kept, "with the marks `protector:…` beside it"),
    row("migration_status", Own, ""),
    row(
        "multiattach",
        Refused,
        "another server may write to it, and it would be deleted under that one",
    ),
    row("name", Kept, ""),
    row("os-vol-host-attr:host", Own, ""),
    row("os-vol-mig-status-attr:migstat", Own, ""),
    row("os-vol-mig-status-attr:name_id", Own, ""),
    row(
        "os-vol-tenant-attr:tenant_id",
        Mapped,
        "by the tenant mapping",
    ),
    row("provider_id", Own, ""),
    row("replication_status", Own, ""),
    row("service_uuid", Own, ""),
    row("shared_targets", Own, ""),
    row("size", Kept, "the bytes are replicated"),
    row(
        "snapshot_id",
        Lost,
        "the copy comes from no snapshot of its site",
    ),
    row(
        "source_volid",
        Lost,
        "the copy comes from no volume of its site",
    ),
    row("status", Own, ""),
    row("updated_at", Own, ""),
    row("user_id", Lost, "the service user imports the copy"),
    row(
        "volume_image_metadata",
        Kept,
        "what the image asks of the machine (firmware, buses, guest agent). What Cinder noted of the image itself (id, name, size, checksum) is lost. An ISO as root disk and a virtual TPM are refused",
    ),
    row(
        "volume_type",
        Mapped,
        "by the group's `volume_type_mapping`, else the group's type on the other site",
    ),
    row("volume_type_id", Mapped, "as `volume_type`"),
];

/// Of what a port has by a choice that no copy's gets.
const SPECIAL: &str = "the copy's port has it as Neutron there has it by itself";

const PORT: &[Attribute] = &[
    row(
        "admin_state_up",
        Kept,
        "a port that is down is made down, and never comes up",
    ),
    row(
        "allowed_address_pairs",
        Kept,
        "where policy lets the tenant choose them on the mapped network; else that is told",
    ),
    row("binding:host_id", Own, ""),
    row("binding:profile", Own, ""),
    row("binding:vif_details", Own, ""),
    row("binding:vif_type", Own, ""),
    row(
        "binding:vnic_type",
        Told,
        "the copy gets an ordinary card for one that is a piece of a host's hardware",
    ),
    row("created_at", Own, ""),
    row("data_plane_status", Own, ""),
    row(
        "description",
        Kept,
        "with our mark at its end; the end of one that is too long beside it is cut off, which is told",
    ),
    row("device_id", Mapped, "the server's copy"),
    row("device_owner", Own, ""),
    row(
        "device_profile",
        Told,
        "a device of its host, as the flavor's extra specs tell",
    ),
    row("dns_assignment", Own, ""),
    row(
        "dns_domain",
        Kept,
        "where Neutron there has one for ports, and policy lets the tenant choose it; else that is told",
    ),
    row(
        "dns_name",
        Own,
        "Nova gives the copy's port its host name where Neutron has DNS",
    ),
    row(
        "extra_dhcp_opts",
        Kept,
        "where policy lets the tenant choose them on the mapped network; else that is told",
    ),
    row(
        "fixed_ips",
        Kept,
        "all of them, where subnets of the mapped network hold them and nobody has them; for each other one a new address of the same kind, which is told. One that Neutron makes of the MAC address is not asked for",
    ),
    row("hardware_offload_type", Own, ""),
    row("hints", Told, SPECIAL),
    row("id", Own, ""),
    row("ip_allocation", Own, ""),
    row(
        "mac_address",
        Kept,
        "where policy lets the tenant choose it on the mapped network and no port has it; else that is told",
    ),
    row("mac_learning_enabled", Told, SPECIAL),
    row("name", Kept, ""),
    row("network_id", Mapped, "by the group's `network_mappings`"),
    row("numa_affinity_policy", Told, SPECIAL),
    row(
        "port_security_enabled",
        Kept,
        "where policy lets the tenant choose it on the mapped network; else as that network has it, which is told",
    ),
    row("project_id", Mapped, "by the tenant mapping"),
    row("propagate_uplink_status", Told, SPECIAL),
    row("qos_network_policy_id", Own, "of the network"),
    row(
        "qos_policy_id",
        Mapped,
        "by the group's `qos_policy_mapping`, else the one of the same name that the tenant sees there. Where there is none, or policy forbids it, the copy's port has the mapped network's, which is told",
    ),
    row("resource_request", Own, ""),
    row("revision_number", Own, ""),
    row(
        "security_groups",
        Mapped,
        "by name, or by the recovery plan's `security_groups`, which names them by name or id, for each port its own. One whose name another group of the project has too is known by its id alone. A port without any has none",
    ),
    row("status", Own, ""),
    row("tags", Kept, ""),
    row("tenant_id", Mapped, "by the tenant mapping"),
    row(
        "trunk_details",
        Refused,
        "the copy would come up without the networks of the subports",
    ),
    row("trusted", Told, SPECIAL),
    row("updated_at", Own, ""),
];

/// The table's attributes of `thing`.
pub fn attributes_of(thing: CarriedResource) -> &'static [Attribute] {
    thing.attributes()
}

/// The attributes that a cloud shows of `thing` and that the table does not know. What is inside one is looked at where the
/// table tells more than one thing of it.
pub fn unknown(thing: CarriedResource, shown: &Value) -> Vec<String> {
    let attributes = thing.attributes();
    let knows = |name: &str| attributes.iter().any(|attribute| attribute.name == name);
    let looks_inside = |name: &str| {
        attributes.iter().any(|attribute| {
            attribute
                .name
                .split_once('.')
                .is_some_and(|(outer, _)| outer == name)
        })
    };
    let mut names = Vec::new();
    for (name, value) in shown.as_object().into_iter().flatten() {
        names.push(name.clone());
        if looks_inside(name) {
            names.extend(inner(value).map(|inner| format!("{name}.{inner}")));
        }
    }
    names.retain(|name| !knows(name));
    names
}

/// An attribute that something has, and that its copy lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Its name in the cloud's JSON.
    pub name: &'static str,
    /// What it is now.
    pub value: String,
    /// Why the copy lacks it.
    pub why: &'static str,
}

/// What `shown`, a cloud's answer about a `thing`, has and its copy will lack, told or not. What every thing has, and what is
/// not set, is nothing that could be lost.
pub fn lacking(thing: CarriedResource, shown: &Value) -> Vec<Lacking> {
    let lost = |attribute: &&Attribute| matches!(attribute.fate, Lost | Told);
    let attributes = thing.attributes().iter().filter(lost);
    attributes
        .filter_map(|attribute| {
            let value = value_of(shown, attribute.name)?;
            let is_set = !is_usual(thing, attribute.name, &value);
            is_set.then(|| Lacking {
                name: attribute.name,
                value: in_words(&value),
                why: match attribute.why {
                    "" => "it is not carried",
                    why => why,
                },
            })
        })
        .collect()
}

/// The value of an attribute; of one inside the objects of a list, those that are set.
fn value_of(shown: &Value, name: &str) -> Option<Value> {
    let Some((outer, inner)) = name.split_once('.') else {
        return shown.get(name).cloned();
    };
    let objects = shown.get(outer)?.as_array()?.iter();
    let set: Vec<Value> = objects
        .filter_map(|object| object.get(inner))
        .filter(|value| !is_empty(value))
        .cloned()
        .collect();
    Some(Value::Array(set))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// What is set on a port, as Neutron shows it, otherwise than Neutron has it by itself, and that no copy gets: each attribute
/// and its value. What kind of card it is, is told by itself.
pub fn special_settings(port: &Value) -> Vec<String> {
    let special = PORT.iter().filter(|row| row.why == SPECIAL);
    special
        .filter_map(|row| {
            let value = port.get(row.name)?;
            let is_set = !is_usual(CarriedResource::Port, row.name, value);
            is_set.then(|| format!("{}={}", row.name, in_words(value)))
        })
        .collect()
}

/// Whether a value is one that nobody has chosen.
fn is_usual(thing: CarriedResource, name: &str, value: &Value) -> bool {
    let text = value.as_str();
    match (thing, name) {
        (CarriedResource::Server, "OS-DCF:diskConfig") => text == Some("MANUAL"),
        (CarriedResource::Flavor, "rxtx_factor") => value.as_f64() == Some(1.0),
        (CarriedResource::Volume, "availability_zone") => text == Some("nova"),
        // Neutron sets them, and without them a port is less than others.
        (CarriedResource::Port, "admin_state_up" | "port_security_enabled") => {
            matches!(value, Value::Bool(true) | Value::Null)
        }
        // Its default was the one and is the other by now.
        (CarriedResource::Port, "propagate_uplink_status") => {
            matches!(value, Value::Bool(_) | Value::Null)
        }
        (CarriedResource::Port, "binding:vnic_type") => text == Some("normal"),
        _ => is_empty(value),
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(in_words).collect();
            items.join(", ")
        }
        other => other.to_string(),
    }
}

/// The names inside an object, or inside the objects of a list.
fn inner(value: &Value) -> impl Iterator<Item = &String> {
    let rows = value.as_array().into_iter().flatten();
    let objects = rows.chain(std::iter::once(value));
    objects
        .filter_map(Value::as_object)
        .flat_map(serde_json::Map::keys)
}

/// What becomes of floating IPs that nothing uses any more, and how to release one by hand.
const FLOATING_IPS: &str = "\n## Floating IPs that are not needed any more\n\n\
    No move releases a floating IP: not those of the original, which lead nowhere after a move and are there for the way back, and\n\
    not one that a move has taken from an external network. Your users, your DNS and other people's firewalls may know the address, and\n\
    once it is released another project may get it. A cleanup releases those of the originals that it or its operation has deleted, only\n\
    if asked:\n\n\
    \x20   openstack dr operation cleanup <operation> --release-floating-ips --dry-run\n\
    \x20   openstack dr operation cleanup <operation> --release-floating-ips\n\n\
    It [keeps](resource-cleanup.md#floating-ips) what leads somewhere and what the recovery plan names. For any other, list what leads\n\
    nowhere and release it by hand, on each site by itself:\n\n\
    \x20   openstack --os-cloud site-a floating ip list --status DOWN\n\
    \x20   openstack --os-cloud site-a floating ip delete 203.0.113.10\n";

/// The manual's page.
pub fn page() -> String {
    let mut page = "# What a copy keeps\n\n\
        <!-- Written by make generate from crates/core/src/carried.rs; do not edit. -->\n\n\
        What becomes of each attribute of a VM and of what belongs to it, as Nova (2.96), Cinder (3.70) and Neutron show them to an\n\
        administrator. What is lost for good is refused before anything is deleted: [the tenant guide](tenant-guide.md) has the cures.\n\n"
        .to_owned();
    for fate in Fate::ALL {
        page.push_str(&format!("- *{}*: {}.\n", fate.as_str(), fate.meaning()));
    }
    for thing in CarriedResource::ALL {
        page.push_str(&format!(
            "\n## {}\n\n| attribute | on the copy | |\n| --- | --- | --- |\n",
            thing.heading()
        ));
        for Attribute { name, fate, why } in thing.attributes() {
            page.push_str(&format!("| `{name}` | {} | {why} |\n", fate.as_str()));
        }
    }
    page.push_str(FLOATING_IPS);
    page
}
