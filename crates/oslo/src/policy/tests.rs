//! What an operator sees of `policy.yaml`, and what the defaults let tenants do.

use std::fs;

use super::{check::PolicyCheck, rules::*, *};

fn caller(project: &str, roles: &[&str]) -> PolicyCredentials {
    PolicyCredentials::new("user", project, roles.iter().copied())
}

fn refusal(text: &str) -> String {
    let problems = Rules::with_overrides(text).unwrap_err();
    PolicyErrors {
        path: "policy.yaml".into(),
        problems,
    }
    .to_string()
}

#[test]
fn defaults_parse_and_are_named_once() {
    for rule in Rules::documented() {
        let check = PolicyCheck::parse(rule.check_str).unwrap();
        for reference in check.references() {
            assert!(
                Rules::documented()
                    .iter()
                    .any(|other| other.name.as_str() == reference),
                "{reference}"
            );
        }
        let same = Rules::documented()
            .iter()
            .filter(|other| other.name == rule.name)
            .count();
        assert_eq!(same, 1, "{}", rule.name);
        assert!(rule.description.ends_with('.'), "{}", rule.name);
    }
}

#[test]
fn by_default_members_act_readers_look_others_see_nothing_and_admins_do_all() {
    let rules = Rules::defaults();
    let target = Target::of_project("p1");
    let callers = [
        ("member of the project", caller("p1", &["member", "reader"])),
        ("reader of the project", caller("p1", &["reader"])),
        ("member elsewhere", caller("p2", &["member"])),
        ("admin elsewhere", caller("p2", &["Admin"])),
        ("service user of the peer", caller("service", &["service"])),
    ];
    let matrix = [
        (PROTECTION_GROUPS_SHOW, [true, true, false, true, false]),
        (
            PROTECTION_GROUPS_FAILOVER,
            [true, false, false, true, false],
        ),
        (OPERATIONS_INDEX, [true, true, false, true, false]),
        (OPERATIONS_CLEANUP, [true, false, false, true, false]),
        (ORPHANS_INDEX, [true, true, false, true, false]),
        (MEMBERS_CREATE, [true, false, false, true, false]),
        (SITES_INDEX, [true, true, true, true, false]),
        (SITES_CREATE, [false, false, false, true, false]),
        (TENANT_MAPPINGS_INDEX, [false, false, false, true, false]),
        (METADATA_PUSH, [false, false, false, true, true]),
    ];
    for (rule, expected) in matrix {
        for ((who, credentials), expected) in callers.iter().zip(expected) {
            let decision = rules.enforce(rule, credentials, &target);
            assert_eq!(decision.is_allowed(), expected, "{rule} for {who}");
        }
    }
}

#[test]
fn a_target_without_the_attribute_denies() {
    let rules = Rules::defaults();
    let decision = rules.enforce(
        PROTECTION_GROUPS_SHOW,
        &caller("p1", &["member"]),
        &Target::none(),
    );
    assert_eq!(decision, Decision::Deny);
}

#[test]
fn yaml_and_json_override_the_defaults() {
    let yaml = "# a comment\n\"protector:sites:index\": \"!\"\nprotector:sites:validate: role:watcher\n\
                \"protector:operations:show\":\n  - [\"role:auditor\"]\n  - [\"role:member\", \"project_id:%(project_id)s\"]\n\
                \"mine\": 'role:mine'\n\"protector:sites:create\": >-\n  rule:mine or\n  rule:admin_required\n";
    let rules = Rules::with_overrides(yaml).unwrap();
    let allowed = |rule, roles: &[&str]| {
        rules
            .enforce(rule, &caller("p1", roles), &Target::of_project("p1"))
            .is_allowed()
    };
    assert!(!allowed(SITES_INDEX, &["admin"]));
    assert!(allowed(SITES_VALIDATE, &["watcher"]));
    assert!(allowed(OPERATIONS_SHOW, &["auditor"]) && allowed(OPERATIONS_SHOW, &["member"]));
    assert!(!allowed(OPERATIONS_SHOW, &["reader"]));
    assert!(allowed(SITES_CREATE, &["mine"]) && allowed(SITES_CREATE, &["admin"]));

    let json = r#"{"protector:sites:validate": [], "protector:sites:show": "@"}"#;
    assert!(Rules::with_overrides(json).is_ok());
    for empty in ["", "# nothing\n", "---\n", "{}", "~"] {
        assert!(Rules::with_overrides(empty).is_ok(), "{empty:?}");
    }
}

