//! Servers that run from the start.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::cloud::{
    SimCloud, SimTime,
    compute::{
        Server,
        boot::device_name,
        record::{Disk, Nic, VmState},
    },
    network::PortOwner,
    options::ServerSeed,
    volume::{Volume, VolumeStatus},
};

impl SimCloud {
    /// Makes the servers of the options; a seed that names something unknown is left out.
    pub(crate) fn seed_servers(&mut self) {
        for seed in self.options.servers.clone() {
            let _ = self.seed_server(&seed);
        }
    }

    fn seed_server(&mut self, seed: &ServerSeed) -> Option<Uuid> {
        let project = self.identity.project_named(&seed.project)?.id;
        let user = self.identity.user_named(&seed.user)?.id;
        let flavor = self
            .compute
            .flavors
            .iter()
            .find(|row| row.name == seed.flavor)?
            .clone();
        let network = self
            .network
            .networks
            .iter()
            .find(|row| row.name == seed.network)?
            .id;
        let kind = self.volumes.kind_named(&seed.volume_type)?;
        let image = seed
            .image
            .as_deref()
            .and_then(|name| self.images.named(name));
        let id = self.ids.fixed("server", &seed.name);
        let groups = vec!["default".to_owned()];
        let owner = PortOwner {
            device: id,
            zone: "nova".to_owned(),
        };
        let port = self
            .nova_port(project, network, None, &groups, &owner)
            .ok()?;
        let sizes: Vec<u64> = std::iter::once(seed.boot_gib)
            .chain(seed.data_gib.clone())
            .collect();
        let mut disks = Vec::new();
        for (place, gib) in sizes.into_iter().enumerate() {
            let name = match place {
                0 => format!("{}-boot", seed.name),
                number => format!("{}-data-{number}", seed.name),
            };
            let volume = self.ids.fixed("volume", &name);
            let mut row = Volume::fresh(volume, project, user, gib, SimTime::ZERO);
            row.name = Some(name);
            row.kind = Some(kind);
            row.status = VolumeStatus::Available;
            row.image = image.filter(|_| place == 0);
            row.image_properties = self.properties_of_image(row.image);
            row.bootable = place == 0;
            row.host.clone_from(&self.options.volume_host);
            self.write_volume(&row).ok()?;
            self.volumes.volumes.insert(volume, row);
            let attachment = self.reserve(volume, id).ok()?;
            let device = device_name(place);
            self.connect(volume, id, &device);
            disks.push(Disk {
                volume,
                attachment,
                mapping: self.ids.next(),
                device,
                root: place == 0,
                delete_on_termination: false,
                tag: None,
                made_by_nova: false,
            });
        }
        let server = Server {
            id,
            name: seed.name.clone(),
            project,
            user,
            state: VmState::Active,
            task: None,
            lock: None,
            flavor,
            image: None,
            key_name: None,
            metadata: BTreeMap::clone(&seed.metadata),
            hostname: None,
            pinned_zone: None,
            group: None,
            user_data: None,
            zone: "nova".to_owned(),
            config_drive: false,
            description: None,
            tags: BTreeSet::new(),
            security_groups: groups,
            disks,
            nics: vec![Nic {
                port,
                made_by_nova: true,
                tag: None,
            }],
            host: Some(self.options.compute_host.clone()),
            created: SimTime::ZERO,
            updated: SimTime::ZERO,
            launched: Some(SimTime::ZERO),
            fault: None,
            started_beside_nova: false,
            off_in_error: false,
            doomed: None,
            actions: Vec::new(),
        };
        self.compute.servers.insert(id, server);
        Some(id)
    }
}
