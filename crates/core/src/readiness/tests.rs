use std::collections::{BTreeMap, BTreeSet};

use chrono::{TimeDelta, TimeZone};

use super::*;
use crate::{
    comparison::AddressThere,
    fixtures,
    group::{ReplicationType, ResourceMappings},
    member::{Flavor, FloatingAddress, MemberStatus, PortSpec, ProtectedVolume, ServerSpec},
    member_settings::ServerSettings,
    not_carried::{PortTraits, ServerTraits, VolumeTraits},
    qos_policy::QosPolicy,
    security_group::{GroupOwner, SecurityGroupSeen},
    server_group::{ServerGroup, ServerGroupSeen},
    site::SiteScope,
    storage::{ArrayProgress, RecoveryPoint},
};

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap()
}

fn group() -> Group {
    Group {
        id: "pg-1".into(),
        name: "web".to_owned(),
        primary: SiteScope {
            site: "site-a".into(),
            project_id: "project-a".into(),
        },
        secondary: SiteScope {
            site: "site-b".into(),
            project_id: "project-b".into(),
        },
        mappings: ResourceMappings {
            networks: BTreeMap::from([("net-a".to_owned(), "net-b".to_owned())]),
            ..ResourceMappings::default()
        },
        version: 3,
        created_at: now(),
        updated_at: now(),
        ..fixtures::group()
    }
}

fn flavor() -> Flavor {
    Flavor {
        id: "flavor-1".into(),
        name: "m1.small".to_owned(),
        vcpus: 2,
        ram_mib: 2048,
        disks: None,
    }
}

fn a_member(number: usize) -> Member {
    Member {
        id: format!("member-{number}").as_str().into(),
        group_id: "pg-1".into(),
        name: format!("web-{number}"),
        server_id: format!("server-{number}").as_str().into(),
        server: ServerSpec {
            flavor: flavor(),
            nics: vec![fixtures::nic("net-a")],
            security_groups: vec!["default".to_owned()],
            ..fixtures::server_spec()
        },
        volumes: vec![ProtectedVolume {
            name: String::new(),
            size_gib: 10,
            device: "/dev/vda".to_owned(),
            boot: true,
            ..fixtures::volume(&format!("volume-{number}"))
        }],
        created_at: now(),
        updated_at: now(),
        ..fixtures::member("web")
    }
}

fn a_type(id: &str) -> TypeSeen {
    TypeSeen {
        id: id.to_owned(),
        name: format!("{id}-gold"),
        backend: Some("array".to_owned()),
        eligible: Ok(()),
    }
}

fn room(of: &[&str]) -> BTreeMap<String, Usage> {
    let room = |resource: &&str| {
        let usage = Usage {
            used: 0,
            limit: 100_000,
        };
        ((*resource).to_owned(), usage)
    };
    of.iter().map(room).collect()
}

fn source(members: &[Member]) -> SourceSeen {
    let server = |member: &Member| ServerSeen {
        id: member.server_id.clone(),
        status: "ACTIVE".to_owned(),
        locked: false,
        traits: ServerTraits::default(),
        flavor_name: "m1.small".to_owned(),
        vcpus: 2,
        ram_mib: 2048,
        volumes: member
            .volumes
            .iter()
            .map(|volume| volume.id.clone())
            .collect(),
        settings: ServerSettings::known(member),
        floating_ips: BTreeSet::new(),
    };
    let volume = |member: &Member| VolumeSeen {
        id: member.volumes[0].id.clone(),
        name: member.volumes[0].name.clone(),
        metadata: member.volumes[0].metadata.clone(),
        status: "in-use".to_owned(),
        size_gib: 10,
        volume_type: Some("type-a-gold".to_owned()),
        servers: vec![member.server_id.clone()],
        snapshots: 0,
        traits: VolumeTraits::default(),
    };
    let nic = |member: &Member| (member.server_id.clone(), "net-a".into());
    SourceSeen {
        servers: Ok(members.iter().map(server).collect()),
        volumes: Ok(members.iter().map(volume).collect()),
        nics: Ok(members.iter().map(nic).collect()),
        ports: Ok(vec![]),
        port_settings: Ok(vec![]),
        volume_types: Ok(vec![a_type("type-a")]),
        hosts: Ok(()),
    }
}

fn target() -> TargetSeen {
    TargetSeen {
        compute_quota: Ok(room(&["instances", "cores", "ram"])),
        volume_quota: Ok(room(&["volumes", "gigabytes", "gigabytes_type-b-gold"])),
        network_quota: Ok(room(&["port"])),
        networks: Ok(vec!["net-b".into()]),
        flavors: Ok(vec![flavor()]),
        security_groups: Ok(vec![SecurityGroupSeen::own("group-1", "default")]),
        volume_types: Ok(vec![a_type("type-b")]),
        pools: Ok(vec![PoolSeen {
            name: "host@array#pool".to_owned(),
            backend: Some("array".to_owned()),
        }]),
        qos_policies: Ok(vec![]),
        server_groups: Ok(vec![]),
        compute_hosts: Ok(2),
    }
}

