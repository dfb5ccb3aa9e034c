//! From the assignments of all files to one valid value per option, with every problem noted.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use super::{
    ini::{self, Assignment, Parsed},
    kind::{OptionType, Value, list},
    options::{DRIVER, DriverDef, ENABLED_ARRAYS, OptionDef, STORAGE, find},
    problem::{Origin, Problem},
    substitute::{Piece, pieces},
};
use crate::nearest::nearest;

/// One file's name and text.
pub(super) struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// One value as written.
#[derive(Clone)]
struct Raw {
    text: String,
    origin: Origin,
}

/// What became of one option.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ResolvedOption {
    Value(Value),
    /// No value and no default.
    Unset,
    /// A problem has been reported for it.
    Failed,
}

type Key = (String, &'static str);

/// The outcome of every option of the table.
pub(super) struct Resolved {
    outcomes: HashMap<Key, ResolvedOption>,
}

impl Resolved {
    /// What became of an option.
    pub fn get(&self, section: &str, name: &'static str) -> Option<&ResolvedOption> {
        self.outcomes.get(&(section.to_owned(), name))
    }
}

/// Reads the sources, the later over the earlier, against a table of options, and the sections of enabled arrays against
/// those of their drivers.
pub(super) fn resolve(
    options: &'static [OptionDef],
    drivers: &'static [DriverDef],
    sources: &[Source],
) -> (Resolved, Vec<Problem>) {
    let parsed: Vec<Parsed> = sources
        .iter()
        .map(|source| ini::parse(&source.text))
        .collect();
    let mut resolver = Resolver {
        options,
        arrays: arrays_of(&parsed, drivers),
        raw: HashMap::new(),
        outcomes: HashMap::new(),
        in_progress: Vec::new(),
        problems: Vec::new(),
    };
    for (source, parsed) in sources.iter().zip(parsed) {
        resolver.read(&source.path, parsed);
    }
    for option in options {
        resolver.outcome(option.section, option);
    }
    for (array, options) in resolver.arrays.clone() {
        for option in options {
            resolver.outcome(&array, &option);
        }
    }
    let Resolver {
        outcomes,
        mut problems,
        ..
    } = resolver;
    in_reading_order(&mut problems, sources);
    (Resolved { outcomes }, problems)
}

/// The enabled arrays, each with the options that its section may have. Of an unknown driver they are those of all drivers:
/// only the driver is to be complained of.
fn arrays_of(parsed: &[Parsed], drivers: &'static [DriverDef]) -> BTreeMap<String, Vec<OptionDef>> {
    let last = |section: &str, key: &str| {
        let all = parsed.iter().flat_map(|parsed| &parsed.assignments);
        let mut of_option = all.filter(|given| given.section == section && given.key == key);
        of_option.next_back().map(|given| given.value.as_str())
    };
    let mut arrays = BTreeMap::new();
    for name in list(last(STORAGE, ENABLED_ARRAYS).unwrap_or_default()) {
        let driver = last(&name, DRIVER.name).map(str::trim);
        let known = drivers.iter().find(|known| Some(known.name) == driver);
        let of_driver: Vec<_> = match known {
            Some(known) => known.options.to_vec(),
            None => drivers
                .iter()
                .flat_map(|known| known.options)
                .copied()
                .collect(),
        };
        let options = std::iter::once(DRIVER).chain(of_driver).collect();
        arrays.insert(name, options);
    }
    arrays
}

fn in_reading_order(problems: &mut [Problem], sources: &[Source]) {
    problems.sort_by_key(|problem| match &problem.origin {
        Origin::File { path, line } => {
            let file = sources.iter().position(|source| source.path == *path);
            (file.unwrap_or(usize::MAX), *line)
        }
        Origin::Default | Origin::Whole(_) => (usize::MAX, 0),
    });
}

struct Resolver {
    options: &'static [OptionDef],
    /// The options that the section of each enabled array may have.
    arrays: BTreeMap<String, Vec<OptionDef>>,
    raw: HashMap<Key, Vec<Raw>>,
    outcomes: HashMap<Key, ResolvedOption>,
    /// The chain of references being followed, to notice one that leads back.
    in_progress: Vec<Key>,
    problems: Vec<Problem>,
}

impl Resolver {
    fn read(&mut self, path: &Path, parsed: Parsed) {
        let at = |line| Origin::File {
            path: path.to_owned(),
            line,
        };
        for error in parsed.errors {
            self.report(at(error.line), String::new(), error.message);
        }
        for header in &parsed.headers {
            if !self.knows_section(&header.name) {
                let message = self.unknown_section(&header.name);
                self.report(at(header.line), format!("[{}]", header.name), message);
            }
        }
        for assignment in parsed.assignments {
            let origin = at(assignment.line);
            self.assign(assignment, origin);
        }
    }

    fn assign(&mut self, assignment: Assignment, origin: Origin) {
        if !self.knows_section(&assignment.section) {
            return;
        }
        let Some(option) = self.find(&assignment.section, &assignment.key) else {
            // The value stays out of sight: this may be a password under a misspelt name.
            let subject = format!("[{}] {}", assignment.section, assignment.key);
            let message = self.unknown_option(&assignment.section, &assignment.key);
            return self.report(origin, subject, message);
        };
        self.raw
            .entry((assignment.section, option.name))
            .or_default()
            .push(Raw {
                text: assignment.value,
                origin,
            });
    }

    fn knows_section(&self, section: &str) -> bool {
        self.arrays.contains_key(section)
            || self.options.iter().any(|option| option.section == section)
    }

    fn find(&self, section: &str, name: &str) -> Option<OptionDef> {
        let of_array = self.arrays.get(section);
        let mut of_array = of_array.into_iter().flatten();
        of_array
            .find(|option| option.name == name)
            .copied()
            .or_else(|| find(self.options, section, name))
    }

    fn unknown_section(&self, section: &str) -> String {
        let arrays = self.arrays.keys().map(String::as_str);
        let known = self.options.iter().map(|option| option.section);
        let known = known.chain(arrays);
        let guess = if section.eq_ignore_ascii_case("default") {
            Some("DEFAULT")
        } else {
            nearest(section.trim(), known)
        };
        match guess {
            Some(guess) => format!("unknown section; did you mean [{guess}]?"),
            None => format!(
                "unknown section; one of an array counts where [{STORAGE}] {ENABLED_ARRAYS} names it"
            ),
        }
    }

    fn unknown_option(&self, section: &str, name: &str) -> String {
        let elsewhere = self.options.iter().find(|option| option.name == name);
        if let Some(option) = elsewhere {
            return format!(
                "unknown option here; `{name}` belongs in [{}]",
                option.section
            );
        }
        let of_array = self.arrays.get(section).into_iter().flatten();
        let here = self
            .options
            .iter()
            .filter(|option| option.section == section)
            .chain(of_array);
        let anywhere = self.options.iter().map(|option| option.name);
        let guess = nearest(name, here.map(|option| option.name));
        if let Some(guess) = guess {
            return format!("unknown option; did you mean `{guess}`?");
        }
        let guess = nearest(name, anywhere)
            .and_then(|guess| self.options.iter().find(|option| option.name == guess));
        match guess {
            Some(option) => format!(
                "unknown option; did you mean `{}` in [{}]?",
                option.name, option.section
            ),
            None => "unknown option".to_owned(),
        }
    }

    fn report(&mut self, origin: Origin, subject: String, message: impl Into<String>) {
        self.problems.push(Problem {
            origin,
            subject,
            message: message.into(),
        });
    }

    /// The option's value, resolved at most once.
    fn outcome(&mut self, section: &str, option: &OptionDef) -> ResolvedOption {
        let key = (section.to_owned(), option.name);
        if let Some(outcome) = self.outcomes.get(&key) {
            return outcome.clone();
        }
        self.in_progress.push(key.clone());
        let outcome = self.fresh_outcome(&key, option);
        self.in_progress.pop();
        self.outcomes.insert(key, outcome.clone());
        outcome
    }

    fn fresh_outcome(&mut self, key: &Key, option: &OptionDef) -> ResolvedOption {
        let given = self.raw.get(key).cloned().unwrap_or_default();
        if matches!(option.kind, OptionType::MultiStr) && !given.is_empty() {
            return self.every_value(&key.0, option, &given);
        }
        let default = || {
            option.default.map(|text| Raw {
                text: text.to_owned(),
                origin: Origin::Default,
            })
        };
        match given.last().cloned().or_else(default) {
            Some(raw) => self.value(&key.0, option, &raw),
            None => ResolvedOption::Unset,
        }
    }

    fn every_value(&mut self, section: &str, option: &OptionDef, given: &[Raw]) -> ResolvedOption {
        let mut texts = Vec::new();
        for raw in given {
            match self.value(section, option, raw) {
                ResolvedOption::Value(Value::Str(text)) => texts.push(text),
                ResolvedOption::Value(_) | ResolvedOption::Unset => {}
                ResolvedOption::Failed => return ResolvedOption::Failed,
            }
        }
        ResolvedOption::Value(Value::List(texts))
    }

    fn value(&mut self, section: &str, option: &OptionDef, raw: &Raw) -> ResolvedOption {
        let judged = self
            .substituted(section, option, &raw.text)
            .and_then(|text| {
                if text.trim().is_empty() {
                    return empty(option);
                }
                let value = option.kind.parse(&text).map_err(Some)?;
                if let Some(check) = option.check {
                    check(&text).map_err(Some)?;
                }
                Ok(ResolvedOption::Value(value))
            });
        match judged {
            Ok(outcome) => outcome,
            Err(message) => {
                if let Some(message) = message {
                    self.report(
                        raw.origin.clone(),
                        subject(section, option, &raw.text),
                        message,
                    );
                }
                ResolvedOption::Failed
            }
        }
    }

    /// Follows the references in a value. `Err(None)` means that the option referred to has a
    /// problem of its own, which is reported there.
    fn substituted(
        &mut self,
        section: &str,
        option: &OptionDef,
        text: &str,
    ) -> Result<String, Option<String>> {
        let mut result = String::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => result.push_str(&text),
                Piece::Reference(name) => result.push_str(&self.referred(section, option, &name)?),
            }
        }
        Ok(result)
    }

    fn referred(
        &mut self,
        section: &str,
        option: &OptionDef,
        name: &str,
    ) -> Result<String, Option<String>> {
        let Some((of, other)) = self.find_reference(section, name) else {
            // The name may be a piece of a password.
            return Err(Some(if option.secret {
                "a `$` in it begins the name of no option; write a literal dollar sign as `$$`"
                    .to_owned()
            } else {
                format!("`${name}` names no option; write a literal dollar sign as `$$`")
            }));
        };
        let shown = format!("`${name}`");
        if other.secret && !option.secret {
            return Err(Some(format!(
                "{shown} is a secret, and this option is shown in logs"
            )));
        }
        if self.in_progress.contains(&(of.clone(), other.name)) {
            return Err(Some(format!("{shown} leads back to this option")));
        }
        match self.outcome(&of, &other) {
            ResolvedOption::Value(value) => value
                .substituted()
                .ok_or_else(|| Some(format!("{shown} is a list; a list has no place in a value"))),
            ResolvedOption::Unset => Ok(String::new()),
            ResolvedOption::Failed => Err(None),
        }
    }

    /// `group.option` in that group; a bare name in the referring section, then in [DEFAULT].
    fn find_reference(&self, section: &str, name: &str) -> Option<(String, OptionDef)> {
        let in_section = |section: &str, name: &str| {
            let option = self.find(section, name);
            option.map(|option| (section.to_owned(), option))
        };
        let in_group = name
            .split_once('.')
            .filter(|(group, _)| *group != "DEFAULT")
            .and_then(|(group, option)| in_section(group, option));
        in_group
            .or_else(|| in_section(section, name))
            .or_else(|| in_section("DEFAULT", name))
    }
}

