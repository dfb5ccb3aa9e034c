//! Orphans: what earlier operations left in a tenant's projects, told from the records and from what the clouds show.
//!
//! A pure function of both. Only what an ended operation's record names as left over can be deletable; a mark on a
//! resource is somebody's text, so what carries one and is in no record is shown and never deletable (invariants I1,
//! I13).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::{
    id::{OperationId, ProjectId, SiteName},
    leftover::{Leftover, Remedy, leftovers},
    mark,
    member::Member,
    operation::{MapKind, OperationRecord, OperationState, StepRecord, StepState},
    runbook::resource::ResourceKind,
    site::SiteScope,
};

/// A resource of a tenant's project as its cloud shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudResource {
    pub kind: ResourceKind,
    pub id: String,
    /// Its name; empty where it has none.
    pub name: String,
    pub project_id: ProjectId,
    /// The cloud's status word.
    pub status: String,
    /// A volume's size in GiB.
    pub size_gib: Option<u64>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    pub metadata: BTreeMap<String, String>,
    /// The servers that a volume is attached to.
    pub servers: Vec<String>,
    pub snapshots: Vec<String>,
}

impl CloudResource {
    /// The operation whose mark it carries.
    pub fn marked_by(&self) -> Option<&str> {
        self.metadata.get(mark::OPERATION).map(String::as_str)
    }
}

/// What one cloud showed of a tenant's project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSeen {
    /// The cloud and the project.
    pub scope: SiteScope,
    /// All its servers and volumes; `None` where the cloud did not answer, or nothing that is known to be there could
    /// be read, so that an absence proves nothing.
    pub held: Option<Vec<CloudResource>>,
}

/// How an orphan was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Its cloud shows it.
    Found,
    /// Its cloud could not be asked; it is known from the records alone.
    Unknown,
}

impl Sighting {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Unknown => "unknown",
        }
    }
}

/// Something that an earlier operation left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub kind: ResourceKind,
    pub id: String,
    pub name: String,
    /// A volume's size in GiB.
    pub size_gib: Option<u64>,
    /// The cloud that has it.
    pub site: SiteName,
    /// The cloud's status word.
    pub status: Option<String>,
    /// Whether its cloud shows it.
    pub seen: Sighting,
    /// The operation that left or made it.
    pub operation_id: Option<OperationId>,
    /// The key of the line that a cleanup takes up.
    pub step: Option<String>,
    /// The name of the operation's group.
    pub group: Option<String>,
    /// Since when it is there without being needed.
    pub since: Option<DateTime<Utc>>,
    /// Why it is still there.
    pub reason: String,
    /// Ids of the servers and snapshots that use it.
    pub used_by: Vec<String>,
    /// Why a cleanup must not be asked for it; `None` where it may.
    pub why_not: Option<String>,
}

/// What [`orphans`] looks at.
#[derive(Clone, Copy, Debug)]
pub struct OrphanEvidence<'e> {
    /// The project's operations that left something behind, the newest first.
    pub records: &'e [OperationRecord],
    /// The operations of this site's records whose marks were seen; others are unknown here.
    pub makers: &'e BTreeMap<String, OperationRecord>,
    /// The members of the project's groups, each with the site on which its group runs now.
    pub members: &'e [(SiteName, Member)],
    /// What the clouds showed.
    pub sites: &'e [SiteSeen],
}

/// What earlier operations left on the sites of `evidence`: what the records name, newest operation first, then what
/// only carries a mark. A group's current members and the copies of an operation under way are left out.
pub fn orphans(evidence: OrphanEvidence<'_>) -> Vec<Orphan> {
    let members = member_ids(evidence.members);
    let mut named = BTreeSet::new();
    let mut found = Vec::new();
    for record in evidence.records {
        let left = leftovers(record);
        for leftover in &left {
            let Some((kind, id)) = removable(leftover) else {
                continue;
            };
            let key = (leftover.scope.site.clone(), kind, id.to_owned());
            if members.contains(&key) || !named.insert(key) {
                continue;
            }
            let seen = evidence
                .sites
                .iter()
                .find(|seen| seen.scope == leftover.scope);
            found.extend(recorded(record, leftover, (kind, id), &left, seen));
        }
    }
    for site in evidence.sites {
        for held in site.held.iter().flatten() {
            let key = (site.scope.site.clone(), held.kind, held.id.clone());
            if members.contains(&key) || named.contains(&key) {
                continue;
            }
            found.extend(marked(site, held, evidence.makers));
        }
    }
    found
}

