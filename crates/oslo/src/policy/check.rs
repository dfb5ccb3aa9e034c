//! The check language of `oslo.policy`: its grammar.
//!
//! ```text
//! or   = and { "or" and }      and = not { "and" not }      not = { "not" } atom
//! atom = "(" or ")" | "@" | "!" | kind ":" match
//! ```
//!
//! Words are separated by blanks; parentheses are cut from a word's beginning and end only, so
//! that `%(project_id)s` survives. Where oslo turns a word it cannot read into "never" (and so
//! `not mistake` into "always"), the whole rule is refused here.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PolicyCheck {
    Always,
    Never,
    Not(Box<PolicyCheck>),
    All(Vec<PolicyCheck>),
    Any(Vec<PolicyCheck>),
    /// `rule:name`.
    Rule(String),
    /// `role:name`, in lower case when compared.
    Role(Template),
    /// `'literal':match`, `True:match`.
    Literal(String, Template),
    /// `attribute:match`, the attribute of the caller, dots descending into it.
    Attribute(Vec<String>, Template),
}

/// The part behind the colon: text with `%(name)s` for attributes of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(pub(super) Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Target(String),
}

enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(PolicyCheck),
}

/// How deep parentheses and `not` may nest; a policy file has no honest use for more.
const DEEPEST: usize = 64;

impl PolicyCheck {
    /// Parses a rule's text. The error completes "`name`: …".
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Always);
        }
        let mut parser = Parser {
            tokens: tokens(text)?.into_iter().peekable(),
        };
        let check = parser.any(0)?;
        match parser.tokens.next() {
            None => Ok(check),
            Some(Token::Close) => Err("a `)` has no `(`".to_owned()),
            Some(_) => {
                Err("two checks stand side by side; join them with `and` or `or`".to_owned())
            }
        }
    }

    /// Parses the list form: the outer list is joined by "or", an inner list by "and"; no list at
    /// all is always true, nothing but empty inner lists never.
    pub(super) fn parse_lists(alternatives: &[Vec<String>]) -> Result<Self, String> {
        if alternatives.is_empty() {
            return Ok(Self::Always);
        }
        let mut any = Vec::new();
        for required in alternatives.iter().filter(|required| !required.is_empty()) {
            let all = required
                .iter()
                .map(|word| single(word))
                .collect::<Result<Vec<_>, _>>()?;
            any.push(joined(all, Self::All));
        }
        Ok(if any.is_empty() {
            Self::Never
        } else {
            joined(any, Self::Any)
        })
    }

    /// The rules this one refers to.
    pub(super) fn references(&self) -> Vec<&str> {
        match self {
            Self::Rule(name) => vec![name],
            Self::Not(check) => check.references(),
            Self::All(checks) | Self::Any(checks) => {
                checks.iter().flat_map(Self::references).collect()
            }
            Self::Always
            | Self::Never
            | Self::Role(_)
            | Self::Literal(..)
            | Self::Attribute(..) => Vec::new(),
        }
    }
}

fn joined(mut checks: Vec<PolicyCheck>, join: fn(Vec<PolicyCheck>) -> PolicyCheck) -> PolicyCheck {
    match checks.pop() {
        Some(only) if checks.is_empty() => only,
        Some(last) => {
            checks.push(last);
            join(checks)
        }
        None => join(checks),
    }
}

fn single(word: &str) -> Result<PolicyCheck, String> {
    if word.contains(char::is_whitespace) {
        return Err(format!(
            "`{word}` in a list must be one check, without `and`, `or`, `not`"
        ));
    }
    check(word)
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let rest = word.trim_start_matches('(');
        tokens.extend((rest.len()..word.len()).map(|_| Token::Open));
        let bare = rest.trim_end_matches(')');
        match bare.to_ascii_lowercase().as_str() {
            "" => {}
            "and" => tokens.push(Token::And),
            "or" => tokens.push(Token::Or),
            "not" => tokens.push(Token::Not),
            _ => tokens.push(Token::Check(check(bare)?)),
        }
        tokens.extend((bare.len()..rest.len()).map(|_| Token::Close));
    }
    Ok(tokens)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    fn any(&mut self, depth: usize) -> Result<PolicyCheck, String> {
        let mut checks = vec![self.all(depth)?];
        while self
            .tokens
            .next_if(|token| matches!(token, Token::Or))
            .is_some()
        {
            checks.push(self.all(depth)?);
        }
        Ok(joined(checks, PolicyCheck::Any))
    }

    fn all(&mut self, depth: usize) -> Result<PolicyCheck, String> {
        let mut checks = vec![self.atom(depth)?];
        while self
            .tokens
            .next_if(|token| matches!(token, Token::And))
            .is_some()
        {
            checks.push(self.atom(depth)?);
        }
        Ok(joined(checks, PolicyCheck::All))
    }

    fn atom(&mut self, depth: usize) -> Result<PolicyCheck, String> {
        if depth > DEEPEST {
            return Err(format!("is nested more than {DEEPEST} deep"));
        }
        match self.tokens.next() {
            Some(Token::Check(check)) => Ok(check),
            Some(Token::Not) => Ok(PolicyCheck::Not(Box::new(self.atom(depth + 1)?))),
            Some(Token::Open) => {
                let inner = self.any(depth + 1)?;
                match self.tokens.next() {
                    Some(Token::Close) => Ok(inner),
                    Some(Token::Check(_) | Token::Open | Token::Not) => Err(
                        "two checks stand side by side; join them with `and` or `or`".to_owned(),
                    ),
                    Some(Token::And | Token::Or) | None => Err("a `(` has no `)`".to_owned()),
                }
            }
            Some(Token::And | Token::Or | Token::Close) | None => Err(
                "a check is missing: after `and`, `or`, `not` or between parentheses".to_owned(),
            ),
        }
    }
}

