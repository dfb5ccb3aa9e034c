//! The clouds as a look at a step has them: its calls that change something are refused where no intent opens them, and the
//! request ids of those that are not go into the step's memo, for an operator who looks into the clouds' logs.

use std::sync::Arc;

use async_trait::async_trait;
use protector_core::{fault::StepFailure, id::SiteName, operation::Memo, site::SiteScope, text};
use protector_openstack::{cloud::Cloud, permit::ReadsOnly, request_log::RequestLog};

use super::CloudActions;
use crate::clouds::Clouds;

/// As many request ids as a step keeps: the newest.
const KEPT: usize = 20;
/// The most bytes of one: OpenStack's are shorter.
const LONGEST_ID: usize = 255;

/// Clouds that are only read unless an intent opens them, and whose changing calls are noted in a log.
struct RecordedClouds {
    inner: Arc<dyn Clouds>,
    log: RequestLog,
}

impl RecordedClouds {
    fn only_read(&self, cloud: &Cloud) -> Cloud {
        cloud
            .with_request_log(&self.log)
            .with_permit(Arc::new(ReadsOnly))
    }
}

#[async_trait]
impl Clouds for RecordedClouds {
    async fn tenant(
        &self,
        scope: &SiteScope,
        request_id: Option<&str>,
    ) -> Result<Cloud, StepFailure> {
        let cloud = self.inner.tenant(scope, request_id).await?;
        Ok(self.only_read(&cloud))
    }

    async fn admin(&self, site: &SiteName, request_id: Option<&str>) -> Result<Cloud, StepFailure> {
        let cloud = self.inner.admin(site, request_id).await?;
        Ok(self.only_read(&cloud))
    }
}

impl CloudActions {
    /// The same steps, on clouds that change nothing without an intent and whose changing calls are noted in `log`.
    pub(super) fn reading_and_noting(&self, log: &RequestLog) -> Self {
        Self {
            clouds: Arc::new(RecordedClouds {
                inner: Arc::clone(&self.clouds),
                log: log.clone(),
            }),
            outside: Arc::clone(&self.outside),
            reservations: self.reservations.clone(),
            arrays: self.arrays.clone(),
            options: self.options.clone(),
            server_groups: Arc::clone(&self.server_groups),
        }
    }
}

/// Moves what was noted during a look into the memo, each id once: Nova and Cinder may answer with the caller's own.
pub(super) fn note(memo: &mut Memo, log: &RequestLog) {
    for id in log.drain() {
        let id = text::cut_to(id, LONGEST_ID);
        if !memo.request_ids.contains(&id) {
            memo.request_ids.push(id);
        }
    }
    let surplus = memo.request_ids.len().saturating_sub(KEPT);
    memo.request_ids.drain(..surplus);
}
