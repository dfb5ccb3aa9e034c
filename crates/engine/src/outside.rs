//! What a step reaches beside clouds and arrays: a recovered server's own port, and those who are told of an operation.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use protector_core::recovery_plan::Probe;
use serde::Serialize;

/// Asks servers and tells people. Both calls are refused where the operator allows none.
#[async_trait]
pub trait Outside: Send + Sync {
    /// Asks the server at `address` once; an answer is waited for some seconds.
    ///
    /// # Errors
    ///
    /// Why it does not count as up.
    async fn probe(&self, address: IpAddr, probe: &Probe) -> Result<(), OutsideError>;

    /// Tells `url` of `news` once. The same news may be told again after a crash: `news.delivery` is the same then.
    ///
    /// # Errors
    ///
    /// Why it does not count as told: anything but a status from 200 to 299 within `limit`.
    async fn call_hook(&self, url: &str, news: &News, limit: Duration) -> Result<(), OutsideError>;
}

/// Why a server or a hook did not answer as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutsideError {
    /// It may answer when it is asked again.
    #[error("{0}")]
    Silent(String),
    /// The operator does not allow it.
    #[error("{0}")]
    Forbidden(String),
}

/// What a hook is told, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct News {
    /// Tells one delivery from another: a repetition has the same.
    pub delivery: String,
    pub hook: String,
    pub operation_id: String,
    /// `failover`, `failback`, `test_failover`.
    pub operation_type: String,
    pub protection_group_id: String,
    pub protection_group: String,
    /// The site that the group leaves.
    pub source_site: String,
    /// The site that it goes to.
    pub target_site: String,
    /// The names of its members.
    pub members: Vec<String>,
}

/// Refuses everything: for deployments and tests without hooks and probes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingOutside;

#[async_trait]
impl Outside for NothingOutside {
    async fn probe(&self, _: IpAddr, _: &Probe) -> Result<(), OutsideError> {
        Err(OutsideError::Forbidden(
            "this site makes no probes".to_owned(),
        ))
    }

    async fn call_hook(&self, _: &str, _: &News, _: Duration) -> Result<(), OutsideError> {
        Err(OutsideError::Forbidden(
            "this site allows no hooks".to_owned(),
        ))
    }
}
