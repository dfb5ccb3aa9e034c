//! The probe of the recovery plan: a recovered server is up when it answers.

use std::net::IpAddr;

use protector_core::{fault::Code, id::ServerId, recovery_plan::Probe};
use protector_openstack::compute::Server;

use super::{hook::HooksAndProbes, reading};
use crate::{
    action::{Progress, StepContext},
    outside::OutsideError,
    step_error::{StepError, not_in_plan},
};

impl HooksAndProbes<'_> {
    /// Asks the copy of `source_id` as the plan says; nothing to ask: done.
    pub(super) async fn probe_server(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let plan = cx.plan();
        let recovery = plan.recovery.of_server(&plan.members, source_id);
        let Some(probe) = recovery.probe else {
            return Ok(Progress::done());
        };
        let copy = cx
            .known(|map| map.server(source_id))
            .ok_or_else(|| not_in_plan("copy of server", source_id.as_str()))?;
        let target = self.clouds.target(cx).await?;
        let Some(server) = reading::server(&target, &copy).await? else {
            let why = format!(
                "server {copy} has disappeared from {}",
                cx.plan().target.site
            );
            return Err(StepError::last(Code::Broken, why));
        };
        let Some(address) = first_fixed_address(&server) else {
            let why = format!("server {copy} has no fixed address that could be probed");
            return Err(StepError::last(Code::Missing, why));
        };
        let asked = question(&probe, address);
        match self.outside.probe(address, &probe).await {
            Ok(()) => {
                cx.fact(format!("{asked} was answered"));
                Ok(Progress::done())
            }
            Err(OutsideError::Silent(why)) => Ok(self.clouds.look_again(format!("{asked}: {why}"))),
            Err(OutsideError::Forbidden(why)) => {
                Err(StepError::last(Code::Refused, format!("{asked}: {why}")))
            }
        }
    }
}

fn question(probe: &Probe, address: IpAddr) -> String {
    let host = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    match probe {
        Probe::Tcp { port } => format!("probe tcp {host}:{port}"),
        Probe::Http { port, path, status } => {
            let path = path.expose().map_or("", without_query);
            format!("probe http://{host}:{port}{path} for {status}")
        }
    }
}

/// What tokens are in is for the server alone.
fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// IPv4 first, as a client would find it.
fn first_fixed_address(server: &Server) -> Option<IpAddr> {
    let fixed: Vec<IpAddr> = server
        .addresses
        .iter()
        .flat_map(|(_, of_network)| of_network)
        .filter(|address| address.kind.as_deref() != Some("floating"))
        .filter_map(|address| address.addr.parse().ok())
        .collect();
    fixed
        .iter()
        .find(|address| address.is_ipv4())
        .or(fixed.first())
        .copied()
}
