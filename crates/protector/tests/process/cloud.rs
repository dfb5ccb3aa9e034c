//! One simulated cloud: as its tenant uses it, and as somebody who can look inside.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    http::{Answer, Http, Memory},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A call that the cloud was asked.
#[derive(Clone, Debug)]
pub struct Call {
    pub service: String,
    pub method: String,
    pub path: String,
    pub status: u64,
    pub action: Option<String>,
    /// Seconds since the cloud started.
    pub at: f64,
    /// Name of the caller.
    pub user: Option<String>,
    /// Project of the caller's token, 32 digits.
    pub project: Option<String>,
}

impl Call {
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether this is a successful POST to a collection.
    pub fn made(&self, collection: &str) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        self.method == "POST" && self.succeeded() && path.ends_with(collection)
    }

    /// The last part of the path.
    pub fn last(&self) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

/// A cloud.
pub struct Cloud {
    pub name: String,
    pub base: String,
    pub volumes_dir: PathBuf,
    http: Http,
}

/// A tenant's session with a cloud.
pub struct Session {
    pub token: String,
    pub project_id: String,
    endpoints: BTreeMap<String, String>,
    http: Http,
}

impl Cloud {
    pub fn new(name: &str, port: u16, volumes_dir: PathBuf, http: Http) -> Self {
        Self {
            name: name.to_owned(),
            base: format!("http://127.0.0.1:{port}"),
            volumes_dir,
            http,
        }
    }

    pub fn keystone(&self) -> String {
        format!("{}/identity/v3", self.base)
    }

    pub async fn log_in(&self, user: &str, password: &str, project: &str) -> Session {
        let (token, body) = self
            .http
            .token(&self.keystone(), user, password, project)
            .await;
        let mut endpoints = BTreeMap::new();
        for service in body["catalog"].as_array().unwrap() {
            let public = service["endpoints"]
                .as_array()
                .unwrap()
                .iter()
                .find(|endpoint| endpoint["interface"] == "public")
                .unwrap();
            endpoints.insert(word(&service["type"]), word(&public["url"]));
        }
        Session {
            token,
            project_id: word(&body["project"]["id"]),
            endpoints,
            http: self.http.clone(),
        }
    }

    /// Changes a user's password, as an administrator does.
    pub async fn set_password(&self, user: &str, password: &str) {
        let (token, _) = self
            .http
            .token(&self.keystone(), "admin", "admin", "admin")
            .await;
        let users = self.keystone() + "/users";
        let ask = async |method, url: String, body: Option<Value>| {
            self.http
                .ask(method, &url, Some(&token), body.as_ref(), Memory::Forgotten)
                .await
                .good()
        };
        let found = ask(Method::GET, format!("{users}?name={user}"), None).await;
        let id = word(&found["users"][0]["id"]);
        let body = json!({"user": {"password": password}});
        ask(Method::PATCH, format!("{users}/{id}"), Some(body)).await;
    }

    /// Takes one of its services away: `keystone`, `nova-api`, `cinder-api` …
    pub async fn take_away(&self, service: &str) {
        self.admin(Method::PUT, &format!("away/{service}"), None)
            .await;
    }

    /// Names of a user's roles in a project, as an administrator sees them.
    pub async fn roles(&self, user: &str, project: &str) -> Vec<String> {
        let (token, _) = self
            .http
            .token(&self.keystone(), "admin", "admin", "admin")
            .await;
        let get = async |path: String| {
            let url = format!("{}/{path}", self.keystone());
            let answer = self
                .http
                .ask(Method::GET, &url, Some(&token), None, Memory::Forgotten);
            answer.await.good()
        };
        let users = get(format!("users?name={user}")).await;
        let id = word(&users["users"][0]["id"]);
        let found = get(format!(
            "role_assignments?user.id={id}&scope.project.id={project}&include_names=true"
        ))
        .await;
        let assignments = found["role_assignments"].as_array().unwrap();
        assignments
            .iter()
            .map(|assignment| word(&assignment["role"]["name"]))
            .collect()
    }

