//! What is counted of the calls to the sites' clouds, by both services, for Prometheus.
//!
//! Labels are sites, services, methods and statuses: no path, no id and no name of a tenant. Only an administrator names
//! a site, so their number stays small.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;
use protector_core::id::SiteName;
use protector_openstack::error::Call;
use protector_openstack::exchange_observer::ExchangeObserver;
use protector_openstack::exchange_observer::ExchangeOutcome;

/// The upper bounds of the histogram in seconds: from a token's check to the longest that an exchange may take.
const SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    site: String,
    service: &'static str,
    method: &'static str,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    site: String,
    service: &'static str,
    method: &'static str,
}

/// The counters of one process. Clones count into the same ones.
#[derive(Clone, Debug)]
pub struct CloudRequests {
    requests: Family<Ended, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
}

impl Default for CloudRequests {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
        }
    }
}

impl CloudRequests {
    /// Has them written out with what else is in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "protector_cloud_requests",
            "Exchanges with the sites' clouds, repetitions included, by site, service, method and outcome: the HTTP \
             status, 'unreachable' when no connection was made, 'lost' when no answer came in time",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "protector_cloud_request_duration",
            "Time of one exchange with a site's cloud, by site, service and method",
            Unit::Seconds,
            self.durations.clone(),
        );
    }

    /// What counts the exchanges with the cloud of `site`.
    pub fn of(&self, site: &SiteName) -> Arc<dyn ExchangeObserver> {
        Arc::new(OfSite {
            site: site.to_string(),
            counts: self.clone(),
        })
    }
}

struct OfSite {
    site: String,
    counts: CloudRequests,
}

impl ExchangeObserver for OfSite {
    fn observed(&self, call: &Call, outcome: ExchangeOutcome, took: Duration) {
        let asked = Asked {
            site: self.site.clone(),
            service: call.service.name(),
            method: method_label(&call.method),
        };
        let ended = Ended {
            site: asked.site.clone(),
            service: asked.service,
            method: asked.method,
            outcome: word(outcome),
        };
        let durations = self.counts.durations.get_or_create(&asked);
        durations.observe(took.as_secs_f64());
        drop(durations);
        self.counts.requests.get_or_create(&ended).inc();
    }
}

fn word(outcome: ExchangeOutcome) -> String {
    match outcome {
        ExchangeOutcome::Answered(status) => status.to_string(),
        ExchangeOutcome::Unreachable => "unreachable".to_owned(),
        ExchangeOutcome::Lost => "lost".to_owned(),
    }
}

/// A method as a label. Callers may send any word as a method; only known ones become labels.
pub fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use prometheus_client::encoding::text::encode;
    use protector_openstack::service::Service;

    use super::*;

    #[test]
    fn an_exchange_is_counted_under_its_site_and_names_nothing_else() {
        let counts = CloudRequests::default();
        let mut registry = Registry::default();
        counts.register(&mut registry);
        let call = Call {
            service: Service::Volume,
            method: Method::DELETE,
            path: "/volumes/4a0f-of-a-tenant".to_owned(),
            writes: true,
        };
        let took = Duration::from_millis(300);
        let (a, b) = (counts.of(&"site-a".into()), counts.of(&"site-b".into()));
        a.observed(&call, ExchangeOutcome::Answered(202), took);
        a.observed(&call, ExchangeOutcome::Answered(202), took);
        a.observed(&call, ExchangeOutcome::Unreachable, took);
        b.observed(&call, ExchangeOutcome::Lost, took);

        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "protector_cloud_requests_total{site=\"site-a\",service=\"Cinder\",method=\"DELETE\",outcome=\"202\"} 2",
            "protector_cloud_requests_total{site=\"site-a\",service=\"Cinder\",method=\"DELETE\",outcome=\"unreachable\"} 1",
            "protector_cloud_requests_total{site=\"site-b\",service=\"Cinder\",method=\"DELETE\",outcome=\"lost\"} 1",
            "protector_cloud_request_duration_seconds_count{site=\"site-a\",service=\"Cinder\",method=\"DELETE\"} 3",
            "protector_cloud_request_duration_seconds_sum{site=\"site-b\",service=\"Cinder\",method=\"DELETE\"} 0.3",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        assert!(!text.contains("4a0f"), "{text}");
    }
}
