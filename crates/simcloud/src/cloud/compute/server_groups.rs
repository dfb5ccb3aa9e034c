//! Server groups: made, shown, and what the scheduler makes of them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, integer, text, uuid_of},
    compute::{need_member, record::VmState},
    identity::{Caller, hex},
    reply::{Answer, empty, fault, ok},
    schema,
};

#[derive(Clone, Debug)]
pub(crate) struct ServerGroup {
    id: Uuid,
    name: String,
    policy: String,
    /// `max_server_per_host`.
    most_per_host: Option<i64>,
    project: Uuid,
    user: Uuid,
}

const POLICIES: [&str; 4] = [
    "anti-affinity",
    "affinity",
    "soft-anti-affinity",
    "soft-affinity",
];

impl SimCloud {
    pub(crate) fn server_groups(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let all = self.compute.server_groups.iter();
                let all_projects = call.query("all_projects").is_some() && caller.is_admin();
                let own = all.filter(|group| all_projects || group.project == caller.project);
                let number = |key| call.query(key).and_then(|text| text.parse().ok());
                let rows: Vec<Value> = own
                    .skip(number("offset").unwrap_or(0))
                    .take(number("limit").unwrap_or(1000))
                    .map(|group| self.server_group_view(call, group))
                    .collect();
                ok(json!({"server_groups": rows}))
            }
            ("POST", []) => self.server_group_create(call, caller),
            ("GET", [id]) => {
                let group = self.server_group_of(caller, id)?;
                ok(json!({"server_group": self.server_group_view(call, group)}))
            }
            ("DELETE", [id]) => {
                need_member(caller, "os-server-groups:delete")?;
                let id = self.server_group_of(caller, id)?.id;
                self.compute.server_groups.retain(|group| group.id != id);
                empty(204)
            }
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn server_group_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        need_member(caller, "os-server-groups:create")?;
        let given = call.object("server_group")?;
        let key = if call.minor >= 64 {
            "policy"
        } else {
            "policies"
        };
        schema::required("server_group", &given, "name")?;
        schema::required("server_group", &given, key)?;
        let policy = text(&given, key).or_else(|| given[key][0].as_str());
        let policy = policy.unwrap_or_default().to_owned();
        let name = text(&given, "name").unwrap_or_default().to_owned();
        if !POLICIES.contains(&policy.as_str()) {
            let known = POLICIES.map(|known| format!("'{known}'")).join(", ");
            let why = format!("'{policy}' is not one of [{known}]");
            return Err(schema::refused("policy", &json!(policy), &why));
        }
        let most_per_host = given
            .get("rules")
            .and_then(|rules| integer(rules, "max_server_per_host"));
        if most_per_host.is_some() && policy != "anti-affinity" {
            let text = "Only anti-affinity policy supports rules.";
            return Err(fault(400, text));
        }
        let limit = self.server_quotas(caller.project).server_groups;
        if (0..=self.server_groups_in(caller.project)).contains(&limit) {
            return Err(fault(403, "Quota exceeded, too many server groups."));
        }
        let group = ServerGroup {
            id: self.ids.next(),
            name,
            policy,
            most_per_host,
            project: caller.project,
            user: caller.user,
        };
        let view = self.server_group_view(call, &group);
        self.compute.server_groups.push(group);
        ok(json!({"server_group": view}))
    }

    /// How many there are in a project.
    pub(crate) fn server_groups_in(&self, project: Uuid) -> i64 {
        let all = self.compute.server_groups.iter();
        let own = all.filter(|group| group.project == project);
        i64::try_from(own.count()).unwrap_or(i64::MAX)
    }

    fn server_group_of(&self, caller: &Caller, id: &str) -> Answer<&ServerGroup> {
        let wanted = uuid_of(id);
        let mut all = self.compute.server_groups.iter();
        all.find(|group| Some(group.id) == wanted && caller.sees(group.project))
            .ok_or_else(|| fault(404, format!("Instance group {id} could not be found.")))
    }

    fn server_group_view(&self, call: &Call<'_>, group: &ServerGroup) -> Value {
        let members: Vec<String> = self.members_of(group.id).map(|id| id.to_string()).collect();
        let mut view = json!({"id": group.id.to_string(), "name": group.name, "members": members});
        if call.minor >= 13 {
            view["project_id"] = json!(hex(group.project));
            view["user_id"] = json!(hex(group.user));
        }
        if call.minor >= 64 {
            view["policy"] = json!(group.policy);
            view["rules"] = match group.most_per_host {
                Some(most) => json!({"max_server_per_host": most}),
                None => json!({}),
            };
        } else {
            view["policies"] = json!([group.policy]);
            view["metadata"] = json!({});
        }
        view
    }

    fn members_of(&self, group: Uuid) -> impl Iterator<Item = Uuid> {
        let servers = self.compute.servers.iter();
        let is_in = move |server: &&crate::cloud::compute::Server| {
            server.group == Some(group) && server.state != VmState::Deleted
        };
        servers.filter(is_in).map(|server| server.id)
    }

    /// The group that a request for a server hints at.
    pub(crate) fn wanted_server_group(
        &self,
        call: &Call<'_>,
        caller: &Caller,
    ) -> Answer<Option<Uuid>> {
        let hints = ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"]
            .into_iter()
            .find_map(|key| call.object(key).ok());
        let Some(wanted) = hints.as_ref().and_then(|hints| text(hints, "group")) else {
            return Ok(None);
        };
        if uuid_of(wanted).is_none() {
            let why = format!("'{wanted}' is not valid under any of the given schemas");
            return Err(schema::refused("group", &json!(wanted), &why));
        }
        let group = self.server_group_of(caller, wanted);
        let group = group
            .map_err(|_| fault(400, format!("Instance group {wanted} could not be found.")))?
            .id;
        Ok(Some(group))
    }

    /// Nova looks at this quota after it has reserved the volumes, and leaves them reserved.
    pub(crate) fn check_members(&self, caller: &Caller, group: Option<Uuid>) -> Answer<()> {
        let limit = self.server_quotas(caller.project).server_group_members;
        let Some(group) = group.filter(|_| limit >= 0) else {
            return Ok(());
        };
        let used = i64::try_from(self.members_of(group).count()).unwrap_or(i64::MAX);
        if used >= limit {
            return Err(fault(403, "Quota exceeded, too many servers in group"));
        }
        Ok(())
    }

    /// How many of its servers are in a server's group, as Nova shows them since 2.71.
    pub(crate) fn server_groups_of(&self, server: &crate::cloud::compute::Server) -> Value {
        let exists = |id: &Uuid| {
            self.compute
                .server_groups
                .iter()
                .any(|group| group.id == *id)
        };
        let groups = server.group.filter(exists);
        json!(groups.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    /// Whether the one host may not take a server beside those of its group that it has.
    pub(crate) fn must_be_elsewhere(&self, server: &crate::cloud::compute::Server) -> bool {
        let mut all = self.compute.server_groups.iter();
        let Some(group) = all.find(|group| Some(group.id) == server.group) else {
            return false;
        };
        let servers = self.compute.servers.iter();
        let beside = servers.filter(|other| {
            other.id != server.id && other.group == server.group && other.host.is_some()
        });
        let beside = i64::try_from(beside.count()).unwrap_or(i64::MAX);
        group.policy == "anti-affinity" && beside >= group.most_per_host.unwrap_or(1)
    }
}
