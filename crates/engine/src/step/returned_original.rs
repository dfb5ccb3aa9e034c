//! The original of a member that a retry is about to build anew: the site that was lost may be back, and the original with it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    fault::{Code, StepFailure},
    guard::HostState,
    id::{ServerId, UserId},
    operation::OperationKind,
};
use protector_openstack::{compute::Server, error::ErrorClass};

use super::{fence, scope::Absent, site_clouds::SiteClouds};
use crate::{
    action::{Progress, StepContext},
    step_error::StepError,
};

/// How often in the time after which it is taken for lost a source that does not tell is asked.
const LOOKS_UNTIL_LOST: u32 = 6;

/// What a source says of an original that it may have again.
enum Original {
    /// It is certainly gone.
    Gone,
    There {
        status: String,
        /// Whether it certainly does not run.
        rests: bool,
    },
    /// Nothing came back at all.
    Silent,
    /// Something answers there, which does not say what has become of it: here are its words.
    Untold(String),
}

impl SiteClouds<'_> {
    /// Before a retry builds: if the source answers again and the original may run there, it holds what the recovery point
    /// does not, and a copy would run beside it. A source that goes on not answering holds nothing up: that is what the failover
    /// was for. One that answers and does not tell is no lost one, unless a person says so.
    pub(super) async fn refuse_beside_returned_original(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Option<Progress>, StepError> {
        if cx.operation.kind != OperationKind::Retry {
            return Ok(None);
        }
        let said_by = cx.known(|map| map.newer_is_lost(source_id));
        match self.returned_original(cx, source_id).await? {
            Original::Silent => Ok(self.silence(cx)),
            Original::Untold(why) => match said_by {
                Some(user) => Ok(self.silence(cx).or_else(|| {
                    cx.fact(format!(
                        "{why}; what its original may have written after the recovery point is not in the copy, as user {user} has said"
                    ));
                    None
                })),
                None => self.untold(cx, source_id, &why).map(Some),
            },
            Original::Gone => {
                told(cx);
                Ok(None)
            }
            Original::There { status, rests } => {
                told(cx);
                self.build_beside(cx, source_id, &status, rests, said_by)
            }
        }
    }

    /// An original that is there is built beside only where it rests, and somebody has said that its newer writes may be lost.
    fn build_beside(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
        status: &str,
        rests: bool,
        said_by: Option<UserId>,
    ) -> Result<Option<Progress>, StepError> {
        let (site, group) = (cx.plan().source.site.clone(), cx.plan().group_name.clone());
        if let (true, Some(user)) = (rests, said_by) {
            cx.fact(format!(
                "its original on {site} rests ({status}): what that wrote after the recovery point is not in the copy, as user {user} has said"
            ));
            return Ok(None);
        }
        let (may, first) = match rests {
            true => ("", ""),
            false => (" and may run", "stop it, then "),
        };
        Err(StepError::last(
            Code::Blocked,
            format!(
                "server {source_id} is back on {site} ({status}){may}: what it has written since the recovery point is only there, so no copy is built beside it; a failback of {group} brings the other members to it and loses nothing, and a failover after that moves them all; if what it has written may be lost, {first}'openstack dr retry {group} --lose-newer-writes'"
            ),
        ))
    }

    /// Judged by the first answer where that says that it may run: nothing that is asked later makes it rest.
    async fn returned_original(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<Original, StepError> {
        let source = match self.source(cx).await {
            // There is no way there any more: its site was retired.
            Err(StepError::Fault(StepFailure::Passing { .. })) => return Ok(Original::Silent),
            source => source?,
        };
        let asked = source.with_deadline(self.options.lost_source / 2);
        let server = match asked.compute().server(id).await {
            Ok(server) => server,
            Err(error) if error.class() == ErrorClass::NotFound => {
                let gone = self.believe_that_source_lacks(cx, &source, Absent::Server, id.as_str());
                return untold_if_passing(gone.await.map(|()| Original::Gone));
            }
            Err(error) if error.is_silence() => return Ok(Original::Silent),
            Err(error) => return Ok(Original::Untold(error.to_string())),
        };
        if fence::may_run(&server) || server.task_state.is_some() {
            return Ok(there(&server, false));
        }
        let host = self.host_and_its_state(cx, id).await;
        let rests = |host| matches!(host, HostState::Up { .. } | HostState::None);
        untold_if_passing(host.map(|(_, host)| there(&server, rests(host))))
    }

    /// Waits for a source that does not answer, until it counts as lost. One call that is turned away or lost says nothing.
    fn silence(&self, cx: &mut StepContext<'_>) -> Option<Progress> {
        let now = cx.writer.now();
        let since = *cx.memo.since.silent.get_or_insert(now);
        let site = &cx.plan().source.site;
        self.is_waited_for(now, since).then(|| Progress::Waiting {
            on: format!("{site} to answer, or to go on not answering"),
            again: self.pause_until_told(),
        })
    }

    /// Waits for a source that answers to tell what it was asked. It does not become a lost one by that.
    fn untold(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
        why: &str,
    ) -> Result<Progress, StepError> {
        cx.memo.since.silent = None;
        let now = cx.writer.now();
        let since = *cx.memo.since.untold.get_or_insert(now);
        let (site, group) = (&cx.plan().source.site, &cx.plan().group_name);
        if self.is_waited_for(now, since) {
            return Ok(Progress::Waiting {
                on: format!("{site} to say what has become of server {id} ({why})"),
                again: self.pause_until_told(),
            });
        }
        Err(StepError::last(
            Code::Blocked,
            format!(
                "{site} answers, and does not say whether server {id} is back ({why}): no copy is built beside what may run there; 'openstack dr retry {group}' when it says so; if {site} is lost all the same, and what the server may have written since the recovery point with it, 'openstack dr retry {group} --lose-newer-writes'"
            ),
        ))
    }

    fn is_waited_for(&self, now: DateTime<Utc>, since: DateTime<Utc>) -> bool {
        let lost = TimeDelta::from_std(self.options.lost_source).unwrap_or(TimeDelta::MAX);
        now - since < lost
    }

    fn pause_until_told(&self) -> Duration {
        self.options.lost_source / LOOKS_UNTIL_LOST
    }
}

fn there(server: &Server, rests: bool) -> Original {
    Original::There {
        status: server.status.as_str().to_owned(),
        rests,
    }
}

/// What is asked after the first answer fails on a site that answers.
fn untold_if_passing(look: Result<Original, StepError>) -> Result<Original, StepError> {
    match look {
        Err(
            StepError::Fault(StepFailure::Passing { why, .. } | StepFailure::NotTold { why, .. })
            | StepError::LockedOut { why },
        ) => Ok(Original::Untold(why)),
        look => look,
    }
}

/// The source has said what it was asked: what it did not say before counts no more.
fn told(cx: &mut StepContext<'_>) {
    cx.memo.since.silent = None;
    cx.memo.since.untold = None;
}
