//! What a tenant does with the copies of a test failover while they are up.

use protector_simcloud::in_process::SharedCloud;
use serde_json::{Value, json};

use crate::login::{Answer, Login};

/// A tenant of the demo project, who came to rely on some of the copies.
pub(crate) struct Tenant {
    login: Login,
    server: String,
    snapshot: Option<String>,
}

impl Tenant {
    /// Signs in, locks `server` and takes a snapshot of `volume`.
    pub fn relying_on(cloud: &SharedCloud, server: &str, volume: &str) -> Self {
        let mut tenant = Self {
            login: Login::of(cloud, "protector", "demo"),
            server: server.to_owned(),
            snapshot: None,
        };
        tenant.act(&json!({"lock": {"locked_reason": "audit"}}));
        let body = json!({"snapshot": {"volume_id": volume, "name": "findings", "force": true}});
        let taken = well(tenant.login.ask_cinder("POST", "/snapshots", Some(&body)));
        tenant.snapshot = taken.body["snapshot"]["id"].as_str().map(str::to_owned);
        debug_assert!(tenant.snapshot.is_some(), "{}", taken.body);
        tenant
    }

    /// Does not need them any more.
    pub fn let_go(&self) {
        self.act(&json!({"unlock": null}));
        if let Some(snapshot) = &self.snapshot {
            let path = format!("/snapshots/{snapshot}");
            well(self.login.ask_cinder("DELETE", &path, None));
        }
    }

    fn act(&self, action: &Value) {
        well(self.login.act_on_server(&self.server, action));
    }
}

fn well(answer: Answer) -> Answer {
    debug_assert!(answer.is_success(), "{}: {}", answer.status, answer.body);
    answer
}
