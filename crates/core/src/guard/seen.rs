//! Servers and volumes as their cloud shows them right now, reduced to what guards look at.

use std::collections::BTreeMap;

/// A volume as its cloud shows it right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVolume {
    /// Its status word.
    pub status: String,
    /// The project that owns it, where the cloud shows it.
    pub project_id: Option<String>,
    /// Its attachments.
    pub attachments: Vec<SeenAttachment>,
    /// The generic group that it belongs to.
    pub group_id: Option<String>,
    /// Its migration, if one is under way.
    pub migration_status: Option<String>,
    /// Its snapshots' ids.
    pub snapshots: Vec<String>,
    /// The offer of it to another project that nobody has accepted yet.
    pub transfer: Option<String>,
}

/// One attachment of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenAttachment {
    /// Cinder's id of the record.
    pub id: String,
    /// The server.
    pub server_id: String,
}

impl SeenVolume {
    /// Whether it is attached to this server.
    pub fn is_attached_to(&self, server_id: &str) -> bool {
        self.attachments
            .iter()
            .any(|attachment| attachment.server_id == server_id)
    }
}

/// A server as its cloud shows it right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenServer {
    /// Its status word, `ACTIVE`.
    pub status: String,
    /// What Nova is doing with it.
    pub task_state: Option<String>,
    /// The project that owns it, where the cloud shows it.
    pub project_id: Option<String>,
    /// Whether it is locked.
    pub locked: bool,
    /// Why, if whoever locked it said so.
    pub locked_reason: Option<String>,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// Its volumes that Nova would delete with it.
    pub volumes_that_go_with_it: Vec<String>,
    /// Whether its guest runs, whatever its status word says.
    pub power: Power,
}

/// Whether a server's guest runs, as its hypervisor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It runs, or is paused in memory.
    On,
    /// It is shut down, or crashed.
    Off,
    /// The hypervisor does not say.
    Unknown,
}

impl SeenServer {
    /// Whether its guest runs, or goes on where it ran once somebody lets it: its disks may hold what no copy has.
    pub fn may_run(&self) -> bool {
        const RAN: [&str; 3] = ["ACTIVE", "PAUSED", "SUSPENDED"];
        RAN.contains(&self.status.as_str()) || self.power == Power::On
    }
}
