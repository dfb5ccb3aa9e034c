//! `$option` and `${group.option}` in values, as `oslo.config`'s `string.Template` finds them.

/// A stretch of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// The name between `$` and the end of the identifier, dots included.
    Reference(String),
}

/// Cuts a value into text and references. `$$` and `\$` are a literal `$`; a `$` that begins
/// neither `$name` nor `${name}` is itself.
pub(super) fn pieces(value: &str) -> Vec<Piece> {
    let value = value.replace("\\$", "$$");
    let mut pieces = Pieces::default();
    let mut rest = value.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        pieces.text(before);
        rest = if let Some(escaped) = after.strip_prefix('$') {
            pieces.text("$");
            escaped
        } else if let Some((name, remainder)) = reference(after) {
            pieces.0.push(Piece::Reference(name.to_owned()));
            remainder
        } else {
            pieces.text("$");
            after
        };
    }
    pieces.text(rest);
    pieces.0
}

#[derive(Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }
}

fn reference(after_dollar: &str) -> Option<(&str, &str)> {
    match after_dollar.strip_prefix('{') {
        Some(braced) => {
            let (name, rest) = identifier(braced)?;
            Some((name, rest.strip_prefix('}')?))
        }
        None => identifier(after_dollar),
    }
}

/// The longest prefix of the form `[_a-z][._a-z0-9]*`, letters of either case.
fn identifier(text: &str) -> Option<(&str, &str)> {
    let first = text.chars().next()?;
    if !(first == '_' || first.is_ascii_alphabetic()) {
        return None;
    }
    let end = text
        .find(|c: char| !(c == '_' || c == '.' || c.is_ascii_alphanumeric()))
        .unwrap_or(text.len());
    Some(text.split_at(end))
}
