//! What a copy on the other site would lack, because it lives where no array replicates it.
//!
//! One closed vocabulary, asked wherever it counts: when a member is added, in the readiness check, when a planned move
//! starts and right before its first stop. What would be lost for good is refused; what a copy can live without is said.
//!
//! Sources: Nova keeps ephemeral disks, swap, the NVRAM of a virtual TPM and persistent memory on the hypervisor and
//! deletes them with the server; Cinder's delete of an encrypted volume deletes its key, and its manage and unmanage are
//! closed to encrypted volumes; a port's subports hang on its trunk; devices are claimed on a host.

use std::{collections::BTreeMap, fmt};

/// What Nova says of a server, as far as it tells what is not carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTraits {
    /// Whether its root disk is made from an image and lies on its hypervisor.
    pub boots_from_image: bool,
    /// Its ephemeral disks, in GiB.
    pub ephemeral_gib: u64,
    /// Its swap disk, in MiB.
    pub swap_mib: u64,
    /// Its flavor's extra specs, where policy shows them.
    pub extra_specs: BTreeMap<String, String>,
    /// The addresses that its user has noted of it for others, `accessIPv4` and `accessIPv6`.
    pub noted_addresses: Vec<String>,
}

/// What Cinder says of a volume, as far as it tells what is not carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeTraits {
    /// Whether it has a key in the key manager.
    pub encrypted: bool,
    /// Whether several servers may have it at once.
    pub multiattach: bool,
    /// What its image says, its formats among it.
    pub image: BTreeMap<String, String>,
}

/// What Neutron says of a port, as far as it tells what is not carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortTraits {
    pub id: String,
    /// `normal`, `direct`, `macvtap` …; empty where Neutron does not say.
    pub vnic_type: String,
    /// How many subports it carries, if it is a trunk's parent.
    pub subports: Option<usize>,
    /// What is set on it otherwise than Neutron has it by itself, and no copy gets: `trusted=true`.
    pub settings: Vec<String>,
}

/// Something of a server that its copy would not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCarried {
    /// Its root disk lies on its hypervisor.
    RootFromImage,
    /// Disks on its hypervisor beside the root disk.
    EphemeralDisk {
        /// Their size in GiB.
        gib: u64,
    },
    /// Persistent memory of its hypervisor.
    PersistentMemory {
        /// The extra spec's value.
        spec: String,
    },
    /// What its virtual TPM holds: the keys of disks that its guest has sealed with it.
    VirtualTpm,
    /// A volume with a key in the key manager.
    EncryptedVolume { volume: String },
    /// A volume that several servers may write to.
    SharedVolume { volume: String },
    /// It boots from an optical medium, which its copy would get as a hard disk.
    OpticalRoot { volume: String },
    /// The subports of a trunk.
    Trunk { port: String, subports: usize },
    /// A network card that is a piece of a host's hardware.
    HardwarePort { port: String, vnic_type: String },
    /// Something that is set on a network card's port alone.
    PortSetting {
        port: String,
        /// The attribute and its value.
        setting: String,
    },
    /// A device of its host: a GPU, a PCI card, an accelerator.
    HostDevice {
        /// The extra spec that asks for it.
        spec: String,
    },
    /// Its key pair, which nobody could read.
    KeyPair { name: String },
    /// What is on its swap disk.
    SwapDisk {
        /// Its size in MiB.
        mib: u64,
    },
    /// An address of its site that its user has noted of it for others.
    NotedAddress { address: String },
}

/// What becomes of a server of which something is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is not taken up, and no planned move of it starts: its original would be deleted with the only one.
    Refused,
    /// It is told, and the copy comes up without.
    Told,
}

impl Treatment {
    /// The word in the table of the manual.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Told => "told",
        }
    }
}

/// One line of the manual's table.
struct Row {
    what: &'static str,
    seen_by: &'static str,
    lost: &'static str,
    treatment: Treatment,
    cure: &'static str,
}

