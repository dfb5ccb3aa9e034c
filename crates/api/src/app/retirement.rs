//! Retiring a site that is gone for good: what it means is told first, and it is refused while its protector answers.

use std::{collections::BTreeSet, time::Duration};

use protector_core::{
    group::Group,
    id::{GroupId, SiteName},
    leftover::leftovers,
    operation::{OperationKind, OperationState},
    site::{Site, SiteStatus},
};
use protector_peer::peer::{HeldPart, PeerError, other_scope};
use protector_store::{
    GroupFilter, GroupOrder, KeptOperation, OperationFilter, OperationOrder, OrderDirection, Page,
    PeerOperation, StoreError, StoredGroup,
};
use protector_wire::retirement::{RetireOptions, RetiredGroupView, RetirementView};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::App;
use crate::{
    app::{
        refusal::Refusal,
        start::{last_move::last_begun, new_operation::busy},
    },
    http::error::{ApiError, ApiResult},
};

/// How long a site that may be gone is waited for, however often it is asked.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked, at most: one question may be lost on its way.
const QUESTIONS: u32 = 3;
/// How many groups or operations are read at once.
const PAGE: u64 = 100;

impl App {
    /// Refuses what needs the other site of a group that has none any more.
    pub fn refuse_without_other_site(&self, stored: &StoredGroup) -> ApiResult<()> {
        match stored.peer_retired_at {
            None => Ok(()),
            Some(_) => Err(unprotected(&stored.group)),
        }
    }
}

fn unprotected(group: &Group) -> ApiError {
    ApiError::new(
        Refusal::SiteRetired,
        format!(
            "Protection group {name} is not protected: its other site {} was retired. Delete it with 'openstack dr protection-group delete {name}', which leaves its VMs as they are, and protect them anew with 'openstack dr protection-group create' and another site.",
            group.other().site,
            name = group.name
        ),
    )
}

/// Retires a site, or tells what that would mean.
///
/// # Errors
///
/// 400 for this protector's own site, and for a group to give up that does not run there; 409 while its protector answers, or a group runs there or is moved: with all that is
/// in the way and the commands that lead on.
pub async fn retire(app: &App, site: &Site, options: RetireOptions) -> ApiResult<RetirementView> {
    if site.name == app.settings.site_name {
        return Err(ApiError::bad_request(format!(
            "site: {} is the site of the protector that was asked; ask the one of the site that is left.",
            site.name
        )));
    }
    let groups = groups_with(app, &site.name).await?;
    // One that was made while the site was being retired is retired now.
    if site.status == SiteStatus::Retired && groups.is_empty() {
        return Ok(RetirementView::found(
            site.name.as_str(),
            "it is retired, and is not asked any more".to_owned(),
            None,
            Vec::new(),
        )
        .done(site.updated_at));
    }
    let given_up = given_up(&groups, &site.name, &options.give_up)?;
    let mut views = Vec::new();
    for stored in &groups {
        let fate = match given_up.contains(&stored.group.id) {
            true => Fate::GivenUp,
            false => Fate::GoesOn,
        };
        views.push(view(app, stored, &site.name, fate).await?);
    }
    let answer = match app.peer.can_be_asked(&site.name).await {
        Err(PeerError::NotTold(why)) => Answer::NotTold(why),
        _ => ask(|| app.peer.reach(&site.name)).await,
    };
    let in_the_way = match &answer {
        Answer::Answers => why_not_gone(app, &site.name, &groups).await,
        Answer::NotTold(why) => Some(format!("nobody knows whether it is gone: {why}.")),
        Answer::Silent(_) => None,
    };
    let asked = in_words(&answer);
    let found = RetirementView::found(site.name.as_str(), asked, in_the_way, views);
    if options.dry_run {
        return Ok(found);
    }
    refuse_in_the_way(&found)?;
    let now = app.clock.now();
    app.database
        .site_retire(site, &given_up, now)
        .await
        .map_err(|error| changed_meanwhile(&site.name, error))?;
    app.clouds.forget(&site.name).await;
    tracing::warn!(site = %site.name, groups = found.protection_groups.len(), "site retired");
    Ok(found.done(now))
}

