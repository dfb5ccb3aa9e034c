//! The recovery plan of a protection group: which VMs start before which, what shows that one is up, where an operation
//! waits for a person, and who is told of it. An empty plan starts all VMs side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use crate::{
    confidential::{Confidential, Field, HoldsConfidential},
    id::{MemberId, ServerId},
    member::{Member, PortSpec},
    operation_kind::OperationKind,
    priority::Priority,
};

/// The most hooks and the most pauses that a plan has.
pub const MOST_OF_EACH: usize = 50;

/// A protection group's recovery plan. Kept with the group, and part of its metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPlan {
    /// What is said of single members. A member that is not named has the defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<MemberId, MemberRecovery>,
    /// Where an operation waits for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
    /// Who is told of an operation's progress.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
}

/// How one member is recovered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecovery {
    /// Which members start before it.
    #[serde(default)]
    pub priority: Priority,
    /// Members that must be up before it is started.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub depends_on: BTreeSet<MemberId>,
    /// What shows that it is up, beside Nova's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// How long the probe may fail before the member counts as not up, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_timeout_seconds: Option<u32>,
    /// Fixed address on the primary site → fixed address on the secondary site, where they differ.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed_ips: BTreeMap<IpAddr, IpAddr>,
    /// Floating IP on the primary site → what takes its place on the secondary site: a floating IP of the project there, or
    /// the external network that a new one is taken from. Without one it is lost.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub floating_ips: BTreeMap<String, String>,
    /// Security group on the primary site → security group on the secondary site, by name or id, where they differ.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub security_groups: BTreeMap<String, String>,
    /// Whether its copies are built with the user data of its original.
    #[serde(default, skip_serializing_if = "UserDataOnCopy::is_kept")]
    pub user_data: UserDataOnCopy,
}

impl MemberRecovery {
    /// Whether something is said of one of the addresses `today`, which are not those `before`, and nothing of these.
    pub fn names_only(&self, today: &[IpAddr], before: &[IpAddr]) -> bool {
        let named = |address: &IpAddr| self.fixed_ips.contains_key(address);
        today != before && today.iter().any(named) && !before.iter().any(named)
    }
}

/// What becomes of a server's user data on its copies. A copy is a new instance to cloud-init, which runs it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserDataOnCopy {
    /// They are built with it.
    #[default]
    Keep,
    /// They are built without, and their guests are as their disks say.
    Omit,
}

impl UserDataOnCopy {
    fn is_kept(&self) -> bool {
        *self == Self::Keep
    }
}

/// A question that the engine asks a recovered VM at its first fixed address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A TCP connection can be made.
    Tcp { port: u16 },
    /// `GET` answers with a status. Redirects are not followed.
    Http {
        port: u16,
        #[serde(default = "root")]
        path: Confidential,
        #[serde(default = "ok")]
        status: u16,
    },
}

fn root() -> Confidential {
    Confidential::new("/")
}

fn ok() -> u16 {
    200
}

/// An operation waits for a person before it starts the members of a priority.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pause {
    /// Before the first member of this priority is built.
    pub before_priority: Priority,
    /// What the person is to do.
    pub message: String,
}

/// Somebody who is told of an operation with a `POST`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hook {
    /// Its name, unique in the plan.
    pub name: String,
    #[serde(flatten)]
    pub when: When,
    /// Where to. It often holds a token.
    pub url: Confidential,
    /// How long the answer may take, in seconds.
    #[serde(default = "hook_timeout")]
    pub timeout_seconds: u32,
    /// What a failure means.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// For which kinds of operations: `failover`, `failback`, `test_failover`. Empty: failover and failback.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub operations: BTreeSet<HookedOperation>,
}

fn hook_timeout() -> u32 {
    30
}

impl Hook {
    /// Whether it is called in operations of `kind`.
    pub fn is_for(&self, kind: OperationKind) -> bool {
        match kind {
            OperationKind::Failover => {
                self.operations.is_empty() || self.operations.contains(&HookedOperation::Failover)
            }
            OperationKind::Failback => {
                self.operations.is_empty() || self.operations.contains(&HookedOperation::Failback)
            }
            OperationKind::TestFailover => self.operations.contains(&HookedOperation::TestFailover),
            _ => false,
        }
    }
}

