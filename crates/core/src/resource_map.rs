//! The operation's map: what each source id became, and what else the steps tell each other.

use std::{collections::BTreeMap, net::IpAddr};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{FloatingIpId, GroupId, OperationId, RecoveryPointId, ServerId, UserId, VolumeId};

/// What an operation made or found: the product's memory of which id became which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapKind {
    /// Source server → target server.
    Server,
    /// Source volume → target volume.
    Volume,
    /// Source volume → the promoted object, or the clone, on the target's array, by its reference there.
    Promoted,
    /// Group → the recovery point of the final replication, or the one that a test failover clones.
    RecoveryPoint,
    /// Volume type on the target → the Cinder host (`host@backend#pool`) that imports volumes.
    BackendHost,
    /// Source server → its status word before it was touched, where its copy is to have the same (`SHUTOFF`).
    PowerState,
    /// Source server → what it became when its group came back to the source site.
    ReturnedServer,
    /// Source volume → what it became when its group came back to the source site.
    ReturnedVolume,
    /// Source server or volume → the protection group that it has become a member of since, by name.
    ProtectedBy,
    /// Group → the time whose data the recovery point holds, RFC 3339.
    RecoveryPointTime,
    /// Source server → its copy, once it was built, healthy, and answered its probe.
    Recovered,
    /// Source server → the status in which it was found stopped on the site that was lost.
    Fenced,
    /// A pause's key → the user who let the operation go on. Written by the API while an engine walks the operation.
    Resumed,
    /// The operation → the user who asked that it be given up. Written by the API while an engine walks the operation.
    Aborted,
    /// Source server → the status in which it was found after a move away from it was given up.
    StartedAgain,
    /// Source server → the compute host that it was last seen on; empty if it was on none.
    ComputeHost,
    /// Source server → the user who asked, with `--delete-running`, that it, or its copy where that is taken back, is
    /// deleted though it runs. Of the cleanup that was asked for alone.
    DeleteRunning,
    /// Source server → the newest request that was made of it when it was checked, then when it was found stopped, by
    /// Nova's id; empty if none ever was. What is newer was asked for since.
    LastAction,
    /// The operation → the user who asked that it be given up because its target is lost: what is there is left, and a server
    /// of the source starts again though that does not answer. Written by the API while an engine walks the operation.
    TargetIsLost,
    /// Source volume → its size in GiB when its server was found stopped.
    VolumeSize,
    /// Source server → the user who asked, with a retry, that what it has written since the recovery point be lost. Of the
    /// retry that was asked for alone.
    NewerIsLost,
    /// Source server and the number of its network card, `<server>/0` → the port of its copy.
    Port,
    /// Server group of the source → the one that stands for it on the target.
    ServerGroup,
    /// Floating IP of the source, by its id → its address, once it was released.
    ReleasedFloatingIp,
}

impl MapKind {
    /// The word kept in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Volume => "volume",
            Self::Promoted => "promoted",
            Self::RecoveryPoint => "recovery_point",
            Self::BackendHost => "backend_host",
            Self::PowerState => "power_state",
            Self::ReturnedServer => "returned_server",
            Self::ReturnedVolume => "returned_volume",
            Self::ProtectedBy => "protected_by",
            Self::RecoveryPointTime => "recovery_point_time",
            Self::Recovered => "recovered",
            Self::Fenced => "fenced",
            Self::Resumed => "resumed",
            Self::Aborted => "aborted",
            Self::StartedAgain => "started_again",
            Self::ComputeHost => "compute_host",
            Self::DeleteRunning => "delete_running",
            Self::LastAction => "last_action",
            Self::TargetIsLost => "target_is_lost",
            Self::VolumeSize => "volume_size",
            Self::NewerIsLost => "newer_is_lost",
            Self::Port => "port",
            Self::ServerGroup => "server_group",
            Self::ReleasedFloatingIp => "released_floating_ip",
        }
    }
}

