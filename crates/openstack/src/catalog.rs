//! Keystone's service catalogue: where a cloud's services are.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize, de::Error as _};

use crate::{error::CallError, error_body::tidy, service::Service};

/// The most endpoints of the services that are used: three interfaces of six services in more regions than any cloud has.
const MOST_ENDPOINTS: usize = 2_000;

/// The longest text of an endpoint.
const LONGEST_TEXT: usize = 2_048;

/// How many endpoints an error offers.
const OFFERED: usize = 20;

/// Which of a service's endpoints are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointInterface {
    /// For users outside of the cloud.
    #[default]
    Public,
    /// For services inside of it.
    Internal,
    /// For administration, where a cloud still keeps it apart.
    Admin,
}

impl EndpointInterface {
    /// The word of the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for EndpointInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EndpointInterface {
    type Err = CallError;

    /// Reads `public`, `internal`, `admin` and their old forms `publicURL`, `internalURL`, `adminURL`.
    fn from_str(text: &str) -> Result<Self, CallError> {
        match text.strip_suffix("URL").unwrap_or(text) {
            "public" => Ok(Self::Public),
            "internal" => Ok(Self::Internal),
            "admin" => Ok(Self::Admin),
            _ => Err(CallError::Setup(format!(
                "interface {text:?} is none of public, internal, admin"
            ))),
        }
    }
}

/// One endpoint of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Endpoint {
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// The region's id; `region` is its older name for the same.
    pub region_id: Option<String>,
    pub url: String,
}

/// One service of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogEntry {
    /// `compute`, `volumev3` …
    #[serde(rename = "type")]
    pub service_type: String,
    pub endpoints: Vec<Endpoint>,
}

/// The catalogue that came with a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Catalog(pub Vec<CatalogEntry>);

impl<'de> Deserialize<'de> for Catalog {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Keystone sends `region` and `region_id` together, so the endpoint is read by hand of its two names.
        #[derive(Deserialize)]
        struct RawEndpoint {
            interface: String,
            region_id: Option<String>,
            region: Option<String>,
            url: String,
        }
        #[derive(Deserialize)]
        struct RawEntry {
            #[serde(rename = "type")]
            service_type: String,
            #[serde(default)]
            endpoints: Vec<RawEndpoint>,
        }
        let mut entries = Vec::<RawEntry>::deserialize(deserializer)?;
        // A session keeps its catalogue, and there are many sessions: only what may be asked for is kept.
        entries.retain(|entry| is_used(&entry.service_type));
        check(
            entries
                .iter()
                .flat_map(|entry| &entry.endpoints)
                .map(|raw| {
                    [raw.interface.as_str(), raw.url.as_str()]
                        .into_iter()
                        .chain(raw.region_id.as_deref())
                        .chain(raw.region.as_deref())
                }),
        )
        .map_err(D::Error::custom)?;
        let endpoint = |raw: RawEndpoint| Endpoint {
            interface: raw.interface,
            region_id: raw.region_id.or(raw.region),
            url: raw.url,
        };
        Ok(Self(
            entries
                .into_iter()
                .map(|entry| CatalogEntry {
                    service_type: entry.service_type,
                    endpoints: entry.endpoints.into_iter().map(endpoint).collect(),
                })
                .collect(),
        ))
    }
}

fn is_used(service_type: &str) -> bool {
    Service::ALL
        .iter()
        .any(|service| service.types().contains(&service_type))
}

/// Refuses a catalogue that no Keystone has: each of these is kept as long as a session.
fn check<'a>(endpoints: impl Iterator<Item = impl Iterator<Item = &'a str>>) -> Result<(), String> {
    for (number, mut texts) in endpoints.enumerate() {
        if number >= MOST_ENDPOINTS {
            return Err(format!(
                "the catalogue has more than {MOST_ENDPOINTS} endpoints of the services that are used"
            ));
        }
        if texts.any(|text| text.len() > LONGEST_TEXT) {
            return Err(format!(
                "the catalogue has an endpoint whose URL, region or interface is longer than {LONGEST_TEXT} bytes"
            ));
        }
    }
    Ok(())
}

impl Catalog {
    /// The one endpoint of `service` for `interface` and, where given, `region`.
    ///
    /// Without a region the catalogue must not leave a choice between several: a guess could lead to another site.
    ///
    /// # Errors
    /// [`CloudError::NoEndpoint`] with what the catalogue has instead.
    pub fn endpoint(
        &self,
        service: Service,
        interface: EndpointInterface,
        region: Option<&str>,
    ) -> Result<&str, CallError> {
        let fits = |endpoint: &&Endpoint| {
            endpoint.interface == interface.as_str()
                && (region.is_none() || endpoint.region_id.as_deref() == region)
        };
        // The first of the service's types that has a fitting endpoint decides: older ones may lead to older APIs.
        let fitting = service
            .types()
            .iter()
            .map(|name| self.of_type(name).filter(fits).collect::<BTreeSet<_>>());
        let fitting: Vec<&Endpoint> = fitting
            .into_iter()
            .find(|found| !found.is_empty())
            .into_iter()
            .flatten()
            .collect();
        match fitting.as_slice() {
            [only] => Ok(&only.url),
            others => Err(CallError::NoEndpoint {
                service,
                wanted: match region {
                    Some(region) => format!("for interface {interface} in region {region}"),
                    None if others.is_empty() => format!("for interface {interface}"),
                    None => {
                        format!("for interface {interface} that is the only one (name a region)")
                    }
                },
                offered: offer(service.types().iter().flat_map(|name| self.of_type(name))),
            }),
        }
    }

