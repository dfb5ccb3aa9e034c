//! What goes wrong on purpose: rules on calls, rules on jobs, services that are away.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::cloud::{SimTime, call::SimulatedService};

/// Which calls a rule applies to. Members left out match everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    pub service: Option<SimulatedService>,
    /// HTTP method, upper case.
    pub method: Option<String>,
    /// The path behind the service's prefix, such as `/v2.1/servers/*`: `*` stands for any text, and a pattern
    /// without `*` is a prefix.
    pub path: Option<String>,
    /// Id or name of a resource: it must stand in the path, or be the name of the resource in the path.
    pub resource: Option<String>,
    /// User name of the caller.
    pub user: Option<String>,
    /// Only from the n-th matching call on, counted from 1.
    pub nth: Option<u64>,
}

/// What a matching call meets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CallEffect {
    /// Refused with this status; nothing is carried out.
    Status {
        status: u16,
        /// Body; a plain one in the service's form when left out.
        #[serde(default)]
        body: Option<serde_json::Value>,
        /// Additional headers, such as `Retry-After`.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// Carried out, but the answer is replaced by this status.
    StatusAfterEffect {
        status: u16,
        /// Body; a plain one in the service's form when left out.
        #[serde(default)]
        body: Option<serde_json::Value>,
    },
    /// Carried out; the connection is closed without an answer.
    LoseReply,
    /// Not carried out; the connection is closed without an answer.
    Drop,
    /// Carried out at once, answered this much later.
    Delay { seconds: f64 },
    /// Not carried out, never answered.
    Hang,
    /// Answered when the rule is taken away, and not before.
    Held {
        /// What the call meets meanwhile; it is carried out at once when left out.
        #[serde(default)]
        meets: Option<Box<CallEffect>>,
    },
    /// 502 with a page of HTML, as a proxy sends it; not carried out.
    Html,
}

/// What goes wrong with an accepted job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum JobEffect {
    /// A volume stays `deleting`: for `seconds`, or for ever.
    VolumeDeleteSticks {
        /// Seconds; for ever when left out.
        #[serde(default)]
        seconds: Option<f64>,
    },
    /// A volume ends as `error_deleting`.
    VolumeDeleteErrors,
    /// The backend says busy: the volume is `available` again.
    VolumeDeleteBackToAvailable,
    /// A build ends as `ERROR` with this fault.
    ServerBuildError {
        /// `fault.message`.
        message: String,
    },
    /// Nova's API reserves the volumes of a build and hangs: the server is there, and the request answered, only later.
    ServerCreatedLate { seconds: f64 },
    /// A delete ends as `ERROR`; the server and its attachments stay.
    ServerDeleteError {
        /// `fault.message`.
        message: String,
    },
    /// A delete is lost: `deleting` for ever, until an administrator resets the state.
    ServerDeleteLost,
    /// A deleted server is shown as `DELETED`, without a task, for `seconds` before the 404.
    ServerDeleteLingers { seconds: f64 },
    /// The guest ignores the shutdown: it takes `shutdown_timeout` until Nova powers it off.
    StopIgnored,
    /// The stop is lost: `powering-off` for ever.
    StopLost,
    /// The server goes, but its volumes stay `in-use`.
    StaleAttachment,
    /// Managing fails late, before or after the backend object was renamed.
    ManageError {
        /// Whether the rename had happened.
        after_rename: bool,
    },
    /// A volume's creation ends as `error`.
    VolumeCreateError,
    /// A detach is given up: the volume stays `in-use`.
    DetachIgnored,
    /// Jobs of this kind end when the rule is taken away, and not before.
    Held { work: Work },
}

/// Kinds of accepted work, named after their times in [`Latency`](crate::cloud::Latency).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A build, once it has its host.
    ServerBuild,
    ServerDelete,
    ServerStop,
    /// A start or a reboot.
    ServerStart,
    VolumeCreate,
    VolumeDelete,
    Attach,
    Detach,
    Manage,
    Unmanage,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Name for removing it; given by the cloud when left out.
    #[serde(default)]
    pub id: String,
    /// Which calls; for job rules only `resource` counts.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// How often it applies; for ever when left out.
    #[serde(default)]
    pub times: Option<u64>,
    pub effect: FaultEffect,
    /// How many calls matched so far.
    #[serde(default)]
    pub seen: u64,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultEffect {
    Call(CallEffect),
    Job(JobEffect),
}

/// The parts of a cloud that can be away, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// Keystone: tokens seen before still work elsewhere.
    Keystone,
    NovaApi,
    /// The compute service of the only host.
    NovaCompute,
    CinderApi,
    /// The volume service of the only backend.
    CinderVolume,
    Neutron,
    Glance,
    Placement,
}

