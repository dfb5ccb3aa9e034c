//! The site of the originals is lost, its group goes on with the copies of a failed move, and the site returns: whether it hears
//! of that first, or sees with its own eyes that a copy runs, both sites end alike.

use http::Method;
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::{EngineId, OperationId, ServerId},
    journal::{Effect, Entry, Journal, OperationChange},
    member::Member,
    operation::{MapKind, OperationRecord, OperationState, StepProgress, StepState},
    queue::Room,
    runbook::{BOOK_VERSION, Step},
};
use protector_peer::group_push::Pushed;
use serde_json::{Value, json};

use crate::{
    engine::{done, failed_line, not_taken_back},
    fakes::FixedClock,
    house::Answer,
    lost_home::says,
    sync::{A, B, Tenant},
    two_sites::SITES,
};

/// What an engine of `place` writes of the operation under way: how its lines end, and with what.
async fn end(
    tenant: &Tenant,
    place: usize,
    state: OperationState,
    line: impl Fn(&Step) -> StepProgress,
    effects: impl FnOnce(&OperationRecord, Vec<Member>) -> Vec<Effect>,
) {
    let database = &tenant.sites.protectors[place].database;
    let (now, lease) = (FixedClock.now(), std::time::Duration::from_secs(60));
    let claims = database
        .claim(
            &EngineId::new("e"),
            now,
            lease,
            BOOK_VERSION,
            &Room::for_any(1),
        )
        .await
        .unwrap();
    let record = database.load(&claims[0]).await.unwrap();
    let members = database.member_list(&tenant.id).await.unwrap();
    let steps = record.steps.iter();
    let started = Entry {
        operation: Some(OperationChange::Started { at: now }),
        steps: steps
            .map(|step| (step.position, line(&step.action)))
            .collect(),
        effects: effects(&record, members),
        ..Entry::default()
    };
    let ended = Entry {
        operation: Some(OperationChange::Settled { state, at: now }),
        ..Entry::default()
    };
    for entry in [started, ended] {
        database.record(&claims[0], now, entry).await.unwrap();
    }
}

/// A group that was put at rest on site-a beside the stopped copy that a failover has left; site-b knows of both.
struct Scene {
    tenant: Tenant,
    failed: OperationId,
    original: ServerId,
    copy: ServerId,
}

impl Scene {
    async fn new() -> Self {
        let tenant = Tenant::new().await;
        let started = tenant.fail_over(A).await.expect(202);
        let failed = OperationId::new(started.body["operation"]["id"].as_str().unwrap());
        let copy = tenant.sites.mark_a_server(B, &failed).await;
        let left = |step: &Step| match step {
            Step::RecreateServer { .. } => not_taken_back(Some(copy.as_str())),
            _ => StepProgress {
                state: StepState::Undone,
                ..done()
            },
        };
        let mut original = None;
        end(&tenant, A, OperationState::Failed, left, |_, members| {
            original = Some(members[0].server_id.clone());
            vec![Effect::GroupStatus {
                group_id: tenant.id.clone(),
                status: GroupStatus::Active,
            }]
        })
        .await;
        let scene = Self {
            tenant,
            failed,
            original: original.unwrap(),
            copy,
        };
        scene.news_of(A).await;
        scene
    }

    async fn news_of(&self, place: usize) {
        self.tenant.copy_operations(place).await;
        let pushed = self.tenant.push(place).await;
        assert!(matches!(pushed, Pushed::Agreed(_)), "{pushed:?}");
    }

    /// Site-a is lost, somebody starts the copy and makes it the group, and site-a returns.
    async fn adopted_while_site_a_is_away(&self) {
        let Self { tenant, failed, .. } = self;
        tenant.let_go(B).await;
        tenant.sites.lose(A);
        let path = format!("{}/{failed}/adopt", tenant.operations(B));
        let body = json!({"adopt": {"source_is_lost": true}});
        let started = tenant.ask(B, Method::POST, &path, body).await.expect(202);
        assert_eq!(started.body["operation"]["home_site"], "site-b");
        let line = |step: &Step| match step {
            Step::LeaveSourceServer { .. } | Step::LeaveSourceVolume { .. } => failed_line(),
            _ => done(),
        };
        end(tenant, B, OperationState::Completed, line, |_, members| {
            let goes_on = |member| Member {
                server_id: self.copy.clone(),
                ..member
            };
            vec![
                Effect::Mapped {
                    kind: MapKind::Server,
                    source: self.original.to_string(),
                    target: self.copy.to_string(),
                },
                Effect::GroupSwitched {
                    group_id: tenant.id.clone(),
                    current_primary_site: "site-b".into(),
                    members: members.into_iter().map(goes_on).collect(),
                },
            ]
        })
        .await;
        tenant.sites.bring_back(A);
    }

