//! The forms in which records are stored and sent to the other site, one file per version of the book.
//!
//! An engine reads what another release has written: an operation under way, a group on record. So a form may not change
//! without [`BOOK_VERSION`], by which an older engine leaves alone what it does not know; and no form that was ever written may
//! become unreadable. A new version's file is written by `STORED_FORMS=write`; none is ever written over.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    fault::Code,
    group::{Fidelity, Group, GroupStatus, ReplicationType, ResourceMappings},
    member::{
        AddressPair, AdminState, DhcpOption, EarlierMember, Flavor, FlavorDisks, FloatingAddress,
        KeyPair, Member, MemberStatus, Nic, PortSpec, ProtectedVolume, ServerSpec,
    },
    operation::{
        MapKind, Memo, OperationKind, OperationState, PortDeletions, SeenByStep, StepProgress,
        StepState, WaitedSince,
    },
    plan::Plan,
    priority::Priority,
    qos_policy::QosPolicy,
    recovery_plan::{
        Hook, HookedOperation, MemberRecovery, OnFailure, Pause, Probe, RecoveryPlan,
        UserDataOnCopy, When,
    },
    runbook::{BOOK_VERSION, Reported, Step, Verb},
    server_group::ServerGroup,
    site::SiteScope,
    storage::PromotionKind,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

/// What is read of a file's part.
type Read = fn(Value) -> Result<Value, serde_json::Error>;

/// Each part of a file, and how it is read.
const PARTS: [(&str, Read); 8] = [
    ("group", again::<Group>),
    ("mappings", again::<ResourceMappings>),
    ("members", again::<Vec<Member>>),
    ("memo", again::<Memo>),
    ("plan", again::<Plan>),
    ("progress", again::<StepProgress>),
    ("recovery_plan", again::<RecoveryPlan>),
    ("steps", again::<Vec<Step>>),
];

fn again<T: Serialize + DeserializeOwned>(form: Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(form)?)
}

#[test]
fn what_is_written_has_the_form_of_this_version_of_the_book() {
    let file = folder().join(format!("v{BOOK_VERSION:02}.json"));
    let written = serde_json::to_string_pretty(&forms()).unwrap() + "\n";
    if !file.exists() && std::env::var("STORED_FORMS").as_deref() == Ok("write") {
        fs::write(&file, &written).unwrap();
    }
    let pinned = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        pinned == written,
        "a stored form is not that of {}: an engine of the release that wrote it would misread it. Raise BOOK_VERSION \
         (crates/core/src/runbook/mod.rs), run this with STORED_FORMS=write, and commit the new file beside the old ones. \
         First difference: {:?}",
        file.display(),
        pinned
            .lines()
            .zip(written.lines())
            .find(|(was, is)| was != is)
    );
}

#[test]
fn every_form_that_was_ever_written_is_read() {
    let mut files = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let forms: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let is_current = path.ends_with(format!("v{BOOK_VERSION:02}.json"));
        for (part, form) in forms.into_iter().filter(|(part, _)| part != "words") {
            let mut parts = PARTS.iter();
            let (_, read) = parts.find(|(name, _)| *name == part).expect(&part);
            let read = read(form.clone());
            let read = read.unwrap_or_else(|error| panic!("{}: {part}: {error}", path.display()));
            assert!(!is_current || read == form, "{part} is not read whole");
        }
        files += 1;
    }
    assert!(files >= 3, "{files}");
}

#[test]
fn plans_of_the_fourth_version_name_one_interrupted_operation() {
    let text = fs::read_to_string(folder().join("v04.json")).unwrap();
    let mut forms: Map<String, Value> = serde_json::from_str(&text).unwrap();
    let plan: Plan = serde_json::from_value(forms.remove("plan").unwrap()).unwrap();
    assert_eq!(plan.interrupted, ["op-1".into()]);
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stored_forms")
}

/// Every form with every field set.
fn forms() -> Value {
    json!({
        "group": group(),
        "mappings": mappings(),
        "members": [member()],
        "memo": memo(),
        "plan": plan(),
        "progress": progress(),
        "recovery_plan": recovery_plan(),
        "steps": each_step(),
        "words": words(),
    })
}

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn mappings() -> ResourceMappings {
    ResourceMappings {
        networks: texts(&[("net-a", "net-b")]),
        flavors: texts(&[("flavor-a", "flavor-b")]),
        server_groups: texts(&[("servers-a", "servers-b")]),
        volume_types: texts(&[("type-a", "type-b")]),
        qos_policies: texts(&[("slow", "slow-b")]),
    }
}

