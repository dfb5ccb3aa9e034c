//! Before anything is touched: is each member still what the group knows of it?

use std::collections::BTreeSet;

use protector_core::{
    fault::Code,
    guard::{HostState, changed_disks},
    id::ServerId,
    journal::Effect,
    member::Member,
    not_carried::{self, Treatment},
    operation::Mapped,
};
use protector_openstack::{
    cloud::Cloud,
    compute::Server,
    network::{Port, PortFilter},
    status::ServerStatus,
};

use super::{reading, source_at_rest::note, source_server::SourceServers};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::{StepError, not_in_plan},
};

impl SourceServers<'_> {
    pub(super) async fn check_server(
        &self,
        cx: &mut StepContext<'_>,
        server_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let member = cx
            .plan()
            .member_of_server(server_id.as_str())
            .ok_or_else(|| not_in_plan("server", server_id.as_str()))?
            .clone();
        let member = &member;
        let cloud = self.clouds.source(cx).await?;
        let Some(server) = reading::server(&cloud, server_id).await? else {
            let why = format!(
                "server {} ({server_id}) does not exist on {} any more: remove it from the protection group",
                member.name,
                cx.plan().source.site
            );
            return Err(StepError::last(Code::Changed, why));
        };
        if let Some(task) = &server.task_state {
            return Ok(self.clouds.look_again(format!("server task {task}")));
        }
        refuse_unready(member, &server)?;
        // Before the volumes: what is asked for in between then counts as asked for since.
        let asked = self.clouds.asked_of(cx, server_id).await?;
        refuse_changed_volumes(member, &server)?;
        refuse_not_carried(&cloud, cx, member, &server).await?;
        refuse_unknown_host(
            member,
            &self.clouds.host_and_its_state(cx, server_id).await?.1,
        )?;
        cx.memo.seen.observed = Some(server.status.as_str().to_owned());
        let mut effects = power_state(&server);
        effects.push(note(server_id, &asked));
        Ok(Progress::Done(effects))
    }
}

/// A server that is shut off shall not come up on the other site.
fn power_state(server: &Server) -> Vec<Effect> {
    if server.status != ServerStatus::Shutoff {
        return Vec::new();
    }
    vec![
        Mapped::PowerState {
            server: server.id.clone(),
            status: server.status.as_str().to_owned(),
        }
        .into(),
    ]
}

fn refuse_unready(member: &Member, server: &Server) -> Result<(), StepError> {
    if server.locked {
        let why = format!(
            "server {} is locked: whoever locked it can run 'openstack server unlock {}'",
            member.name, member.server_id
        );
        return Err(StepError::last(Code::Blocked, why));
    }
    match server.status {
        ServerStatus::Active | ServerStatus::Shutoff => Ok(()),
        ref status => Err(StepError::last(
            Code::Blocked,
            format!(
                "server {} is {}: a planned failover needs it ACTIVE or SHUTOFF",
                member.name,
                status.as_str()
            ),
        )),
    }
}

/// What lies where no array replicates it would be deleted with the server. What its copy can live without is told.
async fn refuse_not_carried(
    cloud: &Cloud,
    cx: &mut StepContext<'_>,
    member: &Member,
    server: &Server,
) -> Result<(), StepError> {
    let mut lost = not_carried::of_server(&server.traits());
    for known in &member.volumes {
        // One that is gone is told by what else is checked.
        if let Some(volume) = reading::volume(cloud, &known.id).await? {
            let label = volume.name.clone().filter(|name| !name.is_empty());
            let label = label.unwrap_or_else(|| known.id.to_string());
            lost.extend(not_carried::of_volume(&label, known.boot, &volume.traits()));
        }
    }
    let of_server = PortFilter {
        device_id: Some(server.id.to_string()),
        ..PortFilter::default()
    };
    let ports = cloud.network().ports(&of_server).await.map_err(stop)?;
    lost.extend(
        ports
            .iter()
            .map(Port::traits)
            .flat_map(|port| not_carried::of_port(&port)),
    );
    for lost in lost {
        let what = format!("server {} {lost}; {}", member.name, lost.cure());
        match lost.treatment() {
            Treatment::Refused => return Err(StepError::last(Code::Blocked, what)),
            Treatment::Told => cx.fact(what),
        }
    }
    Ok(())
}

/// Between the stop and the switch each look at a server asks for the state of its host: better refused now than then.
fn refuse_unknown_host(member: &Member, host: &HostState) -> Result<(), StepError> {
    match host {
        HostState::Up { .. } | HostState::None => Ok(()),
        HostState::Down { host } => Err(StepError::last(
            Code::Blocked,
            format!(
                "compute host {host} of server {} is down: nobody could tell whether its guest has stopped; see 'openstack compute service list'",
                member.name
            ),
        )),
        HostState::Unknown { why } => Err(StepError::last(
            Code::Blocked,
            format!(
                "nobody knows whether the compute host of server {} is up, and so whether its guest stops: {why}; the service user needs the role admin in its own project to see that",
                member.name
            ),
        )),
    }
}

/// A volume that nobody protects would be lost with the source, so the group must know each one.
pub(super) fn refuse_changed_volumes(member: &Member, server: &Server) -> Result<(), StepError> {
    let planned: BTreeSet<&str> = member
        .volumes
        .iter()
        .map(|volume| volume.id.as_str())
        .collect();
    let attached: BTreeSet<&str> = server
        .volumes_attached
        .iter()
        .map(|volume| volume.id.as_str())
        .collect();
    match changed_disks(&planned, &attached) {
        None => Ok(()),
        Some(what) => Err(StepError::last(
            Code::Changed,
            format!(
                "the volumes of server {} have changed since it was added: {what}; remove the member from the protection group and add it again",
                member.name
            ),
        )),
    }
}
