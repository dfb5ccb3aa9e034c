//! The options of cleanup: default, valid values, effect.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::scene::{ALL_THREE, ONE_SERVER, house_with, refuse_deletion, swallow_deletion};
use crate::{
    house::{House, operation_id},
    program::{API, ENGINE, MANAGE, run_to_end, said},
    starting::{refusal, site_without_cloud},
    tenant::{Tenant, failed_steps},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The check of a configuration with this line in `[engine]`: its exit code, and what it said.
async fn check(dir: &Path, line: &str) -> (Option<i32>, String) {
    let configuration = site_without_cloud(dir, &format!("\n[engine]\n{line}\n"));
    let file = configuration.display().to_string();
    let output = run_to_end(
        MANAGE,
        &["--config-file", &file, "config", "check"],
        PATIENCE,
    )
    .await;
    (output.status.code(), said(&output))
}

async fn must_be_taken(option: &str, values: &[&str]) {
    let dir = TempDir::new().unwrap();
    for value in values {
        let (code, text) = check(dir.path(), &format!("{option} = {value}")).await;
        assert_eq!(code, Some(0), "{option} = {value}: {text}");
    }
}

/// Both services refuse to start, and say why.
async fn must_be_refused(option: &str, value: &str, why: &str) {
    let dir = TempDir::new().unwrap();
    let line = format!("{option} = {value}");
    let expected = format!("[engine] {option} = {value}: {why}");
    let (code, text) = check(dir.path(), &line).await;
    assert_eq!(code, Some(1), "{line}: {text}");
    assert!(text.contains(&expected), "{line}: {text}");
    let configuration = site_without_cloud(dir.path(), &format!("\n[engine]\n{line}\n"));
    for program in [API, ENGINE] {
        let text = refusal(program, &configuration).await;
        assert!(text.contains(&expected), "{program}: {text}");
    }
}

/// The sample, which shows defaults, in `[engine]`.
async fn must_default_to(option: &str, value: &str) {
    let dir = TempDir::new().unwrap();
    let sample = dir.path().join("protector.conf.sample");
    let output = run_to_end(MANAGE, &["config", "sample"], PATIENCE).await;
    fs::write(&sample, &output.stdout).unwrap();
    let sample = String::from_utf8(output.stdout).unwrap();
    let (_, engine) = sample.split_once("\n[engine]\n").unwrap();
    let engine = engine.split("\n[").next().unwrap();
    let line = format!("\n#{option} = {value}\n");
    assert!(engine.contains(&line), "{engine}");
}

#[tokio::test]
async fn cleanup_timeout_seconds_is_300_by_default_and_at_least_60() {
    must_default_to("cleanup_timeout_seconds", "300").await;
    must_be_taken("cleanup_timeout_seconds", &["60", "300", "86400"]).await;
    must_be_refused("cleanup_timeout_seconds", "59", "must be at least 60").await;
    must_be_refused("cleanup_timeout_seconds", "-1", "must be at least 60").await;
    must_be_refused("cleanup_timeout_seconds", "soon", "must be").await;
}

#[tokio::test]
async fn cleanup_retry_attempts_is_3_by_default_and_at_least_1() {
    must_default_to("cleanup_retry_attempts", "3").await;
    must_be_taken("cleanup_retry_attempts", &["1", "3", "10"]).await;
    must_be_refused("cleanup_retry_attempts", "0", "must be at least 1").await;
    must_be_refused("cleanup_retry_attempts", "2.5", "must be").await;
}

#[tokio::test]
async fn cleanup_on_test_failover_is_true_by_default_and_true_or_false() {
    must_default_to("cleanup_on_test_failover", "true").await;
    must_be_taken("cleanup_on_test_failover", &["true", "false"]).await;
    must_be_refused("cleanup_on_test_failover", "perhaps", "must be").await;
}

#[tokio::test]
async fn retain_source_volumes_on_failover_is_false_by_default_and_true_or_false() {
    must_default_to("retain_source_volumes_on_failover", "false").await;
    must_be_taken("retain_source_volumes_on_failover", &["true", "false"]).await;
    must_be_refused("retain_source_volumes_on_failover", "2", "must be").await;
}

/// The least time that is allowed, so that the test takes a minute. One server and two volumes are stuck, and the
/// third server's volume never comes free: together they cost that one minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_stuck_deletion_is_recorded_after_cleanup_timeout_seconds_and_delays_no_other() {
    let house = house_with("cleanup_timeout_seconds = 60").await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ALL_THREE).await;
    let (web, database) = (&group.servers[0], &group.servers[2]);
    let stuck = [&web.volumes[0], &web.volumes[1], &database.id];
    for resource in stuck {
        house.a.cloud.break_it(swallow_deletion(resource)).await;
    }
    let operation = tenant.start_failover(&group).await;
    let ended = tenant
        .ended_within(&operation, Duration::from_secs(100))
        .await;

    assert_eq!(ended["status"], "completed", "{ended:#}");
    let failed = failed_steps(&ended);
    let error_of = |id: &str| {
        let entry = failed.iter().find(|entry| entry["resource_id"] == id);
        entry.unwrap_or_else(|| panic!("{id} is not in {failed:#?}"))["error"].clone()
    };
    assert_eq!(error_of(&web.volumes[0]), "Cinder timeout after 60s");
    assert_eq!(error_of(&web.volumes[1]), "Cinder timeout after 60s");
    assert_eq!(error_of(&database.id), "Nova timeout after 60s");
    for volume in &database.volumes {
        let error = error_of(volume).to_string();
        assert!(error.contains("its server was not deleted"), "{error}");
    }
    assert_eq!(failed.len(), 6, "{failed:#?}");
    let took = seconds_between(&ended["started_at"], &ended["completed_at"]);
    assert!((60..80).contains(&took), "{took} s");
}

