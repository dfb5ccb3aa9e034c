//! What can be done to a server, other than creating and deleting it.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, pairs, text},
    compute::{
        Server, missing_server, need_admin, need_member,
        record::{Lock, Task, VmState},
    },
    faults::{Component, JobEffect},
    identity::{Caller, hex},
    jobs::Job,
    reply::{Answer, empty, fault, ok, policy},
    schema,
};

impl SimCloud {
    pub(crate) fn server_action(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let body = call.json()?;
        let Some((action, given)) = body.as_object().and_then(|body| body.iter().next()) else {
            return Err(fault(400, "There is no such action."));
        };
        let server = self.server_of(caller, id)?.clone();
        match action.as_str() {
            "os-stop" => {
                need_member(caller, "servers:stop")?;
                server.check_lock(caller)?;
                server.check_state("stop", &[VmState::Active, VmState::Error])?;
                self.server_stop(&server);
                empty(202)
            }
            "os-start" => {
                need_member(caller, "servers:start")?;
                server.check_lock(caller)?;
                server.check_state("start", &[VmState::Stopped])?;
                let delay = self.options.latency.server_start;
                self.begin(
                    server.id,
                    Task::PoweringOn,
                    delay,
                    Job::ServerStarted(server.id),
                )
            }
            "reboot" => self.server_reboot(caller, &server, given),
            "resize" => self.server_resize(caller, &server, given),
            "lock" => {
                need_member(caller, "os-lock-server:lock")?;
                let by_owner = caller.project == server.project;
                let reason = text(given, "locked_reason").map(str::to_owned);
                if let Some(server) = self.server_mut(server.id) {
                    server.lock = Some(Lock { by_owner, reason });
                }
                empty(202)
            }
            "unlock" => {
                need_member(caller, "os-lock-server:unlock")?;
                let foreign = server.lock.as_ref().is_some_and(|lock| !lock.by_owner);
                if foreign && !caller.is_admin() {
                    return Err(policy(
                        "os_compute_api:os-lock-server:unlock:unlock_override",
                    ));
                }
                if let Some(server) = self.server_mut(server.id) {
                    server.lock = None;
                }
                empty(202)
            }
            "os-resetState" => {
                need_admin(caller, "os-admin-actions:reset_state")?;
                let state = match text(given, "state") {
                    Some("active") => VmState::Active,
                    _ => VmState::Error,
                };
                if let Some(server) = self.server_mut(server.id) {
                    server.off_in_error = server.state == VmState::Stopped;
                    server.state = state;
                    server.task = None;
                }
                empty(202)
            }
            "forceDelete" => self.server_force_delete(caller, id),
            "restore" => {
                need_member(caller, "os-deferred-delete:restore")?;
                server.check_state("restore", &[VmState::SoftDeleted])?;
                if let Some(server) = self.server_mut(server.id) {
                    server.state = VmState::Active;
                }
                empty(202)
            }
            "pause" => self.switch(caller, &server, "pause", VmState::Active, VmState::Paused),
            "unpause" => self.switch(caller, &server, "unpause", VmState::Paused, VmState::Active),
            "suspend" => self.switch(
                caller,
                &server,
                "suspend",
                VmState::Active,
                VmState::Suspended,
            ),
            "resume" => self.switch(
                caller,
                &server,
                "resume",
                VmState::Suspended,
                VmState::Active,
            ),
            "os-getConsoleOutput" => ok(json!({"output": ""})),
            "addSecurityGroup" | "removeSecurityGroup" => {
                self.server_group(caller, &server, action == "addSecurityGroup", given)
            }
            other => Err(fault(400, format!("There is no such action: {other}"))),
        }
    }

    fn begin(&mut self, id: Uuid, task: Task, delay: Duration, job: Job) -> Answer {
        if let Some(server) = self.server_mut(id) {
            server.task = Some(task);
        }
        self.later(delay, job);
        empty(202)
    }

    fn switch(
        &mut self,
        caller: &Caller,
        server: &Server,
        method: &str,
        from: VmState,
        to: VmState,
    ) -> Answer {
        need_member(caller, &format!("os-{method}-server:{method}"))?;
        server.check_lock(caller)?;
        server.check_state(method, &[from])?;
        if let Some(server) = self.server_mut(server.id) {
            server.state = to;
        }
        empty(202)
    }

