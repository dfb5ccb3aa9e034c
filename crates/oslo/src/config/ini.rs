//! The line grammar of `oslo.config`'s INI files, as its `iniparser` reads them.
//!
//! Rules that differ from other INI dialects: a comment is a line whose first character is `#` or
//! `;` (never the rest of a line, so passwords may hold them); a line that begins with a blank
//! continues the value above it; a blank or comment line ends a value; the first of `=` and `:`
//! separates key and value; one pair of quotes around a whole value is taken off.

/// One `key = value`, with its continuation lines joined by newlines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub section: String,
    pub key: String,
    pub value: String,
    /// 1-based line of the key.
    pub line: usize,
}

/// A `[section]` line; the name as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub name: String,
    pub line: usize,
}

/// A line that is not of the grammar. The line itself is never quoted: it may be half a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub line: usize,
    pub message: &'static str,
}

/// Everything one file says, in its order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub headers: Vec<Header>,
    pub assignments: Vec<Assignment>,
    pub errors: Vec<SyntaxError>,
}

/// Where assignments go at this line.
enum Section {
    NotYet,
    /// The header was malformed; what follows belongs nowhere and is not judged.
    Broken,
    Named(String),
}

/// What a continuation line would continue.
enum Open {
    Nothing,
    /// The line above was an error already; its continuations are not errors of their own.
    Broken,
    Value(Assignment),
}

struct Parser {
    section: Section,
    open: Open,
    parsed: Parsed,
}

/// Reads a whole file. oslo stops at the first bad line; this goes on, to report all of them.
pub(super) fn parse(text: &str) -> Parsed {
    let mut parser = Parser {
        section: Section::NotYet,
        open: Open::Nothing,
        parsed: Parsed::default(),
    };
    // Python's universal newlines: a lone carriage return ends a line too.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for (index, line) in text.split('\n').enumerate() {
        parser.line(index + 1, line.trim_end());
    }
    parser.close();
    parser.parsed
}

impl Parser {
    fn line(&mut self, number: usize, line: &str) {
        if line.is_empty() {
            return self.close();
        }
        if line.starts_with([' ', '\t']) {
            return self.continuation(number, line.trim_start());
        }
        self.close();
        if line.starts_with('[') {
            self.header(number, line);
        } else if !line.starts_with(['#', ';']) {
            self.assignment(number, line);
        }
    }

    fn close(&mut self) {
        if let Open::Value(assignment) = std::mem::replace(&mut self.open, Open::Nothing) {
            self.parsed.assignments.push(assignment);
        }
    }

    fn error(&mut self, line: usize, message: &'static str) {
        self.parsed.errors.push(SyntaxError { line, message });
        self.open = Open::Broken;
    }

    fn continuation(&mut self, number: usize, rest: &str) {
        match &mut self.open {
            Open::Broken => {}
            Open::Value(assignment) => {
                assignment.value.push('\n');
                assignment.value.push_str(rest);
            }
            Open::Nothing => self.error(
                number,
                "the line begins with a blank, so it continues a value, but no value is open here; \
                 remove the blanks at its beginning",
            ),
        }
    }

    fn header(&mut self, number: usize, line: &str) {
        let name = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        match name {
            Some(name) if !name.is_empty() => {
                // oslo folds the case of all section names but DEFAULT's.
                let name = if name == "DEFAULT" {
                    name.to_owned()
                } else {
                    name.to_lowercase()
                };
                self.parsed.headers.push(Header {
                    name: name.clone(),
                    line: number,
                });
                self.section = Section::Named(name);
            }
            Some(_) => {
                self.section = Section::Broken;
                self.error(
                    number,
                    "the section has no name; write [engine], for example",
                );
            }
            None => {
                self.section = Section::Broken;
                self.error(
                    number,
                    "a section line must end with `]`; a comment needs a line of its own",
                );
            }
        }
    }

    fn assignment(&mut self, number: usize, line: &str) {
        let Some((key, value)) = line.split_once(['=', ':']) else {
            return self.error(
                number,
                "neither a [section], a comment nor `option = value`",
            );
        };
        let key = key.trim();
        if key.is_empty() {
            return self.error(number, "there is no option name before the `=` or `:`");
        }
        match &self.section {
            Section::NotYet => self.error(
                number,
                "an option stands before the first [section]; put [DEFAULT] above it",
            ),
            Section::Broken => self.open = Open::Broken,
            Section::Named(section) => {
                self.open = Open::Value(Assignment {
                    section: section.clone(),
                    key: key.to_owned(),
                    value: unquoted(value.trim()).to_owned(),
                    line: number,
                });
            }
        }
    }
}

/// Takes off one pair of equal quotes. A value of one single quote character becomes empty, as
/// Python's `value[1:-1]` makes it.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.len() == 1 && value.starts_with(quote) {
            return "";
        }
        let inner = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    value
}