/// What a step writes to the map. Here alone it becomes the kind, source and target that are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// A server of the source, and what stands for it on the target.
    Server { source: ServerId, target: ServerId },
    /// A volume of the source, and what stands for it on the target.
    Volume { source: VolumeId, target: VolumeId },
    /// The object on the target's array that was promoted, or cloned, of a volume.
    Promoted { volume: VolumeId, object: String },
    /// The recovery point that the group is moved, or tested, with.
    RecoveryPoint {
        group: GroupId,
        point: RecoveryPointId,
    },
    /// The time whose data that holds.
    RecoveryPointTime { group: GroupId, time: DateTime<Utc> },
    /// The Cinder host of the target that imports volumes.
    BackendHost { host: String },
    /// The status word of a server before it was touched.
    PowerState { server: ServerId, status: String },
    /// A server of the source, and its counterpart once that answered its probe.
    Recovered { source: ServerId, target: ServerId },
    /// The status in which a server was found stopped.
    Fenced { server: ServerId, status: String },
    /// The status in which a server was found once its move was given up.
    StartedAgain { server: ServerId, status: String },
    /// The compute host that a server was last seen on.
    ComputeHost { server: ServerId, host: String },
    /// The newest request that was made of a server; empty if none ever was.
    LastAction {
        server: ServerId,
        request_id: String,
    },
    /// A volume's size when its server was found stopped.
    VolumeSize { volume: VolumeId, gib: u64 },
    /// The port of the counterpart that stands for a network card of a server, by its number from 0.
    Port {
        server: ServerId,
        card: usize,
        port: String,
    },
    /// A server group of the source, and what stands for it on the target.
    ServerGroup { source: String, target: String },
    /// A floating IP of the source that was released.
    ReleasedFloatingIp { id: FloatingIpId, address: IpAddr },
}

/// The source of the entry that names the host of imports: there is one for all volumes.
const IMPORT_HOST: &str = "target";

/// The source of the entry for the port of the network card `card` of `server`.
pub fn port_key(server: &ServerId, card: usize) -> String {
    format!("{server}/{card}")
}

impl Mapped {
    /// As it is stored: kind, source, target.
    pub fn stored(self) -> (MapKind, String, String) {
        match self {
            Self::Server { source, target } => {
                (MapKind::Server, source.to_string(), target.to_string())
            }
            Self::Volume { source, target } => {
                (MapKind::Volume, source.to_string(), target.to_string())
            }
            Self::Promoted { volume, object } => (MapKind::Promoted, volume.to_string(), object),
            Self::RecoveryPoint { group, point } => {
                (MapKind::RecoveryPoint, group.to_string(), point.to_string())
            }
            Self::RecoveryPointTime { group, time } => (
                MapKind::RecoveryPointTime,
                group.to_string(),
                time.to_rfc3339_opts(SecondsFormat::Secs, true),
            ),
            Self::BackendHost { host } => (MapKind::BackendHost, IMPORT_HOST.to_owned(), host),
            Self::PowerState { server, status } => {
                (MapKind::PowerState, server.to_string(), status)
            }
            Self::Recovered { source, target } => {
                (MapKind::Recovered, source.to_string(), target.to_string())
            }
            Self::Fenced { server, status } => (MapKind::Fenced, server.to_string(), status),
            Self::StartedAgain { server, status } => {
                (MapKind::StartedAgain, server.to_string(), status)
            }
            Self::ComputeHost { server, host } => (MapKind::ComputeHost, server.to_string(), host),
            Self::LastAction { server, request_id } => {
                (MapKind::LastAction, server.to_string(), request_id)
            }
            Self::VolumeSize { volume, gib } => {
                (MapKind::VolumeSize, volume.to_string(), gib.to_string())
            }
            Self::Port { server, card, port } => (MapKind::Port, port_key(&server, card), port),
            Self::ServerGroup { source, target } => (MapKind::ServerGroup, source, target),
            Self::ReleasedFloatingIp { id, address } => (
                MapKind::ReleasedFloatingIp,
                id.to_string(),
                address.to_string(),
            ),
        }
    }
}

/// The operation's map of source ids to target ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceMap(BTreeMap<(MapKind, String), String>);

impl ResourceMap {
    /// Remembers that `source` became `target`.
    pub fn insert(&mut self, kind: MapKind, source: impl Into<String>, target: impl Into<String>) {
        self.0.insert((kind, source.into()), target.into());
    }

    /// Forgets what `source` became: it is gone.
    pub fn remove(&mut self, kind: MapKind, source: &str) {
        self.0.remove(&(kind, source.to_owned()));
    }

    /// What `source` became.
    pub fn target(&self, kind: MapKind, source: &str) -> Option<&str> {
        self.0.get(&(kind, source.to_owned())).map(String::as_str)
    }

