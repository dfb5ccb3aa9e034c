//! Probes and hooks over the network, as far as the operator allows them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use protector_core::{outside::AllowedOutside, recovery_plan::Probe};
use protector_engine::outside::{News, Outside, OutsideError};
use reqwest::{
    Client, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use tokio::net::TcpStream;

/// How long a server may take to answer one probe.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// The network around the engine.
pub struct Network {
    allowed: AllowedOutside,
    http: Client,
}

impl Network {
    /// The part of the network that is `allowed`.
    ///
    /// # Errors
    ///
    /// What kept the HTTP client from being made.
    pub fn new(allowed: AllowedOutside) -> reqwest::Result<Self> {
        // A redirect could lead where the operator does not allow, a proxy asks from another place.
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(OutsideOnly))
            .user_agent(concat!("protector/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { allowed, http })
    }
}

#[async_trait]
impl Outside for Network {
    async fn probe(&self, address: IpAddr, probe: &Probe) -> Result<(), OutsideError> {
        if !self.allowed.allows_probe(address) {
            return Err(OutsideError::Forbidden(format!(
                "the operator allows probes in {} only ([engine] probe_networks)",
                or_nothing(&self.allowed.probe_networks())
            )));
        }
        if is_of_hosts_only(address) || is_own(address) {
            return Err(OutsideError::Forbidden(format!(
                "{address} is an address of the engine's own host or link, or of nobody in particular; no probe leads there, whatever [engine] probe_networks says"
            )));
        }
        match probe {
            Probe::Tcp { port } => connect(address, *port).await,
            Probe::Http { port, path, status } => {
                let path = path.expose().map_err(|why| {
                    OutsideError::Forbidden(format!("its path cannot be read: {why}"))
                })?;
                let url = probe_url(address, *port, path).ok_or_else(|| {
                    OutsideError::Forbidden("no URL can be made of its path".to_owned())
                })?;
                let call = self.http.get(url);
                let answer = call.timeout(PROBE_LIMIT).send().await.map_err(silent)?;
                match answer.status().as_u16() {
                    seen if seen == *status => Ok(()),
                    seen => Err(OutsideError::Silent(format!("it answered {seen}"))),
                }
            }
        }
    }

    async fn call_hook(&self, url: &str, news: &News, limit: Duration) -> Result<(), OutsideError> {
        if !self.allowed.allows_hook(url) {
            return Err(OutsideError::Forbidden(format!(
                "the operator allows hooks below {} only ([engine] hook_url_prefixes)",
                or_nothing(&self.allowed.hook_url_prefixes())
            )));
        }
        let call = self
            .http
            .post(url)
            .header("Idempotency-Key", &news.delivery)
            .json(news)
            .timeout(limit);
        let status = call.send().await.map_err(silent)?.status();
        if status.is_success() {
            return Ok(());
        }
        let why = format!("it answered {}", status.as_u16());
        if may_pass(status) {
            Err(OutsideError::Silent(why))
        } else {
            Err(OutsideError::Forbidden(why))
        }
    }
}

/// Names are resolved to addresses outside of this host and its link only. An address that the operator has written into
/// `[engine] hook_url_prefixes` is the operator's own word and is not resolved.
struct OutsideOnly;

/// A name leads where no hook may lead.
#[derive(Debug)]
struct LeadsInside(String);

impl fmt::Display for LeadsInside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} resolves to this host, its link or a multicast address only; hooks do not lead there",
            self.0
        )
    }
}

impl std::error::Error for LeadsInside {}

impl Resolve for OutsideOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let outside: Vec<_> = found
                .filter(|found| !is_of_hosts_only(found.ip()) && !is_own(found.ip()))
                .collect();
            if outside.is_empty() {
                return Err(LeadsInside(name.as_str().to_owned()).into());
            }
            let outside: Addrs = Box::new(outside.into_iter());
            Ok(outside)
        })
    }
}

/// Whether `address` has a meaning for the host only that uses it: itself, its link with the cloud's metadata service at
/// 169.254.169.254, or everybody. No tenant leads a service there, however wide the operator's networks are.
fn is_of_hosts_only(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                || address.is_multicast()
        }
    }
}

