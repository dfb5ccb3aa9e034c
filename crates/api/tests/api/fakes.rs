//! The outside of the service as plain values: Keystone's tokens, two clouds, the other protector, an array.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, TimeZone, Utc};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use protector_api::http::token::{TokenError, TokenFacts, TokenSource};
use protector_clouds::{
    clouds::{
        CloudError, CloudReadings, Expected, FoundAttachment, FoundServer, FoundVolume,
        FoundVolumeType, Holdings, ProjectLists, ServiceFinding, SiteInspection, SiteServices,
        WantedThere,
    },
    volume_type,
};
use protector_core::{
    clock::Clock,
    comparison::{AddressThere, NetworkThere, Shown, ThereSeen},
    group::ReplicationType,
    id::{GroupId, OperationId, ProjectId, RecoveryPointId, ServerId, SiteName, UserId, VolumeId},
    member::{Flavor, KeyPair, Nic},
    member_settings::ServerSettings,
    new_id::Ids,
    not_carried::{ServerTraits, VolumeTraits},
    readiness::{
        PoolSeen, ServerSeen, Silence, SourceSeen, TargetSeen, TypeSeen, Usage, VolumeSeen,
    },
    security_group::SecurityGroupSeen,
    site::{Site, SiteScope},
    storage::{
        ArrayObjects, ArrayProgress, BackendObject, Capabilities, CinderVolume, Consistency,
        GroupFailover, GroupReplication, Pending, PointsKept, PromotedVolume, PromotionKind,
        PromotionMode, RecoveryPoint, Relation, Replication, StorageError, TestClones, WayBack,
        Written,
    },
};
use protector_openstack::message_signer::UnsignedMessage;
use protector_peer::{
    key_pair::SigningKey,
    message_signature::{MessageStamp, Parties, sign},
    peer::{HeldPart, Peer, PeerError, PeerMetadata},
};
use protector_store::{MetadataState, PublicKey, SiteState, StoredSigningKey};
use protector_wire::{metadata::NewMetadata, operation_copy::NewOperationCopy};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::sync::Barrier;
use uuid::Uuid;

/// The tenant's project on site-a, on site-b, and another tenant's.
pub const PROJECT_A: &str = "aaaaaaaa000040008000000000000001";
pub const PROJECT_B: &str = "bbbbbbbb000040008000000000000001";
pub const OTHER_PROJECT: &str = "cccccccc000040008000000000000001";
pub const OTHER_PROJECT_B: &str = "eeeeeeee000040008000000000000001";
pub const SERVICE_PROJECT: &str = "dddddddd000040008000000000000001";
/// As whom the other site's protector comes too, as an operator has said.
pub const NAMED_PEER: &str = "named-peer";
/// As whom both sites' protectors come to this site.
pub const SERVICE_USER: &str = "protector";

pub const NET_A: &str = "7a3f2c11-0001-4b22-a918-00000000000a";
pub const NET_B: &str = "7a3f2c11-0001-4b22-a918-00000000000b";
pub const WEB: &str = "7a3f2c11-0001-4b22-a918-000000000001";
pub const DB: &str = "7a3f2c11-0001-4b22-a918-000000000002";
/// A server with a volume whose type is not replicated.
pub const PLAIN: &str = "7a3f2c11-0001-4b22-a918-000000000003";
/// A server with a volume that is not on the policy's array.
pub const FOREIGN: &str = "7a3f2c11-0001-4b22-a918-000000000004";
/// A server that boots from an image.
pub const IMAGE: &str = "7a3f2c11-0001-4b22-a918-000000000005";

pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap()
    }
}

#[derive(Default)]
pub struct CountedIds(AtomicUsize);

impl Ids for CountedIds {
    fn uuid(&self) -> Uuid {
        let number = self.0.fetch_add(1, Ordering::SeqCst) as u128 + 1;
        Uuid::from_u128(0x7a3f_2c11_ffff_4b22_a918_0000_0000_0000 + number)
    }
}

/// Tokens: `admin`, `member`, `reader`, `other`, `service`, `unscoped`; and any role in a project, `reader@own` or
/// `reader@foreign`. `service`, `peer@…` and `thief@own` are the registered service user's, all
/// others somebody else's; the first two come with the signature of the other site's protector, the third was stolen.
#[derive(Default)]
pub struct FakeKeystone {
    pub away: AtomicBool,
}

