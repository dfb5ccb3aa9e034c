//! Two protectors with a store each move a group, one after the other. At every message between them something goes wrong (it
//! is lost, its answer is lost, it comes twice, late, or once more when others have overtaken it), somebody does something at
//! one of the sites before its sender hears of it, or both. Never do both move the group, what is late undoes nothing, what a
//! tenant was told is done stays done, nothing ends in a conflict, and both agree in the end.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use http::Method;
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::EngineId,
    journal::{Claim, Effect, Entry, Journal, OperationChange},
    operation::{OperationKind, OperationState},
    queue::Room,
    runbook::BOOK_VERSION,
};
use protector_peer::{group_push::GroupPush, operation_push::send_copy};
use protector_store::{Database, GroupChange, Reservation};
use serde_json::json;

use crate::{
    fakes::FixedClock,
    house::Answer,
    sync::{A, B, Tenant},
    two_sites::{Mishap, SITES, When},
};

/// All that can become of a message.
const MISHAPS: [Mishap; 7] = [
    Mishap::Lost,
    Mishap::ReplyLost,
    Mishap::Twice,
    Mishap::Late(When::After(2)),
    Mishap::Late(When::AtTheEnd),
    Mishap::Again(When::After(2)),
    Mishap::Again(When::AtTheEnd),
];

/// What somebody does at one of the sites.
#[derive(Clone, Copy, Debug)]
enum PeerAct {
    /// A tenant asks for a failover.
    Move,
    /// A tenant describes the group anew.
    Describe,
    /// A tenant asks for a replication.
    Replicate,
    /// A tenant says that this site's view counts.
    Force,
    /// A tenant changes the group without the other site, as if that had never heard of it.
    ChangeAlone,
    /// The same, and says at once that this view counts.
    Insist,
    /// Its engine tells the other site what it holds.
    Push,
    /// Its engine, and then the other one's, do all that is due.
    News,
    /// What the other site has reserved here ends by itself.
    LetGo,
}

const DEEDS: [PeerAct; 9] = [
    PeerAct::Move,
    PeerAct::Describe,
    PeerAct::Replicate,
    PeerAct::Force,
    PeerAct::ChangeAlone,
    PeerAct::Insist,
    PeerAct::Push,
    PeerAct::News,
    PeerAct::LetGo,
];

/// What happens at one message.
#[derive(Clone, Copy, Debug, Default)]
struct Happening {
    mishap: Option<Mishap>,
    deed: Option<(PeerAct, usize)>,
}

impl Happening {
    /// All of them: each mishap, each deed at each site, and of each mishap with a deed.
    fn all() -> Vec<Self> {
        let deeds = DEEDS.into_iter().flat_map(|deed| [(deed, A), (deed, B)]);
        let deeds: Vec<_> = std::iter::once(None).chain(deeds.map(Some)).collect();
        let mishaps = std::iter::once(None).chain(MISHAPS.map(Some));
        mishaps
            .flat_map(|mishap| {
                deeds.iter().map(move |deed| Self {
                    mishap,
                    deed: *deed,
                })
            })
            .skip(1)
            .collect()
    }
}

/// In a short run so many stories are told, spread over what can happen.
const FEW: usize = 8;
/// In a long one everything that happens alone happens at each message, and of two things at once about so many.
const MANY: usize = 250;

/// How a move ends.
#[derive(Clone, Copy, Debug)]
enum End {
    TakenBack,
    Moved,
}

struct Story {
    tenant: Tenant,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    violations: Vec<String>,
    /// What a tenant was told that the group's description is.
    described: Option<String>,
    /// Whether that was changed without the other site, so that a conflict may come of it.
    apart: bool,
    /// Whether there was a conflict, and whether a person has said then which side counts.
    conflict: bool,
    forced: bool,
    /// The operations that each site's engine carries out.
    claimed: Vec<(usize, Claim)>,
}

impl Story {
    fn database(&self, place: usize) -> &Database {
        &self.tenant.sites.protectors[place].database
    }

