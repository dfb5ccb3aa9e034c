//! Each project's share of this process: how fast it may ask, and how much it may read at a time.
//!
//! Calls that recover or clean up are neither counted nor made to wait, and neither is what the other site's protector asks.

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroUsize},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};
use http::Method;
use protector_core::id::ProjectId;
use protector_oslo::config;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::error::{ApiError, ApiResult};

/// How long a request waits until its project reads less.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many projects are remembered before those are forgotten that have all of their share.
const REMEMBERED: usize = 10_000;

/// How much one project may ask; `None` is without limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateLimits {
    pub rate: Option<Quota>,
    /// How many reading requests at a time.
    pub reads: Option<NonZeroUsize>,
}

impl RateLimits {
    /// Of requests each `period`, `burst` of them at once.
    pub fn rate(period: Duration, burst: NonZeroU32) -> Option<Quota> {
        Quota::with_period(period).map(|quota| quota.allow_burst(burst))
    }
}

impl From<&config::RateLimit> for RateLimits {
    fn from(section: &config::RateLimit) -> Self {
        let second = Duration::from_secs(1);
        let rate = section
            .requests_per_second
            .and_then(|each| Self::rate(second / each.get(), section.burst));
        Self {
            rate,
            reads: section.concurrent_reads,
        }
    }
}

/// Calls that recover or clean up, which are answered on the worst day too.
const RECOVERY: [&str; 6] = [
    "/v1/admin/sites/{site}/failover",
    "/v1/{project_id}/operations/{operation}/abort",
    "/v1/{project_id}/operations/{operation}/adopt",
    "/v1/{project_id}/operations/{operation}/cleanup",
    "/v1/{project_id}/operations/{operation}/resume",
    "/v1/{project_id}/protection-groups/{group}/action",
];

type Rates = RateLimiter<ProjectId, HashMapStateStore<ProjectId>, DefaultClock, NoOpMiddleware>;

/// A request's place among those of its project, until it is answered.
#[derive(Debug, Default)]
pub struct RequestSlot {
    _read: Option<OwnedSemaphorePermit>,
}

/// The shares of all projects.
#[derive(Default)]
pub struct Shares {
    rates: Option<Rates>,
    reads: Option<Reads>,
}

impl Shares {
    /// Shares of `limits` each.
    pub fn new(limits: RateLimits) -> Self {
        Self {
            rates: limits.rate.map(RateLimiter::hashmap),
            reads: limits.reads.map(Reads::new),
        }
    }

    /// Lets a request of `project` in: at once, or when one that reads has been answered.
    ///
    /// # Errors
    ///
    /// 429 when the project asks too fast, or when too many of its requests read and go on doing so.
    pub async fn admit(
        &self,
        project: &ProjectId,
        method: &Method,
        route: &str,
    ) -> ApiResult<RequestSlot> {
        if *method == Method::POST && RECOVERY.contains(&route) {
            return Ok(RequestSlot::default());
        }
        if let Some(rates) = &self.rates {
            count(rates, project)?;
        }
        match &self.reads {
            Some(reads) if *method == Method::GET => reads.place(project).await,
            _ => Ok(RequestSlot::default()),
        }
    }
}

fn count(rates: &Rates, project: &ProjectId) -> ApiResult<()> {
    if rates.len() >= REMEMBERED {
        rates.retain_recent();
    }
    rates.check_key(project).map_err(|until| {
        ApiError::too_many(
            format!("Project {project} asks more often than '[rate_limit] requests_per_second' lets it; wait and ask again."),
            until.wait_time_from(DefaultClock::default().now()),
        )
    })
}

/// How much each project reads at the moment.
struct Reads {
    most: usize,
    projects: Mutex<HashMap<ProjectId, Arc<Semaphore>>>,
}

impl Reads {
    fn new(most: NonZeroUsize) -> Self {
        Self {
            most: most.get(),
            projects: Mutex::default(),
        }
    }

    async fn place(&self, project: &ProjectId) -> ApiResult<RequestSlot> {
        let free = self.of(project).acquire_owned();
        let read = tokio::time::timeout(PATIENCE, free).await.map_err(|_| {
            ApiError::too_many(
                format!("Project {project} has as many requests under way as '[rate_limit] concurrent_reads' lets it; wait until one is answered."),
                Duration::from_secs(1),
            )
        })?;
        Ok(RequestSlot { _read: read.ok() })
    }

    fn of(&self, project: &ProjectId) -> Arc<Semaphore> {
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        if projects.len() >= REMEMBERED && !projects.contains_key(project) {
            // Whoever holds a place, or waits for one, holds its semaphore.
            projects.retain(|_, reads| Arc::strong_count(reads) > 1);
        }
        let reads = projects.entry(project.clone());
        Arc::clone(reads.or_insert_with(|| Arc::new(Semaphore::new(self.most))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::refusal::Refusal;

    const LIST: &str = "/v1/{project_id}/operations";

    fn shares(burst: u32, reads: usize) -> Shares {
        Shares::new(RateLimits {
            rate: RateLimits::rate(Duration::from_secs(3600), NonZeroU32::new(burst).unwrap()),
            reads: NonZeroUsize::new(reads),
        })
    }

    #[tokio::test]
    async fn who_asks_too_fast_is_told_when_to_come_again_and_nobody_else_is() {
        let shares = shares(3, 0);
        let ask = |project: &'static str| {
            let shares = &shares;
            async move { shares.admit(&project.into(), &Method::GET, LIST).await }
        };
        for _ in 0..3 {
            ask("busy").await.unwrap();
        }
        let refused = ask("busy").await.unwrap_err();
        assert_eq!(refused.refusal(), Refusal::TooManyRequests);
        ask("quiet").await.unwrap();
        let busy = "busy".into();
        for route in RECOVERY {
            shares.admit(&busy, &Method::POST, route).await.unwrap();
        }
    }

    #[test]
    fn the_calls_that_recover_are_calls_of_this_api() {
        let described = crate::http::openapi::openapi();
        for route in RECOVERY {
            let call = described.paths.paths.get(route);
            assert!(call.is_some_and(|call| call.post.is_some()), "{route}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_much_waits_for_its_own_and_holds_up_nobody_else() {
        let shares = shares(100, 2);
        let read = |project: &'static str| {
            let shares = &shares;
            async move { shares.admit(&project.into(), &Method::GET, LIST).await }
        };
        let mut held = vec![read("busy").await.unwrap(), read("busy").await.unwrap()];
        let refused = read("busy").await.unwrap_err();
        assert_eq!(refused.refusal(), Refusal::TooManyRequests);
        read("quiet").await.unwrap();
        let busy = "busy".into();
        shares.admit(&busy, &Method::DELETE, LIST).await.unwrap();
        let (next, ()) = tokio::join!(read("busy"), async { drop(held.pop()) });
        next.unwrap();
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_who_is_there_is_not_forgotten() {
        let shares = shares(1, 1);
        let held = shares
            .admit(&"held".into(), &Method::GET, LIST)
            .await
            .unwrap();
        let (rates, reads) = (
            shares.rates.as_ref().unwrap(),
            shares.reads.as_ref().unwrap(),
        );
        for number in 0..REMEMBERED + 5 {
            reads.of(&ProjectId::new(format!("p-{number}")));
        }
        let known = reads.projects.lock().unwrap();
        assert!(known.len() <= REMEMBERED, "{}", known.len());
        assert!(known.contains_key(&ProjectId::new("held")));
        assert!(count(rates, &"held".into()).is_err());
        drop(held);
    }
}
