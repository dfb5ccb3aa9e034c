//! Where the copy of a source resource is to be found now: on the target, or, for the cleanup of an older operation whose
//! group has come back, on the source again. See `core::present`.

use protector_core::{
    guard::CopyState,
    id::{ServerId, VolumeId},
};
use protector_openstack::{cloud::Cloud, status::ServerStatus};

use super::site_clouds::SiteClouds;
use crate::{action::StepContext, step_error::StepError};

/// The site on which a member runs now, and its counterparts there.
pub(super) struct CounterpartsNow {
    /// That site, as the tenant sees it.
    pub cloud: Cloud,
    pub array: String,
    place: Place,
}

enum Place {
    Target,
    /// The group has come back.
    Source,
}

impl SiteClouds<'_> {
    /// Where the member that `server` was runs now.
    pub(super) async fn counterparts_now(
        &self,
        cx: &StepContext<'_>,
        server: &ServerId,
    ) -> Result<CounterpartsNow, StepError> {
        let plan = cx.plan();
        if cx.known(|map| map.returned_server(server).is_some()) {
            return Ok(CounterpartsNow {
                cloud: self.source(cx).await?,
                array: plan.source_array.clone(),
                place: Place::Source,
            });
        }
        Ok(CounterpartsNow {
            cloud: self.target(cx).await?,
            array: plan.target_array.clone(),
            place: Place::Target,
        })
    }
}

impl CounterpartsNow {
    pub(super) fn server_of(&self, cx: &StepContext<'_>, source: &ServerId) -> Option<ServerId> {
        cx.known(|map| match self.place {
            Place::Target => map.server(source),
            Place::Source => map.returned_server(source),
        })
    }

    pub(super) fn volume_of(&self, cx: &StepContext<'_>, source: &VolumeId) -> Option<VolumeId> {
        cx.known(|map| match self.place {
            Place::Target => map.volume(source),
            Place::Source => map.returned_volume(source),
        })
    }
}

/// How the copy of `server` is meant to be.
pub(super) fn copy_is_meant(cx: &StepContext<'_>, server: &ServerId) -> CopyState {
    let before = cx.known(|map| map.power_state(server));
    if before.as_deref() == Some(ServerStatus::Shutoff.as_str()) {
        CopyState::RunningOrShutOff
    } else {
        CopyState::Running
    }
}
