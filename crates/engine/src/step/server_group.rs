//! Server groups on the target. The copies of servers that are in one get the one that stands for it there.
//!
//! A copy outside of its group runs: so no refusal to make one, for a quota or by policy, keeps a server from being built. The
//! record says so. What was made stays: other servers of the project may be put into it, and the next move finds it again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use protector_core::{
    fault::Code,
    id::{ServerId, SiteName},
    journal::Effect,
    member::Member,
    member_settings::{Difference, one},
    operation::Mapped,
    plan::Plan,
    server_group::{MappedGroupIsGone, ServerGroup, ServerGroupSeen},
};
use protector_openstack::{
    cloud::Cloud,
    compute::{NovaServerGroup, Server},
    error::{CallError, ErrorClass},
};

use super::{counterparts::Counterparts, reading};
use crate::{action::StepContext, clouds::stop, step_error::StepError};

/// On each site one member looks for its server group, and makes it, at a time. A site that hangs keeps no other waiting.
#[derive(Debug, Default)]
pub(super) struct OneAtATime(Mutex<BTreeMap<SiteName, Arc<tokio::sync::Mutex<()>>>>);

impl OneAtATime {
    fn at(&self, site: &SiteName) -> Arc<tokio::sync::Mutex<()>> {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sites.entry(site.clone()).or_default())
    }
}

impl Counterparts<'_> {
    /// The id of the server group that stands for `known` on the target; made if there is none. Nova takes a name twice, so one
    /// member looks and makes at a time: the next one finds it.
    ///
    /// `None` where Nova does not let it be made.
    pub(super) async fn server_group_on_target(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        known: &ServerGroup,
    ) -> Result<Option<String>, StepError> {
        let alone = self.server_groups.at(&cx.plan().target.site);
        let _alone = alone.lock().await;
        let there = server_groups(target).await?;
        let ours = copies(cx);
        let found = known.counterpart(mapped(cx.plan(), known), &there, &ours);
        if let Some(found) = found.map_err(|gone| is_gone(cx.plan(), known, &gone))? {
            return Ok(Some(found.id.clone()));
        }
        let intent = cx.intend_beside().await?;
        let made = intent.on(target).compute().create_server_group(known).await;
        match made {
            Ok(made) => {
                cx.fact(format!("server group {known} was made: {}", made.id));
                Ok(Some(made.id))
            }
            Err(error) if is_refusal(&error) => {
                cx.fact(format!("built without server group {known}: {error}"));
                Ok(None)
            }
            Err(error) => Err(stop(error)),
        }
    }
}

/// Which server group of the target a copy is in, by that of its original. Lists do not show it: the copy is read by itself.
pub(super) async fn its_server_group(
    target: &Cloud,
    member: &Member,
    copy: &Server,
) -> Result<Option<Effect>, StepError> {
    let Some(known) = &member.server.server_group else {
        return Ok(None);
    };
    let seen = reading::server(target, &copy.id).await?;
    let id = seen.and_then(|seen| seen.server_groups.into_iter().next());
    Ok(id.map(|id| {
        Effect::from(Mapped::ServerGroup {
            source: known.id.clone(),
            target: id,
        })
    }))
}

/// What is lost of a member's server group, in a copy that Nova shows as `copy`.
pub(super) fn not_in_its_group(
    cx: &StepContext<'_>,
    member: &Member,
    copy: &Server,
) -> Option<Difference> {
    let known = member.server.server_group.as_ref()?;
    let wanted = cx.known(|map| map.server_group(&known.id));
    let is_in = copy.server_groups.first();
    (wanted.is_none() || wanted.as_ref() != is_in).then(|| Difference {
        what: "server group".into(),
        was: known.to_string(),
        is: one(is_in.map(String::as_str)),
    })
}

/// The group's words for a build that Nova found no host for.
pub(super) fn cure_of_no_host(plan: &Plan, member: &Member, fault: &str) -> Option<String> {
    let known = member.server.server_group.as_ref();
    let known = known.filter(|known| known.is_strict())?;
    fault.contains("No valid host").then(|| {
        format!(
            "; it is in server group {known}, which may leave it no host: give {site} more hosts, or map it to a group there whose policy is soft-{policy}: 'openstack dr protection-group set {group} --server-group-mapping {id}=<server group>'",
            site = plan.target.site,
            policy = known.policy,
            group = plan.group_name,
            id = known.id,
        )
    })
}

/// The members' server groups that are mapped to one that is gone, each with a sentence.
pub(super) async fn absent_server_groups<'p>(
    target: &Cloud,
    plan: &'p Plan,
) -> Result<BTreeMap<&'p str, String>, StepError> {
    let known = plan.members.iter();
    let known = known.filter_map(|member| member.server.server_group.as_ref());
    let is_mapped = |known: &&ServerGroup| mapped(plan, known).is_some();
    let known: Vec<&ServerGroup> = known.filter(is_mapped).collect();
    if known.is_empty() {
        return Ok(BTreeMap::new());
    }
    let there = server_groups(target).await?;
    let gone = known.into_iter().filter_map(|known| {
        let gone = known.counterpart(mapped(plan, known), &there, &[]).err()?;
        Some((known.id.as_str(), gone_in_words(plan, known, &gone)))
    });
    Ok(gone.collect())
}

/// The server group as it is on the target, of a member that is there now. One that was not kept is still what the way back
/// wants.
pub(super) fn moved_server_group(cx: &StepContext<'_>, known: &ServerGroup) -> ServerGroup {
    let id = cx.known(|map| map.server_group(&known.id));
    ServerGroup {
        id: id.unwrap_or_else(|| known.id.clone()),
        ..known.clone()
    }
}

async fn server_groups(target: &Cloud) -> Result<Vec<ServerGroupSeen>, StepError> {
    let there = target.compute().server_groups().await.map_err(stop)?;
    Ok(there.iter().map(NovaServerGroup::seen).collect())
}

fn mapped<'p>(plan: &'p Plan, known: &ServerGroup) -> Option<&'p str> {
    let mapped = plan.mappings.server_groups.get(&known.id);
    mapped.map(String::as_str)
}

/// The copies that stand already.
fn copies(cx: &StepContext<'_>) -> Vec<ServerId> {
    let members = cx.plan().members.iter();
    members
        .filter_map(|member| cx.known(|map| map.server(&member.server_id)))
        .collect()
}

fn is_gone(plan: &Plan, known: &ServerGroup, gone: &MappedGroupIsGone) -> StepError {
    StepError::last(Code::Missing, gone_in_words(plan, known, gone))
}

fn gone_in_words(plan: &Plan, known: &ServerGroup, gone: &MappedGroupIsGone) -> String {
    format!(
        "mapped server group {} does not exist on {}: 'openstack dr protection-group set {} --server-group-mapping {}=<server group there>' names another for {known}",
        gone.0, plan.target.site, plan.group_name, known.id
    )
}

fn is_refusal(error: &CallError) -> bool {
    matches!(error.class(), ErrorClass::Final | ErrorClass::Forbidden)
}
