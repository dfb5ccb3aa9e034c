//! Deciding a check for a caller and a target.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::check::{Part, PolicyCheck, Template};

/// The caller, as its token describes it. Holds no secret.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyCredentials {
    roles: Vec<String>,
    attributes: Map<String, Value>,
}

impl PolicyCredentials {
    /// A caller with a project-scoped token: its ids and the names of its roles there.
    pub fn new<R: Into<String>>(
        user_id: impl Into<String>,
        project_id: impl Into<String>,
        roles: impl IntoIterator<Item = R>,
    ) -> Self {
        let roles: Vec<String> = roles.into_iter().map(Into::into).collect();
        let mut attributes = Map::new();
        attributes.insert("roles".to_owned(), Value::from(roles.clone()));
        Self { roles, attributes }
            .with("user_id", user_id.into())
            .with("project_id", project_id.into())
            // As oslo.context calls it for files from before Keystone v3.
            .with("is_admin", false)
    }

    /// Adds or replaces an attribute that checks may name: `user_domain_id`, `system_scope`,
    /// `is_admin`, ….
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// The names of the caller's roles, as Keystone spells them.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    fn has_role(&self, role: &str) -> bool {
        let role = role.to_lowercase();
        self.roles.iter().any(|held| held.to_lowercase() == role)
    }

    #[cfg(test)]
    pub(super) fn from_attributes(attributes: Map<String, Value>) -> Self {
        let roles = attributes.get("roles").and_then(Value::as_array);
        let roles = roles
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned);
        Self {
            roles: roles.collect(),
            attributes,
        }
    }
}

/// What is acted on: the attributes that `%(name)s` stands for.
///
/// An attribute that is not known is left out, which denies; oslo would compare the word "None".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target(BTreeMap<String, String>);

impl Target {
    /// A target without attributes, for calls that act on nobody's property.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A target that belongs to a project. On create this is the new object's project, on show and
    /// delete the stored object's.
    pub fn of_project(project_id: impl Into<String>) -> Self {
        Self::default().with("project_id", project_id)
    }

    /// Adds or replaces an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }
}

impl Template {
    fn fill(&self, target: &Target) -> Option<String> {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Target(name) => target.0.get(name).map(String::as_str),
            })
            .collect()
    }
}

impl PolicyCheck {
    /// Whether the check holds. References were proven to exist and to end when the rules were
    /// loaded; one that does not exist denies.
    pub(super) fn holds(
        &self,
        rules: &HashMap<String, PolicyCheck>,
        credentials: &PolicyCredentials,
        target: &Target,
    ) -> bool {
        let holds = |check: &PolicyCheck| check.holds(rules, credentials, target);
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Not(check) => !holds(check),
            Self::All(checks) => checks.iter().all(holds),
            Self::Any(checks) => checks.iter().any(holds),
            Self::Rule(name) => rules.get(name).is_some_and(holds),
            Self::Role(role) => role
                .fill(target)
                .is_some_and(|role| credentials.has_role(&role)),
            Self::Literal(literal, expected) => expected.fill(target).as_ref() == Some(literal),
            Self::Attribute(path, expected) => expected
                .fill(target)
                .is_some_and(|expected| found(&credentials.attributes, path, &expected)),
        }
    }
}

fn found(attributes: &Map<String, Value>, path: &[String], expected: &str) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return false;
    };
    match attributes.get(first) {
        Some(Value::Array(items)) => items.iter().any(|item| matches(item, rest, expected)),
        Some(value) => matches(value, rest, expected),
        None => false,
    }
}

fn matches(value: &Value, path: &[String], expected: &str) -> bool {
    match value {
        Value::Object(inner) => found(inner, path, expected),
        _ if path.is_empty() => printed(value).as_deref() == Some(expected),
        _ => false,
    }
}

/// Python's `str` of a plain value.
fn printed(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Null => Some("None".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}
