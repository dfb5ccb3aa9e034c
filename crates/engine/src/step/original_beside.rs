//! What the server to be moved was itself made from, over all moves: on a group's way back each of these lives may still be
//! where its copy is to be built.
//!
//! An original carries no mark. The copy of it does, and is the server that the group moves now.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use protector_core::{
    fault::{Code, StepFailure},
    id::ServerId,
    operation::OperationKind,
    runbook::Verb,
};
use protector_openstack::{
    cloud::Cloud,
    compute::{Server, ServerFilter},
};

use super::{fence, mark, reading, site_clouds::SiteClouds};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::{StepError, not_in_plan},
};

/// How many servers are looked at side by side.
const SIDE_BY_SIDE: usize = 8;
/// How often each is asked for in one look at all, at most.
const ASKED_FOR: usize = 4;

impl SiteClouds<'_> {
    /// The same as [`SiteClouds::its_original_may_run`] of all members at once: before anything is stopped, and before the
    /// group is switched, since anybody may have started one after its copy was built.
    pub(super) async fn any_original_may_run(
        &self,
        cx: &StepContext<'_>,
    ) -> Result<Option<Progress>, StepError> {
        if cx.operation.kind == OperationKind::TestFailover {
            return Ok(None);
        }
        let target = self.target(cx).await?;
        // One list for all: it is as long as the project is large.
        let shown = asked_again(|| shown(&target)).await?;
        let looks: Vec<_> = cx
            .plan()
            .members
            .iter()
            .map(|member| {
                let id = &member.server_id;
                let look = || async {
                    let metadata = self.metadata_of(cx, id).await?;
                    self.a_life_may_run(&target, cx, id, &metadata, &shown)
                        .await
                };
                asked_again(look).boxed()
            })
            .collect();
        let seen: Vec<Option<Progress>> = stream::iter(looks)
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        Ok(seen.into_iter().flatten().next())
    }

    /// Refuses to build beside an earlier life of `source_id` while that may run (I10), and waits for one that Nova is
    /// deleting: on a dead host that does not end, and its guest goes on.
    pub(super) async fn its_original_may_run(
        &self,
        target: &Cloud,
        cx: &StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Option<Progress>, StepError> {
        if cx.operation.kind == OperationKind::TestFailover {
            return Ok(None);
        }
        let metadata = self.metadata_of(cx, source_id).await?;
        if made_from(&metadata).is_empty() {
            return Ok(None);
        }
        let shown = shown(target).await?;
        self.a_life_may_run(target, cx, source_id, &metadata, &shown)
            .await
    }

    /// The same by the server's metadata, and by what its target has shown of the project.
    async fn a_life_may_run(
        &self,
        target: &Cloud,
        cx: &StepContext<'_>,
        source_id: &ServerId,
        metadata: &BTreeMap<String, String>,
        shown: &[Server],
    ) -> Result<Option<Progress>, StepError> {
        let made_from = made_from(metadata);
        let mut earlier = Vec::new();
        for life in earlier_lives(target, source_id, metadata, shown).await? {
            if !fence::may_run(&life) {
                continue;
            }
            if made_from.contains(&life.id) || !is_another_groups(cx, &life).await? {
                earlier.push(life);
            }
        }
        let (ending, lasting): (Vec<_>, Vec<_>) =
            earlier.into_iter().partition(reading::is_being_deleted);
        if let Some(server) = lasting.first() {
            return Err(not_beside(cx, source_id, server));
        }
        Ok(ending.first().map(|server| {
            let what = reading::being_deleted(server, None);
            let id = &server.id;
            self.look_again(format!(
                "server {id}, an earlier life of it, to be gone: {what}"
            ))
        }))
    }

    /// That of the server itself where its site is asked, else what was read of it when it was protected.
    async fn metadata_of(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<BTreeMap<String, String>, StepError> {
        let member = cx
            .plan()
            .member_of_server(id.as_str())
            .ok_or_else(|| not_in_plan("server", id.as_str()))?;
        let server = match cx.step.verb {
            // Its site is lost.
            Verb::Member => None,
            _ => reading::server(&self.source(cx).await?, id).await?,
        };
        Ok(server.map_or_else(|| member.server.metadata.clone(), |server| server.metadata))
    }
}

/// A later copy that somebody has taken into another group is a machine of its own by now. What the server itself was made from
/// is not, whoever has started and protected it: they are one machine, with one name and one address.
async fn is_another_groups(cx: &StepContext<'_>, server: &Server) -> Result<bool, StepError> {
    let group = cx.protected_by(server.id.as_str()).await?;
    Ok(group.is_some_and(|group| group != cx.plan().group_name))
}

fn not_beside(cx: &StepContext<'_>, source_id: &ServerId, earlier: &Server) -> StepError {
    let (site, group) = (&cx.plan().target.site, &cx.plan().group_name);
    let kind = cx.operation.kind;
    let again = match cx.step.verb {
        Verb::Member => {
            format!("'openstack dr retry {group}', or the {kind} again if it recovered nothing")
        }
        _ => format!("'openstack dr {kind} {group}'"),
    };
    // Anybody can copy metadata.
    let unmark = match earlier.metadata.contains_key(mark::ORIGIN) {
        true => format!(
            "; {}",
            mark::take_off_that(mark::ORIGIN, site.as_str(), earlier.id.as_str())
        ),
        false => String::new(),
    };
    StepError::last(
        Code::Blocked,
        format!(
            "server {id} on {site} is {status}, and {source_id} was made from it: no copy may run beside it; what it has written since is only there: if that may be lost, stop it with 'openstack --os-cloud {site} server stop {id}', then {again}{unmark}",
            id = earlier.id,
            status = earlier.status.as_str(),
        ),
    )
}

/// The servers on the target that are the same machine as `source_id`, whose metadata is given: what it was made from, the
/// first of all its lives, and what has the same first one. Not its own copies, which are looked for by themselves.
async fn earlier_lives(
    target: &Cloud,
    source_id: &ServerId,
    metadata: &BTreeMap<String, String>,
    shown: &[Server],
) -> Result<Vec<Server>, StepError> {
    let known = made_from(metadata);
    let mut lives = Vec::new();
    for id in &known {
        lives.extend(reading::server(target, id).await?);
    }
    let Some(first) = mark::origin(metadata).filter(|_| !known.is_empty()) else {
        return Ok(lives);
    };
    let is_another_life = |other: &&Server| {
        let is_its_copy = mark::seen(&other.metadata).source.as_deref() == Some(source_id.as_str());
        mark::origin(&other.metadata) == Some(first)
            && other.id != *source_id
            && !is_its_copy
            && !mark::is_of_a_test(&other.metadata)
            && !known.contains(&other.id)
    };
    lives.extend(shown.iter().filter(is_another_life).cloned());
    Ok(lives)
}

/// All servers of the tenant's project.
async fn shown(target: &Cloud) -> Result<Vec<Server>, StepError> {
    let all = target.compute().servers(&ServerFilter::all()).await;
    all.map_err(stop)
}

/// Asks again what could not be answered: of hundreds of looks one fails in every round on a bad day, and none would end.
pub(super) async fn asked_again<T, F>(look: impl Fn() -> F) -> Result<T, StepError>
where
    F: Future<Output = Result<T, StepError>>,
{
    for _ in 1..ASKED_FOR {
        match look().await {
            Err(StepError::Fault(StepFailure::Passing { .. } | StepFailure::NotTold { .. })) => {}
            outcome => return outcome,
        }
    }
    look().await
}

/// What a server was made from by a move, and the first of its lives. A test's copy is no other life of its original, which
/// goes on in production.
fn made_from(metadata: &BTreeMap<String, String>) -> BTreeSet<ServerId> {
    if mark::is_of_a_test(metadata) {
        return BTreeSet::new();
    }
    let last = mark::seen(metadata).source;
    let first = mark::origin(metadata).map(str::to_owned);
    last.into_iter().chain(first).map(ServerId::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata<const N: usize>(marks: [(&str, &str); N]) -> BTreeMap<String, String> {
        let marks = marks.map(|(key, value)| (key.to_owned(), value.to_owned()));
        BTreeMap::from(marks)
    }

    fn servers<const N: usize>(ids: [&str; N]) -> BTreeSet<ServerId> {
        ids.map(ServerId::new).into()
    }

    #[test]
    fn a_tests_copy_was_made_from_nothing_that_may_not_run() {
        let mut copy = metadata([(mark::SOURCE, "original"), (mark::OPERATION, "op-1")]);
        assert_eq!(made_from(&copy), servers(["original"]));
        copy.insert(protector_core::mark::TEST.to_owned(), "op-1".to_owned());
        assert_eq!(made_from(&copy), BTreeSet::new());
    }

    #[test]
    fn a_copy_of_a_copy_was_made_from_the_first_too() {
        let copy = metadata([(mark::SOURCE, "second"), (mark::ORIGIN, "first")]);
        assert_eq!(made_from(&copy), servers(["first", "second"]));
        assert_eq!(made_from(&BTreeMap::new()), BTreeSet::new());
    }
}
