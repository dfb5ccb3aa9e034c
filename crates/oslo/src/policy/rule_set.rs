//! The rules in force: the defaults with the file's over them.

use std::collections::HashMap;

use super::{
    check::PolicyCheck,
    evaluate::{PolicyCredentials, Target},
    file::{self, Entry, Written},
    problem::Problem,
    rules::{DEFAULTS, RuleDefault, RuleName},
};
use crate::nearest::nearest;

/// Whether a call may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    Allow,
    Deny,
}

impl Decision {
    /// Whether the call may go on.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// A complete, consistent set of rules: every reference exists and none leads back to itself.
#[derive(Debug, Clone)]
pub struct Rules {
    checks: HashMap<String, PolicyCheck>,
}

impl Rules {
    /// The rules that hold without a policy file.
    #[must_use]
    pub fn defaults() -> Self {
        // A default that does not parse would leave its rule out, which denies; a test proves that
        // there is none.
        let checks = DEFAULTS.iter().filter_map(|rule| {
            Some((
                rule.name.as_str().to_owned(),
                PolicyCheck::parse(rule.check_str).ok()?,
            ))
        });
        Self {
            checks: checks.collect(),
        }
    }

    /// The defaults' documentation, for the sample file and reference.
    #[must_use]
    pub const fn documented() -> &'static [RuleDefault] {
        DEFAULTS
    }

    /// The defaults with a policy file's rules over them.
    ///
    /// # Errors
    /// Every mistake found: bad YAML, bad checks, names of this service's that do not exist,
    /// references to no rule or in a circle.
    pub fn with_overrides(text: &str) -> Result<Self, Vec<Problem>> {
        let entries = file::read(text).map_err(|problem| vec![problem])?;
        let mut rules = Self::defaults();
        let mut problems = Vec::new();
        for entry in &entries {
            match rules.parsed(entry) {
                Ok(check) => {
                    rules.checks.insert(entry.name.clone(), check);
                }
                Err(message) => problems.push(Problem::rule(entry.line, &entry.name, message)),
            }
        }
        for entry in &entries {
            problems.extend(rules.bad_references(entry));
        }
        if problems.is_empty() {
            return Ok(rules);
        }
        problems.sort_by_key(|problem| problem.line);
        Err(problems)
    }

    fn parsed(&self, entry: &Entry) -> Result<PolicyCheck, String> {
        let foreign = !entry.name.starts_with("protector:");
        if !foreign && !self.checks.contains_key(&entry.name) {
            let known = DEFAULTS.iter().map(|rule| rule.name.as_str());
            return Err(match nearest(&entry.name, known) {
                Some(guess) => format!("no such rule; did you mean \"{guess}\"?"),
                None => "no such rule".to_owned(),
            });
        }
        match &entry.written {
            Written::Text(text) => PolicyCheck::parse(text),
            Written::Lists(lists) => PolicyCheck::parse_lists(lists),
        }
    }

    fn bad_references(&self, entry: &Entry) -> Vec<Problem> {
        let Some(check) = self.checks.get(&entry.name) else {
            return Vec::new();
        };
        let mut problems: Vec<Problem> = check
            .references()
            .into_iter()
            .filter(|name| !self.checks.contains_key(*name))
            .map(|name| {
                Problem::rule(
                    entry.line,
                    &entry.name,
                    format!("refers to \"{name}\", which is no rule"),
                )
            })
            .collect();
        if self.reaches(check, &entry.name) {
            problems.push(Problem::rule(
                entry.line,
                &entry.name,
                "leads back to itself",
            ));
        }
        problems
    }

    /// Whether following references from `check` ever arrives at `goal`.
    fn reaches(&self, check: &PolicyCheck, goal: &str) -> bool {
        let mut seen: Vec<&str> = Vec::new();
        let mut ahead = check.references();
        while let Some(name) = ahead.pop() {
            if name == goal {
                return true;
            }
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            ahead.extend(
                self.checks
                    .get(name)
                    .map(PolicyCheck::references)
                    .unwrap_or_default(),
            );
        }
        false
    }

    /// Decides a rule for a caller and a target. A rule that does not exist denies.
    pub fn enforce(
        &self,
        rule: RuleName,
        credentials: &PolicyCredentials,
        target: &Target,
    ) -> Decision {
        self.decide(rule.as_str(), credentials, target)
    }

    pub(super) fn decide(
        &self,
        rule: &str,
        credentials: &PolicyCredentials,
        target: &Target,
    ) -> Decision {
        let allowed = self
            .checks
            .get(rule)
            .is_some_and(|check| check.holds(&self.checks, credentials, target));
        if allowed {
            Decision::Allow
        } else {
            Decision::Deny
        }
    }
}
