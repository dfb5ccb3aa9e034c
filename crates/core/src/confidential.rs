//! What a tenant entrusts to a record and a database must not show: user data of servers, URLs of hooks, paths of probes.
//!
//! Such a text is sealed where it stands. The record around it is read by everybody as before; the text itself only by who
//! needs it, and where it cannot be opened, only that fails. A sealed text is an object where a clear one is a string, so
//! that nothing a tenant writes can be taken for one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::MemberId;

/// A text of a tenant's that databases keep sealed. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidential(Form);

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Clear(String),
    Sealed(Sealed),
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    sealed: String,
    #[serde(skip)]
    why: Option<String>,
}

/// A text is sealed still, so that what needs it cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StillSealed(String);

impl Confidential {
    /// Takes the text itself.
    pub fn new(clear: impl Into<String>) -> Self {
        Self(Form::Clear(clear.into()))
    }

    /// Takes a text that was sealed; `why` says what kept it from being opened, where somebody has tried.
    pub fn sealed(sealed: impl Into<String>, why: Option<String>) -> Self {
        Self(Form::Sealed(Sealed {
            sealed: sealed.into(),
            why,
        }))
    }

    /// The text, to be stored, sent or used.
    ///
    /// # Errors
    ///
    /// `StillSealed`, with the reason and what to do.
    pub fn expose(&self) -> Result<&str, StillSealed> {
        match &self.0 {
            Form::Clear(clear) => Ok(clear),
            Form::Sealed(Sealed { why, .. }) => {
                Err(StillSealed(why.clone().unwrap_or_else(|| {
                    "it is sealed, and nobody has opened it: a defect of protector".to_owned()
                })))
            }
        }
    }

    /// The seal with what is in it; `None` for a text that is clear.
    pub fn seal(&self) -> Option<&str> {
        match &self.0 {
            Form::Clear(_) => None,
            Form::Sealed(Sealed { sealed, .. }) => Some(sealed),
        }
    }
}

impl From<&str> for Confidential {
    fn from(clear: &str) -> Self {
        Self::new(clear)
    }
}

impl fmt::Debug for Confidential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confidential(***)")
    }
}

/// Which text of a group's record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// The user data of a member's server.
    UserData { member: &'a MemberId },
    /// Where a hook of the recovery plan leads.
    HookUrl { hook: &'a str },
    /// For what a probe of the recovery plan asks.
    ProbePath {
        /// The member that it shows to be up.
        member: &'a MemberId,
    },
}

/// A part of a group's record that holds confidential texts.
pub trait HoldsConfidential {
    /// All of them.
    fn confidential(&self) -> Vec<&Confidential>;

    /// Shows each of them to `visit`, which may replace it.
    fn each_confidential(&mut self, visit: &mut dyn FnMut(Field<'_>, &mut Confidential));
}

impl<T: HoldsConfidential> HoldsConfidential for Vec<T> {
    fn confidential(&self) -> Vec<&Confidential> {
        self.iter().flat_map(T::confidential).collect()
    }

    fn each_confidential(&mut self, visit: &mut dyn FnMut(Field<'_>, &mut Confidential)) {
        for part in self {
            part.each_confidential(visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_of_a_tenant_is_taken_for_a_sealed_one() {
        for text in ["", "v1:0:AAAA", r#"{"sealed":"v1:0:AAAA"}"#] {
            let kept = serde_json::to_value(Confidential::new(text)).unwrap();
            assert_eq!(kept, json!(text));
            let read: Confidential = serde_json::from_value(kept).unwrap();
            assert_eq!((read.expose(), read.seal()), (Ok(text), None));
        }
        let sealed = Confidential::sealed("v1:0:AAAA", Some("no key".to_owned()));
        let kept = serde_json::to_value(&sealed).unwrap();
        assert_eq!(kept, json!({"sealed": "v1:0:AAAA"}));
        let read: Confidential = serde_json::from_value(kept).unwrap();
        assert_eq!(read.seal(), Some("v1:0:AAAA"));
        assert!(read.expose().is_err());
        let more = json!({"sealed": "v1:0:AAAA", "by": "mallory"});
        assert!(serde_json::from_value::<Confidential>(more).is_err());
    }

    #[test]
    fn why_it_is_sealed_is_said_and_what_is_in_it_is_not_shown() {
        let sealed = Confidential::sealed("v1:3:AAAA", Some("key 3 is gone".to_owned()));
        assert_eq!(sealed.expose().unwrap_err().to_string(), "key 3 is gone");
        let shown = format!("{:?} {sealed:?}", Confidential::new("hunter2"));
        assert!(
            !shown.contains("hunter2") && !shown.contains("AAAA"),
            "{shown}"
        );
    }
}
