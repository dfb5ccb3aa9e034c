//! "Did you mean": the known name closest to one that is not known.

/// The candidate most similar to `unknown`, or `None` when nothing is close enough to be a guess
/// worth printing.
pub(crate) fn nearest<'a>(
    unknown: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Jaro-Winkler favours a common beginning, as in `cleanup_timeout` for
    // `cleanup_timeout_seconds`; below 0.85 the guesses stop being helpful.
    const CLOSE_ENOUGH: f64 = 0.85;
    // Comparing takes as long as both lengths multiplied. No name of ours is half as long.
    const LONGEST: usize = 128;
    if unknown.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(unknown, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= CLOSE_ENOUGH)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_name_finds_its_option_and_nonsense_finds_nothing() {
        let known = ["cleanup_timeout_seconds", "cleanup_retry_attempts", "debug"];
        assert_eq!(
            nearest("cleanup_timeout", known),
            Some("cleanup_timeout_seconds")
        );
        assert_eq!(nearest("workers", known), None);
        assert_eq!(nearest(&"cleanup_timeout_seconds".repeat(10), known), None);
    }
}
