//! Where the copy of a source resource is to be found now: on the target, or, for the cleanup of an older operation whose
//! group has come back, on the source again. See `core::present`.

use protector_core::{
    guard::CopyState,
    id::{ServerId, VolumeId},
    operation::MapKind,
};
use protector_openstack::{cloud::Cloud, status::ServerStatus};

use super::site_clouds::SiteClouds;
use crate::{action::StepContext, step_error::StepError};

/// The site on which a member runs now.
pub(super) struct Heirs {
    /// That site, as the tenant sees it.
    pub cloud: Cloud,
    pub array: String,
    server: MapKind,
    volume: MapKind,
}

impl SiteClouds<'_> {
    /// Where the member that `server` was runs now.
    pub(super) async fn heirs(
        &self,
        cx: &StepContext<'_>,
        server: &ServerId,
    ) -> Result<Heirs, StepError> {
        let plan = cx.plan();
        if cx
            .mapped(MapKind::ReturnedServer, server.as_str())
            .is_some()
        {
            return Ok(Heirs {
                cloud: self.source(cx).await?,
                array: plan.source_array.clone(),
                server: MapKind::ReturnedServer,
                volume: MapKind::ReturnedVolume,
            });
        }
        Ok(Heirs {
            cloud: self.target(cx).await?,
            array: plan.target_array.clone(),
            server: MapKind::Server,
            volume: MapKind::Volume,
        })
    }
}

impl Heirs {
    pub(super) fn server_of(&self, cx: &StepContext<'_>, source: &ServerId) -> Option<ServerId> {
        cx.mapped(self.server, source.as_str()).map(ServerId::new)
    }

    pub(super) fn volume_of(&self, cx: &StepContext<'_>, source: &VolumeId) -> Option<VolumeId> {
        cx.mapped(self.volume, source.as_str()).map(VolumeId::new)
    }
}

/// How the copy of `server` is meant to be.
pub(super) fn copy_is_meant(cx: &StepContext<'_>, server: &ServerId) -> CopyState {
    let before = cx.mapped(MapKind::PowerState, server.as_str());
    if before.as_deref() == Some(ServerStatus::Shutoff.as_str()) {
        CopyState::RunningOrShutOff
    } else {
        CopyState::Running
    }
}
