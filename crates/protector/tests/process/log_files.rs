//! Log files that a rotation moves away.

use std::{fs, time::Duration};

use tempfile::TempDir;

use crate::{
    house::manage,
    http::{Http, Memory},
    program::{API, Program},
    starting::site_without_cloud,
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn hangup_opens_the_log_and_the_audit_trail_anew() {
    let dir = TempDir::new().unwrap();
    let more = "\n[audit]\nlog_file = audit.log\n";
    let configuration = site_without_cloud(dir.path(), more);
    let text = fs::read_to_string(&configuration).unwrap();
    let logs = format!("[DEFAULT]\nlog_dir = {}\n", dir.path().display());
    fs::write(&configuration, text.replace("[DEFAULT]\n", &logs)).unwrap();
    manage(&configuration, &["keys", "setup"]).await;
    manage(&configuration, &["db", "sync"]).await;
    let port = text
        .lines()
        .find_map(|line| line.strip_prefix("bind_port = "));
    let url = format!("http://127.0.0.1:{}", port.unwrap());
    let arguments = [
        "--config-file".to_owned(),
        configuration.display().to_string(),
    ];
    let api = Program::start(API, &arguments, &dir.path().join("stderr"));
    let http = Http::new();
    until("the API to answer", PATIENCE, async || {
        http.try_get(&format!("{url}/healthcheck")).await
    })
    .await;

    let files = ["protector-api.log", "audit.log"].map(|name| dir.path().join(name));
    for file in &files {
        fs::rename(file, file.with_extension("log.1")).unwrap();
    }
    api.hang_up();
    until("both files to be made anew", PATIENCE, async || {
        files.iter().all(|file| file.exists()).then_some(())
    })
    .await;
    let sites = format!("{url}/v1/admin/sites");
    let body = serde_json::json!({});
    let answer = http
        .ask(
            reqwest::Method::POST,
            &sites,
            None,
            Some(&body),
            Memory::Kept,
        )
        .await;
    assert_eq!(answer.status, 401);
    let read = |number: usize| fs::read_to_string(&files[number]).unwrap_or_default();
    until("the line in the access log", PATIENCE, async || {
        read(0)
            .contains("path=/v1/admin/sites status=401")
            .then_some(())
    })
    .await;
    let event: serde_json::Value = serde_json::from_str(&read(1)).unwrap();
    assert_eq!(event["action"], "create", "{event:#}");
    assert_eq!(event["outcome"], "failure", "{event:#}");
    assert_eq!(event["initiator"]["host"]["address"], "127.0.0.1");
    assert!(api.terminate().await.success());
}