    async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/_admin/clouds/{}/{path}", self.base, self.name);
        self.http
            .ask(method, &url, None, body.as_ref(), Memory::Forgotten)
            .await
            .good()
    }

    /// Everything in it.
    pub async fn state(&self) -> Value {
        self.admin(Method::GET, "state", None).await
    }

    /// Sets something that goes wrong from now on.
    pub async fn break_it(&self, fault: Value) {
        self.admin(Method::POST, "faults", Some(fault)).await;
    }

    /// Nothing goes wrong any more.
    pub async fn mend(&self) {
        self.admin(Method::DELETE, "faults", None).await;
    }

    /// Work of this kind, such as `server_build`, is accepted and does not end until it is let go, or until everything is
    /// mended.
    pub async fn hold(&self, work: &str) {
        self.hold_rule(work, json!({})).await;
    }

    /// The same of the resource of that name alone.
    pub async fn hold_of(&self, resource: &str, work: &str) {
        self.hold_rule(work, json!({"resource": resource})).await;
    }

    async fn hold_rule(&self, work: &str, matches: Value) {
        let held = json!({"job": {"kind": "held", "work": work}});
        let rule = json!({"id": format!("held-{work}"), "match": matches, "effect": held});
        self.break_it(rule).await;
    }

    /// What was held of this kind ends.
    pub async fn let_go(&self, work: &str) {
        self.admin(Method::DELETE, &format!("faults/held-{work}"), None)
            .await;
    }

    /// Times in seconds; those left out are short.
    pub async fn set_latency(&self, latency: Value) {
        self.admin(Method::PUT, "latency", Some(latency)).await;
    }

    pub async fn forget_calls(&self) {
        self.admin(Method::DELETE, "calls", None).await;
    }

    pub async fn calls(&self) -> Vec<Call> {
        let found = self.admin(Method::GET, "calls", None).await;
        let calls = found["calls"].as_array().unwrap();
        calls
            .iter()
            .map(|call| Call {
                service: word(&call["service"]),
                method: word(&call["method"]),
                path: word(&call["path"]),
                status: call["status"].as_u64().unwrap_or_default(),
                action: call["action"].as_str().map(str::to_owned),
                at: call["at"].as_f64().unwrap_or_default(),
                user: call["user"].as_str().map(str::to_owned),
                project: call["project"].as_str().map(str::to_owned),
            })
            .collect()
    }

    /// The file of a volume's bytes.
    pub fn file_of(&self, volume: &str) -> PathBuf {
        self.volumes_dir.join(format!("volume-{volume}"))
    }
}

impl Session {
    pub async fn ask(
        &self,
        method: Method,
        service: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let endpoint = self
            .endpoints
            .get(service)
            .unwrap_or_else(|| panic!("no {service} in {:?}", self.endpoints));
        let url = format!("{endpoint}{path}");
        self.http
            .ask(
                method,
                &url,
                Some(&self.token),
                body.as_ref(),
                Memory::Forgotten,
            )
            .await
    }

    async fn get(&self, service: &str, path: &str) -> Value {
        self.ask(Method::GET, service, path, None).await.good()
    }

    async fn id_of(&self, service: &str, path: &str, list: &str, name: &str) -> String {
        let found = self.get(service, path).await;
        let items = found[list].as_array().unwrap();
        let item = items.iter().find(|item| item["name"] == name);
        word(&item.unwrap_or_else(|| panic!("no {name} in {found}"))["id"])
    }

    /// A replicated volume of 1 GiB, from an image if it is to boot from.
    pub async fn make_volume(&self, name: &str, bootable: bool) -> String {
        let mut volume = json!({"name": name, "size": 1, "volume_type": "replicated"});
        if bootable {
            let image = self.id_of("image", "/v2/images", "images", "tiny").await;
            volume["imageRef"] = json!(image);
        }
        let body = json!({"volume": volume});
        let made = self
            .ask(Method::POST, "volumev3", "/volumes", Some(body))
            .await;
        let id = word(&made.good()["volume"]["id"]);
        let path = format!("/volumes/{id}");
        until("the volume to be available", PATIENCE, async || {
            let volume = self.get("volumev3", &path).await;
            (volume["volume"]["status"] == "available").then_some(())
        })
        .await;
        id
    }

