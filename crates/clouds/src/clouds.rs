//! The clouds of the registered sites, as far as the API and the reconcilers ask them something.
//!
//! A port in the domain's words, so that handlers can be tested with plain values. [`crate::openstack_clouds`] is the
//! one that speaks HTTP.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

use async_trait::async_trait;
use protector_core::comparison::Shown;
use protector_core::comparison::ThereSeen;
use protector_core::confidential::Confidential;
use protector_core::group::ReplicationType;
use protector_core::id::FlavorId;
use protector_core::id::NetworkId;
use protector_core::id::ProjectId;
use protector_core::id::ServerId;
use protector_core::id::SiteName;
use protector_core::id::UserId;
use protector_core::id::VolumeId;
use protector_core::member::Flavor;
use protector_core::member::KeyPair;
use protector_core::member::Nic;
use protector_core::not_carried::PortTraits;
use protector_core::not_carried::ServerTraits;
use protector_core::not_carried::VolumeTraits;
use protector_core::orphan::CloudResource;
use protector_core::qos_policy::QosPolicy;
use protector_core::readiness::Asked;
use protector_core::readiness::Silence;
use protector_core::readiness::SourceSeen;
use protector_core::readiness::TargetSeen;
use protector_core::runbook::resource::ResourceKind;
use protector_core::server_group::ServerGroup;
use protector_core::site::Site;
use protector_core::site::SiteScope;
use protector_core::storage::CinderVolume;
use protector_openstack::compute::NovaFlavor;
use protector_openstack::network::FloatingIp;
use protector_openstack::network::SecurityGroup;
use secrecy::SecretString;
use tokio::sync::OnceCell;

/// Why a cloud did not tell what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// It does not answer, or answered 5xx until the patience ran out.
    #[error("{site} does not answer: {why}")]
    Unreachable {
        site: SiteName,
        /// The last thing that was heard.
        why: String,
    },
    /// It refused. The text has the cloud's words, its HTTP status and its request id.
    #[error("{site} refused: {why}")]
    Refused { site: SiteName, why: String },
    /// Nobody knows, and it is not silent either: this side cannot ask it, or it is there and has no time or no trust. So it is
    /// not lost.
    #[error("nobody knows what {site} says: {why}")]
    NotTold {
        site: SiteName,
        /// What is in the way, and what to do about it.
        why: String,
    },
}

/// A server as its cloud shows it to a member of its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundServer {
    pub id: ServerId,
    pub name: String,
    pub project_id: ProjectId,
    /// Who made it, and so whose its key pair is.
    pub user_id: Option<UserId>,
    pub status: String,
    /// What Nova is doing with it.
    pub task_state: Option<String>,
    /// What tells that something of it is not carried.
    pub traits: ServerTraits,
    /// The same of its ports.
    pub ports: Vec<PortTraits>,
    /// The device that it boots from, `/dev/vda`.
    pub root_device: Option<String>,
    pub flavor: Flavor,
    /// Its network cards, in order.
    pub nics: Vec<Nic>,
    /// Names of its security groups, each once.
    pub security_groups: Vec<String>,
    /// Its key pair's name.
    pub key_name: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Its user data, where the cloud shows it.
    pub user_data: Option<Confidential>,
    /// The availability zone that its user chose.
    pub availability_zone: Option<String>,
    /// Whether it has a config drive.
    pub config_drive: bool,
    pub description: Option<String>,
    pub tags: Vec<String>,
    /// Its host name inside.
    pub hostname: Option<String>,
    pub server_group: Option<ServerGroup>,
    pub attachments: Vec<FoundAttachment>,
}

/// The lists of one project that belong to reading its servers, each read once, by who needs it first: a group of hundreds of
/// servers costs no more lists than one of two.
#[derive(Debug, Default)]
pub struct ProjectLists {
    pub(crate) flavors: OnceCell<Vec<NovaFlavor>>,
    pub(crate) security_groups: OnceCell<Vec<SecurityGroup>>,
    pub(crate) floating_ips: OnceCell<Vec<FloatingIp>>,
    pub(crate) qos_policies: OnceCell<Vec<QosPolicy>>,
}

