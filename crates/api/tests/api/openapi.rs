//! The checked-in OpenAPI document is that of the code.

use std::{env, fs, path::PathBuf};

fn checked_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

#[test]
fn the_checked_in_document_is_current() {
    let mut current = protector_api::openapi().to_pretty_json().unwrap();
    current.push('\n');
    let path = checked_in();
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == current,
        "docs/openapi.json is not that of the code; run: UPDATE_OPENAPI=1 cargo nextest run -p protector-api openapi"
    );
}

#[test]
fn every_call_is_described_once() {
    let document = serde_json::to_value(protector_api::openapi()).unwrap();
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(
                operation["summary"].is_string(),
                "{method} {path} has no summary"
            );
            ids.push(id);
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an operationId is used twice");
    assert!(count > 30, "{count}");
}

#[test]
fn the_policy_sample_names_calls_that_exist() {
    let document = serde_json::to_value(protector_api::openapi()).unwrap();
    for rule in protector_oslo::policy::rules::DEFAULTS {
        for (method, path) in rule.operations {
            assert!(
                document["paths"][path][method.to_lowercase()].is_object(),
                "{}: there is no {method} {path}",
                rule.name
            );
        }
    }
}