    fn id<T: From<String>>(&self, kind: MapKind, source: &str) -> Option<T> {
        self.text(kind, source).map(T::from)
    }

    fn text(&self, kind: MapKind, source: &str) -> Option<String> {
        self.target(kind, source).map(str::to_owned)
    }

    /// All entries, ordered by kind and source.
    pub fn iter(&self) -> impl Iterator<Item = (MapKind, &str, &str)> {
        self.0
            .iter()
            .map(|((kind, source), target)| (*kind, source.as_str(), target.as_str()))
    }
}

/// What the map has, read as [`Mapped`] writes it. What users have asked for is written where an operation is made, or by the
/// API while an engine walks it.
impl ResourceMap {
    /// The counterpart of a server on the target.
    pub fn server(&self, source: &ServerId) -> Option<ServerId> {
        self.id(MapKind::Server, source.as_str())
    }

    /// The counterpart of a volume on the target.
    pub fn volume(&self, source: &VolumeId) -> Option<VolumeId> {
        self.id(MapKind::Volume, source.as_str())
    }

    /// The object on the target's array that was promoted, or cloned, of a volume.
    pub fn promoted(&self, volume: &VolumeId) -> Option<String> {
        self.text(MapKind::Promoted, volume.as_str())
    }

    /// The recovery point that the group is moved, or tested, with.
    pub fn recovery_point(&self, group: &GroupId) -> Option<RecoveryPointId> {
        self.id(MapKind::RecoveryPoint, group.as_str())
    }

    /// The time whose data that holds, RFC 3339; of an operation alone that chose one on the target.
    pub fn recovery_point_time(&self, group: &GroupId) -> Option<String> {
        self.text(MapKind::RecoveryPointTime, group.as_str())
    }

    /// The Cinder host of the target that imports volumes.
    pub fn import_host(&self) -> Option<String> {
        self.text(MapKind::BackendHost, IMPORT_HOST)
    }

    /// The status word of a server before it was touched, where its counterpart is to have the same.
    pub fn power_state(&self, server: &ServerId) -> Option<String> {
        self.text(MapKind::PowerState, server.as_str())
    }

    /// What a server became when its group came back to the source.
    pub fn returned_server(&self, source: &ServerId) -> Option<ServerId> {
        self.id(MapKind::ReturnedServer, source.as_str())
    }

    /// What a volume became when its group came back to the source.
    pub fn returned_volume(&self, source: &VolumeId) -> Option<VolumeId> {
        self.id(MapKind::ReturnedVolume, source.as_str())
    }

    /// The counterpart of a server, once it answered its probe.
    pub fn recovered(&self, source: &ServerId) -> Option<ServerId> {
        self.id(MapKind::Recovered, source.as_str())
    }

    /// The status in which a server was found once its move was given up.
    pub fn started_again(&self, server: &ServerId) -> Option<String> {
        self.text(MapKind::StartedAgain, server.as_str())
    }

    /// The compute host that a server was last seen on; empty if it was on none.
    pub fn compute_host(&self, server: &ServerId) -> Option<String> {
        self.text(MapKind::ComputeHost, server.as_str())
    }

    /// The newest request that was made of a server when it was checked, then when it was found stopped; empty if none was.
    pub fn last_action(&self, server: &ServerId) -> Option<String> {
        self.text(MapKind::LastAction, server.as_str())
    }

    /// A volume's size in GiB when its server was found stopped.
    pub fn volume_size(&self, volume: &VolumeId) -> Option<u64> {
        let gib = self.target(MapKind::VolumeSize, volume.as_str())?;
        gib.parse().ok()
    }

    /// The port of the counterpart that stands for a network card of a server, by its number from 0.
    pub fn port(&self, server: &ServerId, card: usize) -> Option<String> {
        self.text(MapKind::Port, &port_key(server, card))
    }

    /// What stands for a server group of the source on the target.
    pub fn server_group(&self, source: &str) -> Option<String> {
        self.text(MapKind::ServerGroup, source)
    }

    /// Who asked that a server, or its counterpart, is deleted though it runs.
    pub fn delete_running(&self, server: &ServerId) -> Option<UserId> {
        self.id(MapKind::DeleteRunning, server.as_str())
    }

    /// Who asked that what a server has written since the recovery point be lost.
    pub fn newer_is_lost(&self, server: &ServerId) -> Option<UserId> {
        self.id(MapKind::NewerIsLost, server.as_str())
    }

