//! What Nova and Cinder refuse by their JSON schemas, in the words of the validator that both use.

use serde_json::Value;

use crate::cloud::{
    call::text,
    reply::{Answer, Reply, fault},
};

/// Nova's truths and untruths.
pub(crate) const NOVA_FLAGS: &str = "[True, 'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', \
    False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no']";

/// Cinder's, which are more.
pub(crate) const CINDER_FLAGS: &str = "[True, 'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', \
    'y', 't', False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no', 'n', 'f']";

/// A value as Python writes it.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(flag) => if *flag { "True" } else { "False" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{text}'"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(python).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| format!("'{key}': {}", python(value));
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// The refusal of one field's value.
pub(crate) fn refused(field: &str, value: &Value, why: &str) -> Box<Reply> {
    let shown = value.as_str().map_or_else(|| python(value), str::to_owned);
    let text = format!("Invalid input for field/attribute {field}. Value: {shown}. {why}");
    fault(400, text)
}

/// Refuses an object that has nothing at `key`.
pub(crate) fn required(object: &str, given: &Value, key: &str) -> Answer<()> {
    match given.get(key) {
        Some(_) => Ok(()),
        None => Err(refused(
            object,
            given,
            &format!("'{key}' is a required property"),
        )),
    }
}

/// Refuses an object that says nothing at all.
pub(crate) fn not_empty(object: &str, given: &Value) -> Answer<()> {
    match given.as_object() {
        Some(fields) if fields.is_empty() => Err(refused(
            object,
            given,
            "{} is not valid under any of the given schemas",
        )),
        _ => Ok(()),
    }
}

/// Refuses a word that is none of `flags`, where there is one.
pub(crate) fn flag(given: &Value, key: &str, flags: &str) -> Answer<()> {
    let Some(value) = given.get(key) else {
        return Ok(());
    };
    let known = match value {
        Value::Bool(_) => true,
        Value::String(_) => flags.contains(&python(value)),
        _ => false,
    };
    if known {
        return Ok(());
    }
    let why = format!("{} is not one of {flags}", python(value));
    Err(refused(key, value, &why))
}

/// Refuses text with other letters than these, where there is any.
pub(crate) fn letters(
    field: &str,
    value: Option<&str>,
    pattern: &str,
    allowed: impl Fn(char) -> bool,
) -> Answer<()> {
    match value {
        Some(text) if !text.chars().all(allowed) => {
            let why = format!("'{text}' does not match '{pattern}'");
            Err(refused(field, &Value::String(text.to_owned()), &why))
        }
        _ => Ok(()),
    }
}

/// Tags have neither commas nor slashes.
pub(crate) fn tag(field: &str, tag: Option<&str>) -> Answer<()> {
    letters(field, tag, "^[^,/]*$", |letter| !",/".contains(letter))
}

/// Each of a list of tags; the validator names the place of the one that it refuses.
pub(crate) fn tags(given: &Value) -> Answer<()> {
    let tags = given.get("tags").and_then(Value::as_array);
    for (place, each) in tags.into_iter().flatten().enumerate() {
        tag(&place.to_string(), each.as_str())?;
    }
    Ok(())
}

/// A host name, loosely.
pub(crate) fn hostname(given: &Value) -> Answer<()> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    letters(
        "hostname",
        text(given, "hostname"),
        "^[a-zA-Z0-9-._]*$",
        allowed,
    )
}

/// Keys of metadata: some letters, but not none. `more` are allowed beside letters, digits and ` -_:.`.
pub(crate) fn metadata_keys(given: &Value, more: &str) -> Answer<()> {
    let allowed = |letter: char| {
        letter.is_ascii_alphanumeric() || "-_:. ".contains(letter) || more.contains(letter)
    };
    let Some(metadata) = given.get("metadata") else {
        return Ok(());
    };
    for key in metadata
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
    {
        if !(1..=255).contains(&key.len()) || !key.chars().all(allowed) {
            let why = format!(
                "'{key}' does not match any of the regexes: '^[a-zA-Z0-9-_:. {more}]{{1,255}}$'"
            );
            return Err(refused("metadata", metadata, &why));
        }
    }
    Ok(())
}

/// User data. Python's decoder leaves out all other letters and looks at the length only.
pub(crate) fn user_data(given: &Value) -> Answer<()> {
    let Some(data) = text(given, "user_data") else {
        return Ok(());
    };
    let is_known = |letter: &char| letter.is_ascii_alphanumeric() || "+/=".contains(*letter);
    if data.chars().filter(is_known).count() % 4 == 0 {
        return Ok(());
    }
    let why = format!("'{data}' is not a 'base64'");
    Err(refused("user_data", &Value::String(data.to_owned()), &why))
}
