//! Whether the services of a site answer: one small call each, side by side, each with a deadline of its own.

use std::time::Duration;

use protector_core::readiness::Asked;
use protector_core::readiness::Silence;
use protector_openstack::cloud::Cloud;
use protector_openstack::error::CallError;
use protector_openstack::volume::VolumeFilter;

use crate::clouds::SiteServices;
use crate::site_readings::silence;

/// How long one service may take. A report that takes longer is read by nobody.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A name that nothing has: asking for it shows that a service answers, and reads next to nothing.
const NOBODY: &str = "protector-health-probe";

async fn ask<T>(call: impl Future<Output = Result<T, CallError>>) -> Asked<()> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(silence(&error)),
        Err(_) => Err(Silence::Unreachable(format!(
            "no answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

/// Asks each service of the site behind `cloud`, a session of the service user in its own project.
pub(crate) async fn services(cloud: &Cloud) -> SiteServices {
    let nothing = VolumeFilter::named(NOBODY);
    let (keystone, nova, cinder, neutron) = (
        cloud.identity(),
        cloud.compute(),
        cloud.volume(),
        cloud.network(),
    );
    let (identity, compute, volume, network) = tokio::join!(
        ask(keystone.ping()),
        ask(nova.limits()),
        ask(cinder.volumes(&nothing)),
        ask(neutron.networks(Some(NOBODY))),
    );
    SiteServices {
        identity,
        compute,
        volume,
        network,
    }
}