    fn note(&self, what: String) {
        self.memory.lock().unwrap().violations.push(what);
    }

    /// Both are asked to move the group, first the one of `place`; the one that begins ends so.
    async fn moved_from(&self, place: usize, end: End) {
        for asked in [place, 1 - place] {
            self.ask_for_a_move(asked).await;
        }
        self.news().await;
        if self.moving().await.is_empty() {
            self.try_again(place).await;
        }
        self.news().await;
        self.is_as_it_should_be().await;
        for (place, _) in self.moving().await {
            self.finish(place, end).await;
        }
        self.news().await;
    }

    async fn ask_for_a_move(&self, place: usize) -> Answer {
        let answer = self.tenant.fail_over(place).await;
        self.expect_an_answer(place, &answer);
        self.is_as_it_should_be().await;
        answer
    }

    /// One site at most moves the group, which is shown as that there, and nothing ends in a conflict: every command looks at
    /// both sites before it changes anything, and a start has the other one hold still.
    async fn is_as_it_should_be(&self) {
        let moving = self.moving().await;
        if moving.len() > 1 {
            self.note("both sites move the group".to_owned());
        }
        for (place, kind) in moving {
            let shown = self.database(place).group_show_by_id(&self.tenant.id).await;
            let status = shown.unwrap().group.status;
            if kind == OperationKind::Failover && !status.is_moving() {
                let site = SITES[place];
                self.note(format!("{site} moves the group, and calls it {status}"));
            }
        }
        for place in [A, B] {
            let held = self.database(place).metadata_outgoing(&self.tenant.id);
            let Some(conflict) = held.await.unwrap().conflict else {
                continue;
            };
            let mut memory = self.memory.lock().unwrap();
            memory.conflict = true;
            if !memory.apart {
                let what = format!("{} sees a conflict: {conflict:?}", SITES[place]);
                memory.violations.push(what);
            }
        }
    }

    /// A command is carried out, or refused with a reason that passes.
    fn expect_an_answer(&self, place: usize, answer: &Answer) {
        if !matches!(answer.status.as_u16(), 200 | 202 | 409 | 503) {
            let (status, site) = (answer.status, SITES[place]);
            self.note(format!("{site} answers {status}: {}", answer.body));
        }
    }

    /// A person says that the view of `place` counts.
    async fn force(&self, place: usize) -> Answer {
        self.is_as_it_should_be().await;
        {
            let mut memory = self.memory.lock().unwrap();
            memory.forced |= memory.conflict;
        }
        self.tenant.force(place).await
    }

    async fn change_alone(&self, place: usize) {
        let text = format!("changed on {} alone", SITES[place]);
        let change = GroupChange {
            description: Some(Some(text.clone())),
            ..GroupChange::default()
        };
        // Nobody holds it still for longer than that. One that is known to be on its way is not changed.
        let later = FixedClock.now() + Reservation::LASTS;
        let changed = self
            .database(place)
            .group_update(&self.tenant.id, &change, later);
        if changed.await.is_err() {
            return;
        }
        let mut memory = self.memory.lock().unwrap();
        memory.described = Some(text);
        memory.apart = true;
    }

    async fn does(&self, deed: PeerAct, place: usize) {
        let group = &self.tenant.groups[place];
        match deed {
            PeerAct::Move => {
                self.ask_for_a_move(place).await;
            }
            PeerAct::Describe => {
                let text = format!("described on {}", SITES[place]);
                let answer = self.tenant.describe(place, &text).await;
                self.expect_an_answer(place, &answer);
                if answer.status == 200 {
                    self.memory.lock().unwrap().described = Some(text);
                }
            }
            PeerAct::Replicate => {
                let path = format!("{group}/action");
                let asked = self
                    .tenant
                    .ask(place, Method::POST, &path, json!({"sync": {}}));
                let answer = asked.await;
                self.expect_an_answer(place, &answer);
            }
            PeerAct::Force => {
                let answer = self.force(place).await;
                self.expect_an_answer(place, &answer);
            }
            PeerAct::ChangeAlone => self.change_alone(place).await,
            PeerAct::Insist => {
                self.change_alone(place).await;
                let answer = self.force(place).await;
                self.expect_an_answer(place, &answer);
            }
            PeerAct::Push => self.push(place).await,
            PeerAct::News => {
                for place in [place, 1 - place] {
                    self.engine_looks(place).await;
                }
            }
            PeerAct::LetGo => self.tenant.let_go(place).await,
        }
        self.is_as_it_should_be().await;
    }