impl NotCarried {
    fn row(&self) -> Row {
        let row = |what, seen_by, lost, treatment, cure| Row {
            what,
            seen_by,
            lost,
            treatment,
            cure,
        };
        use Treatment::{Refused, Told};
        match self {
            Self::RootFromImage => row(
                "a root disk made from an image",
                "`image` of the server",
                "its root disk is on its hypervisor, is not replicated and would be lost",
                Refused,
                "rebuild it on a volume",
            ),
            Self::EphemeralDisk { .. } => row(
                "an ephemeral disk",
                "`flavor.ephemeral` of the server",
                "that is on its hypervisor, is not replicated and would be lost",
                Refused,
                "move what is on it to a volume, and resize the server to a flavor without an ephemeral disk",
            ),
            Self::PersistentMemory { .. } => row(
                "persistent memory",
                "the extra spec `hw:pmem` of the flavor",
                "that is on its hypervisor, is not replicated and would be lost",
                Refused,
                "move what is in it to a volume, and resize the server to a flavor without persistent memory",
            ),
            Self::VirtualTpm => row(
                "a virtual TPM",
                "the extra spec `hw:tpm_version`, the image property `hw_tpm_version`",
                "what it holds goes with the server, and disks that the guest has sealed with it cannot be opened again",
                Refused,
                "resize the server to a flavor without hw:tpm_version, after its disks can be opened without the TPM",
            ),
            Self::EncryptedVolume { .. } => row(
                "an encrypted volume",
                "`encrypted` of the volume",
                "Cinder imports no encrypted volume, and its deletion destroys the key, so that no copy can be read again",
                Refused,
                "copy what is on it to a volume of a type without encryption",
            ),
            Self::SharedVolume { .. } => row(
                "a multi-attach volume",
                "`multiattach` of the volume",
                "another server may write to it, and it would be deleted under that one",
                Refused,
                "retype it to a type without multiattach",
            ),
            Self::OpticalRoot { .. } => row(
                "an ISO image as root disk",
                "`disk_format` among the boot volume's image metadata",
                "its copy would get that as a hard disk and might not boot",
                Refused,
                "boot the server from a volume that it is installed on",
            ),
            Self::Trunk { .. } => row(
                "a trunk of ports",
                "`trunk_details` of the port",
                "its copy would come up without these networks",
                Refused,
                "give the server a port in each of these networks instead",
            ),
            Self::HardwarePort { .. } => row(
                "a port on a host's hardware (SR-IOV)",
                "`binding:vnic_type` of the port",
                "its copy gets an ordinary network card",
                Told,
                "see that the guest has a driver for an ordinary card",
            ),
            Self::PortSetting { .. } => row(
                "a port that is set up in a special way",
                "`hints`, `mac_learning_enabled`, `numa_affinity_policy`, `propagate_uplink_status`, `trusted` of the port",
                "its copy's port has that as Neutron there has it by itself",
                Told,
                "set it on the copy's port, where policy lets you",
            ),
            Self::HostDevice { .. } => row(
                "a GPU, a PCI device or an accelerator",
                "the extra specs `pci_passthrough:alias`, `resources:VGPU`, `resources:PGPU`, `accel:device_profile` of the flavor",
                "what the device holds stays behind, and its copy has one only by its flavor there",
                Told,
                "map the flavor to one that asks for the same device there",
            ),
            Self::KeyPair { .. } => row(
                "a key pair that cannot be read",
                "`key_name` of the server, `os-keypairs` of who made it",
                "its copy has no key pair; the keys on its boot volume stay",
                Told,
                "let an administrator see why Nova does not show it, and add the server anew",
            ),
            Self::SwapDisk { .. } => row(
                "a swap disk",
                "`flavor.swap` of the server",
                "what is on it stays behind, and its copy has an empty one only by its flavor there",
                Told,
                "map the flavor to one with the same swap",
            ),
            Self::NotedAddress { .. } => row(
                "a noted address",
                "`accessIPv4`, `accessIPv6` of the server",
                "it is one of its site, and its copy has none",
                Told,
                "note the other site's on the copy, with Nova's `PUT /servers/{id}`",
            ),
        }
    }

    /// What it is, in words.
    pub fn what(&self) -> &'static str {
        self.row().what
    }

    /// Whether a server with it is refused.
    pub fn treatment(&self) -> Treatment {
        self.row().treatment
    }

    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        self.row().cure
    }

    /// One of each, for the manual.
    pub fn each() -> Vec<Self> {
        let volume = || "<volume>".to_owned();
        let port = || "<port>".to_owned();
        vec![
            Self::EncryptedVolume { volume: volume() },
            Self::RootFromImage,
            Self::EphemeralDisk { gib: 1 },
            Self::PersistentMemory {
                spec: "<label>".to_owned(),
            },
            Self::VirtualTpm,
            Self::OpticalRoot { volume: volume() },
            Self::SharedVolume { volume: volume() },
            Self::Trunk {
                port: port(),
                subports: 1,
            },
            Self::HardwarePort {
                port: port(),
                vnic_type: "direct".to_owned(),
            },
            Self::PortSetting {
                port: port(),
                setting: "trusted=true".to_owned(),
            },
            Self::HostDevice {
                spec: "<spec>".to_owned(),
            },
            Self::KeyPair {
                name: "<name>".to_owned(),
            },
            Self::SwapDisk { mib: 1 },
            Self::NotedAddress {
                address: "<address>".to_owned(),
            },
        ]
    }

    /// The manual's table of all of them.
    pub fn table() -> String {
        let mut table = "| what the server has | told by | what would be lost | so it is | the cure |\n| --- | --- | --- | --- | --- |\n".to_owned();
        for each in Self::each() {
            let Row {
                what,
                seen_by,
                lost,
                treatment,
                cure,
            } = each.row();
            table.push_str(&format!(
                "| {what} | {seen_by} | {lost} | {} | {cure} |\n",
                treatment.as_str()
            ));
        }
        table
    }
}