    async fn stands(&self, place: usize, status: &str, site: &str) {
        let group = self.tenant.group(place).await;
        assert_eq!(group["status"], status, "on {}: {group}", SITES[place]);
        assert_eq!(group["current_primary_site"], site, "{group}");
    }

    /// What the watch of a site looks after, with its sites.
    async fn watched(&self, place: usize) -> Vec<(String, ServerId)> {
        let database = &self.tenant.sites.protectors[place].database;
        let left = database.leftover_servers_of(&self.tenant.id).await.unwrap();
        let all = left.into_iter().flat_map(|left| {
            let site = left.site.to_string();
            left.servers
                .into_iter()
                .map(move |server| (site.clone(), server))
        });
        all.collect()
    }

    /// What it writes when it sees one of them running.
    async fn split(&self, place: usize) {
        let database = &self.tenant.sites.protectors[place].database;
        let split = database.group_split(&self.tenant.id, FixedClock.now());
        split.await.unwrap();
    }

    async fn fence(&self, place: usize) -> Answer {
        let path = format!("{}/action", self.tenant.groups[place]);
        let fence = json!({"fence": null});
        self.tenant.ask(place, Method::POST, &path, fence).await
    }

    /// Both say that the group runs on site-b. Site-b's watch looks after the original, and its fence stops that one.
    async fn ends_well(&self) {
        for place in [A, B] {
            self.stands(place, "failed_over", "site-b").await;
            let status = self.tenant.status(place).await;
            assert_eq!(status["status"], "IN SYNC", "{status}");
        }
        assert_eq!(self.watched(A).await, [], "the copy is the group");
        let original = ("site-a".to_owned(), self.original.clone());
        assert_eq!(self.watched(B).await, [original]);
        self.split(B).await;
        self.news_of(B).await;
        self.stands(A, "split_brain", "site-b").await;
        let there = self.fence(A).await.expect(409);
        says(&there, &["openstack --os-cloud site-b dr fence web"]);
        let fence = self.fence(B).await.expect(202);
        let id = fence.body["operation"]["id"].as_str().unwrap();
        let path = format!("{}/{id}?detail=true", self.tenant.operations(B));
        let shown = self.tenant.ask(B, Method::GET, &path, Value::Null).await;
        let steps = shown.expect(200).body["operation"]["steps"].clone();
        let stopped: Vec<&str> = steps
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|step| step["resource_id"].as_str())
            .collect();
        assert_eq!(stopped, [self.original.as_str()], "{steps:#}");
    }
}

/// Before it has heard of anything it takes the running copy for what its failed move has left, and may not stop it.
#[tokio::test]
async fn a_site_that_returns_after_an_adoption_without_it_hears_of_it_before_it_fences() {
    let scene = Scene::new().await;
    scene.adopted_while_site_a_is_away().await;
    scene.stands(A, "active", "site-a").await;
    let copy = ("site-b".to_owned(), scene.copy.clone());
    assert_eq!(scene.watched(A).await, [copy]);
    let refused = scene.fence(A).await.expect(409);
    says(&refused, &["site-b holds newer metadata", "sync-force web"]);
    scene.news_of(B).await;
    scene.ends_well().await;
}

/// Its watch sees the copy run before it has heard that this is the group now: both have changed it.
#[tokio::test]
async fn a_returned_site_that_says_split_brain_before_it_hears_is_told_by_a_sync_force() {
    let scene = Scene::new().await;
    scene.adopted_while_site_a_is_away().await;
    scene.split(A).await;
    let Pushed::Refused(why) = scene.tenant.push(B).await else {
        panic!("site-a takes it");
    };
    assert!(why.contains("web is in conflict"), "{why}");
    scene.stands(A, "split_brain", "site-a").await;
    scene.stands(B, "failed_over", "site-b").await;
    for place in [A, B] {
        let status = scene.tenant.status(place).await;
        assert_eq!(status["status"], "OUT OF SYNC", "{status}");
        let refused = scene.fence(place).await.expect(409);
        says(&refused, &["web is in conflict", "sync-force web"]);
    }
    scene.tenant.force(B).await.expect(202);
    scene.ends_well().await;
}
