//! What only an administrator may do to a server.

use protector_core::id::ServerId;
use serde_json::json;

use super::{Compute, NOVA};
use crate::{ask::Ask, error::CallError};

impl Compute {
    /// `POST /servers/{id}/action` `os-resetState` to `active`: clears a task that Nova has lost, so that the server can
    /// be asked to stop again. Changes no more than Nova's own record of it. Role: admin.
    ///
    /// # Errors
    /// As any call.
    pub async fn reset_state_to_active(&self, id: &ServerId) -> Result<(), CallError> {
        let path = ["servers", id.as_str(), "action"];
        let body = json!({"os-resetState": {"state": "active"}});
        self.session.done(Ask::post(NOVA, &path, body)).await
    }
}