/// What is lost of which thing: the rest of a sentence that begins with the server.
impl fmt::Display for NotCarried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.row().lost;
        match self {
            Self::RootFromImage => write!(f, "boots from an image: {lost}"),
            Self::EphemeralDisk { gib } => write!(f, "has an ephemeral disk of {gib} GiB: {lost}"),
            Self::PersistentMemory { spec } => {
                write!(f, "has persistent memory ({spec}): {lost}")
            }
            Self::VirtualTpm => write!(f, "has a virtual TPM: {lost}"),
            Self::EncryptedVolume { volume } => {
                write!(f, "has the encrypted volume {volume}: {lost}")
            }
            Self::SharedVolume { volume } => {
                write!(f, "has the multi-attach volume {volume}: {lost}")
            }
            Self::OpticalRoot { volume } => {
                write!(f, "boots from the ISO image on volume {volume}: {lost}")
            }
            Self::Trunk { port, subports } => {
                write!(
                    f,
                    "has port {port} with a trunk of {subports} subport(s): {lost}"
                )
            }
            Self::HardwarePort { port, vnic_type } => {
                write!(f, "has port {port} of the kind {vnic_type}: {lost}")
            }
            Self::PortSetting { port, setting } => {
                write!(f, "has port {port} with {setting}: {lost}")
            }
            Self::HostDevice { spec } => write!(f, "has a device of its host ({spec}): {lost}"),
            Self::KeyPair { name } => {
                write!(
                    f,
                    "has the key pair {name}, which could not be read: {lost}"
                )
            }
            Self::SwapDisk { mib } => write!(f, "has a swap disk of {mib} MiB: {lost}"),
            Self::NotedAddress { address } => {
                write!(
                    f,
                    "has the address {address} noted of it for others: {lost}"
                )
            }
        }
    }
}

/// What is not carried of a server itself, the worst first.
pub fn of_server(server: &ServerTraits) -> Vec<NotCarried> {
    let specs = &server.extra_specs;
    let mut lost = Vec::new();
    if server.boots_from_image {
        lost.push(NotCarried::RootFromImage);
    }
    if server.ephemeral_gib > 0 {
        lost.push(NotCarried::EphemeralDisk {
            gib: server.ephemeral_gib,
        });
    }
    if let Some(spec) = specs.get("hw:pmem") {
        lost.push(NotCarried::PersistentMemory { spec: spec.clone() });
    }
    if specs.contains_key("hw:tpm_version") {
        lost.push(NotCarried::VirtualTpm);
    }
    lost.extend(
        specs
            .iter()
            .filter(|(key, _)| asks_for_a_device(key))
            .map(|(key, value)| NotCarried::HostDevice {
                spec: format!("{key}={value}"),
            }),
    );
    if server.swap_mib > 0 {
        lost.push(NotCarried::SwapDisk {
            mib: server.swap_mib,
        });
    }
    let noted = server.noted_addresses.iter().cloned();
    lost.extend(noted.map(|address| NotCarried::NotedAddress { address }));
    lost
}

/// Also in Placement's form for one of several groups: `resources1:VGPU`.
fn asks_for_a_device(key: &str) -> bool {
    if matches!(key, "pci_passthrough:alias" | "accel:device_profile") {
        return true;
    }
    match key.split_once(':') {
        Some((group, class)) => {
            group.starts_with("resources") && matches!(class, "VGPU" | "PGPU" | "FPGA")
        }
        None => false,
    }
}

/// What is not carried of one of its volumes. `label` is how people know it; `boots` whether the server boots from it.
pub fn of_volume(label: &str, boots: bool, volume: &VolumeTraits) -> Vec<NotCarried> {
    let named = || label.to_owned();
    let mut lost = Vec::new();
    if volume.encrypted {
        lost.push(NotCarried::EncryptedVolume { volume: named() });
    }
    if volume.multiattach {
        lost.push(NotCarried::SharedVolume { volume: named() });
    }
    if boots
        && volume
            .image
            .get("disk_format")
            .is_some_and(|format| format == "iso")
    {
        lost.push(NotCarried::OpticalRoot { volume: named() });
    }
    if boots && volume.image.contains_key("hw_tpm_version") {
        lost.push(NotCarried::VirtualTpm);
    }
    lost
}

