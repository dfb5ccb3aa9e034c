//! The configuration as the services use it: one struct per section, values typed.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use tracing::level_filters::LevelFilter;
use url::Url;

use super::{
    check,
    options::{CEPH_RBD_DRIVER, DRIVER, ENABLED_ARRAYS, MOCK_DRIVER, STORAGE},
    reader::{Reader, Section},
};

/// `[DEFAULT]`: the service as a whole.
#[derive(Debug, Clone)]
pub struct General {
    /// The local site's name; services refuse to start without it, see
    /// [`Config::essentials`](super::Config::essentials).
    pub site_name: Option<String>,
    /// This host in records and logs.
    pub host: String,
    /// Root of the service's own files.
    pub state_path: PathBuf,
    /// DEBUG instead of INFO.
    pub debug: bool,
    /// Directory of `<program>.log`.
    pub log_dir: Option<PathBuf>,
    /// Name of the log file instead of `<program>.log`.
    pub log_file: Option<PathBuf>,
    /// One JSON object per record.
    pub use_json: bool,
    /// Level per target of other libraries.
    pub default_log_levels: Vec<(String, LevelFilter)>,
    /// How long a stopping service waits; `None` for as long as it takes.
    pub graceful_shutdown_timeout: Option<Duration>,
    /// The users here of the other sites' protectors, where they are not the one that the site is registered with.
    pub peer_user_ids: Vec<String>,
    /// Accepted and not used in this release.
    pub transport_url: Option<SecretString>,
}

/// A small listener of a service, for those who watch it.
#[derive(Debug, Clone)]
pub struct BesideListener {
    /// The section whose `metrics_bind_host` and `metrics_port` these are.
    pub section: &'static str,
    /// Address to listen on.
    pub host: String,
    /// Port to listen on; 0 for none.
    pub port: u16,
}

impl BesideListener {
    fn read(section: &mut Section<'_, '_>, name: &'static str) -> Self {
        Self {
            section: name,
            host: section.text("metrics_bind_host"),
            port: section.number("metrics_port"),
        }
    }
}

/// `[api]`: the REST service.
#[derive(Debug, Clone)]
pub struct Api {
    /// Address to listen on.
    pub bind_host: String,
    /// Port to listen on.
    pub bind_port: u16,
    /// Base URL for links.
    pub public_endpoint: Option<String>,
    /// Most items of one page.
    pub max_limit: usize,
    /// Most connections at once.
    pub max_connections: NonZeroUsize,
    /// How long a client may take for a header, or stay without a request.
    pub client_timeout: Duration,
    /// By how much the clocks of two sites' protectors may differ.
    pub peer_signature_window: Duration,
    /// Where `/metrics` is served.
    pub metrics: BesideListener,
}

/// `[audit]`: the audit trail.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Its file; `None` for none.
    pub log_file: Option<PathBuf>,
}

impl Audit {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            log_file: reader.section("audit").optional_path("log_file"),
        }
    }

    /// The file's whole path.
    pub fn path(&self, log_dir: Option<&Path>) -> Option<PathBuf> {
        let file = self.log_file.as_ref()?;
        Some(log_dir.map_or_else(|| file.clone(), |dir| dir.join(file)))
    }
}

/// `[database]`.
#[derive(Debug, Clone)]
pub struct DatabaseSection {
    /// The URL in SQLAlchemy's form, as written; see [`Database::sqlx_url`].
    pub connection: SecretString,
    /// Most connections of one service.
    pub max_pool_size: u32,
    /// How long a statement of one who reads may take.
    pub query_timeout: Duration,
    /// Tries to connect at the start; `None` without end.
    pub max_retries: Option<u32>,
    pub retry_interval: Duration,
}

impl DatabaseSection {
    /// The connection URL in sqlx's form: `sqlite:////var/db` becomes `sqlite:///var/db`,
    /// `mysql+pymysql://` becomes `mysql://`.
    #[must_use]
    pub fn sqlx_url(&self) -> SecretString {
        let written = self.connection.expose_secret();
        // The URL was validated by the same function when it was read.
        check::sqlx_url(written)
            .unwrap_or_else(|_| written.to_owned())
            .into()
    }
}

