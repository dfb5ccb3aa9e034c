//! What a tenant changes on a server after it was added.

use std::cell::RefCell;

use chrono::TimeDelta;
use http::Method;
use protector_clouds::member_refresh::MemberRefresh;
use protector_core::{
    clock::Clock as _,
    group::Group,
    journal::{Effect, Entry, Journal as _, OperationChange},
    mark,
    member::{AdminState, DhcpOption, Member, Nic, PortSpec},
    operation::OperationState,
    qos_policy::QosPolicy,
    storage::RecoveryPoint,
};
use serde_json::{Value, json};

use crate::{
    engine,
    fakes::{FixedClock, NET_A, PROJECT_A, WEB},
    house::{House, failover_body, group_path},
};

/// A tenant renames the server, gives it other groups, other metadata, a description and another key, and renames a volume.
fn change(house: &House) {
    let clouds = &house.outside.clouds;
    *clouds.server_change.lock().unwrap() = Some(|server| {
        server.name = "shop".to_owned();
        server.security_groups = vec!["web".to_owned()];
        server.metadata = [("tier".to_owned(), "front".to_owned())].into();
        server.description = Some("the shop".to_owned());
        server.key_name = Some("bob".to_owned());
    });
    *clouds.volume_change.lock().unwrap() = Some(|volume| {
        if volume.id.as_str() == "vol-data-ws1" {
            volume.name = "orders".to_owned();
        }
    });
    *clouds.source_change.lock().unwrap() = Some(|seen| {
        for volume in seen.volumes.iter_mut().flatten() {
            if volume.id.as_str() == "vol-data-ws1" {
                volume.name = "orders".to_owned();
            }
        }
    });
}

async fn member(house: &House) -> Value {
    let members = house.get(&group_path("web", "/members"), "member").await;
    members.expect(200).body["members"][0].clone()
}

fn must_be_changed(member: &Value) {
    assert_eq!(member["name"], "shop");
    assert_eq!(member["security_groups"], json!(["web"]));
    assert_eq!(member["metadata"], json!({"tier": "front"}));
    assert_eq!(member["key_name"], "bob");
    let volumes = member["volumes"].as_array().unwrap();
    let names: Vec<_> = volumes.iter().map(|volume| &volume["name"]).collect();
    assert_eq!(names, ["vol-boot-ws1", "orders"]);
}

fn port(description: &str) -> PortSpec {
    PortSpec {
        mac_address: "fa:16:3e:00:00:01".to_owned(),
        description: description.to_owned(),
        ..PortSpec::default()
    }
}

/// A tenant describes the port of the server's first card, and changes nothing else.
#[tokio::test]
async fn what_is_changed_on_a_port_alone_is_read_again() {
    let house = House::with_group().await;
    let is = |description: &'static str| {
        let clouds = &house.outside.clouds;
        *clouds.server_change.lock().unwrap() = Some(match description {
            "old" => |server| server.nics[0].port = Some(port("old")),
            _ => |server| server.nics[0].port = Some(port("new")),
        });
    };
    is("old");
    house.add(WEB).await.expect(201);
    is("new");
    *house.outside.clouds.source_change.lock().unwrap() = Some(|seen| {
        seen.port_settings = Ok(vec![(WEB.into(), port("new"))]);
    });
    let act = group_path("web", "/action");
    let started = house.send(Method::POST, &act, "member", failover_body());
    let started = started.await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap();
    let record = house
        .database
        .operation_show(&PROJECT_A.into(), &id.into())
        .await
        .unwrap();
    let planned = &record.operation.plan.members[0].server.nics[0];
    assert_eq!(planned.port.as_ref().unwrap().description, "new");
}