    /// A minute later nobody holds it still for a start that came to nothing; the site is asked again, and before that what
    /// its refusal names is done.
    async fn try_again(&self, place: usize) {
        for held in [A, B] {
            self.tenant.let_go(held).await;
        }
        self.news().await;
        let answer = self.ask_for_a_move(place).await;
        if answer.status == 202 {
            return;
        }
        self.force(place).await;
        let again = self.ask_for_a_move(place).await;
        if again.status != 202 {
            self.note(format!("no command begins a move: {}", again.body));
        }
    }

    /// The sites of which an operation has the group to itself, and what it does.
    async fn moving(&self) -> Vec<(usize, OperationKind)> {
        let mut moving = Vec::new();
        for place in [A, B] {
            let id = &self.tenant.id;
            let found = self.database(place).operation_moving(id).await.unwrap();
            moving.extend(found.map(|record| (place, record.operation.kind)));
        }
        moving
    }

    /// What each engine does about groups and operations at its looks: more than one, since one may have failed.
    async fn news(&self) {
        for place in [A, B, A, B] {
            self.engine_looks(place).await;
        }
    }

    async fn engine_looks(&self, place: usize) {
        self.replicate(place).await;
        let protector = &self.tenant.sites.protectors[place];
        let (database, peer) = (&protector.database, &*protector.peer);
        let (site, now) = (SITES[place].into(), FixedClock.now());
        for due in database.operation_push_due(now, 50).await.unwrap() {
            let push = database.operation_push(&due).await.unwrap();
            // One that did not arrive stays due.
            let _ = send_copy(database, peer, &site, push).await;
        }
        let due = database.push_due(now, 50).await.unwrap();
        if due.iter().any(|due| due.group.id == self.tenant.id) {
            self.push(place).await;
        }
        self.is_as_it_should_be().await;
    }

    async fn push(&self, place: usize) {
        let protector = &self.tenant.sites.protectors[place];
        let group_push = GroupPush {
            database: &protector.database,
            peer: &*protector.peer,
            site: &SITES[place].into(),
            now: FixedClock.now(),
        };
        let pause = chrono::TimeDelta::zero();
        group_push.push(&self.tenant.id, pause).await.unwrap();
    }

    /// The engine of `place` takes up what it is to carry out; those of these kinds, which it ends now.
    async fn taken_up(&self, place: usize, kinds: &[OperationKind]) -> Vec<Claim> {
        let database = self.database(place);
        let (now, lease) = (FixedClock.now(), std::time::Duration::from_secs(60));
        let engine = EngineId::new("e");
        let claims = database
            .claim(&engine, now, lease, BOOK_VERSION, &Room::for_any(9))
            .await;
        let claims = claims.unwrap().into_iter().map(|claim| (place, claim));
        self.memory.lock().unwrap().claimed.extend(claims);
        let known = self.memory.lock().unwrap().claimed.clone();
        let mut taken = Vec::new();
        for (_, claim) in known.into_iter().filter(|(at, _)| *at == place) {
            let record = database.load(&claim).await.unwrap();
            if kinds.contains(&record.operation.kind) {
                taken.push(claim);
            }
        }
        let mut memory = self.memory.lock().unwrap();
        memory.claimed.retain(|(_, claim)| {
            !taken
                .iter()
                .any(|taken| taken.operation_id == claim.operation_id)
        });
        taken
    }

    /// It ends what replicates.
    async fn replicate(&self, place: usize) {
        for claim in self.taken_up(place, &[OperationKind::Sync]).await {
            let replicated = Effect::GroupReplicated {
                group_id: self.tenant.id.clone(),
                at: FixedClock.now(),
            };
            self.settle(place, &claim, OperationState::Completed, replicated)
                .await;
        }
    }