/// Where every address of `members` is as `found` says.
fn there(members: &[Member], found: &AddressThere) -> ThereSeen {
    let nics = members.iter().flat_map(|member| &member.server.nics);
    let addresses = nics.flat_map(|nic| &nic.fixed_ips).map(|address| {
        let key = ("net-b".into(), *address);
        (key, Ok(found.clone()))
    });
    ThereSeen {
        qos_policies: Ok(vec![]),
        flavors: Ok(vec![flavor()]),
        security_groups: target().security_groups,
        zones: Ok(vec![]),
        compute_minor: Ok(96),
        key_pairs: Ok(vec![]),
        networks: BTreeMap::new(),
        addresses: addresses.collect(),
        volume_types: Ok(BTreeMap::new()),
    }
}

/// Two members that lack nothing, and what is changed of that.
fn judged(change: impl FnOnce(&mut Facts<'_>)) -> Vec<ReadinessFinding> {
    judged_for(&group(), change)
}

fn judged_for(group: &Group, change: impl FnOnce(&mut Facts<'_>)) -> Vec<ReadinessFinding> {
    judged_of(group, &[a_member(1), a_member(2)], change)
}

fn judged_of(
    group: &Group,
    members: &[Member],
    change: impl FnOnce(&mut Facts<'_>),
) -> Vec<ReadinessFinding> {
    let mut facts = Facts {
        now: now(),
        group,
        members,
        rpo_minutes: Some(15),
        moving: None,
        peer: PeerSeen {
            site: "site-b".into(),
            reached: Ok(()),
            sync: Ok(Sync::InSync),
        },
        source: source(members),
        target: target(),
        there: there(members, &AddressThere::Free),
        arrays: Some(ArraysSeen {
            set_up: Ok(vec![]),
            source_array: "array-a".to_owned(),
            target_array: "array-b".to_owned(),
            source: Ok(()),
            target: Ok(()),
            points: Ok(vec![RecoveryPoint {
                id: "rp-1".into(),
                taken_at: now() - TimeDelta::minutes(14),
            }]),
            first_copies: Ok(ArrayProgress::Done(())),
            holds: members
                .iter()
                .map(|member| (member.volumes[0].id.clone(), Ok(true)))
                .collect(),
        }),
        earlier: Vec::new(),
        no_way_back: None,
        refused: None,
    };
    change(&mut facts);
    judge(&facts)
}

fn problems(findings: &[ReadinessFinding]) -> Vec<(ReadinessSubject, Severity, Option<&str>)> {
    findings
        .iter()
        .filter(|finding| finding.severity != Severity::Ok)
        .map(|finding| {
            assert!(finding.fix.is_some(), "{finding:?} has no fix");
            (finding.check, finding.severity, finding.subject.as_deref())
        })
        .collect()
}

#[track_caller]
fn expect(
    change: impl FnOnce(&mut Facts<'_>),
    check: ReadinessSubject,
    severity: Severity,
    subject: Option<&str>,
) -> ReadinessFinding {
    let findings = judged(change);
    assert_eq!(problems(&findings), [(check, severity, subject)]);
    assert_eq!(is_ready(&findings), severity != Severity::Error);
    findings
        .into_iter()
        .find(|finding| finding.severity == severity)
        .unwrap()
}

#[test]
fn a_group_that_lacks_nothing_has_one_ok_for_each_word() {
    let findings = judged(|_| {});
    assert_eq!(problems(&findings), []);
    let words: Vec<ReadinessSubject> = findings.iter().map(|finding| finding.check).collect();
    let mut once = words.clone();
    once.dedup();
    assert_eq!(words, once);
    assert_eq!(words.len(), 17);
}

#[test]
fn every_answer_missing_is_told_and_nothing_is_called_fine_that_was_not_seen() {
    let why = Silence::Unreachable("connection refused".to_owned());
    let findings = judged(|facts| {
        facts.source = SourceSeen::silent(&why);
        facts.target = TargetSeen::silent(&why);
        facts.peer.reached = Err(why.clone());
        facts.peer.sync = Err(why.clone());
        let arrays = facts.arrays.as_mut().unwrap();
        arrays.source = Err(why.clone());
        arrays.target = Err(why.clone());
        arrays.points = Err(why.clone());
        arrays.holds.clear();
    });
    let fine: Vec<ReadinessSubject> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Ok)
        .map(|finding| finding.check)
        .collect();
    // What the local records alone tell; and that nothing was refused.
    assert_eq!(
        fine,
        [
            ReadinessSubject::Status,
            ReadinessSubject::Policy,
            ReadinessSubject::Rights,
            ReadinessSubject::Leftovers
        ]
    );
    let silent = findings
        .iter()
        .filter(|finding| finding.check == ReadinessSubject::SiteReachable);
    assert_eq!(silent.count(), 2, "one for each site, not for each call");
}

#[test]
fn a_floating_ip_that_nothing_is_named_for_is_a_warning() {
    let has_one = |facts: &mut Facts<'_>| {
        let mut members = facts.members.to_vec();
        members[0].server.nics[0].port = Some(PortSpec {
            floating_ips: vec![FloatingAddress {
                id: None,
                address: [203, 0, 113, 10].into(),
                fixed_ip: [10, 0, 0, 5].into(),
            }],
            ..PortSpec::default()
        });
        facts.members = Vec::leak(members);
    };
    let name = a_member(1).name;
    let warning = Severity::Warning;
    let finding = expect(has_one, ReadinessSubject::Mapping, warning, Some(&name));
    assert!(finding.message.contains("203.0.113.10"), "{finding:?}");
}

/// What is said where a port has the QoS policy `gold`, and the other site shows `there`.
fn of_qos_policies(group: &Group, there: &[(&str, &str)]) -> Vec<ReadinessFinding> {
    let policy = |(id, name): &(&str, &str)| QosPolicy {
        id: (*id).to_owned(),
        name: (*name).to_owned(),
    };
    let mut member = a_member(1);
    member.server.nics[0].port = Some(PortSpec {
        qos_policy: Some(policy(&("q-a", "gold"))),
        ..PortSpec::default()
    });
    let there: Vec<QosPolicy> = there.iter().map(policy).collect();
    let findings = judged_of(group, &[member], |facts| {
        facts.target.qos_policies = Ok(there)
    });
    let of_policy = |finding: &ReadinessFinding| finding.subject.as_deref() == Some("gold");
    findings.into_iter().filter(of_policy).collect()
}

#[test]
fn a_qos_policy_without_a_counterpart_is_told() {
    assert_eq!(of_qos_policies(&group(), &[("q-b", "gold")]), []);
    let told = of_qos_policies(&group(), &[("q-b", "silver")]);
    let warned = [(ReadinessSubject::Mapping, Severity::Warning, Some("gold"))];
    assert_eq!(problems(&told), warned);
    assert!(told[0].message.contains("has no counterpart"), "{told:?}");
    let mut mapped = group();
    let mapping = &mut mapped.mappings.qos_policies;
    mapping.insert("gold".to_owned(), "silver".to_owned());
    assert_eq!(of_qos_policies(&mapped, &[("q-b", "silver")]), []);
    let gone = of_qos_policies(&mapped, &[("q-b", "gold")]);
    assert_eq!(gone[0].severity, Severity::Error);
    let words = "is mapped to silver, which site-b does not show";
    assert!(gone[0].message.contains(words), "{gone:?}");
}

#[test]
fn what_the_target_lacks_is_an_error() {
    use ReadinessSubject::{Flavor, Mapping, SecurityGroup, VolumeType};
    let error = Severity::Error;
    expect(
        |facts| facts.target.networks = Ok(vec![]),
        Mapping,
        error,
        Some("net-a"),
    );
    expect(
        |facts| facts.target.flavors = Ok(vec![]),
        Flavor,
        error,
        Some("m1.small"),
    );
    expect(
        |facts| facts.target.security_groups = Ok(vec![]),
        SecurityGroup,
        error,
        Some("default"),
    );
    expect(
        |facts| {
            let another = SecurityGroupSeen::own("group-2", "default");
            facts.target.security_groups.as_mut().unwrap().push(another);
        },
        SecurityGroup,
        error,
        Some("default"),
    );
    expect(
        |facts| facts.target.volume_types = Ok(vec![]),
        VolumeType,
        error,
        Some("type-b"),
    );
    expect(
        |facts| facts.target.pools = Ok(vec![]),
        VolumeType,
        error,
        None,
    );
    expect(
        |facts| {
            let pools = facts.target.pools.as_mut().unwrap();
            pools.push(pools[0].clone());
        },
        VolumeType,
        error,
        None,
    );
}

fn with_addresses() -> Vec<Member> {
    let with = |number: u8| {
        let mut member = a_member(number.into());
        member.server.nics[0].fixed_ips = vec![[10, 0, 0, number].into()];
        member
    };
    vec![with(1), with(2)]
}

fn judged_where(group: &Group, found: &AddressThere) -> Vec<ReadinessFinding> {
    let members = with_addresses();
    judged_of(group, &members, |facts| {
        facts.there = there(&members, found)
    })
}

#[test]
fn an_address_that_cannot_be_kept_is_said_of_its_member() {
    for (found, why) in [
        (AddressThere::InUse, "is in use there"),
        (
            AddressThere::Outside,
            "is in no subnet of the mapped network",
        ),
    ] {
        let findings = judged_where(&group(), &found);
        let (warning, mapping) = (Severity::Warning, ReadinessSubject::Mapping);
        assert_eq!(
            problems(&findings),
            [
                (mapping, warning, Some("web-1")),
                (mapping, warning, Some("web-2"))
            ]
        );
        let all = format!("{findings:?}");
        assert!(all.contains("address 10.0.0.1 of web-1"), "{all}");
        assert!(all.contains(why), "{all}");
    }
    for found in [AddressThere::Free, AddressThere::Kept("port-1".to_owned())] {
        assert_eq!(problems(&judged_where(&group(), &found)), []);
    }
}

/// The tenant sees none of its other ports.
#[test]
fn a_mapped_network_of_another_project_will_probably_keep_no_address() {
    let findings = judged_where(&group(), &AddressThere::Foreign);
    let one = (ReadinessSubject::Mapping, Severity::Warning, Some("net-b"));
    assert_eq!(problems(&findings), [one]);
    let all = format!("{findings:?}");
    assert!(
        all.contains("addresses 10.0.0.1, 10.0.0.2 of web-1, web-2"),
        "{all}"
    );
    assert!(all.contains("create_port:fixed_ips:ip_address"), "{all}");
}

fn strict() -> Group {
    Group {
        fidelity: crate::group::Fidelity::Strict,
        ..group()
    }
}

#[test]
fn what_a_strict_group_does_not_take_is_an_error_with_the_way_out() {
    let findings = judged_where(&strict(), &AddressThere::InUse);
    let (error, carried) = (Severity::Error, ReadinessSubject::Carried);
    assert_eq!(
        problems(&findings),
        [
            (carried, error, Some("web-1")),
            (carried, error, Some("web-2"))
        ]
    );
    let all = format!("{findings:?}");
    let said = "card 1 addresses: 10.0.0.1 -> another one (10.0.0.1 is in use there)";
    assert!(all.contains(said), "{all}");
    assert!(all.contains("openstack dr protection-group set web --fidelity told"));
}

/// What policy usually leaves to the network's owner is not known before Neutron is asked, which is after the stop.
#[test]
fn what_the_owner_of_a_network_alone_may_choose_is_not_left_to_luck_by_a_strict_group() {
    let findings = judged_where(&strict(), &AddressThere::Foreign);
    let (error, carried) = (Severity::Error, ReadinessSubject::Carried);
    let of_both = ["web-1", "web-2"].map(|member| (carried, error, Some(member)));
    assert_eq!(problems(&findings), of_both);
    let all = format!("{findings:?}");
    assert!(
        all.contains("card 1 addresses: 10.0.0.1 -> unknown"),
        "{all}"
    );
    for words in [
        "create_port:fixed_ips:ip_address and create_port:mac_address to the project",
        "[openstack] tenants_choose_addresses_on_shared_networks",
    ] {
        assert!(all.contains(words), "{words}: {all}");
    }
    assert!(!all.contains("mend that on"), "{all}");
}

#[test]
fn a_key_pair_that_could_not_be_read_is_why_a_strict_group_does_not_move() {
    let mut member = a_member(1);
    member.server.key_pair = Some(crate::member::KeyPair {
        name: "alice".to_owned(),
        public_key: None,
        kind: "ssh".to_owned(),
    });
    let told = judged_of(&group(), std::slice::from_ref(&member), |_| {});
    let carried = (ReadinessSubject::Carried, Severity::Warning, Some("web-1"));
    assert_eq!(problems(&told), [carried]);
    let strictly = judged_of(&strict(), &[member], |_| {});
    let refused = (ReadinessSubject::Carried, Severity::Error, Some("web-1"));
    assert_eq!(problems(&strictly), [refused]);
    let all = format!("{strictly:?}");
    assert!(
        all.contains("key pair: alice -> lost (its public key could not be read"),
        "{all}"
    );
}

#[test]
fn a_security_group_is_mapped_by_name_or_by_id_and_may_be_shared() {
    let member = a_member(1);
    let mapped_to = |wanted: &str| {
        let mut group = group();
        let recovery = group.recovery_plan.members.entry(member.id.clone());
        let recovery = &mut recovery.or_default().security_groups;
        recovery.insert("default".to_owned(), wanted.to_owned());
        judged_of(&group, std::slice::from_ref(&member), |facts| {
            facts.target.security_groups = Ok(vec![
                SecurityGroupSeen::own("group-7", "closed"),
                SecurityGroupSeen {
                    owner: GroupOwner::Shared,
                    ..SecurityGroupSeen::own("group-8", "corporate")
                },
            ]);
        })
    };
    for wanted in ["closed", "group-7", "corporate", "group-8"] {
        assert_eq!(problems(&mapped_to(wanted)), [], "{wanted}");
    }
    let lacks = (
        ReadinessSubject::SecurityGroup,
        Severity::Error,
        Some("group-9"),
    );
    assert_eq!(problems(&mapped_to("group-9")), [lacks]);
}

/// Nova shows the union of them.
#[test]
fn a_security_group_of_a_port_alone_must_be_there_too() {
    let mut member = a_member(1);
    member.server.nics[0].port = Some(PortSpec {
        security_groups: vec!["closed".to_owned()],
        ..PortSpec::default()
    });
    let findings = judged_of(&group(), &[member], |_| {});
    let lacks = (
        ReadinessSubject::SecurityGroup,
        Severity::Error,
        Some("closed"),
    );
    assert_eq!(problems(&findings), [lacks]);
}

#[test]
fn a_flavor_of_the_same_name_must_have_the_same_size() {
    let other_id = |vcpus| Flavor {
        id: "other".into(),
        vcpus,
        ..flavor()
    };
    let same = judged(|facts| facts.target.flavors = Ok(vec![other_id(2)]));
    assert_eq!(problems(&same), []);
    let smaller = judged(|facts| facts.target.flavors = Ok(vec![other_id(1)]));
    assert_eq!(
        problems(&smaller),
        [(ReadinessSubject::Flavor, Severity::Error, Some("m1.small"))]
    );
}

#[test]
fn each_quota_is_held_against_what_the_group_needs() {
    // Two servers of 2 cores and 2048 MiB, two volumes of 10 GiB.
    for (resource, need) in [("instances", 2), ("cores", 4), ("ram", 4096)] {
        let with = |limit| {
            judged(|facts| {
                let quota = facts.target.compute_quota.as_mut().unwrap();
                quota.insert(resource.to_owned(), Usage { used: 5, limit });
            })
        };
        assert_eq!(problems(&with(need + 5)), []);
        assert_eq!(problems(&with(-1)), []);
        assert_eq!(
            problems(&with(need + 4)),
            [(ReadinessSubject::Quota, Severity::Error, Some(resource))]
        );
    }
    for (resource, need) in [
        ("volumes", 2),
        ("gigabytes", 20),
        ("gigabytes_type-b-gold", 20),
        ("per_volume_gigabytes", 10),
    ] {
        let with = |limit| {
            judged(|facts| {
                let quota = facts.target.volume_quota.as_mut().unwrap();
                quota.insert(resource.to_owned(), Usage { used: 0, limit });
            })
        };
        assert_eq!(problems(&with(need)), []);
        assert_eq!(
            problems(&with(need - 1)),
            [(ReadinessSubject::Quota, Severity::Error, Some(resource))]
        );
    }
}

#[test]
fn each_network_card_needs_a_port() {
    let with = |limit| {
        judged(|facts| {
            let quota = facts.target.network_quota.as_mut().unwrap();
            quota.insert("port".to_owned(), Usage { used: 3, limit });
        })
    };
    assert_eq!(problems(&with(5)), []);
    let short = with(4);
    assert_eq!(
        problems(&short),
        [(ReadinessSubject::Quota, Severity::Error, Some("port"))]
    );
    let fix = short.iter().find_map(|finding| finding.fix.clone());
    assert_eq!(
        fix.unwrap(),
        "openstack --os-cloud site-b quota set --ports 5 project-b"
    );
    let older = judged(|facts| facts.target.network_quota = Ok(BTreeMap::new()));
    assert_eq!(problems(&older), [], "Neutron does not tell");
}

#[test]
fn a_grown_volume_counts_with_its_size_of_today() {
    let findings = judged(|facts| {
        facts.source.volumes.as_mut().unwrap()[0].size_gib = 90;
        let quota = facts.target.volume_quota.as_mut().unwrap();
        quota.insert("gigabytes".to_owned(), Usage { used: 0, limit: 99 });
    });
    assert_eq!(
        problems(&findings),
        [
            (ReadinessSubject::Quota, Severity::Error, Some("gigabytes")),
            (
                ReadinessSubject::Member,
                Severity::Warning,
                Some("volume-1")
            ),
        ]
    );
}

type ServerChange = fn(&mut ServerSeen);

#[test]
fn a_member_that_changed_is_found() {
    let changes: [(ServerChange, Severity); 5] = [
        (|server| server.status = "ERROR".to_owned(), Severity::Error),
        (|server| server.locked = true, Severity::Error),
        (|server| server.volumes.clear(), Severity::Error),
        (|server| server.volumes.push("new".into()), Severity::Error),
        (|server| server.vcpus = 8, Severity::Warning),
    ];
    for (change, severity) in changes {
        expect(
            |facts| change(&mut facts.source.servers.as_mut().unwrap()[1]),
            ReadinessSubject::Member,
            severity,
            Some("web-2"),
        );
    }
    expect(
        |facts| {
            facts.source.servers.as_mut().unwrap().remove(0);
        },
        ReadinessSubject::Member,
        Severity::Error,
        Some("web-1"),
    );
    expect(
        |facts| facts.source.nics.as_mut().unwrap()[0].1 = "net-c".into(),
        ReadinessSubject::Member,
        Severity::Warning,
        Some("web-1"),
    );
    expect(
        |facts| {
            facts.source.servers.as_mut().unwrap()[0]
                .traits
                .boots_from_image = true
        },
        ReadinessSubject::Image,
        Severity::Error,
        Some("web-1"),
    );
}

#[test]
fn a_server_that_is_shut_off_is_no_problem() {
    let findings =
        judged(|facts| facts.source.servers.as_mut().unwrap()[0].status = "SHUTOFF".to_owned());
    assert_eq!(problems(&findings), []);
}

type VolumeChange = fn(&mut VolumeSeen);

#[test]
fn a_volume_that_changed_is_found() {
    let changes: [(VolumeChange, ReadinessSubject, Severity); 4] = [
        (
            |volume| volume.status = "error".to_owned(),
            ReadinessSubject::Member,
            Severity::Error,
        ),
        (
            |volume| volume.servers.push("stranger".into()),
            ReadinessSubject::Member,
            Severity::Error,
        ),
        (
            |volume| volume.snapshots = 2,
            ReadinessSubject::Member,
            Severity::Warning,
        ),
        (
            |volume| volume.volume_type = Some("plain".to_owned()),
            ReadinessSubject::VolumeType,
            Severity::Error,
        ),
    ];
    for (change, check, severity) in changes {
        expect(
            |facts| change(&mut facts.source.volumes.as_mut().unwrap()[0]),
            check,
            severity,
            Some("volume-1"),
        );
    }
    expect(
        |facts| {
            facts.source.volumes.as_mut().unwrap().remove(0);
        },
        ReadinessSubject::Member,
        Severity::Error,
        Some("volume-1"),
    );
}

#[test]
fn the_objective_is_met_to_the_minute_and_holds_for_asynchronous_groups_only() {
    fn aged(facts: &mut Facts<'_>, minutes: i64) {
        let points = facts.arrays.as_mut().unwrap().points.as_mut().unwrap();
        points[0].taken_at = now() - TimeDelta::minutes(minutes);
    }
    assert_eq!(problems(&judged(|facts| aged(facts, 15))), []);
    expect(
        |facts| aged(facts, 16),
        ReadinessSubject::RecoveryPoint,
        Severity::Warning,
        None,
    );
    let synchronous = Group {
        replication_type: ReplicationType::Sync,
        ..group()
    };
    let findings = judged_for(&synchronous, |facts| aged(facts, 5000));
    assert_eq!(problems(&findings), []);
}

#[test]
fn without_a_recovery_point_nothing_could_be_recovered() {
    expect(
        |facts| facts.arrays.as_mut().unwrap().points = Ok(vec![]),
        ReadinessSubject::RecoveryPoint,
        Severity::Error,
        None,
    );
}

#[test]
fn of_arrays_is_told_what_is_not_there_not_known_and_not_set_up() {
    expect(
        |facts| {
            facts.arrays.as_mut().unwrap().holds.pop();
        },
        ReadinessSubject::Backend,
        Severity::Warning,
        None,
    );
    expect(
        |facts| facts.arrays.as_mut().unwrap().holds[0].1 = Ok(false),
        ReadinessSubject::Backend,
        Severity::Error,
        Some("volume-1"),
    );
    expect(
        |facts| {
            let cure = "array-b: mirroring is not enabled on pool volumes".to_owned();
            facts.arrays.as_mut().unwrap().set_up = Ok(vec![cure]);
        },
        ReadinessSubject::Backend,
        Severity::Error,
        Some("array-b"),
    );
    expect(
        |facts| {
            let silence = Silence::Unreachable("no answer within 10 s".to_owned());
            facts.arrays.as_mut().unwrap().set_up = Err(silence);
        },
        ReadinessSubject::Backend,
        Severity::Error,
        Some("array-b"),
    );
}

#[test]
fn leftovers_warn_with_the_command_that_removes_them() {
    let earlier = |left, kind| Earlier {
        id: "op-1".into(),
        kind,
        source_site: "site-a".into(),
        left,
        elsewhere: None,
    };
    let finding = expect(
        |facts| facts.earlier = vec![earlier(3, OperationKind::Failover)],
        ReadinessSubject::Leftovers,
        Severity::Warning,
        Some("op-1"),
    );
    assert_eq!(finding.fix.unwrap(), "openstack dr operation cleanup op-1");
    let finding = expect(
        |facts| facts.earlier = vec![earlier(0, OperationKind::TestFailover)],
        ReadinessSubject::Leftovers,
        Severity::Warning,
        Some("op-1"),
    );
    assert!(finding.fix.unwrap().contains("test-cleanup"));
    let finding = expect(
        |facts| {
            facts.earlier = vec![Earlier {
                elsewhere: Some("site-b".into()),
                ..earlier(3, OperationKind::Failover)
            }];
        },
        ReadinessSubject::Leftovers,
        Severity::Warning,
        Some("op-1"),
    );
    let there = "openstack --os-cloud site-b dr operation cleanup op-1";
    assert_eq!(finding.fix.unwrap(), there);
}

#[test]
fn what_refuses_a_failback_is_an_error() {
    let finding = expect(
        |facts| facts.no_way_back = Some("2 old VMs are still there".to_owned()),
        ReadinessSubject::Leftovers,
        Severity::Error,
        None,
    );
    assert_eq!(finding.message, "2 old VMs are still there");
}

#[test]
fn a_conflict_is_named_and_a_difference_is_told() {
    let said = "Protection group web is in conflict";
    let finding = expect(
        |facts| facts.peer.sync = Ok(Sync::Conflict(said.to_owned())),
        ReadinessSubject::InSync,
        Severity::Error,
        None,
    );
    assert_eq!(finding.message, said);
    assert!(finding.fix.unwrap().contains("sync-force"));
    let finding = expect(
        |facts| {
            facts.peer.sync = Ok(Sync::OutOfSync {
                local: Some(3),
                remote: Some(2),
                differs: vec!["description".to_owned()],
            });
        },
        ReadinessSubject::InSync,
        Severity::Error,
        None,
    );
    assert!(finding.message.ends_with("different: description"));
}

#[test]
fn every_status_from_which_no_move_starts_is_an_error() {
    for status in GroupStatus::ALL {
        let group = Group { status, ..group() };
        let findings = judged_for(&group, |_| {});
        let finding = findings
            .iter()
            .find(|finding| finding.check == ReadinessSubject::Status);
        let finding = finding.unwrap();
        let expected = match status {
            GroupStatus::Active | GroupStatus::FailedOver => Severity::Ok,
            GroupStatus::ActivePartial | GroupStatus::FailedOverPartial => Severity::Warning,
            _ => Severity::Error,
        };
        assert_eq!(finding.severity, expected, "{status}");
    }
}

#[test]
fn a_peer_that_answers_but_does_not_tell_what_it_holds_refuses_the_start() {
    let why = Silence::Refused("HTTP 403: not allowed (req-1)".to_owned());
    let finding = expect(
        |facts| facts.peer.sync = Err(why),
        ReadinessSubject::InSync,
        Severity::Error,
        Some("site-b"),
    );
    assert!(finding.message.contains("req-1"), "{}", finding.message);
}

#[test]
fn what_no_other_finding_explains_is_told_in_the_words_of_the_start() {
    let said = "Protection group web cannot be moved";
    let finding = expect(
        |facts| facts.refused = Some(said.to_owned()),
        ReadinessSubject::Status,
        Severity::Error,
        None,
    );
    assert_eq!(finding.message, said);
    let findings = judged(|facts| {
        facts.refused = Some(said.to_owned());
        facts.rpo_minutes = None;
    });
    let told = findings.iter().any(|finding| finding.message == said);
    assert!(!told, "the missing policy explains it");
}

#[test]
fn a_member_that_was_not_recovered_is_not_looked_for_where_the_group_runs() {
    let group = Group {
        status: GroupStatus::FailedOverPartial,
        current_primary_site: "site-b".into(),
        mappings: ResourceMappings {
            networks: BTreeMap::from([("net-b".to_owned(), "net-a".to_owned())]),
            ..ResourceMappings::default()
        },
        secondary_volume_type_id: Some("type-a".to_owned()),
        volume_type_id: "type-b".to_owned(),
        ..group()
    };
    let lost = Member {
        status: MemberStatus::Error,
        ..a_member(2)
    };
    let members = [a_member(1), lost];
    let findings = judged_of(&group, &members, |facts| {
        facts.source = source(&members[..1]);
    });
    assert_eq!(
        problems(&findings),
        [
            (ReadinessSubject::Status, Severity::Warning, None),
            (ReadinessSubject::Member, Severity::Warning, Some("web-2"))
        ]
    );
    assert!(is_ready(&findings), "a failback starts from here");
    let dangerous = |finding: &ReadinessFinding| {
        let fix = finding.fix.as_deref();
        fix.is_some_and(|fix| fix.contains("member remove"))
    };
    assert!(!findings.iter().any(dangerous), "it may be the only copy");
}

#[test]
fn what_would_be_lost_with_the_original_is_an_error_with_its_cure() {
    let first = |facts: &mut Facts<'_>| facts.source.servers.as_mut().unwrap()[0].clone();
    let change = |facts: &mut Facts<'_>, server| facts.source.servers.as_mut().unwrap()[0] = server;
    let ephemeral = expect(
        |facts| {
            let mut server = first(facts);
            server.traits.ephemeral_gib = 20;
            change(facts, server);
        },
        ReadinessSubject::Carried,
        Severity::Error,
        Some("web-1"),
    );
    assert!(
        ephemeral.message.contains("ephemeral disk of 20 GiB"),
        "{ephemeral:?}"
    );
    let encrypted = expect(
        |facts| facts.source.volumes.as_mut().unwrap()[0].traits.encrypted = true,
        ReadinessSubject::Carried,
        Severity::Error,
        Some("web-1"),
    );
    assert!(
        encrypted.message.contains("the encrypted volume volume-1"),
        "{encrypted:?}"
    );
    expect(
        |facts| {
            let traits = PortTraits {
                id: "port-1".to_owned(),
                subports: Some(1),
                ..PortTraits::default()
            };
            facts.source.ports = Ok(vec![("server-1".into(), traits)]);
        },
        ReadinessSubject::Carried,
        Severity::Error,
        Some("web-1"),
    );
}

#[test]
fn what_a_copy_comes_up_without_is_a_warning() {
    expect(
        |facts| {
            let servers = facts.source.servers.as_mut().unwrap();
            servers[1].traits.swap_mib = 512;
        },
        ReadinessSubject::Carried,
        Severity::Warning,
        Some("web-2"),
    );
}

#[test]
fn a_flavor_of_the_same_id_must_have_the_same_size() {
    let finding = expect(
        |facts| {
            let other = Flavor {
                name: "tiny".to_owned(),
                vcpus: 1,
                ram_mib: 256,
                ..flavor()
            };
            facts.target.flavors = Ok(vec![other]);
        },
        ReadinessSubject::Flavor,
        Severity::Error,
        Some("m1.small"),
    );
    assert!(
        finding
            .message
            .contains("flavor tiny (flavor-1) there has 1 vCPU(s), 256 MiB"),
        "{finding:?}"
    );
    assert!(finding.fix.unwrap().contains("--flavor-mapping flavor-1="));
}

#[test]
fn a_server_with_more_metadata_than_its_copy_may_have_is_found() {
    let limit = |facts: &mut Facts<'_>| {
        let quota = facts.target.compute_quota.as_mut().unwrap();
        quota.insert(
            "metadata_items".to_owned(),
            Usage {
                used: 0,
                limit: 128,
            },
        );
    };
    let with = |items: usize| {
        let mut member = a_member(1);
        let item = |number: usize| (format!("key-{number}"), String::new());
        member.server.metadata = (0..items).map(item).collect();
        judged_of(&group(), &[member], limit)
    };
    assert_eq!(problems(&with(125)), []);
    let findings = with(127);
    assert_eq!(
        problems(&findings),
        [(ReadinessSubject::Quota, Severity::Error, Some("web-1"))]
    );
    let finding = findings
        .iter()
        .find(|finding| finding.severity == Severity::Error)
        .unwrap();
    assert!(finding.message.contains("its copy has 130"), "{finding:?}");
    assert_eq!(
        finding.fix.as_deref(),
        Some("openstack --os-cloud site-b quota set --properties 130 project-b")
    );
}

fn in_a_group(policy: &str) -> Vec<Member> {
    let mut members = vec![a_member(1), a_member(2)];
    for member in &mut members {
        member.server.server_group = Some(server_group("group-a", policy));
    }
    members
}

fn server_group(id: &str, policy: &str) -> ServerGroup {
    ServerGroup {
        id: id.to_owned(),
        name: "web".to_owned(),
        policy: policy.to_owned(),
        most_per_host: None,
    }
}

fn of_server_groups(
    group: &Group,
    policy: &str,
    change: impl FnOnce(&mut Facts<'_>),
) -> Option<ReadinessFinding> {
    let findings = judged_of(group, &in_a_group(policy), change);
    let mut findings = findings.into_iter();
    findings.find(|finding| finding.check == ReadinessSubject::ServerGroup)
}

#[test]
fn nothing_is_said_of_server_groups_where_there_are_none() {
    let findings = judged(|_| {});
    assert!(
        findings
            .iter()
            .all(|f| f.check != ReadinessSubject::ServerGroup)
    );
}

#[test]
fn anti_affinity_without_hosts_enough_is_told() {
    let severity = |found: Option<ReadinessFinding>| found.map(|finding| finding.severity);
    let fine = of_server_groups(&group(), "anti-affinity", |_| {});
    assert_eq!(severity(fine), Some(Severity::Ok));
    let few = |facts: &mut Facts<'_>| facts.target.compute_hosts = Ok(1);
    let soft = of_server_groups(&group(), "soft-anti-affinity", few);
    assert_eq!(severity(soft), Some(Severity::Ok));
    let told = of_server_groups(&group(), "anti-affinity", few).unwrap();
    assert_eq!(told.severity, Severity::Warning);
    assert_eq!(
        told.message,
        "server group web (anti-affinity) needs 2 compute host(s), and site-b has 1: the build can fail with \"No valid host\""
    );
    let unseen = |facts: &mut Facts<'_>| {
        facts.target.compute_hosts = Err(Silence::Refused("403".to_owned()));
    };
    let told = of_server_groups(&group(), "anti-affinity", unseen).unwrap();
    assert_eq!(told.severity, Severity::Warning);
    assert!(told.message.contains("not visible"), "{}", told.message);
    assert!(
        told.fix
            .unwrap()
            .contains("--server-group-mapping group-a=")
    );
}

#[test]
fn a_mapped_server_group_must_be_there_and_of_the_same_policy() {
    let mut mapped = group();
    let mapping = &mut mapped.mappings.server_groups;
    mapping.insert("group-a".to_owned(), "group-b".to_owned());
    let gone = of_server_groups(&mapped, "affinity", |_| {}).unwrap();
    assert_eq!(gone.severity, Severity::Error);
    assert!(
        gone.message.contains("mapped to group-b"),
        "{}",
        gone.message
    );
    let other = |facts: &mut Facts<'_>| {
        facts.target.server_groups = Ok(vec![ServerGroupSeen {
            group: server_group("group-b", "soft-affinity"),
            servers: vec![],
        }]);
    };
    let other = of_server_groups(&mapped, "affinity", other).unwrap();
    assert_eq!(other.severity, Severity::Warning);
    assert!(other.message.contains("its policy is another"));
}

