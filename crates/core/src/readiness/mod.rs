//! Readiness: would a failover of a group, and the cleanup after it, go through today?
//!
//! Pure judgement. What the clouds, the arrays and the other protector say is gathered elsewhere and comes in as
//! [`Facts`]; out go findings, each with its fix. The rules are those by which the engine's own steps would fail
//! (`check_source`, `check_target`, `manage_volumes`, the guards of a cleanup), asked before the day on which it counts.
//! A place that could not be asked is a finding too, and takes nothing else away.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    comparison::ThereSeen,
    group::{Group, GroupStatus},
    id::{OperationId, SiteName},
    member::Member,
    operation::OperationKind,
};

mod arrays;
mod carried;
mod members;
mod qos_policy;
mod quota;
mod seen;
mod server_group;
mod target;
#[cfg(test)]
mod tests;

pub use crate::answer::{Asked, Silence};
pub use carried::{not_carried, strict_cure};
pub use seen::{
    ArraysSeen, PoolSeen, ServerSeen, SourceSeen, TargetSeen, TypeSeen, Usage, VolumeSeen,
};

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadinessSubject {
    /// Both clouds answer.
    SiteReachable,
    /// The protector of the other site answers.
    PeerReachable,
    /// Both protectors have the same metadata of the group.
    InSync,
    /// The group is in a state from which it can be moved.
    Status,
    /// The group has a replication policy.
    Policy,
    /// There is a recovery point, and it is young enough.
    RecoveryPoint,
    /// Each network has a counterpart that exists.
    Mapping,
    /// The tenant's quota on the target takes the group.
    Quota,
    /// Each flavor has a counterpart.
    Flavor,
    /// No server depends on an image.
    Image,
    /// All of each server comes along.
    Carried,
    /// The security groups exist on the target.
    SecurityGroup,
    /// Server groups have counterparts on the target, and hosts enough for them.
    ServerGroup,
    /// The service user may do what it must, as far as harmless calls tell.
    Rights,
    /// The volume type exists, is replicated, and leads to one pool.
    VolumeType,
    /// Each member is what it was when it was added.
    Member,
    /// The arrays answer and hold the volumes.
    Backend,
    /// Nothing of earlier operations is left.
    Leftovers,
}

impl ReadinessSubject {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SiteReachable => "site_reachable",
            Self::PeerReachable => "peer_reachable",
            Self::InSync => "in_sync",
            Self::Status => "status",
            Self::Policy => "policy",
            Self::RecoveryPoint => "recovery_point",
            Self::Mapping => "mapping",
            Self::Quota => "quota",
            Self::Flavor => "flavor",
            Self::Image => "image",
            Self::Carried => "carried",
            Self::SecurityGroup => "security_group",
            Self::ServerGroup => "server_group",
            Self::Rights => "rights",
            Self::VolumeType => "volume_type",
            Self::Member => "member",
            Self::Backend => "backend",
            Self::Leftovers => "leftovers",
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to do.
    Ok,
    /// A failover goes through; something about it will not be as wished, or could not be looked at.
    Warning,
    /// A failover or its cleanup would fail.
    Error,
}

impl Severity {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessFinding {
    /// What was looked at.
    pub check: ReadinessSubject,
    /// How it is.
    pub severity: Severity,
    /// The resource, site or member that it is about; `None` for the group as a whole.
    pub subject: Option<String>,
    /// What was found, in a sentence.
    pub message: String,
    /// What to do about it; `None` where all is well.
    pub fix: Option<String>,
}

impl ReadinessFinding {
    fn ok(check: ReadinessSubject, message: impl Into<String>) -> Self {
        Self {
            check,
            severity: Severity::Ok,
            subject: None,
            message: message.into(),
            fix: None,
        }
    }

    fn warning(
        check: ReadinessSubject,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            fix: Some(fix.into()),
            ..Self::ok(check, message)
        }
    }

    fn error(check: ReadinessSubject, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            fix: Some(fix.into()),
            ..Self::ok(check, message)
        }
    }

    fn about(self, subject: impl Into<String>) -> Self {
        Self {
            subject: Some(subject.into()),
            ..self
        }
    }
}

/// What is known of an earlier operation of the group that is not done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// The operation.
    pub id: OperationId,
    /// Its kind.
    pub kind: OperationKind,
    /// The site that it left.
    pub source_site: SiteName,
    /// How many resources it left; 0 for a test failover whose copies are up.
    pub left: usize,
    /// The site that runs it, if that is the other one: only there it is cleaned up.
    pub elsewhere: Option<SiteName>,
}