/// Whether `address` is one of this host's: only to such the host would speak from that same address. Nothing is sent. Whether
/// it can be bound tells nothing where `ip_nonlocal_bind` is set, as on many controllers.
fn is_own(address: IpAddr) -> bool {
    let anywhere = match address {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let speaks_from = UdpSocket::bind((anywhere, 0)).and_then(|socket| {
        socket.connect((address, NO_PORT_IN_PARTICULAR))?;
        socket.local_addr()
    });
    speaks_from.is_ok_and(|own| own.ip() == address)
}

/// A route is asked for, which no port changes.
const NO_PORT_IN_PARTICULAR: u16 = 9;

/// The URL of a probe. Its parts are set one by one, so that nothing in the path leads to another host.
fn probe_url(address: IpAddr, port: u16, path: &str) -> Option<Url> {
    let mut url = Url::parse("http://probe.invalid/").ok()?;
    url.set_ip_host(address).ok()?;
    url.set_port(Some(port)).ok()?;
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    url.set_path(path);
    url.set_query(query);
    Some(url)
}

/// Whether the same call may be answered otherwise later.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

fn or_nothing(allowed: &[String]) -> String {
    if allowed.is_empty() {
        "nothing".to_owned()
    } else {
        allowed.join(", ")
    }
}

async fn connect(address: IpAddr, port: u16) -> Result<(), OutsideError> {
    let connection = TcpStream::connect((address, port));
    match tokio::time::timeout(PROBE_LIMIT, connection).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(OutsideError::Silent(error.to_string())),
        Err(_) => Err(OutsideError::Silent(format!(
            "no answer within {} s",
            PROBE_LIMIT.as_secs()
        ))),
    }
}

fn silent(error: reqwest::Error) -> OutsideError {
    if error.is_timeout() {
        return OutsideError::Silent("no answer in time".to_owned());
    }
    // Without the URL, which the record has already; the last cause is what the network said.
    let error = error.without_url();
    let mut last: &dyn std::error::Error = &error;
    while let Some(source) = last.source() {
        last = source;
    }
    if last.is::<LeadsInside>() {
        return OutsideError::Forbidden(last.to_string());
    }
    OutsideError::Silent(last.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_a_probe_to_another_host() {
        let address: IpAddr = "10.20.3.4".parse().unwrap();
        for path in [
            "/",
            "/health?deep=1",
            "@evil.example/",
            "9@evil.example:8080/x",
            "//evil.example/",
            "/\\evil.example/",
            ".evil.example/",
        ] {
            let url = probe_url(address, 80, path).unwrap();
            assert_eq!(url.host_str(), Some("10.20.3.4"), "{url}");
            assert_eq!(url.port_or_known_default(), Some(80), "{url}");
            assert!(url.username().is_empty(), "{url}");
        }
        let url = probe_url(address, 8080, "/health?deep=1").unwrap();
        assert_eq!(url.as_str(), "http://10.20.3.4:8080/health?deep=1");
        let url = probe_url("2001:db8::7".parse().unwrap(), 80, "/").unwrap();
        assert_eq!(url.as_str(), "http://[2001:db8::7]/");
    }

    #[tokio::test]
    async fn no_network_however_wide_leads_a_probe_to_the_host_itself_or_its_link() {
        let networks = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap());
        let allowed = AllowedOutside::new(Vec::new(), networks.to_vec());
        protector_service::tls::choose_tls_provider();
        let network = Network::new(allowed).unwrap();
        for bad in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ] {
            let probed = network
                .probe(bad.parse().unwrap(), &Probe::Tcp { port: 9 })
                .await;
            let forbidden = matches!(probed, Err(OutsideError::Forbidden(_)));
            assert!(forbidden, "{bad}");
        }
        for good in ["10.20.3.4", "203.0.113.7", "2001:db8::7", "fd00::7"] {
            assert!(!is_of_hosts_only(good.parse().unwrap()), "{good}");
        }
    }

    #[test]
    fn the_host_s_own_addresses_are_known() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }

    /// The operator has named a host; whoever answers for names must not lead the hook into this host.
    #[tokio::test]
    async fn a_hook_s_name_that_resolves_to_this_host_is_not_called() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("http://localhost:{port}/dr/");
        let allowed = AllowedOutside::new(vec![url.parse().unwrap()], Vec::new());
        protector_service::tls::choose_tls_provider();
        let network = Network::new(allowed).unwrap();
        let limit = Duration::from_secs(5);
        let called = network.http.post(&url).timeout(limit).send();
        let refused = tokio::select! {
            answer = called => silent(answer.unwrap_err()),
            _ = listener.accept() => panic!("it was called"),
        };
        let OutsideError::Forbidden(why) = refused else {
            panic!("not forbidden");
        };
        assert!(why.starts_with("localhost resolves to this host"), "{why}");
    }
}