fn recovery_plan() -> RecoveryPlan {
    let hook = |name: &str, when| Hook {
        name: name.to_owned(),
        when,
        url: "https://hooks.example.org/dr".into(),
        timeout_seconds: 30,
        on_failure: OnFailure::Fail,
        operations: BTreeSet::from([
            HookedOperation::Failover,
            HookedOperation::Failback,
            HookedOperation::TestFailover,
        ]),
    };
    let probed = |probe| MemberRecovery {
        priority: Priority::FIRST,
        depends_on: BTreeSet::from(["member-2".into()]),
        probe: Some(probe),
        probe_timeout_seconds: Some(60),
        fixed_ips: [("10.0.0.5".parse().unwrap(), "10.1.0.5".parse().unwrap())].into(),
        floating_ips: texts(&[("203.0.113.5", "public")]),
        security_groups: texts(&[("web", "www")]),
        user_data: UserDataOnCopy::Omit,
    };
    let http = Probe::Http {
        port: 80,
        path: "/up".into(),
        status: 204,
    };
    RecoveryPlan {
        members: BTreeMap::from([
            ("member-1".into(), probed(http)),
            ("member-2".into(), probed(Probe::Tcp { port: 22 })),
        ]),
        pauses: vec![Pause {
            before_priority: Priority::LAST,
            message: "look".to_owned(),
        }],
        hooks: vec![
            hook("before", When::Before),
            hook(
                "between",
                When::BeforePriority {
                    priority: Priority::LAST,
                },
            ),
            hook("after", When::After),
        ],
    }
}

fn volume() -> ProtectedVolume {
    ProtectedVolume {
        id: "volume-1".into(),
        name: "data".to_owned(),
        size_gib: 8,
        device: "/dev/vdb".to_owned(),
        boot: false,
        delete_on_termination: true,
        delete_on_termination_at: Some("site-b".into()),
        metadata: texts(&[("key", "value")]),
        image_properties: texts(&[("hw_firmware_type", "uefi")]),
        description: Some("the data".to_owned()),
        bootable: Some(true),
        volume_type: Some("type-a".to_owned()),
        tag: Some("data".to_owned()),
        name_id: Some("volume-0".into()),
        host: Some("host-a@backend#pool".to_owned()),
    }
}

fn port() -> PortSpec {
    PortSpec {
        mac_address: "fa:16:3e:00:00:01".to_owned(),
        security_groups: vec!["web".to_owned()],
        security_group_ids: [("web".to_owned(), "group-1".to_owned())].into(),
        port_security_enabled: Some(true),
        allowed_address_pairs: vec![AddressPair {
            ip_address: "10.0.0.9".to_owned(),
            mac_address: Some("fa:16:3e:00:00:02".to_owned()),
        }],
        name: "front".to_owned(),
        description: "the front".to_owned(),
        tags: vec!["blue".to_owned()],
        floating_ips: vec![FloatingAddress {
            id: Some("fip-1".into()),
            address: "203.0.113.5".parse().unwrap(),
            fixed_ip: "10.0.0.5".parse().unwrap(),
        }],
        admin_state: AdminState::Down,
        extra_dhcp_opts: vec![DhcpOption {
            opt_name: "mtu".to_owned(),
            opt_value: Some("1400".to_owned()),
            ip_version: Some(4),
        }],
        dns_domain: "example.org.".to_owned(),
        qos_policy: Some(QosPolicy {
            id: "policy-1".to_owned(),
            name: "slow".to_owned(),
        }),
    }
}

fn server() -> ServerSpec {
    ServerSpec {
        flavor: Flavor {
            id: "flavor-a".into(),
            name: "small".to_owned(),
            vcpus: 1,
            ram_mib: 1024,
            disks: Some(FlavorDisks {
                root_gib: 1,
                ephemeral_gib: 0,
                swap_mib: 0,
            }),
        },
        nics: vec![Nic {
            network_id: "net-a".into(),
            fixed_ips: vec!["10.0.0.5".parse().unwrap()],
            port: Some(port()),
            tag: Some("front".to_owned()),
        }],
        security_groups: vec!["web".to_owned()],
        key_pair: Some(KeyPair {
            name: "alice".to_owned(),
            public_key: Some("ssh-ed25519 AAAA".to_owned()),
            kind: "ssh".to_owned(),
        }),
        metadata: texts(&[("tier", "web")]),
        user_data: Some("I2Nsb3VkLWNvbmZpZw==".into()),
        availability_zone: Some("nova".to_owned()),
        config_drive: true,
        description: Some("the shop".to_owned()),
        tags: vec!["blue".to_owned()],
        hostname: Some("www".to_owned()),
        server_group: Some(ServerGroup {
            id: "servers-a".to_owned(),
            name: "apart".to_owned(),
            policy: "anti-affinity".to_owned(),
            most_per_host: Some(2),
        }),
    }
}

