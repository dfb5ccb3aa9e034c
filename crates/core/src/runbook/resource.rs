//! The kinds of resources that lines are about.

use super::Step;
use crate::id::ServerId;

/// A kind of resource that operations delete or take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    Server,
    Volume,
    Port,
    FloatingIp,
}

impl ResourceKind {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Volume => "volume",
            Self::Port => "port",
            Self::FloatingIp => "floating_ip",
        }
    }
}

impl Step {
    /// The member's server on the source that a cleanup's line deletes, or whose copy it takes back.
    pub fn takes_a_server_of(&self) -> Option<&ServerId> {
        match self {
            Self::DeleteSourceServer { server } => Some(server),
            Self::TakeBack { line } => match line.as_ref() {
                Self::RecreateServer { server } => Some(server),
                _ => None,
            },
            _ => None,
        }
    }
}
