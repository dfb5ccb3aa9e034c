//! Looking for orphans: the records, the groups, and both clouds side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use protector_clouds::clouds::{CloudError, Expected, Holdings, ProjectQuota, QuotaShare};
use protector_core::{
    id::{GroupId, OperationId, ProjectId, SiteName},
    leftover::leftovers,
    member::Member,
    operation::OperationRecord,
    orphan::{Orphan, OrphanEvidence, Sighting, SiteSeen, orphans},
    runbook::resource::ResourceKind,
    site::SiteScope,
};
use protector_store::{
    GroupFilter, GroupOrder, OperationFilter, OperationOrder, OrderDirection, Page, StoreError,
};
use protector_wire::orphan::{
    OrphanSiteView, OrphanView, OrphansAnswer, QuotaShareView, QuotaView,
};

use super::App;
use crate::http::error::ApiResult;

/// How long a site may take: a busy, healthy cloud answers within a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many records are read at once.
const PAGE: u64 = 100;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct OrphanFilter<'s> {
    /// The tenant's project on this site.
    pub project: &'s ProjectId,
    /// Only on this site.
    pub site: Option<&'s SiteName>,
    /// Only what operations of these groups left.
    pub groups: Option<&'s [GroupId]>,
}

/// A site that was looked at.
struct Looked {
    scope: SiteScope,
    answer: Result<Holdings, CloudError>,
}

/// What earlier operations left in the tenant's projects.
pub async fn list_orphans(app: &App, wanted: OrphanFilter<'_>) -> ApiResult<OrphansAnswer> {
    let scopes = tenant_scopes(app, wanted).await?;
    let records = records(app, wanted.project).await?;
    let members = members(app, wanted.project).await?;
    let looks = scopes.into_iter().map(|scope| look(app, scope, &records));
    let looked: Vec<Looked> = join_all(looks).await;
    let makers = makers(app, wanted.project, &looked).await?;
    let sites: Vec<SiteSeen> = looked.iter().map(seen).collect();
    let mut found = orphans(OrphanEvidence {
        records: &records,
        makers: &makers,
        members: &members,
        sites: &sites,
    });
    if let Some(groups) = wanted.groups {
        found.retain(|orphan| is_of(orphan, groups, &records, &makers));
    }
    let now = app.clock.now();
    Ok(OrphansAnswer {
        sites: looked.iter().map(|site| site_view(site, &found)).collect(),
        orphans: found
            .iter()
            .map(|orphan| OrphanView::of(orphan, now))
            .collect(),
    })
}

/// The tenant's projects that a tenant mapping joins to the one on this site: where the service may look for it.
async fn tenant_scopes(app: &App, wanted: OrphanFilter<'_>) -> ApiResult<Vec<SiteScope>> {
    let own = SiteScope {
        site: app.settings.site_name.clone(),
        project_id: wanted.project.clone(),
    };
    let mappings = app.database.tenant_mapping_list().await?;
    let mut scopes = Vec::new();
    for mapping in mappings {
        let sides = [mapping.primary, mapping.secondary];
        if !sides.contains(&own) {
            continue;
        }
        for side in sides {
            let asked_for = wanted.site.is_none_or(|site| *site == side.site);
            if asked_for && !scopes.contains(&side) {
                scopes.push(side);
            }
        }
    }
    scopes.sort_by(|a, b| (&a.site, &a.project_id).cmp(&(&b.site, &b.project_id)));
    Ok(scopes)
}

/// The project's operations that left something, the newest first.
async fn records(app: &App, project: &ProjectId) -> ApiResult<Vec<OperationRecord>> {
    let filter = OperationFilter {
        project_id: Some(project.clone()),
        with_leftovers: true,
        ..OperationFilter::default()
    };
    let mut all: Vec<OperationRecord> = Vec::new();
    loop {
        let page = Page {
            limit: PAGE,
            marker: all.last().map(|record| record.operation.id.to_string()),
            sort_key: OperationOrder::CreatedAt,
            sort_dir: OrderDirection::Desc,
        };
        let listed = app.database.operation_list(&filter, &page).await?;
        all.extend(app.database.operations_as_left(listed.items).await?);
        if !listed.more {
            return Ok(all);
        }
    }
}