    /// A port of the tenant's own in its network, with the address that Neutron gave it.
    pub async fn make_port(&self) -> (String, String) {
        let body = json!({"port": {"network_id": self.network().await}});
        let made = self
            .ask(Method::POST, "network", "/v2.0/ports", Some(body))
            .await
            .good();
        let port = &made["port"];
        (word(&port["id"]), word(&port["fixed_ips"][0]["ip_address"]))
    }

    /// A security group, by its id.
    pub async fn make_security_group(&self, name: &str) -> String {
        let body = json!({"security_group": {"name": name}});
        let made = self
            .ask(Method::POST, "network", "/v2.0/security-groups", Some(body))
            .await;
        word(&made.good()["security_group"]["id"])
    }

    /// Puts a server into a security group.
    pub async fn add_security_group(&self, server: &str, name: &str) {
        let path = format!("/servers/{server}/action");
        let body = json!({"addSecurityGroup": {"name": name}});
        let answer = self.ask(Method::POST, "compute", &path, Some(body)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// A running server that boots from the first of `volumes`, in the tenant's network.
    pub async fn make_server(&self, name: &str, volumes: &[String]) -> String {
        let network = json!({"uuid": self.network().await});
        self.make_server_at(name, volumes, network).await
    }

    /// The same, with this network card: `{"uuid": network}` or `{"port": port}`.
    pub async fn make_server_at(&self, name: &str, volumes: &[String], nic: Value) -> String {
        let flavor = self.id_of("compute", "/flavors", "flavors", "small").await;
        let disks: Vec<Value> = volumes
            .iter()
            .enumerate()
            .map(|(place, volume)| {
                json!({"uuid": volume, "source_type": "volume", "destination_type": "volume",
                    "boot_index": if place == 0 { 0 } else { -1 }})
            })
            .collect();
        let body = json!({"server": {"name": name, "flavorRef": flavor, "key_name": "demo-key",
            "networks": [nic], "block_device_mapping_v2": disks}});
        let made = self
            .ask(Method::POST, "compute", "/servers", Some(body))
            .await;
        let id = word(&made.good()["server"]["id"]);
        until("the server to run", PATIENCE, async || {
            (self.server_status(&id).await == "ACTIVE").then_some(())
        })
        .await;
        id
    }

    /// A network with a subnet; its id.
    pub async fn make_network(&self, name: &str, cidr: &str) -> String {
        let body = json!({"network": {"name": name}});
        let made = self
            .ask(Method::POST, "network", "/v2.0/networks", Some(body))
            .await;
        let id = word(&made.good()["network"]["id"]);
        let body = json!({"subnet": {"network_id": id, "cidr": cidr, "ip_version": 4}});
        let made = self
            .ask(Method::POST, "network", "/v2.0/subnets", Some(body))
            .await;
        made.good();
        id
    }

    /// Starts a stopped server, and waits until it runs.
    pub async fn start_server(&self, id: &str) {
        let path = format!("/servers/{id}/action");
        let answer = self
            .ask(
                Method::POST,
                "compute",
                &path,
                Some(json!({"os-start": null})),
            )
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
        until("the server to run", PATIENCE, async || {
            (self.server_status(id).await == "ACTIVE").then_some(())
        })
        .await;
    }

    /// The id of the tenant's network.
    pub async fn network(&self) -> String {
        self.id_of("network", "/v2.0/networks", "networks", "demo-net")
            .await
    }

    pub async fn server_status(&self, id: &str) -> String {
        let server = self.get("compute", &format!("/servers/{id}")).await;
        word(&server["server"]["status"])
    }
}

/// A string of an answer.
pub fn word(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no string"))
        .to_owned()
}
