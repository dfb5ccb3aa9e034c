//! Servers and volumes as their cloud shows them right now, reduced to what guards look at.

use std::collections::BTreeMap;

use crate::id::SiteName;

/// A volume as its cloud shows it right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVolume {
    pub status: String,
    /// The project that owns it, where the cloud shows it.
    pub project_id: Option<String>,
    pub attachments: Vec<SeenAttachment>,
    /// What it is reserved by: attachments that are not complete, which Cinder does not list with the volume.
    pub reservations: Vec<SeenReservation>,
    /// The generic group that it belongs to.
    pub group_id: Option<String>,
    /// Its migration, if one is under way.
    pub migration_status: Option<String>,
    pub snapshots: Vec<String>,
    /// The offer of it to another project that nobody has accepted yet.
    pub transfer: Option<String>,
    /// Whether Cinder keeps a key for it, which it deletes with the volume.
    pub encrypted: bool,
}

/// One attachment of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenAttachment {
    /// Cinder's id of the record.
    pub id: String,
    pub server_id: String,
}

/// An attachment of a volume that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenReservation {
    /// Cinder's id of the record.
    pub id: String,
    /// The server, where the record names one.
    pub server_id: Option<String>,
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

impl Power {
    /// From Nova's numbers: 1 running, 3 paused, 7 suspended; 4 shut down, 6 crashed; 0 for what its hypervisor does not know.
    pub fn of_nova(state: Option<i64>) -> Self {
        match state {
            Some(1 | 3 | 7) => Self::On,
            Some(4 | 6) => Self::Off,
            _ => Self::Unknown,
        }
    }
}

/// Whether a server's guest runs, or goes on where it ran once somebody lets it: its disks may then hold what no copy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestState {
    /// It does, or may.
    Runs,
    /// It certainly does not.
    Rests,
    /// Its cloud does not say.
    Unknown,
}

impl GuestState {
    /// By the status word and the hypervisor's word together, in the one meaning that everything goes by. A guest that was
    /// started beside Nova, or that came up with its host, runs while its status says `SHUTOFF`, until Nova notices (up to
    /// ten minutes). A status that is not known runs.
    pub fn of(status: &str, power: Power) -> Self {
        const RESTS: [&str; 5] = [
            "SHUTOFF",
            "SHELVED",
            "SHELVED_OFFLOADED",
            "SOFT_DELETED",
            "DELETED",
        ];
        match (status, power) {
            (_, Power::On) => Self::Runs,
            ("ERROR", Power::Off) => Self::Rests,
            ("ERROR", Power::Unknown) => Self::Unknown,
            (status, _) if RESTS.contains(&status) => Self::Rests,
            _ => Self::Runs,
        }
    }
}

/// A status word, and that the guest runs where that is not in the word.
pub fn status_in_words(status: &str, power: Power) -> String {
    match (status, GuestState::of(status, power)) {
        (
            "SHUTOFF" | "ERROR" | "SHELVED" | "SHELVED_OFFLOADED" | "SOFT_DELETED",
            GuestState::Runs,
        ) => {
            format!("{status} and its guest runs")
        }
        _ => status.to_owned(),
    }
}

/// What makes a server in this status run.
pub fn to_make_it_run(status: &str, site: &SiteName, id: &str) -> String {
    let command = match status {
        "SHUTOFF" => "start",
        "PAUSED" => "unpause",
        "SUSPENDED" => "resume",
        "SHELVED" | "SHELVED_OFFLOADED" => "unshelve",
        "SOFT_DELETED" => "restore",
        "RESCUE" => "unrescue",
        "VERIFY_RESIZE" => "resize confirm",
        "ERROR" => "reboot --hard",
        _ => return "wait until that has passed".to_owned(),
    };
    format!("'openstack --os-cloud {site} server {command} {id}' makes it run")
}

impl SeenServer {
    /// Whether its guest runs.
    pub fn life(&self) -> GuestState {
        GuestState::of(&self.status, self.power)
    }

    pub fn may_run(&self) -> bool {
        self.life() == GuestState::Runs
    }
}

/// The marks on a resource as its cloud shows them right now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenMarks {
    /// The operation that made it.
    pub operation: Option<String>,
    /// The id of its original on the source.
    pub source: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_runs_by_its_status_or_by_its_hypervisors_word() {
        let off = Power::Off;
        for status in [
            "ACTIVE",
            "PAUSED",
            "SUSPENDED",
            "RESCUE",
            "RESIZE",
            "glorious",
        ] {
            assert_eq!(GuestState::of(status, off), GuestState::Runs, "{status}");
        }
        for status in [
            "SHUTOFF",
            "SHELVED",
            "SHELVED_OFFLOADED",
            "SOFT_DELETED",
            "ERROR",
        ] {
            assert_eq!(GuestState::of(status, off), GuestState::Rests, "{status}");
            assert_eq!(
                GuestState::of(status, Power::On),
                GuestState::Runs,
                "{status}"
            );
            let said = status_in_words(status, Power::On);
            assert_eq!(said, format!("{status} and its guest runs"));
        }
        assert_eq!(GuestState::of("ERROR", Power::Unknown), GuestState::Unknown);
        assert_eq!(GuestState::of("SHUTOFF", Power::Unknown), GuestState::Rests);
    }

    #[test]
    fn the_numbers_of_nova_are_known() {
        let powers = [1, 3, 7, 4, 6, 0].map(|number| Power::of_nova(Some(number)));
        let (on, off) = (Power::On, Power::Off);
        assert_eq!(powers, [on, on, on, off, off, Power::Unknown]);
        assert_eq!(Power::of_nova(None), Power::Unknown);
    }
}