/// What the copies of servers would ask a site for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedThere {
    /// The flavors that their own are mapped to.
    pub flavors: BTreeSet<FlavorId>,
    /// The networks of their cards.
    pub networks: BTreeSet<NetworkId>,
    /// Their addresses, each with its network.
    pub addresses: Vec<(NetworkId, IpAddr)>,
}

/// A volume's place in a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAttachment {
    pub volume_id: VolumeId,
    pub device: String,
    /// Whether Nova deletes it with the server.
    pub delete_on_termination: bool,
    /// The tag by which the guest finds it.
    pub tag: Option<String>,
}

/// A volume as its cloud shows it to a member of its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVolume {
    pub id: VolumeId,
    /// Its name; empty where it has none.
    pub name: String,
    /// Its size in GiB.
    pub size_gib: u64,
    /// Its volume type's name.
    pub volume_type: Option<String>,
    /// Its volume type's id, where Cinder shows it (3.63).
    pub volume_type_id: Option<String>,
    /// What tells that something of it is not carried.
    pub traits: VolumeTraits,
    pub metadata: BTreeMap<String, String>,
    /// What its image asks of the machine that boots it.
    pub image_properties: BTreeMap<String, String>,
    pub description: Option<String>,
    /// Whether Cinder lets a server boot from it.
    pub bootable: Option<bool>,
    /// The id in its object's name, where Cinder shows it and it is another one.
    pub name_id: Option<VolumeId>,
    /// Its `host@backend#pool`, where Cinder shows it.
    pub host: Option<String>,
}

impl FoundVolume {
    /// All that leads its array to the object behind it.
    pub fn in_cinder(&self) -> CinderVolume {
        CinderVolume {
            id: self.id.clone(),
            name_id: self.name_id.clone(),
            host: self.host.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

/// A volume type as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVolumeType {
    pub id: String,
    pub name: String,
    pub extra_specs: BTreeMap<String, String>,
}

/// What was found of one service of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceFinding {
    /// Its newest microversion, where it has them, and its URL.
    Answers {
        /// `2.96`; `None` for services without microversions.
        newest: Option<(u32, u32)>,
        /// The endpoint in the catalogue.
        url: String,
    },
    /// The catalogue does not have it for the site's region and interface.
    NotInCatalog,
    /// It is in the catalogue, and does not answer.
    Silent {
        /// What was heard instead.
        why: String,
    },
}

/// What a site shows to the service user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteInspection {
    /// Names of the service user's roles in its project.
    pub roles: Vec<String>,
    pub compute: ServiceFinding,
    pub volume: ServiceFinding,
    pub network: ServiceFinding,
    pub image: ServiceFinding,
}

/// A resource that records name, and that a cloud is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub kind: ResourceKind,
    pub id: String,
}

/// What a cloud holds in a tenant's project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// All servers and volumes.
    pub held: Vec<CloudResource>,
    /// The project's quota, where the cloud shows it.
    pub quota: Option<ProjectQuota>,
}

/// A project's quota of what operations leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectQuota {
    pub instances: QuotaShare,
    pub volumes: QuotaShare,
    /// GiB of volumes.
    pub gigabytes: QuotaShare,
}

/// What is used of one quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaShare {
    pub used: i64,
    /// The most; -1 for no limit.
    pub limit: i64,
}

/// Whether each service of a site answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteServices {
    pub identity: Asked<()>,
    pub compute: Asked<()>,
    pub volume: Asked<()>,
    pub network: Asked<()>,
}

impl SiteServices {
    /// None of them, for the same reason.
    pub fn silent(why: &Silence) -> Self {
        Self {
            identity: Err(why.clone()),
            compute: Err(why.clone()),
            volume: Err(why.clone()),
            network: Err(why.clone()),
        }
    }
}