fn member() -> Member {
    Member {
        id: "member-1".into(),
        group_id: "group-1".into(),
        name: "web-server-1".to_owned(),
        server_id: "server-1".into(),
        status: MemberStatus::Protected,
        server: server(),
        volumes: vec![volume()],
        earlier: vec![EarlierMember {
            until: at(5),
            name: "web-server".to_owned(),
            server: server(),
            volumes: vec![volume()],
        }],
        created_at: at(0),
        updated_at: at(6),
    }
}

fn scope(site: &str) -> SiteScope {
    SiteScope {
        site: site.into(),
        project_id: "project".into(),
    }
}

fn group() -> Group {
    Group {
        id: "group-1".into(),
        name: "web".to_owned(),
        description: Some("the shop".to_owned()),
        primary: scope("site-a"),
        secondary: scope("site-b"),
        current_primary_site: "site-a".into(),
        status: GroupStatus::Active,
        replication_type: ReplicationType::Async,
        volume_type_id: "type-a".to_owned(),
        secondary_volume_type_id: Some("type-b".to_owned()),
        mappings: mappings(),
        priority: Priority::FIRST,
        recovery_plan: recovery_plan(),
        fidelity: Fidelity::Strict,
        version: 7,
        last_replication_at: Some(at(4)),
        created_at: at(0),
        updated_at: at(6),
    }
}

fn plan() -> Plan {
    Plan {
        group_id: "group-1".into(),
        group_name: "web".to_owned(),
        source: scope("site-a"),
        target: scope("site-b"),
        replication_type: ReplicationType::Sync,
        source_array: "array-a".to_owned(),
        target_array: "array-b".to_owned(),
        promotion: PromotionKind::InPlace,
        target_volume_type: Some("type-b".to_owned()),
        mappings: mappings(),
        members: vec![member()],
        others: vec![member()],
        retain_source_volumes: true,
        recovery: recovery_plan(),
        interrupted: vec!["op-1".into(), "op-2".into()],
        adopts: Some("op-3".into()),
        fidelity: Fidelity::Strict,
        built_as_until: BTreeMap::from([("member-1".into(), at(5))]),
        left_on_target: vec!["server-9".into()],
        recovery_point: Some("point-1".into()),
    }
}

fn memo() -> Memo {
    Memo {
        intents: 2,
        undo_intents: 1,
        unanswered_at: Some(at(1)),
        accepted_in_try: Some(1),
        undo_asked_at: Some(at(2)),
        made: Some("copy-1".to_owned()),
        adopted: true,
        outlived: true,
        seen: SeenByStep {
            before: Some("ACTIVE".to_owned()),
            host: Some("compute-1".to_owned()),
            observed: Some("SHUTOFF".to_owned()),
        },
        since: WaitedSince {
            healthy: Some(at(3)),
            silent: Some(at(4)),
            locked_out: Some(at(5)),
            untold: Some(at(6)),
        },
        ports: PortDeletions {
            deleted: vec!["port-1".to_owned()],
            unanswered: vec!["port-1".to_owned()],
        },
        facts: vec!["it was so".to_owned()],
        request_ids: vec!["req-1".to_owned()],
    }
}

fn progress() -> StepProgress {
    StepProgress {
        state: StepState::Failed,
        failed_tries: 3,
        wake_at: Some(at(7)),
        note: Some("waits for Nova".to_owned()),
        memo: memo(),
        error: Some("Nova timeout after 300s".to_owned()),
        error_code: Some(Code::Timeout),
        started_at: Some(at(1)),
        finished_at: Some(at(8)),
        undo_started_at: Some(at(9)),
    }
}