    fn server_reboot(&mut self, caller: &Caller, server: &Server, given: &Value) -> Answer {
        need_member(caller, "servers:reboot")?;
        server.check_lock(caller)?;
        let hard = text(given, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("hard"));
        let (task, allowed): (Task, &[VmState]) = if hard {
            let allowed = &[
                VmState::Active,
                VmState::Stopped,
                VmState::Paused,
                VmState::Suspended,
                VmState::Error,
            ];
            (Task::HardRebooting, allowed)
        } else {
            (Task::Rebooting, &[VmState::Active])
        };
        server.check_state("reboot", allowed)?;
        let delay = self.options.latency.server_start;
        self.begin(server.id, task, delay, Job::ServerRebooted(server.id))
    }

    /// At once, and confirmed: as in a cloud whose `resize_confirm_window` is short.
    fn server_resize(&mut self, caller: &Caller, server: &Server, given: &Value) -> Answer {
        need_member(caller, "servers:resize")?;
        server.check_lock(caller)?;
        server.check_state("resize", &[VmState::Active, VmState::Stopped])?;
        let flavor = self.wanted_flavor(given)?;
        if let Some(server) = self.server_mut(server.id) {
            server.flavor = flavor;
        }
        empty(202)
    }

    /// A stop is graceful: a guest that ignores it is powered off after Nova's `shutdown_timeout`.
    fn server_stop(&mut self, server: &Server) {
        let injected =
            self.faults.for_job(
                &server.id.to_string(),
                &server.name,
                |effect| match effect {
                    JobEffect::StopIgnored | JobEffect::StopLost => Some(effect.clone()),
                    _ => None,
                },
            );
        if let Some(server) = self.server_mut(server.id) {
            server.task = Some(Task::PoweringOff);
        }
        let delay = match injected {
            Some(JobEffect::StopLost) => return,
            Some(_) => self.options.latency.shutdown_timeout,
            None => self.options.latency.server_stop,
        };
        self.later(delay, Job::ServerStopped(server.id));
    }

    /// A stop is over.
    pub(crate) fn server_stopped(&mut self, id: Uuid) {
        let away = self.faults.is_away(Component::NovaCompute);
        let Some(server) = self.server_mut(id) else {
            return;
        };
        if server.task != Some(Task::PoweringOff) {
            return;
        }
        if away {
            return self.later(Duration::from_secs(1), Job::ServerStopped(id));
        }
        if server.asked_to_fail("power_off") {
            return self.server_fails(id, 500, "testbed: power_off asked to fail");
        }
        server.state = VmState::Stopped;
        server.task = None;
    }

    /// A start or reboot is over.
    pub(crate) fn server_started(&mut self, id: Uuid) {
        let away = self.faults.is_away(Component::NovaCompute);
        let Some(server) = self.server_mut(id) else {
            return;
        };
        let expected = matches!(
            server.task,
            Some(Task::PoweringOn | Task::Rebooting | Task::HardRebooting)
        );
        if !expected {
            return;
        }
        if away {
            return self.later(Duration::from_secs(1), Job::ServerStarted(id));
        }
        if server.asked_to_fail("power_on") {
            return self.server_fails(id, 500, "testbed: power_on asked to fail");
        }
        server.state = VmState::Active;
        server.started_beside_nova = false;
        server.task = None;
    }

    fn server_group(
        &mut self,
        caller: &Caller,
        server: &Server,
        add: bool,
        given: &Value,
    ) -> Answer {
        need_member(caller, "os-security-groups:add")?;
        let wanted = text(given, "name").unwrap_or_default();
        let group = self.network.group(server.project, wanted).ok_or_else(|| {
            fault(
                404,
                format!(
                    "Security group {wanted} not found for project {}.",
                    hex(server.project)
                ),
            )
        })?;
        let (id, name) = (group.id, group.name.clone());
        for nic in &server.nics {
            self.network.put_in_group(nic.port, id, add);
        }
        if let Some(server) = self.server_mut(server.id) {
            server.security_groups.retain(|other| *other != name);
            if add {
                server.security_groups.push(name);
            }
        }
        empty(202)
    }

