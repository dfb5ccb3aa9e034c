//! `oslo.config`'s own answers (`tests/vectors/config.json`), compared.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::{
    kind::{OptionType, Value},
    options::OptionDef,
    resolve::{ResolvedOption, Source, resolve},
};

const fn option(
    section: &'static str,
    name: &'static str,
    kind: OptionType,
    default: Option<&'static str>,
) -> OptionDef {
    OptionDef {
        section,
        name,
        kind,
        default,
        sample_default: None,
        help: "",
        secret: false,
        check: None,
        since: "0.1",
    }
}

/// The options of `generate_config.py`.
static OPTIONS: &[OptionDef] = &[
    option("DEFAULT", "name", OptionType::Str, None),
    option("DEFAULT", "base", OptionType::Str, Some("/var/lib/x")),
    option("DEFAULT", "derived", OptionType::Str, Some("$base/db")),
    option("DEFAULT", "other", OptionType::Str, None),
    option("DEFAULT", "flag", OptionType::Bool, Some("True")),
    option("engine", "name", OptionType::Str, None),
    option(
        "engine",
        "number",
        OptionType::Int {
            min: Some(60),
            max: None,
        },
        Some("300"),
    ),
    option(
        "engine",
        "fraction",
        OptionType::Float {
            min: Some(0.0),
            max: None,
        },
        Some("0.5"),
    ),
    option("engine", "items", OptionType::List, Some("x,y")),
    option("engine", "port", OptionType::Port, Some("80")),
    option("engine", "many", OptionType::MultiStr, None),
    option(
        "engine",
        "choice",
        OptionType::Enum(&[("one", ""), ("two", "")]),
        None,
    ),
];

/// What we refuse and oslo lets pass, with our reason. oslo's value is not compared for these.
const STRICTER: &[&str] = &[
    // Misspelt options and sections are the reason why we judge the whole file.
    "[DEFAULT]\nname = a\n[other section]\nx = 1\n",
    "[DEFAULT]\nName = case\nname = right\n",
    // A second, indented line of a single value is an accident.
    "[DEFAULT]\nname = one\n  two\n",
];

fn json(value: &Value) -> Json {
    match value {
        Value::Str(text) => Json::from(text.as_str()),
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Bool(flag) => Json::from(*flag),
        Value::List(items) => Json::from(items.clone()),
    }
}

fn is_error(value: &Json) -> bool {
    value.get("error").is_some()
}

/// An empty text is "unset" here; nothing of ours tells the two apart.
fn same(ours: &ResolvedOption, oslo: &Json) -> bool {
    match ours {
        ResolvedOption::Value(value) => json(value) == *oslo,
        ResolvedOption::Unset => oslo.is_null() || oslo == "",
        ResolvedOption::Failed => is_error(oslo),
    }
}

#[test]
fn files_mean_what_oslo_config_says_they_mean() {
    let vectors: Vec<Json> =
        serde_json::from_str(include_str!("../../tests/vectors/config.json")).unwrap();
    assert!(vectors.len() > 100);
    let mut differences = Vec::new();
    for vector in &vectors {
        let texts: Vec<&str> = vector["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap())
            .collect();
        let sources: Vec<Source> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| Source {
                path: PathBuf::from(format!("{index}.conf")),
                text: (*text).to_owned(),
            })
            .collect();
        let (resolved, problems) = resolve(OPTIONS, &[], &sources);
        let oslo = &vector["values"];
        let oslo_refuses = is_error(oslo) || oslo.as_object().unwrap().values().any(is_error);
        let stricter = STRICTER.contains(&texts[0]);
        if oslo_refuses == problems.is_empty() && !stricter {
            differences.push(format!("{texts:?}: oslo {oslo}, ours {problems:?}"));
        }
        if is_error(oslo) || stricter {
            continue;
        }
        for option in OPTIONS {
            let ours = resolved.get(option.section, option.name).unwrap();
            let theirs = &oslo[format!("{}.{}", option.section, option.name)];
            if !same(ours, theirs) {
                differences.push(format!(
                    "{texts:?} {}: oslo {theirs}, ours {ours:?}",
                    option.name
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
