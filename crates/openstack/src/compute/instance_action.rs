//! What was asked of a server, as Nova remembers it.

use chrono::{DateTime, Utc};
use protector_core::id::{ServerId, UserId};
use serde::Deserialize;

use super::{Compute, NOVA};
use crate::{ask::Ask, error::CallError, field};

/// One thing that was asked of a server: by whom, when, and with which request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct InstanceAction {
    /// Nova's word for it: `start`, `stop`, `attach_volume`.
    pub action: String,
    /// The request that asked.
    pub request_id: String,
    /// Who asked; `None` where Nova does not say.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// When Nova took it up, by its own clock.
    #[serde(deserialize_with = "field::time")]
    pub start_time: DateTime<Utc>,
}

impl Compute {
    /// `GET /servers/{id}/os-instance-actions` (2.58): the newest thousand, the newest first. Role: reader of the project.
    ///
    /// A refused request (409) leaves none, and neither does what Nova does by itself, such as starting a guest with its
    /// host.
    ///
    /// # Errors
    /// As any call.
    pub async fn instance_actions(
        &self,
        server: &ServerId,
    ) -> Result<Vec<InstanceAction>, CallError> {
        let path = ["servers", server.as_str(), "os-instance-actions"];
        let ask = Ask::get(NOVA, &path).needs(2, 58);
        self.session.list(ask, "instanceActions").await
    }
}
