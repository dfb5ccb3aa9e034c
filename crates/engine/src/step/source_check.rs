//! Before anything is touched: is each member still what the group knows of it?

use std::collections::BTreeSet;

use protector_core::{
    fault::Code, id::ServerId, journal::Effect, member::Member, operation::MapKind,
};
use protector_openstack::{compute::Server, status::ServerStatus};

use super::{CloudActions, not_in_plan, reading};
use crate::action::{Cx, Progress, Stop};

impl CloudActions {
    pub(super) async fn check_server(
        &self,
        cx: &mut Cx<'_>,
        server_id: &ServerId,
    ) -> Result<Progress, Stop> {
        let member = cx
            .plan()
            .member_of_server(server_id.as_str())
            .ok_or_else(|| not_in_plan("server", server_id.as_str()))?;
        let cloud = self.source(cx).await?;
        let Some(server) = reading::server(&cloud, server_id).await? else {
            let why = format!(
                "server {} ({server_id}) does not exist on {} any more: remove it from the protection group",
                member.name,
                cx.plan().source.site
            );
            return Err(Stop::last(Code::Changed, why));
        };
        if let Some(task) = &server.task_state {
            return Ok(self.look_again(format!("server task {task}")));
        }
        refuse_unready(member, &server)?;
        refuse_changed_volumes(member, &server)?;
        cx.memo.observed = Some(server.status.as_str().to_owned());
        Ok(Progress::Done(power_state(&server)))
    }
}

/// A server that is shut off shall not come up on the other site.
fn power_state(server: &Server) -> Vec<Effect> {
    if server.status != ServerStatus::Shutoff {
        return Vec::new();
    }
    vec![Effect::Mapped {
        kind: MapKind::PowerState,
        source: server.id.to_string(),
        target: server.status.as_str().to_owned(),
    }]
}

fn refuse_unready(member: &Member, server: &Server) -> Result<(), Stop> {
    if server.locked {
        let why = format!(
            "server {} is locked: whoever locked it can run 'openstack server unlock {}'",
            member.name, member.server_id
        );
        return Err(Stop::last(Code::Blocked, why));
    }
    match server.status {
        ServerStatus::Active | ServerStatus::Shutoff => Ok(()),
        ref status => Err(Stop::last(
            Code::Blocked,
            format!(
                "server {} is {}: a planned failover needs it ACTIVE or SHUTOFF",
                member.name,
                status.as_str()
            ),
        )),
    }
}

/// A volume that nobody protects would be lost with the source, so the group must know each one.
fn refuse_changed_volumes(member: &Member, server: &Server) -> Result<(), Stop> {
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
    let list = |ids: Vec<&&str>| ids.into_iter().copied().collect::<Vec<_>>().join(", ");
    let new = list(attached.difference(&planned).collect());
    let gone = list(planned.difference(&attached).collect());
    if new.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let mut why = format!(
        "the volumes of server {} have changed since it was added:",
        member.name
    );
    for (what, ids) in [("attached since", new), ("not attached any more", gone)] {
        if !ids.is_empty() {
            why.push_str(&format!(" {what}: {ids};"));
        }
    }
    why.push_str(" remove the member from the protection group and add it again");
    Err(Stop::last(Code::Changed, why))
}
