//! Holds the manual to the code: `docs/contract-coverage.md` to the tests that exist, `docs/resource-cleanup.md` to the
//! reasons for which resources are kept.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::house::files_below;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The tests that the table names: those of this module, without its name, and those of other crates as `file` and
/// `function`.
fn named() -> (BTreeSet<String>, BTreeSet<(String, String)>) {
    let page = fs::read_to_string(root().join("docs/contract-coverage.md")).unwrap();
    let names = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| {
            line.rsplit('|')
                .nth(1)
                .unwrap_or_default()
                .split('`')
                .skip(1)
                .step_by(2)
        });
    let mut here = BTreeSet::new();
    let mut elsewhere = BTreeSet::new();
    for name in names {
        match name.rsplit_once("::") {
            Some((file, function)) if file.contains(".rs") || file.contains(".py") => {
                elsewhere.insert((file.to_owned(), function.to_owned()));
            }
            _ => {
                here.insert(name.to_owned());
            }
        }
    }
    (here, elsewhere)
}

/// The tests of this module, as the test program itself lists them.
fn existing() -> BTreeSet<String> {
    let listed = Command::new(env::current_exe().unwrap())
        .args(["--list", "--format", "terse"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed
        .lines()
        .filter_map(|line| line.strip_prefix("contract::")?.strip_suffix(": test"))
        .filter(|name| !name.starts_with("coverage::") && !name.starts_with("likeness::"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_table_names_every_test_of_the_contract_and_no_other() {
    let (named, _) = named();
    let existing = existing();
    assert!(!existing.is_empty());
    let missing: Vec<&String> = existing.difference(&named).collect();
    let invented: Vec<&String> = named.difference(&existing).collect();
    assert!(
        missing.is_empty(),
        "not in docs/contract-coverage.md: {missing:#?}"
    );
    assert!(
        invented.is_empty(),
        "in docs/contract-coverage.md, but no test: {invented:#?}"
    );
}

#[test]
fn the_tests_of_other_crates_in_the_table_exist() {
    let (_, elsewhere) = named();
    for (file, function) in elsewhere {
        let text = fs::read_to_string(root().join(&file))
            .unwrap_or_else(|error| panic!("docs/contract-coverage.md: {file}: {error}"));
        let found = [format!("fn {function}("), format!("def {function}(")]
            .iter()
            .any(|start| text.contains(start.as_str()));
        assert!(found, "docs/contract-coverage.md: {file} has no {function}");
    }
}

/// The texts of the record that say that a resource was kept: the longest fixed words of each one's first clause, as the
/// code spells them.
fn kept_texts() -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for file in ["crates/core/src", "crates/engine/src"]
        .iter()
        .flat_map(|dir| files_below(&root().join(dir)))
    {
        let code = fs::read_to_string(&file).unwrap();
        for text in code.split("\"kept: ").skip(1) {
            let clause = text
                .split(['"', ',', ';', ':', '(', '\\'])
                .next()
                .unwrap_or_default();
            let words = clause.split(['{', '}']).step_by(2).map(str::trim);
            let longest = words.max_by_key(|words| words.len()).unwrap_or_default();
            texts.insert(longest.to_owned());
        }
    }
    texts
}

#[test]
fn the_manual_explains_every_reason_for_keeping_a_resource() {
    let page = fs::read_to_string(root().join("docs/resource-cleanup.md")).unwrap();
    let texts = kept_texts();
    assert!(texts.len() > 10, "{texts:#?}");
    let silent: Vec<&String> = texts
        .iter()
        .filter(|text| !page.contains(text.as_str()))
        .collect();
    assert!(
        silent.is_empty(),
        "not in docs/resource-cleanup.md: {silent:#?}"
    );
}