fn seconds_between(from: &Value, to: &Value) -> i64 {
    let read = |time: &Value| chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap();
    (read(to) - read(from)).num_seconds()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_deletion_is_tried_cleanup_retry_attempts_times_again_but_not_by_hand() {
    let house = house_with("cleanup_retry_attempts = 1").await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let stuck = &group.servers[0].volumes[1];
    house.a.cloud.break_it(refuse_deletion(stuck, 500)).await;

    let failover = tenant.fail_over(&group).await;
    assert_eq!(
        failed_tries(&failover, stuck),
        2,
        "one try and one retry: {failover:#}"
    );

    let asked = tenant
        .ask_for_cleanup(failover["id"].as_str().unwrap())
        .await;
    let by_hand = tenant.ended(&operation_id(&asked.good())).await;
    assert_eq!(failed_tries(&by_hand, stuck), 1, "one try: {by_hand:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_passes_within_the_retries_leaves_nothing_behind() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let mut hiccup = refuse_deletion(&group.servers[0].volumes[1], 503);
    hiccup["times"] = json!(2);
    house.a.cloud.break_it(hiccup).await;
    let failover = tenant.fail_over(&group).await;
    assert!(failed_steps(&failover).is_empty(), "{failover:#}");
    tenant.must_have_moved(&group, &[]).await;
}

fn failed_tries(operation: &Value, resource: &str) -> u64 {
    let steps = operation["steps"].as_array().unwrap();
    let deletes = |step: &&Value| {
        step["resource_id"] == resource
            && step["key"]
                .as_str()
                .unwrap()
                .starts_with("delete_source_volume:")
    };
    steps.iter().find(deletes).unwrap()["failed_tries"]
        .as_u64()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_volumes_stay_detached_and_intact_until_a_manual_cleanup() {
    let house = house_with("retain_source_volumes_on_failover = true").await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let failover = tenant.fail_over(&group).await;
    assert_eq!(failover["status"], "completed", "{failover:#}");
    assert!(failed_steps(&failover).is_empty(), "{failover:#}");
    let volumes: Vec<&str> = group.volumes();
    tenant.must_have_moved(&group, &volumes).await;
    for volume in &volumes {
        let line = format!("openstack volume show {volume} -f value -c status");
        assert_eq!(tenant.types(&line).await.good(), "available\n");
        let bytes = crate::volume_file::digest(&house.a.cloud.file_of(volume));
        assert_eq!(bytes, group.bytes[*volume], "the bytes of {volume}");
        assert_eq!(tenant.deletions_of(volume).await, 0);
    }

    let operation = failover["id"].as_str().unwrap();
    tenant
        .types(&format!("openstack dr operation cleanup {operation}"))
        .await
        .good();
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_option_takes_effect_when_the_services_are_restarted() {
    let mut house = House::new().await;
    let Tenant { at_a, at_b, .. } = Tenant::of(&house).await;
    let text = fs::read_to_string(&house.a.configuration).unwrap();
    let text = text.replace(
        "[engine]\n",
        "[engine]\nretain_source_volumes_on_failover = true\n",
    );
    fs::write(&house.a.configuration, text).unwrap();
    house.restart_a().await;

    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let failover = tenant.fail_over(&group).await;
    assert_eq!(failover["status"], "completed", "{failover:#}");
    tenant.must_have_moved(&group, &group.volumes()).await;
}
