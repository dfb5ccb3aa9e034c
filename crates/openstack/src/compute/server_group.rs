//! Server groups.

use protector_core::{
    id::ServerId,
    server_group::{ServerGroup as Known, ServerGroupSeen},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A server group as Nova shows it since 2.64.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NovaServerGroup {
    pub id: String,
    /// Its name; several may share one.
    pub name: String,
    /// `affinity`, `anti-affinity`, `soft-affinity` or `soft-anti-affinity`.
    pub policy: String,
    /// What its policy says more.
    #[serde(default)]
    pub rules: ServerGroupRules,
    /// Its servers, as far as the caller may see them.
    #[serde(default)]
    pub members: Vec<ServerId>,
}

/// What the policy of a server group says more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerGroupRules {
    /// How many of its servers one host takes; of `anti-affinity` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_server_per_host: Option<u32>,
}

impl NovaServerGroup {
    /// The group as other clouds' are compared with it.
    pub fn known(&self) -> Known {
        Known {
            id: self.id.clone(),
            name: self.name.clone(),
            policy: self.policy.clone(),
            // One is what anti-affinity means without a number.
            most_per_host: self.rules.max_server_per_host.filter(|most| *most != 1),
        }
    }

    /// The same with its servers.
    pub fn seen(&self) -> ServerGroupSeen {
        ServerGroupSeen {
            group: self.known(),
            servers: self.members.clone(),
        }
    }
}

/// The body of `POST /os-server-groups` for one like `wanted`.
pub(super) fn body(wanted: &Known) -> Value {
    let mut group = json!({"name": wanted.name, "policy": wanted.policy});
    if wanted.most_per_host.is_some() {
        group["rules"] = json!(ServerGroupRules {
            max_server_per_host: wanted.most_per_host,
        });
    }
    json!({"server_group": group})
}
