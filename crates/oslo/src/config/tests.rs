//! What an operator sees of `protector.conf`.

use std::{fs, time::Duration};

use secrecy::ExposeSecret;

use super::{reader::Reader, resolve::resolve, search::Search, *};

fn refusal(text: &str) -> String {
    Config::from_str_for_tests(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = Config::from_str_for_tests("").unwrap();
    assert_eq!(config.engine.cleanup_timeout, Duration::from_secs(300));
    assert_eq!(config.engine.cleanup_retry_attempts, 3);
    assert!(config.engine.cleanup_on_test_failover);
    assert!(!config.engine.retain_source_volumes_on_failover);
    assert_eq!(config.engine.poll_interval, Duration::from_secs(1));
    assert_eq!(config.api.bind_port, 8788);
    assert_eq!(config.oslo_middleware.max_request_body_size, 114_688);
    assert_eq!(
        config.storage.mock_catalogue,
        PathBuf::from("/var/lib/protector/mock_storage/catalogue.sqlite")
    );
    assert_eq!(
        config.database.connection.expose_secret(),
        "sqlite:////var/lib/protector/protector.sqlite"
    );
    assert_eq!(
        config.database.sqlx_url().expose_secret(),
        "sqlite:///var/lib/protector/protector.sqlite"
    );
    assert!(!config.general.host.is_empty());
}

#[test]
fn a_value_out_of_range_names_file_line_option_and_range() {
    assert_eq!(
        refusal("[DEFAULT]\nsite_name = site-a\n\n[engine]\ncleanup_timeout_seconds = 5\n"),
        "protector.conf:5: [engine] cleanup_timeout_seconds = 5: must be at least 60"
    );
}

#[test]
fn each_kind_of_bad_value_says_what_would_be_right() {
    let cases = [
        (
            "[engine]\ncleanup_timeout_seconds = soon",
            "= soon: must be a whole number at least 60",
        ),
        (
            "[engine]\ncleanup_retry_attempts = 0",
            "= 0: must be at least 1",
        ),
        (
            "[engine]\npoll_interval_seconds = 0.01",
            "= 0.01: must be between 0.05 and 60",
        ),
        (
            "[engine]\npoll_interval_seconds = nan",
            "= nan: must be a number between 0.05 and 60",
        ),
        (
            "[engine]\ncleanup_requires_peer = maybe",
            "= maybe: must be true or false",
        ),
        (
            "[engine]\nlease_seconds =",
            "= : has no value; remove the line to use the default, 120",
        ),
        (
            "[api]\nbind_port = 70000",
            "= 70000: must be between 0 and 65535",
        ),
        (
            "[storage]\nenabled_arrays = a\n[a]\ndriver = Pure",
            "[a] driver = Pure: must be one of MockStorageDriver, CephRbdDriver, PureStorageDriver",
        ),
        (
            "[storage]\nenabled_arrays = a\n[a]\ndriver = PureStorageDriver",
            "is not in this release; there are MockStorageDriver and CephRbdDriver",
        ),
        (
            "[storage]\nenabled_arrays = a\n[a]\ndriver = MockStorageDriver\ndirectory = rel",
            "[a] directory = rel: must be an absolute path",
        ),
        (
            "[storage]\nenabled_arrays = a\n[a]\ndriver = MockStorageDriver\ndirectory = /a\nrbd_pool = volumes",
            "[a] rbd_pool: unknown option",
        ),
        (
            "[storage]\nenabled_arrays = a, b\n[a]\ndriver = MockStorageDriver\ndirectory = /a\n[c]\ndriver = MockStorageDriver",
            "[c]: unknown section; one of an array counts where [storage] enabled_arrays names it",
        ),
        (
            "[storage]\nenabled_arrays = api",
            "an array cannot be named `api`: a section of this name is about something else",
        ),
        (
            "[keystone_authtoken]\nauth_url = keystone:5000",
            "must be a URL that begins with http:// or https://",
        ),
        (
            "[DEFAULT]\ndefault_log_levels = sqlx",
            "`sqlx` is not of the form target=LEVEL",
        ),
        (
            "[DEFAULT]\nlog_dir = $log_file\nlog_file = $log_dir",
            "leads back to this option",
        ),
        (
            "[DEFAULT]\nlog_dir = ${database.connection}",
            "is a secret, and this option is shown in logs",
        ),
        (
            "[DEFAULT]\nsite_name = site-a\n  # indented comment",
            "the next line is indented and so continues",
        ),
    ];
    for (text, expected) in cases {
        let shown = refusal(text);
        assert!(shown.contains(expected), "{text}\n{shown}");
        assert!(shown.starts_with("protector.conf:"), "{shown}");
    }
}

#[test]
fn absurdly_large_numbers_are_as_good_as_endless() {
    let text = "[engine]\ncleanup_timeout_seconds = 9223372036854775807\ncleanup_retry_attempts = 9223372036854775807\n";
    let engine = Config::from_str_for_tests(text).unwrap().engine;
    assert_eq!(
        engine.cleanup_timeout,
        Duration::from_secs(365 * 24 * 60 * 60)
    );
    assert_eq!(engine.cleanup_retry_attempts, u32::MAX);
}

#[test]
fn an_unknown_name_finds_the_nearest_known_one_and_hides_its_value() {
    let cases = [
        (
            "[engine]\ncleanup_timeout = 400",
            "protector.conf:2: [engine] cleanup_timeout: unknown option; did you mean `cleanup_timeout_seconds`?",
        ),
        (
            "[engine]\nbind_port = 1",
            "protector.conf:2: [engine] bind_port: unknown option here; `bind_port` belongs in [api]",
        ),
        (
            "[keystone_authtoken]\npasword = hunter2",
            "protector.conf:2: [keystone_authtoken] pasword: unknown option; did you mean `password`?",
        ),
        (
            "[engin]\nlease_seconds = 5",
            "protector.conf:1: [engin]: unknown section; did you mean [engine]?",
        ),
        (
            "[default]\ndebug = true",
            "protector.conf:1: [default]: unknown section; did you mean [DEFAULT]?",
        ),
        (
            "[nova_cells_v2]\nx = 1",
            "protector.conf:1: [nova_cells_v2]: unknown section; one of an array counts where [storage] enabled_arrays names it",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), expected);
    }
}

