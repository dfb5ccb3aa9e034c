//! Quotas of projects: shown, set by administrators, and kept for ports, of which each server needs some.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, uuid_of},
    identity::Caller,
    network::{ports::body, unknown_path},
    reply::{Answer, empty, neutron_error, ok},
};

/// What Neutron keeps a quota of.
const RESOURCES: [&str; 8] = [
    "network",
    "subnet",
    "subnetpool",
    "port",
    "router",
    "floatingip",
    "security_group",
    "security_group_rule",
];

const UNLIMITED: i64 = -1;

impl SimCloud {
    pub(crate) fn quotas(&mut self, call: &Call<'_>, caller: &Caller, rest: &[&str]) -> Answer {
        let [project, rest @ ..] = rest else {
            return Err(unknown_path());
        };
        let project = uuid_of(project).unwrap_or_default();
        if project != caller.project && !caller.is_admin() {
            let text = "User does not have admin privileges: Only admin is authorized to access \
                        quotas for another project.";
            return Err(neutron_error(403, "AdminRequired", text));
        }
        match (call.method, rest) {
            (&Method::GET, []) => ok(self.quota_view(|limit, _| json!(limit), project)),
            (&Method::GET, ["details" | "details.json"]) => {
                let detail = |limit, used| json!({"limit": limit, "used": used, "reserved": 0});
                ok(self.quota_view(detail, project))
            }
            (&Method::PUT, []) if caller.is_admin() => {
                let given = body(call)["quota"]["port"].as_i64();
                let limit = given.unwrap_or_else(|| self.port_limit(project));
                let used = self.ports_of(project);
                if limit != UNLIMITED && limit < used {
                    let text = format!(
                        "Quota limit {limit} for port must be greater than or equal to already used {used}"
                    );
                    return Err(neutron_error(400, "HTTPBadRequest", text));
                }
                self.network.port_limits.insert(project, limit);
                ok(self.quota_view(|limit, _| json!(limit), project))
            }
            (&Method::DELETE, []) if caller.is_admin() => {
                self.network.port_limits.remove(&project);
                empty(204)
            }
            _ => Err(unknown_path()),
        }
    }

    fn quota_view(&self, row: impl Fn(i64, i64) -> Value, project: Uuid) -> Value {
        let quota: serde_json::Map<String, Value> = RESOURCES
            .into_iter()
            .map(|resource| {
                let value = match resource {
                    "port" => row(self.port_limit(project), self.ports_of(project)),
                    _ => row(UNLIMITED, 0),
                };
                (resource.to_owned(), value)
            })
            .collect();
        json!({"quota": quota})
    }

    fn port_limit(&self, project: Uuid) -> i64 {
        let limits = &self.network.port_limits;
        limits.get(&project).copied().unwrap_or(UNLIMITED)
    }

    fn ports_of(&self, project: Uuid) -> i64 {
        let ports = self.network.ports.iter();
        let count = ports.filter(|port| port.project == project).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    /// How many more ports the project may have; `None` for any number.
    pub(crate) fn ports_left(&self, project: Uuid) -> Option<i64> {
        let limit = self.port_limit(project);
        (limit != UNLIMITED).then(|| limit.saturating_sub(self.ports_of(project)))
    }
}
