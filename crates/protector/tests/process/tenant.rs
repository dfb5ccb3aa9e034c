//! What a tenant does: servers, a protection group of them, failovers, cleanups.

use std::{collections::BTreeMap, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cloud::{Session, word},
    house::{House, Site, operation_id},
    http::Answer,
    volume_file::{digest, scribble},
    waiting::until,
};

/// How long an operation may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tenant of both clouds.
pub struct Tenant<'h> {
    pub house: &'h House,
    pub at_a: Session,
    pub at_b: Session,
}

/// A server with its volumes, the boot volume first.
#[derive(Clone, Debug)]
pub struct Server {
    pub id: String,
    pub volumes: Vec<String>,
}

/// A protected group of servers.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub servers: Vec<Server>,
    /// Digest of each volume's bytes, by its id.
    pub bytes: BTreeMap<String, String>,
}

impl Group {
    pub fn volumes(&self) -> Vec<&str> {
        self.servers
            .iter()
            .flat_map(|server| server.volumes.iter().map(String::as_str))
            .collect()
    }
}

impl<'h> Tenant<'h> {
    pub async fn of(house: &'h House) -> Self {
        let password = &house.secrets.tenant_password;
        Self {
            house,
            at_a: house.a.cloud.log_in("demo", password, "demo").await,
            at_b: house.b.cloud.log_in("demo", password, "demo").await,
        }
    }

    /// A running server on site-a with a boot and a data volume that somebody wrote to.
    pub async fn make_server(&self, name: &str) -> Server {
        let (boot, data) = (format!("{name}-boot"), format!("{name}-data"));
        self.make_server_of(name, &[&boot, &data]).await
    }

    /// A running server on site-a with volumes of these names that somebody wrote to; it boots from the first.
    pub async fn make_server_of(&self, name: &str, volumes: &[&str]) -> Server {
        let mut made = Vec::new();
        for (place, volume) in volumes.iter().enumerate() {
            made.push(self.at_a.make_volume(volume, place == 0).await);
        }
        let volumes = made;
        for volume in &volumes {
            scribble(
                &self.house.a.cloud.file_of(volume),
                &mut StdRng::from_os_rng(),
            );
        }
        let id = self.at_a.make_server(name, &volumes).await;
        Server { id, volumes }
    }

    /// A group of two new servers, replicated.
    pub async fn protect_two_servers(&self, name: &str) -> Group {
        let (one, other) = (format!("{name}-1"), format!("{name}-2"));
        let (one, other) = tokio::join!(self.make_server(&one), self.make_server(&other));
        self.protect(name, vec![one, other]).await
    }

    /// A group of `servers`, replicated.
    pub async fn protect(&self, name: &str, servers: Vec<Server>) -> Group {
        let networks = json!({self.at_a.network().await: self.at_b.network().await});
        let group = json!({"protection_group": {"name": name, "primary_site": "site-a",
            "secondary_site": "site-b", "replication_type": "async", "volume_type": "replicated",
            "network_mapping": networks}});
        self.on_a(Method::POST, "/protection-groups", Some(group))
            .await
            .good();
        let secrets = &self.house.secrets;
        let policy = json!({"policy": {"primary_fa_url": "mock://array-a",
            "secondary_fa_url": "mock://array-b", "rpo_minutes": 15,
            "primary_fa_api_token": secrets.array_token_a,
            "secondary_fa_api_token": secrets.array_token_b}});
        let path = format!("/protection-groups/{name}/policy");
        self.on_a(Method::POST, &path, Some(policy)).await.good();
        for server in &servers {
            let member = json!({"member": {"server_id": server.id}});
            let path = format!("/protection-groups/{name}/members");
            self.on_a(Method::POST, &path, Some(member)).await.good();
        }
        let cloud = &self.house.a.cloud;
        let bytes = servers
            .iter()
            .flat_map(|server| &server.volumes)
            .map(|volume| (volume.clone(), digest(&cloud.file_of(volume))))
            .collect();
        let name = name.to_owned();
        Group {
            name,
            servers,
            bytes,
        }
    }

