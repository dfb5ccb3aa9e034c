//! The types an option's value may have, after `oslo.config`'s `types`.

use std::fmt::Display;

/// An option's type and its valid range.
#[derive(Debug, Clone, Copy)]
pub enum OptionType {
    /// Any text on one line.
    Str,
    Int {
        min: Option<i64>,
        max: Option<i64>,
    },
    Float {
        min: Option<f64>,
        max: Option<f64>,
    },
    /// `true`/`false`, `yes`/`no`, `on`/`off`, `1`/`0`, in any case.
    Bool,
    /// Texts separated by commas; may continue on indented lines.
    List,
    /// One text per line; the option may be given repeatedly and all values count.
    MultiStr,
    /// A TCP port, 0 to 65535.
    Port,
    /// A path in the file system.
    Path,
    /// One of these values, each with its meaning.
    Enum(&'static [(&'static str, &'static str)]),
    /// A duration in whole seconds.
    Seconds {
        min: i64,
        max: Option<i64>,
    },
    /// A duration in seconds that may have a fraction.
    FractionalSeconds {
        min: f64,
        max: Option<f64>,
    },
}

/// A value of the right type and in range.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<String>),
}

impl Value {
    /// The text that `$option` stands for, as Python's `str` writes it; `None` for lists, whose
    /// Python form is of no use in a value.
    pub fn substituted(&self) -> Option<String> {
        match self {
            Self::Str(text) => Some(text.clone()),
            Self::Int(number) => Some(number.to_string()),
            Self::Float(number) => Some(format!("{number:?}")),
            Self::Bool(true) => Some("True".to_owned()),
            Self::Bool(false) => Some("False".to_owned()),
            Self::List(_) => None,
        }
    }
}

impl OptionType {
    /// Reads one value. The error completes the sentence "`option = value`: …".
    pub(super) fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Str | Self::Path | Self::MultiStr => one_line(text),
            Self::Int { min, max } => integer(text, min, max),
            Self::Seconds { min, max } => integer(text, Some(min), max),
            Self::Port => integer(text, Some(0), Some(65_535)),
            Self::Float { min, max } => float(text, min, max),
            Self::FractionalSeconds { min, max } => float(text, Some(min), max),
            Self::Bool => boolean(text),
            Self::List => Ok(Value::List(list(text))),
            Self::Enum(choices) => choice(text, choices),
        }
    }

    /// The type's name in the sample file, in `oslo-config-generator`'s words.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Str | Self::Path | Self::Enum(_) => "string value",
            Self::Int { .. } | Self::Seconds { .. } => "integer value",
            Self::Float { .. } | Self::FractionalSeconds { .. } => "floating point value",
            Self::Bool => "boolean value",
            Self::List => "list value",
            Self::MultiStr => "multi valued",
            Self::Port => "port value",
        }
    }

    /// Smallest and largest valid value in print, where the type has them.
    pub(super) fn bounds(self) -> (Option<String>, Option<String>) {
        fn print<T: Display>(bound: Option<T>) -> Option<String> {
            bound.map(|bound| bound.to_string())
        }
        match self {
            Self::Int { min, max } => (print(min), print(max)),
            Self::Seconds { min, max } => (print(Some(min)), print(max)),
            Self::Port => (print(Some(0)), print(Some(65_535))),
            Self::Float { min, max } => (print(min), print(max)),
            Self::FractionalSeconds { min, max } => (print(Some(min)), print(max)),
            Self::Str | Self::Bool | Self::List | Self::MultiStr | Self::Path | Self::Enum(_) => {
                (None, None)
            }
        }
    }
}

/// oslo joins an indented line to the value above it, even an indented comment. No single value of
/// ours has lines, so a second line is always such an accident.
fn one_line(text: &str) -> Result<Value, String> {
    if text.contains('\n') {
        return Err("the next line is indented and so continues this value; \
                    begin it in the first column if it was meant to stand alone"
            .to_owned());
    }
    Ok(Value::Str(text.to_owned()))
}

fn integer(text: &str, min: Option<i64>, max: Option<i64>) -> Result<Value, String> {
    let range = range(min, max);
    let number = without_underscores(text)
        .and_then(|digits| digits.parse::<i64>().ok())
        .ok_or_else(|| sentence("must be a whole number", &range))?;
    if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
        return Err(sentence("must be", &range));
    }
    Ok(Value::Int(number))
}

fn float(text: &str, min: Option<f64>, max: Option<f64>) -> Result<Value, String> {
    let range = range(min, max);
    let number = without_underscores(text)
        .and_then(|digits| digits.parse::<f64>().ok())
        .filter(|number| number.is_finite())
        .ok_or_else(|| sentence("must be a number", &range))?;
    if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
        return Err(sentence("must be", &range));
    }
    Ok(Value::Float(number))
}

/// Python allows single underscores between digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.trim().as_bytes();
    let misplaced = bytes.iter().enumerate().any(|(index, byte)| {
        let digit = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at))
                .is_some_and(u8::is_ascii_digit)
        };
        *byte == b'_' && !(digit(index.checked_sub(1)) && digit(index.checked_add(1)))
    });
    (!misplaced).then(|| text.trim().replace('_', ""))
}

fn range<T: Display>(min: Option<T>, max: Option<T>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("between {min} and {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => String::new(),
    }
}

fn sentence(beginning: &str, range: &str) -> String {
    format!("{beginning} {range}").trim_end().to_owned()
}

fn boolean(text: &str) -> Result<Value, String> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(Value::Bool(true)),
        "false" | "0" | "off" | "no" => Ok(Value::Bool(false)),
        _ => Err("must be true or false".to_owned()),
    }
}

pub(super) fn list(text: &str) -> Vec<String> {
    let text = text.trim().trim_end_matches(',');
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| item.trim().to_owned()).collect()
}

fn choice(text: &str, choices: &[(&str, &str)]) -> Result<Value, String> {
    if choices.iter().any(|(value, _)| *value == text) {
        return Ok(Value::Str(text.to_owned()));
    }
    let valid: Vec<&str> = choices.iter().map(|(value, _)| *value).collect();
    Err(match valid.as_slice() {
        [only] => format!("must be {only}"),
        _ => format!("must be one of {}", valid.join(", ")),
    })
}
