//! A server as Nova keeps it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::cloud::{
    SimTime,
    identity::Caller,
    reply::{Answer, Reply, fault},
};

/// Nova's `vm_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VmState {
    Building,
    Active,
    Stopped,
    Paused,
    Suspended,
    Error,
    SoftDeleted,
    ShelvedOffloaded,
    Deleted,
}

impl VmState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Active => "active",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Error => "error",
            Self::SoftDeleted => "soft-delete",
            Self::ShelvedOffloaded => "shelved_offloaded",
            Self::Deleted => "deleted",
        }
    }
}

/// Nova's `task_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Scheduling,
    BlockDeviceMapping,
    PoweringOff,
    PoweringOn,
    Rebooting,
    HardRebooting,
    Deleting,
}

impl Task {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Scheduling => "scheduling",
            Self::BlockDeviceMapping => "block_device_mapping",
            Self::PoweringOff => "powering-off",
            Self::PoweringOn => "powering-on",
            Self::Rebooting => "rebooting",
            Self::HardRebooting => "rebooting_hard",
            Self::Deleting => "deleting",
        }
    }
}

/// Who holds a lock: Nova notes the locker's project, not its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) by_owner: bool,
    pub(crate) reason: Option<String>,
}

/// What went wrong last.
#[derive(Clone, Debug)]
pub(crate) struct ServerFault {
    pub(crate) code: u16,
    pub(crate) message: String,
    pub(crate) created: SimTime,
}

/// A volume in a server.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) volume: Uuid,
    pub(crate) attachment: Uuid,
    pub(crate) mapping: Uuid,
    pub(crate) device: String,
    pub(crate) root: bool,
    pub(crate) delete_on_termination: bool,
    pub(crate) tag: Option<String>,
    /// Made by Nova from an image or blank: still to be written.
    pub(crate) made_by_nova: bool,
}

/// A port in a server.
#[derive(Clone, Debug)]
pub(crate) struct Nic {
    pub(crate) port: Uuid,
    /// Nova deletes the ports that it made, and only those.
    pub(crate) made_by_nova: bool,
    pub(crate) tag: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Flavor {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) vcpus: u32,
    pub(crate) ram: u64,
    pub(crate) disk: u64,
    pub(crate) ephemeral: u64,
    pub(crate) swap: u64,
    pub(crate) extra_specs: BTreeMap<String, String>,
}

/// A key pair of a user.
#[derive(Clone, Debug)]
pub(crate) struct Keypair {
    pub(crate) user: Uuid,
    pub(crate) name: String,
    pub(crate) public_key: String,
}

/// What was asked of a server.
#[derive(Clone, Debug)]
pub(crate) struct InstanceAction {
    pub(crate) action: &'static str,
    pub(crate) request: String,
    pub(crate) user: Uuid,
    pub(crate) project: Uuid,
    pub(crate) at: SimTime,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) project: Uuid,
    pub(crate) user: Uuid,
    pub(crate) state: VmState,
    pub(crate) task: Option<Task>,
    pub(crate) lock: Option<Lock>,
    pub(crate) flavor: Flavor,
    pub(crate) image: Option<Uuid>,
    pub(crate) key_name: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Its host name, which a new name of the server does not change.
    pub(crate) hostname: Option<String>,
    /// The server group that it was put into.
    pub(crate) group: Option<Uuid>,
    /// The zone that was asked for.
    pub(crate) pinned_zone: Option<String>,
    pub(crate) user_data: Option<String>,
    pub(crate) zone: String,
    pub(crate) config_drive: bool,
    pub(crate) description: Option<String>,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) security_groups: Vec<String>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) nics: Vec<Nic>,
    /// The compute host, once scheduled.
    pub(crate) host: Option<String>,
    pub(crate) created: SimTime,
    pub(crate) updated: SimTime,
    pub(crate) launched: Option<SimTime>,
    pub(crate) fault: Option<ServerFault>,
    /// What the build will fail with, found while the request was checked.
    pub(crate) doomed: Option<String>,
    /// Whether its guest was started beside Nova, which has not noticed yet.
    pub(crate) started_beside_nova: bool,
    /// Whether its guest was shut down when its state was set to an error.
    pub(crate) off_in_error: bool,
    /// What was asked of it, the oldest first.
    pub(crate) actions: Vec<InstanceAction>,
}

impl Server {
    /// The API's `status`.
    pub(crate) fn status(&self) -> &'static str {
        match (self.state, self.task) {
            (VmState::Active, Some(Task::Rebooting)) => "REBOOT",
            (VmState::Active | VmState::Stopped | VmState::Error, Some(Task::HardRebooting)) => {
                "HARD_REBOOT"
            }
            (VmState::Building, _) => "BUILD",
            (VmState::Active, _) => "ACTIVE",
            (VmState::Stopped, _) => "SHUTOFF",
            (VmState::Paused, _) => "PAUSED",
            (VmState::Suspended, _) => "SUSPENDED",
            (VmState::Error, _) => "ERROR",
            (VmState::SoftDeleted, _) => "SOFT_DELETED",
            (VmState::ShelvedOffloaded, _) => "SHELVED_OFFLOADED",
            (VmState::Deleted, _) => "DELETED",
        }
    }

    /// Nova's number for the hypervisor's power state.
    pub(crate) fn power_state(&self) -> u8 {
        match self.state {
            VmState::Building | VmState::Error if self.launched.is_none() => 0,
            VmState::Stopped if self.started_beside_nova => 1,
            VmState::Error if self.off_in_error => 4,
            VmState::Stopped
            | VmState::SoftDeleted
            | VmState::ShelvedOffloaded
            | VmState::Suspended => 4,
            VmState::Paused => 3,
            _ => 1,
        }
    }

    /// Nova's refusal when the server is locked and the caller no administrator.
    pub(crate) fn check_lock(&self, caller: &Caller) -> Answer<()> {
        if self.lock.is_some() && !caller.is_admin() {
            return Err(fault(409, format!("Instance {} is locked", self.id)));
        }
        Ok(())
    }

    /// Nova's refusal when the server's state or task does not allow `method`. No task is ever allowed.
    pub(crate) fn check_state(&self, method: &str, allowed: &[VmState]) -> Answer<()> {
        let refuse = |kind: &str, value: &str| -> Box<Reply> {
            let text = format!(
                "Cannot '{method}' instance {} while it is in {kind} {value}",
                self.id
            );
            fault(409, text)
        };
        if !allowed.contains(&self.state) {
            return Err(refuse("vm_state", self.state.as_str()));
        }
        match self.task {
            Some(task) => Err(refuse("task_state", task.as_str())),
            None => Ok(()),
        }
    }

    /// Whether the metadata asks the hypervisor to fail in `operation`, as the testbed's driver reads it.
    pub(crate) fn asked_to_fail(&self, operation: &str) -> bool {
        self.metadata
            .get("testbed_fail")
            .is_some_and(|list| list.split(',').any(|item| item.trim() == operation))
    }
}
