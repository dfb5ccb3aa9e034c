//! The clouds of an operation's two sites, as its steps reach them. What more than one family of steps reads stands in files
//! beside this one, as methods of [`SiteClouds`].

use protector_core::site::SiteScope;
use protector_openstack::cloud::Cloud;

use crate::{
    action::{Progress, StepContext},
    clouds::Clouds,
    options::EngineOptions,
    step_error::StepError,
};

/// Ways into the clouds of the sites of an operation, and how long to wait between two looks.
#[derive(Clone, Copy)]
pub(super) struct SiteClouds<'a> {
    pub(super) clouds: &'a dyn Clouds,
    pub(super) options: &'a EngineOptions,
}

impl SiteClouds<'_> {
    pub(super) async fn tenant(
        &self,
        cx: &StepContext<'_>,
        scope: &SiteScope,
    ) -> Result<Cloud, StepError> {
        let request_id = cx.operation.global_request_id.as_deref();
        Ok(self.clouds.tenant(scope, request_id).await?)
    }

    pub(super) async fn source(&self, cx: &StepContext<'_>) -> Result<Cloud, StepError> {
        self.tenant(cx, &cx.plan().source).await
    }

    pub(super) async fn target(&self, cx: &StepContext<'_>) -> Result<Cloud, StepError> {
        self.tenant(cx, &cx.plan().target).await
    }

    pub(super) async fn target_admin(&self, cx: &StepContext<'_>) -> Result<Cloud, StepError> {
        let request_id = cx.operation.global_request_id.as_deref();
        Ok(self
            .clouds
            .admin(&cx.plan().target.site, request_id)
            .await?)
    }

    pub(super) async fn source_admin(&self, cx: &StepContext<'_>) -> Result<Cloud, StepError> {
        let request_id = cx.operation.global_request_id.as_deref();
        Ok(self
            .clouds
            .admin(&cx.plan().source.site, request_id)
            .await?)
    }

    pub(super) fn look_again(&self, on: impl Into<String>) -> Progress {
        Progress::Waiting {
            on: on.into(),
            again: self.options.status_poll,
        }
    }

    /// What was judged is not so any more once the intent is on record: nothing is sent, and it is looked at anew.
    pub(super) fn changed_meanwhile(&self, cx: &mut StepContext<'_>) -> Progress {
        cx.forget_new_facts();
        self.look_again("what has changed since it was judged")
    }
}
