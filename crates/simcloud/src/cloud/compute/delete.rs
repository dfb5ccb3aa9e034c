//! Deleting a server, and what can become of that.

use std::time::Duration;

use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    compute::{
        Server, need_member,
        record::{Task, VmState},
    },
    faults::{Component, JobEffect},
    identity::Caller,
    jobs::Job,
    reply::{Answer, empty},
};

impl SimCloud {
    pub(crate) fn server_delete(&mut self, caller: &Caller, id: &str) -> Answer {
        let server = self.server_of(caller, id)?.clone();
        need_member(caller, "servers:delete")?;
        server.check_lock(caller)?;
        let launched = server.launched.is_some();
        if self.options.soft_delete && launched && server.task.is_none() {
            if server.state != VmState::SoftDeleted
                && let Some(server) = self.server_mut(server.id)
            {
                server.state = VmState::SoftDeleted;
            }
            return empty(204);
        }
        self.begin_server_delete(&server);
        empty(204)
    }

    /// `forceDelete`: at once, also where deletes are soft.
    pub(crate) fn server_force_delete(&mut self, caller: &Caller, id: &str) -> Answer {
        let server = self.server_of(caller, id)?.clone();
        need_member(caller, "os-deferred-delete:force")?;
        server.check_lock(caller)?;
        self.begin_server_delete(&server);
        empty(202)
    }

    fn begin_server_delete(&mut self, server: &Server) {
        let never_placed = server.host.is_none() && server.task != Some(Task::Scheduling);
        if never_placed || self.compute_seen_down() {
            // Nova removes such a server in the API itself: the host, if there is one, is not asked.
            return self.remove_server(server.id);
        }
        if server.task == Some(Task::Deleting) {
            return;
        }
        if let Some(server) = self.server_mut(server.id) {
            server.task = Some(Task::Deleting);
        }
        let lost = |effect: &JobEffect| matches!(effect, JobEffect::ServerDeleteLost).then_some(());
        let id = server.id.to_string();
        if self.faults.for_job(&id, &server.name, lost).is_some() {
            return;
        }
        self.later(
            self.options.latency.server_delete,
            Job::ServerDeleted(server.id),
        );
    }

    /// Whether the compute service has been silent for so long that Nova acts without it.
    pub(crate) fn compute_seen_down(&self) -> bool {
        self.faults
            .is_seen_down(Component::NovaCompute, self.now, self.service_down_after())
    }

    /// The compute host has dealt with a delete.
    pub(crate) fn server_deleted(&mut self, id: Uuid) {
        let Some(server) = self.compute.servers.get(id).cloned() else {
            return;
        };
        if server.task != Some(Task::Deleting) {
            return;
        }
        if self.faults.is_away(Component::NovaCompute) {
            return self.later(Duration::from_secs(1), Job::ServerDeleted(id));
        }
        let injected = self
            .faults
            .for_job(&id.to_string(), &server.name, |effect| match effect {
                JobEffect::ServerDeleteError { message } => Some(message.clone()),
                _ => None,
            });
        if let Some(message) = injected {
            return self.server_fails(id, 500, &message);
        }
        if server.asked_to_fail("destroy") {
            return self.server_fails(id, 500, "testbed: destroy asked to fail");
        }
        if self.faults.is_away(Component::Neutron) && !server.nics.is_empty() {
            return self.server_fails(id, 500, "ConnectFailure");
        }
        let lingers = self
            .faults
            .for_job(&id.to_string(), &server.name, |effect| match effect {
                JobEffect::ServerDeleteLingers { seconds } => {
                    Duration::try_from_secs_f64(*seconds).ok()
                }
                _ => None,
            });
        match lingers {
            Some(time) => self.linger(id, time),
            None => self.remove_server(id),
        }
    }

    /// Between the end of the work and the 404 Nova shows the server as deleted.
    fn linger(&mut self, id: Uuid, time: Duration) {
        if let Some(server) = self.server_mut(id) {
            server.state = VmState::Deleted;
            server.task = None;
        }
        self.later(time, Job::ServerForgotten(id));
    }

    /// Takes a server away with its ports, and lets its volumes go.
    pub(crate) fn remove_server(&mut self, id: Uuid) {
        let Some(server) = self.compute.servers.remove(id) else {
            return;
        };
        self.keep_actions_of_deleted(&server);
        let stale = self.faults.is_away(Component::CinderApi)
            || self
                .faults
                .for_job(&id.to_string(), &server.name, |effect| {
                    matches!(effect, JobEffect::StaleAttachment).then_some(())
                })
                .is_some();
        for disk in server.disks.iter().filter(|_| !stale) {
            let Some(volume) = self.volume_mut(disk.volume) else {
                continue;
            };
            volume.release(id);
            if disk.delete_on_termination {
                self.begin_volume_delete(disk.volume);
            }
        }
        for nic in &server.nics {
            if nic.made_by_nova {
                self.network.remove_port(nic.port);
            } else {
                self.network.unbind(nic.port);
            }
        }
    }
}