/// `[engine]`.
#[derive(Debug, Clone)]
pub struct EngineSection {
    /// Deadline of one resource's deletion, over all tries and waits.
    pub cleanup_timeout: Duration,
    /// Retries after the first try of automatic cleanup.
    pub cleanup_retry_attempts: u32,
    /// Whether `test_cleanup` deletes.
    pub cleanup_on_test_failover: bool,
    /// Whether source volumes stay after a failover.
    pub retain_source_volumes_on_failover: bool,
    /// Whether manual cleanup is refused while the peer is unreachable.
    pub cleanup_requires_peer: bool,
    /// Between looks for work in the database.
    pub poll_interval: Duration,
    /// Between looks at a resource that a cloud works on.
    pub status_poll: Duration,
    /// Life of an engine's claim on an operation.
    pub lease: Duration,
    /// Operations at a time.
    pub max_concurrent_operations: NonZeroUsize,
    /// One project's operations at a time.
    pub max_concurrent_operations_per_project: NonZeroUsize,
    /// Nova steps at a time, per cloud.
    pub compute_concurrency_per_cloud: NonZeroUsize,
    /// Cinder steps at a time, per cloud.
    pub volume_concurrency_per_cloud: NonZeroUsize,
    /// Array steps at a time.
    pub storage_concurrency: NonZeroUsize,
    /// A source VM's time to shut down in order.
    pub stop_timeout: Duration,
    /// A target VM's time to become ACTIVE.
    pub build_timeout: Duration,
    /// Cinder's time to import a volume.
    pub manage_timeout: Duration,
    /// The last replication's time.
    pub replication_timeout: Duration,
    /// How long a target VM must stay ACTIVE.
    pub health_check: Duration,
    /// Until a retry takes a silent source for lost.
    pub lost_source: Duration,
    /// Between looks at what unplanned failovers left behind.
    pub split_brain_check: Duration,
    /// Time between two readings of what tenants change on their servers; `None`: only before planned moves.
    pub spec_refresh: Option<Duration>,
    /// How long a target VM's probe may fail.
    pub probe_timeout: Duration,
    /// In which networks target VMs may be probed.
    pub probe_networks: Vec<IpNet>,
    /// With what the URLs of hooks begin.
    pub hook_url_prefixes: Vec<Url>,
    /// Where `/metrics` and `/healthcheck` are served.
    pub metrics: BesideListener,
}

/// Which of a service's endpoints is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfiguredInterface {
    Internal,
    Public,
    Admin,
}

/// `[keystone_authtoken]`: validation of tokens and the service user.
#[derive(Debug, Clone)]
pub struct KeystoneAuthtoken {
    /// Keystone's URL for callers; the `auth_url` when not given.
    pub www_authenticate_uri: Option<String>,
    /// Keystone's URL for this service.
    pub auth_url: Option<String>,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub project_name: String,
    pub user_domain_name: String,
    pub project_domain_name: String,
    /// Region of the endpoints.
    pub region_name: Option<String>,
    pub interface: ConfiguredInterface,
    /// Authorities of Keystone's certificate.
    pub cafile: Option<PathBuf>,
    /// Any certificate will do.
    pub insecure: bool,
    /// How long a validated token is trusted; `None` asks every time.
    pub token_cache_time: Option<Duration>,
    /// Deadline of connecting and of an answer.
    pub http_connect_timeout: Duration,
}

/// `[openstack]`: calls to the clouds.
#[derive(Debug, Clone)]
pub struct OpenStack {
    /// Deadline of one request.
    pub request_timeout: Duration,
    pub connect_timeout: Duration,
    /// Repetitions of a request that failed for a passing reason.
    pub max_retries: u32,
    /// Authorities of the clouds' certificates.
    pub cafile: Option<PathBuf>,
    /// Sites without TLS will do.
    pub allow_http_sites: bool,
    /// Neutron there lets tenants choose addresses on networks of others.
    pub tenants_choose_addresses_on_shared_networks: bool,
}

/// `[oslo_middleware]`.
#[derive(Debug, Clone)]
pub struct OsloMiddleware {
    /// Largest body in bytes.
    pub max_request_body_size: usize,
    /// Whether a proxy says for whom it asks.
    pub enable_proxy_headers_parsing: bool,
}

/// `[oslo_policy]`.
#[derive(Debug, Clone)]
pub struct OsloPolicy {
    pub policy_file: PathBuf,
}

/// `[quota]`; `None`: without a limit.
#[derive(Debug, Clone)]
pub struct Quota {
    /// Groups of a project.
    pub protection_groups: Option<u64>,
    /// Members of a group.
    pub members_per_group: Option<u64>,
    /// Operations of a project that have not ended.
    pub open_operations: Option<u64>,
    /// Groups of one project that are shared with one other site.
    pub peer_protection_groups: Option<u64>,
    /// Records of the other site's operations on one group.
    pub peer_operations: Option<u64>,
}

