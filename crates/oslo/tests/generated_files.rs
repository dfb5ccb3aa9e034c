//! The checked-in sample files and the reference page equal what the code generates. After a
//! change of options or rules, `PROTECTOR_UPDATE=1 cargo nextest run -p protector-oslo` writes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::{fs, path::Path};

use protector_oslo::{config, policy};

fn assert_checked_in(path: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    if std::env::var_os("PROTECTOR_UPDATE").is_some() {
        fs::write(&path, generated).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == generated,
        "{} is out of date; run the tests once with PROTECTOR_UPDATE=1 and commit it",
        path.display()
    );
}

#[test]
fn configuration_sample() {
    assert_checked_in("etc/protector.conf.sample", &config::sample());
}

#[test]
fn configuration_reference() {
    assert_checked_in("docs/configuration.md", &config::reference_markdown());
}

#[test]
fn policy_sample() {
    assert_checked_in("etc/policy.yaml.sample", &policy::sample());
}