/// The server has both groups before and after: only its ports tell.
#[tokio::test]
async fn groups_that_two_ports_have_swapped_are_read_again() {
    fn card(mac: &str, group: &str) -> Nic {
        Nic {
            network_id: NET_A.into(),
            fixed_ips: vec![],
            tag: None,
            port: Some(PortSpec {
                mac_address: mac.to_owned(),
                security_groups: vec![group.to_owned()],
                ..PortSpec::default()
            }),
        }
    }
    fn cards(of_first: &str, of_second: &str) -> Vec<Nic> {
        vec![card("fa:1", of_first), card("fa:2", of_second)]
    }
    let house = House::with_group().await;
    let clouds = &house.outside.clouds;
    *clouds.server_change.lock().unwrap() = Some(|server| {
        server.security_groups = vec!["default".to_owned(), "web".to_owned()];
        server.nics = cards("default", "web");
    });
    house.add(WEB).await.expect(201);
    *clouds.source_change.lock().unwrap() = Some(|seen| {
        let nics = cards("default", "web").into_iter();
        seen.port_settings = Ok(nics.map(|nic| (WEB.into(), nic.port.unwrap())).collect());
    });
    assert_eq!(look(&house).await, 0);
    *clouds.server_change.lock().unwrap() = Some(|server| {
        server.security_groups = vec!["default".to_owned(), "web".to_owned()];
        server.nics = cards("web", "default");
    });
    *clouds.source_change.lock().unwrap() = Some(|seen| {
        let nics = cards("web", "default").into_iter();
        seen.port_settings = Ok(nics.map(|nic| (WEB.into(), nic.port.unwrap())).collect());
    });
    assert_eq!(look(&house).await, 1);
    assert_eq!(look(&house).await, 0);
}

/// Each attribute of a port by itself has the member read again.
#[tokio::test]
async fn a_change_of_one_attribute_of_a_port_is_seen() {
    let changes: [fn(&mut PortSpec); 4] = [
        |port| port.admin_state = AdminState::Down,
        |port| port.dns_domain = "example.org.".to_owned(),
        |port| {
            port.qos_policy = Some(QosPolicy {
                id: "q-2".to_owned(),
                name: String::new(),
            });
        },
        |port| {
            port.extra_dhcp_opts = vec![DhcpOption {
                opt_name: "mtu".to_owned(),
                opt_value: Some("1400".to_owned()),
                ip_version: Some(4),
            }];
        },
    ];
    for change in changes {
        let house = House::with_group().await;
        let clouds = &house.outside.clouds;
        *clouds.server_change.lock().unwrap() =
            Some(|server| server.nics[0].port = Some(port("the same")));
        house.add(WEB).await.expect(201);
        SEEN.with(|seen| {
            let mut now = port("the same");
            change(&mut now);
            *seen.borrow_mut() = now;
        });
        *clouds.server_change.lock().unwrap() =
            Some(|server| server.nics[0].port = Some(seen_port()));
        *clouds.source_change.lock().unwrap() =
            Some(|seen| seen.port_settings = Ok(vec![(WEB.into(), seen_port())]));
        assert_eq!(look(&house).await, 1);
        assert_eq!(stored_port(&house).await, seen_port());
        assert_eq!(look(&house).await, 0);
    }
}

thread_local! {
    static SEEN: RefCell<PortSpec> = RefCell::default();
}

fn seen_port() -> PortSpec {
    SEEN.with(|seen| seen.borrow().clone())
}

async fn stored_port(house: &House) -> PortSpec {
    let group = house.database.group_show(&PROJECT_A.into(), "web").await;
    let members = house.database.member_list(&group.unwrap().group.id).await;
    members.unwrap()[0].server.nics[0].port.clone().unwrap()
}

#[tokio::test]
async fn a_planned_failover_reads_what_was_changed_before_it_starts() {
    let house = House::with_member(WEB).await;
    change(&house);
    assert_eq!(member(&house).await["name"], "web-server-1");
    let act = group_path("web", "/action");
    let started = house.send(Method::POST, &act, "member", failover_body());
    let started = started.await.expect(202);
    must_be_changed(&member(&house).await);
    let id = started.body["operation"]["id"].as_str().unwrap();
    let record = house
        .database
        .operation_show(&PROJECT_A.into(), &id.into())
        .await
        .unwrap();
    let planned = &record.operation.plan.members[0];
    assert_eq!(
        (planned.name.as_str(), &*planned.volumes[1].name),
        ("shop", "orders")
    );
    assert_eq!(planned.server.security_groups, ["web"]);
    assert_eq!(planned.server.description.as_deref(), Some("the shop"));
    let pair = planned.server.key_pair.as_ref().unwrap();
    assert_eq!(pair.name, "bob");
    assert!(pair.public_key.is_some(), "{pair:?}");
}

