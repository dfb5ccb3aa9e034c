//! What a copy has of its original, and what is refused before anything is stopped because a copy could not have it.

use protector_core::{
    confidential::Confidential, group::Fidelity, operation::OperationState, plan::Plan,
    recovery_plan::UserDataOnCopy,
};
use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, Match},
    in_process::lock,
};
use serde_json::{Value, json};

use super::{
    fixture::Fixture,
    source_at_rest::{assert_taken_back, has_begun},
};

/// The member's flavor by another size than the target's of its name has.
#[tokio::test(start_paused = true)]
async fn no_flavor_of_another_size_is_taken_for_the_one_of_its_name() {
    let grown = |plan: &mut Plan| plan.members[0].server.flavor.vcpus = 4;
    let (fixture, record) = Fixture::moved_as(grown, |_| {}, |_, _| {}).await;
    let words = [
        "flavor small (by-name) (4 vCPU(s), 1024 MiB) has no counterpart on site-b",
        "there has 1 vCPU(s), 1024 MiB",
        "--flavor-mapping by-name=<flavor id there>",
    ];
    assert_taken_back(&fixture, &record, &words);
    assert!(!has_begun(&record, "stop_source_vms"));
}

#[tokio::test(start_paused = true)]
async fn after_a_mapped_move_all_of_the_flavor_is_the_targets() {
    let fixture = Fixture::switched_as(|_| {}, |_| {}).await;
    let flavors = fixture.on_target("demo", "GET", "compute /flavors/detail", &Value::Null);
    let large = flavor_named(&flavors, "large");
    let mapped = |plan: &mut Plan| {
        let mappings = &mut plan.mappings.flavors;
        mappings.insert("by-name".to_owned(), large.clone());
    };
    let (fixture, record) = Fixture::moved_as(mapped, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let (_, members) = fixture.group_and_members();
    let flavor = &members[0].server.flavor;
    assert_eq!(flavor.id.as_str(), large);
    let (name, vcpus, ram) = (flavor.name.as_str(), flavor.vcpus, flavor.ram_mib);
    assert_eq!((name, vcpus, ram), ("large", 4, 8192));
    assert!(flavor.disks.is_some());
}

fn flavor_named(flavors: &Value, name: &str) -> String {
    let mut flavors = flavors["flavors"].as_array().unwrap().iter();
    let found = flavors.find(|flavor| flavor["name"] == name).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_copy_has_the_tags_and_the_host_name_of_its_original() {
    let named = |plan: &mut Plan| {
        let server = &mut plan.members[0].server;
        server.tags = vec!["blue".to_owned(), "web".to_owned()];
        server.hostname = Some("www".to_owned());
        plan.members[0].volumes[1].description = Some("the ledger".to_owned());
        plan.members[0].volumes[1].bootable = Some(true);
    };
    let (fixture, record) = Fixture::moved_as(named, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let copy = lock(&fixture.target).servers()[0].clone();
    let url = format!("compute /servers/{}", copy.id);
    let seen = fixture.on_target("demo", "GET", &url, &Value::Null);
    let tags: Vec<&str> = seen["server"]["tags"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(tags, ["blue", "web"]);
    assert_eq!(seen["server"]["OS-EXT-SRV-ATTR:hostname"], "www");
    let url = format!("volumev3 /volumes/{}", copy.volumes[1]);
    let data = fixture.on_target("demo", "GET", &url, &Value::Null);
    assert_eq!(data["volume"]["description"], "the ledger");
    assert_eq!(data["volume"]["bootable"], "true");
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_built_without_user_data_where_the_recovery_plan_says_so() {
    for (choice, wanted) in [
        (UserDataOnCopy::Keep, json!("IyEvYmluL3No")),
        (UserDataOnCopy::Omit, Value::Null),
    ] {
        let with_user_data = |plan: &mut Plan| {
            let member = &mut plan.members[0];
            member.server.user_data = Some(Confidential::new("IyEvYmluL3No"));
            let recovery = plan.recovery.members.entry(member.id.clone());
            recovery.or_default().user_data = choice;
        };
        let (fixture, record) = Fixture::moved_as(with_user_data, |_| {}, |_, _| {}).await;
        assert_eq!(record.operation.error, None);
        let url = format!("compute /servers/{}", lock(&fixture.target).servers()[0].id);
        let seen = fixture.on_target("admin", "GET", &url, &Value::Null);
        assert_eq!(seen["server"]["OS-EXT-SRV-ATTR:user_data"], wanted);
        let (_, members) = fixture.group_and_members();
        assert!(members[0].server.user_data.is_some(), "for the way back");
    }
}

#[tokio::test(start_paused = true)]
async fn disks_keep_their_tags() {
    let tagged = |plan: &mut Plan| plan.members[0].volumes[1].tag = Some("ledger".to_owned());
    let (fixture, record) = Fixture::moved_as(tagged, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let copy = lock(&fixture.target).servers()[0].id.clone();
    let url = format!("compute /servers/{copy}/os-volume_attachments");
    let seen = fixture.on_target("demo", "GET", &url, &Value::Null);
    let tags = seen["volumeAttachments"].as_array().unwrap().iter();
    let tags: Vec<&Value> = tags.map(|place| &place["tag"]).collect();
    assert_eq!(tags, [&Value::Null, &json!("ledger")]);
}

#[tokio::test(start_paused = true)]
async fn a_volume_of_another_type_gets_what_that_is_mapped_to() {
    let fixture = Fixture::switched().await;
    let types = fixture.on_target("protector", "GET", "volumev3 /types", &Value::Null);
    let types = types["volume_types"].as_array().unwrap().iter();
    let ids: Vec<String> = types
        .map(|kind| kind["id"].as_str().unwrap().to_owned())
        .collect();
    let own = fixture.failover().operation.plan.target_volume_type;
    let Some(other) = ids.iter().find(|id| Some(*id) != own.as_ref()) else {
        panic!("one type only: {ids:?}");
    };
    let mapped = |plan: &mut Plan| {
        plan.members[0].volumes[1].volume_type = Some("fast-here".to_owned());
        let mapping = &mut plan.mappings.volume_types;
        mapping.insert("fast-here".to_owned(), other.clone());
    };
    let (fixture, record) = Fixture::moved_as(mapped, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let copy = lock(&fixture.target).servers()[0].clone();
    let url = format!("volumev3 /volumes/{}", copy.volumes[1]);
    let data = fixture.on_target("demo", "GET", &url, &Value::Null);
    assert_eq!(data["volume"]["volume_type_id"], json!(other));
    let (_, members) = fixture.group_and_members();
    assert_eq!(members[0].volumes[1].volume_type.as_ref(), Some(other));
}

/// Its copy has the marks too, and Nova's quota is 128.
#[tokio::test(start_paused = true)]
async fn a_server_with_127_items_of_metadata_is_refused_before_it_is_stopped() {
    let full = |plan: &mut Plan| {
        let item = |number: usize| (format!("key-{number}"), "x".to_owned());
        plan.members[0].server.metadata = (0..127).map(item).collect();
    };
    let (fixture, record) = Fixture::moved_as(full, |_| {}, |_, _| {}).await;
    let words = [
        "the copy of server vm-001 has 130 items of metadata",
        "quota set --properties 130",
    ];
    assert_taken_back(&fixture, &record, &words);
    assert!(!has_begun(&record, "stop_source_vms"));
}

fn not_as_it_was(record: &protector_core::operation::OperationRecord) -> Vec<&str> {
    let confirmed = record.steps.iter();
    let mut confirmed = confirmed.filter(|step| step.key == "confirm_vms:vm-001");
    let facts = &confirmed.next().unwrap().progress.memo.facts;
    let told = facts.iter().map(String::as_str);
    told.filter(|fact| fact.contains("not as its original"))
        .collect()
}

fn outliving(record: &protector_core::operation::OperationRecord) -> Vec<&str> {
    let mut steps = record.steps.iter();
    let confirmed = steps.find(|step| step.key == "confirm_vms:vm-001");
    let facts = confirmed.unwrap().progress.memo.facts.iter();
    let told = facts.map(String::as_str);
    told.filter(|fact| fact.contains("outlives")).collect()
}

/// Nova has deleted the member's second volume with its server on the target, where it comes back to.
fn went_with_it(plan: &mut Plan) {
    let target = plan.target.site.clone();
    plan.members[0].volumes[1].delete_on_termination_at = Some(target);
}

/// Whether each volume of the only server on the target goes with it.
fn goes_with_the_copy(fixture: &Fixture) -> Vec<bool> {
    let copy = lock(&fixture.target).servers()[0].id.clone();
    let url = format!("compute /servers/{copy}/os-volume_attachments");
    let places = fixture.on_target("demo", "GET", &url, &Value::Null);
    let places = places["volumeAttachments"].as_array().unwrap().iter();
    places
        .map(|place| place["delete_on_termination"].as_bool().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_went_with_its_server_does_so_again_after_the_way_back() {
    let (fixture, record) = Fixture::moved_as(|_| {}, |_| {}, |_, _| {}).await;
    assert_eq!(goes_with_the_copy(&fixture), [false, false]);
    assert!(!has_begun(&record, "restore_delete_on_termination"));
    let (fixture, record) = Fixture::moved_as(went_with_it, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(goes_with_the_copy(&fixture), [false, true]);
    let at = |phase: &str| {
        let mut steps = record.steps.iter();
        let step = steps.find(|step| step.phase_name == phase).unwrap();
        (step.progress.started_at, step.progress.finished_at)
    };
    assert!(at("restore_delete_on_termination").0 >= at("switch_primary").1);
    let (_, members) = fixture.group_and_members();
    let volume = &members[0].volumes[1];
    assert!(volume.delete_on_termination && volume.delete_on_termination_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_site_where_a_volume_went_with_its_server_is_remembered() {
    let tied = |plan: &mut Plan| plan.members[0].volumes[1].delete_on_termination = true;
    let (fixture, record) = Fixture::moved_as(tied, |_| {}, |_, _| {}).await;
    assert_eq!(goes_with_the_copy(&fixture), [false, false]);
    let (_, members) = fixture.group_and_members();
    let volume = &members[0].volumes[1];
    assert!(!volume.delete_on_termination);
    let source = &record.operation.plan.source.site;
    assert_eq!(volume.delete_on_termination_at.as_ref(), Some(source));
}

#[tokio::test(start_paused = true)]
async fn a_nova_that_cannot_tie_a_volume_to_its_server_does_not_hold_the_way_back_up() {
    let refuse = |fixture: &Fixture| {
        let put = Match {
            method: Some("PUT".to_owned()),
            path: Some("/v2.1/servers/*/os-volume_attachments/*".to_owned()),
            ..Match::default()
        };
        let effect = FaultEffect::Call(CallEffect::Status {
            status: 403,
            body: Some(json!({"forbidden": {"code": 403, "message": "Policy doesn't allow it"}})),
            headers: std::collections::BTreeMap::new(),
        });
        lock(&fixture.target).add_fault(FaultRule {
            id: "put".to_owned(),
            matches: put,
            times: None,
            effect,
            seen: 0,
        });
    };
    let (fixture, record) = Fixture::moved_as(went_with_it, refuse, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(goes_with_the_copy(&fixture), [false, false]);
    let failed = protector_core::operation::steps_failed(&record.steps);
    let [told] = failed.as_slice() else {
        panic!("{failed:?}");
    };
    assert_eq!(told.step, "restore_delete_on_termination:vm-001");
    assert!(
        told.error.contains("Policy doesn't allow it"),
        "{}",
        told.error
    );
}

/// The member has an address that the mapped network does not have.
fn elsewhere(plan: &mut Plan) {
    let server = &mut plan.members[0].server;
    server.nics[0].fixed_ips = vec!["203.0.113.9".parse().unwrap()];
}

fn strict(plan: &mut Plan) {
    plan.fidelity = Fidelity::Strict;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_as_it_was_is_told_when_the_copy_is_confirmed() {
    let (_, record) = Fixture::moved_as(|_| {}, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(not_as_it_was(&record), [""; 0]);
    let tied = |plan: &mut Plan| plan.members[0].volumes[1].delete_on_termination = true;
    let (_, record) = Fixture::moved_as(tied, |_| {}, |_, _| {}).await;
    assert_eq!(
        outliving(&record),
        [
            "volume vm-001-data-1 outlives the copy: delete_on_termination is off, the original's was on"
        ]
    );
    let (_, record) = Fixture::moved_as(elsewhere, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let told = not_as_it_was(&record);
    assert_eq!(told.len(), 1, "{told:?}");
    let [start, end] = [
        "the copy is not as its original in its addresses: ",
        ", wanted: 203.0.113.9",
    ];
    assert!(
        told[0].starts_with(start) && told[0].ends_with(end),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_strict_move_is_taken_back_when_its_copy_lacks_what_nobody_announced() {
    let plan = |plan: &mut Plan| {
        strict(plan);
        elsewhere(plan);
    };
    let (fixture, record) = Fixture::moved_as(plan, |_| {}, |_, _| {}).await;
    let words = [
        "confirm_vms:vm-001",
        "the copy of vm-001 on site-b is not as its original (addresses: ",
        "wanted: 203.0.113.9), and the group's fidelity is strict",
        "openstack dr member show prod-web-app vm-001 --compare",
        "openstack dr protection-group set prod-web-app --fidelity told",
    ];
    assert_taken_back(&fixture, &record, &words);
    assert_eq!(not_as_it_was(&record).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_strict_move_takes_what_the_recovery_plan_names_for_announced() {
    let (fixture, record) = Fixture::moved_as(|_| {}, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let copy = lock(&fixture.target).servers()[0].clone();
    let url = format!("compute /servers/{}", copy.id);
    let seen = fixture.on_target("demo", "GET", &url, &Value::Null);
    let networks = seen["server"]["addresses"].as_object().unwrap();
    let address = networks.values().next().unwrap()[0]["addr"].as_str();
    let there = address.unwrap().parse().unwrap();
    let named = |plan: &mut Plan| {
        strict(plan);
        elsewhere(plan);
        let member = plan.members[0].id.clone();
        let recovery = plan.recovery.members.entry(member).or_default();
        let here = "203.0.113.9".parse().unwrap();
        recovery.fixed_ips.insert(here, there);
    };
    let (_, record) = Fixture::moved_as(named, |_| {}, |_, _| {}).await;
    let why = record.operation.error.clone();
    assert_eq!(record.operation.state, OperationState::Completed, "{why:?}");
    assert_eq!(not_as_it_was(&record), [""; 0]);
}

/// There is no original to go back to.
#[tokio::test(start_paused = true)]
async fn an_unplanned_move_of_a_strict_group_tells() {
    let plan = |plan: &mut Plan| {
        strict(plan);
        elsewhere(plan);
    };
    let (_, record) = Fixture::recovered_as(plan).await;
    let why = record.operation.error.clone();
    assert_eq!(record.operation.state, OperationState::Completed, "{why:?}");
    assert_eq!(not_as_it_was(&record).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_security_groups_of_one_name_are_refused_before_anything_is_stopped() {
    let twice = |fixture: &Fixture| {
        let body = json!({"security_group": {"name": "web"}});
        for _ in 0..2 {
            fixture.on_target("demo", "POST", "network /security-groups", &body);
        }
    };
    let of_web = |plan: &mut Plan| {
        plan.members[0].server.security_groups = vec!["web".to_owned()];
    };
    let (_, record) = Fixture::moved_as(of_web, twice, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Failed);
    let why = record.operation.error.unwrap_or_default();
    assert!(
        why.contains("2 security groups on site-b are called web"),
        "{why}"
    );
    let stopped = record
        .steps
        .iter()
        .any(|step| step.phase_name == "stop_source_vms" && step.progress.started_at.is_some());
    assert!(!stopped);
}
