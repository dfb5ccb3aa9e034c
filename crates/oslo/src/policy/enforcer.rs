//! The policy file kept in force while it changes.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use protector_file::FileState;

use super::{
    evaluate::{PolicyCredentials, Target},
    problem::{PolicyErrors, Problem},
    rule_set::{Decision, Rules},
    rules::RuleName,
};

/// The largest policy file that is read.
const LARGEST_FILE: usize = 1 << 20;

struct Loaded {
    rules: Arc<Rules>,
    stamp: Option<FileState>,
}

/// Decides by the policy file, reading it again when it has changed.
pub struct Enforcer {
    path: PathBuf,
    loaded: RwLock<Loaded>,
}

impl Enforcer {
    /// Reads the policy file; without one the defaults hold.
    ///
    /// # Errors
    /// All mistakes of the file. A service must not start with a policy it cannot read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, PolicyErrors> {
        let path = path.into();
        let stamp = FileState::of(&path).ok();
        let rules = match read(&path)? {
            Some(rules) => rules,
            None => Rules::defaults(),
        };
        let loaded = RwLock::new(Loaded {
            rules: Arc::new(rules),
            stamp,
        });
        Ok(Self { path, loaded })
    }

    /// Decides a rule for a caller and a target, by the file as it is now.
    pub fn enforce(
        &self,
        rule: RuleName,
        credentials: &PolicyCredentials,
        target: &Target,
    ) -> Decision {
        let decision = self.rules().enforce(rule, credentials, target);
        tracing::debug!(
            rule = rule.as_str(),
            ?decision,
            ?credentials,
            ?target,
            "policy decision"
        );
        decision
    }

    /// The rules in force. A file that has become wrong or has gone is reported once, and the rules
    /// before it stay: falling back to the defaults could open what the operator had closed.
    fn rules(&self) -> Arc<Rules> {
        let now = FileState::of(&self.path).ok();
        {
            let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
            if loaded.stamp == now {
                return Arc::clone(&loaded.rules);
            }
        }
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        if loaded.stamp != now {
            loaded.stamp = now;
            self.reload(&mut loaded);
        }
        Arc::clone(&loaded.rules)
    }

    fn reload(&self, loaded: &mut Loaded) {
        match read(&self.path) {
            Ok(Some(rules)) => {
                loaded.rules = Arc::new(rules);
                tracing::info!(path = %self.path.display(), "policy file read again");
            }
            Ok(None) => tracing::warn!(
                path = %self.path.display(),
                "the policy file is gone; the rules read from it stay until the next start"
            ),
            Err(errors) => {
                tracing::error!(
                    "the changed policy file is not used, the rules before it stay: {errors}"
                );
            }
        }
    }
}

/// `None` when there is no such file.
fn read(path: &Path) -> Result<Option<Rules>, PolicyErrors> {
    let errors = |problems| PolicyErrors {
        path: path.to_owned(),
        problems,
    };
    let unreadable = |why: String| {
        errors(vec![Problem {
            line: None,
            rule: String::new(),
            message: format!("cannot be read: {why}"),
        }])
    };
    match protector_file::read(path, LARGEST_FILE) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
            Rules::with_overrides(&text).map(Some).map_err(errors)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error.to_string())),
    }
}
