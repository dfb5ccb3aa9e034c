//! A group's recovery plan on the wire. Members are named by name or id when it is sent, by name when it is shown (by id
//! where two have one name).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use protector_core::{
    confidential::{Confidential, StillSealed},
    priority::Priority,
    recovery_plan::{
        Hook, HookedOperation, MemberRecovery, OnFailure, Pause, Probe, UserDataOnCopy, When,
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `PUT …/recovery-plan`, and answer of both calls.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPlanDocument {
    /// The plan, as a whole.
    pub recovery_plan: RecoveryPlanView,
}

/// A group's recovery plan, read from its primary to its secondary site. An empty one starts all members side by side.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPlanView {
    /// What is said of single members, by name or id.
    #[serde(default)]
    pub members: BTreeMap<String, MemberRecoveryView>,
    /// Where an operation waits for a person.
    #[serde(default)]
    pub pauses: Vec<PauseView>,
    /// Who is told of an operation.
    #[serde(default)]
    pub hooks: Vec<HookView>,
}

/// How one member is recovered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberRecoveryView {
    /// 1 starts first, 5 last.
    #[serde(default = "usual_priority")]
    #[schema(minimum = 1, maximum = 5, default = 3)]
    pub priority: u8,
    /// Members that must be up before it is started, by name or id.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// What shows that it is up, beside Nova's word.
    #[serde(default)]
    pub probe: Option<ProbeView>,
    /// How long the probe may fail, in seconds; null: `[engine] probe_timeout_seconds`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3600)]
    pub probe_timeout_seconds: Option<u32>,
    /// Fixed address on the primary site → fixed address on the secondary site, where they differ.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub fixed_ips: BTreeMap<IpAddr, IpAddr>,
    /// Floating IP on the primary site → what takes its place on the secondary site: a floating IP of the project there, or
    /// the external network, by name or id, that a new one is taken from. Without one it is lost.
    #[serde(default)]
    pub floating_ips: BTreeMap<String, String>,
    /// Security group on the primary site → security group on the secondary site, by name or id, where they differ.
    #[serde(default)]
    pub security_groups: BTreeMap<String, String>,
    /// Whether its copies are built with the user data of its original: `keep` or `omit`. A copy is a new instance to
    /// cloud-init, which runs it again.
    #[serde(default)]
    #[schema(value_type = UserDataWord, default = "keep")]
    pub user_data: UserDataOnCopy,
}

/// What becomes of a server's user data on its copies.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserDataWord {
    /// They are built with it.
    Keep,
    /// They are built without.
    Omit,
}

fn usual_priority() -> u8 {
    Priority::default().get()
}

/// A question that the engine asks a recovered server: exactly one of the two.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ProbeView {
    /// A TCP connection can be made.
    Tcp(TcpProbe),
    /// `GET` answers with a status.
    Http(HttpProbe),
}

/// A TCP connection can be made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpProbe {
    /// To this port.
    #[schema(minimum = 1)]
    pub port: u16,
}

/// `GET http://<fixed address>:<port><path>` answers with a status. Redirects are not followed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// At this port.
    #[schema(minimum = 1)]
    pub port: u16,
    /// For this path.
    #[serde(default = "root")]
    #[schema(default = "/")]
    pub path: String,
    /// With this status.
    #[serde(default = "ok")]
    #[schema(minimum = 100, maximum = 599, default = 200)]
    pub status: u16,
}

fn root() -> String {
    "/".to_owned()
}

fn ok() -> u16 {
    200
}

/// An operation waits for a person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseView {
    /// Before the first member of this priority is built.
    #[schema(minimum = 1, maximum = 5)]
    pub before_priority: u8,
    /// What the person is to do.
    #[schema(min_length = 1, max_length = 255)]
    pub message: String,
}

/// Somebody who is told of an operation with a `POST`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookView {
    /// Its name, unique in the plan.
    pub name: String,
    /// When.
    pub when: HookTime,
    /// The priority, for `before_priority`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 5)]
    pub priority: Option<u8>,
    /// Where to; must begin with one of `[engine] hook_url_prefixes`.
    pub url: String,
    /// How long the answer may take, in seconds.
    #[serde(default = "hook_timeout")]
    #[schema(minimum = 1, maximum = 300, default = 30)]
    pub timeout_seconds: u32,
    /// What a failure means.
    #[serde(default)]
    pub on_failure: HookFailure,
    /// For which kinds of operations; empty: failover and failback.
    #[serde(default)]
    pub operations: Vec<HookOperation>,
}