/// A kind of operation that a hook may be called in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookedOperation {
    /// A failover, planned or not.
    Failover,
    Failback,
    TestFailover,
}

/// When a hook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "when", rename_all = "snake_case")]
pub enum When {
    /// When the target has been checked and nothing has been changed yet.
    Before,
    /// Before the first member of a priority is built.
    BeforePriority { priority: Priority },
    /// When the group runs on the target, before anything is deleted on the source.
    After,
}

/// What the failure of a hook means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The operation fails and is taken back. After the switch it is recorded only.
    Fail,
    /// It is recorded in `steps_failed` and the operation goes on.
    #[default]
    Continue,
}

/// Why a plan cannot be kept. Each names the field and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct PlanFault {
    /// The field, from `members`, `pauses` or `hooks` on.
    pub field: String,
    /// What is wrong with it, and what it may be.
    pub why: String,
}

fn fault(field: impl Into<String>, why: impl Into<String>) -> PlanFault {
    PlanFault {
        field: field.into(),
        why: why.into(),
    }
}

/// Members that are started side by side, once those of the tiers before are up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier<'a> {
    pub priority: Priority,
    /// They, in the order of the group.
    pub members: Vec<&'a Member>,
}

impl HoldsConfidential for RecoveryPlan {
    fn confidential(&self) -> Vec<&Confidential> {
        let probes = self.members.values().map(|recovery| &recovery.probe);
        let paths = probes.filter_map(|probe| match probe {
            Some(Probe::Http { path, .. }) => Some(path),
            _ => None,
        });
        paths
            .chain(self.hooks.iter().map(|hook| &hook.url))
            .collect()
    }

    fn each_confidential(&mut self, visit: &mut dyn FnMut(Field<'_>, &mut Confidential)) {
        for (member, recovery) in &mut self.members {
            if let Some(Probe::Http { path, .. }) = &mut recovery.probe {
                visit(Field::ProbePath { member }, path);
            }
        }
        for Hook { name, url, .. } in &mut self.hooks {
            visit(Field::HookUrl { hook: name }, url);
        }
    }
}

impl RecoveryPlan {
    /// What is said of `member`, or the defaults.
    pub fn of(&self, member: &MemberId) -> MemberRecovery {
        self.members.get(member).cloned().unwrap_or_default()
    }

    /// The fixed address that stands for `address` of `member` on the target.
    pub fn address_on_target(&self, member: &MemberId, address: IpAddr) -> IpAddr {
        let recovery = self.members.get(member);
        recovery
            .and_then(|recovery| recovery.fixed_ips.get(&address).copied())
            .unwrap_or(address)
    }

    /// The name, or the id, of the security group that stands on the target for the one that `port` of `member` knows as `name`.
    /// The plan may name it by its id: after a move, what a mapping leads to is what one looks for on the way back.
    pub fn security_group_on_target<'n>(
        &'n self,
        member: &Member,
        (port, name): (Option<&PortSpec>, &'n str),
    ) -> &'n str {
        let Some(recovery) = self.members.get(&member.id) else {
            return name;
        };
        let by_id = || {
            let id = port?.security_group_ids.get(name)?;
            recovery.security_groups.get(id)
        };
        let mapped = recovery.security_groups.get(name).or_else(by_id);
        mapped.map_or(name, String::as_str)
    }

