//! Facts that the guards' tests start from.

use std::collections::BTreeMap;

use super::{
    counterpart::{CopyState, Counterpart},
    host::HostState,
    seen::{Power, SeenAttachment, SeenServer, SeenVolume},
    verdict::Verdict,
};
use crate::storage::BackendObject;

pub(super) fn volume(status: &str) -> SeenVolume {
    SeenVolume {
        status: status.into(),
        project_id: Some("p".into()),
        attachments: vec![],
        group_id: None,
        reservations: Vec::new(),
        migration_status: None,
        snapshots: vec![],
        transfer: None,
        encrypted: false,
    }
}

pub(super) fn attached(status: &str, server: &str) -> SeenVolume {
    SeenVolume {
        attachments: vec![SeenAttachment {
            id: format!("a-{server}"),
            server_id: server.into(),
        }],
        ..volume(status)
    }
}

pub(super) fn server(status: &str) -> SeenServer {
    SeenServer {
        status: status.into(),
        task_state: None,
        project_id: Some("p".into()),
        locked: false,
        locked_reason: None,
        metadata: BTreeMap::new(),
        volumes_that_go_with_it: vec![],
        power: match status {
            "ACTIVE" | "PAUSED" => Power::On,
            _ => Power::Off,
        },
    }
}

pub(super) fn object(array: &str) -> BackendObject {
    BackendObject {
        found_on: format!("mock://{array}"),
        scope: array.into(),
        serial: "1".into(),
    }
}

pub(super) fn twin() -> Counterpart {
    Counterpart {
        id: "twin".into(),
        volume: Some(attached("in-use", "copy")),
        server: Some(server("ACTIVE")),
        server_id: "copy".into(),
        meant: CopyState::Running,
        object: Some(object("b")),
    }
}

pub(super) fn up() -> HostState {
    HostState::Up {
        host: "compute-1".into(),
    }
}

pub(super) fn down() -> HostState {
    HostState::Down {
        host: "compute-1".into(),
    }
}

pub(super) fn unknown() -> HostState {
    HostState::Unknown {
        why: "nova said 403".into(),
    }
}

/// The reason for keeping; anything else is a failure of the test.
pub(super) fn kept(verdict: Option<Verdict>) -> String {
    match verdict {
        Some(Verdict::Keep { why }) if why.starts_with("kept: ") => why,
        other => panic!("expected a reason to keep, got {other:?}"),
    }
}
