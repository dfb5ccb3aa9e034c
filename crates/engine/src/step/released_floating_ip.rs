//! A floating IP of the source that a cleanup releases because somebody asked for it.

use std::net::IpAddr;

use protector_core::{
    fault::Code,
    guard::{
        KnownFloatingIp, SeenFloatingIp, Verdict, floating_ip_is_not_known, verdict_floating_ip,
    },
    id::{FloatingIpId, ServerId},
    mark::is_taken_floating_ip,
    operation::Mapped,
};
use protector_openstack::{cloud::Cloud, network::FloatingIp};

use super::{
    counterparts::member, floating_ips::FloatingIps, reading, scope::Absent,
    source_server::not_for_this,
};
use crate::{
    action::{Progress, StepContext},
    clouds::found,
    step_error::{StepError, not_in_plan},
};

/// The floating IP as the plan has it.
struct Known {
    id: FloatingIpId,
    address: IpAddr,
    server: ServerId,
}

impl FloatingIps<'_> {
    /// Gives a floating IP of the source back to its outer network.
    pub(super) async fn release(
        &self,
        cx: &mut StepContext<'_>,
        server: &ServerId,
        address: IpAddr,
    ) -> Result<Progress, StepError> {
        let known = known(cx, server, address)?;
        let released = Mapped::ReleasedFloatingIp {
            id: known.id.clone(),
            address,
        };
        let released = Progress::Done(vec![released.into()]);
        let source = self.clouds.source(cx).await?;
        match self.judged(cx, &source, &known).await? {
            None => {
                self.clouds
                    .believe_that_source_lacks(cx, &source, Absent::FloatingIp, known.id.as_str())
                    .await?;
                cx.fact(format!("floating IP {address} is gone already"));
                return Ok(released);
            }
            Some(Verdict::Delete) => {}
            Some(Verdict::Keep { why }) => return Err(StepError::last(Code::Kept, why)),
            Some(other) => return Err(not_for_this("floating IP", &other)),
        }
        let intent = cx.intend_to_delete(known.id.as_str()).await?;
        if self.judged(cx, &source, &known).await? != Some(Verdict::Delete) {
            return Ok(self.clouds.changed_meanwhile(cx));
        }
        let open = intent.on(&source);
        found(open.network().delete_floating_ip(&known.id).await)?;
        cx.fact(format!("floating IP {address} was released"));
        Ok(released)
    }

    /// What is to be done with it, by readings of now; it is read last itself. `None` where it is not there.
    async fn judged(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        known: &Known,
    ) -> Result<Option<Verdict>, StepError> {
        let server = reading::server(source, &known.server).await?;
        if server.is_none() {
            self.clouds
                .believe_that_source_lacks(cx, source, Absent::Server, known.server.as_str())
                .await?;
        }
        let wanted_for = wanted_for(cx, known.address).await?;
        let Some(seen) = found(source.network().floating_ip(&known.id).await)?.map(seen) else {
            return Ok(None);
        };
        cx.memo.seen.observed = Some(in_words(&seen));
        let facts = KnownFloatingIp {
            id: &known.id,
            address: known.address,
            project_id: cx.plan().source.project_id.as_str(),
            server: &known.server,
            server_status: server.as_ref().map(|server| server.status.as_str()),
            wanted_for: wanted_for.as_deref(),
        };
        Ok(Some(verdict_floating_ip(&facts, &seen)))
    }
}

fn known(cx: &StepContext<'_>, server: &ServerId, address: IpAddr) -> Result<Known, StepError> {
    let floating = member(cx, server)?.floating_ip(address);
    let floating = floating.ok_or_else(|| not_in_plan("floating IP", &address.to_string()))?;
    let id = floating.id.clone().ok_or_else(|| {
        let why = floating_ip_is_not_known(address, cx.plan().source.site.as_str());
        StepError::last(Code::Kept, why)
    })?;
    Ok(Known {
        id,
        address,
        server: server.clone(),
    })
}

/// The member for which the group's recovery plan names it now, by its name where the operation knows that.
async fn wanted_for(cx: &StepContext<'_>, address: IpAddr) -> Result<Option<String>, StepError> {
    let plan = cx.plan();
    let group = cx.group_now().await?;
    let wanted = group.and_then(|group| {
        let member = group.wants_floating_ip(&plan.source.site, address)?;
        let mut members = plan.members.iter().chain(&plan.others);
        let known = members.find(|known| known.id == *member);
        Some(known.map_or_else(|| member.to_string(), |known| known.name.clone()))
    });
    Ok(wanted)
}

fn seen(floating: FloatingIp) -> SeenFloatingIp {
    let port = floating.port_id.iter().map(|port| format!("port {port}"));
    let single = floating.port_forwardings.iter().map(|forwarding| {
        let inner = forwarding.internal_ip_address.as_deref();
        format!("{} by a port forwarding", inner.unwrap_or("a port"))
    });
    SeenFloatingIp {
        leads_to: port.chain(single).collect(),
        taken_by_a_move: is_taken_floating_ip(&floating.description),
        id: floating.id,
        address: floating.floating_ip_address,
        project_id: floating.project_id.to_string(),
    }
}

/// In place of a status word: what a floating IP is needed for is where it leads.
fn in_words(seen: &SeenFloatingIp) -> String {
    match seen.leads_to.as_slice() {
        [] => "leads nowhere".to_owned(),
        leads_to => format!("leads to {}", leads_to.join(", ")),
    }
}