impl Earlier {
    fn openstack(&self) -> String {
        self.elsewhere.as_ref().map_or_else(
            || "openstack".to_owned(),
            |home| format!("openstack --os-cloud {home}"),
        )
    }
}

/// How the two protectors' metadata of the group compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The same.
    InSync,
    /// Not the same.
    OutOfSync {
        /// The version here.
        local: Option<u64>,
        /// The version there; `None` if it does not know the group.
        remote: Option<u64>,
        /// What differs, where that could be told.
        differs: Vec<String>,
    },
    /// Both were changed since they last agreed: the sentence by which starts are refused.
    Conflict(String),
}

/// The other site's protector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSeen {
    /// Its site.
    pub site: SiteName,
    /// Whether it answers.
    pub reached: Asked<()>,
    /// How it compares.
    pub sync: Asked<Sync>,
}

/// All that the judgement stands on.
#[derive(Clone, Debug)]
pub struct Facts<'f> {
    /// The time of the check.
    pub now: DateTime<Utc>,
    /// The group.
    pub group: &'f Group,
    /// Its members.
    pub members: &'f [Member],
    /// The recovery point objective of its policy in minutes; `None` without a policy.
    pub rpo_minutes: Option<u32>,
    /// The operation that moves the group now.
    pub moving: Option<OperationId>,
    /// The other protector.
    pub peer: PeerSeen,
    /// The site where the group runs.
    pub source: SourceSeen,
    /// The site to which it would go.
    pub target: TargetSeen,
    /// What that site has for the copies.
    pub there: ThereSeen,
    /// The arrays; `None` without a policy.
    pub arrays: Option<ArraysSeen>,
    /// Earlier operations that are not done with.
    pub earlier: Vec<Earlier>,
    /// Why the way back is refused while one of them is not done with, if it is.
    pub no_way_back: Option<String>,
    /// By what a planned start is refused now, as far as this site alone can tell: the start's own words.
    pub refused: Option<String>,
}

impl Facts<'_> {
    fn source_site(&self) -> &SiteName {
        &self.group.current().site
    }

    fn target_site(&self) -> &SiteName {
        &self.group.other().site
    }
}

/// Judges the facts: at least one finding for each [`Check`], in their order, and within one the worst first. Where the
/// start is refused, at least one of them is an error.
pub fn judge(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    // What the last failover could not recover is where the group would go: it is not moved, and its old resources are
    // not looked for where the group runs.
    let (moved, stay): (Vec<Member>, Vec<Member>) = facts
        .members
        .iter()
        .cloned()
        .partition(|member| facts.group.site_of(member) == facts.source_site());
    let mut findings = of_moved(&Facts {
        members: &moved,
        ..facts.clone()
    });
    findings.extend(stay.iter().map(|member| not_moved(facts, member)));
    if let Some(why) = facts.refused.as_ref().filter(|_| is_ready(&findings)) {
        findings.retain(|finding| finding.check != ReadinessSubject::Status);
        findings.push(ReadinessFinding::error(
            ReadinessSubject::Status,
            why,
            "do what it says, and check again",
        ));
    }
    findings.sort_by_key(|finding| (finding.check, std::cmp::Reverse(finding.severity)));
    findings
}

/// A member that the last failover could not recover.
fn not_moved(facts: &Facts<'_>, member: &Member) -> ReadinessFinding {
    let group = &facts.group.name;
    ReadinessFinding::warning(
        ReadinessSubject::Member,
        format!(
            "{} was not recovered by the last failover and is on {}: it is not moved",
            member.name,
            facts.target_site()
        ),
        format!("remove the cause that its operation names, then: openstack dr retry {group}"),
    )
    .about(&member.name)
}

fn of_moved(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let mut findings = Vec::new();
    findings.extend(sites(facts));
    findings.extend(peer(facts));
    findings.push(status(facts));
    findings.push(policy(facts));
    findings.extend(arrays::recovery_point(facts));
    findings.extend(arrays::backend(facts));
    findings.extend(target::mapping(facts));
    findings.extend(quota::quota(facts));
    findings.extend(target::flavor(facts));
    findings.extend(target::floating_ips(facts));
    findings.extend(target::addresses(facts));
    findings.extend(qos_policy::qos_policy(facts));
    findings.extend(target::security_group(facts));
    findings.extend(server_group::server_group(facts));
    findings.extend(target::volume_type(facts));
    findings.extend(members::image(facts));
    findings.extend(carried::carried(facts));
    findings.extend(members::member(facts));
    findings.extend(leftovers(facts));
    findings
}

/// Whether a failover and its cleanup would go through: no finding is an error.
pub fn is_ready(findings: &[ReadinessFinding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.severity != Severity::Error)
}