/// The members of the project's groups, each with the site on which its group runs.
async fn members(app: &App, project: &ProjectId) -> ApiResult<Vec<(SiteName, Member)>> {
    let filter = GroupFilter {
        project_id: Some(project.clone()),
        ..GroupFilter::default()
    };
    let mut all = Vec::new();
    let mut marker = None;
    loop {
        let page = Page {
            limit: PAGE,
            marker: marker.take(),
            sort_key: GroupOrder::CreatedAt,
            sort_dir: OrderDirection::Asc,
        };
        let listed = app.database.group_list(&filter, &page).await?;
        let ids = listed.items.iter().map(|stored| &stored.group.id);
        let mut by_group = app.database.members_of(&ids.collect::<Vec<_>>()).await?;
        for stored in &listed.items {
            let group = &stored.group;
            let members = by_group.remove(&group.id).unwrap_or_default();
            let site = &group.current_primary_site;
            all.extend(members.into_iter().map(|member| (site.clone(), member)));
        }
        marker = listed
            .items
            .last()
            .map(|stored| stored.group.id.to_string());
        if !listed.more {
            return Ok(all);
        }
    }
}

async fn look(app: &App, scope: SiteScope, records: &[OperationRecord]) -> Looked {
    let expected: Vec<Expected> = records
        .iter()
        .flat_map(leftovers)
        .filter(|left| left.scope == scope)
        .filter_map(|left| {
            Some(Expected {
                kind: left.kind?,
                id: left.resource_id?,
            })
        })
        .collect();
    let reading = app.clouds.holdings(&scope, &expected);
    Looked {
        answer: within(PATIENCE, &scope.site, reading).await,
        scope,
    }
}

/// Gives a site up that has not answered for `patience`: the other one's answer does not wait for it for ever.
pub(super) async fn within<T>(
    patience: Duration,
    site: &SiteName,
    reading: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, CloudError> {
    match tokio::time::timeout(patience, reading).await {
        Ok(answer) => answer,
        Err(_) => Err(CloudError::Unreachable {
            site: site.clone(),
            why: format!("no answer within {} s", patience.as_secs()),
        }),
    }
}

fn seen(looked: &Looked) -> SiteSeen {
    SiteSeen {
        scope: looked.scope.clone(),
        held: looked
            .answer
            .as_ref()
            .ok()
            .map(|holdings| holdings.held.clone()),
    }
}

/// The project's operations whose marks the clouds show.
async fn makers(
    app: &App,
    project: &ProjectId,
    looked: &[Looked],
) -> ApiResult<BTreeMap<String, OperationRecord>> {
    let marks: BTreeSet<&str> = looked
        .iter()
        .filter_map(|site| site.answer.as_ref().ok())
        .flat_map(|holdings| &holdings.held)
        .filter_map(|held| held.marked_by())
        .collect();
    let mut makers = BTreeMap::new();
    for mark in marks {
        let id = OperationId::new(mark);
        match app.database.operation_show(project, &id).await {
            Ok(record) => {
                makers.insert(mark.to_owned(), record);
            }
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(makers)
}

fn is_of(
    orphan: &Orphan,
    groups: &[GroupId],
    records: &[OperationRecord],
    makers: &BTreeMap<String, OperationRecord>,
) -> bool {
    let Some(id) = &orphan.operation_id else {
        return false;
    };
    records
        .iter()
        .chain(makers.values())
        .any(|record| record.operation.id == *id && groups.contains(&record.operation.group_id))
}

fn site_view(looked: &Looked, orphans: &[Orphan]) -> OrphanSiteView {
    let quota = looked.answer.as_ref().ok().and_then(|found| found.quota);
    OrphanSiteView {
        site: looked.scope.site.to_string(),
        project_id: looked.scope.project_id.to_string(),
        status: match &looked.answer {
            Ok(_) => "OK",
            Err(_) => "UNREACHABLE",
        },
        error: looked.answer.as_ref().err().map(ToString::to_string),
        quota: quota.map(|quota| quota_view(quota, &looked.scope.site, orphans)),
    }
}

fn quota_view(quota: ProjectQuota, site: &SiteName, orphans: &[Orphan]) -> QuotaView {
    let there = |kind: ResourceKind| {
        orphans.iter().filter(move |orphan| {
            orphan.kind == kind && orphan.site == *site && orphan.seen == Sighting::Found
        })
    };
    let count = |kind| there(kind).map(|_| 1_u64).sum();
    let share = |share: QuotaShare, orphans: u64| QuotaShareView {
        used: share.used,
        limit: share.limit,
        orphans,
    };
    let gigabytes = there(ResourceKind::Volume)
        .filter_map(|orphan| orphan.size_gib)
        .sum();
    QuotaView {
        volumes: share(quota.volumes, count(ResourceKind::Volume)),
        gigabytes: share(quota.gigabytes, gigabytes),
        instances: share(quota.instances, count(ResourceKind::Server)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_site_that_hangs_is_given_up() {
        let site = SiteName::new("site-a");
        let hanging = std::future::pending::<Result<(), CloudError>>();
        let error = within(PATIENCE, &site, hanging).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "site-a does not answer: no answer within 60 s"
        );
    }
}