#[async_trait]
impl TokenSource for FakeKeystone {
    async fn validate(&self, token: &SecretString) -> Result<TokenFacts, TokenError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(TokenError::Unavailable("connection refused".to_owned()));
        }
        let (project, role) = match token.expose_secret() {
            "admin" => (Some(SERVICE_PROJECT), "admin"),
            "service" => (Some(SERVICE_PROJECT), "admin"),
            "named" => (Some(SERVICE_PROJECT), "service"),
            "member" => (Some(PROJECT_A), "member"),
            "reader" => (Some(PROJECT_A), "reader"),
            "other" => (Some(OTHER_PROJECT), "member"),
            "unscoped" => (None, "member"),
            token => match token.split_once('@') {
                Some(("thief", "own")) => (Some(PROJECT_A), "service"),
                Some(("peer", "own")) => (Some(PROJECT_A), "service"),
                Some(("peer", "foreign")) => (Some(OTHER_PROJECT), "service"),
                Some((role, "own")) => (Some(PROJECT_A), role),
                Some((role, "foreign")) => (Some(OTHER_PROJECT), role),
                _ => return Err(TokenError::Invalid),
            },
        };
        let user = match token.expose_secret() {
            "service" | "peer@own" | "peer@foreign" | "thief@own" => SERVICE_USER,
            "named" => NAMED_PEER,
            _ => "user-1",
        };
        Ok(TokenFacts {
            user_id: user.into(),
            user_name: "alice".to_owned(),
            project_id: project.map(Into::into),
            project_name: project.map(str::to_owned),
            user_domain_id: Some("default".to_owned()),
            project_domain_id: Some("default".to_owned()),
            roles: vec![role.to_owned()],
            expires_at: FixedClock.now() + chrono::Duration::hours(1),
        })
    }
}

/// Two clouds with the same servers' worth of facts.
#[derive(Default)]
pub struct FakeClouds {
    pub away: Mutex<BTreeSet<String>>,
    pub granted: Mutex<Vec<(String, String)>>,
    /// Whether Cinder's policy lets administrators only manage volumes.
    pub members_may_not_manage: AtomicBool,
    /// What the project of each site holds, by the site's name.
    pub holdings: Mutex<BTreeMap<String, Holdings>>,
    /// The projects that were read, in order.
    pub read: Mutex<Vec<(String, String)>>,
    /// What servers and their volumes are like when they are added.
    pub server_change: Mutex<Option<fn(&mut FoundServer)>>,
    pub volume_change: Mutex<Option<fn(&mut FoundVolume)>>,
    /// What somebody did on the site where the group runs.
    pub source_change: Mutex<Option<fn(&mut SourceSeen)>>,
    /// What somebody else does, once, when a key pair is read: the last that is read of a server.
    pub meanwhile: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Why Neutron does not answer.
    pub silent_network: Mutex<Option<String>>,
    /// The sites that nobody can ask just now.
    pub cannot_be_asked: Mutex<BTreeSet<String>>,
    /// What somebody did on the other.
    pub target_change: Mutex<Option<fn(&mut TargetSeen)>>,
    /// What the site where the group runs shows of a server.
    pub shown_change: Mutex<Option<fn(&mut Shown)>>,
    /// What the other site has for its copy.
    pub there_change: Mutex<Option<fn(&mut ThereSeen)>>,
    /// How often it was asked for what it has.
    pub there_read: AtomicUsize,
}

impl FakeClouds {
    fn with<T>(&self, mut seen: T, change: &Mutex<Option<fn(&mut T)>>) -> T {
        if let Some(change) = *change.lock().unwrap() {
            change(&mut seen);
        }
        seen
    }

    fn answer(&self, site: &SiteName) -> Result<(), CloudError> {
        if self.cannot_be_asked.lock().unwrap().contains(site.as_str()) {
            return Err(CloudError::NotTold {
                site: site.clone(),
                why: "the database is busy".to_owned(),
            });
        }
        if self.away.lock().unwrap().contains(site.as_str()) {
            return Err(CloudError::Unreachable {
                site: site.clone(),
                why: "connection refused".to_owned(),
            });
        }
        Ok(())
    }
}

fn volume_ids(server: &str) -> Vec<&'static str> {
    match server {
        WEB => vec!["vol-boot-ws1", "vol-data-ws1"],
        DB => vec!["vol-boot-db"],
        PLAIN => vec!["vol-plain"],
        FOREIGN => vec!["vol-foreign"],
        _ => vec![],
    }
}