#[test]
fn all_problems_are_reported_at_once_in_reading_order() {
    let text = "[engine]\nlease_seconds = 1\nnonsense\n[api]\nbind_prot = 1\nmax_limit = 0\n[broken\nx = 1\n";
    let lines: Vec<String> = refusal(text).lines().map(str::to_owned).collect();
    let starts = [
        "protector.conf:2: [engine] lease_seconds = 1:",
        "protector.conf:3: ",
        "protector.conf:5: [api] bind_prot:",
        "protector.conf:6: [api] max_limit = 0:",
        "protector.conf:7: ",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn secrets_survive_as_written_and_are_never_shown() {
    let text = "[keystone_authtoken]\npassword = p#s;w:o=r$$d\n[database]\nconnection = mysql+pymysql://u:hunter2@db/p\n\
                [DEFAULT]\ntransport_url = rabbit://guest:hunter2@mq\n";
    let config = Config::from_str_for_tests(text).unwrap();
    let password = config.keystone_authtoken.password.as_ref().unwrap();
    assert_eq!(password.expose_secret(), "p#s;w:o=r$d");
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("p#s"),
        "{shown}"
    );

    let refused = refusal(
        "[database]\nconnection = postgresql://u:hunter2@db/p\n[keystone_authtoken]\npassword = pa$hunter2\n  second hunter2 line\n",
    );
    assert!(!refused.contains("hunter2"), "{refused}");
    assert!(
        refused.contains("[database] connection = ***: must begin with"),
        "{refused}"
    );
    assert!(
        refused.contains("[keystone_authtoken] password = ***: a `$` in it"),
        "{refused}"
    );
}

#[test]
fn a_service_is_told_everything_it_lacks() {
    let config =
        Config::from_str_for_tests("[keystone_authtoken]\nusername = protector\n").unwrap();
    let missing = config.essentials().unwrap_err().to_string();
    assert_eq!(missing.lines().count(), 3, "{missing}");
    assert!(
        missing.contains("protector.conf: [DEFAULT] site_name: must be set"),
        "{missing}"
    );

    let whole = "[DEFAULT]\nsite_name = site-a\n[keystone_authtoken]\nauth_url = http://k:5000\nusername = protector\npassword = x\n";
    let essentials = Config::from_str_for_tests(whole)
        .unwrap()
        .essentials()
        .unwrap();
    assert_eq!(essentials.site_name, "site-a");
}

#[test]
fn later_files_win_and_directories_come_after_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(
        path("a.conf"),
        "[api]\nbind_port = 1\nmax_limit = 10\nbind_host = ::1\n",
    )
    .unwrap();
    fs::write(path("b.conf"), "[api]\nbind_port = 2\nmax_limit = 20\n").unwrap();
    fs::create_dir(path("conf.d")).unwrap();
    fs::write(path("conf.d/20.conf"), "[api]\nbind_port = 4\n").unwrap();
    fs::write(path("conf.d/10.conf"), "[api]\nbind_port = 3\n").unwrap();
    fs::write(path("conf.d/.hidden.conf"), "[api]\nbind_port = 5\n").unwrap();
    fs::write(path("conf.d/notes.txt"), "not read").unwrap();
    let config = Config::load(&[path("a.conf"), path("b.conf")], &[path("conf.d")]).unwrap();
    assert_eq!((config.api.bind_port, config.api.max_limit), (4, 20));
    assert_eq!(config.api.bind_host, "::1");
    assert_eq!(config.sources.len(), 4);

    let errors = Config::load(&[path("none.conf")], &[path("none.d")])
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("none.conf: cannot be read") && errors.contains("none.d: the directory"),
        "{errors}"
    );
}

