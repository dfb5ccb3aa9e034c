//! Filling paragraphs, as Python's `textwrap.wrap` does for the oslo generators.

/// Breaks prose between words into lines of at most `width` characters; a longer word has a line
/// of its own.
pub(crate) fn wrapped(prose: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in prose.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