type ResourceKey = (SiteName, ResourceKind, String);

fn member_ids(members: &[(SiteName, Member)]) -> BTreeSet<ResourceKey> {
    let mut ids = BTreeSet::new();
    for (site, member) in members {
        let server = member.server_id.to_string();
        ids.insert((site.clone(), ResourceKind::Server, server));
        for volume in &member.volumes {
            ids.insert((site.clone(), ResourceKind::Volume, volume.id.to_string()));
        }
    }
    ids
}

/// The resource of a leftover that a cloud has and a cleanup removes. A server to be started again is nobody's orphan,
/// and a promoted copy is the array's alone.
fn removable(leftover: &Leftover) -> Option<(ResourceKind, &str)> {
    match leftover.remedy {
        Remedy::Delete | Remedy::Unmanage => {
            Some((leftover.kind?, leftover.resource_id.as_deref()?))
        }
        Remedy::Start
        | Remedy::Unfence
        | Remedy::Resync
        | Remedy::DiscardPromoted
        | Remedy::Nothing => None,
    }
}

/// A leftover that a record names; `None` where its cloud says that it is gone, or where its site was not asked for.
fn recorded(
    record: &OperationRecord,
    leftover: &Leftover,
    (kind, id): (ResourceKind, &str),
    left: &[Leftover],
    seen: Option<&SiteSeen>,
) -> Option<Orphan> {
    let seen = seen?;
    let held = match &seen.held {
        Some(all) => Some(all.iter().find(|held| held.kind == kind && held.id == id)?),
        None => None,
    };
    let operation = &record.operation;
    Some(Orphan {
        kind,
        id: id.to_owned(),
        name: held
            .map(|held| held.name.clone())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| leftover.name.clone()),
        size_gib: held.and_then(|held| held.size_gib).or(leftover.size_gib),
        site: leftover.scope.site.clone(),
        status: held.map(|held| held.status.clone()),
        seen: match held {
            Some(_) => Sighting::Found,
            None => Sighting::Unknown,
        },
        operation_id: Some(operation.id.clone()),
        step: Some(leftover.step.clone()),
        group: Some(operation.plan.group_name.clone()),
        since: leftover.since,
        reason: leftover
            .error
            .clone()
            .unwrap_or_else(|| "its deletion did not succeed".to_owned()),
        used_by: held.map(users).unwrap_or_default(),
        why_not: match held {
            Some(held) => objection(held, leftover, left),
            None => Some(format!("{} does not answer", leftover.scope.site)),
        },
    })
}

fn users(held: &CloudResource) -> Vec<String> {
    held.servers
        .iter()
        .chain(&held.snapshots)
        .cloned()
        .collect()
}

/// Why a leftover must stay as it is seen now. The engine's guards look again, and further, before each deletion.
fn objection(held: &CloudResource, leftover: &Leftover, left: &[Leftover]) -> Option<String> {
    if held.project_id != leftover.scope.project_id {
        return Some(format!("it belongs to project {} now", held.project_id));
    }
    let goes_too = |server: &str| {
        left.iter().any(|other| {
            other.remedy == Remedy::Delete
                && other.kind == Some(ResourceKind::Server)
                && other.scope == leftover.scope
                && other.resource_id.as_deref() == Some(server)
        })
    };
    let foreign: Vec<&str> = held
        .servers
        .iter()
        .map(String::as_str)
        .filter(|server| !goes_too(server))
        .collect();
    if !foreign.is_empty() {
        return Some(format!("it is attached to server {}", foreign.join(", ")));
    }
    if held.snapshots.is_empty() {
        return None;
    }
    Some(format!("it has snapshots: {}", held.snapshots.join(", ")))
}