#[test]
fn mistakes_are_refused_with_line_rule_and_fix() {
    let cases = [
        (
            "\"protector:sites:indx\": \"@\"",
            "policy.yaml:1: \"protector:sites:indx\": no such rule; did you mean \"protector:sites:index\"?",
        ),
        (
            "\n\"protector:sites:validate\": \"role:admin and\"",
            "policy.yaml:2: \"protector:sites:validate\": a check is missing",
        ),
        (
            "\"protector:sites:validate\": \"(role:admin\"",
            "a `(` has no `)`",
        ),
        (
            "\"protector:sites:validate\": \"role:admin role:member\"",
            "two checks stand side by side",
        ),
        (
            "\"protector:sites:validate\": \"not admin\"",
            "`admin` is not a check of the form kind:match",
        ),
        (
            "\"protector:sites:validate\": \"http://opa/allow\"",
            "such checks are not supported",
        ),
        (
            "\"protector:sites:validate\": \"rule:nobody\"",
            "refers to \"nobody\", which is no rule",
        ),
        (
            "\"a\": \"rule:b\"\n\"b\": \"rule:a\"",
            "\"b\": leads back to itself",
        ),
        (
            "\"protector:sites:validate\":",
            "the check must be a text in quotes or a list of lists",
        ),
        (
            "\"protector:sites:validate\": !",
            "the check must be a text in quotes",
        ),
        (
            "\"protector:sites:validate\": false",
            "the check must be a text in quotes",
        ),
        ("\"protector:sites:validate\": @", "is not YAML"),
        (
            "\"protector:sites:validate\": {\"a\": \"b\"}",
            "the check must be a text in quotes",
        ),
        (
            "\"protector:sites:validate\": \"@\"\n\"protector:sites:validate\": \"!\"",
            "policy.yaml:2: \"protector:sites:validate\": is given on line 1 already",
        ),
        ("- a\n- b", "must be a mapping"),
        ("\"a\": \"@\"\n---\n\"b\": \"@\"", "one YAML document only"),
        (
            "\"a\": &x \"@\"\n\"b\": *x",
            "the check must be a text in quotes",
        ),
        ("\"a: \"@\"", "is not YAML"),
    ];
    for (text, expected) in cases {
        let shown = refusal(text);
        assert!(shown.contains(expected), "{text}\n{shown}");
    }
    assert_eq!(
        refusal("\"a\": \"word\"\n\"b\": \"or\"\n").lines().count(),
        2
    );
    let deep = format!("\"a\": \"{}@{}\"", "(".repeat(10_000), ")".repeat(10_000));
    assert!(refusal(&deep).contains("nested"));
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_or_missing_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    let enforcer = Enforcer::open(&path).unwrap();
    let member = caller("p1", &["member"]);
    let allowed = || {
        enforcer
            .enforce(SITES_INDEX, &member, &Target::none())
            .is_allowed()
    };
    assert!(allowed(), "without a file the defaults hold");
    // The texts differ in length, so the change is seen however coarse the file's clock is.
    fs::write(&path, "\"protector:sites:index\": \"!\"").unwrap();
    assert!(!allowed());
    fs::write(&path, "\"protector:sites:index\": \"@ or\"").unwrap();
    assert!(!allowed(), "a broken file leaves the rules before it");
    fs::remove_file(&path).unwrap();
    assert!(
        !allowed(),
        "a file that is gone does not open what it had closed"
    );
    fs::write(&path, "\"protector:sites:index\": \"role:member\"").unwrap();
    assert!(allowed());
}

#[test]
fn a_service_does_not_start_with_a_broken_policy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    fs::write(&path, "\"protector:sites:validate\": \"and\"").unwrap();
    let errors = Enforcer::open(&path).err().unwrap().to_string();
    assert!(
        errors.contains("policy.yaml:1: \"protector:sites:validate\": a check is missing"),
        "{errors}"
    );
}

#[test]
fn a_policy_that_is_no_file_holds_nobody_up_and_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    fs::write(&path, "\"protector:sites:index\": \"!\"").unwrap();
    let enforcer = Enforcer::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    let (done, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let member = caller("p1", &["member"]);
        let decision = enforcer.enforce(SITES_INDEX, &member, &Target::none());
        let opened = Enforcer::open(&path).err().map(|errors| errors.to_string());
        done.send((decision.is_allowed(), opened))
    });
    let (allowed, opened) = answer
        .recv_timeout(std::time::Duration::from_secs(20))
        .expect("nobody waits for who writes to the pipe");
    assert!(!allowed, "the rules before it stay");
    let opened = opened.unwrap();
    assert!(opened.contains("must be a regular file"), "{opened}");
}
