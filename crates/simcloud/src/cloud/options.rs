//! What a simulated cloud is made of at the start.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Serialize};

use crate::cloud::latency::Latency;

/// Everything that makes one cloud. As JSON it is the seed file of `protector-simcloud`; members left out
/// keep the value of [`CloudOptions::default`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudOptions {
    /// Name of the cloud and of its only region.
    pub name: String,
    /// URL under which its services are found, without a slash at the end: `http://127.0.0.1:15000`.
    pub base_url: String,
    /// Seeds ids, tokens and jitter.
    pub seed: u64,
    /// What the clock reads at `SimTime` zero.
    pub epoch: DateTime<Utc>,
    /// Life of a token, in seconds.
    pub token_seconds: u64,
    /// Keep deleted servers as `SOFT_DELETED`, as Nova does with `reclaim_instance_interval` above zero.
    pub soft_delete: bool,
    /// Cinder's `host@backend#pool` of the only pool.
    pub volume_host: String,
    /// Name of the only compute host.
    pub compute_host: String,
    /// Memory of that host, in MiB; a larger flavor finds no valid host.
    pub compute_host_mib: u64,
    /// Seconds after which a silent service counts as down (`service_down_time`).
    pub service_down_seconds: u64,
    /// Whether role member may manage and unmanage volumes (Cinder's policy `volume_manage`, `volume_unmanage`).
    pub member_manages_volumes: bool,
    /// Whether role member may list compute services (Nova's policy `os-services:list`).
    pub member_lists_compute_services: bool,
    /// Whether Neutron has loaded the extensions of ports that not every cloud has: `qos`, `dns-domain-ports` …
    pub port_extensions: bool,
    pub latency: Latency,
    /// Quotas of every project until an administrator changes them; -1 is none.
    pub quotas: SimulatedQuotas,
    /// Projects, all in the domain Default.
    pub projects: Vec<String>,
    /// Users, all in the domain Default.
    pub users: Vec<UserSeed>,
    /// Further catalogue entries, such as `protector`.
    pub services: Vec<ServiceSeed>,
    pub flavors: Vec<FlavorSeed>,
    /// Images, public and active.
    pub images: Vec<ImageSeed>,
    pub networks: Vec<NetworkSeed>,
    /// Volume types with their extra specs; the first one is the default type.
    pub volume_types: Vec<TypeSeed>,
    /// Group types with their group specs.
    pub group_types: Vec<TypeSeed>,
    pub keypairs: Vec<KeypairSeed>,
    /// Servers that are `ACTIVE` from the start.
    pub servers: Vec<ServerSeed>,
}

/// Limits per project; -1 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedQuotas {
    pub instances: i64,
    pub cores: i64,
    /// Memory in MiB.
    pub ram: i64,
    pub volumes: i64,
    /// Capacity of volumes in GiB.
    pub gigabytes: i64,
    pub snapshots: i64,
    pub server_groups: i64,
    /// Servers in a server group.
    pub server_group_members: i64,
}

impl Default for SimulatedQuotas {
    fn default() -> Self {
        Self {
            instances: -1,
            cores: -1,
            ram: -1,
            volumes: -1,
            gigabytes: -1,
            snapshots: -1,
            server_groups: 10,
            server_group_members: 10,
        }
    }
}

/// A user and what it may do.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSeed {
    pub name: String,
    /// Password, in clear: simulated clouds hold no secrets.
    pub password: String,
    #[serde(default)]
    pub roles: Vec<RoleSeed>,
}

impl std::fmt::Debug for UserSeed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("UserSeed")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

/// A role in a project.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSeed {
    pub project: String,
    /// `admin`, `manager`, `member`, `reader` or `service`.
    pub role: String,
}

/// A service of the catalogue that is not part of the simulation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSeed {
    pub name: String,
    /// Type, such as `protector`.
    pub service_type: String,
    /// URL; `%(project_id)s` stands for the project's id.
    pub url: String,
}

/// A flavor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlavorSeed {
    pub name: String,
    pub vcpus: u32,
    /// Memory in MiB.
    pub ram: u64,
    /// Root disk in GiB; 0 for flavors meant for boot from volume.
    #[serde(default)]
    pub disk: u64,
    /// Ephemeral disk in GiB.
    #[serde(default)]
    pub ephemeral: u64,
    /// Swap disk in MiB.
    #[serde(default)]
    pub swap: u64,
    #[serde(default)]
    pub extra_specs: BTreeMap<String, String>,
}

/// An image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSeed {
    pub name: String,
    /// The image's first bytes; zeros follow.
    pub text: String,
    /// Size in MiB.
    pub mib: usize,
}

/// A network with its subnets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSeed {
    pub name: String,
    /// Name of the owning project.
    pub project: String,
    /// Usable by all projects.
    #[serde(default)]
    pub shared: bool,
    /// `router:external`.
    #[serde(default)]
    pub external: bool,
    /// IPv4 prefixes, one subnet each, such as `10.0.1.0/24`.
    pub cidrs: Vec<String>,
}

/// A volume type or group type with its specs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeSeed {
    pub name: String,
    /// Extra specs or group specs.
    #[serde(default)]
    pub specs: BTreeMap<String, String>,
}

/// A key pair of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeypairSeed {
    /// Name of the owner.
    pub user: String,
    /// Name of the key pair.
    pub name: String,
    /// The public key's line.
    pub public_key: String,
}