    /// What the engine of `place` writes down in the end.
    async fn finish(&self, place: usize, end: End) {
        let database = self.database(place);
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
        for claim in self.taken_up(place, &[OperationKind::Failover]).await {
            self.settle(place, &claim, state, effect.clone()).await;
        }
    }

    async fn settle(&self, place: usize, claim: &Claim, state: OperationState, effect: Effect) {
        let now = FixedClock.now();
        let entry = Entry {
            operation: Some(OperationChange::Settled { state, at: now }),
            effects: vec![effect],
            ..Entry::default()
        };
        self.database(place)
            .record(claim, now, entry)
            .await
            .unwrap();
    }

    /// Where each site says that the group runs, and what it says that it is.
    async fn said(&self) -> Vec<(String, GroupStatus)> {
        let mut said = Vec::new();
        for place in [A, B] {
            let id = &self.tenant.id;
            let shown = self.database(place).group_show_by_id(id).await.unwrap();
            let group = shown.group;
            said.push((group.current_primary_site.to_string(), group.status));
        }
        said
    }

    /// What was late has come: nothing is undone by it, and both agree, about the group and about what was done to it.
    async fn ended(&self) {
        self.tenant.sites.deliver_what_is_late().await;
        self.news().await;
        if self.are_out_of_sync().await {
            // Where the group runs it is known best.
            for place in [B, A] {
                self.force(place).await;
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
        self.what_was_described_is_kept().await;
        for place in [A, B] {
            self.operations_are_told(place).await;
        }
    }

    async fn what_was_described_is_kept(&self) {
        let (described, decided) = {
            let memory = self.memory.lock().unwrap();
            (memory.described.clone(), memory.forced)
        };
        if decided {
            return;
        }
        for place in [A, B] {
            let is = self.tenant.description(place).await;
            if described.is_some() && is.as_str() != described.as_deref() {
                self.note(format!(
                    "{} describes it as {is}, after {described:?}",
                    SITES[place]
                ));
            }
        }
    }

    /// The other site knows the end of each operation of `place`.
    async fn operations_are_told(&self, place: usize) {
        let mut shown = Vec::new();
        for asked in [place, 1 - place] {
            let path = self.tenant.operations(asked);

            let answer = self
                .tenant
                .ask(asked, Method::GET, &path, json!(null))
                .await;
            let operations = answer.expect(200).body["operations"].clone();
            let of_place = operations.as_array().unwrap().iter();
            let state = |operation: &serde_json::Value| {
                (operation["id"].clone(), operation["status"].clone())
            };
            let mut of_place: Vec<_> = of_place
                .map(state)
                .map(|state| format!("{state:?}"))
                .collect();
            of_place.sort();
            shown.push(of_place);
        }
        if shown[0] != shown[1] {
            self.note(format!("the sites show {shown:?}"));
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

/// Tells it with what happens at one message: the messages that there were, and what must not be.
async fn told(at: usize, happening: Happening) -> (Vec<String>, Vec<String>) {
    let story = Arc::new(Story {
        tenant: Tenant::new().await,
        memory: Mutex::default(),
    });
    let sites = &story.tenant.sites;
    sites.count_messages();
    if let Some(mishap) = happening.mishap {
        sites.befall(at, mishap);
    }
    if let Some((deed, place)) = happening.deed {
        let story = Arc::downgrade(&story);
        let done = async move {
            if let Some(story) = story.upgrade() {
                story.does(deed, place).await;
            }
        };
        sites.meanwhile(at, done.boxed());
    }
    story.moved_from(A, End::TakenBack).await;
    story.moved_from(B, End::Moved).await;
    let messages = sites.messages();
    story.ended().await;
    let mut violations = std::mem::take(&mut story.memory.lock().unwrap().violations);
    violations.dedup();
    (messages, violations)
}

/// Tells these stories: what happens, and at which message.
async fn tell(stories: impl IntoIterator<Item = (usize, Happening)>) {
    let mut broken = Vec::new();
    let mut told_so_far = 0;
    for (at, happening) in stories {
        let (messages, violations) = told(at, happening).await;
        told_so_far += 1;
        if !violations.is_empty() {
            let message = messages.get(at.saturating_sub(1));
            broken.push(format!(
                "{happening:?} at {at}, {message:?}: {violations:?}"
            ));
        }
    }
    println!("{told_so_far} stories");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Each of `happenings` at each message; the story in peace says how many there are.
async fn everywhere(happenings: Vec<Happening>) -> Vec<(usize, Happening)> {
    let (messages, violations) = told(0, Happening::default()).await;
    assert_eq!(violations, Vec::<String>::new(), "in peace");
    let numbers = 1..=messages.len();
    let at_each = |happening: Happening| numbers.clone().map(move |at| (at, happening));
    happenings.into_iter().flat_map(at_each).collect()
}

/// About as many of them, spread evenly, at other messages each time.
fn few(all: Vec<(usize, Happening)>, count: usize) -> impl Iterator<Item = (usize, Happening)> {
    let every = (all.len() / count) | 1;
    all.into_iter().step_by(every)
}

#[tokio::test]
async fn whatever_becomes_of_a_message_one_site_at_most_moves_the_group() {
    tell(few(everywhere(Happening::all()).await, FEW)).await;
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn soak_peer_messages() {
    let all = everywhere(Happening::all()).await;
    let is_alone = |(_, happening): &(usize, Happening)| {
        happening.mishap.is_none() || happening.deed.is_none()
    };
    let (alone, both): (Vec<_>, Vec<_>) = all.into_iter().partition(is_alone);
    tell(alone.into_iter().chain(few(both, MANY))).await;
}

/// What happens at a message of the first start and the move that it begins, which must be the one that is named.
async fn pinned(at: usize, named: &str, happening: Happening) {
    let (messages, violations) = told(at, happening).await;
    let message = &messages[at - 1];
    assert!(message.contains(named), "message {at} is {message}");
    assert_eq!(violations, Vec::<String>::new());
}

/// Somebody does this on site-b, while site-a begins to move the group.
async fn meanwhile_on_b(at: usize, named: &str, deed: PeerAct) {
    let happening = Happening {
        mishap: None,
        deed: Some((deed, B)),
    };
    pinned(at, named, happening).await;
}

/// A message of site-a comes once more when everything is over.
async fn comes_again(at: usize, named: &str) {
    let happening = Happening {
        mishap: Some(Mishap::Again(When::AtTheEnd)),
        deed: None,
    };
    pinned(at, named, happening).await;
}

#[tokio::test]
async fn a_start_does_not_pass_a_start_on_the_other_site() {
    meanwhile_on_b(1, "GET", PeerAct::Move).await;
}

#[tokio::test]
async fn a_site_that_is_held_still_begins_no_move() {
    meanwhile_on_b(2, "/metadata/reservations/site-a", PeerAct::Move).await;
}

#[tokio::test]
async fn a_site_that_is_held_still_changes_nothing() {
    meanwhile_on_b(2, "/metadata/reservations/site-a", PeerAct::Describe).await;
}

#[tokio::test]
async fn a_site_that_has_changed_the_group_meanwhile_is_not_held_still() {
    meanwhile_on_b(1, "GET", PeerAct::Describe).await;
}

#[tokio::test]
async fn what_both_sites_changed_replaces_nothing_without_a_word() {
    meanwhile_on_b(2, "/metadata/reservations/site-a", PeerAct::ChangeAlone).await;
}

#[tokio::test]
async fn no_view_is_forced_on_a_site_at_work() {
    meanwhile_on_b(4, "/copy", PeerAct::Insist).await;
}

#[tokio::test]
async fn metadata_that_was_overtaken_undoes_nothing() {
    comes_again(5, "PUT").await;
}

#[tokio::test]
async fn a_copy_of_a_record_that_was_overtaken_undoes_nothing() {
    comes_again(4, "/copy").await;
}
