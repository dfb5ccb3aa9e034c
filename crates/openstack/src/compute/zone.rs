//! Availability zones.

use serde::Deserialize;

use super::{Compute, NOVA};
use crate::{ask::Ask, error::CallError};

#[derive(Deserialize)]
struct Zone {
    #[serde(rename = "zoneName")]
    name: String,
    #[serde(rename = "zoneState")]
    state: ZoneState,
}

#[derive(Deserialize)]
struct ZoneState {
    available: bool,
}

impl Compute {
    /// `GET /os-availability-zone`: the names of the zones that take servers. Role: any.
    ///
    /// # Errors
    /// As any call.
    pub async fn availability_zones(&self) -> Result<Vec<String>, CallError> {
        let ask = Ask::get(NOVA, &["os-availability-zone"]);
        let zones: Vec<Zone> = self.session.object(ask, "availabilityZoneInfo").await?;
        Ok(zones
            .into_iter()
            .filter(|zone| zone.state.available)
            .map(|zone| zone.name)
            .collect())
    }
}