#[test]
fn a_volume_of_another_type_gets_what_that_is_mapped_to() {
    let mut members = vec![a_member(1)];
    members[0].volumes[0].volume_type = Some("type-fast".to_owned());
    let found = |group: &Group, change: fn(&mut Facts<'_>)| {
        let findings = judged_of(group, &members, change);
        let mut findings = findings.into_iter();
        findings
            .find(|finding| finding.check == ReadinessSubject::VolumeType)
            .unwrap()
    };
    let unmapped = found(&group(), |_| {});
    assert_eq!(unmapped.severity, Severity::Warning);
    assert!(unmapped.message.contains("copies get the group's"));
    let mut mapped = group();
    let mapping = &mut mapped.mappings.volume_types;
    mapping.insert("type-fast".to_owned(), "type-quick".to_owned());
    let gone = found(&mapped, |_| {});
    assert_eq!(gone.severity, Severity::Error);
    assert!(gone.message.contains("type-quick, which does not exist"));
    let there = |facts: &mut Facts<'_>| {
        let types = facts.target.volume_types.as_mut().unwrap();
        types.push(a_type("type-quick"));
    };
    assert_eq!(found(&mapped, there).severity, Severity::Ok);
    let elsewhere = |facts: &mut Facts<'_>| {
        let types = facts.target.volume_types.as_mut().unwrap();
        types.push(TypeSeen {
            backend: Some("other".to_owned()),
            ..a_type("type-quick")
        });
    };
    assert!(
        found(&mapped, elsewhere)
            .message
            .contains("of another backend")
    );
}