/// What becomes of a group whose other site is retired.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is kept, without another site.
    GoesOn,
    GivenUp,
}

/// The groups that the names or ids in `wanted` mean: of those that run on the site, and nowhere else.
fn given_up(
    groups: &[StoredGroup],
    site: &SiteName,
    wanted: &[String],
) -> ApiResult<BTreeSet<GroupId>> {
    let mut found = BTreeSet::new();
    for name in wanted {
        let is_meant =
            |stored: &&StoredGroup| stored.group.id.as_str() == name || stored.group.name == *name;
        let meant: Vec<&StoredGroup> = groups.iter().filter(is_meant).collect();
        let stored = match meant.as_slice() {
            [one] => one,
            [] => {
                return Err(ApiError::bad_request(format!(
                    "retire.give_up: no group of {site} here is called '{name}'."
                )));
            }
            _ => {
                let ids: Vec<&str> = meant.iter().map(|one| one.group.id.as_str()).collect();
                return Err(ApiError::bad_request(format!(
                    "retire.give_up: groups of several projects are called '{name}': give the id, one of {}.",
                    ids.join(", ")
                )));
            }
        };
        if stored.group.current_primary_site != *site {
            return Err(ApiError::bad_request(format!(
                "retire.give_up: protection group {} runs on {}, not on {site}: it goes on without {site}, and there is nothing to give up.",
                stored.group.name, stored.group.current_primary_site
            )));
        }
        found.insert(stored.group.id.clone());
    }
    Ok(found)
}

fn refuse_in_the_way(found: &RetirementView) -> ApiResult<()> {
    let groups = &found.protection_groups;
    let all: Vec<&str> = found
        .in_the_way
        .iter()
        .chain(groups.iter().filter_map(|group| group.in_the_way.as_ref()))
        .map(String::as_str)
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::RetirementBlocked,
        format!("Site {} is not retired: {}", found.site, all.join(" ")),
    ))
}

fn changed_meanwhile(site: &SiteName, error: StoreError) -> ApiError {
    match error {
        StoreError::GroupChanged { .. } | StoreError::Locked { .. } => {
            ApiError::new(Refusal::RetirementBlocked, format!(
                "Site {site} is not retired: one of its groups was moved meanwhile. 'openstack dr site retire {site} --dry-run' shows which."
            ))
            .with_detail(error.to_string())
        }
        StoreError::Reserved { by_site, .. } => ApiError::new(Refusal::RetirementBlocked, format!(
            "Site {site} is not retired: {by_site} has reserved one of its groups meanwhile, and is about to move it. 'openstack dr site retire {site}' can be asked again in a minute."
        )),
        error => error.into(),
    }
}

/// Why the site, whose protector answers, is not taken for gone, if it is not. A protector that answers for the site and knows none
/// of its groups is another one, which has not been paired yet.
async fn why_not_gone(app: &App, site: &SiteName, groups: &[StoredGroup]) -> Option<String> {
    let known = groups
        .iter()
        .filter(|stored| stored.sync.pushed_version > 0);
    let mut asked = 0;
    for stored in known {
        asked += 1;
        let group = &stored.group;
        let scope = other_scope(group, &app.settings.site_name);
        match app.peer.held(scope, &group.id, HeldPart::Mark).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                return Some(format!(
                    "its protector answers and knows protection group {}, so it is not gone. Delete its groups, then 'openstack dr site delete {site}'.",
                    group.name
                ));
            }
            Err(
                PeerError::Refused(why) | PeerError::Unreachable(why) | PeerError::NotTold(why),
            ) => {
                return Some(format!(
                    "its protector answers, and does not say whether it is another one than before: {why}."
                ));
            }
        }
    }
    (asked == 0).then(|| {
        format!("its protector answers, so it is not gone: 'openstack dr site delete {site}' forgets it when it has no groups.")
    })
}

