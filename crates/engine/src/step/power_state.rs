//! A server that was shut off before it moved is shut off after it.

use protector_core::{fault::Code, id::ServerId};
use protector_openstack::status::ServerStatus;

use super::{counterparts::Counterparts, reading};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::{StepError, not_in_plan},
};

impl Counterparts<'_> {
    /// Nova builds servers running; the copy has shown that it runs by now, and is stopped.
    pub(super) async fn restore_power_state(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        if cx.known(|map| map.power_state(source_id).is_none()) {
            return Ok(Progress::done());
        }
        let copy = cx
            .known(|map| map.server(source_id))
            .ok_or_else(|| not_in_plan("copy of server", source_id.as_str()))?;
        let target = self.clouds.target(cx).await?;
        let Some(server) = reading::server(&target, &copy).await? else {
            let why = format!(
                "server {copy} has disappeared from {}",
                cx.plan().target.site
            );
            return Err(StepError::last(Code::Broken, why));
        };
        match (&server.status, server.task_state.as_deref()) {
            (ServerStatus::Shutoff, None) => {
                cx.fact("shut off, as its original was");
                Ok(Progress::done())
            }
            (ServerStatus::Active, None) => {
                let intent = cx.intend().await?;
                let open = intent.on(&target);
                open.compute().stop_server(&copy).await.map_err(stop)?;
                Ok(self.clouds.look_again("Nova to stop it"))
            }
            (ServerStatus::Active | ServerStatus::Shutoff, task) => {
                Ok(self.clouds.look_again(format!(
                    "server status {} ({})",
                    server.status.as_str(),
                    task.unwrap_or("no task")
                )))
            }
            (status, _) => Err(StepError::last(
                Code::Broken,
                format!("the copy went to {} while it was stopped", status.as_str()),
            )),
        }
    }
}