#[test]
fn default_files_are_searched_where_oslo_searches_them() {
    let root = tempfile::tempdir().unwrap();
    let (home, etc) = (root.path().join("home"), root.path().join("etc"));
    fs::create_dir_all(home.join(".protector")).unwrap();
    fs::create_dir_all(etc.join("protector/protector.conf.d")).unwrap();
    fs::write(etc.join("protector/protector.conf"), "").unwrap();
    fs::write(etc.join("protector.conf"), "").unwrap();
    fs::write(home.join(".protector/protector-engine.conf"), "").unwrap();
    let search = Search::new(Some(&home), &etc, Some("protector-engine".as_ref()));
    assert_eq!(
        search.files(),
        [
            etc.join("protector/protector.conf"),
            home.join(".protector/protector-engine.conf")
        ]
    );
    assert_eq!(
        search.directories(),
        [etc.join("protector/protector.conf.d")]
    );
}

#[test]
fn every_option_is_declared_once_in_a_known_section_and_read_by_the_service() {
    let (resolved, problems) = resolve(OPTIONS, DRIVERS, &[]);
    assert_eq!(problems, []);
    let mut reader = Reader::new(&resolved);
    Config::typed(&mut reader, &[]);
    assert_eq!(reader.problems, []);
    for option in OPTIONS {
        let key = (option.section.to_owned(), option.name);
        assert!(reader.read.contains(&key), "{key:?} is read by nobody");
        assert!(
            SECTIONS
                .iter()
                .any(|(section, _)| *section == option.section),
            "{key:?}"
        );
        let same = OPTIONS
            .iter()
            .filter(|other| (other.section, other.name) == (option.section, option.name))
            .count();
        assert_eq!(same, 1, "{key:?}");
        assert!(option.help.ends_with('.'), "{key:?}");
    }
}

#[test]
fn the_sample_with_its_defaults_switched_on_is_a_valid_file() {
    let switched_on: String = sample()
        .lines()
        .filter(|line| !line.ends_with("= <None>") && !line.contains("= <host name"))
        .map(|line| match line.strip_prefix('#') {
            Some(option) if option.starts_with(|c: char| c.is_ascii_lowercase()) => {
                format!("{option}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let config = Config::from_str_for_tests(&switched_on).unwrap();
    assert_eq!(config.engine.max_concurrent_operations.get(), 40);
    assert!(switched_on.contains("\ncleanup_timeout_seconds = 300\n"));
}

/// The configuration of arrays of all drivers, and the options of each that have no default.
#[test]
fn each_enabled_array_has_a_section_with_the_options_of_its_driver() {
    let text = "[DEFAULT]\nstate_path = /srv\n[storage]\nenabled_arrays = array-a, ceph-a\n\
        [array-a]\ndriver = MockStorageDriver\ndirectory = $state_path/a\n\
        [ceph-a]\ndriver = CephRbdDriver\nrbd_ceph_conf = /etc/ceph/site-a.conf\n";
    let config = Config::from_str_for_tests(text).unwrap();
    let [mock, ceph] = config.storage.arrays.as_slice() else {
        panic!("{:?}", config.storage.arrays);
    };
    assert_eq!(
        (mock.name.as_str(), ceph.name.as_str()),
        ("array-a", "ceph-a")
    );
    let ArrayDriver::Mock { directory } = &mock.driver else {
        panic!("{mock:?}");
    };
    assert_eq!(*directory, PathBuf::from("/srv/a"));
    let ArrayDriver::CephRbd {
        ceph_conf,
        user,
        keyring,
        pool,
    } = &ceph.driver
    else {
        panic!("{ceph:?}");
    };
    assert_eq!(*ceph_conf, PathBuf::from("/etc/ceph/site-a.conf"));
    assert_eq!(
        (user.as_str(), keyring, pool.as_str()),
        ("cinder", &None, "volumes")
    );
    for (lacks, told) in [
        ("[storage]\nenabled_arrays = a\n", "[a] driver: must be set"),
        (
            "[storage]\nenabled_arrays = a\n[a]\ndriver = CephRbdDriver\n",
            "[a] rbd_ceph_conf: must be set",
        ),
        (
            "[storage]\nenabled_arrays = a\n[a]\ndriver = MockStorageDriver\n",
            "[a] directory: must be set",
        ),
    ] {
        assert_eq!(refusal(lacks), told);
    }
    for driver in DRIVERS {
        assert!(
            driver
                .options
                .iter()
                .all(|option| option.help.ends_with('.')),
            "{}",
            driver.name
        );
    }
}
