//! The compute host of a source server: remembered while Nova still knows it, asked about before anything is deleted.

use protector_core::{fault::StepFailure, guard::HostState, id::ServerId};
use protector_openstack::{
    cloud::Cloud,
    compute::{ComputeService, Server},
    status::ServerStatus,
};

use super::{reading, site_clouds::SiteClouds};
use crate::{action::StepContext, step_error::StepError};

/// As the record names "on no host".
const NOWHERE: &str = "";

/// Nova's name of the service that runs guests.
const NOVA_COMPUTE: &str = "nova-compute";

impl SiteClouds<'_> {
    /// The compute services of the source, asked for once for many servers.
    pub(super) async fn compute_hosts_of_source(
        &self,
        cx: &StepContext<'_>,
    ) -> Result<ComputeHosts, StepError> {
        let admin = self.source_admin(cx).await?;
        compute_hosts(&admin).await
    }

    /// The state of the host that a server was last seen on.
    pub(super) async fn state_of_last_host(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<HostState, StepError> {
        match cx.known(|map| map.compute_host(id)) {
            Some(host) => self.state_of_host(cx, &host).await,
            None => Ok(HostState::Unknown {
                why: "it was never seen on one".to_owned(),
            }),
        }
    }

    /// The state of the host that a server is on right now, with the host for the record.
    pub(super) async fn host_and_its_state(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<(Option<String>, HostState), StepError> {
        host_seen_by(&self.source_admin(cx).await?, id).await
    }

    /// The host that a copy on the target is on, and its state. One that was never placed is on none.
    pub(super) async fn host_of_copy(
        &self,
        cx: &StepContext<'_>,
        copy: &Server,
    ) -> Result<(Option<String>, HostState), StepError> {
        let admin = self.target_admin(cx).await?;
        let host = host_of(&still_there(&admin, &copy.id).await?);
        let was_placed = !matches!(copy.status, ServerStatus::Error | ServerStatus::Build);
        if host.is_none() && !was_placed {
            return Ok((None, HostState::None));
        }
        let state = compute_hosts(&admin).await?.state_of(host.as_deref());
        Ok((host, state))
    }

    /// Notes where a copy that runs is: once Nova has forgotten it, nobody can tell any more. Where the administrator does not
    /// see that, it is not known.
    pub(super) async fn note_host_of_copy(
        &self,
        cx: &mut StepContext<'_>,
        copy: &Server,
    ) -> Result<(), StepError> {
        let admin = self.target_admin(cx).await?;
        cx.memo.seen.host = match reading::server(&admin, &copy.id).await {
            Ok(seen) => seen.as_ref().and_then(host_of),
            Err(StepError::Fault(StepFailure::Final { .. })) => None,
            Err(passing) => return Err(passing),
        };
        Ok(())
    }

    /// The state of the host that the copy was last seen on. One that nobody has seen run was on none, unless it has
    /// outlived the operation that made it.
    pub(super) async fn last_host_of_copy(
        &self,
        cx: &StepContext<'_>,
    ) -> Result<HostState, StepError> {
        match &cx.memo.seen.host {
            Some(host) => {
                let admin = self.target_admin(cx).await?;
                Ok(compute_hosts(&admin).await?.state_of(Some(host)))
            }
            None if cx.memo.outlived => Ok(HostState::Unknown {
                why: "it was never seen on one".to_owned(),
            }),
            None => Ok(HostState::None),
        }
    }

    async fn state_of_host(
        &self,
        cx: &StepContext<'_>,
        host: &str,
    ) -> Result<HostState, StepError> {
        let admin = self.source_admin(cx).await?;
        Ok(compute_hosts(&admin).await?.state_of(Some(host)))
    }
}

/// Remembers where a copy was seen, for the day when Nova has forgotten it.
pub(super) fn remember_host(cx: &mut StepContext<'_>, host: Option<&str>, state: &HostState) {
    let seen = match state {
        HostState::None => Some(NOWHERE),
        _ => host,
    };
    if let Some(seen) = seen {
        cx.memo.seen.host = Some(seen.to_owned());
    }
}

/// The host that a server is on right now, and its state, as `admin` sees them. The tenant has just seen the server.
pub(super) async fn host_seen_by(
    admin: &Cloud,
    id: &ServerId,
) -> Result<(Option<String>, HostState), StepError> {
    let host = host_of(&still_there(admin, id).await?);
    let state = compute_hosts(admin).await?.state_of(host.as_deref());
    Ok((host, state))
}

/// A server that the tenant has just seen, as `admin` sees it; one that went between the two readings is looked at anew.
async fn still_there(admin: &Cloud, id: &ServerId) -> Result<Server, StepError> {
    let seen = reading::server(admin, id).await?;
    seen.ok_or_else(|| StepError::passing(format!("server {id} was there, and is not any more")))
}

/// A cloud's compute services, or why nobody may see them.
pub(super) struct ComputeHosts(Result<Vec<ComputeService>, String>);

impl ComputeHosts {
    /// The state of a host; `None` for one that Nova does not show.
    pub(super) fn state_of(&self, host: Option<&str>) -> HostState {
        match (host, &self.0) {
            (None, _) => HostState::Unknown {
                why: "Nova does not show it to the service user's administrator role".to_owned(),
            },
            (Some(NOWHERE), _) => HostState::None,
            (Some(host), Ok(services)) => state_among(services, host),
            (Some(_), Err(why)) => HostState::Unknown { why: why.clone() },
        }
    }
}

/// The compute services of the cloud that `admin` sees.
pub(super) async fn compute_hosts(admin: &Cloud) -> Result<ComputeHosts, StepError> {
    match admin.compute().services(Some(NOVA_COMPUTE)).await {
        Ok(services) => Ok(ComputeHosts(Ok(services))),
        Err(error) if matches!(error.status(), Some(403 | 404)) => {
            Ok(ComputeHosts(Err(error.to_string())))
        }
        Err(error) => Err(crate::clouds::stop(error)),
    }
}

fn state_among(services: &[ComputeService], host: &str) -> HostState {
    let service = services
        .iter()
        .find(|service| service.host == host && service.binary == NOVA_COMPUTE);
    match service {
        Some(service) if service.state == "up" && !service.forced_down => HostState::Up {
            host: host.to_owned(),
        },
        Some(service) if service.state == "down" || service.forced_down => HostState::Down {
            host: host.to_owned(),
        },
        Some(service) => HostState::Unknown {
            why: format!("the compute service of {host} is {}", service.state),
        },
        None => HostState::Unknown {
            why: format!("Nova lists no compute service of {host}"),
        },
    }
}

/// The host's name, empty for a server that is on none; `None` where Nova does not say.
pub(super) fn host_of(server: &Server) -> Option<String> {
    let nowhere = matches!(server.status, ServerStatus::ShelvedOffloaded);
    match &server.host {
        Some(host) => Some(host.clone()),
        None if nowhere => Some(NOWHERE.to_owned()),
        None => None,
    }
}