/// What is known of whether the protector of a site is there.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Answers,
    /// It does not answer, in the words of whatever failed.
    Silent(String),
    /// It could not be asked, or has no time.
    NotTold(String),
}

/// Asks the protector of a site whether it is there. A slow one is not gone, nor is one that could not be asked at one time.
async fn ask<F>(reach: impl Fn() -> F) -> Answer
where
    F: Future<Output = Result<(), PeerError>>,
{
    let end = Instant::now() + PATIENCE;
    let mut said = Answer::Silent(String::new());
    for _ in 0..QUESTIONS {
        said = match timeout_at(end, reach()).await {
            Ok(Ok(())) => return Answer::Answers,
            Ok(Err(PeerError::NotTold(why))) => return Answer::NotTold(why),
            Ok(Err(PeerError::Refused(why) | PeerError::Unreachable(why))) => Answer::Silent(why),
            Err(_) => {
                return Answer::Silent(format!("no answer within {} s", PATIENCE.as_secs()));
            }
        };
    }
    said
}

fn in_words(answer: &Answer) -> String {
    let bound = PATIENCE.as_secs();
    match answer {
        Answer::Answers => format!("its protector was asked for up to {bound} s, and answers"),
        Answer::NotTold(why) => format!("its protector could not be asked: {why}"),
        Answer::Silent(silence) => format!(
            "its protector was asked up to {QUESTIONS} times within {bound} s, and does not answer: {silence}"
        ),
    }
}

/// The groups that have `site` as one of theirs, by name.
async fn groups_with(app: &App, site: &SiteName) -> ApiResult<Vec<StoredGroup>> {
    let mut marker = None;
    let mut found = Vec::new();
    loop {
        let page = Page {
            limit: PAGE,
            marker,
            sort_key: GroupOrder::Id,
            sort_dir: OrderDirection::Asc,
        };
        let listed = app
            .database
            .group_list(&GroupFilter::default(), &page)
            .await?;
        marker = listed
            .items
            .last()
            .map(|stored| stored.group.id.to_string());
        found.extend(listed.items.into_iter().filter(|stored| {
            let group = &stored.group;
            stored.peer_retired_at.is_none()
                && [&group.primary.site, &group.secondary.site].contains(&site)
        }));
        if !listed.more {
            found.sort_by(|one, other| one.group.name.cmp(&other.group.name));
            return Ok(found);
        }
    }
}

/// What there is on the site that is gone.
#[derive(Default)]
struct There {
    leftovers: usize,
    unfinished: Vec<String>,
    tests: Vec<String>,
}

impl There {
    fn note(&mut self, site: &SiteName, kept: KeptOperation) {
        match kept {
            KeptOperation::Here(record) => {
                let operation = &record.operation;
                let left = leftovers(&record).into_iter();
                self.leftovers += left.filter(|left| left.scope.site == *site).count();
                let is_up = operation.kind == OperationKind::TestFailover
                    && operation.state == OperationState::AwaitingCleanup
                    && operation.target_site == *site;
                if is_up {
                    self.tests.push(operation.id.to_string());
                }
            }
            KeptOperation::Elsewhere(copy) if !has_ended(&copy) => {
                self.unfinished.push(copy.id.to_string());
            }
            KeptOperation::Elsewhere(_) => {}
        }
    }
}

fn has_ended(copy: &PeerOperation) -> bool {
    let status = copy.record.get("status").and_then(Value::as_str);
    matches!(status, Some("completed" | "failed"))
}

/// An operation of this site as a cleanup takes it up.
async fn as_left(app: &App, kept: KeptOperation) -> ApiResult<KeptOperation> {
    Ok(match kept {
        KeptOperation::Here(record) => {
            let record = app.database.operation_as_left(&record).await?;
            KeptOperation::Here(Box::new(record))
        }
        elsewhere @ KeptOperation::Elsewhere(_) => elsewhere,
    })
}

