//! The people of a world: what they do to its clouds and to its groups, each with its own login.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use protector_core::{
    fixtures,
    group::{Group, GroupStatus},
    id::{GroupId, MemberId, ServerId, VolumeId},
    member::{Member, ProtectedVolume},
    site::SiteScope,
};
use protector_simcloud::{
    cloud::ServerFacts,
    in_process::{SharedCloud, lock},
};
use serde_json::json;

use crate::{
    act::{Act, Stroke, WorldSite},
    life::WorldWatch,
    login::Login,
    memory_journal::Backup,
    trouble,
    world::World,
};

/// How often somebody who waits for a volume looks, in seconds, and how often at most.
const PATIENCE: (u64, u32) = (1, 30);

/// Everybody but the engines.
pub(crate) struct People {
    life: Arc<WorldWatch>,
    group: Group,
    /// The member whose servers and volumes they act on.
    member: Member,
    /// The disk from which it boots, and its last one.
    root: String,
    tenants: BTreeMap<WorldSite, Login>,
    strangers: BTreeMap<WorldSite, Login>,
    /// The database as it was when the story began.
    backup: Backup,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The volumes of the server that was deleted last.
    volumes_of_deleted: Vec<String>,
    /// The volume that was made last.
    made: Option<String>,
    /// The offer of a volume: id and key.
    offer: Option<(String, String)>,
}

impl People {
    /// The people around the first member of `world`'s group.
    pub fn of(world: &World, life: &Arc<WorldWatch>) -> Option<Arc<Self>> {
        let (group, members) = world.journal.group(&world.group)?;
        let member = members.into_iter().next()?;
        let boot = member.volumes.first()?.id.clone();
        let root = life.contents_of(WorldSite::Source, boot.as_str())?.disk;
        let logins = |project: &str| {
            let login = |(place, ground): (&WorldSite, &crate::life::Ground)| {
                (*place, Login::of(&ground.cloud, project, project))
            };
            life.grounds.iter().map(login).collect()
        };
        Some(Arc::new(Self {
            life: Arc::clone(life),
            group,
            member,
            root,
            tenants: logins("demo"),
            strangers: logins("other"),
            backup: world.journal.backup(),
            memory: Mutex::default(),
        }))
    }

    /// Does what is to be done now, and the rest when it is time.
    pub fn act(self: &Arc<Self>, act: Act) {
        let mut strokes = act.deed.strokes();
        if let Some((pause, _)) = strokes.first_mut() {
            *pause += act.after;
        }
        let mut strokes = strokes.into_iter().peekable();
        while let Some((_, stroke)) = strokes.next_if(|(pause, _)| *pause == 0) {
            if !self.strike(stroke) {
                self.strike_later(vec![(1, stroke)].into_iter().chain(strokes).collect());
                return;
            }
        }
        self.strike_later(strokes.collect());
    }

    fn strike_later(self: &Arc<Self>, strokes: Vec<(u64, Stroke)>) {
        if strokes.is_empty() {
            return;
        }
        let people = Arc::clone(self);
        tokio::spawn(async move {
            for (pause, stroke) in strokes {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                people.insist(stroke).await;
            }
        });
    }

