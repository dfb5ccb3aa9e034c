//! Texts that others have made, a cloud or an array, and how much of one is kept.

/// The most bytes of one text that a record keeps. MariaDB's columns of text hold 65,535.
pub const LONGEST: usize = 16 * 1024;
/// What stands at the end of a text that was cut.
pub const CUT: &str = "… (cut)";

/// `text` if it is not longer than [`LONGEST`]; else its beginning, between two characters, with [`CUT`].
pub fn cut(text: impl Into<String>) -> String {
    cut_to(text, LONGEST)
}

/// The same with `longest` bytes, the mark among them.
pub fn cut_to(text: impl Into<String>, longest: usize) -> String {
    let mut text = text.into();
    if text.len() <= longest {
        return text;
    }
    let mut end = longest.saturating_sub(CUT.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(CUT);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        for shift in 0..4 {
            let long = format!("{}{}", "x".repeat(shift), "🦀".repeat(LONGEST));
            let short = cut(long.as_str());
            assert!(short.len() <= LONGEST, "{}", short.len());
            assert!(short.len() > LONGEST - 4 - CUT.len());
            assert!(short.ends_with(CUT));
            assert!(long.starts_with(short.trim_end_matches(CUT)));
            assert_eq!(cut(short.as_str()), short, "once");
        }
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let text = "ü".repeat(LONGEST / 2);
        assert_eq!(cut(text.as_str()), text);
        assert_eq!(cut(""), "");
    }
}
