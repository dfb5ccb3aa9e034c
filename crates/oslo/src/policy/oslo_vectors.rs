//! `oslo.policy`'s own decisions (`tests/vectors/policy.json`), compared.

use serde_json::{Value as Json, json};

use super::{
    evaluate::{PolicyCredentials, Target},
    rule_set::Rules,
};

/// Rules that oslo decides and we refuse to load, because they can only be mistakes: a reference
/// to no rule, a format that prints the whole target, words in a list that look like operators.
fn refused_by_us_alone(rule: &Json) -> bool {
    [
        json!("rule:missing"),
        json!("project_id:%s"),
        json!("project_id:%()s"),
        json!(["role:a or role:member"]),
    ]
    .contains(rule)
}

fn target(attributes: &Json) -> Target {
    attributes
        .as_object()
        .unwrap()
        .iter()
        .fold(Target::none(), |target, (name, value)| {
            target.with(name, value.as_str().unwrap())
        })
}

#[test]
fn rules_decide_as_oslo_policy_decides() {
    let file: Json = serde_json::from_str(include_str!("../../tests/vectors/policy.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() > 300);
    let mut differences = Vec::new();
    for vector in vectors {
        let (rule, oslo) = (&vector["rule"], &vector["decisions"]);
        let mut document = file["named"].clone();
        document["probe"] = rule.clone();
        let refused = match oslo.as_array() {
            Some(decisions) => decisions.contains(&json!("refused")),
            None => true,
        };
        // JSON is YAML: this also tries the file reader on every text.
        let ours = match Rules::with_overrides(&document.to_string()) {
            Ok(rules) => decisions(&rules, &file),
            Err(_) => json!("refused"),
        };
        let expected = if refused || refused_by_us_alone(rule) {
            &json!("refused")
        } else {
            oslo
        };
        if ours != *expected {
            differences.push(format!("{rule}: oslo {oslo}, ours {ours}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn decisions(rules: &Rules, file: &Json) -> Json {
    let mut decisions = Vec::new();
    for credentials in file["credentials"].as_array().unwrap() {
        let credentials =
            PolicyCredentials::from_attributes(credentials.as_object().unwrap().clone());
        for attributes in file["targets"].as_array().unwrap() {
            decisions.push(
                rules
                    .decide("probe", &credentials, &target(attributes))
                    .is_allowed(),
            );
        }
    }
    Json::from(decisions)
}
