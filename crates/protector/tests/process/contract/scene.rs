//! The contract's people and machines: the group `prod-web-app` with its servers and volumes.

use serde_json::{Value, json};

use crate::{
    house::{House, Wishes},
    tenant::{Group, Server, Tenant},
};

/// The servers of the contract's Example 1, with their volumes.
pub const WEB_APP: &[(&str, &[&str])] = &[
    ("web-server-1", &["vol-boot-ws1", "vol-data-ws1"]),
    ("web-server-2", &["vol-boot-ws2", "vol-data-ws2"]),
];

/// Those of Example 2.
pub const WEB_AND_DATABASE: &[(&str, &[&str])] = &[
    ("web-server-1", &["vol-boot-ws1", "vol-data-ws1"]),
    ("db-server", &["vol-boot-db", "vol-data-db"]),
];

/// Those of Example 3.
pub const ALL_THREE: &[(&str, &[&str])] = &[
    ("web-server-1", &["vol-boot-ws1", "vol-data-ws1"]),
    ("web-server-2", &["vol-boot-ws2", "vol-data-ws2"]),
    ("db-server", &["vol-boot-db", "vol-data-db", "vol-log-db"]),
];

/// The least that fails over: one server with a boot and a data volume.
pub const ONE_SERVER: &[(&str, &[&str])] = &[("web-server-1", &["vol-boot-ws1", "vol-data-ws1"])];

/// A house that tries a failed deletion once more only, for tests that are about what comes after.
pub async fn house_of_little_patience() -> House {
    house_with("cleanup_retry_attempts = 1").await
}

/// A house whose sites have these lines in `[engine]`.
pub async fn house_with(engine: &'static str) -> House {
    House::with(Wishes {
        engine,
        ..Wishes::default()
    })
    .await
}

impl Tenant<'_> {
    /// Protects new servers of these names, with volumes of these names, as the group `prod-web-app`.
    pub async fn protect_web_app(&self, servers: &[(&str, &[&str])]) -> Group {
        self.protect_as("prod-web-app", servers).await
    }

    /// The same under another name.
    pub async fn protect_as(&self, name: &str, servers: &[(&str, &[&str])]) -> Group {
        let mut made: Vec<Server> = Vec::new();
        for (server, volumes) in servers {
            made.push(self.make_server_of(server, volumes).await);
        }
        self.protect(name, made).await
    }

    /// Fails the group over; the operation once it has ended.
    pub async fn fail_over(&self, group: &Group) -> Value {
        let operation = self.start_failover(group).await;
        self.ended(&operation).await
    }

    /// Types an `openstack` line at site-a.
    pub async fn types(&self, line: &str) -> crate::openstack_command::Printed {
        self.house.shell.types(line).await
    }

    /// The calls on site-a that delete a resource of this id.
    pub async fn deletions_of(&self, id: &str) -> usize {
        let calls = self.house.a.cloud.calls().await;
        let deletions = calls
            .iter()
            .filter(|call| call.method == "DELETE" && call.last() == id);
        deletions.count()
    }
}

/// A rule: DELETE of this resource is answered with this HTTP status, and nothing is deleted.
pub fn refuse_deletion(id: &str, status: u16) -> Value {
    json!({"match": {"method": "DELETE", "resource": id}, "effect": {"call": {"kind": "status", "status": status}}})
}

/// A rule: DELETE of this resource is never answered, and nothing is deleted.
pub fn swallow_deletion(id: &str) -> Value {
    json!({"match": {"method": "DELETE", "resource": id}, "effect": {"call": {"kind": "hang"}}})
}

/// A rule: this happens to the deletion of this resource after the cloud has accepted it.
pub fn spoil_deletion(id: &str, kind: &str) -> Value {
    json!({"match": {"resource": id}, "effect": {"job": {"kind": kind}}})
}
