//! The request ids of calls that changed something, for the record.

use std::sync::{Arc, Mutex, PoisonError};

/// Collects the ids that clouds gave to the calls that they carried out. Cheap to clone; clones share the list.
#[derive(Clone, Debug, Default)]
pub struct RequestLog(Arc<Mutex<Vec<String>>>);

impl RequestLog {
    pub(crate) fn note(&self, id: Option<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(id);
    }

    /// The ids since the last time, in the order of the answers.
    pub fn drain(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
