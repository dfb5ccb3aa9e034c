//! What an engine may reach on a tenant's word beside clouds and arrays. It runs in the operator's network, so the
//! operator says where tenants' hooks and probes may lead; without that there are none.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;

/// Where hooks and probes may lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOutside {
    hooks: Vec<Url>,
    networks: Vec<IpNet>,
}

impl AllowedOutside {
    /// Hooks whose URL begins with one of `hooks`, each with a path that ends with `/`; probes of addresses in one of
    /// `networks`.
    pub fn new(hooks: Vec<Url>, networks: Vec<IpNet>) -> Self {
        Self { hooks, networks }
    }

    /// Whether `url` may be called. It is compared as it would be called: `..` and upper case in the host do not lead
    /// elsewhere.
    pub fn allows_hook(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else {
            return false;
        };
        url.username().is_empty()
            && url.password().is_none()
            && self
                .hooks
                .iter()
                .any(|prefix| url.as_str().starts_with(prefix.as_str()))
    }

    /// Whether any probe may be made.
    pub fn allows_any_probe(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Whether a server at `address` may be probed.
    pub fn allows_probe(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// With what a hook's URL must begin, for messages.
    pub fn hook_url_prefixes(&self) -> Vec<String> {
        self.hooks.iter().map(Url::to_string).collect()
    }

    /// In which networks servers may be probed, for messages.
    pub fn probe_networks(&self) -> Vec<String> {
        self.networks.iter().map(IpNet::to_string).collect()
    }
}

/// A hook's URL as records and logs show it: which host is told, and none of the path and the query, in which tokens are.
pub fn shown(hook_url: &str) -> String {
    Url::parse(hook_url).map_or_else(
        |_| "a URL that is none".to_owned(),
        |url| url.origin().ascii_serialization(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> AllowedOutside {
        AllowedOutside::new(
            vec!["https://hooks.example.org/dr/".parse().unwrap()],
            vec!["10.20.0.0/16".parse().unwrap()],
        )
    }

    #[test]
    fn a_hook_leads_only_where_the_operator_allows() {
        let allowed = allowed();
        for good in [
            "https://hooks.example.org/dr/",
            "https://hooks.example.org/dr/notify?team=a",
            "https://HOOKS.example.org:443/dr/x/../notify",
        ] {
            assert!(allowed.allows_hook(good), "{good}");
        }
        for bad in [
            "https://hooks.example.org/",
            "http://hooks.example.org/dr/",
            "https://hooks.example.org.evil.example/dr/",
            "https://hooks.example.org/dr/../admin",
            "https://hooks.example.org/dr/%2e%2e/admin",
            "https://hooks.example.org@evil.example/dr/",
            "https://user:pw@hooks.example.org/dr/",
            "https://169.254.169.254/dr/",
            "file:///etc/passwd",
            "",
        ] {
            assert!(!allowed.allows_hook(bad), "{bad}");
        }
    }

    #[test]
    fn of_a_hook_s_url_the_host_is_shown() {
        let told = shown("https://hooks.example.org:8443/services/T0K3N?key=s3cr3t");
        assert_eq!(told, "https://hooks.example.org:8443");
        assert_eq!(shown("s3cr3t"), "a URL that is none");
    }

    #[test]
    fn nothing_is_allowed_unless_it_is_named() {
        let nothing = AllowedOutside::default();
        assert!(!nothing.allows_hook("https://hooks.example.org/dr/"));
        assert!(!nothing.allows_probe("10.20.0.1".parse().unwrap()));
        assert!(!nothing.allows_any_probe());
        assert!(allowed().allows_probe("10.20.3.4".parse().unwrap()));
        assert!(!allowed().allows_probe("10.21.0.1".parse().unwrap()));
    }
}
