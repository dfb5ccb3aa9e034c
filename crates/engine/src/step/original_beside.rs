//! What the server to be moved was itself made from: on a group's way back that may still be where its copy is to be built.
//!
//! An original carries no mark. The copy of it does, and is the server that the group moves now.

use std::collections::BTreeMap;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use protector_core::{
    fault::{Code, Fault},
    id::ServerId,
    operation::OperationKind,
    runbook::Verb,
};
use protector_openstack::cloud::Cloud;

use super::{CloudActions, fence, mark, not_in_plan, reading};
use crate::action::{Cx, Stop};

/// How many servers are looked at side by side.
const SIDE_BY_SIDE: usize = 8;
/// How often each is asked for in one look at all, at most.
const ASKED_FOR: usize = 4;

impl CloudActions {
    /// The same as [`CloudActions::refuse_beside_its_original`] of all members at once: before anything is stopped, and
    /// before the group is switched, since anybody may have started one after its copy was built.
    pub(super) async fn refuse_beside_any_original(&self, cx: &Cx<'_>) -> Result<(), Stop> {
        let target = self.target(cx).await?;
        let looks: Vec<_> = cx
            .plan()
            .members
            .iter()
            .map(|member| {
                let look = || self.refuse_beside_its_original(&target, cx, &member.server_id);
                asked_again(look).boxed()
            })
            .collect();
        stream::iter(looks)
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await
    }

    /// Refuses to build beside the server that `source_id` is the copy of, while that may run (I10).
    pub(super) async fn refuse_beside_its_original(
        &self,
        target: &Cloud,
        cx: &Cx<'_>,
        source_id: &ServerId,
    ) -> Result<(), Stop> {
        if cx.operation.kind == OperationKind::TestFailover {
            return Ok(());
        }
        let Some(original) = self.made_from(cx, source_id).await? else {
            return Ok(());
        };
        let there = reading::server(target, &original).await?;
        let runs =
            there.filter(|server| !reading::is_being_deleted(server) && fence::may_run(server));
        let Some(server) = runs else {
            return Ok(());
        };
        let (site, group) = (&cx.plan().target.site, &cx.plan().group_name);
        let kind = cx.operation.kind;
        let again = match cx.step.verb {
            Verb::Member => {
                format!("'openstack dr retry {group}', or the {kind} again if it recovered nothing")
            }
            _ => format!("'openstack dr {kind} {group}'"),
        };
        Err(Stop::last(
            Code::Blocked,
            format!(
                "server {original} on {site} is {status}, and {source_id} was made from it: no copy may run beside it; what it has written since is only there: if that may be lost, stop it with 'openstack --os-cloud {site} server stop {original}', then {again}",
                status = server.status.as_str(),
            ),
        ))
    }

    /// By the mark of the server itself where its site is asked, else by what was read of it when it was protected.
    async fn made_from(&self, cx: &Cx<'_>, id: &ServerId) -> Result<Option<ServerId>, Stop> {
        let member = cx
            .plan()
            .member_of_server(id.as_str())
            .ok_or_else(|| not_in_plan("server", id.as_str()))?;
        let server = match cx.step.verb {
            // Its site is lost.
            Verb::Member => None,
            _ => reading::server(&self.source(cx).await?, id).await?,
        };
        let metadata =
            server.map_or_else(|| member.server.metadata.clone(), |server| server.metadata);
        Ok(moved_from(&metadata))
    }
}

/// Asks again what could not be answered: of hundreds of looks one fails in every round on a bad day, and none would end.
pub(super) async fn asked_again<T, F>(look: impl Fn() -> F) -> Result<T, Stop>
where
    F: Future<Output = Result<T, Stop>>,
{
    for _ in 1..ASKED_FOR {
        match look().await {
            Err(Stop::Fault(Fault::Passing { .. })) => {}
            outcome => return outcome,
        }
    }
    look().await
}

/// What a server was made from by a move. A test's copy is no other life of its original, which goes on in production.
fn moved_from(metadata: &BTreeMap<String, String>) -> Option<ServerId> {
    if mark::is_of_a_test(metadata) {
        return None;
    }
    mark::seen(metadata).source.map(ServerId::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tests_copy_was_made_from_nothing_that_may_not_run() {
        let marks = [(mark::SOURCE, "original"), (mark::OPERATION, "op-1")];
        let marks = marks.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut metadata = BTreeMap::from(marks);
        assert_eq!(moved_from(&metadata), Some(ServerId::new("original")));
        metadata.insert(protector_core::mark::TEST.to_owned(), "op-1".to_owned());
        assert_eq!(moved_from(&metadata), None);
    }
}