fn empty(option: &OptionDef) -> Result<ResolvedOption, Option<String>> {
    match (option.kind, option.default) {
        (OptionType::List | OptionType::MultiStr, _) => {
            Ok(ResolvedOption::Value(Value::List(Vec::new())))
        }
        (OptionType::Str | OptionType::Path, None) => Ok(ResolvedOption::Unset),
        (_, Some(default)) => Err(Some(format!(
            "has no value; remove the line to use the default, {default}"
        ))),
        (_, None) => Err(Some(
            "has no value; remove the line to leave it unset".to_owned(),
        )),
    }
}

fn subject(section: &str, option: &OptionDef, text: &str) -> String {
    let shown = if option.secret {
        "***".to_owned()
    } else {
        text.replace('\n', "\\n")
    };
    format!("[{section}] {} = {shown}", option.name)
}

/// The largest configuration file that is read.
const LARGEST_FILE: usize = 16 << 20;

/// Reads one file, or says why it cannot be.
pub(super) fn read_source(path: &Path) -> Result<Source, Problem> {
    let problem = |message: String| Problem {
        origin: Origin::Whole(path.to_owned()),
        subject: String::new(),
        message,
    };
    let bytes = protector_file::read_any(path, LARGEST_FILE)
        .map_err(|error| problem(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        problem(format!("line {} is not UTF-8", line + 1))
    })?;
    Ok(Source {
        path: path.to_owned(),
        text,
    })
}
