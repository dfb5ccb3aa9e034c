//! Microversions of Nova and Cinder: what we ask for, and what a cloud offers.

use std::{fmt, str::FromStr};

use serde::Deserialize;

use crate::service::Service;

/// A microversion, `2.96`. Compared number by number: 2.100 is newer than 2.96.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceMicroversion {
    /// The number before the dot.
    pub major: u16,
    /// The number after it.
    pub minor: u16,
}

impl ServiceMicroversion {
    /// Makes `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// The newest version that this client knows of `service`: no newer one is ever sent, so that a cloud's
    /// upgrade changes nothing. `None` for a service without microversions.
    pub fn wanted(service: Service) -> Option<Self> {
        match service {
            Service::Compute => Some(Self::new(2, 96)),
            Service::Volume => Some(Self::new(3, 70)),
            _ => None,
        }
    }
}

impl fmt::Display for ServiceMicroversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ServiceMicroversion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            Some(Self::new(major.parse().ok()?, minor.parse().ok()?))
        };
        parse().ok_or_else(|| format!("{text:?} is not a microversion"))
    }
}

/// One entry of a version document. Nova's root gives `version`, Cinder's gives `versions`.
#[derive(Deserialize)]
struct VersionEntry {
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct VersionDocument {
    version: Option<VersionEntry>,
    #[serde(default)]
    versions: Vec<VersionEntry>,
}

/// Reads the highest microversion of the generation `major` from a version document; a cloud that names none
/// supports the first only.
pub(crate) fn newest_in_document(body: &[u8], major: u16) -> Result<ServiceMicroversion, String> {
    let document: VersionDocument =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let entries = document.version.into_iter().chain(document.versions);
    let known = entries
        .filter(|entry| !entry.version.is_empty())
        .map(|entry| entry.version.parse::<ServiceMicroversion>());
    let newest = known
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .filter(|version| version.major == major)
        .max();
    Ok(newest.unwrap_or(ServiceMicroversion::new(major, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_of_version_documents() {
        let nova = br#"{"version": {"id": "v2.1", "status": "CURRENT", "version": "2.104", "min_version": "2.1"}}"#;
        assert_eq!(
            newest_in_document(nova, 2),
            Ok(ServiceMicroversion::new(2, 104))
        );
        let cinder = br#"{"versions": [{"id": "v3.0", "version": "3.62", "min_version": "3.0"}]}"#;
        assert_eq!(
            newest_in_document(cinder, 3),
            Ok(ServiceMicroversion::new(3, 62))
        );
        let old = br#"{"version": {"id": "v2.0", "version": "", "min_version": ""}}"#;
        assert_eq!(
            newest_in_document(old, 2),
            Ok(ServiceMicroversion::new(2, 0))
        );
        assert!(newest_in_document(br#"{"versions": [{"version": "latest"}]}"#, 3).is_err());
    }

    #[test]
    fn compares_by_number() {
        assert!(ServiceMicroversion::new(2, 100) > ServiceMicroversion::new(2, 96));
        assert_eq!("3.70".parse(), Ok(ServiceMicroversion::new(3, 70)));
        assert!("3".parse::<ServiceMicroversion>().is_err());
    }
}