/// `problems`, or the word that all is well.
fn or_ok(
    problems: Vec<ReadinessFinding>,
    check: ReadinessSubject,
    message: impl Into<String>,
) -> Vec<ReadinessFinding> {
    if problems.is_empty() {
        vec![ReadinessFinding::ok(check, message)]
    } else {
        problems
    }
}

/// Something could not be looked at, since its place did not tell; why is a finding of its own.
fn not_checked(check: ReadinessSubject, site: &SiteName) -> Vec<ReadinessFinding> {
    vec![
        ReadinessFinding::warning(
            check,
            format!("not checked: {site} did not tell what is needed for it"),
            "see the findings site_reachable and rights, and check again",
        )
        .about(site.as_str()),
    ]
}

/// Whether both clouds answer (`site_reachable`) and let the service user do what it must (`rights`).
fn sites(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let sides = [
        (facts.source_site(), facts.source.silences()),
        (facts.target_site(), facts.target.silences()),
    ];
    let mut silent = Vec::new();
    let mut refused = Vec::new();
    for (site, silences) in sides {
        let mut unreachable: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut forbidden: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut untold: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (what, silence) in silences {
            match silence {
                Silence::Unreachable(why) => unreachable.entry(why).or_default().push(what),
                Silence::Refused(why) => forbidden.entry(why).or_default().push(what),
                Silence::NotTold(why) => untold.entry(why).or_default().push(what),
            }
        }
        silent.extend(untold.into_iter().map(|(why, what)| {
            ReadinessFinding::error(
                ReadinessSubject::SiteReachable,
                format!("nobody knows the {} of {site}: {why}", what.join(", ")),
                format!("an administrator sees to it, and asks 'openstack dr site validate {site}' until it passes"),
            )
            .about(site.as_str())
        }));
        silent.extend(unreachable.into_iter().map(|(why, what)| {
            ReadinessFinding::error(
                ReadinessSubject::SiteReachable,
                format!("{site} does not tell its {}: {why}", what.join(", ")),
                format!("see that {site} is up and can be reached from this protector: openstack dr site validate {site}"),
            )
            .about(site.as_str())
        }));
        refused.extend(forbidden.into_iter().map(|(why, what)| {
            ReadinessFinding::error(
                ReadinessSubject::Rights,
                format!("{site} refuses the service user its {}: {why}", what.join(", ")),
                format!("an administrator checks the service user with 'openstack dr site validate {site}', and the tenant mapping with 'openstack dr tenant mapping list'"),
            )
            .about(site.as_str())
        }));
    }
    let both = format!("{} and {}", facts.source_site(), facts.target_site());
    let mut findings = or_ok(
        silent,
        ReadinessSubject::SiteReachable,
        format!("{both} answer"),
    );
    findings.extend(or_ok(
        refused,
        ReadinessSubject::Rights,
        format!(
            "{both} refused the service user nothing that could be asked for without changing anything; whether Cinder lets it import volumes only an import shows"
        ),
    ));
    findings
}

fn peer(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let PeerSeen {
        site,
        reached,
        sync,
    } = &facts.peer;
    let name = &facts.group.name;
    let reached = match reached {
        Ok(()) => ReadinessFinding::ok(
            ReadinessSubject::PeerReachable,
            format!("the protector of {site} answers"),
        ),
        Err(silence) => ReadinessFinding::error(
            ReadinessSubject::PeerReachable,
            format!("the protector of {site} does not answer as it should: {silence}"),
            format!("see that protector-api runs on {site} and is in its catalogue; while it is away the group can be neither changed nor moved as planned"),
        )
        .about(site.as_str()),
    };
    let version = |version: &Option<u64>| {
        version.map_or_else(|| "none".to_owned(), |version| version.to_string())
    };
    let sync = match sync {
        Ok(Sync::InSync) => vec![ReadinessFinding::ok(
            ReadinessSubject::InSync,
            "both protectors have the same metadata of the group",
        )],
        Ok(Sync::Conflict(said)) => vec![ReadinessFinding::error(
            ReadinessSubject::InSync,
            said,
            format!(
                "compare both: openstack dr protection-group sync-status {name}; then send 'openstack dr protection-group sync-force {name}' to the site whose view shall count"
            ),
        )],
        Ok(Sync::OutOfSync {
            local,
            remote,
            differs,
        }) => vec![ReadinessFinding::error(
            ReadinessSubject::InSync,
            format!(
                "the group's metadata has version {} here and {} on {site}{}",
                version(local),
                version(remote),
                if differs.is_empty() {
                    String::new()
                } else {
                    format!("; different: {}", differs.join("; "))
                }
            ),
            format!(
                "look at 'openstack dr protection-group sync-status {name}'; 'openstack dr protection-group sync-force {name}', sent to the site with the newer one, brings them together"
            ),
        )],
        // A start asks the same, and is refused without an answer.
        Err(silence) if facts.peer.reached.is_ok() => vec![
            ReadinessFinding::error(
                ReadinessSubject::InSync,
                format!("the protector of {site} answers, but does not tell what it holds of the group: {silence}"),
                format!("see why: openstack dr protection-group sync-status {name}; an administrator checks the service user with 'openstack dr site validate {site}', and the tenant mapping with 'openstack dr tenant mapping list'"),
            )
            .about(site.as_str()),
        ],
        Err(_) => vec![
            ReadinessFinding::warning(
                ReadinessSubject::InSync,
                format!("not checked: the protector of {site} did not tell its version"),
                "see the finding peer_reachable, and check again",
            )
            .about(site.as_str()),
        ],
    };
    [vec![reached], sync].concat()
}