fn server(id: &str) -> Option<FoundServer> {
    let name = match id {
        WEB => "web-server-1",
        DB => "db-server",
        PLAIN => "plain-server",
        FOREIGN => "foreign-server",
        IMAGE => "image-server",
        _ => return None,
    };
    let attachments: Vec<FoundAttachment> = volume_ids(id)
        .into_iter()
        .zip(["/dev/vda", "/dev/vdb"])
        .map(|(volume, device)| FoundAttachment {
            volume_id: volume.into(),
            device: device.to_owned(),
            delete_on_termination: false,
            tag: None,
        })
        .rev()
        .collect();
    Some(FoundServer {
        id: id.into(),
        name: name.to_owned(),
        project_id: PROJECT_A.into(),
        user_id: Some("alice".into()),
        status: "ACTIVE".to_owned(),
        task_state: None,
        traits: ServerTraits {
            boots_from_image: id == IMAGE,
            ..ServerTraits::default()
        },
        ports: vec![],
        root_device: Some("/dev/vda".to_owned()),
        flavor: Flavor {
            id: "flavor-1".into(),
            name: "m1.small".to_owned(),
            vcpus: 1,
            ram_mib: 2048,
            disks: None,
        },
        nics: vec![Nic {
            network_id: NET_A.into(),
            fixed_ips: vec!["10.0.1.5".parse().unwrap()],
            port: None,
            tag: None,
        }],
        security_groups: vec!["default".to_owned()],
        key_name: Some("alice".to_owned()),
        metadata: BTreeMap::from([("tier".to_owned(), "web".to_owned())]),
        user_data: None,
        availability_zone: Some("nova".to_owned()),
        config_drive: false,
        description: None,
        tags: vec![],
        hostname: None,
        server_group: None,
        attachments,
    })
}