/// One of each step, in the order in which they are declared.
fn each_step() -> Vec<Step> {
    let server = || "server-1".into();
    let volume = || "volume-1".into();
    let test = || "op-test".into();
    let mut all = Vec::new();
    let mut next = Some(Step::CheckServer { server: server() });
    while let Some(step) = next {
        // A step that is added to the book has to be put into this chain: without it nothing compiles.
        next = match &step {
            Step::CheckServer { .. } => Some(Step::CheckTarget),
            Step::CheckTarget => Some(Step::StopServer { server: server() }),
            Step::StopServer { .. } => Some(Step::ProtectGroup),
            Step::ProtectGroup => Some(Step::ReplicateGroup),
            Step::ReplicateGroup => Some(Step::FenceVolume { volume: volume() }),
            Step::FenceVolume { .. } => Some(Step::PromoteVolume { volume: volume() }),
            Step::PromoteVolume { .. } => Some(Step::ManageVolume { volume: volume() }),
            Step::ManageVolume { .. } => Some(Step::ReservePorts { server: server() }),
            Step::ReservePorts { .. } => Some(Step::CompletePorts { server: server() }),
            Step::CompletePorts { .. } => Some(Step::RecreateServer { server: server() }),
            Step::RecreateServer { .. } => Some(Step::ConfirmServer { server: server() }),
            Step::ConfirmServer { .. } => Some(Step::RestorePowerState { server: server() }),
            Step::RestorePowerState { .. } => Some(Step::ProbeServer { server: server() }),
            Step::ProbeServer { .. } => Some(Step::CallHook {
                hook: "before".to_owned(),
            }),
            Step::CallHook { .. } => Some(Step::Pause { number: 0 }),
            Step::Pause { .. } => Some(Step::SwitchPrimary),
            Step::SwitchPrimary => Some(Step::AssociateFloatingIps { server: server() }),
            Step::AssociateFloatingIps { .. } => {
                Some(Step::RestoreDeleteOnTermination { server: server() })
            }
            Step::RestoreDeleteOnTermination { .. } => {
                Some(Step::DeleteSourceServer { server: server() })
            }
            Step::DeleteSourceServer { .. } => Some(Step::DeleteSourceVolume { volume: volume() }),
            Step::DeleteSourceVolume { .. } => Some(Step::ChooseRecoveryPoint),
            Step::ChooseRecoveryPoint => Some(Step::CloneVolume { volume: volume() }),
            Step::CloneVolume { .. } => Some(Step::CheckTargetAlone),
            Step::CheckTargetAlone => Some(Step::CountRecovered { server: server() }),
            Step::CountRecovered { .. } => Some(Step::ConfirmRecovered),
            Step::ConfirmRecovered => Some(Step::SwitchRecovered),
            Step::SwitchRecovered => Some(Step::AdmitRecovered),
            Step::AdmitRecovered => Some(Step::LeaveSourceServer { server: server() }),
            Step::LeaveSourceServer { .. } => Some(Step::LeaveSourceVolume { volume: volume() }),
            Step::LeaveSourceVolume { .. } => Some(Step::LeaveReplica { volume: volume() }),
            Step::LeaveReplica { .. } => Some(Step::ResyncVolume { volume: volume() }),
            Step::ResyncVolume { .. } => Some(Step::FenceServer { server: server() }),
            Step::FenceServer { .. } => Some(Step::FenceServerOnTarget { server: server() }),
            Step::FenceServerOnTarget { .. } => Some(Step::ConfirmFenced),
            Step::ConfirmFenced => Some(Step::ReleaseReplicas),
            Step::ReleaseReplicas => Some(Step::DeleteTestServer {
                test: test(),
                server: server(),
            }),
            Step::DeleteTestServer { .. } => Some(Step::DeleteTestVolume {
                test: test(),
                volume: volume(),
            }),
            Step::DeleteTestVolume { .. } => Some(Step::StartSourceServer { server: server() }),
            Step::StartSourceServer { .. } => Some(Step::UnfenceVolume { volume: volume() }),
            Step::UnfenceVolume { .. } => Some(Step::ConfirmStarted),
            Step::ConfirmStarted => Some(Step::CheckAtRest { server: server() }),
            Step::CheckAtRest { .. } => Some(Step::AdoptVolume { volume: volume() }),
            Step::AdoptVolume { .. } => Some(Step::AdoptServer { server: server() }),
            Step::AdoptServer { .. } => Some(Step::TakeBack {
                line: Box::new(Step::StopServer { server: server() }),
            }),
            Step::TakeBack { .. } => Some(Step::ReleaseFloatingIp {
                server: server(),
                address: "203.0.113.10".parse().unwrap(),
            }),
            Step::ReleaseFloatingIp { .. } => None,
        };
        all.push(step);
    }
    all
}

