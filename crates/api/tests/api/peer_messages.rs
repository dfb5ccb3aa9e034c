//! Two protectors with a store each move a group, one after the other, and at every message between them something goes
//! wrong: it is lost, its answer is lost, it comes twice, or it comes when everything is over. Never do both move the group,
//! nothing that is late undoes what came after it, and both agree in the end, or a command makes them.

use protector_api::app::{handover::Handover, operation_push::send_copy};
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::EngineId,
    journal::{Effect, Entry, Journal, OperationChange},
    operation::OperationState,
    runbook::BOOK_VERSION,
};
use protector_store::Database;

use crate::{
    fakes::FixedClock,
    house::Answer,
    sync::{A, B, Tenant},
    two_sites::{Mishap, SITES},
};

/// All that can become of a message.
const MISHAPS: [Mishap; 4] = [Mishap::Lost, Mishap::ReplyLost, Mishap::Twice, Mishap::Late];
/// In a short run one of so many messages of each kind of mishap has it.
const FEW: usize = 7;

/// How a move ends.
#[derive(Clone, Copy, Debug)]
enum End {
    TakenBack,
    Moved,
}

struct Story {
    tenant: Tenant,
    violations: Vec<String>,
}

impl Story {
    fn database(&self, place: usize) -> &Database {
        &self.tenant.sites.protectors[place].database
    }

    fn note(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Both are asked to move the group, first the one of `place`; the one that begins ends so.
    async fn moved_from(&mut self, place: usize, end: End) {
        for asked in [place, 1 - place] {
            self.ask_for_a_move(asked).await;
        }
        if self.moving().await.is_empty() {
            self.try_again(place).await;
        }
        let moving = self.moving().await;
        if moving.len() > 1 {
            self.note("both sites move the group".to_owned());
        }
        self.news().await;
        for place in moving {
            self.finish(place, end).await;
        }
        self.news().await;
    }

    async fn ask_for_a_move(&mut self, place: usize) -> Answer {
        let answer = self.tenant.fail_over(place).await;
        if !matches!(answer.status.as_u16(), 202 | 409 | 503) {
            let (status, site) = (answer.status, SITES[place]);
            self.note(format!("{site} answers {status}: {}", answer.body));
        }
        answer
    }

    /// A minute later nobody holds it still for a start that came to nothing; the site is asked again, and before that what
    /// its refusal names is done.
    async fn try_again(&mut self, place: usize) {
        for held in [A, B] {
            self.tenant.let_go(held).await;
        }
        self.news().await;
        let answer = self.ask_for_a_move(place).await;
        if answer.status == 202 {
            return;
        }
        self.tenant.force(place).await;
        let again = self.ask_for_a_move(place).await;
        if again.status != 202 {
            self.note(format!("no command begins a move: {}", again.body));
        }
    }

    /// The sites whose own operation moves the group.
    async fn moving(&self) -> Vec<usize> {
        let mut moving = Vec::new();
        for place in [A, B] {
            let id = &self.tenant.id;
            if self
                .database(place)
                .operation_moving(id)
                .await
                .unwrap()
                .is_some()
            {
                moving.push(place);
            }
        }
        moving
    }

    /// What each engine does about groups and operations at its looks: more than one, since one may have failed.
    async fn news(&mut self) {
        for place in [A, B, A, B] {
            let protector = &self.tenant.sites.protectors[place];
            let (database, peer) = (&protector.database, &*protector.peer);
            let (site, now) = (SITES[place].into(), FixedClock.now());
            for due in database.operation_push_due(now, 50).await.unwrap() {
                let push = database.operation_push(&due).await.unwrap();
                // One that did not arrive stays due.
                let _ = send_copy(database, peer, &site, push).await;
            }
            let handover = Handover {
                database,
                peer,
                site: &site,
                now,
            };
            let due = database.push_due(now, 50).await.unwrap();
            if due.iter().any(|due| due.group.id == self.tenant.id) {
                let pause = chrono::TimeDelta::zero();
                handover.push(&self.tenant.id, pause).await.unwrap();
            }
        }
    }

    /// What the engine of `place` writes down in the end.
    async fn finish(&self, place: usize, end: End) {
        let database = self.database(place);
        let (now, lease) = (FixedClock.now(), std::time::Duration::from_secs(60));
        let claims = database
            .claim(&EngineId::new("e"), now, lease, BOOK_VERSION, 1)
            .await
            .unwrap();
        let group_id = self.tenant.id.clone();
        let (effect, state) = match end {
            End::TakenBack => (
                Effect::GroupStatus {
                    group_id,
                    status: GroupStatus::Active,
                },
                OperationState::Failed,
            ),
            End::Moved => (
                Effect::GroupSwitched {
                    members: database.member_list(&group_id).await.unwrap(),
                    group_id,
                    current_primary_site: SITES[B].into(),
                },
                OperationState::Completed,
            ),
        };
        let entry = Entry {
            operation: Some(OperationChange::Settled { state, at: now }),
            effects: vec![effect],
            ..Entry::default()
        };
        database.record(&claims[0], now, entry).await.unwrap();
    }

    /// Where each site says that the group runs, and what it says that it is.
    async fn said(&self) -> Vec<(String, GroupStatus)> {
        let mut said = Vec::new();
        for place in [A, B] {
            let id = &self.tenant.id;
            let group = self
                .database(place)
                .group_show_by_id(id)
                .await
                .unwrap()
                .group;
            said.push((group.current_primary_site.to_string(), group.status));
        }
        said
    }

    /// What was late has come: nothing is undone by it, and both agree.
    async fn ended(&mut self) {
        self.tenant.sites.deliver_what_is_late().await;
        self.news().await;
        if self.are_out_of_sync().await {
            for place in [A, B] {
                self.tenant.force(place).await;
            }
        }
        if self.are_out_of_sync().await {
            self.note("no command makes them agree".to_owned());
        }
        let there = (SITES[B].to_owned(), GroupStatus::FailedOver);
        let said = self.said().await;
        if said != [there.clone(), there] {
            self.note(format!("the group was moved, and they say {said:?}"));
        }
    }

    async fn are_out_of_sync(&self) -> bool {
        for place in [A, B] {
            if self.tenant.status(place).await["status"] != "IN SYNC" {
                return true;
            }
        }
        false
    }
}

/// Tells it with what becomes of one message: how many there were, and what must not be.
async fn told(mishap: Option<(usize, Mishap)>) -> (usize, Vec<String>) {
    let mut story = Story {
        tenant: Tenant::new().await,
        violations: Vec::new(),
    };
    story.tenant.sites.count_messages(mishap);
    story.moved_from(A, End::TakenBack).await;
    story.moved_from(B, End::Moved).await;
    let messages = story.tenant.sites.messages();
    story.ended().await;
    (messages, story.violations)
}

/// One of `every` messages has each mishap, from the first one on that is another one for each.
async fn walk(every: usize) {
    let (messages, violations) = told(None).await;
    assert_eq!(violations, Vec::<String>::new(), "in peace");
    let mut stories = 1;
    let mut broken = Vec::new();
    for (first, mishap) in (1..).zip(MISHAPS) {
        for at in (first..=messages).step_by(every) {
            let (_, violations) = told(Some((at, mishap))).await;
            stories += 1;
            if !violations.is_empty() {
                broken.push(format!("{mishap:?} at message {at}: {violations:?}"));
            }
        }
    }
    println!("{stories} stories over {messages} messages");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[tokio::test]
async fn whatever_becomes_of_a_message_one_site_at_most_moves_the_group() {
    walk(FEW).await;
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn soak_peer_messages() {
    walk(1).await;
}
