//! How much of each cloud's Nova and Cinder, and of the arrays, the engine uses at the same time.
//!
//! A permit is held while a step calls, not while it waits for the cloud: a stuck resource delays nothing but itself
//! (invariant I8).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{action::ConcurrencyLimit, options::EngineOptions};

/// The engine's limits, shared by all operations that it walks.
pub struct ConcurrencyLimits {
    options: EngineOptions,
    pools: Mutex<HashMap<ConcurrencyLimit, Arc<Semaphore>>>,
}

impl ConcurrencyLimits {
    /// Limits as the configuration sets them.
    pub fn new(options: &EngineOptions) -> Self {
        Self {
            options: options.clone(),
            pools: Mutex::default(),
        }
    }

    /// Waits for a place. `None` where nothing limits.
    pub async fn permit(
        &self,
        concurrency_limit: ConcurrencyLimit,
    ) -> Option<OwnedSemaphorePermit> {
        let pool = self.pool(concurrency_limit)?;
        pool.acquire_owned().await.ok()
    }

    fn pool(&self, concurrency_limit: ConcurrencyLimit) -> Option<Arc<Semaphore>> {
        let size = match concurrency_limit {
            ConcurrencyLimit::Compute(_) => self.options.compute_concurrency,
            ConcurrencyLimit::Volume(_) => self.options.volume_concurrency,
            ConcurrencyLimit::Storage(_) => self.options.storage_concurrency,
            ConcurrencyLimit::Nothing => return None,
        };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pools
            .entry(concurrency_limit)
            .or_insert_with(|| Arc::new(Semaphore::new(size.max(1))));
        Some(Arc::clone(pool))
    }
}