/// All values, each with the next: a value that is added has to be put into the chain, without it nothing compiles.
fn chain<T: Copy>(first: T, next: impl Fn(T) -> Option<T>) -> Vec<T> {
    std::iter::successors(Some(first), |value| next(*value)).collect()
}

/// The words that stand in columns of their own.
fn words() -> Value {
    let codes = chain(Code::Refused, |code| match code {
        Code::Refused => Some(Code::Unavailable),
        Code::Unavailable => Some(Code::Timeout),
        Code::Timeout => Some(Code::AlreadyGone),
        Code::AlreadyGone => Some(Code::Kept),
        Code::Kept => Some(Code::Missing),
        Code::Missing => Some(Code::Changed),
        Code::Changed => Some(Code::Broken),
        Code::Broken => Some(Code::Blocked),
        Code::Blocked => Some(Code::Superseded),
        Code::Superseded => Some(Code::Aborted),
        Code::Aborted => Some(Code::Internal),
        Code::Internal => None,
    });
    let kinds = chain(OperationKind::Failover, |kind| match kind {
        OperationKind::Failover => Some(OperationKind::Failback),
        OperationKind::Failback => Some(OperationKind::TestFailover),
        OperationKind::TestFailover => Some(OperationKind::TestCleanup),
        OperationKind::TestCleanup => Some(OperationKind::Cleanup),
        OperationKind::Cleanup => Some(OperationKind::Sync),
        OperationKind::Sync => Some(OperationKind::Retry),
        OperationKind::Retry => Some(OperationKind::Fence),
        OperationKind::Fence => Some(OperationKind::Abort),
        OperationKind::Abort => None,
    });
    let maps = chain(MapKind::Server, |map| match map {
        MapKind::Server => Some(MapKind::Volume),
        MapKind::Volume => Some(MapKind::Promoted),
        MapKind::Promoted => Some(MapKind::RecoveryPoint),
        MapKind::RecoveryPoint => Some(MapKind::BackendHost),
        MapKind::BackendHost => Some(MapKind::PowerState),
        MapKind::PowerState => Some(MapKind::ReturnedServer),
        MapKind::ReturnedServer => Some(MapKind::ReturnedVolume),
        MapKind::ReturnedVolume => Some(MapKind::ProtectedBy),
        MapKind::ProtectedBy => Some(MapKind::RecoveryPointTime),
        MapKind::RecoveryPointTime => Some(MapKind::Recovered),
        MapKind::Recovered => Some(MapKind::Fenced),
        MapKind::Fenced => Some(MapKind::Resumed),
        MapKind::Resumed => Some(MapKind::Aborted),
        MapKind::Aborted => Some(MapKind::StartedAgain),
        MapKind::StartedAgain => Some(MapKind::ComputeHost),
        MapKind::ComputeHost => Some(MapKind::DeleteRunning),
        MapKind::DeleteRunning => Some(MapKind::LastAction),
        MapKind::LastAction => Some(MapKind::TargetIsLost),
        MapKind::TargetIsLost => Some(MapKind::VolumeSize),
        MapKind::VolumeSize => Some(MapKind::NewerIsLost),
        MapKind::NewerIsLost => Some(MapKind::Port),
        MapKind::Port => Some(MapKind::ServerGroup),
        MapKind::ServerGroup => Some(MapKind::ReleasedFloatingIp),
        MapKind::ReleasedFloatingIp => None,
    });
    let members = [MemberStatus::Protected, MemberStatus::Error];
    json!({
        "error_code": (codes.into_iter().map(Code::as_str).collect::<Vec<_>>()),
        "group_status": (GroupStatus::ALL.map(GroupStatus::as_str)),
        "map_kind": (maps.into_iter().map(MapKind::as_str).collect::<Vec<_>>()),
        "member_status": (members.map(MemberStatus::as_str)),
        "operation_kind": (kinds.into_iter().map(OperationKind::as_str).collect::<Vec<_>>()),
        "operation_state": (OperationState::ALL.map(OperationState::as_str)),
        "reported": ([Reported::Never, Reported::ByPhase, Reported::ByLine]),
        "step_state": (StepState::ALL.map(StepState::as_str)),
        "verb": (Verb::ALL.map(Verb::as_str)),
    })
}
