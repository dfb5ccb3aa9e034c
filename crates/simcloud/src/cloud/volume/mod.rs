//! Cinder: volumes and all that hangs on them.

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

pub(crate) use crate::cloud::volume::record::{AttachStatus, Volume, VolumeStatus};
use crate::cloud::{
    SimCloud,
    call::{Call, SimulatedService, uuid_of},
    identity::Caller,
    ids::IdSource,
    options::{CloudOptions, SimulatedQuotas, TypeSeed},
    reply::{Answer, Reply, fault, ok},
    table::Table,
    volume::{group::Group, kind::SimulatedType, snapshot::Snapshot, transfer::Transfer},
};

/// Newest minor version that is offered.
const NEWEST: u32 = 71;

/// The one refusal for all reasons why a volume cannot be deleted or unmanaged.
const NOT_DELETABLE: &str = "Invalid volume: Volume status must be available or error or error_restoring \
    or error_extending or error_managing and must not be migrating, attached, belong to a group, have \
    snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.";

/// The same for a forced delete, which does not look at the status.
const NOT_FORCE_DELETABLE: &str = "Invalid volume: Volume  must not be migrating, attached, belong to a \
    group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.";

pub(crate) struct BlockStorage {
    pub(crate) volumes: Table<Volume>,
    snapshots: Table<Snapshot>,
    groups: Table<Group>,
    transfers: Table<Transfer>,
    kinds: Table<SimulatedType>,
    group_kinds: Table<SimulatedType>,
    quotas: BTreeMap<Uuid, SimulatedQuotas>,
    service_uuid: Uuid,
}

impl BlockStorage {
    pub(crate) fn seed(options: &CloudOptions, ids: &IdSource) -> Self {
        let table = |label: &str, seeds: &[TypeSeed]| {
            let mut table = Table::default();
            for seed in seeds {
                let id = ids.fixed(label, &seed.name);
                table.insert(
                    id,
                    SimulatedType {
                        id,
                        name: seed.name.clone(),
                        specs: seed.specs.clone(),
                    },
                );
            }
            table
        };
        Self {
            volumes: Table::default(),
            snapshots: Table::default(),
            groups: Table::default(),
            transfers: Table::default(),
            kinds: table("volume_type", &options.volume_types),
            group_kinds: table("group_type", &options.group_types),
            quotas: BTreeMap::new(),
            service_uuid: ids.fixed("service", "cinder-volume"),
        }
    }

    pub(crate) fn default_kind(&self) -> Option<Uuid> {
        self.kinds.iter().next().map(|kind| kind.id)
    }

    pub(crate) fn kind_named(&self, name: &str) -> Option<Uuid> {
        self.kinds
            .iter()
            .find(|kind| kind.name == name)
            .map(|kind| kind.id)
    }
}

fn missing_volume(id: &str) -> Box<Reply> {
    fault(404, format!("Volume {id} could not be found."))
}

/// Refuses callers below role member, with Cinder's words.
fn need_member(caller: &Caller, rule: &str) -> Answer<()> {
    if caller.is_member() {
        Ok(())
    } else {
        Err(crate::cloud::reply::policy(rule))
    }
}

impl SimCloud {
    pub(crate) fn volume(&mut self, call: &mut Call<'_>) -> Answer {
        if call.method == http::Method::GET && call.segments.is_empty() {
            return Ok(Reply::json(
                300,
                &json!({"versions": [self.volume_version()]}),
            ));
        }
        if call.segments.first().map(String::as_str) != Some("v3") {
            return Err(fault(404, "The resource could not be found."));
        }
        if call.method == http::Method::GET && call.segments.len() == 1 {
            return ok(json!({"versions": [self.volume_version()]}));
        }
        Self::negotiate(call, "volume", 3, 0, NEWEST)?;
        let caller = self.caller(call)?;
        call.segments.remove(0);
        self.strip_project(call, &caller)?;
        let call = &*call;
        let parts: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [] => ok(json!({"versions": [self.volume_version()]})),
            ["volumes", rest @ ..] => self.volume_calls(call, &caller, rest),
            ["manageable_volumes" | "os-volume-manage", rest @ ..] => {
                self.manageable_volumes(call, &caller, rest)
            }
            ["attachments", rest @ ..] => self.attachments(call, &caller, rest),
            ["types", rest @ ..] => self.volume_types(call, &caller, rest),
            ["group_types", rest @ ..] => self.group_types(call, &caller, rest),
            ["groups", rest @ ..] => self.groups(call, &caller, rest),
            ["snapshots", rest @ ..] => self.snapshots(call, &caller, rest),
            ["volume-transfers" | "os-volume-transfer", rest @ ..] => {
                self.transfers(call, &caller, rest)
            }
            _ => self.volume_service(call, &caller, &parts),
        }
    }

    /// Takes the project's id off the path: it must be the token's.
    fn strip_project(&self, call: &mut Call<'_>, caller: &Caller) -> Answer<()> {
        let Some(first) = call.segments.first() else {
            return Ok(());
        };
        let Some(project) = uuid_of(first).filter(|_| first.len() == 32) else {
            return Ok(());
        };
        if project != caller.project {
            return Err(fault(400, "Malformed request url"));
        }
        call.segments.remove(0);
        Ok(())
    }

    fn volume_version(&self) -> serde_json::Value {
        json!({
            "id": "v3.0",
            "status": "CURRENT",
            "version": format!("3.{NEWEST}"),
            "min_version": "3.0",
            "updated": "2024-08-01T00:00:00Z",
            "links": [
                {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                {"rel": "self", "href": format!("{}/v3/", self.service_url(SimulatedService::Volume))},
            ],
            "media-types": [{
                "base": "application/json",
                "type": "application/vnd.openstack.volume+json;version=3",
            }],
        })
    }

    /// A volume that the caller may see.
    fn volume_of(&self, caller: &Caller, id: &str) -> Answer<&Volume> {
        uuid_of(id)
            .and_then(|id| self.volumes.volumes.get(id))
            .filter(|volume| caller.sees(volume.project))
            .ok_or_else(|| missing_volume(id))
    }

    pub(crate) fn volume_mut(&mut self, id: Uuid) -> Option<&mut Volume> {
        let now = self.now;
        let volume = self.volumes.volumes.get_mut(id)?;
        volume.updated = now;
        Some(volume)
    }
}

pub mod attachment;
pub mod group;
pub mod kind;
pub mod manage;
pub mod record;
pub mod service;
pub mod snapshot;
pub mod transfer;
pub mod view;
pub mod volumes;