fn status(facts: &Facts<'_>) -> ReadinessFinding {
    let Group { name, status, .. } = facts.group;
    if let Some(operation) = &facts.moving {
        return ReadinessFinding::error(
            ReadinessSubject::Status,
            format!("operation {operation} is at work on the group"),
            format!("wait for its end: openstack dr operation show {operation}"),
        )
        .about(operation.as_str());
    }
    let error = |message: &str, fix: String| {
        ReadinessFinding::error(ReadinessSubject::Status, message, fix)
    };
    match status {
        GroupStatus::Active => {
            ReadinessFinding::ok(ReadinessSubject::Status, "active: a failover may start")
        }
        GroupStatus::FailedOver => ReadinessFinding::ok(
            ReadinessSubject::Status,
            "failed_over: a failback may start",
        ),
        GroupStatus::ActivePartial | GroupStatus::FailedOverPartial => ReadinessFinding::warning(
            ReadinessSubject::Status,
            format!(
                "{status}: a {} may start; some members could not be recovered and have no copy here",
                facts.group.kind_of_move()
            ),
            format!("remove the cause that their operation names, then: openstack dr retry {name}"),
        ),
        GroupStatus::FailingOver | GroupStatus::FailingBack => error(
            &format!("{status}: the group is on its way"),
            format!(
                "wait for its operation: openstack dr operation list --protection-group {name}"
            ),
        ),
        GroupStatus::SplitBrain => error(
            "split_brain: the same servers may run on both sites",
            format!("stop those on the site that was lost: openstack dr fence {name}"),
        ),
        GroupStatus::Error => error(
            "error: the last operation ended in a way that needs a person",
            format!(
                "read what its last operation says: openstack dr operation list --protection-group {name}; when that is mended: openstack dr protection-group reset-status {name}"
            ),
        ),
    }
}

fn policy(facts: &Facts<'_>) -> ReadinessFinding {
    match facts.rpo_minutes {
        Some(minutes) => ReadinessFinding::ok(
            ReadinessSubject::Policy,
            format!("a policy with a recovery point objective of {minutes} min"),
        ),
        None => ReadinessFinding::error(
            ReadinessSubject::Policy,
            "the group has no replication policy: no array carries it",
            format!("openstack dr policy create {}", facts.group.name),
        ),
    }
}

fn leftovers(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let problems = facts.earlier.iter().map(|earlier| {
        let Earlier { id, kind, left, .. } = earlier;
        let openstack = earlier.openstack();
        let finding = if *left == 0 {
            ReadinessFinding::warning(
                ReadinessSubject::Leftovers,
                format!("the copies of {kind} {id} are up; they count against the quota and may hold addresses"),
                format!(
                    "{openstack} dr protection-group action {} --action test-cleanup --test-operation-id {id}",
                    facts.group.name
                ),
            )
        } else {
            ReadinessFinding::warning(
                ReadinessSubject::Leftovers,
                format!("{kind} {id} left {left} resource(s); they count against the quota and may hold addresses"),
                format!("{openstack} dr operation cleanup {id}"),
            )
        };
        finding.about(id.as_str())
    });
    let no_way_back = facts.no_way_back.iter().map(|why| {
        let fix = "finish the cleanup that it names; the VMs must be stopped for that: openstack dr fence";
        ReadinessFinding::error(ReadinessSubject::Leftovers, why.as_str(), format!("{fix} {}", facts.group.name))
    });
    or_ok(
        no_way_back.chain(problems).collect(),
        ReadinessSubject::Leftovers,
        "earlier operations left nothing",
    )
}
