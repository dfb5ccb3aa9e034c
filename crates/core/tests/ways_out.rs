//! The manual's page of ways out: every status and every loss has a row, and every row a command and tests that exist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use protector_core::{group::GroupStatus, operation::OperationState};

const LOST: [&str; 9] = [
    "nothing",
    "record",
    "home",
    "other site",
    "peer protector",
    "server",
    "volume",
    "array",
    "mapping",
];

/// How many rows have no command yet. Only ever made smaller.
const OPEN: usize = 0;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Section -> lost thing -> what leads out, and the tests.
fn page() -> BTreeMap<String, BTreeMap<String, (String, String)>> {
    let text = fs::read_to_string(root().join("docs/ways-out.md")).unwrap();
    let mut page: BTreeMap<String, BTreeMap<String, (String, String)>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            section = name.trim_matches('`').to_owned();
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if line.starts_with("| ") && cells[0] != "lost" && cells[0] != "---" {
            assert_eq!(cells.len(), 3, "{line}");
            let row = (cells[1].to_owned(), cells[2].to_owned());
            let twice = page
                .entry(section.clone())
                .or_default()
                .insert(cells[0].to_owned(), row);
            assert_eq!(twice, None, "{line}");
        }
    }
    page
}

/// The words that the manual and the API use: what is unwinding is shown as rolled back, and a pause has its own.
fn sections() -> Vec<String> {
    let groups = GroupStatus::ALL.into_iter().map(GroupStatus::as_str);
    let operations = OperationState::ALL
        .into_iter()
        .filter(|state| *state != OperationState::Completed)
        .map(|state| match state {
            OperationState::Unwinding => "rolling_back",
            state => state.as_str(),
        });
    let all = groups.chain(operations).chain(["paused"]);
    all.map(str::to_owned).collect()
}

fn sources(below: &Path, into: &mut String) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_status_has_a_row_for_every_loss() {
    let page = page();
    for section in sections() {
        let rows = page.get(&section);
        let rows = rows.unwrap_or_else(|| panic!("no section {section}"));
        for lost in LOST {
            assert!(rows.contains_key(lost), "{section}: no row for {lost}");
        }
        assert_eq!(rows.len(), LOST.len(), "{section}");
    }
    assert_eq!(page.len(), sections().len());
}

#[test]
fn every_row_has_a_command_and_tests_that_exist() {
    let mut all = String::new();
    sources(&root().join("crates"), &mut all);
    let mut open = 0;
    for (section, rows) in page() {
        for (lost, (way, tests)) in rows {
            if way.starts_with("*open*: ") {
                open += 1;
                continue;
            }
            assert!(
                way.starts_with("`openstack dr "),
                "{section}, {lost}: {way}"
            );
            assert!(!tests.is_empty(), "{section}, {lost}: no test");
            for test in tests.split(", ") {
                let test = test.trim_matches('`');
                let is_there = all.contains(&format!("fn {test}("));
                assert!(is_there, "{section}, {lost}: there is no test {test}");
            }
        }
    }
    assert_eq!(open, OPEN, "rows without a command");
}