    pub(crate) fn server_update(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let found = self.server_of(caller, id)?.id;
        need_member(caller, "servers:update")?;
        let given = call.object("server")?;
        schema::hostname(&given)?;
        if let Some(server) = self.server_mut(found) {
            if let Some(hostname) = text(&given, "hostname") {
                server.hostname = Some(hostname.to_owned());
            }
            if let Some(name) = text(&given, "name") {
                server.name = name.to_owned();
            }
            if let Some(description) = given.get("description") {
                server.description = description.as_str().map(str::to_owned);
            }
        }
        let server = self.server_of(caller, id)?;
        ok(json!({"server": self.server_view(call, caller, server)}))
    }

    pub(crate) fn server_metadata(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        id: &str,
        rest: &[&str],
    ) -> Answer {
        const ALLOWED: [VmState; 4] = [
            VmState::Active,
            VmState::Paused,
            VmState::Suspended,
            VmState::Stopped,
        ];
        let server = self.server_of(caller, id)?.clone();
        let method = call.method.as_str();
        match method {
            "GET" => {}
            "DELETE" => {
                need_member(caller, "server-metadata:delete")?;
                server.check_lock(caller)?;
                server.check_state("delete metadata", &ALLOWED)?;
            }
            _ => {
                need_member(caller, "server-metadata:update")?;
                server.check_lock(caller)?;
                server.check_state("update metadata", &ALLOWED)?;
            }
        }
        let body = call.json()?;
        let Some(server) = self.server_mut(server.id) else {
            return Err(missing_server(id));
        };
        match (method, rest) {
            ("GET", []) => {}
            ("GET", [key]) => {
                let value = server
                    .metadata
                    .get(*key)
                    .ok_or_else(|| fault(404, "Metadata item was not found"))?;
                return ok(json!({"meta": {*key: value}}));
            }
            ("POST", []) => server.metadata.extend(pairs(&body, "metadata")),
            ("PUT", []) => server.metadata = pairs(&body, "metadata"),
            ("PUT", [_]) => {
                let meta = pairs(&body, "meta");
                server.metadata.extend(meta.clone());
                return ok(json!({"meta": meta}));
            }
            ("DELETE", [key]) => {
                return match server.metadata.remove(*key) {
                    Some(_) => empty(204),
                    None => Err(fault(404, "Metadata item was not found")),
                };
            }
            _ => return Err(fault(404, "The resource could not be found.")),
        }
        ok(json!({"metadata": server.metadata}))
    }

    pub(crate) fn server_tags(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        id: &str,
        rest: &[&str],
    ) -> Answer {
        let unmapped = || fault(404, format!("Instance {id} has no mapping to a cell."));
        let found = self.server_of(caller, id).map_err(|_| unmapped())?.id;
        let verb = match (call.method.as_str(), rest) {
            ("PUT", []) => Some("update_all"),
            ("PUT", _) => Some("update"),
            ("DELETE", []) => Some("delete_all"),
            ("DELETE", _) => Some("delete"),
            _ => None,
        };
        if let Some(verb) = verb {
            need_member(caller, &format!("os-server-tags:{verb}"))?;
        }
        let body = call.json()?;
        schema::tags(&body)?;
        let Some(server) = self.server_mut(found) else {
            return Err(missing_server(id));
        };
        match (call.method.as_str(), rest) {
            ("GET", []) => {}
            ("GET", [tag]) => {
                let held = server.tags.contains(*tag);
                return if held {
                    empty(204)
                } else {
                    Err(fault(404, format!("Server {id} has no tag '{tag}'")))
                };
            }
            ("PUT", []) => {
                let tags = body
                    .get("tags")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                server.tags = tags
                    .filter_map(|tag| tag.as_str().map(str::to_owned))
                    .collect();
            }
            ("PUT", [tag]) => {
                let fresh = server.tags.insert((*tag).to_owned());
                return empty(if fresh { 201 } else { 204 });
            }
            ("DELETE", []) => {
                server.tags.clear();
                return empty(204);
            }
            ("DELETE", [tag]) => {
                return if server.tags.remove(*tag) {
                    empty(204)
                } else {
                    Err(fault(404, format!("Instance {id} has no tag '{tag}'")))
                };
            }
            _ => return Err(fault(404, "The resource could not be found.")),
        }
        ok(json!({"tags": server.tags}))
    }
}