/// The clouds of the registered sites.
#[async_trait]
pub trait CloudReadings: Send + Sync {
    /// A server of a tenant's project, with its volumes' places; `None` if that project has no such server.
    async fn server(
        &self,
        scope: &SiteScope,
        server: &ServerId,
    ) -> Result<Option<FoundServer>, CloudError>;

    /// The same, as one of many that are read in one round: `lists` has what the round has read of the project for all of them.
    async fn server_of_round(
        &self,
        scope: &SiteScope,
        server: &ServerId,
        lists: &ProjectLists,
    ) -> Result<Option<FoundServer>, CloudError>;

    /// A volume of a tenant's project; `None` if that project has no such volume.
    async fn volume(
        &self,
        scope: &SiteScope,
        volume: &VolumeId,
    ) -> Result<Option<FoundVolume>, CloudError>;

    /// All that a site shows a member of its project of a server, of its ports and of `volumes`; `None` if the project has no
    /// such server. A volume that is gone is left out.
    async fn server_as_shown(
        &self,
        scope: &SiteScope,
        server: &ServerId,
        volumes: &[VolumeId],
    ) -> Result<Option<Shown>, CloudError>;

    /// What a site has for the copies of servers, each of its lists read once. What it does not tell is part of the answer.
    async fn there_seen(&self, scope: &SiteScope, wanted: &WantedThere) -> ThereSeen;

    /// All servers and volumes of a tenant's project. One of `expected` that is not in the answer is gone.
    async fn holdings(
        &self,
        scope: &SiteScope,
        expected: &[Expected],
    ) -> Result<Holdings, CloudError>;

    /// What the site where a group runs shows of its servers and volumes. `kind` is how its types must replicate.
    async fn source_seen(&self, scope: &SiteScope, kind: ReplicationType) -> SourceSeen;

    /// What the site to which a group would go has for it.
    async fn target_seen(&self, scope: &SiteScope, kind: ReplicationType) -> TargetSeen;

    /// Whether each service of a site answers the service user. Partial answers, never a failure.
    async fn services(&self, site: &SiteName) -> SiteServices;

    /// The key pair `name` of `owner`, read as an administrator; where that is refused, with `token`, which is the owner's own of
    /// that site's Keystone.
    async fn key_pair(
        &self,
        site: &SiteName,
        owner: &UserId,
        name: &str,
        token: Option<&SecretString>,
    ) -> Result<Option<KeyPair>, CloudError>;

    /// All volume types with their extra specs, read by the service user.
    async fn volume_types(&self, site: &SiteName) -> Result<Vec<FoundVolumeType>, CloudError>;

    /// Whether the service user may manage volumes in a tenant's project. Changes nothing.
    async fn may_manage(&self, scope: &SiteScope) -> Result<bool, CloudError>;

    /// The service user that a site is registered with: as whom both sites' protectors come to it, where an operator has
    /// said nothing else.
    async fn service_user(&self, site: &SiteName) -> Result<UserId, CloudError>;

    /// Whether a project exists.
    async fn project_exists(
        &self,
        site: &SiteName,
        project: &ProjectId,
    ) -> Result<bool, CloudError>;

    /// Gives the service user the role `member` on a project. Already there: fine.
    async fn grant_member(&self, site: &SiteName, project: &ProjectId) -> Result<(), CloudError>;

    /// Takes the role `member` on a project from the service user. Not there: fine.
    async fn revoke_member(&self, site: &SiteName, project: &ProjectId) -> Result<(), CloudError>;

    /// Looks at a site with its service user, whose password is `password`; the site need not be registered yet.
    async fn inspect(
        &self,
        site: &Site,
        password: &SecretString,
    ) -> Result<SiteInspection, CloudError>;

    /// Drops what is remembered of a site whose registration has changed.
    async fn forget(&self, site: &SiteName);
}