    /// What stands on the target for each of `member`'s security groups, with what it is known as here, each once.
    pub fn security_groups_on_target<'n>(
        &'n self,
        member: &'n Member,
    ) -> BTreeSet<(&'n str, &'n str)> {
        let groups = member.groups_of_ports();
        let both = groups.map(|(port, name)| {
            let there = self.security_group_on_target(member, (port, name));
            (name, there)
        });
        both.collect()
    }

    /// What is said of the member whose server on the source is `server`.
    pub fn of_server(&self, members: &[Member], server: &ServerId) -> MemberRecovery {
        members
            .iter()
            .find(|member| member.server_id == *server)
            .map(|member| self.of(&member.id))
            .unwrap_or_default()
    }

    /// What takes the place of each of `member`'s floating IPs on the target, in the order of [`Member::floating_ips`];
    /// `None` for one that is lost.
    ///
    /// One that is not named itself has come from an external network by a move of ours, and goes back to what that network
    /// stood for.
    pub fn floating_ips_on_target(&self, member: &Member) -> Vec<Option<String>> {
        let empty = BTreeMap::new();
        let recovery = self.members.get(&member.id);
        let map = recovery.map_or(&empty, |recovery| &recovery.floating_ips);
        let mut from_networks = map
            .iter()
            .filter(|(from, _)| from.parse::<IpAddr>().is_err())
            .map(|(_, to)| to.clone());
        member
            .floating_ips()
            .map(|(_, floating)| {
                let named = map.get(&floating.address.to_string()).cloned();
                named.or_else(|| from_networks.next())
            })
            .collect()
    }

    /// The plan with those hooks only that are called in operations of `kind`.
    pub fn for_kind(&self, kind: OperationKind) -> Self {
        let mut plan = self.clone();
        plan.hooks.retain(|hook| hook.is_for(kind));
        plan
    }

    /// The plan read from the secondary site towards the primary.
    pub fn reversed(&self) -> Self {
        let mut back = self.clone();
        for member in back.members.values_mut() {
            member.fixed_ips = turned(&member.fixed_ips);
            member.floating_ips = turned(&member.floating_ips);
            member.security_groups = turned(&member.security_groups);
        }
        back
    }

    /// The order in which `members` are started: by priority, and within one by what depends on what. A dependency on a
    /// server that is not in `members` is met. Never loses a member, whatever the plan says.
    pub fn tiers<'a>(&self, members: &'a [Member]) -> Vec<Tier<'a>> {
        let depths = Depths::of(self, members);
        let mut tiers: BTreeMap<(Priority, usize), Vec<&'a Member>> = BTreeMap::new();
        for member in members {
            let place = (self.of(&member.id).priority, depths.of_member(&member.id));
            tiers.entry(place).or_default().push(member);
        }
        tiers
            .into_iter()
            .map(|((priority, _), members)| Tier { priority, members })
            .collect()
    }

    /// Refuses a plan that names members which are not in the group, or could not be carried out as written.
    ///
    /// # Errors
    ///
    /// The first fault, by field.
    pub fn check(&self, members: &[Member]) -> Result<(), PlanFault> {
        for (id, recovery) in &self.members {
            let member = members
                .iter()
                .find(|member| member.id == *id)
                .ok_or_else(|| {
                    fault(
                        format!("members.{id}"),
                        "no such member: take ids from 'openstack dr member list'",
                    )
                })?;
            check_member(self, member, recovery, members)?;
        }
        refuse_circles(self, members)?;
        check_pauses(&self.pauses)?;
        check_hooks(&self.hooks)
    }
}

fn turned<T: Ord + Clone>(map: &BTreeMap<T, T>) -> BTreeMap<T, T> {
    map.iter()
        .map(|(from, to)| (to.clone(), from.clone()))
        .collect()
}

fn check_member(
    plan: &RecoveryPlan,
    member: &Member,
    recovery: &MemberRecovery,
    members: &[Member],
) -> Result<(), PlanFault> {
    let field = |name: &str| format!("members.{}.{name}", member.name);
    for other in &recovery.depends_on {
        let name = members
            .iter()
            .find(|candidate| candidate.id == *other)
            .map(|candidate| candidate.name.as_str())
            .ok_or_else(|| {
                fault(
                    field("depends_on"),
                    format!("{other} is not a member of the group"),
                )
            })?;
        let theirs = plan.of(other).priority;
        if theirs > recovery.priority {
            return Err(fault(
                field("depends_on"),
                format!(
                    "{name} has priority {theirs} and starts after {} with priority {}: give {name} the same or a smaller number",
                    member.name, recovery.priority
                ),
            ));
        }
    }
    if let Some(Probe::Http { path, status, .. }) = &recovery.probe {
        // One that is kept was looked at when it came.
        if path.expose().is_ok_and(|path| !is_a_path(path)) {
            return Err(fault(
                field("probe.http.path"),
                "must begin with '/' and hold no blanks",
            ));
        }
        if !(100..=599).contains(status) {
            return Err(fault(
                field("probe.http.status"),
                format!("must be an HTTP status from 100 to 599, not {status}"),
            ));
        }
    }
    if let Some(Probe::Tcp { port: 0 } | Probe::Http { port: 0, .. }) = recovery.probe {
        return Err(fault(field("probe"), "port: must be from 1 to 65535"));
    }
    refuse_seconds(
        &field("probe_timeout_seconds"),
        recovery.probe_timeout_seconds,
        3600,
    )?;
    refuse_twice(&field("fixed_ips"), recovery.fixed_ips.values())?;
    refuse_floating_ips(&field("floating_ips"), &recovery.floating_ips)?;
    refuse_twice(&field("security_groups"), recovery.security_groups.values())
}

