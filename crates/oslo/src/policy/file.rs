//! The policy file: a flat YAML or JSON mapping of rule names to checks.
//!
//! Stricter than oslo where its leniency opens doors: oslo reads a rule without a value (or with
//! `false`) as "always", lets the second of two equal names win, and ignores a misspelt name.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::problem::Problem;

/// What stands behind a rule's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    Text(String),
    /// The list form, see [`Check::parse_lists`](super::check::Check::parse_lists).
    Lists(Vec<Vec<String>>),
}

/// One entry of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    pub line: usize,
    pub written: Written,
}

struct Reader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    line: usize,
}

/// Reads the file's text. Stops at the first thing that is not of the form, since YAML offers no
/// place to go on from.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, Problem> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        line: 1,
    };
    let mut entries: Vec<Entry> = Vec::new();
    match reader.first_of_document()? {
        None => return Ok(entries),
        Some(Event::MappingStart(0, None)) => {}
        // A file of nothing but `null` or `~`.
        Some(Event::Scalar(value, ScalarStyle::Plain, 0, None)) if is_null(&value) => {
            return Ok(entries);
        }
        Some(_) => return Err(reader.problem("must be a mapping of \"rule\": \"check\" lines")),
    }
    loop {
        let name = match reader.next()? {
            Event::MappingEnd => break,
            Event::Scalar(name, _, 0, None) => name.into_owned(),
            _ => return Err(reader.problem("a rule's name must be a plain text")),
        };
        let line = reader.line;
        if let Some(earlier) = entries.iter().find(|entry| entry.name == name) {
            return Err(Problem::rule(
                line,
                &name,
                format!("is given on line {} already", earlier.line),
            ));
        }
        let written = reader.written(&name)?;
        entries.push(Entry {
            name,
            line,
            written,
        });
    }
    reader.end_of_stream()?;
    Ok(entries)
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, Problem> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => Err(Problem::at(
                error.marker().line(),
                format!("is not YAML: {}", error.info()),
            )),
            None => Ok(Event::StreamEnd),
        }
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::at(self.line, message)
    }

    fn first_of_document(&mut self) -> Result<Option<Event<'a>>, Problem> {
        loop {
            match self.next()? {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd => return Ok(None),
                event => return Ok(Some(event)),
            }
        }
    }

    fn end_of_stream(&mut self) -> Result<(), Problem> {
        loop {
            match self.next()? {
                Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => return Ok(()),
                _ => return Err(self.problem("there must be one YAML document only")),
            }
        }
    }

    fn written(&mut self, name: &str) -> Result<Written, Problem> {
        match self.next()? {
            Event::Scalar(value, style, 0, None) => {
                Ok(Written::Text(self.text(name, value, style)?))
            }
            Event::SequenceStart(0, None) => Ok(Written::Lists(self.alternatives(name)?)),
            _ => Err(self.not_a_check(name)),
        }
    }

    fn alternatives(&mut self, name: &str) -> Result<Vec<Vec<String>>, Problem> {
        let mut alternatives = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(alternatives),
                Event::Scalar(value, style, 0, None) => {
                    // oslo skips an empty text here, as it skips an empty list.
                    let text = self.text(name, value, style)?;
                    alternatives.push(if text.is_empty() {
                        Vec::new()
                    } else {
                        vec![text]
                    });
                }
                Event::SequenceStart(0, None) => alternatives.push(self.required(name)?),
                _ => return Err(self.not_a_check(name)),
            }
        }
    }

    fn required(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let mut required = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(required),
                Event::Scalar(value, style, 0, None) => {
                    required.push(self.text(name, value, style)?)
                }
                _ => return Err(self.not_a_check(name)),
            }
        }
    }

    fn text(&self, name: &str, value: Cow<'_, str>, style: ScalarStyle) -> Result<String, Problem> {
        if style == ScalarStyle::Plain && !is_text(&value) {
            return Err(self.not_a_check(name));
        }
        Ok(value.into_owned())
    }

    fn not_a_check(&self, name: &str) -> Problem {
        Problem::rule(
            self.line,
            name,
            "the check must be a text in quotes or a list of lists; \
             \"@\" allows everyone, \"!\" no one",
        )
    }
}

fn is_null(value: &str) -> bool {
    matches!(value, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether YAML (1.1 or 1.2) reads an unquoted scalar as a text, not as null, a truth value or a
/// number.
fn is_text(value: &str) -> bool {
    let word = value.to_ascii_lowercase();
    let constant = matches!(
        word.as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    let number = value
        .starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-' || c == '.')
        && value.parse::<f64>().is_ok();
    !is_null(value) && !constant && !number
}