/// A server that runs from the start, booted from a volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSeed {
    /// Name; its volumes are `<name>-boot`, `<name>-data-1`, …
    pub name: String,
    pub project: String,
    pub user: String,
    pub flavor: String,
    pub network: String,
    pub volume_type: String,
    /// Size of the boot volume in GiB.
    pub boot_gib: u64,
    /// Sizes of the data volumes in GiB, in device order.
    #[serde(default)]
    pub data_gib: Vec<u64>,
    /// Image whose bytes the boot volume begins with.
    #[serde(default)]
    pub image: Option<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl Default for CloudOptions {
    /// A cloud `sim` without tenants: the administrator, the service project, one image, flavors, types.
    fn default() -> Self {
        let spec = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let flavor = |name: &str, vcpus, ram| FlavorSeed {
            name: name.to_owned(),
            vcpus,
            ram,
            disk: 0,
            ephemeral: 0,
            swap: 0,
            extra_specs: BTreeMap::new(),
        };
        Self {
            name: "sim".to_owned(),
            base_url: "http://sim.test".to_owned(),
            seed: 1,
            // Far ahead, so that no client that looks at the wall clock takes a token for expired.
            epoch: Utc
                .with_ymd_and_hms(2040, 1, 1, 0, 0, 0)
                .single()
                .unwrap_or_default(),
            token_seconds: 3600 * 4,
            soft_delete: false,
            volume_host: "sim@dir#dir".to_owned(),
            compute_host: "sim-compute-1".to_owned(),
            compute_host_mib: 8_000_000,
            service_down_seconds: 60,
            member_manages_volumes: true,
            member_lists_compute_services: true,
            port_extensions: false,
            latency: Latency::quick(),
            quotas: SimulatedQuotas::default(),
            projects: vec!["admin".to_owned(), "service".to_owned()],
            users: vec![user("admin", "admin", &[("admin", "admin")])],
            services: Vec::new(),
            flavors: vec![
                flavor("tiny", 1, 256),
                flavor("small", 1, 1024),
                flavor("medium", 2, 4096),
                flavor("large", 4, 8192),
                flavor("huge", 1, 9_000_000),
            ],
            images: vec![ImageSeed {
                name: "tiny".to_owned(),
                text: "SIMULATED-BOOT-IMAGE\n".to_owned(),
                mib: 1,
            }],
            networks: vec![NetworkSeed {
                name: "public".to_owned(),
                project: "admin".to_owned(),
                shared: false,
                external: true,
                cidrs: vec!["203.0.113.0/24".to_owned()],
            }],
            volume_types: vec![
                TypeSeed {
                    name: "plain".to_owned(),
                    specs: spec(&[("volume_backend_name", "dir")]),
                },
                TypeSeed {
                    name: "replicated".to_owned(),
                    specs: spec(&[
                        ("replication_enabled", "<is> True"),
                        ("replication_type", "<in> async"),
                        ("volume_backend_name", "dir"),
                    ]),
                },
            ],
            group_types: vec![
                TypeSeed {
                    name: "cg".to_owned(),
                    specs: spec(&[("consistent_group_snapshot_enabled", "<is> True")]),
                },
                TypeSeed {
                    name: "generic".to_owned(),
                    specs: BTreeMap::new(),
                },
            ],
            keypairs: Vec::new(),
            servers: Vec::new(),
        }
    }
}

/// A user's seed in one line.
pub fn user(name: &str, password: &str, roles: &[(&str, &str)]) -> UserSeed {
    UserSeed {
        name: name.to_owned(),
        password: password.to_owned(),
        roles: roles
            .iter()
            .map(|(project, role)| RoleSeed {
                project: (*project).to_owned(),
                role: (*role).to_owned(),
            })
            .collect(),
    }
}

impl CloudOptions {
    /// The demo's cloud: `admin`/`admin`; user `protector` (admin in project `service`); tenants `demo` and
    /// `other`, each with a user of its own name and password, role member, with a network `<tenant>-net`,
    /// a key pair `<tenant>-key`; and `demo-reader`, `demo-manager` and `demo-admin` for the other roles.
    pub fn demo(name: &str, base_url: &str) -> Self {
        let mut options = Self {
            name: name.to_owned(),
            base_url: base_url.trim_end_matches('/').to_owned(),
            volume_host: format!("{name}@dir#dir"),
            compute_host: format!("{name}-compute-1"),
            ..Self::default()
        };
        options.users.push(user(
            "protector",
            "protector",
            &[("service", "admin"), ("service", "service")],
        ));
        let octet = if name.ends_with('b') { 2 } else { 1 };
        for (place, tenant) in ["demo", "other"].into_iter().enumerate() {
            options.projects.push(tenant.to_owned());
            options
                .users
                .push(user(tenant, tenant, &[(tenant, "member")]));
            options.keypairs.push(KeypairSeed {
                user: tenant.to_owned(),
                name: format!("{tenant}-key"),
                public_key: format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDEMO {tenant}@demo"),
            });
            options.networks.push(NetworkSeed {
                name: format!("{tenant}-net"),
                project: tenant.to_owned(),
                shared: false,
                external: false,
                cidrs: vec![format!("10.{octet}{place}.0.0/24")],
            });
        }
        for role in ["reader", "manager", "admin"] {
            let name = format!("demo-{role}");
            options.users.push(user(&name, &name, &[("demo", role)]));
        }
        options
    }

    /// Adds `count` running servers of project `demo`, each with a boot volume and one data volume of
    /// 1 GiB, type `replicated`: the fleet of the benchmark.
    pub fn with_fleet(mut self, count: usize) -> Self {
        self.servers.extend((1..=count).map(|number| ServerSeed {
            name: format!("vm-{number:03}"),
            project: "demo".to_owned(),
            user: "demo".to_owned(),
            flavor: "small".to_owned(),
            network: "demo-net".to_owned(),
            volume_type: "replicated".to_owned(),
            boot_gib: 1,
            data_gib: vec![1],
            image: Some("tiny".to_owned()),
            metadata: BTreeMap::new(),
        }));
        self
    }
}
