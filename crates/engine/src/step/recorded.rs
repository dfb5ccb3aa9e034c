//! The clouds' request ids in a step's memo: what an operator looks for in the clouds' logs.

use std::sync::Arc;

use async_trait::async_trait;
use protector_core::{fault::Fault, id::SiteName, operation::Memo, site::SiteScope};
use protector_openstack::{cloud::Cloud, request_log::RequestLog};

use super::CloudActions;
use crate::clouds::Clouds;

/// As many request ids as a step keeps: the newest.
const KEPT: usize = 20;

/// Clouds whose changing calls are noted in a log.
struct RecordedClouds {
    inner: Arc<dyn Clouds>,
    log: RequestLog,
}

#[async_trait]
impl Clouds for RecordedClouds {
    async fn tenant(&self, scope: &SiteScope, request_id: Option<&str>) -> Result<Cloud, Fault> {
        let cloud = self.inner.tenant(scope, request_id).await?;
        Ok(cloud.with_request_log(&self.log))
    }

    async fn admin(&self, site: &SiteName, request_id: Option<&str>) -> Result<Cloud, Fault> {
        let cloud = self.inner.admin(site, request_id).await?;
        Ok(cloud.with_request_log(&self.log))
    }
}

impl CloudActions {
    /// The same steps, on clouds whose changing calls are noted in `log`.
    pub(super) fn recorded_in(&self, log: &RequestLog) -> Self {
        Self {
            clouds: Arc::new(RecordedClouds {
                inner: Arc::clone(&self.clouds),
                log: log.clone(),
            }),
            outside: Arc::clone(&self.outside),
            standing: self.standing.clone(),
            storage: Arc::clone(&self.storage),
            options: self.options.clone(),
        }
    }
}

/// Moves what was noted during a look into the memo, each id once: Nova and Cinder may answer with the caller's own.
pub(super) fn note(memo: &mut Memo, log: &RequestLog) {
    for id in log.drain() {
        if !memo.request_ids.contains(&id) {
            memo.request_ids.push(id);
        }
    }
    let surplus = memo.request_ids.len().saturating_sub(KEPT);
    memo.request_ids.drain(..surplus);
}