fn check(word: &str) -> Result<PolicyCheck, String> {
    match word {
        "@" => return Ok(PolicyCheck::Always),
        "!" => return Ok(PolicyCheck::Never),
        _ => {}
    }
    if is_quoted(word) {
        return Err(format!(
            "{word} is a bare text, not a check of the form kind:match"
        ));
    }
    let (kind, expected) = word
        .split_once(':')
        .ok_or_else(|| format!("`{word}` is not a check of the form kind:match"))?;
    match kind {
        "rule" => Ok(PolicyCheck::Rule(expected.to_owned())),
        "role" => Ok(PolicyCheck::Role(Template::parse(expected)?)),
        "http" | "https" => Err(format!(
            "`{kind}:` asks a web server; such checks are not supported"
        )),
        _ => match literal(kind)? {
            Some(literal) => Ok(PolicyCheck::Literal(literal, Template::parse(expected)?)),
            None => Ok(PolicyCheck::Attribute(
                attribute(kind)?,
                Template::parse(expected)?,
            )),
        },
    }
}

fn is_quoted(word: &str) -> bool {
    ['\'', '"']
        .iter()
        .any(|quote| word.len() >= 2 && word.starts_with(*quote) && word.ends_with(*quote))
}

/// A Python literal on the left of the colon, as `str` prints it.
fn literal(kind: &str) -> Result<Option<String>, String> {
    for quote in ['\'', '"'] {
        let Some(rest) = kind.strip_prefix(quote) else {
            continue;
        };
        return match rest.strip_suffix(quote) {
            Some(text) if !text.contains([quote, '\\']) => Ok(Some(text.to_owned())),
            _ => Err(format!("`{kind}` is not a quoted text")),
        };
    }
    let digits = kind.strip_prefix('-').unwrap_or(kind);
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if number && (digits == "0" || !digits.starts_with('0')) {
        return Ok(Some(if digits == "0" { "0" } else { kind }.to_owned()));
    }
    Ok(matches!(kind, "True" | "False" | "None").then(|| kind.to_owned()))
}

fn attribute(kind: &str) -> Result<Vec<String>, String> {
    let proper = |segment: &str| {
        segment.starts_with(|c: char| c == '_' || c.is_alphabetic())
            && segment
                .chars()
                .all(|c| c == '_' || c == '-' || c.is_alphanumeric())
    };
    let path: Vec<String> = kind.split('.').map(str::to_owned).collect();
    if path.iter().all(|segment| proper(segment)) {
        Ok(path)
    } else {
        Err(format!(
            "`{kind}` is neither a literal nor an attribute of the caller"
        ))
    }
}

impl Template {
    /// Reads Python's `%` formatting, of which `%(name)s` and `%%` are used in policies.
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            parts.push(Part::Text(before.to_owned()));
            if let Some(escaped) = after.strip_prefix('%') {
                parts.push(Part::Text("%".to_owned()));
                rest = escaped;
                continue;
            }
            let (name, remainder) = after
                .strip_prefix('(')
                .and_then(|inner| inner.split_once(")s"))
                .filter(|(name, _)| !name.is_empty() && !name.contains(['(', ')']))
                .ok_or_else(|| {
                    format!("`{text}`: a `%` must begin %(attribute of the target)s or be doubled")
                })?;
            parts.push(Part::Target(name.to_owned()));
            rest = remainder;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }
}
