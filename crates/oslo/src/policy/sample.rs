//! The commented policy file.

use super::rules::{DEFAULTS, RuleDefault};

/// A `policy.yaml` in the form of `oslopolicy-sample-generator`: every rule with its description,
/// the calls it guards and its default, switched off.
#[must_use]
pub fn sample() -> String {
    DEFAULTS.iter().map(rule).collect()
}

fn rule(rule: &RuleDefault) -> String {
    let mut text = String::new();
    for line in crate::wrap::wrapped(rule.description, 68) {
        text.push_str(&format!("# {line}\n"));
    }
    for (method, path) in rule.operations {
        text.push_str(&format!("# {method}  {path}\n"));
    }
    text.push_str(&format!("#\"{}\": \"{}\"\n\n", rule.name, rule.check_str));
    text
}
