//! Finds the sentence meant for people in the many forms of OpenStack error bodies.

use serde_json::Value;

use crate::bounds::{LARGEST_ERROR_BODY, MOST_VALUES_OF_AN_ERROR, weigh};

/// The longest text that is kept of an answer, in characters.
const LONGEST: usize = 600;

/// The cloud's own words in an error body: JSON of any known form, HTML, or plain text. One line without control
/// characters, at most 600 characters, without Python tracebacks.
pub(crate) fn message_of(body: &[u8]) -> String {
    let body = body.get(..LARGEST_ERROR_BODY).unwrap_or(body);
    let sentence = weigh(body, MOST_VALUES_OF_AN_ERROR)
        .ok()
        .and_then(|()| serde_json::from_slice::<Value>(body).ok())
        .and_then(|value| in_json(&value));
    match sentence {
        Some(sentence) => tidy(&sentence),
        None => tidy(&String::from_utf8_lossy(body)),
    }
}

/// `{"message"}`, `{"badRequest": {"message"}}`, `{"NeutronError": {"message"}}` or `{"NeutronError": "text"}`,
/// `{"faultstring"}`, `{"error": {"message"}}`, `{"errors": [{"title", "detail"}]}`.
fn in_json(value: &Value) -> Option<String> {
    let object = value.as_object()?;
    let direct = ["message", "faultstring", "detail", "title"]
        .iter()
        .find_map(|key| object.get(*key)?.as_str().filter(|text| !text.is_empty()));
    if let Some(text) = direct {
        return Some(text.to_owned());
    }
    if let Some(first) = object
        .get("errors")
        .and_then(Value::as_array)
        .and_then(|list| list.first())
    {
        return in_json(first);
    }
    let (_, only) = object.iter().next().filter(|_| object.len() == 1)?;
    only.as_str().map(str::to_owned).or_else(|| in_json(only))
}

/// Takes out tags, tracebacks, control characters and what changes the direction of a text or is not seen, joins lines and cuts
/// the rest. For every text of a cloud's that gets into an error.
pub(crate) fn tidy(text: &str) -> String {
    let text = start_of(text);
    let without_trace = text
        .split("\nTraceback (most recent call last)")
        .next()
        .unwrap_or_default();
    let plain = if looks_like_markup(without_trace) {
        strip_tags(without_trace)
    } else {
        without_trace.to_owned()
    };
    let seen: String = plain.chars().filter(|c| !is_unseen(*c)).collect();
    let words: Vec<&str> = seen
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

/// As much as is looked at. A value of the wrong form can bring a text of many MiB along.
fn start_of(text: &str) -> &str {
    let cut = (0..=LARGEST_ERROR_BODY.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    cut.and_then(|cut| text.get(..cut)).unwrap_or_default()
}

/// Characters of Unicode's class Cf that reorder a text or hide in it.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Only markup that servers and proxies really send: Nova's `<class 'nova.exception…'>` is part of its message.
fn looks_like_markup(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["<html", "<!doctype", "<br", "<body", "<h1"]
        .iter()
        .any(|tag| lower.contains(tag))
}

fn strip_tags(text: &str) -> String {
    let body = without_element(&without_element(text, "style"), "script");
    let mut plain = String::with_capacity(body.len());
    let mut inside = false;
    for character in body.chars() {
        match character {
            '<' => {
                inside = true;
                plain.push(' ');
            }
            '>' if inside => inside = false,
            _ if inside => {}
            other => plain.push(other),
        }
    }
    plain
        .replace("&nbsp;", " ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

fn without_element(text: &str, name: &str) -> String {
    // ASCII lower-casing keeps byte positions, so positions found in one string hold in the other.
    let lower = text.to_ascii_lowercase();
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let Some(from) = lower.find(&open) else {
        return text.to_owned();
    };
    let to = lower[from..]
        .find(&close)
        .map_or(text.len(), |at| from + at + close.len());
    format!("{} {}", &text[..from], &text[to..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies as real services sent them, and what is kept.
    #[test]
    fn finds_the_sentence_in_bodies_seen_on_real_clouds() {
        let cases = [
            (
                r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#,
                "The request you have made requires authentication.",
            ),
            (
                r#"{"computeFault": {"code": 406, "message": "Version 3.999 is not supported by the API. Minimum is 3.0 and maximum is 3.71."}}"#,
                "Version 3.999 is not supported by the API. Minimum is 3.0 and maximum is 3.71.",
            ),
            (
                r#"{"badRequest": {"code": 400, "message": "Malformed request url"}}"#,
                "Malformed request url",
            ),
            (
                r#"{"NeutronError": {"type": "PortNotFound", "message": "Port p1 could not be found.", "detail": ""}}"#,
                "Port p1 could not be found.",
            ),
            (
                r#"{"message": "The server is currently unavailable. Please try again at a later time.<br /><br />\nThe Keystone service is temporarily unavailable.\n\n", "code": "503 Service Unavailable", "title": "Service Unavailable"}"#,
                "The server is currently unavailable. Please try again at a later time. The Keystone service is temporarily unavailable.",
            ),
            (
                r#"{"computeFault": {"code": 500, "message": "Unexpected API Error. Please contact the administrator\n<class 'nova.exception.CinderConnectionFailed'>"}}"#,
                "Unexpected API Error. Please contact the administrator <class 'nova.exception.CinderConnectionFailed'>",
            ),
            (
                r#"{"forbidden": {"code": 403, "message": "User does not have admin privileges\nTraceback (most recent call last):\n\n  File \"server.py\", line 176"}}"#,
                "User does not have admin privileges",
            ),
            (
                r#"{"NeutronError": "The resource could not be found."}"#,
                "The resource could not be found.",
            ),
            (
                r#"{"errors": [{"status": 404, "title": "Not Found", "detail": "no such thing"}]}"#,
                "no such thing",
            ),
            (
                "<html>\n <head>\n  <title>404 Not Found</title><style>h1 {color: red}</style>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n  No image found with ID i1<br /><br />\n </body>\n</html>",
                "404 Not Found 404 Not Found No image found with ID i1",
            ),
            ("upstream connect error", "upstream connect error"),
            ("", ""),
        ];
        for (body, expected) in cases {
            assert_eq!(message_of(body.as_bytes()), expected, "for {body}");
        }
    }

    #[test]
    fn keeps_one_short_line_of_anything() {
        let long = message_of("x\r\n\u{7}y ".repeat(2000).as_bytes());
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.starts_with("x y x y") && long.ends_with('…'));
        assert_eq!(message_of(&[0xff, 0xfe]), "\u{fffd}\u{fffd}");
        assert_eq!(message_of(b"[1, 2]"), "[1, 2]");
    }
}