/// `[rate_limit]`; `None`: without a limit.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// Requests of a project each second.
    pub requests_per_second: Option<NonZeroU32>,
    /// How many of them at once.
    pub burst: NonZeroU32,
    /// Its reading requests at a time.
    pub concurrent_reads: Option<NonZeroUsize>,
}

impl RateLimit {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("rate_limit");
        Self {
            requests_per_second: NonZeroU32::new(section.number("requests_per_second")),
            burst: NonZeroU32::new(section.number("burst")).unwrap_or(NonZeroU32::MIN),
            concurrent_reads: NonZeroUsize::new(section.number("concurrent_reads")),
        }
    }
}

/// `[secrets]`.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Directory of the numbered keys.
    pub key_repository: PathBuf,
}

/// `[ssl]`: TLS at the API's listener.
#[derive(Debug, Clone)]
pub struct Ssl {
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

impl Ssl {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("ssl");
        Self {
            cert_file: section.optional_path("cert_file"),
            key_file: section.optional_path("key_file"),
        }
    }
}

/// `[storage]`, and the sections of the arrays that it enables.
#[derive(Debug, Clone)]
pub struct Storage {
    /// SQLite file of `MockStorageDriver`.
    pub mock_catalogue: PathBuf,
    /// The enabled arrays, each name once.
    pub arrays: Vec<StorageArray>,
}

/// `[NAME]` of an enabled array.
#[derive(Debug, Clone)]
pub struct StorageArray {
    /// In policies and records.
    pub name: String,
    pub driver: ArrayDriver,
}

/// The driver of an array, with its options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ArrayDriver {
    Mock {
        directory: PathBuf,
    },
    CephRbd {
        ceph_conf: PathBuf,
        /// Without `client.`.
        user: String,
        keyring: Option<PathBuf>,
        pool: String,
    },
}

impl General {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("DEFAULT");
        Self {
            site_name: section.optional_text("site_name"),
            host: section.optional_text("host").unwrap_or_else(host_name),
            state_path: section.path("state_path"),
            debug: section.flag("debug"),
            log_dir: section.optional_path("log_dir"),
            log_file: section.optional_path("log_file"),
            use_json: section.flag("use_json"),
            default_log_levels: section.list_of("default_log_levels", check::log_level),
            graceful_shutdown_timeout: Some(section.seconds("graceful_shutdown_timeout"))
                .filter(|timeout| !timeout.is_zero()),
            peer_user_ids: section.list_of("peer_user_ids", check::user_id),
            transport_url: section.optional_secret("transport_url"),
        }
    }
}

/// What `uname(2)` says, also where `/proc` shows processes only.
fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    match name.is_empty() {
        true => "localhost".to_owned(),
        false => name,
    }
}

impl Api {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("api");
        Self {
            bind_host: section.text("bind_host"),
            bind_port: section.number("bind_port"),
            public_endpoint: section.optional_text("public_endpoint"),
            max_limit: section.number("max_limit"),
            max_connections: section.count("max_connections"),
            client_timeout: section.seconds("client_timeout_seconds"),
            peer_signature_window: section.seconds("peer_signature_window_seconds"),
            metrics: BesideListener::read(&mut section, "api"),
        }
    }
}

impl DatabaseSection {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("database");
        Self {
            connection: section.secret("connection"),
            max_pool_size: section.saturated("max_pool_size"),
            query_timeout: section.seconds("query_timeout_seconds"),
            max_retries: section.saturated_unless_negative("max_retries"),
            retry_interval: section.seconds("retry_interval"),
        }
    }
}