/// What is about to be looked at by call rules.
pub(crate) struct CallFacts<'c> {
    pub(crate) service: SimulatedService,
    pub(crate) method: &'c str,
    pub(crate) path: &'c str,
    pub(crate) user: Option<&'c str>,
    /// Ids in the path and the names that they have.
    pub(crate) resources: &'c [String],
}

/// All that is set to go wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<FaultRule>,
    issued: u64,
    away: BTreeMap<Component, SimTime>,
}

impl Faults {
    pub(crate) fn add(&mut self, mut rule: FaultRule) -> String {
        self.issued += 1;
        if rule.id.is_empty() {
            rule.id = format!("fault-{}", self.issued);
        }
        let id = rule.id.clone();
        self.rules.retain(|other| other.id != id);
        self.rules.push(rule);
        id
    }

    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.id != id);
        self.rules.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
        self.away.clear();
    }

    pub(crate) fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    pub(crate) fn for_call(&mut self, facts: &CallFacts<'_>) -> Option<(String, CallEffect)> {
        for rule in &mut self.rules {
            let FaultEffect::Call(effect) = &rule.effect else {
                continue;
            };
            if !rule.matches.covers(facts) || rule.times == Some(0) {
                continue;
            }
            rule.seen += 1;
            if rule.matches.nth.is_some_and(|nth| rule.seen < nth) {
                continue;
            }
            rule.times = rule.times.map(|left| left.saturating_sub(1));
            return Some((rule.id.clone(), effect.clone()));
        }
        None
    }

    /// The first job rule that `pick` takes, for a resource with this id and name.
    pub(crate) fn for_job<T>(
        &mut self,
        id: &str,
        name: &str,
        pick: impl Fn(&JobEffect) -> Option<T>,
    ) -> Option<T> {
        for rule in &mut self.rules {
            let FaultEffect::Job(effect) = &rule.effect else {
                continue;
            };
            let named = rule
                .matches
                .resource
                .as_deref()
                .is_none_or(|wanted| wanted == id || wanted == name);
            if !named || rule.times == Some(0) {
                continue;
            }
            let Some(found) = pick(effect) else { continue };
            rule.seen += 1;
            if rule.matches.nth.is_some_and(|nth| rule.seen < nth) {
                continue;
            }
            rule.times = rule.times.map(|left| left.saturating_sub(1));
            return Some(found);
        }
        None
    }

    /// Whether work of this kind on a resource with this id and name is held.
    pub(crate) fn hold(&self, work: Work, id: &str, name: Option<&str>) -> bool {
        self.rules.iter().any(|rule| {
            let resource = rule.matches.resource.as_deref();
            rule.effect == FaultEffect::Job(JobEffect::Held { work })
                && resource.is_none_or(|wanted| wanted == id || Some(wanted) == name)
        })
    }

    pub(crate) fn set_away(&mut self, component: Component, since: Option<SimTime>) {
        match since {
            Some(since) => {
                self.away.entry(component).or_insert(since);
            }
            None => {
                self.away.remove(&component);
            }
        }
    }

    pub(crate) fn is_away(&self, component: Component) -> bool {
        self.away.contains_key(&component)
    }

    /// Whether a service has been silent long enough for the others to notice.
    pub(crate) fn is_seen_down(&self, component: Component, now: SimTime, after: Duration) -> bool {
        self.away
            .get(&component)
            .is_some_and(|since| now.saturating_sub(*since) >= after)
    }

    pub(crate) fn away(&self) -> Vec<Component> {
        self.away.keys().copied().collect()
    }
}

impl Match {
    fn covers(&self, facts: &CallFacts<'_>) -> bool {
        self.service.is_none_or(|service| service == facts.service)
            && self
                .method
                .as_deref()
                .is_none_or(|method| method.eq_ignore_ascii_case(facts.method))
            && self
                .path
                .as_deref()
                .is_none_or(|pattern| path_matches(pattern, facts.path))
            && self
                .user
                .as_deref()
                .is_none_or(|user| facts.user == Some(user))
            && self
                .resource
                .as_deref()
                .is_none_or(|wanted| facts.resources.iter().any(|found| found == wanted))
    }
}

/// `*` stands for any text; a pattern without one is a prefix.
fn path_matches(pattern: &str, path: &str) -> bool {
    if !pattern.contains('*') {
        return path.starts_with(pattern);
    }
    let mut rest = path;
    let mut parts = pattern.split('*');
    let Some(stripped) = rest.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    rest = stripped;
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(place) = rest.find(part) else {
            return false;
        };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::path_matches;

    #[test]
    fn patterns() {
        assert!(path_matches("/v3", "/v3/x"));
        assert!(path_matches("/v3/*/volumes/*", "/v3/p/volumes/v"));
        assert!(!path_matches("/v3/*/volumes", "/v3/p/volumes/v"));
        assert!(path_matches("*/volumes/*", "/v3/p/volumes/v"));
        assert!(path_matches("*action", "/servers/x/action"));
    }
}
