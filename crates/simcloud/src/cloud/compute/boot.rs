//! Creating a server: what the API checks at once, and what the build meets later.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, boolean, integer, pairs, text, uuid_of},
    compute::{
        Server, need_member,
        record::{Disk, Flavor, InstanceAction, Nic, ServerFault, Task, VmState},
        unexpected,
    },
    faults::{Component, JobEffect},
    identity::Caller,
    jobs::Job,
    network::PortOwner,
    reply::{Answer, Reply, fault},
    schema::{self, NOVA_FLAGS},
    volume::{Volume, VolumeStatus},
};

/// A disk that the request asks for.
struct WantedDisk {
    source: DiskSource,
    device: Option<String>,
    root: bool,
    delete_on_termination: bool,
    tag: Option<String>,
    /// Volume type of a volume that Nova makes (2.67).
    kind: Option<Uuid>,
}

enum DiskSource {
    Volume(Uuid),
    Image(Uuid, u64),
    Blank(u64),
}

/// A network interface that the request asks for.
struct WantedNic {
    from: NicSource,
    tag: Option<String>,
}

enum NicSource {
    Port(Uuid),
    Network(Uuid, Option<IpAddr>),
}

/// Nova's quota of a server's metadata.
const MOST_METADATA: usize = 128;

impl SimCloud {
    pub(crate) fn server_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        need_member(caller, "servers:create")?;
        let given = call.object("server")?;
        let name = text(&given, "name").unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(fault(
                400,
                "Invalid input for field/attribute server. Value: {}. 'name' is a required property",
            ));
        }
        check_schema(&given)?;
        let flavor = self.wanted_flavor(&given)?;
        let image = self.wanted_boot_image(&given)?;
        let key_name = self.wanted_key(caller, &given)?;
        let nics = self.wanted_nics(call, caller, &given)?;
        let groups = self.wanted_groups(caller, &given)?;
        let group = self.wanted_server_group(call, caller)?;
        let disks = self.wanted_disks(caller, &given)?;
        if disks.is_empty() && image.is_none() {
            return Err(fault(400, "Invalid imageRef provided."));
        }
        let hostname = text(&given, "hostname").map_or_else(|| hostname_of(&name), str::to_owned);
        let metadata = pairs(&given, "metadata");
        if metadata.len() > MOST_METADATA {
            let text = format!("Maximum number of metadata items exceeds {MOST_METADATA}");
            return Err(fault(403, text));
        }
        self.check_server_quota(caller.project, &flavor)?;
        self.check_port_quota(caller.project, &nics)?;
        let id = self.ids.next();
        let attached = self.take_disks(caller, id, disks)?;
        self.check_members(caller, group)?;
        let mut server = Server {
            id,
            name,
            project: caller.project,
            user: caller.user,
            state: VmState::Building,
            task: Some(Task::Scheduling),
            lock: None,
            flavor,
            image: image.filter(|_| attached.is_empty()),
            key_name,
            metadata,
            hostname: Some(hostname),
            pinned_zone: text(&given, "availability_zone").map(str::to_owned),
            group,
            user_data: text(&given, "user_data").map(str::to_owned),
            zone: text(&given, "availability_zone")
                .unwrap_or("nova")
                .to_owned(),
            config_drive: boolean(&given, "config_drive").unwrap_or(false),
            description: text(&given, "description").map(str::to_owned),
            tags: tags_of(&given),
            security_groups: groups.clone(),
            disks: attached,
            nics: Vec::new(),
            host: None,
            created: self.now,
            updated: self.now,
            launched: None,
            fault: None,
            started_beside_nova: false,
            off_in_error: false,
            doomed: None,
            actions: vec![InstanceAction {
                action: "create",
                request: call.request_id.clone(),
                user: caller.user,
                project: caller.project,
                at: self.now,
            }],
        };
        self.take_nics(caller, &mut server, nics, &groups);
        let late = self
            .faults
            .for_job(&id.to_string(), &server.name, |effect| match effect {
                JobEffect::ServerCreatedLate { seconds } => {
                    Duration::try_from_secs_f64(*seconds).ok()
                }
                _ => None,
            });
        match late {
            None => self.server_accepted(server),
            Some(late) => {
                // Nova takes volumes while it answers, and ports that it is given when it builds.
                for nic in server.nics.iter().filter(|nic| !nic.made_by_nova) {
                    self.network.unbind(nic.port);
                }
                self.jobs
                    .push(self.now + late, Job::ServerAccepted(Box::new(server)));
            }
        }
        let mut view = json!({
            "id": id.to_string(),
            "links": self.compute_links("servers", &id.to_string()),
            "OS-DCF:diskConfig": "MANUAL",
            "security_groups": groups.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        });
        view["adminPass"] = json!(text(&given, "adminPass").unwrap_or("simulated").to_owned());
        Ok(Reply {
            work: late.unwrap_or_default(),
            ..Reply::json(202, &json!({"server": view}))
        })
    }

    /// The build is on its way, and the server can be seen.
    pub(crate) fn server_accepted(&mut self, mut server: Server) {
        let id = server.id;
        let owner = PortOwner {
            device: id,
            zone: server.zone.clone(),
        };
        for nic in &server.nics {
            let held = self.network.ports.get(nic.port).map(|port| &port.device_id);
            match held.map(String::as_str) {
                Some("") => self.network.bind(nic.port, &owner),
                Some(device) if device == id.to_string() => {}
                _ => {
                    let why = format!("Port {} is still in use.", nic.port);
                    server.doomed = Some(aborted(id, &why));
                }
            }
        }
        self.compute.servers.insert(id, server);
        let delay = self.spread(self.options.latency.server_build);
        self.jobs
            .push(self.now + delay / 4, Job::ServerScheduled(id));
        self.jobs.push(self.now + delay, Job::ServerSpawned(id));
    }

    pub(crate) fn wanted_flavor(&self, given: &Value) -> Answer<Flavor> {
        let wanted = match given.get("flavorRef") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let id = wanted.rsplit('/').next().unwrap_or(&wanted);
        self.compute
            .flavor(id)
            .cloned()
            .ok_or_else(|| fault(400, format!("Flavor {id} could not be found.")))
    }

    fn wanted_boot_image(&self, given: &Value) -> Answer<Option<Uuid>> {
        let Some(wanted) = text(given, "imageRef").filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        uuid_of(wanted)
            .filter(|id| self.images.get(*id).is_some())
            .map(Some)
            .ok_or_else(|| fault(400, format!("Image {wanted} could not be found.")))
    }

    fn wanted_key(&self, caller: &Caller, given: &Value) -> Answer<Option<String>> {
        let Some(wanted) = text(given, "key_name") else {
            return Ok(None);
        };
        let known = self
            .compute
            .keypairs
            .iter()
            .any(|key| key.user == caller.user && key.name == wanted);
        if known {
            Ok(Some(wanted.to_owned()))
        } else {
            Err(fault(400, "Invalid key_name provided."))
        }
    }

    fn wanted_nics(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        given: &Value,
    ) -> Answer<Vec<WantedNic>> {
        if self.faults.is_away(Component::Neutron) {
            return Err(unexpected(
                "keystoneauth1.exceptions.connection.ConnectFailure",
            ));
        }
        let list = match given.get("networks") {
            Some(Value::Array(list)) => list.clone(),
            Some(Value::String(word)) if word == "none" => return Ok(Vec::new()),
            Some(Value::String(_)) => Vec::new(),
            _ if call.minor >= 37 => {
                return Err(fault(
                    400,
                    "Invalid input for field/attribute server. 'networks' is a required property",
                ));
            }
            _ => Vec::new(),
        };
        if list.is_empty() {
            return self.automatic_nics(caller);
        }
        list.iter()
            .map(|item| self.wanted_nic(caller, item))
            .collect()
    }

    /// All networks that the project can use, when there is one; Nova refuses to choose.
    fn automatic_nics(&self, caller: &Caller) -> Answer<Vec<WantedNic>> {
        let own: Vec<Uuid> = self
            .network
            .networks
            .iter()
            .filter(|net| !net.external && net.project == caller.project)
            .map(|net| net.id)
            .collect();
        if own.len() > 1 {
            return Err(fault(
                409,
                "Multiple possible networks found, use a Network ID to be more specific.",
            ));
        }
        Ok(own
            .into_iter()
            .map(|id| WantedNic {
                from: NicSource::Network(id, None),
                tag: None,
            })
            .collect())
    }

    fn wanted_nic(&self, caller: &Caller, item: &Value) -> Answer<WantedNic> {
        Ok(WantedNic {
            from: self.nic_source(caller, item)?,
            tag: text(item, "tag").map(str::to_owned),
        })
    }

    fn nic_source(&self, caller: &Caller, item: &Value) -> Answer<NicSource> {
        if let Some(wanted) = text(item, "port") {
            let port = uuid_of(wanted)
                .and_then(|id| self.network.ports.get(id))
                .filter(|port| caller.sees(port.project))
                .ok_or_else(|| fault(400, format!("Port id {wanted} could not be found.")))?;
            if !port.device_id.is_empty() {
                return Err(fault(409, format!("Port {wanted} is still in use.")));
            }
            return Ok(NicSource::Port(port.id));
        }
        let wanted = text(item, "uuid").unwrap_or_default();
        let network = uuid_of(wanted)
            .and_then(|id| self.network.networks.get(id))
            .filter(|network| network.shared || caller.sees(network.project))
            .ok_or_else(|| fault(400, format!("Network {wanted} could not be found.")))?;
        let Some(address) = text(item, "fixed_ip") else {
            return Ok(NicSource::Network(network.id, None));
        };
        let parsed: IpAddr = address.parse().map_err(|_| {
            fault(
                400,
                format!("Invalid input for field/attribute fixed_ip. Value: {address}."),
            )
        })?;
        if let Some(owner) = self.network.holder(network.id, parsed) {
            let text = format!("Fixed IP address {address} is already in use on instance {owner}.");
            return Err(fault(400, text));
        }
        Ok(NicSource::Network(network.id, Some(parsed)))
    }

    fn wanted_groups(&self, caller: &Caller, given: &Value) -> Answer<Vec<String>> {
        let Some(list) = given.get("security_groups").and_then(Value::as_array) else {
            return Ok(vec!["default".to_owned()]);
        };
        list.iter()
            .map(|item| {
                let wanted = text(item, "name").unwrap_or_default();
                self.network
                    .group(caller.project, wanted)
                    .map(|group| group.name.clone())
                    .ok_or_else(|| {
                        let text =
                            format!("Unable to find security_group with name or id '{wanted}'");
                        fault(400, text)
                    })
            })
            .collect()
    }

    fn wanted_disks(&self, caller: &Caller, given: &Value) -> Answer<Vec<WantedDisk>> {
        let list = given
            .get("block_device_mapping_v2")
            .and_then(Value::as_array);
        let mut disks = Vec::new();
        for item in list.into_iter().flatten() {
            let destination = text(item, "destination_type").unwrap_or("local");
            let source_type = text(item, "source_type").unwrap_or_default();
            let root = integer(item, "boot_index") == Some(0);
            if destination == "local" && source_type == "image" {
                continue;
            }
            let gib = integer(item, "volume_size").and_then(|gib| u64::try_from(gib).ok());
            let uuid = text(item, "uuid").unwrap_or_default();
            let source = match source_type {
                "volume" => DiskSource::Volume(self.bootable_volume(caller, uuid, root)?),
                "image" => {
                    let image = uuid_of(uuid).filter(|id| self.images.get(*id).is_some());
                    let image = image.ok_or_else(|| {
                        let text =
                            format!("Block Device Mapping is Invalid: failed to get image {uuid}.");
                        fault(400, text)
                    })?;
                    DiskSource::Image(image, gib.unwrap_or(1))
                }
                "blank" => DiskSource::Blank(gib.unwrap_or(1)),
                _ => {
                    let text = format!(
                        "Block Device Mapping is Invalid: Unknown source type {source_type}."
                    );
                    return Err(fault(400, text));
                }
            };
            disks.push(WantedDisk {
                source,
                device: text(item, "device_name").map(str::to_owned),
                root,
                delete_on_termination: boolean(item, "delete_on_termination").unwrap_or(false),
                tag: text(item, "tag").map(str::to_owned),
                kind: text(item, "volume_type").and_then(|name| self.volumes.kind_named(name)),
            });
        }
        disks.sort_by_key(|disk| !disk.root);
        Ok(disks)
    }

    fn bootable_volume(&self, caller: &Caller, wanted: &str, root: bool) -> Answer<Uuid> {
        if self.faults.is_away(Component::CinderApi) {
            return Err(unexpected("nova.exception.CinderConnectionFailed"));
        }
        let volume = uuid_of(wanted)
            .and_then(|id| self.volumes.volumes.get(id))
            .filter(|volume| caller.sees(volume.project))
            .ok_or_else(|| {
                let text =
                    format!("Block Device Mapping is Invalid: failed to get volume {wanted}.");
                fault(400, text)
            })?;
        if root && !volume.bootable {
            return Err(fault(
                400,
                format!("Block Device {wanted} is not bootable."),
            ));
        }
        Ok(volume.id)
    }

    /// Nova asks Neutron for the ports that it would make.
    fn check_port_quota(&self, project: Uuid, nics: &[WantedNic]) -> Answer<()> {
        let made = |nic: &&WantedNic| matches!(nic.from, NicSource::Network(..));
        let needed = i64::try_from(nics.iter().filter(made).count()).unwrap_or(i64::MAX);
        match self.ports_left(project) {
            Some(left) if left < needed => Err(fault(403, "Maximum number of ports exceeded")),
            _ => Ok(()),
        }
    }

    fn check_server_quota(&self, project: Uuid, flavor: &Flavor) -> Answer<()> {
        let quotas = self.server_quotas(project);
        let (servers, cores, ram) = self.server_usage(project);
        let ask = [
            ("instances", 1, servers, quotas.instances),
            ("cores", i64::from(flavor.vcpus), cores, quotas.cores),
            (
                "ram",
                i64::try_from(flavor.ram).unwrap_or(i64::MAX),
                ram,
                quotas.ram,
            ),
        ];
        for (name, wanted, used, limit) in ask {
            if limit >= 0 && used.saturating_add(wanted) > limit {
                let text = format!(
                    "Quota exceeded for {name}: Requested {wanted}, but already used {used} of {limit} \
                     {name}"
                );
                return Err(fault(403, text));
            }
        }
        Ok(())
    }

    /// Reserves the volumes; on a refusal those reserved before are let go.
    fn take_disks(
        &mut self,
        caller: &Caller,
        server: Uuid,
        wanted: Vec<WantedDisk>,
    ) -> Answer<Vec<Disk>> {
        let mut disks: Vec<Disk> = Vec::new();
        for (place, disk) in wanted.into_iter().enumerate() {
            let (volume, made_by_nova) = match disk.source {
                DiskSource::Volume(volume) => (volume, false),
                DiskSource::Image(image, gib) => {
                    (self.nova_volume(caller, gib, Some(image), disk.kind), true)
                }
                DiskSource::Blank(gib) => (self.nova_volume(caller, gib, None, disk.kind), true),
            };
            let attachment = match self.reserve(volume, server) {
                Ok(attachment) => attachment,
                Err(text) => {
                    for disk in &disks {
                        if let Some(volume) = self.volume_mut(disk.volume) {
                            volume.release(server);
                        }
                    }
                    return Err(self.cinder_refusal(&text));
                }
            };
            disks.push(Disk {
                volume,
                attachment,
                mapping: self.ids.next(),
                device: disk.device.unwrap_or_else(|| device_name(place)),
                root: disk.root,
                delete_on_termination: disk.delete_on_termination,
                tag: disk.tag,
                made_by_nova,
            });
        }
        Ok(disks)
    }

    /// Cinder's 400 as Nova passes it on.
    pub(crate) fn cinder_refusal(&mut self, text: &str) -> Box<Reply> {
        let request = self.ids.next();
        fault(
            400,
            format!("Invalid volume: {text} (HTTP 400) (Request-ID: req-{request})"),
        )
    }

    /// A volume that Nova makes during a boot. It is `downloading` until the build writes it.
    fn nova_volume(
        &mut self,
        caller: &Caller,
        gib: u64,
        image: Option<Uuid>,
        kind: Option<Uuid>,
    ) -> Uuid {
        let id = self.ids.next();
        let mut volume = Volume::fresh(id, caller.project, caller.user, gib, self.now);
        volume.status = VolumeStatus::Downloading;
        volume.name = Some(String::new());
        volume.image = image;
        volume.image_properties = self.properties_of_image(image);
        volume.bootable = image.is_some();
        volume.kind = kind.or_else(|| self.volumes.default_kind());
        volume.host.clone_from(&self.options.volume_host);
        self.volumes.volumes.insert(id, volume);
        id
    }

    fn take_nics(
        &mut self,
        caller: &Caller,
        server: &mut Server,
        wanted: Vec<WantedNic>,
        groups: &[String],
    ) {
        for nic in wanted {
            let owner = PortOwner {
                device: server.id,
                zone: server.zone.clone(),
            };
            match nic.from {
                NicSource::Port(port) => {
                    self.network.bind(port, &owner);
                    server.nics.push(Nic {
                        port,
                        made_by_nova: false,
                        tag: nic.tag,
                    });
                }
                NicSource::Network(network, address)
                    if address.is_some() && !self.may_choose_in(caller, network) =>
                {
                    server.doomed = Some(no_host_left(server.id));
                }
                NicSource::Network(network, address) => {
                    match self.nova_port(caller.project, network, address, groups, &owner) {
                        Ok(port) => server.nics.push(Nic {
                            port,
                            made_by_nova: true,
                            tag: nic.tag,
                        }),
                        Err(why) => server.doomed = Some(aborted(server.id, &why)),
                    }
                }
            }
        }
    }

    /// The scheduler has decided.
    pub(crate) fn server_scheduled(&mut self, id: Uuid) {
        let Some(server) = self.compute.servers.get(id) else {
            return;
        };
        if server.state != VmState::Building || server.task == Some(Task::Deleting) {
            return;
        }
        let too_big = server.flavor.ram > self.options.compute_host_mib;
        if too_big || self.faults.is_away(Component::Placement) {
            return self.server_fails(id, 500, "No valid host was found. ");
        }
        if self.compute_seen_down() || self.must_be_elsewhere(server) {
            let text = "No valid host was found. There are not enough hosts available.";
            return self.server_fails(id, 500, text);
        }
        let host = self.options.compute_host.clone();
        if let Some(server) = self.server_mut(id) {
            server.host = Some(host);
            server.task = Some(Task::BlockDeviceMapping);
        }
    }

    /// The build is over, well or not.
    pub(crate) fn server_spawned(&mut self, id: Uuid) {
        let Some(server) = self.compute.servers.get(id).cloned() else {
            return;
        };
        if server.state != VmState::Building || server.task == Some(Task::Deleting) {
            return;
        }
        if self.faults.is_away(Component::CinderVolume)
            || self.faults.is_away(Component::NovaCompute)
        {
            self.later(Duration::from_secs(1), Job::ServerSpawned(id));
            return;
        }
        if let Some(why) = &server.doomed {
            return self.server_fails(id, 500, why);
        }
        let injected = self
            .faults
            .for_job(&id.to_string(), &server.name, |effect| match effect {
                JobEffect::ServerBuildError { message } => Some(message.clone()),
                _ => None,
            });
        if let Some(message) = injected {
            return self.server_fails(id, 500, &message);
        }
        if server.asked_to_fail("spawn") {
            return self.server_fails(id, 500, &no_host_left(id));
        }
        for disk in &server.disks {
            let volume = self.volumes.volumes.get(disk.volume).cloned();
            if let Some(volume) = volume.filter(|_| disk.made_by_nova)
                && self.write_volume(&volume).is_err()
            {
                let text = format!(
                    "Build of instance {id} aborted: Volume {} did not finish being created even after we waited 0 seconds or 1 attempts. And its status is error.",
                    volume.id
                );
                return self.server_fails(id, 500, &text);
            }
            self.connect(disk.volume, id, &disk.device);
        }
        let now = self.now;
        if let Some(server) = self.server_mut(id) {
            server.state = VmState::Active;
            server.task = None;
            server.launched = Some(now);
            server.fault = None;
        }
    }

    /// The server is `ERROR`, for this reason.
    pub(crate) fn server_fails(&mut self, id: Uuid, code: u16, message: &str) {
        let now = self.now;
        if let Some(server) = self.server_mut(id) {
            server.state = VmState::Error;
            server.task = None;
            server.fault = Some(ServerFault {
                code,
                message: message.to_owned(),
                created: now,
            });
        }
    }
}

fn aborted(server: Uuid, why: &str) -> String {
    format!("Build of instance {server} aborted: {why}")
}

/// What a build says that each host has failed.
fn no_host_left(server: Uuid) -> String {
    format!(
        "Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures for \
         instance {server}."
    )
}

/// What Nova refuses before it looks at anything else.
fn check_schema(given: &Value) -> Answer<()> {
    schema::tags(given)?;
    schema::hostname(given)?;
    schema::user_data(given)?;
    schema::flag(given, "config_drive", NOVA_FLAGS)?;
    schema::metadata_keys(given, "")
}

/// The host name that Nova makes of a server's first name.
pub(crate) fn hostname_of(name: &str) -> String {
    name.to_ascii_lowercase().replace([' ', '_', '.'], "-")
}

/// `/dev/vda`, `/dev/vdb`, …
pub(crate) fn device_name(place: usize) -> String {
    let letters = b"abcdefghijklmnopqrstuvwxyz";
    let letter = letters.get(place % letters.len()).copied().unwrap_or(b'z');
    format!("/dev/vd{}", char::from(letter))
}

fn tags_of(given: &Value) -> BTreeSet<String> {
    given
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tag| tag.as_str().map(str::to_owned))
        .collect()
}
