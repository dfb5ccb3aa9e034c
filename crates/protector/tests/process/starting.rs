//! Services that refuse to start, and say why.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    house::manage,
    ports::free_port,
    program::{API, ENGINE, MANAGE, Program, run_to_end, said},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration of a site whose cloud is not there.
pub fn site_without_cloud(dir: &Path, more: &str) -> PathBuf {
    let state = dir.display();
    let text = format!(
        "[DEFAULT]\nsite_name = site-a\nstate_path = {state}\n\n\
         [api]\nbind_host = 127.0.0.1\nbind_port = {port}\n\n\
         [keystone_authtoken]\nauth_url = http://127.0.0.1:9/v3\nusername = protector\npassword = never-used\n\n\
         [oslo_policy]\npolicy_file = {state}/policy.yaml\n\n\
         [secrets]\nkey_repository = {state}/keys\n\n\
         [storage]\nenabled_arrays = array-a\n\n\
         [array-a]\ndriver = MockStorageDriver\ndirectory = {state}/array-a\n{more}",
        port = free_port(),
    );
    let path = dir.join("protector.conf");
    fs::create_dir_all(dir.join("array-a")).unwrap();
    fs::create_dir_all(dir.join("mock_storage")).unwrap();
    fs::write(&path, text).unwrap();
    path
}

pub async fn refusal(program: &str, configuration: &Path) -> String {
    let file = configuration.display().to_string();
    let output = run_to_end(program, &["--config-file", &file], PATIENCE).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{program}: {text}");
    text
}

#[tokio::test]
async fn an_old_schema_keeps_the_services_from_starting() {
    let dir = TempDir::new().unwrap();
    let configuration = site_without_cloud(dir.path(), "");
    manage(&configuration, &["keys", "setup"]).await;
    for program in [API, ENGINE] {
        let text = refusal(program, &configuration).await;
        assert!(
            text.contains("the database schema is older than this build"),
            "{text}"
        );
        assert!(text.contains("run 'protector-manage db sync'"), "{text}");
    }
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_file_line_and_range() {
    let dir = TempDir::new().unwrap();
    let configuration = site_without_cloud(dir.path(), "\n[engine]\ncleanup_timeout_seconds = 5\n");
    let text = fs::read_to_string(&configuration).unwrap();
    let line = 1 + text
        .lines()
        .position(|line| line.starts_with("cleanup_timeout_seconds"))
        .unwrap();
    let expected = format!(
        "{}:{line}: [engine] cleanup_timeout_seconds = 5: must be at least 60",
        configuration.display()
    );
    for program in [API, ENGINE] {
        let text = refusal(program, &configuration).await;
        assert!(text.contains(&expected), "{text}");
        assert!(!text.contains("never-used"), "{text}");
    }
    let file = configuration.display().to_string();
    let arguments = ["--config-file", &file, "config", "check"];
    let output = run_to_end(MANAGE, &arguments, PATIENCE).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&expected), "{}", said(&output));
}

#[tokio::test]
async fn a_second_engine_with_the_same_state_path_is_refused() {
    let dir = TempDir::new().unwrap();
    let configuration = site_without_cloud(dir.path(), "");
    manage(&configuration, &["keys", "setup"]).await;
    manage(&configuration, &["db", "sync"]).await;
    let arguments = [
        "--config-file".to_owned(),
        configuration.display().to_string(),
    ];
    let log = dir.path().join("first.log");
    let mut first = Program::start(ENGINE, &arguments, &log);
    until("the first engine to start", PATIENCE, async || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        said.contains("started").then_some(())
    })
    .await;

    let text = refusal(ENGINE, &configuration).await;
    assert!(
        text.contains("another engine runs with the same [DEFAULT] state_path"),
        "{text}"
    );
    first.must_run();

    first.kill();
    let third = Program::start(ENGINE, &arguments, &dir.path().join("third.log"));
    until("the third engine to start", PATIENCE, async || {
        let said = fs::read_to_string(dir.path().join("third.log")).unwrap_or_default();
        said.contains("started").then_some(())
    })
    .await;
    assert!(third.terminate().await.success());
}