    /// Asks site-a's protector about something in the tenant's project.
    pub async fn on_a(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.on(&self.house.a, &self.at_a, method, path, body).await
    }

    /// Asks site-b's protector.
    pub async fn on_b(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.on(&self.house.b, &self.at_b, method, path, body).await
    }

    async fn on(
        &self,
        site: &Site,
        session: &Session,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let path = format!("/v1/{}{path}", session.project_id);
        self.house
            .ask(site, method, &path, &session.token, body)
            .await
    }

    pub async fn ask_for_failover(&self, group: &Group) -> Answer {
        let path = format!("/protection-groups/{}/action", group.name);
        self.on_a(Method::POST, &path, Some(planned())).await
    }

    /// Starts a planned failover on site-a; its id.
    pub async fn start_failover(&self, group: &Group) -> String {
        operation_id(&self.ask_for_failover(group).await.good())
    }

    pub async fn ask_for_cleanup(&self, operation: &str) -> Answer {
        let path = format!("/operations/{operation}/cleanup");
        self.on_a(Method::POST, &path, Some(json!({"cleanup": {}})))
            .await
    }

    pub async fn operation(&self, id: &str) -> Value {
        let path = format!("/operations/{id}?detail=true");
        self.on_a(Method::GET, &path, None).await.good()["operation"].clone()
    }

    /// The operation, once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        self.ended_within(id, PATIENCE).await
    }

    /// The operation, once it has ended, which may take this long.
    pub async fn ended_within(&self, id: &str, patience: Duration) -> Value {
        until(&format!("{id} to end"), patience, async || {
            Some(self.operation(id).await).filter(has_ended)
        })
        .await
    }

    pub async fn group(&self, group: &Group) -> Value {
        let path = format!("/protection-groups/{}", group.name);
        self.on_a(Method::GET, &path, None).await.good()["protection_group"].clone()
    }

    /// The group's servers run on site-b from the same bytes, and nothing is left on site-a but `left`.
    pub async fn must_have_moved(&self, group: &Group, left: &[&str]) {
        let (a, b) = (
            self.house.a.cloud.state().await,
            self.house.b.cloud.state().await,
        );
        for server in &group.servers {
            let copy = the_copy_of(&b["servers"], &server.id);
            assert_eq!(copy["status"], "ACTIVE", "{copy}");
            assert!(
                find(&a["servers"], &server.id).is_none(),
                "{} is still there",
                server.id
            );
        }
        for volume in group.volumes() {
            let copy = the_copy_of(&b["volumes"], volume);
            assert_eq!(copy["status"], "in-use", "{copy}");
            let file = self.house.b.cloud.file_of(&word(&copy["id"]));
            assert_eq!(group.bytes[volume], digest(&file), "bytes of {volume}");
            let is_there = find(&a["volumes"], volume).is_some();
            assert_eq!(is_there, left.contains(&volume), "{volume} on site-a");
            assert_eq!(
                self.house.a.cloud.file_of(volume).exists(),
                is_there,
                "the file of {volume}"
            );
        }
        let shown = self.group(group).await;
        assert_eq!(shown["status"], "failed_over", "{shown}");
        assert_eq!(shown["current_primary_site"], "site-b", "{shown}");
    }
}

/// The request for a planned failover.
pub fn planned() -> Value {
    json!({"failover": {"type": "planned"}})
}

pub fn has_ended(operation: &Value) -> bool {
    operation["status"] == "completed" || operation["status"] == "failed"
}

/// The entries of `steps_failed`.
pub fn failed_steps(operation: &Value) -> Vec<Value> {
    operation["steps_failed"].as_array().unwrap().clone()
}

/// The resource of that id.
pub fn find<'v>(list: &'v Value, id: &str) -> Option<&'v Value> {
    list.as_array()
        .unwrap()
        .iter()
        .find(|item| item["id"] == id)
}

fn the_copy_of<'v>(list: &'v Value, source: &str) -> &'v Value {
    let copies: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["metadata"]["protector:source"] == source)
        .collect();
    assert_eq!(copies.len(), 1, "copies of {source}: {copies:?}");
    copies[0]
}