impl EngineSection {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("engine");
        Self {
            cleanup_timeout: section.seconds("cleanup_timeout_seconds"),
            cleanup_retry_attempts: section.saturated("cleanup_retry_attempts"),
            cleanup_on_test_failover: section.flag("cleanup_on_test_failover"),
            retain_source_volumes_on_failover: section.flag("retain_source_volumes_on_failover"),
            cleanup_requires_peer: section.flag("cleanup_requires_peer"),
            poll_interval: section.seconds("poll_interval_seconds"),
            status_poll: section.seconds("status_poll_seconds"),
            lease: section.seconds("lease_seconds"),
            max_concurrent_operations: section.count("max_concurrent_operations"),
            max_concurrent_operations_per_project: section
                .count("max_concurrent_operations_per_project"),
            compute_concurrency_per_cloud: section.count("compute_concurrency_per_cloud"),
            volume_concurrency_per_cloud: section.count("volume_concurrency_per_cloud"),
            storage_concurrency: section.count("storage_concurrency"),
            stop_timeout: section.seconds("stop_timeout_seconds"),
            build_timeout: section.seconds("build_timeout_seconds"),
            manage_timeout: section.seconds("manage_timeout_seconds"),
            replication_timeout: section.seconds("replication_timeout_seconds"),
            health_check: section.seconds("health_check_seconds"),
            lost_source: section.seconds("lost_source_seconds"),
            split_brain_check: section.seconds("split_brain_check_seconds"),
            spec_refresh: NonZeroU32::new(section.saturated("spec_refresh_minutes"))
                .map(|minutes| Duration::from_secs(60) * minutes.get()),
            probe_timeout: section.seconds("probe_timeout_seconds"),
            probe_networks: section.list_of("probe_networks", check::network),
            hook_url_prefixes: section.list_of("hook_url_prefixes", check::hook_url_prefix),
            metrics: BesideListener::read(&mut section, "engine"),
        }
    }
}

impl KeystoneAuthtoken {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("keystone_authtoken");
        // Only password plugins pass the table's check; both mean the same request.
        section.text("auth_type");
        Self {
            www_authenticate_uri: section.optional_text("www_authenticate_uri"),
            auth_url: section.optional_text("auth_url"),
            username: section.optional_text("username"),
            password: section.optional_secret("password"),
            project_name: section.text("project_name"),
            user_domain_name: section.text("user_domain_name"),
            project_domain_name: section.text("project_domain_name"),
            region_name: section.optional_text("region_name"),
            interface: match section.text("interface").as_str() {
                "public" => ConfiguredInterface::Public,
                "admin" => ConfiguredInterface::Admin,
                _ => ConfiguredInterface::Internal,
            },
            cafile: section.optional_path("cafile"),
            insecure: section.flag("insecure"),
            token_cache_time: section
                .saturated_unless_negative("token_cache_time")
                .map(|seconds| Duration::from_secs(seconds.into())),
            http_connect_timeout: section.seconds("http_connect_timeout"),
        }
    }
}

impl OpenStack {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("openstack");
        Self {
            request_timeout: section.seconds("request_timeout_seconds"),
            connect_timeout: section.seconds("connect_timeout_seconds"),
            max_retries: section.saturated("max_retries"),
            cafile: section.optional_path("cafile"),
            allow_http_sites: section.flag("allow_http_sites"),
            tenants_choose_addresses_on_shared_networks: section
                .flag("tenants_choose_addresses_on_shared_networks"),
        }
    }
}

impl OsloMiddleware {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("oslo_middleware");
        Self {
            max_request_body_size: section.number("max_request_body_size"),
            enable_proxy_headers_parsing: section.flag("enable_proxy_headers_parsing"),
        }
    }
}

impl OsloPolicy {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            policy_file: reader.section("oslo_policy").path("policy_file"),
        }
    }
}

impl Quota {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("quota");
        let mut limit = |name| u64::try_from(section.number::<i64>(name)).ok();
        Self {
            protection_groups: limit("protection_groups"),
            members_per_group: limit("members_per_group"),
            open_operations: limit("open_operations"),
            peer_protection_groups: limit("peer_protection_groups"),
            peer_operations: limit("peer_operations"),
        }
    }
}

impl Secrets {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            key_repository: reader.section("secrets").path("key_repository"),
        }
    }
}

impl Storage {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(STORAGE);
        let mock_catalogue = section.path("mock_catalogue");
        let names = section.list_of(ENABLED_ARRAYS, |name| Ok(name.to_owned()));
        Self {
            mock_catalogue,
            arrays: names
                .into_iter()
                .map(|name| StorageArray {
                    driver: ArrayDriver::read(&mut reader.section(&name)),
                    name,
                })
                .collect(),
        }
    }
}

impl ArrayDriver {
    fn read(section: &mut Section<'_, '_>) -> Self {
        // The table's check has refused every driver but these.
        match section.needed_text(DRIVER.name).as_str() {
            CEPH_RBD_DRIVER => Self::CephRbd {
                ceph_conf: section.needed_path("rbd_ceph_conf"),
                user: section.text("rbd_user"),
                keyring: section.optional_path("rbd_keyring"),
                pool: section.text("rbd_pool"),
            },
            MOCK_DRIVER => Self::Mock {
                directory: section.needed_path("directory"),
            },
            _ => Self::Mock {
                directory: PathBuf::new(),
            },
        }
    }
}
