//! Engines that end in the middle of the work.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    cloud::Call,
    house::House,
    tenant::{Group, Tenant, failed_steps, has_ended},
    waiting::until,
};

/// How often an engine is killed in the tests that always run.
const ROUNDS: usize = 6;

/// Slow enough that a kill meets work under way, in every phase.
async fn slow_down(house: &House) {
    for site in [&house.a, &house.b] {
        let latency = json!({"read": 0.004, "write": 0.06, "server_build": 0.3, "server_stop": 0.15,
            "server_delete": 0.2, "volume_delete": 0.15, "manage": 0.15, "detach": 0.1});
        site.cloud.set_latency(latency).await;
    }
}

fn seed() -> u64 {
    let seed = std::env::var("PROTECTOR_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| StdRng::from_os_rng().random());
    eprintln!("PROTECTOR_TEST_SEED={seed}");
    seed
}

async fn forget_calls(house: &House) {
    for site in [&house.a, &house.b] {
        site.cloud.forget_calls().await;
    }
}

/// Nothing was made twice on the target or deleted there, and only what is the group's was deleted on the source.
async fn must_have_done_each_thing_once(house: &House, group: &Group) {
    let on_b = house.b.cloud.calls().await;
    let made = |collection: &str| on_b.iter().filter(|call| call.made(collection)).count();
    assert_eq!(
        made("/servers"),
        group.servers.len(),
        "servers made: {on_b:#?}"
    );
    assert_eq!(
        made("/manageable_volumes"),
        group.volumes().len(),
        "imports: {on_b:#?}"
    );
    let destroyed: Vec<&Call> = on_b.iter().filter(|call| destroys(call)).collect();
    assert!(
        destroyed.is_empty(),
        "destroyed on the target: {destroyed:#?}"
    );
    let servers = group.servers.iter().map(|server| server.id.as_str());
    let recorded: BTreeSet<&str> = servers.chain(group.volumes()).collect();
    for call in house
        .a
        .cloud
        .calls()
        .await
        .iter()
        .filter(|call| destroys(call))
    {
        assert!(
            call.method == "DELETE" && recorded.contains(call.last()),
            "destroyed outside the recorded set {recorded:?}: {call:#?}"
        );
    }
}

fn destroys(call: &Call) -> bool {
    let takes_away = ["os-unmanage", "os-force_delete", "os-detach", "forceDelete"];
    let asked = call.action.as_deref();
    call.service != "identity"
        && (call.method == "DELETE" || asked.is_some_and(|action| takes_away.contains(&action)))
}

/// Slows the clouds down; how long a failover takes then. The first one is not counted: it opens the connections.
async fn undisturbed(tenant: &Tenant<'_>) -> Duration {
    let first = tenant.protect_two_servers("first").await;
    let second = tenant.protect_two_servers("second").await;
    slow_down(tenant.house).await;
    let mut took = Duration::ZERO;
    for group in [first, second] {
        let started = Instant::now();
        let operation = tenant.start_failover(&group).await;
        assert_eq!(tenant.ended(&operation).await["status"], "completed");
        took = started.elapsed();
    }
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_engine_finishes_the_failover_after_restart() {
    kill_and_start_again(ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make soak"]
async fn soak_an_engine_that_is_killed_forty_times_finishes_each_failover() {
    kill_and_start_again(40).await;
}

async fn kill_and_start_again(rounds: usize) {
    let mut random = StdRng::seed_from_u64(seed());
    let mut house = House::new().await;
    let mut groups = Vec::new();
    let tenant = Tenant::of(&house).await;
    for round in 0..rounds {
        groups.push(tenant.protect_two_servers(&format!("web-{round}")).await);
    }
    let whole = undisturbed(&tenant).await;
    let (mut at_a, mut at_b) = (tenant.at_a, tenant.at_b);
    for (round, group) in groups.iter().enumerate() {
        forget_calls(&house).await;
        let tenant = Tenant {
            house: &house,
            at_a,
            at_b,
        };
        let operation = tenant.start_failover(group).await;
        let moment = whole.mul_f64(random.random_range(0.01..0.97));
        tokio::time::sleep(moment).await;
        let seen = tenant.operation(&operation).await;
        (at_a, at_b) = (tenant.at_a, tenant.at_b);
        house.a.kill_engine();
        house.a.start_engine();
        eprintln!(
            "round {round}: killed after {moment:?}, phase {}",
            seen["phase"]
        );
        let tenant = Tenant {
            house: &house,
            at_a,
            at_b,
        };
        let ended = tenant.ended(&operation).await;
        let story = format!(
            "round {round}: killed after {moment:?} of {whole:?}, phase {}\n{ended:#}",
            seen["phase"]
        );
        assert_eq!(ended["status"], "completed", "{story}");
        assert!(failed_steps(&ended).is_empty(), "{story}");
        tenant.must_have_moved(group, &[]).await;
        must_have_done_each_thing_once(&house, group).await;
        (at_a, at_b) = (tenant.at_a, tenant.at_b);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_gives_the_operation_back_and_the_next_engine_goes_on() {
    let mut house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    forget_calls(&house).await;
    house.b.cloud.hold("server_build").await;
    let operation = tenant.start_failover(&group).await;
    until(
        "the servers to be built",
        Duration::from_secs(30),
        async || {
            let calls = house.b.cloud.calls().await;
            let made = calls.iter().filter(|call| call.made("/servers")).count();
            (made == group.servers.len()).then_some(())
        },
    )
    .await;
    let (at_a, at_b) = (tenant.at_a, tenant.at_b);
    let status = house.a.terminate_engine().await;
    assert!(status.success(), "{status}");
    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let left = tenant.operation(&operation).await;
    assert!(!has_ended(&left), "{left:#}");
    house.b.cloud.let_go("server_build").await;
    let (at_a, at_b) = (tenant.at_a, tenant.at_b);
    // Under another name, so that only what the first one gave back can be taken up before its lease is over.
    let restarted = Instant::now();
    house.a.start_engine_of("another-host");
    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let ended = tenant.ended(&operation).await;
    assert!(
        restarted.elapsed() < Duration::from_secs(45),
        "it waited for the lease"
    );
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(failed_steps(&ended).is_empty(), "{ended:#}");
    tenant.must_have_moved(&group, &[]).await;
    must_have_done_each_thing_once(&house, &group).await;
    assert!(house.a.terminate_api().await.success());
}