pub fn volume_type(name: &str, specs: &[(&str, &str)]) -> FoundVolumeType {
    FoundVolumeType {
        id: format!("type-{name}"),
        name: name.to_owned(),
        extra_specs: specs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

fn volume_types() -> Vec<FoundVolumeType> {
    vec![
        volume_type(
            "replicated",
            &[
                ("replication_enabled", "<is> True"),
                ("replication_type", "<in> async"),
            ],
        ),
        volume_type("plain", &[]),
    ]
}

fn types_seen(kind: ReplicationType) -> Vec<TypeSeen> {
    volume_types()
        .into_iter()
        .map(|found| volume_type::seen(found, kind))
        .collect()
}

/// The project of `scope` with the servers that can be members, as they are when they are added.
fn source_seen(scope: &SiteScope, kind: ReplicationType) -> SourceSeen {
    let servers: Vec<FoundServer> = [WEB, DB]
        .into_iter()
        .filter_map(server)
        .filter(|server| server.project_id == scope.project_id)
        .collect();
    let volumes = servers.iter().flat_map(|server| {
        server.attachments.iter().map(|place| VolumeSeen {
            id: place.volume_id.clone(),
            name: place.volume_id.to_string(),
            metadata: BTreeMap::new(),
            status: "in-use".to_owned(),
            size_gib: 1,
            volume_type: Some("replicated".to_owned()),
            servers: vec![server.id.clone()],
            snapshots: 0,
            traits: VolumeTraits::default(),
        })
    });
    let nics = servers.iter().flat_map(|server| {
        let nics = server.nics.iter();
        nics.map(|nic| (server.id.clone(), nic.network_id.clone()))
    });
    SourceSeen {
        volumes: Ok(volumes.collect()),
        nics: Ok(nics.collect()),
        ports: Ok(vec![]),
        port_settings: Ok(vec![]),
        servers: Ok(servers
            .iter()
            .map(|server| ServerSeen {
                id: server.id.clone(),
                status: server.status.clone(),
                locked: false,
                traits: ServerTraits::default(),
                flavor_name: server.flavor.name.clone(),
                vcpus: server.flavor.vcpus.into(),
                ram_mib: server.flavor.ram_mib,
                volumes: server
                    .attachments
                    .iter()
                    .map(|place| place.volume_id.clone())
                    .collect(),
                settings: settings(server),
                floating_ips: BTreeSet::new(),
            })
            .collect()),
        volume_types: Ok(types_seen(kind)),
        hosts: Ok(()),
    }
}

fn settings(server: &FoundServer) -> ServerSettings {
    let addresses = server.nics.iter().flat_map(|nic| nic.fixed_ips.clone());
    ServerSettings {
        name: server.name.clone(),
        description: server.description.clone(),
        metadata: server.metadata.clone(),
        tags: server.tags.iter().cloned().collect(),
        security_groups: server.security_groups.iter().cloned().collect(),
        key_pair: server.key_name.clone(),
        addresses: addresses.collect(),
    }
}

fn there_seen(wanted: &WantedThere) -> ThereSeen {
    let flavors = server(WEB).map(|server| server.flavor);
    let addresses = wanted.addresses.iter().cloned();
    let networks = wanted.networks.iter().cloned();
    let types = volume_types().into_iter();
    ThereSeen {
        flavors: Ok(flavors.into_iter().collect()),
        security_groups: Ok(vec![
            SecurityGroupSeen::own("group-1", "default"),
            SecurityGroupSeen::own("group-2", "web"),
        ]),
        zones: Ok(vec!["nova".to_owned()]),
        compute_minor: Ok(96),
        key_pairs: Ok(vec![]),
        networks: networks
            .map(|network| (network, Ok(NetworkThere::Own)))
            .collect(),
        addresses: addresses
            .map(|address| (address, Ok(AddressThere::Free)))
            .collect(),
        volume_types: Ok(types.map(|kind| (kind.id, kind.name)).collect()),
        qos_policies: Ok(vec![]),
    }
}

fn target_seen(kind: ReplicationType) -> TargetSeen {
    let room = |resources: &[&str]| {
        let room = Usage { used: 2, limit: 10 };
        resources
            .iter()
            .map(|name| ((*name).to_owned(), room))
            .collect()
    };
    let mut compute: BTreeMap<String, Usage> = room(&["instances", "cores"]);
    let ram = Usage {
        used: 0,
        limit: 51200,
    };
    compute.insert("ram".to_owned(), ram);
    TargetSeen {
        compute_quota: Ok(compute),
        volume_quota: Ok(room(&["volumes", "gigabytes"])),
        network_quota: Ok(BTreeMap::new()),
        networks: Ok(vec![NET_B.into()]),
        flavors: Ok(server(WEB)
            .map(|server| server.flavor)
            .into_iter()
            .collect()),
        security_groups: Ok(vec![SecurityGroupSeen::own("group-1", "default")]),
        volume_types: Ok(types_seen(kind)),
        pools: Ok(vec![PoolSeen {
            name: "host@lvm#lvm".to_owned(),
            backend: Some("lvm".to_owned()),
        }]),
        qos_policies: Ok(vec![]),
        server_groups: Ok(vec![]),
        compute_hosts: Ok(1),
    }
}

#[async_trait]
impl CloudReadings for FakeClouds {
    async fn server(
        &self,
        scope: &SiteScope,
        id: &ServerId,
    ) -> Result<Option<FoundServer>, CloudError> {
        self.answer(&scope.site)?;
        let found = server(id.as_str()).filter(|found| found.project_id == scope.project_id);
        Ok(found.map(|found| self.with(found, &self.server_change)))
    }

    async fn server_of_round(
        &self,
        scope: &SiteScope,
        id: &ServerId,
        _lists: &ProjectLists,
    ) -> Result<Option<FoundServer>, CloudError> {
        self.server(scope, id).await
    }

    async fn volume(
        &self,
        scope: &SiteScope,
        id: &VolumeId,
    ) -> Result<Option<FoundVolume>, CloudError> {
        self.answer(&scope.site)?;
        let plain = id.as_str() == "vol-plain";
        let found = FoundVolume {
            id: id.clone(),
            name: id.to_string(),
            size_gib: 1,
            volume_type: Some(if plain { "plain" } else { "replicated" }.to_owned()),
            traits: VolumeTraits::default(),
            metadata: BTreeMap::new(),
            image_properties: BTreeMap::new(),
            description: None,
            bootable: None,
            volume_type_id: None,
            name_id: None,
            host: None,
        };
        Ok(Some(self.with(found, &self.volume_change)))
    }

    async fn server_as_shown(
        &self,
        scope: &SiteScope,
        server: &ServerId,
        volumes: &[VolumeId],
    ) -> Result<Option<Shown>, CloudError> {
        self.answer(&scope.site)?;
        let shown = Shown {
            server: json!({"id": server.as_str(), "OS-DCF:diskConfig": "MANUAL"}),
            ports: vec![json!({"id": "port-1", "fixed_ips": [{"ip_address": "10.0.1.5"}]})],
            volumes: volumes
                .iter()
                .map(|id| json!({"id": id.as_str()}))
                .collect(),
        };
        Ok(Some(self.with(shown, &self.shown_change)))
    }

    async fn there_seen(&self, scope: &SiteScope, wanted: &WantedThere) -> ThereSeen {
        self.there_read.fetch_add(1, Ordering::SeqCst);
        match self.answer(&scope.site) {
            Ok(()) => self.with(there_seen(wanted), &self.there_change),
            Err(error) => ThereSeen::silent(&error.into()),
        }
    }

    async fn holdings(
        &self,
        scope: &SiteScope,
        _expected: &[Expected],
    ) -> Result<Holdings, CloudError> {
        let entry = (scope.site.to_string(), scope.project_id.to_string());
        self.read.lock().unwrap().push(entry);
        self.answer(&scope.site)?;
        let holdings = self.holdings.lock().unwrap();
        Ok(holdings
            .get(scope.site.as_str())
            .cloned()
            .unwrap_or_default())
    }

    async fn source_seen(&self, scope: &SiteScope, kind: ReplicationType) -> SourceSeen {
        match self.answer(&scope.site) {
            Ok(()) => {
                let mut seen = source_seen(scope, kind);
                for shown in seen.servers.iter_mut().flatten() {
                    let found = server(shown.id.as_str()).unwrap();
                    shown.settings = settings(&self.with(found, &self.server_change));
                }
                self.with(seen, &self.source_change)
            }
            Err(error) => SourceSeen::silent(&error.into()),
        }
    }

    async fn target_seen(&self, scope: &SiteScope, kind: ReplicationType) -> TargetSeen {
        match self.answer(&scope.site) {
            Ok(()) => self.with(target_seen(kind), &self.target_change),
            Err(error) => TargetSeen::silent(&error.into()),
        }
    }

    async fn services(&self, site: &SiteName) -> SiteServices {
        if let Err(error) = self.answer(site) {
            return SiteServices::silent(&error.into());
        }
        let silent = self.silent_network.lock().unwrap().clone();
        SiteServices {
            identity: Ok(()),
            compute: Ok(()),
            volume: Ok(()),
            network: match silent {
                Some(why) => Err(Silence::Unreachable(why)),
                None => Ok(()),
            },
        }
    }

    async fn key_pair(
        &self,
        site: &SiteName,
        owner: &UserId,
        name: &str,
        _token: Option<&SecretString>,
    ) -> Result<Option<KeyPair>, CloudError> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        self.answer(site)?;
        Ok(Some(KeyPair {
            name: name.to_owned(),
            public_key: Some(format!("ssh-ed25519 AAAA {owner}")),
            kind: "ssh".to_owned(),
        }))
    }

    async fn volume_types(&self, site: &SiteName) -> Result<Vec<FoundVolumeType>, CloudError> {
        self.answer(site)?;
        Ok(volume_types())
    }

    async fn may_manage(&self, scope: &SiteScope) -> Result<bool, CloudError> {
        self.answer(&scope.site)?;
        Ok(!self.members_may_not_manage.load(Ordering::SeqCst))
    }

    async fn service_user(&self, site: &SiteName) -> Result<UserId, CloudError> {
        self.answer(site)?;
        Ok(UserId::new(SERVICE_USER))
    }

    async fn project_exists(
        &self,
        site: &SiteName,
        project: &ProjectId,
    ) -> Result<bool, CloudError> {
        self.answer(site)?;
        Ok([PROJECT_A, PROJECT_B, OTHER_PROJECT, OTHER_PROJECT_B].contains(&project.as_str()))
    }

    async fn grant_member(&self, site: &SiteName, project: &ProjectId) -> Result<(), CloudError> {
        self.answer(site)?;
        let entry = (site.to_string(), project.to_string());
        self.granted.lock().unwrap().push(entry);
        Ok(())
    }

    async fn revoke_member(&self, site: &SiteName, project: &ProjectId) -> Result<(), CloudError> {
        self.answer(site)?;
        let entry = (site.to_string(), project.to_string());
        let mut granted = self.granted.lock().unwrap();
        granted.retain(|given| *given != entry);
        Ok(())
    }

    async fn inspect(
        &self,
        site: &Site,
        _password: &SecretString,
    ) -> Result<SiteInspection, CloudError> {
        self.answer(&site.name)?;
        let answers = |newest| ServiceFinding::Answers {
            newest,
            url: "http://cloud".to_owned(),
        };
        Ok(SiteInspection {
            roles: vec!["admin".to_owned()],
            compute: answers(Some((2, 96))),
            volume: answers(Some((3, 71))),
            network: answers(None),
            image: answers(None),
        })
    }

    async fn forget(&self, _site: &SiteName) {}
}

pub struct FakePeer {
    /// The key that it signs with.
    pub key: Mutex<StoredSigningKey>,
    /// Whether it is of a release that signs nothing.
    pub signs_nothing: AtomicBool,
    /// How many messages it has signed.
    signed: AtomicUsize,
    pub away: AtomicBool,
    /// Whether nobody can ask it just now.
    pub cannot_be_asked: AtomicBool,
    /// Whether it takes this site for a stranger.
    pub turns_away: AtomicBool,
    /// How often it was asked whether it answers.
    pub reached: AtomicUsize,
    /// The versions that it holds; one that was not pushed to it was made there from what was.
    pub pushed: Mutex<BTreeMap<String, u64>>,
    documents: Mutex<BTreeMap<String, NewMetadata>>,
    /// Where starts wait for each other once they have reserved their group.
    pub reserved: Mutex<Option<Arc<Barrier>>>,
    /// The operation with which it moves every group.
    pub moving: Mutex<Option<OperationId>>,
    /// How often a reservation was given back.
    pub released: AtomicUsize,
}

impl Default for FakePeer {
    fn default() -> Self {
        Self {
            key: Mutex::new(new_key()),
            signs_nothing: AtomicBool::default(),
            signed: AtomicUsize::default(),
            away: AtomicBool::default(),
            cannot_be_asked: AtomicBool::default(),
            turns_away: AtomicBool::default(),
            reached: AtomicUsize::default(),
            pushed: Mutex::default(),
            documents: Mutex::default(),
            reserved: Mutex::default(),
            moving: Mutex::default(),
            released: AtomicUsize::default(),
        }
    }
}

pub fn new_key() -> StoredSigningKey {
    SigningKey::generate(FixedClock.now()).unwrap()
}

fn held(version: u64, known: Option<NewMetadata>) -> PeerMetadata {
    let last = known.as_ref().map(|known| MetadataState {
        version: known.version,
        digest: known.digest.clone(),
    });
    let now = match &last {
        Some(last) if last.version == version => last.clone(),
        _ => MetadataState {
            version,
            digest: format!("made there, version {version}"),
        },
    };
    PeerMetadata {
        side: SiteState {
            now,
            base: last.map(Into::into),
        },
        changed_at: FixedClock.now(),
        moved_by: None,
        retired_at: None,
        document: known.map(|known| known.document),
    }
}

impl FakePeer {
    /// The headers with which it signs a message to site-a now.
    pub fn signs(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> HeaderMap {
        let parties = Parties {
            sender: "site-b".into(),
            receiver: "site-a".into(),
        };
        self.signs_as(
            &parties,
            FixedClock.now(),
            &UnsignedMessage {
                method,
                target,
                headers,
                body,
            },
        )
    }

    pub fn signs_as(
        &self,
        parties: &Parties,
        created: DateTime<Utc>,
        message: &UnsignedMessage<'_>,
    ) -> HeaderMap {
        let number = self.signed.fetch_add(1, Ordering::SeqCst);
        let stamp = MessageStamp {
            created,
            nonce: format!("message-{number}"),
        };
        let key = SigningKey::open(&self.key.lock().unwrap()).unwrap();
        sign(message, parties, &stamp, &key).unwrap()
    }

    fn answer(&self) -> Result<(), PeerError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(PeerError::Unreachable("connection refused".to_owned()));
        }
        if self.cannot_be_asked.load(Ordering::SeqCst) {
            return Err(PeerError::NotTold("the database is busy".to_owned()));
        }
        if self.turns_away.load(Ordering::SeqCst) {
            return Err(PeerError::Refused("HTTP 403: who are you?".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Peer for FakePeer {
    async fn reach(&self, _site: &SiteName) -> Result<(), PeerError> {
        self.reached.fetch_add(1, Ordering::SeqCst);
        self.answer()
    }

    async fn key_told(&self, _site: &SiteName) -> Result<Option<PublicKey>, PeerError> {
        self.answer()?;
        let key = self.key.lock().unwrap().public;
        Ok((!self.signs_nothing.load(Ordering::SeqCst)).then_some(key))
    }

    async fn held(
        &self,
        _scope: &SiteScope,
        group: &GroupId,
        _part: HeldPart,
    ) -> Result<Option<PeerMetadata>, PeerError> {
        self.answer()?;
        let version = self.pushed.lock().unwrap().get(group.as_str()).copied();
        let known = self.documents.lock().unwrap().get(group.as_str()).cloned();
        Ok(version.map(|version| PeerMetadata {
            moved_by: self.moving.lock().unwrap().clone(),
            ..held(version, known)
        }))
    }

    async fn push(
        &self,
        _scope: &SiteScope,
        group: &GroupId,
        metadata: &NewMetadata,
    ) -> Result<MetadataState, PeerError> {
        self.answer()?;
        let mut pushed = self.pushed.lock().unwrap();
        pushed.insert(group.to_string(), metadata.version);
        let mut documents = self.documents.lock().unwrap();
        documents.insert(group.to_string(), metadata.clone());
        Ok(MetadataState {
            version: metadata.version,
            digest: metadata.digest.clone(),
        })
    }

    async fn copy(
        &self,
        _scope: &SiteScope,
        _operation: &OperationId,
        copy: &NewOperationCopy,
    ) -> Result<u64, PeerError> {
        self.answer()?;
        Ok(copy.revision)
    }

    async fn reserve(
        &self,
        _scope: &SiteScope,
        group: &GroupId,
        version: u64,
        _by_site: &SiteName,
    ) -> Result<(), PeerError> {
        self.answer()?;
        let known = self.pushed.lock().unwrap().get(group.as_str()).copied();
        if known != Some(version) {
            return Err(PeerError::Refused(
                "another version is kept here".to_owned(),
            ));
        }
        let reserved = self.reserved.lock().unwrap().clone();
        if let Some(all) = reserved {
            all.wait().await;
        }
        Ok(())
    }

    async fn release(
        &self,
        _scope: &SiteScope,
        _group: &GroupId,
        _by_site: &SiteName,
    ) -> Result<(), PeerError> {
        self.released.fetch_add(1, Ordering::SeqCst);
        self.answer()
    }

    async fn withdraw(
        &self,
        _scope: &SiteScope,
        group: &GroupId,
        _known: &MetadataState,
    ) -> Result<(), PeerError> {
        self.answer()?;
        self.pushed.lock().unwrap().remove(group.as_str());
        Ok(())
    }
}

/// One pair of arrays, `mock://array-a` and `mock://array-b`; all volumes but `vol-foreign` are on the first.
#[derive(Default)]
pub struct FakeArrays {
    /// The recovery points of every group.
    pub points: Mutex<Vec<RecoveryPoint>>,
    /// Which of them they go to.
    pub kept: Mutex<PointsKept>,
    /// What is wrong with the set-up of the two.
    pub findings: Mutex<Vec<String>>,
    /// Arrays that do not answer.
    pub away: Mutex<BTreeSet<String>>,
    /// Volumes that the first array has lost.
    pub lost: Mutex<BTreeSet<String>>,
    /// What becomes of a replica that is promoted.
    pub promotion: Mutex<PromotionKind>,
    /// Whether the volumes that a failover has left take no writes.
    pub closed: AtomicBool,
    /// What the first full copies wait for.
    pub first_copies: Mutex<Option<Pending>>,
}

fn refused(array: &str) -> StorageError {
    StorageError::refused(array, "there is no such array")
}

#[async_trait]
impl ArrayObjects for FakeArrays {
    async fn check(&self, array: &str) -> Result<(), StorageError> {
        if self.away.lock().unwrap().contains(array) {
            return Err(StorageError::unavailable(array, "it does not answer"));
        }
        if ["mock://array-a", "mock://array-b"].contains(&array) {
            return Ok(());
        }
        Err(refused(array))
    }

    async fn locate(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StorageError> {
        let id = volume.id.as_str();
        let lost = self.lost.lock().unwrap().contains(id);
        let there = array == "mock://array-a" && id != "vol-foreign" && !lost;
        Ok(there.then(|| BackendObject {
            found_on: array.to_owned(),
            scope: array.to_owned(),
            serial: id.to_owned(),
        }))
    }

    async fn relation(
        &self,
        _one: &BackendObject,
        _other: &BackendObject,
    ) -> Result<Relation, StorageError> {
        Ok(Relation::Distinct)
    }
}

#[async_trait]
impl GroupReplication for FakeArrays {
    fn capabilities(&self, _replication: &Replication) -> Result<Capabilities, StorageError> {
        Ok(Capabilities {
            driver: "MockStorageDriver".to_owned(),
            promotion: *self.promotion.lock().unwrap(),
            consistency: Consistency::GroupWhenQuiet,
            recovery_points: *self.kept.lock().unwrap(),
            way_back: WayBack::Full,
            fences_source: false,
            test_clone: true,
            linked_deletion: false,
            names_follow: false,
            notes: vec![],
        })
    }

    async fn findings(&self, _replication: &Replication) -> Result<Vec<String>, StorageError> {
        Ok(self.findings.lock().unwrap().clone())
    }

    async fn protect(
        &self,
        _replication: &Replication,
        _volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        Ok(ArrayProgress::Done(()))
    }

    async fn first_copies(
        &self,
        _replication: &Replication,
        _volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let waits = self.first_copies.lock().unwrap().clone();
        Ok(waits.map_or(ArrayProgress::Done(()), ArrayProgress::Pending))
    }

    async fn unprotect(
        &self,
        _replication: &Replication,
        _volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        Ok(ArrayProgress::Done(()))
    }

    async fn replicate(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<RecoveryPoint>, StorageError> {
        Err(refused(&replication.source_array))
    }

    async fn recovery_points(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        if self
            .away
            .lock()
            .unwrap()
            .contains(&replication.target_array)
        {
            return Err(StorageError::unavailable(
                &replication.target_array,
                "it does not answer",
            ));
        }
        Ok(self.points.lock().unwrap().clone())
    }

    async fn forget(
        &self,
        _replication: &Replication,
        _volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<(), StorageError> {
        Ok(())
    }
}

/// The API moves nothing.
#[async_trait]
impl GroupFailover for FakeArrays {
    async fn fence(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        Err(refused(&replication.source_array))
    }

    async fn unfence(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        Err(refused(&replication.source_array))
    }

    async fn promote(
        &self,
        replication: &Replication,
        _point: &RecoveryPointId,
        _volumes: &[CinderVolume],
        _mode: PromotionMode,
        _operation: &OperationId,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        Err(refused(&replication.target_array))
    }

    async fn discard_promoted(
        &self,
        replication: &Replication,
        _volume: &CinderVolume,
        _operation: &OperationId,
        _managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        Err(refused(&replication.target_array))
    }

    async fn written_since(
        &self,
        replication: &Replication,
        _volume: &CinderVolume,
        _operation: &OperationId,
    ) -> Result<Written, StorageError> {
        Err(refused(&replication.target_array))
    }

    async fn original_written_since(
        &self,
        replication: &Replication,
        _volume: &CinderVolume,
        _operation: &OperationId,
    ) -> Result<Written, StorageError> {
        if self.closed.load(Ordering::SeqCst) {
            return Ok(Written::Nothing);
        }
        Err(refused(&replication.source_array))
    }

    async fn resync(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        Err(refused(&replication.source_array))
    }
}

#[async_trait]
impl TestClones for FakeArrays {
    async fn clone_point(
        &self,
        replication: &Replication,
        _point: &RecoveryPointId,
        _volume: &CinderVolume,
        _operation: &OperationId,
    ) -> Result<ArrayProgress<PromotedVolume>, StorageError> {
        Err(refused(&replication.target_array))
    }

    async fn discard_clone(
        &self,
        replication: &Replication,
        _volume: &CinderVolume,
        _operation: &OperationId,
        _managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        Err(refused(&replication.target_array))
    }
}

/// The fakes of one test.
#[derive(Clone, Default)]
pub struct Outside {
    pub keystone: Arc<FakeKeystone>,
    pub clouds: Arc<FakeClouds>,
    pub peer: Arc<FakePeer>,
    pub arrays: Arc<FakeArrays>,
}
