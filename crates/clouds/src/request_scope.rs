//! What a request of ours has to do with the calls that it makes the clouds answer: one id for all, and one allowance.

use protector_openstack::bounds::Allowance;
use tracing::Instrument as _;

tokio::task_local! {
    /// The id under which the clouds should know the request that this task answers.
    static CHAIN: String;
    /// What the request that this task answers may still make the clouds send here.
    static ALLOWANCE: Allowance;
}

/// The most bytes that one request may make all clouds and the other site send: twice what a tenant with 10,000 servers and
/// 10,000 volumes on both needs for the longest list.
const MOST_OF_CLOUDS: usize = 256 << 20;

/// What the request that is being answered may still make the clouds send; `None` outside of a request.
pub fn allowance() -> Option<Allowance> {
    ALLOWANCE.try_with(Clone::clone).ok()
}

/// The id to send on to the clouds: the caller's own, or the one that this service gave; `None` outside of a request.
pub fn chain_id() -> Option<String> {
    CHAIN.try_with(Clone::clone).ok()
}

/// Runs `work` to its end, even when the request's caller does not wait for it any more, with the request's ids in its
/// log lines and calls. Fails when the work panics.
pub fn lasting<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    let request = chain_id().zip(allowance());
    let work = async move {
        match request {
            Some((chain, allowance)) => ALLOWANCE.scope(allowance, CHAIN.scope(chain, work)).await,
            None => work.await,
        }
    };
    tokio::spawn(work.in_current_span())
}

/// Runs `work`, which answers a request that the clouds should know as `chain`.
pub async fn answering<T>(chain: String, work: impl Future<Output = T>) -> T {
    let allowance = Allowance::new(MOST_OF_CLOUDS);
    ALLOWANCE.scope(allowance, CHAIN.scope(chain, work)).await
}