/// What is not carried of one of its ports.
pub fn of_port(port: &PortTraits) -> Vec<NotCarried> {
    let id = || port.id.clone();
    let trunk = port.subports.map(|subports| NotCarried::Trunk {
        port: id(),
        subports,
    });
    let hardware = !matches!(port.vnic_type.as_str(), "" | "normal");
    let hardware = hardware.then(|| NotCarried::HardwarePort {
        port: id(),
        vnic_type: port.vnic_type.clone(),
    });
    let settings = port.settings.iter();
    let settings = settings.map(|setting| NotCarried::PortSetting {
        port: id(),
        setting: setting.clone(),
    });
    trunk.into_iter().chain(hardware).chain(settings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn refused(lost: &[NotCarried]) -> Vec<&NotCarried> {
        lost.iter()
            .filter(|lost| lost.treatment() == Treatment::Refused)
            .collect()
    }

    #[test]
    fn an_ordinary_server_is_carried_whole() {
        let specs = specs(&[("hw:cpu_policy", "dedicated"), ("resources:VCPU", "2")]);
        let ordinary = ServerTraits {
            extra_specs: specs.clone(),
            ..ServerTraits::default()
        };
        assert_eq!(of_server(&ordinary), []);
        let image = BTreeMap::from([("disk_format".to_owned(), "qcow2".to_owned())]);
        let volume = VolumeTraits {
            image,
            ..VolumeTraits::default()
        };
        assert_eq!(of_volume("v", true, &volume), []);
        for vnic_type in ["", "normal"] {
            let port = PortTraits {
                vnic_type: vnic_type.to_owned(),
                ..PortTraits::default()
            };
            assert_eq!(of_port(&port), []);
        }
    }

    #[test]
    fn what_lies_on_the_hypervisor_is_refused_by_name() {
        let server = ServerTraits {
            boots_from_image: true,
            ephemeral_gib: 20,
            swap_mib: 0,
            extra_specs: specs(&[("hw:pmem", "6GB"), ("hw:tpm_version", "2.0")]),
            noted_addresses: Vec::new(),
        };
        let lost = of_server(&server);
        assert_eq!(refused(&lost).len(), 4, "{lost:?}");
        assert!(lost[1].to_string().contains("ephemeral disk of 20 GiB"));
    }

    #[test]
    fn what_a_copy_can_live_without_is_told() {
        let server = ServerTraits {
            swap_mib: 512,
            extra_specs: specs(&[
                ("pci_passthrough:alias", "a100:1"),
                ("resources1:VGPU", "1"),
                ("accel:device_profile", "fpga"),
            ]),
            noted_addresses: vec!["192.0.2.7".to_owned()],
            ..ServerTraits::default()
        };
        let lost = of_server(&server);
        assert_eq!(lost.len(), 5, "{lost:?}");
        assert_eq!(refused(&lost), Vec::<&NotCarried>::new());
    }

    #[test]
    fn an_encrypted_a_shared_and_an_optical_volume_are_refused() {
        let bad = VolumeTraits {
            encrypted: true,
            multiattach: true,
            image: specs(&[("disk_format", "iso"), ("hw_tpm_version", "2.0")]),
        };
        assert_eq!(refused(&of_volume("v", true, &bad)).len(), 4);
        // An ISO image as a further disk is bytes like others.
        assert_eq!(of_volume("v", false, &bad).len(), 2);
    }

    #[test]
    fn a_trunk_is_refused_and_hardware_told() {
        let port = PortTraits {
            id: "p".to_owned(),
            vnic_type: "direct".to_owned(),
            subports: Some(2),
            settings: vec!["trusted=true".to_owned()],
        };
        let lost = of_port(&port);
        assert_eq!(lost.len(), 3);
        assert!(
            lost[2]
                .to_string()
                .starts_with("has port p with trusted=true: "),
            "{}",
            lost[2]
        );
        assert_eq!(refused(&lost).len(), 1);
        assert!(lost[0].to_string().contains("2 subport(s)"), "{}", lost[0]);
    }

    #[test]
    fn the_manual_has_the_table() {
        let manual = include_str!("../../../docs/tenant-guide.md");
        assert!(
            manual.contains(&NotCarried::table()),
            "docs/tenant-guide.md should have:\n{}",
            NotCarried::table()
        );
    }
}
