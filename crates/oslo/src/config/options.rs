//! The one table of options. Parsing, validation, the sample file and the reference page are all
//! driven by it; nothing else declares a default or a range.

use super::{check, kind::OptionType};

/// A rule on a value; its error completes "`option = value`: …".
pub type ValueRule = fn(&str) -> Result<(), String>;

/// One option as operators know it.
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    pub section: &'static str,
    /// Name within the section.
    pub name: &'static str,
    /// Type and valid range.
    pub kind: OptionType,
    /// The default as it would be written in the file, `$option` references included.
    pub default: Option<&'static str>,
    /// What to print as the default where the real one depends on the machine.
    pub sample_default: Option<&'static str>,
    /// What the option does and when to change it.
    pub help: &'static str,
    /// Never shown in errors, logs or `Debug`.
    pub secret: bool,
    /// A rule beyond type and range.
    pub check: Option<ValueRule>,
    /// The release that brought the option.
    pub since: &'static str,
}

const fn option(
    section: &'static str,
    name: &'static str,
    kind: OptionType,
    help: &'static str,
) -> OptionDef {
    OptionDef {
        section,
        name,
        kind,
        default: None,
        sample_default: None,
        help,
        secret: false,
        check: None,
        since: "0.1",
    }
}

impl OptionDef {
    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn sample_default(mut self, shown: &'static str) -> Self {
        self.sample_default = Some(shown);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn check(mut self, check: ValueRule) -> Self {
        self.check = Some(check);
        self
    }
}

const fn int(min: i64) -> OptionType {
    OptionType::Int {
        min: Some(min),
        max: None,
    }
}

const fn seconds(min: i64) -> OptionType {
    OptionType::Seconds { min, max: None }
}

const fn fractional_seconds(min: f64, max: f64) -> OptionType {
    OptionType::FractionalSeconds {
        min,
        max: Some(max),
    }
}

const INTERFACES: OptionType = OptionType::Enum(&[
    (
        "internal",
        "the network between the services; the usual choice",
    ),
    ("public", "the network that users reach"),
    (
        "admin",
        "the administrators' network, where a cloud still has one",
    ),
]);

const PASSWORD_PLUGINS: OptionType = OptionType::Enum(&[
    ("password", "user name and password"),
    ("v3password", "the same, as older files write it"),
]);

/// A storage driver as operators know it.
#[derive(Debug, Clone, Copy)]
pub struct DriverDef {
    /// As an array's `driver` names it.
    pub name: &'static str,
    /// What an array of it is.
    pub help: &'static str,
    /// What else the section of an array of it may have. The section is the array's: theirs is empty.
    pub options: &'static [OptionDef],
}

/// The section of an array begins with this option.
pub const DRIVER: OptionDef = option(
    "",
    "driver",
    OptionType::Enum(&[
        (MOCK_DRIVER, MOCK_HELP),
        (CEPH_RBD_DRIVER, CEPH_RBD_HELP),
        (
            "PureStorageDriver",
            "Pure Storage FlashArray; not in this release",
        ),
    ]),
    "What kind of array it is.",
)
.check(check::storage_driver);

pub(super) const MOCK_DRIVER: &str = "MockStorageDriver";
const MOCK_HELP: &str = "A directory on this host, for trying protector out: it needs no hardware. Policies name it as mock://NAME.";
pub(super) const CEPH_RBD_DRIVER: &str = "CephRbdDriver";
const CEPH_RBD_HELP: &str = "A pool of a Ceph cluster whose RBD images are mirrored by their journals. Policies name it as it is named here.";

/// The drivers of this release.
pub static DRIVERS: &[DriverDef] = &[
    DriverDef {
        name: MOCK_DRIVER,
        help: MOCK_HELP,
        options: &[option(
            "",
            "directory",
            OptionType::Path,
            "Directory with a file for each volume. Absolute, and the same on the hosts of both sites.",
        )
        .check(check::absolute)],
    },
    DriverDef {
        name: CEPH_RBD_DRIVER,
        help: CEPH_RBD_HELP,
        options: &[
            option(
                "",
                "rbd_ceph_conf",
                OptionType::Path,
                "The cluster's ceph.conf on this host. Absolute.",
            )
            .check(check::absolute),
            option(
                "",
                "rbd_user",
                OptionType::Str,
                "The Ceph client, without `client.`. What the site's Cinder uses has the rights that are needed.",
            )
            .default("cinder"),
            option(
                "",
                "rbd_keyring",
                OptionType::Path,
                "The client's keyring on this host. Without it the ceph.conf says where it is.",
            )
            .check(check::absolute),
            option(
                "",
                "rbd_pool",
                OptionType::Str,
                "The pool in which the site's Cinder keeps its volumes; of one name on both sites.",
            )
            .default("volumes"),
        ],
    },
];

/// The sections in the order of the sample file, each with what it is for.
pub const SECTIONS: &[(&str, &str)] = &[
    (
        "DEFAULT",
        "The service as a whole: which site it belongs to, its logs, where it keeps its state.",
    ),
    ("api", "The REST service, protector-api."),
    (
        "audit",
        "The audit trail: who changed what, in CADF's form as keystonemiddleware's audit filter writes it.",
    ),
    (
        "database",
        "Where protection groups, operations and their steps are stored.",
    ),
    (
        "engine",
        "The engine, protector-engine, which runs failovers and cleans up after them.",
    ),
    (
        "keystone_authtoken",
        "The local Keystone: how tokens of callers are validated, and the service user.",
    ),
    ("openstack", "Calls to the clouds of both sites."),
    (
        "oslo_middleware",
        "What is checked of every request before it is read.",
    ),
    ("oslo_policy", "Who may do what."),
    (
        "quota",
        "How much one project may have on this site, and how much is kept of what other sites send. -1: without a limit. \
         What is there already stays when a quota is lowered.",
    ),
    (
        "rate_limit",
        "How much one project may ask of one protector-api process at a time, so that others get their turn.",
    ),
    (
        "secrets",
        "Credentials of sites and arrays, and what tenants entrust to their groups (user data of VMs, URLs of hooks), \
         encrypted in the database.",
    ),
    (
        "ssl",
        "TLS at the API's own listener, with the names of oslo.service. Without it the API speaks plain HTTP, for a proxy \
         in front of it that terminates TLS.",
    ),
    ("storage", "The storage arrays that replicate the volumes."),
];

/// All options, by section in the order of [`SECTIONS`].
pub static OPTIONS: &[OptionDef] = &[
    // [DEFAULT]
    option("DEFAULT", "site_name", OptionType::Str,
        "Name of the site this service runs on, as it is registered with `openstack dr site create`. \
         Required; it must differ between the two sites and must not change later, because operation \
         records carry it."),
    option("DEFAULT", "host", OptionType::Str,
        "Name of this host in the list of engines and in logs. Change it only where two hosts of a \
         site have the same host name.")
        .sample_default("<host name of this machine>"),
    option("DEFAULT", "state_path", OptionType::Path,
        "Directory of everything the service keeps on this host. It must be writable by the user \
         `protector`.")
        .default("/var/lib/protector"),
    option("DEFAULT", "debug", OptionType::Bool,
        "Log at DEBUG instead of INFO. Turn it on to follow one problem; it is loud.")
        .default("false"),
    option("DEFAULT", "log_dir", OptionType::Path,
        "Directory of the log files, one per program, named after it. Without it logs go to standard \
         error, from where systemd's journal takes them."),
    option("DEFAULT", "log_file", OptionType::Path,
        "Name of the log file, taken relative to log_dir when both are set. Set it only to depart from \
         `<program>.log`."),
    option("DEFAULT", "use_json", OptionType::Bool,
        "Write each log record as one JSON object. Turn it on where a log collector parses fields.")
        .default("false"),
    option("DEFAULT", "default_log_levels", OptionType::List,
        "Levels of chatty libraries as `target=LEVEL`, for both values of debug.")
        .default("sqlx=WARNING,sea_orm=WARNING,hyper=WARNING,hyper_util=WARNING,reqwest=WARNING,rustls=WARNING")
        .check(check::log_levels),
    option("DEFAULT", "graceful_shutdown_timeout", seconds(0),
        "Seconds that a service asked to stop waits for requests and cloud calls in flight. What is not \
         finished then is taken up again by the next start; nothing is lost. 0 waits for as long as it \
         takes. Keep it below systemd's TimeoutStopSec.")
        .default("20"),
    option("DEFAULT", "peer_user_ids", OptionType::List,
        "Ids, separated by commas, of the users on this site's cloud as whom the other sites' protectors come here, where \
         that is not the service user with which the site itself is registered here. What they have made of a group \
         is known as protector's; what anybody else has marked so is not. Set the same in all of the site's services.")
        .check(check::user_ids),
    option("DEFAULT", "transport_url", OptionType::Str,
        "Message bus, accepted so that a file shared with other services loads. This release does not \
         use a message bus: engines look for work in the database every poll_interval_seconds.")
        .secret(),

    // [api]
    option("api", "bind_host", OptionType::Str,
        "Address to listen on. Set it to 127.0.0.1 behind a proxy that terminates TLS.")
        .default("0.0.0.0"),
    option("api", "bind_port", OptionType::Port,
        "Port to listen on. 0 takes a free one, which is of use to tests only.")
        .default("8788"),
    option("api", "public_endpoint", OptionType::Str,
        "Base URL in the version document and in links. Set it behind a proxy; without it the request's \
         own host is used.")
        .check(check::http_url),
    option("api", "max_limit", int(1),
        "Most items in one page of a list. A caller who asks for more gets this many and a link to the rest.")
        .default("1000"),
    option("api", "max_connections", OptionType::Int { min: Some(1), max: Some(1_000_000) },
        "Most connections at once; whoever comes then waits until one ends. Keep it well below the process's limit of open \
         files (systemd's LimitNOFILE), since each request may need connections to Keystone and the clouds too.")
        .default("1000"),
    option("api", "client_timeout_seconds", seconds(1),
        "Seconds that a client may take for a request's header, and how long its connection may stay without a request.")
        .default("30"),
    option("api", "peer_signature_window_seconds", seconds(10),
        "Seconds by which the clocks of two sites' protectors may differ: what another site's protector has signed earlier or \
         later than that is refused. Let all hosts take their time from NTP rather than raise it.")
        .default("300"),
    option("api", "metrics_bind_host", OptionType::Str,
        "Address on which counters for Prometheus are served at `/metrics`, without a token. They name no tenant. It \
         is another listener than the API's own, which has no such path.")
        .default("127.0.0.1"),
    option("api", "metrics_port", OptionType::Port,
        "Port of the same. 0 switches it off. Give each service of a host its own; one that finds it taken says so and \
         works without.")
        .default("9789"),

    // [audit]
    option("audit", "log_file", OptionType::Path,
        "File of the audit trail: one JSON object per line for each call that may change something, refused ones \
         included, and for each server, volume and copy that the engine removes. Taken relative to log_dir when both \
         are set. Without it no audit trail is kept. SIGHUP opens it anew after a rotation."),

    // [database]
    option("database", "connection", OptionType::Str,
        "Database URL: `sqlite:///<path>` (an absolute path makes four slashes) for one host, \
         `mysql+pymysql://user:password@host/protector` for MariaDB.")
        .default("sqlite:///$state_path/protector.sqlite")
        .secret()
        .check(check::database_url),
    option("database", "max_pool_size", OptionType::Int { min: Some(1), max: Some(1000) },
        "Most connections that one service holds. Raise it when requests wait for a connection and the \
         database has room. Half of them are kept for writing, for the engine's journal and for health checks, so that \
         nobody who reads much keeps these waiting. SQLite writes through one connection whatever this says.")
        .default("5"),
    option("database", "query_timeout_seconds", seconds(1),
        "Seconds that a query of one who reads may take before the database breaks it off and the request is answered with \
         503. No query of protector's should come near it: a warning in the log names the request that did.")
        .default("10"),
    option("database", "max_retries", OptionType::Int { min: Some(-1), max: None },
        "How often a service that starts tries to reach the database. -1 never gives up.")
        .default("10"),
    option("database", "retry_interval", seconds(1),
        "Seconds between these tries.")
        .default("10"),

    // [engine]
    option("engine", "cleanup_timeout_seconds", seconds(60),
        "Maximum time the engine waits for a single resource deletion (VM or volume) before recording a \
         steps_failed entry and moving on. It is one deadline for all tries, retries and waits of the \
         resource; resources wait side by side, so many stuck ones cost one timeout, not one each. \
         Increase this on slow storage backends.")
        .default("300"),
    option("engine", "cleanup_retry_attempts", int(1),
        "Number of times the engine retries a failed deletion before recording it as a failure: 3 means one \
         try and up to three retries, with growing pauses. Only errors that can pass are retried. A look \
         that could not read the resource is no try: it is taken again until cleanup_timeout_seconds have \
         passed. Does not apply to manual cleanup triggered via `openstack dr operation cleanup`, which \
         asks for each deletion once.")
        .default("3"),
    option("engine", "cleanup_on_test_failover", OptionType::Bool,
        "When true, the engine automatically deletes test-failover VMs and volumes when test_cleanup is \
         executed. Set to false to inspect test resources before deleting them by hand.")
        .default("true"),
    option("engine", "retain_source_volumes_on_failover", OptionType::Bool,
        "When true, the engine skips automatic volume deletion after failover, leaving source volumes \
         detached but intact. Set it to keep the last-known-good data on the source; they are then \
         deleted only by `openstack dr operation cleanup`.")
        .default("false"),
    option("engine", "cleanup_requires_peer", OptionType::Bool,
        "When true, manual cleanup is refused while the other site is unreachable, because it also \
         changes metadata that both sites must agree on. Set to false to clean up on this site while \
         the other one stays down; synchronise the metadata when it is back.")
        .default("true"),
    option("engine", "poll_interval_seconds", fractional_seconds(0.05, 60.0),
        "Seconds between two looks for new work in the database. Lower starts operations sooner, at the \
         price of idle queries.")
        .default("1.0"),
    option("engine", "status_poll_seconds", fractional_seconds(0.05, 60.0),
        "At most this many seconds pass between two looks at a server or volume that a cloud is working on. \
         Looks are closer together at first. When hundreds of resources of one operation are waited for, \
         they are further apart, so that no operation looks more than 100 times a second. Raise it when \
         the clouds answer 429.")
        .default("2.0"),
    option("engine", "lease_seconds", seconds(10),
        "Seconds after which another engine takes over the operations of one that has stopped answering. \
         A call to a cloud ends within half of it, and within [openstack] request_timeout_seconds: keep it at \
         twice that or more, or a call that a busy cloud would have answered later is cut off and looked up. \
         Leases go by the database's clock; the clocks of a site's engines need not agree.")
        .default("120"),
    option("engine", "max_concurrent_operations", int(1),
        "Operations of each lane that get on at a time in one engine. What follows a disaster (unplanned failovers, \
         retries, fences, aborts for a lost site) has a lane of its own and never waits for anything planned. One that \
         is paused, or that a site holds up which does not answer, takes no place. More wait: projects take turns, \
         in a project the groups of the highest priority go first.")
        .default("40"),
    option("engine", "max_concurrent_operations_per_project", int(1),
        "How many of them may be one project's, so that a tenant with many groups leaves room for others. A cloud with \
         one tenant may set it as high as max_concurrent_operations.")
        .default("20"),
    option("engine", "compute_concurrency_per_cloud", int(1),
        "Nova steps that run at a time on one cloud, over all operations. Raise it when Nova has room and \
         failovers of many VMs take too long.")
        .default("10"),
    option("engine", "volume_concurrency_per_cloud", int(1),
        "Cinder steps that run at a time on one cloud, over all operations.")
        .default("10"),
    option("engine", "storage_concurrency", int(1),
        "Array steps (replication, promotion) that run at a time on the arrays of one site.")
        .default("4"),
    option("engine", "stop_timeout_seconds", seconds(0),
        "Seconds a source VM gets to shut down in order before it is powered off. 0 powers off at once.")
        .default("300"),
    option("engine", "build_timeout_seconds", seconds(30),
        "Seconds a VM on the target site gets to become ACTIVE.")
        .default("900"),
    option("engine", "manage_timeout_seconds", seconds(10),
        "Seconds Cinder on the target site gets to import one volume.")
        .default("300"),
    option("engine", "replication_timeout_seconds", seconds(30),
        "Seconds the last replication of a planned failover may take. Past it the failover is rolled \
         back and the source VMs start again, so allow for the largest group's changes.")
        .default("3600"),
    option("engine", "health_check_seconds", seconds(0),
        "Seconds a VM on the target site must stay ACTIVE before it counts as healthy and its source may \
         be deleted.")
        .default("5"),
    option("engine", "lost_source_seconds", seconds(2),
        "Seconds the site that an unplanned failover has left must answer nothing until a retry takes it for \
         still lost, and builds VMs without having asked whether their originals are back.")
        .default("60"),
    option("engine", "metrics_bind_host", OptionType::Str,
        "Address on which the engine serves `/metrics` for Prometheus and `/healthcheck`, without a token.")
        .default("127.0.0.1"),
    option("engine", "metrics_port", OptionType::Port,
        "Port of the same. 0 switches it off. Give each engine of a host its own; an engine that finds it taken \
         says so and works without.")
        .default("9788"),

    // [keystone_authtoken]
    option("engine", "spec_refresh_minutes", OptionType::Int { min: Some(0), max: Some(1440) },
        "How often it is read again what tenants have changed on the servers and volumes of groups that run on this site: \
         the copies of an unplanned failover are built from what was read last. Costs a few lists per project. 0: only \
         before planned failovers, which read it in any case.")
        .default("15"),
    option("engine", "split_brain_check_seconds", OptionType::Seconds { min: 1, max: Some(3600) },
        "Seconds between two looks at the VMs that unplanned failovers left on the site that was lost. If one of \
         them runs, its group is in status split_brain until it is fenced.")
        .default("30"),
    option("engine", "probe_timeout_seconds", OptionType::Seconds { min: 1, max: Some(3600) },
        "How long the probe of a recovery plan may fail before its VM counts as not recovered. A plan can name \
         another time for a VM.")
        .default("300"),
    option("engine", "probe_networks", OptionType::List,
        "Networks, separated by commas, in which recovery plans may have their VMs probed by TCP or HTTP, such as \
         10.20.0.0/16. The engine asks from its own host: name tenants' networks that it reaches, and never those \
         of the cloud's own services. Without it no probe is made, and plans with probes are refused.")
        .check(check::networks),
    option("engine", "hook_url_prefixes", OptionType::List,
        "With what the URLs of recovery plans' hooks must begin, separated by commas, each ending with a slash, \
         such as https://hooks.example.org/dr/. The engine calls them from its own host. Without it no hook is \
         called, and plans with hooks are refused.")
        .check(check::hook_url_prefixes),
    option("keystone_authtoken", "www_authenticate_uri", OptionType::Str,
        "Keystone's public URL, told to callers without a valid token. Defaults to auth_url.")
        .check(check::http_url),
    option("keystone_authtoken", "auth_url", OptionType::Str,
        "Keystone's URL for this service, with or without /v3. Required.")
        .check(check::http_url),
    option("keystone_authtoken", "auth_type", PASSWORD_PLUGINS,
        "How the service user authenticates.")
        .default("password"),
    option("keystone_authtoken", "username", OptionType::Str,
        "The service user, `protector` by convention. Required; it needs the role `admin` in the service \
         project to validate tokens."),
    option("keystone_authtoken", "password", OptionType::Str,
        "Its password. Required. Write a `$` in it as `$$`.")
        .secret(),
    option("keystone_authtoken", "project_name", OptionType::Str,
        "The service user's project.")
        .default("service"),
    option("keystone_authtoken", "user_domain_name", OptionType::Str,
        "Domain of the service user.")
        .default("Default"),
    option("keystone_authtoken", "project_domain_name", OptionType::Str,
        "Domain of its project.")
        .default("Default"),
    option("keystone_authtoken", "region_name", OptionType::Str,
        "Region whose endpoints are used. Set it where the catalogue holds several."),
    option("keystone_authtoken", "interface", INTERFACES,
        "Which of Keystone's endpoints to use.")
        .default("internal"),
    option("keystone_authtoken", "cafile", OptionType::Path,
        "PEM file of the authorities that signed Keystone's certificate. Without it the system's are used."),
    option("keystone_authtoken", "insecure", OptionType::Bool,
        "Accept any certificate of Keystone. For laboratories only: whoever answers for Keystone decides \
         who is admin.")
        .default("false"),
    option("keystone_authtoken", "token_cache_time", OptionType::Int { min: Some(-1), max: None },
        "Seconds a validated token is trusted without asking Keystone again, at most until it expires. \
         -1 asks every time. A revoked token works for this long.")
        .default("300"),
    option("keystone_authtoken", "http_connect_timeout", seconds(1),
        "Seconds Keystone gets to accept a connection and to answer.")
        .default("10"),

    // [openstack]
    option("openstack", "request_timeout_seconds", seconds(1),
        "Seconds a cloud gets to answer one request. The call is then treated as if its effect were \
         unknown and is looked up before it is repeated.")
        .default("60"),
    option("openstack", "connect_timeout_seconds", seconds(1),
        "Seconds a cloud gets to accept a connection. A dead site costs this much per try.")
        .default("10"),
    option("openstack", "max_retries", OptionType::Int { min: Some(0), max: Some(20) },
        "How often a request that failed for a passing reason (429, 5xx, connection errors) is repeated, \
         with growing pauses.")
        .default("4"),
    option("openstack", "cafile", OptionType::Path,
        "PEM file of the authorities that signed the clouds' certificates. Without it the system's are used."),
    option("openstack", "allow_http_sites", OptionType::Bool,
        "Accept sites whose auth_url begins with http://. For laboratories only: the password of the service \
         user, who is an administrator of that cloud, goes over the network in the clear. A site that is \
         registered already is used as it is.")
        .default("false"),
    option("openstack", "tenants_choose_addresses_on_shared_networks", OptionType::Bool,
        "Neutron's policy on the sites that groups of this one go to lets a project choose addresses and MAC addresses on \
         networks that another project shares with it (create_port:fixed_ips:ip_address and create_port:mac_address; by \
         default the network's owner alone). Then a strict group may move onto such a network, and the check does not \
         warn of it. Who has an address there stays unknown before the move.")
        .default("false"),

    // [oslo_middleware]
    option("oslo_middleware", "max_request_body_size", OptionType::Int { min: Some(1), max: None },
        "Largest request body in bytes. A larger one is answered with 413.")
        .default("114688"),
    option("oslo_middleware", "enable_proxy_headers_parsing", OptionType::Bool,
        "Believe the headers `Forwarded` and `X-Forwarded-For`: the access log and the audit trail then name the client \
         that the proxy in front of the service has named last. Set it only where nobody but that proxy reaches the port.")
        .default("false"),

    // [oslo_policy]
    option("oslo_policy", "policy_file", OptionType::Path,
        "Policy overrides, in YAML or JSON. Without the file the defaults hold. A changed file is read \
         again by itself; one with errors is reported and the rules before it stay.")
        .default("/etc/protector/policy.yaml"),

    // [quota]
    option("quota", "protection_groups", int(-1),
        "Protection groups of a project. Those that the other site's protector has made here count, and are never \
         refused.")
        .default("100"),
    option("quota", "members_per_group", int(-1),
        "Members of one protection group. They are moved as a whole, so a large group is down for long.")
        .default("500"),
    option("quota", "open_operations", int(-1),
        "Operations of a project that have not ended. Only planned moves, replications and test failovers are refused; \
         what recovers, fences, aborts or cleans up never is.")
        .default("100"),
    option("quota", "peer_protection_groups", int(-1),
        "How many protection groups of one project are shared with one other site before no more are taken from \
         there. Those that this site made count too; what is kept already stays, and is brought up to date.")
        .default("1000"),
    option("quota", "peer_operations", int(-1),
        "How many records of operations that the other site runs are kept for one protection group. The oldest \
         that nothing needs make room for new ones: syncs and tests that have ended and left nothing. \
         Records of groups that are not known here count together, per project and site.")
        .default("1000"),

    // [rate_limit]
    option("rate_limit", "requests_per_second", OptionType::Int { min: Some(0), max: Some(100_000) },
        "Requests of a project that are answered each second on average; more are answered 429 with Retry-After. 0 is \
         without limit. Calls that recover or clean up, and what the other site's protector asks, are not counted.")
        .default("0"),
    option("rate_limit", "burst", OptionType::Int { min: Some(1), max: Some(1_000_000) },
        "How many may come at once after a pause.")
        .default("100"),
    option("rate_limit", "concurrent_reads", OptionType::Int { min: Some(0), max: Some(100_000) },
        "Requests of a project that only read and are answered at a time. More wait for up to 30 seconds, then they are \
         answered 429 with Retry-After. 0 is without limit.")
        .default("10"),

    // [secrets]
    option("secrets", "key_repository", OptionType::Path,
        "Directory of the numbered keys that encrypt stored credentials and texts of tenants, as Keystone's fernet \
         repository. Readable by the service's user only, and the same on all hosts of a site.")
        .default("/etc/protector/keys"),

    // [ssl]
    option("ssl", "cert_file", OptionType::Path,
        "PEM file of the API's certificate, followed by those between it and its authority. With it and key_file the API \
         speaks HTTPS, TLS 1.2 or later. SIGHUP reads both again."),
    option("ssl", "key_file", OptionType::Path,
        "PEM file of the certificate's private key, readable by the service's user only."),

    // [storage]
    option("storage", "enabled_arrays", OptionType::List,
        "Names of the arrays behind the protected volumes, those of this site and those of the others that this site's hosts \
         reach, separated by commas. Each has a section of its name, with its `driver` and that driver's options.")
        .check(array_names),
    option("storage", "mock_catalogue", OptionType::Path,
        "SQLite file in which MockStorageDriver keeps what its arrays hold. Both sites' services must \
         reach the same file.")
        .default("$state_path/mock_storage/catalogue.sqlite"),
];

/// Names of arrays, each the name of a section that is about nothing else.
fn array_names(value: &str) -> Result<(), String> {
    check::array_names(value)?;
    let is_taken = |name: &&str| {
        let mut sections = SECTIONS.iter();
        sections.any(|(section, _)| section.eq_ignore_ascii_case(name))
    };
    match check::items(value).find(is_taken) {
        None => Ok(()),
        Some(name) => Err(format!(
            "an array cannot be named `{name}`: a section of this name is about something else"
        )),
    }
}

pub(super) const STORAGE: &str = "storage";
pub(super) const ENABLED_ARRAYS: &str = "enabled_arrays";

/// The option of this section and name.
pub(super) fn find(options: &[OptionDef], section: &str, name: &str) -> Option<OptionDef> {
    options
        .iter()
        .find(|option| option.section == section && option.name == name)
        .copied()
}
