//! The compute host of a source server: remembered while Nova still knows it, asked about before anything is deleted.

use protector_core::{guard::HostState, id::ServerId, journal::Effect, operation::MapKind};
use protector_openstack::{
    cloud::Cloud,
    compute::{ComputeService, Server},
    status::ServerStatus,
};

use super::{CloudActions, reading};
use crate::action::{Cx, Stop};

/// As the record names "on no host".
const NOWHERE: &str = "";

/// Nova's name of the service that runs guests.
const NOVA_COMPUTE: &str = "nova-compute";

impl CloudActions {
    /// The host that a server is on, for the record. Only administrators see it: `None` where even they do not, or
    /// where Nova does not know the server any more.
    pub(super) async fn host_for_the_record(
        &self,
        cx: &Cx<'_>,
        id: &ServerId,
    ) -> Result<Option<Effect>, Stop> {
        let admin = self.source_admin(cx).await?;
        let server = reading::server(&admin, id).await?;
        Ok(server
            .and_then(|server| host_of(&server))
            .map(|host| Effect::Mapped {
                kind: MapKind::ComputeHost,
                source: id.to_string(),
                target: host,
            }))
    }

    /// The state of the host that a server was last seen on.
    pub(super) async fn state_of_last_host(
        &self,
        cx: &Cx<'_>,
        id: &ServerId,
    ) -> Result<HostState, Stop> {
        match cx.mapped(MapKind::ComputeHost, id.as_str()) {
            Some(host) => self.state_of_host(cx, &host).await,
            None => Ok(HostState::Unknown {
                why: "it was never seen on one".to_owned(),
            }),
        }
    }

    /// The state of the host that a server is on right now, with the host for the record.
    pub(super) async fn host_and_its_state(
        &self,
        cx: &Cx<'_>,
        id: &ServerId,
    ) -> Result<(Option<String>, HostState), Stop> {
        host_seen_by(&self.source_admin(cx).await?, id).await
    }

    async fn state_of_host(&self, cx: &Cx<'_>, host: &str) -> Result<HostState, Stop> {
        if host == NOWHERE {
            return Ok(HostState::None);
        }
        state_told_to(&self.source_admin(cx).await?, host).await
    }
}

/// The host that a server is on right now, and its state, as `admin` sees them.
pub(super) async fn host_seen_by(
    admin: &Cloud,
    id: &ServerId,
) -> Result<(Option<String>, HostState), Stop> {
    let seen = reading::server(admin, id).await?;
    let Some(host) = seen.as_ref().and_then(host_of) else {
        let why = "Nova does not show it to the service user's administrator role".to_owned();
        return Ok((None, HostState::Unknown { why }));
    };
    let state = match host.as_str() {
        NOWHERE => HostState::None,
        name => state_told_to(admin, name).await?,
    };
    Ok((Some(host), state))
}

async fn state_told_to(admin: &Cloud, host: &str) -> Result<HostState, Stop> {
    match admin.compute().services(Some(NOVA_COMPUTE)).await {
        Ok(services) => Ok(state_among(&services, host)),
        Err(error) if matches!(error.status(), Some(403 | 404)) => Ok(HostState::Unknown {
            why: error.to_string(),
        }),
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
fn host_of(server: &Server) -> Option<String> {
    let nowhere = matches!(server.status, ServerStatus::ShelvedOffloaded);
    match &server.host {
        Some(host) => Some(host.clone()),
        None if nowhere => Some(NOWHERE.to_owned()),
        None => None,
    }
}