    fn of_type(&self, name: &str) -> impl Iterator<Item = &Endpoint> {
        self.0
            .iter()
            .filter(move |entry| entry.service_type == name)
            .flat_map(|entry| &entry.endpoints)
    }
}

fn offer<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> String {
    let pairs: BTreeSet<String> = endpoints
        .map(|endpoint| {
            format!(
                "{} in {}",
                endpoint.interface,
                endpoint.region_id.as_deref().unwrap_or("no region")
            )
        })
        .collect();
    let more = pairs.len().saturating_sub(OFFERED);
    let some = pairs
        .into_iter()
        .take(OFFERED)
        .collect::<Vec<_>>()
        .join(", ");
    match more {
        _ if some.is_empty() => "none at all".to_owned(),
        0 => tidy(&some),
        more => format!("{} and {more} more", tidy(&some)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalog() -> Catalog {
        serde_json::from_value(json!([
            {"type": "block-storage", "name": "cinder", "endpoints": [
                {"interface": "public", "region_id": "north", "region": "north", "url": "https://n/volume/v3/p1"},
                {"interface": "public", "region_id": "south", "region": "south", "url": "https://s/volume/v3/p1"},
                {"interface": "internal", "region_id": "north", "region": "north", "url": "https://n.int/v3/p1"}]},
            {"type": "compute", "endpoints": [{"interface": "public", "region": "north", "url": "https://n/v2.1"}]}
        ]))
        .unwrap()
    }

    #[test]
    fn finds_by_type_alias_interface_and_region() {
        let catalog = catalog();
        let find = |service, interface, region| catalog.endpoint(service, interface, region);
        assert_eq!(
            find(Service::Volume, EndpointInterface::Public, Some("south")),
            Ok("https://s/volume/v3/p1")
        );
        assert_eq!(
            find(Service::Volume, EndpointInterface::Internal, None),
            Ok("https://n.int/v3/p1")
        );
        assert_eq!(
            find(Service::Compute, EndpointInterface::Public, Some("north")),
            Ok("https://n/v2.1")
        );
    }

    #[test]
    fn never_guesses_and_says_what_there_is() {
        let catalog = catalog();
        let several = catalog
            .endpoint(Service::Volume, EndpointInterface::Public, None)
            .unwrap_err()
            .to_string();
        assert!(
            several.contains("name a region") && several.contains("public in south"),
            "{several}"
        );
        let missing = catalog
            .endpoint(Service::Image, EndpointInterface::Public, Some("north"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            missing,
            "the catalogue has no Glance endpoint for interface public in region north; it offers none at all. \
             Register the endpoint, or correct region_name and interface of the site"
        );
        let wrong = catalog
            .endpoint(Service::Compute, EndpointInterface::Admin, Some("south"))
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("it offers public in north"), "{wrong}");
    }

    #[test]
    fn what_is_not_used_is_not_kept_and_a_catalogue_without_an_end_is_refused() {
        let endpoint = |region: String| json!({"interface": "public", "region": region, "url": "https://n/v2.1"});
        let entry = |kind: &str, regions: usize| {
            let endpoints: Vec<_> = (0..regions)
                .map(|number| endpoint(number.to_string()))
                .collect();
            json!({"type": kind, "endpoints": endpoints})
        };
        let read = |value| serde_json::from_value::<Catalog>(value);
        let kept = read(json!([entry("telemetry", 9_000), entry("compute", 2_000)])).unwrap();
        assert_eq!(kept.0.len(), 1);
        let error = kept
            .endpoint(Service::Compute, EndpointInterface::Internal, None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("and 1980 more") && error.len() < 1000,
            "{error}"
        );
        let error = read(json!([entry("compute", 1_000), entry("image", 1_001)])).unwrap_err();
        assert!(
            error.to_string().contains("more than 2000 endpoints"),
            "{error}"
        );
        let long = json!([{"type": "compute", "endpoints": [endpoint("r".repeat(2_049))]}]);
        let error = read(long).unwrap_err().to_string();
        assert!(error.contains("longer than 2048 bytes"), "{error}");
    }

    #[test]
    fn reads_old_interface_words() {
        assert_eq!("internalURL".parse(), Ok(EndpointInterface::Internal));
        assert!("pubic".parse::<EndpointInterface>().is_err());
    }
}
