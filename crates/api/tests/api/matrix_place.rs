//! Something for each call of the matrix to be about, and the bodies of the calls.

use axum::body::Body;
use http::Method;
use protector_core::operation::OperationState;
use serde_json::{Value, json};

use crate::{
    engine::{not_taken_back, settle_as, start},
    fakes::{DB, NET_A, NET_B, OTHER_PROJECT, OTHER_PROJECT_B, WEB},
    house::{
        Answer, House, failover_body, group_body, group_path, groups_path, policy_body, site_body,
    },
    matrix::Row,
};

/// A house with something for each call: a group `web` with a member, an operation that failed and left something, a
/// group `bare` without a policy, a site that no group uses; and the ids of these.
pub struct Place {
    pub house: House,
    pub group: String,
    bare: String,
    member: String,
    pub operation: String,
    mapping: String,
    /// The version and the digest of the group's metadata.
    mark: (u64, String),
}

impl Place {
    pub async fn new() -> Self {
        let house = House::with_member(WEB).await;
        let site = house.send(
            Method::POST,
            "/v1/admin/sites",
            "admin",
            site_body("site-c"),
        );
        site.await.expect(201);
        let groups = groups_path();
        let bare = house.send(Method::POST, &groups, "member", group_body("bare"));
        let bare = id(&bare.await.expect(201), "protection_group");
        let operation = start(&house).await.to_string();
        settle_as(&house, OperationState::Failed, |_| {
            not_taken_back(Some("made"))
        })
        .await;
        let group = house.get(&group_path("web", ""), "member").await;
        let members = house.get(&group_path("web", "/members"), "member").await;
        let mappings = house.get("/v1/admin/tenant-mappings", "admin").await;
        let first =
            |answer: &Answer, noun: &str| answer.body[noun][0]["id"].as_str().unwrap().to_owned();
        let group = id(&group, "protection_group");
        let known = house
            .database
            .metadata_outgoing(&group.as_str().into())
            .await;
        let mark = known.unwrap().side.now;
        Self {
            group,
            mark: (mark.version, mark.digest),
            member: first(&members, "members"),
            mapping: first(&mappings, "tenant_mappings"),
            house,
            bare,
            operation,
        }
    }

    /// The group that a call is about: a policy is given to the one that has none.
    pub fn group_of(&self, row: &Row) -> &str {
        let gives_policy = row.method == Method::POST && row.template.ends_with("/policy");
        if gives_policy {
            &self.bare
        } else {
            &self.group
        }
    }

    pub fn path(&self, row: &Row, project: &str) -> String {
        let site = if row.template.contains("reservations") {
            "site-b"
        } else {
            "site-c"
        };
        let withdraws = row.method == Method::DELETE && row.template.ends_with("/metadata");
        let query = if withdraws {
            self.known()
        } else {
            String::new()
        };
        format!("{}{query}", row.template)
            .replace("{project_id}", project)
            .replace("{group}", self.group_of(row))
            .replace("{member}", &self.member)
            .replace("{operation}", &self.operation)
            .replace("{mapping}", &self.mapping)
            .replace("{site}", site)
    }

    /// The query of a withdrawal: what was known of the group.
    pub fn known(&self) -> String {
        format!("?version={}&digest={}", self.mark.0, self.mark.1)
    }

    async fn body(&self, row: &Row) -> Option<Value> {
        let last = row.template.rsplit('/').next().unwrap();
        let is_post = row.method == Method::POST;
        Some(match (last, row.variant) {
            _ if row.method == Method::GET || row.method == Method::DELETE => return None,
            ("sites", _) => site_body("site-d"),
            ("{site}", _) if row.template.contains("admin") => {
                json!({"site": {"description": "x"}})
            }
            ("{site}", _) => json!({"reservation": {"version": self.version().await}}),
            ("failover", variant) => {
                json!({"failover": {"type": "planned", "dry_run": variant.is_some()}})
            }
            ("retire", variant) => json!({"retire": {"dry_run": variant.is_some()}}),
            ("tenant-mappings", _) => json!({"tenant_mapping": {
                "primary_site": "site-a", "primary_project_id": OTHER_PROJECT,
                "secondary_site": "site-b", "secondary_project_id": OTHER_PROJECT_B,
            }}),
            ("protection-groups", _) => group_body("shop"),
            ("{group}", _) => json!({"protection_group": {"description": "x"}}),
            ("resource-mappings", _) => {
                json!({"resource_mappings": {"network_mapping": {NET_A: NET_B}}})
            }
            ("members", _) => json!({"member": {"server_id": DB}}),
            ("policy", _) if is_post => policy_body(),
            ("policy", _) => json!({"policy": {"rpo_minutes": 30}}),
            ("action", Some("failover")) => failover_body(),
            ("action", Some("test_cleanup")) => {
                json!({"test_cleanup": {"test_operation_id": self.operation}})
            }
            ("action", Some(verb)) => json!({verb: {}}),
            ("cleanup", _) => json!({"cleanup": {}}),
            ("abort", _) => json!({"abort": {}}),
            ("adopt", _) => json!({"adopt": {}}),
            ("reset-status", _) => json!({"reset_status": {}}),
            ("recovery-plan", _) => json!({"recovery_plan": {}}),
            ("metadata", _) => self.metadata().await,
            _ => json!({}),
        })
    }

    async fn version(&self) -> u64 {
        let group = self
            .house
            .database
            .group_show_by_id(&self.group.as_str().into())
            .await;
        group.unwrap().group.version
    }

    async fn metadata(&self) -> Value {
        let id = self.group.as_str().into();
        let outgoing = self.house.database.metadata_outgoing(&id).await.unwrap();
        let mark = outgoing.side.now;
        json!({"metadata": {
            "version": mark.version, "digest": mark.digest, "base": null,
            "origin_site": "site-b", "document": outgoing.document.to_json().unwrap(),
        }})
    }

    pub async fn call(&self, row: &Row, path: &str, token: &str) -> Answer {
        let body = self.body(row).await;
        let headers = [
            ("x-auth-token", token),
            ("content-type", "application/json"),
            ("openstack-api-version", "protector latest"),
        ];
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.house
            .request(row.method.clone(), path, &headers, body)
            .await
    }
}

fn id(answer: &Answer, noun: &str) -> String {
    answer.body[noun]["id"].as_str().unwrap().to_owned()
}
