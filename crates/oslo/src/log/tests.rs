//! What a log reader sees.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::config::Config;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn logged(config: &str, act: impl FnOnce()) -> Vec<String> {
    let general = Config::from_str_for_tests(&format!("[DEFAULT]\n{config}"))
        .unwrap()
        .general;
    let captured = Captured::default();
    tracing::subscriber::with_default(subscriber(&general, captured.clone()), act);
    let bytes = captured.0.lock().unwrap().clone();
    String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The line without its time, which is 23 characters and a blank.
fn after_time(line: &str) -> &str {
    assert_eq!(&line[10..11], " ");
    assert_eq!(&line[19..20], ".");
    &line[24..]
}

#[test]
fn a_record_has_the_form_of_oslos_and_the_ids_of_its_spans() {
    let lines = logged("", || {
        let request = tracing::info_span!("request", request_id = %"req-1", global_request_id = tracing::field::Empty);
        let _request = request.enter();
        request.record("global_request_id", "req-0");
        let operation = tracing::info_span!("operation", operation_id = "op-7");
        let _operation = operation.enter();
        tracing::info!(target: "protector_engine", step = "delete_source_vm:web-1", tries = 2, "step done in order");
    });
    let pid = std::process::id();
    assert_eq!(
        after_time(&lines[0]),
        format!(
            "{pid} INFO protector_engine [req-0 req-1 op-7] step done in order step=delete_source_vm:web-1 tries=2"
        )
    );
}

#[test]
fn without_a_span_the_brackets_say_so_and_levels_have_pythons_names() {
    let lines = logged("", || tracing::warn!(target: "x", text = "a b", "careful"));
    let pid = std::process::id();
    assert_eq!(
        after_time(&lines[0]),
        format!("{pid} WARNING x [- -] careful text=\"a b\"")
    );
}

#[test]
fn secrets_are_masked_and_a_text_cannot_forge_a_line() {
    for form in ["", "use_json = true\n"] {
        let lines = logged(form, || {
            tracing::info!(admin_password = "hunter2", x_auth_token = ?"hunter2", "first\n2026-01-01 forged\u{1b}[2J\u{202e}\u{2028}");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        let turning = lines[0].contains(['\u{202e}', '\u{2028}']);
        assert!(!turning || form.contains("json"), "{lines:?}");
        assert!(
            !lines[0].contains("hunter2") && lines[0].contains("***"),
            "{lines:?}"
        );
    }
}

#[test]
fn json_records_carry_the_same_facts() {
    let lines = logged("use_json = true\n", || {
        let _span = tracing::info_span!("request", request_id = "req-1").entered();
        tracing::error!(target: "protector_api", status = 500, "it broke");
    });
    let record: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(record["levelname"], "ERROR");
    assert_eq!(record["name"], "protector_api");
    assert_eq!(record["message"], "it broke");
    assert_eq!(record["request_id"], "req-1");
    assert_eq!(record["operation_id"], serde_json::Value::Null);
    assert_eq!(record["extra"]["status"], 500);
}

#[test]
fn debug_opens_our_own_records_and_not_the_libraries() {
    let act = || {
        tracing::debug!(target: "protector_engine", "ours");
        tracing::info!(target: "sqlx::query", "SELECT");
        tracing::warn!(target: "sqlx::query", "slow");
    };
    assert_eq!(logged("", act).len(), 1);
    assert_eq!(logged("debug = true\n", act).len(), 2);
    assert_eq!(
        logged("debug = true\ndefault_log_levels = sqlx=DEBUG\n", act).len(),
        3
    );
}

#[test]
fn the_log_file_is_found_as_oslo_finds_it() {
    let path = |config: &str| {
        let general = Config::from_str_for_tests(&format!("[DEFAULT]\n{config}"))
            .unwrap()
            .general;
        file_path(&general, "protector-api").map(|path| path.display().to_string())
    };
    assert_eq!(path(""), None);
    assert_eq!(
        path("log_dir = /var/log/protector\n").as_deref(),
        Some("/var/log/protector/protector-api.log")
    );
    assert_eq!(
        path("log_dir = /var/log\nlog_file = p.log\n").as_deref(),
        Some("/var/log/p.log")
    );
    assert_eq!(
        path("log_file = /tmp/p.log\n").as_deref(),
        Some("/tmp/p.log")
    );
}

#[test]
fn a_new_log_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("protector-api.log");
    LogFile::open(path.clone(), "log_file").unwrap();
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o027, 0, "{mode:o}");
}