    /// Somebody who waits for something tries again for a while.
    async fn insist(&self, stroke: Stroke) {
        let (pause, tries) = PATIENCE;
        for _ in 0..tries {
            if self.strike(stroke) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }

    /// Does it; false: not yet possible, and worth another try.
    fn strike(&self, stroke: Stroke) -> bool {
        match stroke {
            Stroke::Start(place) => self.start(place),
            Stroke::Stop(place) => self.stop(place),
            Stroke::DeleteServer(place) => self.delete_server(place),
            Stroke::DeleteVolumes(place) => return self.delete_volumes(place),
            Stroke::MakeVolume(place) => self.make_volume(place),
            Stroke::AttachVolume(place) => self.attach_volume(place),
            Stroke::DetachVolume(place) => self.detach_volume(place),
            Stroke::Snapshot(place) => self.snapshot(place),
            Stroke::OfferVolume(place) => return self.offer_volume(place),
            Stroke::AcceptVolume(place) => self.accept_volume(place),
            Stroke::CopyMarks => self.copy_marks(),
            Stroke::Protect(place) => self.protect(place),
            Stroke::EditMappings => self.edit_mappings(),
            Stroke::CutOff(place) => {
                self.with_cloud(place, trouble::cut_off);
                self.life.note_cut_off(place);
            }
            Stroke::Reconnect(place) => {
                self.with_cloud(place, trouble::reconnect);
                self.life.note_reconnected(place);
            }
            Stroke::Restore => self.life.restore(&self.backup),
            Stroke::LoseDeletion(place) => self.with_cloud(place, trouble::lose_next_deletion),
        }
        true
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(&self, place: WorldSite) -> Option<ServerFacts> {
        self.life.server_of(place, &self.root)
    }

    fn with_cloud(&self, place: WorldSite, change: impl FnOnce(&SharedCloud)) {
        if let Some(ground) = self.life.grounds.get(&place) {
            change(&ground.cloud);
        }
    }

    /// The server there and who may act on it.
    fn at(&self, place: WorldSite) -> Option<(ServerFacts, &Login)> {
        Some((self.server(place)?, self.tenants.get(&place)?))
    }

    fn start(&self, place: WorldSite) {
        let Some((server, tenant)) = self.at(place) else {
            return;
        };
        let started = tenant.act_on_server(&server.id, &json!({"os-start": null}));
        if started.is_success() {
            self.life.note_started(&server.id);
            self.life.note_touched([server.id]);
        }
    }

    fn stop(&self, place: WorldSite) {
        let Some((server, tenant)) = self.at(place) else {
            return;
        };
        let stopped = tenant.act_on_server(&server.id, &json!({"os-stop": null}));
        if stopped.is_success() {
            self.life.note_stopped(&server.id);
            self.life.note_touched([server.id]);
        }
    }

    fn delete_server(&self, place: WorldSite) {
        let Some((server, tenant)) = self.at(place) else {
            return;
        };
        let path = format!("/compute/v2.1/servers/{}", server.id);
        if tenant.ask("DELETE", &path, None).is_success() {
            self.memory().volumes_of_deleted = server.volumes;
            self.life.note_deleted([server.id]);
        }
    }

    /// Those of the server that was deleted; false while one is still held.
    fn delete_volumes(&self, place: WorldSite) -> bool {
        let volumes = std::mem::take(&mut self.memory().volumes_of_deleted);
        let Some(tenant) = self.tenants.get(&place) else {
            return true;
        };
        let mut held = Vec::new();
        for volume in volumes {
            // Before it is asked for: what it holds may be gone with the next look.
            self.life.note_deleted([volume.clone()]);
            let answer = tenant.ask_cinder("DELETE", &format!("/volumes/{volume}"), None);
            if answer.status == 400 {
                held.push(volume);
            }
        }
        let done = held.is_empty();
        self.memory().volumes_of_deleted = held;
        done
    }

    fn make_volume(&self, place: WorldSite) {
        let Some(tenant) = self.tenants.get(&place) else {
            return;
        };
        let body = json!({"volume": {"size": 1, "name": "more"}});
        let answer = tenant.ask_cinder("POST", "/volumes", Some(&body));
        self.memory().made = answer.body["volume"]["id"].as_str().map(str::to_owned);
    }

    fn attach_volume(&self, place: WorldSite) {
        let made = self.memory().made.clone();
        let (Some((server, tenant)), Some(volume)) = (self.at(place), made) else {
            return;
        };
        // A disk of its own, which can be told from all others.
        if let Some(ground) = self.life.grounds.get(&place) {
            let mut objects = ground
                .objects
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let name = format!("volume-{volume}");
            if let Some(object) = objects.get_mut(&name) {
                object.bytes = Bytes::from(format!("bytes of {name}"));
            }
        }
        let path = format!("/compute/v2.1/servers/{}/os-volume_attachments", server.id);
        let body = json!({"volumeAttachment": {"volumeId": volume}});
        if tenant.ask("POST", &path, Some(&body)).is_success() {
            self.life.note_touched([server.id]);
        }
    }

    fn detach_volume(&self, place: WorldSite) {
        let Some((server, tenant)) = self.at(place) else {
            return;
        };
        let Some(volume) = server.volumes.last() else {
            return;
        };
        let path = format!(
            "/compute/v2.1/servers/{}/os-volume_attachments/{volume}",
            server.id
        );
        if tenant.ask("DELETE", &path, None).is_success() {
            let touched = [server.id.clone(), volume.clone()];
            self.life.note_touched(touched);
        }
    }

    /// The last volume of the member there, whether or not its server is.
    fn last_volume(&self, place: WorldSite) -> Option<String> {
        let of_server = self
            .server(place)
            .and_then(|server| server.volumes.last().cloned());
        let of_member = || {
            let last = self.member.volumes.last()?;
            (place == WorldSite::Source).then(|| last.id.to_string())
        };
        of_server.or_else(of_member)
    }

    fn snapshot(&self, place: WorldSite) {
        let (Some(volume), Some(tenant)) = (self.last_volume(place), self.tenants.get(&place))
        else {
            return;
        };
        let body = json!({"snapshot": {"volume_id": volume, "name": "findings", "force": true}});
        if tenant
            .ask_cinder("POST", "/snapshots", Some(&body))
            .is_success()
        {
            self.life.note_touched([volume]);
        }
    }

    /// False while something holds the volume.
    fn offer_volume(&self, place: WorldSite) -> bool {
        let (Some(volume), Some(tenant)) = (self.last_volume(place), self.tenants.get(&place))
        else {
            return true;
        };
        let body = json!({"transfer": {"volume_id": volume}});
        let offer = tenant.ask_cinder("POST", "/volume-transfers", Some(&body));
        if !offer.is_success() {
            return offer.status == 404;
        }
        let text = |key: &str| offer.body["transfer"][key].as_str().map(str::to_owned);
        self.memory().offer = text("id").zip(text("auth_key"));
        self.life.note_touched([volume]);
        true
    }

    fn accept_volume(&self, place: WorldSite) {
        let offer = self.memory().offer.take();
        let (Some((id, key)), Some(stranger)) = (offer, self.strangers.get(&place)) else {
            return;
        };
        let path = format!("/volume-transfers/{id}/accept");
        stranger.ask_cinder("POST", &path, Some(&json!({"accept": {"auth_key": key}})));
    }

    /// From the copy to the server beside it, with its volumes.
    fn copy_marks(&self) {
        let Some((copy, tenant)) = self.at(WorldSite::Target) else {
            return;
        };
        let Some(ground) = self.life.grounds.get(&WorldSite::Target) else {
            return;
        };
        let (servers, volumes) = {
            let cloud = lock(&ground.cloud);
            (cloud.servers(), cloud.volumes())
        };
        let Some(beside) = servers.first().filter(|server| server.id != copy.id) else {
            return;
        };
        let path = format!("/compute/v2.1/servers/{}/metadata", beside.id);
        tenant.ask("POST", &path, Some(&json!({"metadata": copy.metadata})));
        let marks_of = |id: &String| {
            let volume = volumes.iter().find(|volume| volume.id == *id);
            volume.map(|volume| volume.metadata.clone())
        };
        for (volume, of) in beside.volumes.iter().zip(&copy.volumes) {
            let path = format!("/volumes/{volume}/metadata");
            let body = json!({"metadata": marks_of(of).unwrap_or_default()});
            tenant.ask_cinder("POST", &path, Some(&body));
        }
    }

    /// In a group of its own, as long as it is in none.
    fn protect(&self, place: WorldSite) {
        let Some((server, _)) = self.at(place) else {
            return;
        };
        let is_member = |(_, members): &(Group, Vec<Member>)| {
            members
                .iter()
                .any(|member| member.server_id.as_str() == server.id)
        };
        if self.life.journal.groups().iter().any(is_member) {
            return;
        }
        let id = GroupId::new("5f3c0000-0000-4000-8000-000000000002");
        let scope = |of: WorldSite| -> SiteScope {
            match of {
                WorldSite::Source => self.group.primary.clone(),
                WorldSite::Target => self.group.secondary.clone(),
            }
        };
        let group = Group {
            id: id.clone(),
            name: "protected-again".into(),
            primary: scope(place),
            secondary: scope(place.other()),
            current_primary_site: scope(place).site,
            status: GroupStatus::Active,
            ..self.group.clone()
        };
        let volume = |(place, id): (usize, &String)| ProtectedVolume {
            id: VolumeId::new(id.clone()),
            boot: place == 0,
            ..self
                .member
                .volumes
                .first()
                .cloned()
                .unwrap_or_else(|| fixtures::volume(""))
        };
        let member = Member {
            id: MemberId::new("member-protected-again"),
            group_id: id,
            server_id: ServerId::new(server.id.clone()),
            volumes: server.volumes.iter().enumerate().map(volume).collect(),
            ..self.member.clone()
        };
        self.life.journal.put_group(group, vec![member]);
    }

    fn edit_mappings(&self) {
        if let Some((mut group, members)) = self.life.journal.group(&self.group.id) {
            for target in group.mappings.networks.values_mut() {
                *target = "00000000-0000-4000-8000-000000000000".to_owned();
            }
            self.life.journal.put_group(group, members);
        }
    }
}