#[tokio::test]
async fn the_check_says_what_an_unplanned_failover_would_build_as_it_was() {
    let house = House::with_member(WEB).await;
    change(&house);
    let path = group_path("web", "/check");
    let check = house.get(&path, "member").await.expect(200);
    let findings = check.body.to_string();
    assert!(
        findings.contains(
            "server web-server-1 has been changed (name, description, metadata, security groups, key pair) since its group read it"
        ),
        "{findings}"
    );
}

async fn look(house: &House) -> usize {
    let group: Group = house
        .database
        .group_show(&PROJECT_A.into(), "web")
        .await
        .unwrap()
        .group;
    let kind = group.replication_type;
    let clouds = &*house.outside.clouds;
    let source =
        protector_clouds::clouds::CloudReadings::source_seen(clouds, group.current(), kind).await;
    let refresh = MemberRefresh {
        database: &house.database,
        clouds,
        now: FixedClock.now(),
    };
    refresh.of_group(&group, &source).await.unwrap()
}

#[tokio::test]
async fn the_engine_reads_it_again_once() {
    let house = House::with_member(WEB).await;
    assert_eq!(look(&house).await, 0);
    change(&house);
    assert_eq!(look(&house).await, 1);
    must_be_changed(&member(&house).await);
    assert_eq!(look(&house).await, 0);
    house
        .outside
        .clouds
        .away
        .lock()
        .unwrap()
        .insert("site-a".to_owned());
    assert_eq!(look(&house).await, 0);
    must_be_changed(&member(&house).await);
}

/// The member as the plan of a test failover started now has it, and until when it is built as it was.
async fn planned_for_a_test(house: &House) -> (Member, Option<chrono::DateTime<chrono::Utc>>) {
    let act = group_path("web", "/action");
    let started = house.send(Method::POST, &act, "member", json!({"test_failover": {}}));
    let started = started.await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap();
    let record = house
        .database
        .operation_show(&PROJECT_A.into(), &id.into())
        .await
        .unwrap();
    let mut plan = record.operation.plan;
    let member = plan.members.remove(0);
    let until = plan.built_as_until.get(&member.id).copied();
    (member, until)
}

/// The group is replicated on demand, and its recovery point is of `taken_at`.
async fn have_a_recovery_point(house: &House, taken_at: chrono::DateTime<chrono::Utc>) {
    let act = group_path("web", "/action");
    let started = house.send(Method::POST, &act, "member", json!({"sync": null}));
    started.await.expect(202);
    let claim = engine::claim(house).await;
    let record = house.database.load(&claim).await.unwrap();
    let replicated = Entry {
        operation: Some(OperationChange::Started {
            at: FixedClock.now(),
        }),
        effects: vec![Effect::GroupReplicated {
            group_id: record.operation.plan.group_id.clone(),
            at: taken_at,
        }],
        ..Entry::default()
    };
    let ended = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: FixedClock.now(),
        }),
        ..Entry::default()
    };
    for entry in [replicated, ended] {
        let written = house.database.record(&claim, FixedClock.now(), entry);
        written.await.unwrap();
    }
    let point = RecoveryPoint {
        id: "point-1".into(),
        taken_at,
    };
    *house.outside.arrays.points.lock().unwrap() = vec![point];
}

