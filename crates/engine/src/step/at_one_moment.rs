//! Many servers at one moment: what was seen of each is confirmed for all of them at once, before it is too old to be acted on.
//!
//! An answer tells of the moment at which it was asked for, and looking at hundreds of servers takes minutes on a slow cloud.
//! Nova notes when it last changed anything about a server. One that is listed as it was seen, with the same time, has been
//! asked for nothing in between, and one list is one answer for all of them.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use protector_core::{
    guard::HostState,
    id::{ServerId, SiteName, VolumeId},
    runbook::Verb,
};
use protector_openstack::{
    cloud::Cloud,
    compute::{Server, ServerFilter},
};
use tokio::time::Instant;

use super::{
    site_clouds::SiteClouds,
    source_host::{ComputeHosts, compute_hosts, host_of},
};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    intent::READINGS_HOLD_FOR,
    step_error::StepError,
};

/// Readings that are no older than this need not be confirmed: the rest of their time is for what is written down.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// A server as it was seen.
#[derive(Clone, Debug)]
pub(super) struct SeenThen {
    id: ServerId,
    host: Option<String>,
    state: ServerState,
}

/// What is the same for as long as Nova does nothing with the server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServerState {
    status: String,
    // Without Nova, a guest starts with its host or by hand: then this alone tells.
    power: Option<i64>,
    task: Option<String>,
    volumes: Vec<VolumeId>,
    updated: Option<DateTime<Utc>>,
}

impl SeenThen {
    /// As an administrator has just seen it.
    pub(super) fn of(server: &Server) -> Self {
        Self::on(host_of(server), server)
    }

    /// As the tenant has just seen it, on the host that an administrator sees.
    pub(super) fn on(host: Option<String>, server: &Server) -> Self {
        Self {
            id: server.id.clone(),
            host,
            state: ServerState::of(server),
        }
    }
}

impl ServerState {
    fn of(server: &Server) -> Self {
        let mut volumes: Vec<VolumeId> = server
            .volumes_attached
            .iter()
            .map(|volume| volume.id.clone())
            .collect();
        volumes.sort();
        Self {
            status: server.status.as_str().to_owned(),
            power: server.power_state,
            task: server.task_state.clone(),
            volumes,
            updated: server.updated,
        }
    }

    /// A record of which Nova does not say when it was changed may have been.
    fn is_still(&self, now: &Self) -> bool {
        self.updated.is_some() && self == now
    }
}

impl SiteClouds<'_> {
    /// Since when it is known that the source's servers are as they were `seen`, for an end of the step that rests on it: the
    /// oldest of it was asked for at `asked_at`. What is too old by now is confirmed by one list.
    ///
    /// # Errors
    ///
    /// What the cloud says. The outer one is no error: what has to be waited for.
    pub(super) async fn still_as_seen(
        &self,
        cx: &StepContext<'_>,
        asked_at: Instant,
        seen: &[SeenThen],
    ) -> Result<Result<Instant, Progress>, StepError> {
        if asked_at.elapsed() <= FRESH {
            return Ok(Ok(asked_at));
        }
        let (source, admin) = (self.source(cx).await?, self.source_admin(cx).await?);
        let site = &cx.plan().source.site;
        self.still_as_seen_on(cx, (site, &source, &admin), seen)
            .await
    }

    /// The same on any site, however fresh it is: with its tenant's eyes and its administrator's.
    pub(super) async fn still_as_seen_on(
        &self,
        cx: &StepContext<'_>,
        (site, cloud, admin): (&SiteName, &Cloud, &Cloud),
        seen: &[SeenThen],
    ) -> Result<Result<Instant, Progress>, StepError> {
        let asked_at = Instant::now();
        let (listed, hosts) = tokio::try_join!(listed(cloud, seen), compute_hosts(admin))?;
        if let Some(changed) = seen.iter().find(|seen| !is_as_seen(seen, &listed, &hosts)) {
            return Ok(Err(self.look_again(format!(
                "what has changed about server {} since it was looked at",
                changed.id
            ))));
        }
        Ok(self.in_time(cx, site, asked_at))
    }

    /// Waits for a cloud that takes longer for an answer than one may be acted on.
    fn in_time(
        &self,
        cx: &StepContext<'_>,
        site: &SiteName,
        asked_at: Instant,
    ) -> Result<Instant, Progress> {
        let took = asked_at.elapsed();
        if took < READINGS_HOLD_FOR {
            return Ok(asked_at);
        }
        let id = &cx.operation.id;
        let way_on = match matches!(cx.step.verb, Verb::Switch | Verb::Forward) {
            true => format!(
                "; if it stays as slow, 'openstack dr operation abort {id}' gives the operation up"
            ),
            false => String::new(),
        };
        Err(self.look_again(format!(
            "{site} to say within {bound} s how its servers are: it took {took} s, in which one of them may have been started{way_on}",
            bound = READINGS_HOLD_FOR.as_secs(),
            took = took.as_secs(),
        )))
    }
}

async fn listed(
    cloud: &Cloud,
    seen: &[SeenThen],
) -> Result<BTreeMap<ServerId, ServerState>, StepError> {
    if seen.is_empty() {
        return Ok(BTreeMap::new());
    }
    let all = cloud.compute().servers(&ServerFilter::all()).await;
    let states = all.map_err(stop)?.into_iter();
    Ok(states
        .map(|server| (server.id.clone(), ServerState::of(&server)))
        .collect())
}

fn is_as_seen(
    seen: &SeenThen,
    listed: &BTreeMap<ServerId, ServerState>,
    hosts: &ComputeHosts,
) -> bool {
    let unchanged = listed
        .get(&seen.id)
        .is_some_and(|now| seen.state.is_still(now));
    let host = hosts.state_of(seen.host.as_deref());
    unchanged && matches!(host, HostState::Up { .. } | HostState::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests(power: i64) -> ServerState {
        ServerState {
            status: "SHUTOFF".to_owned(),
            power: Some(power),
            task: None,
            volumes: Vec::new(),
            updated: Some(DateTime::UNIX_EPOCH),
        }
    }

    #[test]
    fn a_guest_that_runs_without_nova_is_a_change() {
        assert!(rests(4).is_still(&rests(4)));
        assert!(!rests(4).is_still(&rests(1)));
    }

    #[test]
    fn what_nova_does_not_date_may_have_changed() {
        let undated = ServerState {
            updated: None,
            ..rests(4)
        };
        assert!(!undated.is_still(&undated));
    }
}
