//! Servers that an unplanned failover left on the site that was lost: stopped, so that no two run with one name.

use protector_core::{
    fault::Code, guard::HostState, id::ServerId, journal::Effect, operation::MapKind,
};
use protector_openstack::{compute::Server, status::ServerStatus};

use super::{CloudActions, reading, scope::Absent};
use crate::{
    action::{Cx, Progress, Stop},
    clouds::stop,
};

impl CloudActions {
    /// Stops a server, or sees that it does not run. What cannot be told is not fenced.
    pub(super) async fn fence_server(
        &self,
        cx: &mut Cx<'_>,
        id: &ServerId,
    ) -> Result<Progress, Stop> {
        let source = self.source(cx).await?;
        let Some(server) = reading::server(&source, id).await? else {
            self.believe_that_source_lacks(cx, &source, Absent::Server)
                .await?;
            return Ok(fenced(id, "gone"));
        };
        cx.memo.observed = Some(server.status.as_str().to_owned());
        if let Some(task) = &server.task_state {
            return Ok(
                self.look_again(format!("server status {} ({task})", server.status.as_str()))
            );
        }
        let (_, host) = self.host_and_its_state(cx, id).await?;
        refuse_unknown_host(&server, &host)?;
        match &server.status {
            ServerStatus::Active => {
                let intent = cx.intend().await?;
                let again = reading::server(&source, id).await?;
                if again.is_none_or(|again| again.status != ServerStatus::Active) {
                    return Ok(self.changed_meanwhile(cx));
                }
                let open = intent.on(&source);
                open.compute().stop_server(id).await.map_err(stop)?;
                Ok(self.look_again("Nova to stop it"))
            }
            status if does_not_run(&server) => Ok(fenced(id, status.as_str())),
            status => Err(Stop::last(
                Code::Blocked,
                format!(
                    "the server is {}, of which nobody knows whether its guest runs: stop or delete it by hand, then fence again",
                    status.as_str()
                ),
            )),
        }
    }

    /// Ends the split brain when each server is certainly stopped.
    pub(super) async fn confirm_fenced(&self, cx: &mut Cx<'_>) -> Result<Progress, Stop> {
        let plan = cx.plan();
        let running: Vec<&str> = plan
            .members
            .iter()
            .filter(|member| {
                cx.mapped(MapKind::Fenced, member.server_id.as_str())
                    .is_none()
            })
            .map(|member| member.name.as_str())
            .collect();
        if running.is_empty() {
            let group_id = plan.group_id.clone();
            return Ok(Progress::Done(vec![Effect::GroupFenced { group_id }]));
        }
        let why = format!(
            "not certainly stopped on {}: {}",
            plan.source.site,
            running.join(", ")
        );
        Err(Stop::last(Code::Blocked, why))
    }
}

/// Nova's number for a guest that runs, and for one that is shut down.
const RUNNING: i64 = 1;
const SHUT_DOWN: i64 = 4;

/// Whether a server's guest may run, as far as Nova tells.
pub fn may_run(server: &Server) -> bool {
    match &server.status {
        ServerStatus::Shutoff | ServerStatus::SoftDeleted | ServerStatus::ShelvedOffloaded => false,
        ServerStatus::Error => server.power_state == Some(RUNNING),
        _ => true,
    }
}

/// Whether Nova says for certain that it does not.
fn does_not_run(server: &Server) -> bool {
    match &server.status {
        ServerStatus::Error => server.power_state == Some(SHUT_DOWN),
        _ => !may_run(server),
    }
}

fn fenced(id: &ServerId, status: &str) -> Progress {
    Progress::Done(vec![Effect::Mapped {
        kind: MapKind::Fenced,
        source: id.to_string(),
        target: status.to_owned(),
    }])
}

/// What Nova says of a server is as good as its host's last word.
fn refuse_unknown_host(server: &Server, host: &HostState) -> Result<(), Stop> {
    let why = match host {
        HostState::Up { .. } | HostState::None => return Ok(()),
        HostState::Down { host } => format!("its compute host {host} does not answer"),
        HostState::Unknown { why } => format!("its compute host is not known ({why})"),
    };
    Err(Stop::last(
        Code::Blocked,
        format!(
            "{why}, so its guest may still run (Nova says {}): power that host off or bring it back, then fence again",
            server.status.as_str()
        ),
    ))
}
