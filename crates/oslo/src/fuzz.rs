//! What operators write, broken: it is read, or refused with the place of the mistake, soon.

use protector_fuzz::feed;

use crate::{
    config::{Config, sample},
    policy::{PolicyCredentials, Rules, Target, rules},
};

#[test]
fn fuzz_policy_files() {
    let seeds: [&[u8]; 4] = [
        b"# Sites\n\"protector:sites:index\": \"role:admin or (role:member and project_id:%(project_id)s)\"\n",
        b"\"mine\": \"rule:yours\"\n\"yours\": \"not role:reader and @\"\n\"protector:sites:index\": \"rule:mine\"\n",
        br#"{"protector:sites:index": "user_id:%(user_id)s", "a": [["role:x", "role:y"], ["@"]]}"#,
        b"\"a\": [[\"rule:b\"], \"!\"]\n'b': >-\n  role:admin\n  or @\n",
    ];
    let member = PolicyCredentials::new("u1", "p1", ["member"]);
    let target = Target::none().with("project_id", "p1");
    feed("policy files", &seeds, |text| {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        match Rules::with_overrides(text) {
            Ok(overridden) => {
                let _ = overridden.enforce(rules::SITES_INDEX, &member, &target);
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                assert!(problems.iter().all(|problem| !problem.message.is_empty()));
            }
        }
    });
}

#[test]
fn fuzz_configuration_files() {
    let written = b"[DEFAULT]\nsite_name = site-a\ndebug = true\nlog_dir = $state_path/log\n[keystone_authtoken]\n\
        password = p$$w ; #x\nauth_url : 'https://k/v3'\n[database]\nconnection = mysql+pymysql://u:pw@h/db\n\
        [engine]\nhook_url_prefixes = https://a/,\n  https://b/\nprobe_networks = 10.0.0.0/8\n";
    let sample = sample();
    let sample = sample
        .get(..4_000)
        .unwrap_or_default()
        .replace("\n# ", "\n")
        .replace("\n#", "\n");
    feed(
        "configuration files",
        &[written, sample.as_bytes()],
        |text| {
            let text = String::from_utf8_lossy(text);
            match Config::from_str_for_tests(&text) {
                Ok(config) => assert!(config.engine.lease.as_secs() > 0),
                Err(errors) => {
                    assert!(!errors.problems().is_empty() && !errors.to_string().is_empty())
                }
            }
        },
    );
}
