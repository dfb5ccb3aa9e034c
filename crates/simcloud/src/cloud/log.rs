//! The call log: what was asked of a cloud, by whom, and what it answered.

use serde::{Deserialize, Serialize};

use crate::cloud::call::SimulatedService;

/// One call as the cloud saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Running number, from 1.
    pub number: u64,
    /// Seconds since the cloud started.
    pub at: f64,
    pub service: SimulatedService,
    pub method: String,
    /// Path behind the service's prefix, with the query string.
    pub path: String,
    /// Status of the answer, even when it was not delivered; 0 when the call was not carried out.
    pub status: u16,
    /// User name of the caller.
    pub user: Option<String>,
    /// Project id of the caller's token.
    pub project: Option<String>,
    /// Ids of resources in the path, and the id of what was created.
    pub resources: Vec<String>,
    /// The action's name, for calls to `…/action`.
    pub action: Option<String>,
    /// The fault rule that applied.
    pub fault: Option<String>,
    /// Request id of the answer.
    pub request_id: String,
}

/// All calls since the last reset, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallLog {
    records: Vec<CallRecord>,
    last: u64,
}

impl CallLog {
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn push(&mut self, record: CallRecord) {
        self.records.push(record);
    }

    pub(crate) fn records(&self) -> &[CallRecord] {
        &self.records
    }

    pub(crate) fn reset(&mut self) {
        self.records.clear();
    }
}