/// A resource that carries an operation's mark and is in no record as left over.
fn marked(
    site: &SiteSeen,
    held: &CloudResource,
    makers: &BTreeMap<String, OperationRecord>,
) -> Option<Orphan> {
    let by = held.marked_by()?;
    if held.project_id != site.scope.project_id {
        return None;
    }
    let maker = makers.get(by);
    if maker.is_some_and(|record| !record.operation.state.is_terminal()) {
        return None;
    }
    let why_not = match maker {
        None if held.metadata.contains_key(mark::TEST) => format!(
            "its test failover {by} is not in this site's records: its home cleans up after it; if that is lost, and nobody needs the copy, 'openstack --os-cloud {} {} delete {}' deletes it",
            site.scope.site,
            held.kind.as_str(),
            held.id
        ),
        None => format!("its operation {by} is not in this site's records"),
        Some(record) => format!("operation {by} {}", recorded_as(record, held)),
    };
    Some(Orphan {
        kind: held.kind,
        id: held.id.clone(),
        name: held.name.clone(),
        size_gib: held.size_gib,
        site: site.scope.site.clone(),
        status: Some(held.status.clone()),
        seen: Sighting::Found,
        operation_id: maker.map(|record| record.operation.id.clone()),
        step: None,
        group: maker.map(|record| record.operation.plan.group_name.clone()),
        since: Some(held.created_at),
        reason: format!(
            "it carries the mark of operation {by}, and no protection group has it as a member"
        ),
        used_by: users(held),
        why_not: Some(why_not),
    })
}

/// How the operation that made a resource recorded it.
fn recorded_as(record: &OperationRecord, held: &CloudResource) -> String {
    let Some(step) = record
        .steps
        .iter()
        .find(|step| is_about(record, step, held))
    else {
        return "has no record of it".to_owned();
    };
    if is_of_an_unrecovered_member(record, step) {
        return format!(
            "made it ({}) for a VM that it did not recover: a retry may need it; once that member has left the group, or the group has moved on, 'openstack dr operation cleanup {}' takes it",
            step.key, record.operation.id
        );
    }
    match step.progress.state {
        StepState::Undone => format!("recorded it as taken back ({})", step.key),
        StepState::Done => format!(
            "recorded it as made ({}), not as left over: it may be in use",
            step.key
        ),
        state => format!("recorded it as {} ({})", state.as_str(), step.key),
    }
}

/// Whether a retry may take up, or a cleanup by hand take away, what `step` made.
fn is_of_an_unrecovered_member(record: &OperationRecord, step: &StepRecord) -> bool {
    let operation = &record.operation;
    let member = step.action.member(&operation.plan);
    let was_recovered = |member: &Member| record.map.recovered(&member.server_id).is_some();
    operation.state == OperationState::Completed
        && record.operation.is_unplanned()
        && step.progress.state != StepState::Undone
        && member.is_some_and(|member| !was_recovered(member))
}

fn is_about(record: &OperationRecord, step: &StepRecord, held: &CloudResource) -> bool {
    let kind = match held.kind {
        ResourceKind::Server => MapKind::Server,
        ResourceKind::Volume => MapKind::Volume,
        ResourceKind::Port => MapKind::Port,
        // None is made in the place of another.
        ResourceKind::FloatingIp => return false,
    };
    let made = step.progress.memo.made.as_deref() == Some(held.id.as_str());
    let mapped = held.metadata.get(mark::SOURCE).is_some_and(|source| {
        step.resource_id.as_deref() == Some(source)
            && record.map.target(kind, source) == Some(held.id.as_str())
    });
    step.action.resource_kind() == Some(held.kind) && (made || mapped)
}
