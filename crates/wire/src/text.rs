//! Small pieces of text that the API takes and gives: times, secrets, values that may be cleared.

use std::fmt;

use chrono::{DateTime, Utc};
use icu_properties::{
    CodePointSetData,
    props::{BidiControl, DefaultIgnorableCodePoint},
};
use protector_core::confidential::Confidential;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A time in UTC in whole seconds, `2025-11-03T14:00:00Z`, as the product's records show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2025-11-03T14:00:00Z")]
pub struct Timestamp(pub DateTime<Utc>);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

/// A secret that can be given and never read back.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = String, format = Password)]
pub struct WriteOnly(pub SecretString);

impl WriteOnly {
    /// The secret as a record takes it.
    pub fn into_confidential(self) -> Confidential {
        Confidential::new(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for WriteOnly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

/// Tells `null` (clear the value) from an absent field (leave it), for `Option<Option<T>>` fields.
pub fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// The first character of `text` that is not seen, or that turns the text around it: with one, two names look the same, or
/// one looks like another. `None` when all are seen.
///
/// These are control characters, and what Unicode calls bidi controls and default ignorable code points: zero-width spaces,
/// tags, fillers. Two kinds of the latter write what people read, and stay where they do: joiners between the letters of
/// Persian and Indic scripts and of an emoji, and selectors of a variant after such a letter. Beside ASCII they write
/// nothing and are refused, which is what UAX #31 and IDNA (RFC 5892, A.1 and A.2) come to without their tables of scripts.
pub fn unseen(text: &str) -> Option<char> {
    let letters: Vec<char> = text.chars().collect();
    let writes = |place: Option<usize>| {
        let letter = place.and_then(|place| letters.get(place));
        letter.is_some_and(|letter| !letter.is_ascii() && !is_unseen(*letter))
    };
    let stays = |place: usize| match letters.get(place) {
        Some('\u{200C}' | '\u{200D}') => {
            let before = place.checked_sub(1);
            let selected = before.filter(|place| letters.get(*place).is_some_and(is_selector));
            let letter = selected.map_or(before, |place| place.checked_sub(1));
            writes(letter) && writes(place.checked_add(1))
        }
        Some(letter) if is_selector(letter) => writes(place.checked_sub(1)),
        _ => false,
    };
    let mut places = letters.iter().enumerate();
    let found = places.find(|(place, letter)| is_unseen(**letter) && !stays(*place));
    found.map(|(_, letter)| *letter)
}

fn is_unseen(letter: char) -> bool {
    // The separators of lines and paragraphs, what encloses annotations, and the empty pattern of Braille.
    const OTHERS: [char; 6] = [
        '\u{2028}', '\u{2029}', '\u{FFF9}', '\u{FFFA}', '\u{FFFB}', '\u{2800}',
    ];
    letter.is_control()
        || OTHERS.contains(&letter)
        || CodePointSetData::new::<BidiControl>().contains(letter)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter)
}

fn is_selector(letter: &char) -> bool {
    matches!(letter, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn times_are_shown_in_whole_seconds_with_z() {
        let at = Utc.with_ymd_and_hms(2025, 11, 3, 14, 7, 42).unwrap()
            + chrono::Duration::microseconds(7);
        let shown = serde_json::to_string(&Timestamp(at)).unwrap();
        assert_eq!(shown, "\"2025-11-03T14:07:42Z\"");
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret: WriteOnly = serde_json::from_str("\"hunter2\"").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_not_seen_or_turns_the_text_round_is_found() {
        for (text, found) in [
            ("web\u{202E}bew", '\u{202E}'),
            ("web\u{2066}", '\u{2066}'),
            ("we\u{200B}b", '\u{200B}'),
            ("web\u{FEFF}", '\u{FEFF}'),
            ("web\u{E0067}", '\u{E0067}'),
            ("we\u{AD}b", '\u{AD}'),
            ("web\u{3164}", '\u{3164}'),
            ("web\u{2800}", '\u{2800}'),
            ("web\u{2028}", '\u{2028}'),
            ("web\u{200F}", '\u{200F}'),
            ("web\u{1B}[2J", '\u{1B}'),
            ("web\u{9B}2J", '\u{9B}'),
            ("we\u{200D}b", '\u{200D}'),
            ("web\u{FE0F}", '\u{FE0F}'),
            ("\u{645}\u{200C}", '\u{200C}'),
            ("\u{200D}\u{645}", '\u{200D}'),
            ("\u{6CC}\u{200C}\u{200C}\u{62E}", '\u{200C}'),
        ] {
            assert_eq!(unseen(text), Some(found), "{}", text.escape_unicode());
        }
    }

    #[test]
    fn names_in_any_script_are_left_alone() {
        for text in [
            "prod-web-app 1",
            "B\u{FC}ro Z\u{FC}rich",
            // Persian with a non-joiner, Sinhala and Devanagari with joiners.
            "\u{646}\u{645}\u{6CC}\u{200C}\u{62E}\u{648}\u{627}\u{647}\u{645}",
            "\u{DC1}\u{DCA}\u{200D}\u{DBB}\u{DD3}",
            "\u{915}\u{94D}\u{200D}\u{937}",
            // A person at a computer, a heart in flames, a Han letter with a variant.
            "\u{1F469}\u{200D}\u{1F4BB}",
            "\u{2764}\u{FE0F}\u{200D}\u{1F525}",
            "\u{845B}\u{E0100}\u{98FE}",
            "\u{5D0}\u{5E8}\u{5D5}\u{5DF}",
        ] {
            assert_eq!(unseen(text), None, "{}", text.escape_unicode());
        }
    }
}