fn hook_timeout() -> u32 {
    30
}

/// When a hook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookTime {
    /// When the target has been checked and nothing has been changed yet.
    Before,
    /// Before the first member of `priority` is built.
    BeforePriority,
    /// When the group runs on the target, before anything is deleted on the source.
    After,
}

/// What the failure of a hook means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookFailure {
    /// The operation fails and is taken back; after the switch it is recorded only.
    Fail,
    /// It is recorded in `steps_failed`, and the operation goes on.
    #[default]
    Continue,
}

/// A kind of operation that calls a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookOperation {
    /// A failover, planned or not.
    Failover,
    /// A failback.
    Failback,
    /// A test failover.
    TestFailover,
}

impl MemberRecoveryView {
    /// The recovery as it is shown; `depends_on` in the words of `name`.
    ///
    /// # Errors
    ///
    /// `StillSealed` when the probe's path cannot be read.
    pub fn of(recovery: &MemberRecovery, depends_on: Vec<String>) -> Result<Self, StillSealed> {
        Ok(Self {
            priority: recovery.priority.get(),
            depends_on,
            probe: recovery.probe.as_ref().map(ProbeView::of).transpose()?,
            probe_timeout_seconds: recovery.probe_timeout_seconds,
            fixed_ips: recovery.fixed_ips.clone(),
            floating_ips: recovery.floating_ips.clone(),
            security_groups: recovery.security_groups.clone(),
            user_data: recovery.user_data,
        })
    }
}

impl ProbeView {
    fn of(probe: &Probe) -> Result<Self, StillSealed> {
        Ok(match probe {
            Probe::Tcp { port } => Self::Tcp(TcpProbe { port: *port }),
            Probe::Http { port, path, status } => Self::Http(HttpProbe {
                port: *port,
                path: path.expose()?.to_owned(),
                status: *status,
            }),
        })
    }
}

impl From<ProbeView> for Probe {
    fn from(probe: ProbeView) -> Self {
        match probe {
            ProbeView::Tcp(TcpProbe { port }) => Self::Tcp { port },
            ProbeView::Http(HttpProbe { port, path, status }) => Self::Http {
                port,
                path: Confidential::new(path),
                status,
            },
        }
    }
}

impl From<&Pause> for PauseView {
    fn from(pause: &Pause) -> Self {
        Self {
            before_priority: pause.before_priority.get(),
            message: pause.message.clone(),
        }
    }
}

impl HookView {
    /// The hook as it is shown.
    ///
    /// # Errors
    ///
    /// `StillSealed` when its URL cannot be read.
    pub fn of(hook: &Hook) -> Result<Self, StillSealed> {
        let (when, priority) = match hook.when {
            When::Before => (HookTime::Before, None),
            When::BeforePriority { priority } => (HookTime::BeforePriority, Some(priority.get())),
            When::After => (HookTime::After, None),
        };
        Ok(Self {
            name: hook.name.clone(),
            when,
            priority,
            url: hook.url.expose()?.to_owned(),
            timeout_seconds: hook.timeout_seconds,
            on_failure: match hook.on_failure {
                OnFailure::Fail => HookFailure::Fail,
                OnFailure::Continue => HookFailure::Continue,
            },
            operations: hook.operations.iter().map(HookOperation::from).collect(),
        })
    }

    /// The hook, its time being `when`.
    pub fn into_hook(self, when: When) -> Hook {
        Hook {
            name: self.name,
            when,
            url: Confidential::new(self.url),
            timeout_seconds: self.timeout_seconds,
            on_failure: match self.on_failure {
                HookFailure::Fail => OnFailure::Fail,
                HookFailure::Continue => OnFailure::Continue,
            },
            operations: self
                .operations
                .into_iter()
                .map(HookedOperation::from)
                .collect::<BTreeSet<_>>(),
        }
    }
}

impl From<&HookedOperation> for HookOperation {
    fn from(operation: &HookedOperation) -> Self {
        match operation {
            HookedOperation::Failover => Self::Failover,
            HookedOperation::Failback => Self::Failback,
            HookedOperation::TestFailover => Self::TestFailover,
        }
    }
}

impl From<HookOperation> for HookedOperation {
    fn from(operation: HookOperation) -> Self {
        match operation {
            HookOperation::Failover => Self::Failover,
            HookOperation::Failback => Self::Failback,
            HookOperation::TestFailover => Self::TestFailover,
        }
    }
}