    /// Whether somebody has said that the operation's target is lost.
    pub fn target_is_lost(&self, operation: &OperationId) -> bool {
        self.target(MapKind::TargetIsLost, operation.as_str())
            .is_some()
    }

    /// Who let the operation go on behind the pause of this step key.
    pub fn resumed_by(&self, pause: &str) -> Option<UserId> {
        self.id(MapKind::Resumed, pause)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    /// Operations of earlier releases are read by these.
    #[test]
    fn entries_are_stored_as_they_always_were() {
        let server = || ServerId::new("server");
        let time = Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap();
        let group = GroupId::new("group");
        for (entry, kind, source, target) in [
            (
                Mapped::Server {
                    source: server(),
                    target: "copy".into(),
                },
                MapKind::Server,
                "server",
                "copy",
            ),
            (
                Mapped::RecoveryPointTime { group, time },
                MapKind::RecoveryPointTime,
                "group",
                "2025-11-03T14:00:00Z",
            ),
            (
                Mapped::BackendHost {
                    host: "host@pool".to_owned(),
                },
                MapKind::BackendHost,
                "target",
                "host@pool",
            ),
            (
                Mapped::VolumeSize {
                    volume: "volume".into(),
                    gib: 20,
                },
                MapKind::VolumeSize,
                "volume",
                "20",
            ),
            (
                Mapped::Port {
                    server: server(),
                    card: 1,
                    port: "port".to_owned(),
                },
                MapKind::Port,
                "server/1",
                "port",
            ),
        ] {
            let stored = (kind, source.to_owned(), target.to_owned());
            assert_eq!(entry.stored(), stored);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (server, volume) = (ServerId::new("server"), VolumeId::new("volume"));
        let group = GroupId::new("group");
        let time = Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap();
        let id = || server.clone();
        let mut map = ResourceMap::default();
        for entry in [
            Mapped::Server {
                source: id(),
                target: "copy".into(),
            },
            Mapped::Volume {
                source: volume.clone(),
                target: "volume-copy".into(),
            },
            Mapped::Promoted {
                volume: volume.clone(),
                object: "object".to_owned(),
            },
            Mapped::RecoveryPoint {
                group: group.clone(),
                point: "point".into(),
            },
            Mapped::RecoveryPointTime {
                group: group.clone(),
                time,
            },
            Mapped::BackendHost {
                host: "host@pool".to_owned(),
            },
            Mapped::PowerState {
                server: id(),
                status: "SHUTOFF".to_owned(),
            },
            Mapped::Recovered {
                source: id(),
                target: "recovered".into(),
            },
            Mapped::StartedAgain {
                server: id(),
                status: "ACTIVE".to_owned(),
            },
            Mapped::ComputeHost {
                server: id(),
                host: "compute-1".to_owned(),
            },
            Mapped::LastAction {
                server: id(),
                request_id: "req-1".to_owned(),
            },
            Mapped::VolumeSize {
                volume: volume.clone(),
                gib: 20,
            },
            Mapped::Port {
                server: id(),
                card: 1,
                port: "port".to_owned(),
            },
            Mapped::ServerGroup {
                source: "group-a".to_owned(),
                target: "group-b".to_owned(),
            },
        ] {
            let (kind, source, target) = entry.stored();
            map.insert(kind, source, target);
        }
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(map.server(&server), Some("copy".into()));
        assert_eq!(map.volume(&volume), Some("volume-copy".into()));
        assert_eq!(map.promoted(&volume), some("object"));
        assert_eq!(map.recovery_point(&group), Some("point".into()));
        assert_eq!(
            map.recovery_point_time(&group),
            some("2025-11-03T14:00:00Z")
        );
        assert_eq!(map.import_host(), some("host@pool"));
        assert_eq!(map.power_state(&server), some("SHUTOFF"));
        assert_eq!(map.recovered(&server), Some("recovered".into()));
        assert_eq!(map.started_again(&server), some("ACTIVE"));
        assert_eq!(map.compute_host(&server), some("compute-1"));
        assert_eq!(map.last_action(&server), some("req-1"));
        assert_eq!(map.volume_size(&volume), Some(20));
        assert_eq!(map.port(&server, 1), some("port"));
        assert_eq!(map.port(&server, 0), None);
        assert_eq!(map.server_group("group-a"), some("group-b"));
    }
}