fn refuse_floating_ips(field: &str, map: &BTreeMap<String, String>) -> Result<(), PlanFault> {
    for (from, to) in map {
        if from.parse::<IpAddr>().is_err() {
            let what = format!("{from} is no address: name the floating IP on the primary site");
            return Err(fault(field, what));
        }
        if to.trim().is_empty() {
            let what =
                format!("{from} needs a floating IP or an external network of the secondary site");
            return Err(fault(field, what));
        }
    }
    refuse_twice(field, map.values())
}

fn is_a_path(path: &str) -> bool {
    path.starts_with('/') && !path.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn refuse_seconds(field: &str, seconds: Option<u32>, most: u32) -> Result<(), PlanFault> {
    match seconds {
        Some(seconds) if seconds == 0 || seconds > most => Err(fault(
            field,
            format!("must be from 1 to {most} seconds, not {seconds}"),
        )),
        _ => Ok(()),
    }
}

/// What two became one has no way back.
fn refuse_twice<T: Ord + fmt::Display>(
    field: &str,
    values: impl Iterator<Item = T>,
) -> Result<(), PlanFault> {
    let mut seen = BTreeSet::new();
    for value in values {
        let text = value.to_string();
        if !seen.insert(value) {
            return Err(fault(
                field,
                format!("{text} stands for two: a failback could not tell them apart"),
            ));
        }
    }
    Ok(())
}

fn refuse_circles(plan: &RecoveryPlan, members: &[Member]) -> Result<(), PlanFault> {
    let depths = Depths::of(plan, members);
    let circled = members
        .iter()
        .find(|member| !depths.0.contains_key(&member.id));
    circled.map_or(Ok(()), |member| {
        Err(fault(
            format!("members.{}.depends_on", member.name),
            "the members depend on each other in a circle: take one dependency out",
        ))
    })
}

fn check_pauses(pauses: &[Pause]) -> Result<(), PlanFault> {
    refuse_too_many("pauses", pauses.len())?;
    for (number, pause) in pauses.iter().enumerate() {
        let field = format!("pauses[{number}].message");
        let length = pause.message.chars().count();
        if length == 0 || length > 255 || pause.message.chars().any(char::is_control) {
            return Err(fault(
                field,
                "must be one line of 1 to 255 characters that says what to do",
            ));
        }
    }
    Ok(())
}

fn check_hooks(hooks: &[Hook]) -> Result<(), PlanFault> {
    refuse_too_many("hooks", hooks.len())?;
    let mut names = BTreeSet::new();
    for (number, hook) in hooks.iter().enumerate() {
        let name_is_good = !hook.name.is_empty()
            && hook.name.len() <= 64
            && hook
                .name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !name_is_good || !names.insert(&hook.name) {
            return Err(fault(
                format!("hooks[{number}].name"),
                "must be unique, of 1 to 64 letters, digits, '-', '_' and '.'",
            ));
        }
        refuse_seconds(
            &format!("hooks[{number}].timeout_seconds"),
            Some(hook.timeout_seconds),
            300,
        )?;
    }
    Ok(())
}

fn refuse_too_many(field: &str, count: usize) -> Result<(), PlanFault> {
    if count > MOST_OF_EACH {
        return Err(fault(
            field,
            format!("must be at most {MOST_OF_EACH}, not {count}"),
        ));
    }
    Ok(())
}

/// How many members of its own priority have to be up one after the other before a member starts. A member in a circle of
/// dependencies has none.
struct Depths(BTreeMap<MemberId, usize>);

impl Depths {
    fn of(plan: &RecoveryPlan, members: &[Member]) -> Self {
        let mut depths: BTreeMap<MemberId, usize> = BTreeMap::new();
        for _ in members {
            let known = depths.len();
            for member in members {
                if !depths.contains_key(&member.id)
                    && let Some(depth) = depth(plan, members, member, &depths)
                {
                    depths.insert(member.id.clone(), depth);
                }
            }
            if depths.len() == known {
                break;
            }
        }
        Self(depths)
    }

    /// Of a member in a circle: the last place.
    fn of_member(&self, member: &MemberId) -> usize {
        self.0.get(member).copied().unwrap_or(usize::MAX)
    }
}

fn depth(
    plan: &RecoveryPlan,
    members: &[Member],
    member: &Member,
    known: &BTreeMap<MemberId, usize>,
) -> Option<usize> {
    let own = plan.of(&member.id);
    let same_priority = own.depends_on.iter().filter(|other| {
        plan.of(other).priority == own.priority && members.iter().any(|m| m.id == **other)
    });
    let mut deepest = 0;
    for other in same_priority {
        deepest = deepest.max(known.get(other)? + 1);
    }
    Some(deepest)
}

#[cfg(test)]
mod tests {

    use serde_json::json;

    use super::*;
    use crate::fixtures;
    use crate::member::Nic;

    fn member(name: &str) -> Member {
        Member {
            id: name.into(),
            group_id: "g".into(),
            ..fixtures::member(name)
        }
    }

    fn members() -> Vec<Member> {
        ["web", "app", "db", "batch"].map(member).into()
    }

    fn plan(json: serde_json::Value) -> RecoveryPlan {
        serde_json::from_value(json).unwrap()
    }

    fn order(plan: &RecoveryPlan) -> Vec<(u8, Vec<String>)> {
        plan.tiers(&members())
            .iter()
            .map(|tier| {
                let names = tier.members.iter().map(|m| m.name.clone()).collect();
                (tier.priority.get(), names)
            })
            .collect()
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn without_a_plan_all_start_side_by_side() {
        let all = names(&["web", "app", "db", "batch"]);
        assert_eq!(order(&RecoveryPlan::default()), [(3, all)]);
    }

    #[test]
    fn what_others_depend_on_starts_first() {
        let plan = plan(json!({"members": {
            "web": {"depends_on": ["app"]},
            "app": {"depends_on": ["db"]},
            "db": {"priority": 1},
            "batch": {"priority": 5},
        }}));
        assert_eq!(plan.check(&members()), Ok(()));
        assert_eq!(
            order(&plan),
            [
                (1, names(&["db"])),
                (3, names(&["app"])),
                (3, names(&["web"])),
                (5, names(&["batch"])),
            ]
        );
    }

    #[test]
    fn a_member_that_is_not_moved_holds_nobody_up() {
        let plan = plan(json!({"members": {"web": {"depends_on": ["db"]}}}));
        let some = [member("web")];
        assert_eq!(plan.tiers(&some).len(), 1);
    }

    fn refused(json: serde_json::Value) -> String {
        plan(json).check(&members()).unwrap_err().to_string()
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_refused_by_field() {
        let cases = [
            (
                json!({"members": {"nobody": {}}}),
                "members.nobody: no such member",
            ),
            (
                json!({"members": {"web": {"depends_on": ["nobody"]}}}),
                "members.web.depends_on: nobody is not a member",
            ),
            (
                json!({"members": {"db": {"priority": 4}, "web": {"depends_on": ["db"]}}}),
                "members.web.depends_on: db has priority 4 and starts after web",
            ),
            (
                json!({"members": {"db": {"depends_on": ["web"]}, "web": {"depends_on": ["db"]}}}),
                "the members depend on each other in a circle",
            ),
            (
                json!({"members": {"web": {"depends_on": ["web"]}}}),
                "the members depend on each other in a circle",
            ),
            (
                json!({"members": {"web": {"probe": {"http": {"port": 80, "path": "x"}}}}}),
                "members.web.probe.http.path: must begin with '/'",
            ),
            (
                json!({"members": {"web": {"probe": {"tcp": {"port": 0}}}}}),
                "members.web.probe: port",
            ),
            (
                json!({"members": {"web": {"probe_timeout_seconds": 0}}}),
                "members.web.probe_timeout_seconds: must be from 1",
            ),
            (
                json!({"members": {"web": {"fixed_ips": {"10.0.0.1": "10.9.0.1", "10.0.0.2": "10.9.0.1"}}}}),
                "members.web.fixed_ips: 10.9.0.1 stands for two",
            ),
            (
                json!({"members": {"web": {"floating_ips": {"public": "198.51.100.7"}}}}),
                "members.web.floating_ips: public is no address: name the floating IP on the primary site",
            ),
            (
                json!({"members": {"web": {"floating_ips": {"203.0.113.10": " "}}}}),
                "members.web.floating_ips: 203.0.113.10 needs a floating IP or an external network",
            ),
            (
                json!({"members": {"web": {"floating_ips": {"203.0.113.1": "public", "203.0.113.2": "public"}}}}),
                "members.web.floating_ips: public stands for two",
            ),
            (
                json!({"pauses": [{"before_priority": 2, "message": ""}]}),
                "pauses[0].message: must be one line",
            ),
            (
                json!({"hooks": [{"name": "a b", "when": "before", "url": "https://x"}]}),
                "hooks[0].name: must be unique",
            ),
            (
                json!({"hooks": [{"name": "a", "when": "after", "url": "https://x", "timeout_seconds": 301}]}),
                "hooks[0].timeout_seconds: must be from 1 to 300",
            ),
        ];
        for (plan, says) in cases {
            let error = refused(plan.clone());
            assert!(error.contains(says), "{plan}: {error}");
        }
    }

    #[test]
    fn no_member_is_lost_even_by_a_plan_that_went_bad() {
        let circle = plan(json!({"members": {
            "db": {"depends_on": ["web"]}, "web": {"depends_on": ["db"]},
        }}));
        let planned: usize = circle
            .tiers(&members())
            .iter()
            .map(|t| t.members.len())
            .sum();
        assert_eq!(planned, 4);
    }

    #[test]
    fn groups_of_one_name_are_mapped_for_each_port_by_its_own_ids() {
        let there = plan(json!({"members": {"web": {
            "security_groups": {"1": "web-int", "2": "web-ext"},
        }}}));
        let card = |port: serde_json::Value| -> Nic {
            serde_json::from_value(json!({"network_id": "n", "fixed_ips": [], "port": port}))
                .unwrap()
        };
        let named = |id: &str| json!({"mac_address": "", "security_groups": ["web"], "security_group_ids": {"web": id}});
        let kept_by_id = |ids: &[&str]| json!({"mac_address": "", "security_groups": ids});
        let mut web = member("web");
        web.server.security_groups = vec!["web".to_owned()];
        for ports in [
            [named("1"), named("2")],
            [kept_by_id(&["1"]), kept_by_id(&["2"])],
            [kept_by_id(&["1", "2"]), kept_by_id(&["2"])],
        ] {
            web.server.nics = ports.iter().cloned().map(card).collect();
            let all = there.security_groups_on_target(&web).into_iter();
            let all: BTreeSet<&str> = all.map(|(_, there)| there).collect();
            assert_eq!(all, ["web-int", "web-ext"].into(), "{ports:?}");
            let last = web.server.nics[1].port.as_ref().unwrap();
            let name = last.security_groups[0].as_str();
            let on_target = there.security_group_on_target(&web, (Some(last), name));
            assert_eq!(on_target, "web-ext");
        }
    }

    #[test]
    fn addresses_turn_round_for_the_way_back() {
        let there = plan(json!({"members": {"web": {"fixed_ips": {"10.0.0.1": "10.9.0.1"}}}}));
        let web = there.reversed().of(&"web".into());
        assert_eq!(
            web.fixed_ips[&"10.9.0.1".parse().unwrap()].to_string(),
            "10.0.0.1"
        );
        assert_eq!(there.reversed().reversed(), there);
    }

    #[test]
    fn a_hook_is_for_real_moves_unless_it_says_more() {
        let hook = |operations: serde_json::Value| -> Hook {
            serde_json::from_value(
                json!({"name": "a", "when": "after", "url": "https://x", "operations": operations}),
            )
            .unwrap()
        };
        assert!(hook(json!([])).is_for(OperationKind::Failover));
        assert!(!hook(json!([])).is_for(OperationKind::TestFailover));
        assert!(hook(json!(["test_failover"])).is_for(OperationKind::TestFailover));
        assert!(!hook(json!(["test_failover"])).is_for(OperationKind::Failback));
        assert!(!hook(json!(["failover"])).is_for(OperationKind::Cleanup));
    }
}