async fn there(app: &App, group: &Group, site: &SiteName) -> ApiResult<There> {
    let filter = OperationFilter {
        groups: vec![group.id.clone()],
        ..OperationFilter::default()
    };
    let mut page = Page {
        limit: PAGE,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Desc,
    };
    let mut there = There::default();
    loop {
        let listed = app.database.operation_list_of_both(&filter, &page).await?;
        page.marker = listed.items.last().map(|kept| kept.id().to_string());
        for kept in listed.items {
            there.note(site, as_left(app, kept).await?);
        }
        if !listed.more {
            return Ok(there);
        }
    }
}

async fn view(
    app: &App,
    stored: &StoredGroup,
    site: &SiteName,
    fate: Fate,
) -> ApiResult<RetiredGroupView> {
    let group = &stored.group;
    let there = there(app, group, site).await?;
    let sync = &stored.sync;
    let in_touch = sync.last_push_at.filter(|_| sync.error.is_none());
    Ok(RetiredGroupView {
        protection_group_id: group.id.to_string(),
        name: group.name.clone(),
        project_id: stored.local_project_id.to_string(),
        status: group.status.as_str(),
        runs_on: group.current_primary_site.to_string(),
        leftovers_there: there.leftovers,
        unfinished_there: there.unfinished,
        tests_there: there.tests,
        last_in_touch_at: in_touch.map(Into::into),
        in_the_way: first_to_do(app, group, site, fate).await?,
        given_up: fate == Fate::GivenUp,
    })
}

/// What has to be done about a group before its other site is retired.
async fn first_to_do(
    app: &App,
    group: &Group,
    site: &SiteName,
    fate: Fate,
) -> ApiResult<Option<String>> {
    if let Some(record) = app.database.operation_moving(&group.id).await? {
        let operation = &record.operation;
        return Ok(Some(format!(
            "{} If it waits for {site}, 'openstack dr operation abort {}' takes it back.",
            busy(group, operation).into_reason(),
            operation.id
        )));
    }
    if group.current_primary_site == *site {
        let is_empty = app.database.member_list(&group.id).await?.is_empty();
        let may_go = fate == Fate::GivenUp || is_empty;
        return Ok((!may_go).then(|| {
            format!(
                "Protection group {name} ({}) runs on {site}: 'openstack dr protection-group action {name} --action failover --type unplanned' brings it up here first; if that cannot be, '--give-up {name}' forgets it here, with what it knows of its VMs, and deletes nothing on either cloud.",
                group.status,
                name = group.name
            )
        }));
    }
    if !group.status.is_moving() {
        return Ok(None);
    }
    match last_begun(app, &group.id).await? {
        Some(KeptOperation::Elsewhere(copy)) => Ok(Some(format!(
            "Protection group {} is {}, and operation {} of {site} may have stopped its VMs here: 'openstack dr operation abort {} --target-is-lost' starts them again first.",
            group.name, group.status, copy.id, copy.id
        ))),
        Some(KeptOperation::Here(_)) | None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_protector_that_answers_slowly_is_not_gone() {
        for (seconds, answers) in [(6, true), (29, true), (31, false)] {
            let answer = ask(|| async {
                sleep(Duration::from_secs(seconds)).await;
                Ok(())
            });
            assert_eq!(answer.await == Answer::Answers, answers, "{seconds} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_question_that_is_lost_is_asked_again() {
        let asked = AtomicU32::new(0);
        let answer = ask(|| async {
            match asked.fetch_add(1, Ordering::SeqCst) {
                0 => Err(PeerError::Unreachable("connection reset".to_owned())),
                _ => Ok(()),
            }
        });
        assert_eq!(answer.await, Answer::Answers);
        let silence = ask(|| async { Err(PeerError::Unreachable("no route".to_owned())) }).await;
        let said = in_words(&silence);
        assert!(
            said.contains("within 30 s") && said.contains("no route"),
            "{said}"
        );
    }
}