#[tokio::test]
async fn what_is_built_from_an_older_recovery_point_has_the_settings_of_its_time() {
    let house = House::with_member(WEB).await;
    have_a_recovery_point(&house, FixedClock.now() - TimeDelta::seconds(60)).await;
    change(&house);
    assert_eq!(look(&house).await, 1);
    must_be_changed(&member(&house).await);
    let (planned, until) = planned_for_a_test(&house).await;
    assert_eq!(planned.name, "web-server-1");
    // The other site has to have it: today's.
    assert_eq!(planned.server.security_groups, ["web"]);
    assert_eq!(planned.volumes[1].name, "vol-data-ws1");
    assert_eq!(planned.server.metadata["tier"], "web");
    assert_eq!(until, Some(FixedClock.now()));
    assert!(planned.earlier.is_empty());
}

#[tokio::test]
async fn what_is_built_from_a_newer_recovery_point_is_as_it_is_now() {
    let house = House::with_member(WEB).await;
    have_a_recovery_point(&house, FixedClock.now() - TimeDelta::seconds(60)).await;
    change(&house);
    assert_eq!(look(&house).await, 1);
    let newer = FixedClock.now() + TimeDelta::seconds(60);
    house.outside.arrays.points.lock().unwrap()[0].taken_at = newer;
    let (planned, until) = planned_for_a_test(&house).await;
    assert_eq!((planned.name.as_str(), until), ("shop", None));
}

#[tokio::test]
async fn what_is_replicated_on_demand_is_read_before() {
    let house = House::with_member(WEB).await;
    change(&house);
    have_a_recovery_point(&house, FixedClock.now()).await;
    must_be_changed(&member(&house).await);
    let (planned, until) = planned_for_a_test(&house).await;
    assert_eq!((planned.name.as_str(), until), ("shop", None));
}

/// A member that was changed since the recovery point, while the array does not say what it has.
#[tokio::test]
async fn where_the_array_is_silent_a_test_is_planned_as_everything_is_now() {
    let house = House::with_member(WEB).await;
    have_a_recovery_point(&house, FixedClock.now() - TimeDelta::seconds(60)).await;
    change(&house);
    assert_eq!(look(&house).await, 1);
    house.outside.arrays.points.lock().unwrap().clear();
    let (planned, until) = planned_for_a_test(&house).await;
    assert_eq!((planned.name.as_str(), until), ("shop", None));
    // The step that chooses the point tells it.
    assert_eq!(planned.earlier.len(), 1);
}

#[tokio::test]
async fn what_a_copy_could_not_get_is_kept_for_the_way_back() {
    let house = House::with_member(WEB).await;
    let known = house
        .database
        .group_show(&PROJECT_A.into(), "web")
        .await
        .unwrap();
    let mut copy: Member = house
        .database
        .member_list(&known.group.id)
        .await
        .unwrap()
        .remove(0);
    copy.server
        .metadata
        .insert(mark::SOURCE.to_owned(), "an-original".to_owned());
    house
        .database
        .member_update(&copy, FixedClock.now())
        .await
        .unwrap();
    *house.outside.clouds.server_change.lock().unwrap() = Some(|server| {
        server.name = "shop".to_owned();
        server
            .metadata
            .insert(mark::SOURCE.to_owned(), "an-original".to_owned());
        server.key_name = None;
        server.nics.clear();
    });
    assert_eq!(look(&house).await, 1);
    let now = house
        .database
        .member_list(&known.group.id)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(now.name, "shop");
    assert_eq!(now.server.key_pair, copy.server.key_pair);
    assert_eq!(now.server.nics, copy.server.nics);
}

#[tokio::test]
async fn a_failover_that_is_refused_changes_no_member() {
    let house = House::with_member(WEB).await;
    change(&house);
    house
        .outside
        .clouds
        .source_change
        .lock()
        .unwrap()
        .replace(|seen| {
            for server in seen.servers.iter_mut().flatten() {
                server.traits.ephemeral_gib = 20;
            }
        });
    let act = group_path("web", "/action");
    let refused = house.send(Method::POST, &act, "member", failover_body());
    refused.await.expect(409);
    assert_eq!(member(&house).await["name"], "web-server-1");
}
