//! Feeds what reads other people's bytes with broken ones, for as long as is wished.
//!
//! A target is a test whose name begins with `fuzz_`: it gives well-formed seeds and a function that must come back, whatever it
//! is fed. `make test` gives each two seconds, `make fuzz` a minute (`SECONDS=600` for more). The seed of the randomness is
//! printed; `PROTECTOR_SEED` sets it. An input that makes a target panic, or takes it longer than three seconds, is printed, and
//! becomes a test of its own.
#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "it is for tests, which show what they found and fail"
)]

use std::{
    env, fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

/// How long a target is fed when nobody says otherwise.
const SECONDS: u64 = 2;

/// The least number of inputs, on a machine that has something else to do.
const LEAST: usize = 200;

const LONGEST: usize = 16 << 10;

/// The longest that one input may take. Nothing that is read is so large that an honest reader takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(3);

/// What formats are made of, put in anywhere.
const WORDS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-0",
    "1e999",
    "18446744073709551616",
    "\n",
    "\r\n",
    "\t",
    " ",
    "=",
    "#",
    ";",
    "[DEFAULT]",
    "$",
    "$$",
    "${",
    "%(a)s",
    "role:",
    "rule:",
    "not ",
    " and ",
    " or ",
    "(",
    ")",
    "@",
    "!",
    "<html>",
    "<script>",
    "\u{feff}",
    "\u{202e}",
];

/// Feeds `target` with mutations of `seeds` until the time is over. `name` is printed.
///
/// # Panics
/// As `target` does, and when it takes longer than three seconds for an input. The input is printed.
pub fn feed(name: &str, seeds: &[&[u8]], target: impl Fn(&[u8])) {
    let seconds = number("PROTECTOR_FUZZ_SECONDS").unwrap_or(SECONDS);
    let seed = number("PROTECTOR_SEED").unwrap_or_else(|| StdRng::from_os_rng().random());
    eprintln!("{name}: PROTECTOR_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    for seed in seeds {
        try_one(name, seed, &target);
    }
    // What was made is mutated further now and then, so that an input can be broken in several places.
    let mut pool: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
    let mut fed = 0;
    while fed < LEAST || Instant::now() < end {
        let input = mutation(&pool, &mut dice);
        try_one(name, &input, &target);
        fed += 1;
        if dice.random_ratio(1, 50) {
            match pool.len() {
                0..200 => pool.push(input),
                // The seeds stay.
                full if full > seeds.len() => {
                    let place = dice.random_range(seeds.len()..full);
                    pool[place] = input;
                }
                _ => {}
            }
        }
    }
    eprintln!("{name}: {fed} inputs");
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

fn try_one(name: &str, input: &[u8], target: &impl Fn(&[u8])) {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    let took = began.elapsed();
    if let Err(panic) = outcome {
        eprintln!("{name} breaks at {}", Shown(input));
        resume_unwind(panic);
    }
    // A busy machine may make anything wait once; what is slow is slow again.
    if took > PATIENCE {
        let began = Instant::now();
        target(input);
        let again = began.elapsed();
        assert!(
            again <= PATIENCE,
            "{name} takes {again:?} for {}",
            Shown(input)
        );
    }
}

/// An input in an error: as a byte string, where it is short enough to be read. A longer one comes again with the seed.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.0.get(..1_000).unwrap_or(self.0);
        write!(f, "b\"{}\"", start.escape_ascii())?;
        match self.0.len() - start.len() {
            0 => Ok(()),
            more => write!(f, " and {more} bytes more"),
        }
    }
}

fn mutation(pool: &[Vec<u8>], dice: &mut StdRng) -> Vec<u8> {
    let mut input = pool.choose(dice).cloned().unwrap_or_default();
    for _ in 0..dice.random_range(1..=4) {
        mutate(&mut input, pool, dice);
    }
    input.truncate(LONGEST);
    input
}

fn mutate(input: &mut Vec<u8>, pool: &[Vec<u8>], dice: &mut StdRng) {
    let at = dice.random_range(0..=input.len());
    let to = dice.random_range(at..=input.len().min(at + 64));
    let word = || WORDS[0].as_bytes().to_vec();
    match dice.random_range(0..8) {
        0 => {
            input.drain(at..to);
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << dice.random_range(0..8);
            }
        }
        2 => input.insert(at, dice.random()),
        3 => {
            let word = WORDS
                .choose(dice)
                .map_or_else(word, |word| word.as_bytes().to_vec());
            input.splice(at..to, word);
        }
        // The same over and over: nesting, long texts, many members.
        4 => {
            let times = dice.random_range(1..=2_000);
            let part = match at == to {
                true => WORDS
                    .choose(dice)
                    .map_or_else(word, |word| word.as_bytes().to_vec()),
                false => input[at..to].to_vec(),
            };
            input.splice(at..at, part.repeat(times));
        }
        5 => {
            let word = WORDS
                .choose(dice)
                .map_or_else(word, |word| word.as_bytes().to_vec());
            input.splice(at..at, word);
        }
        6 => input.truncate(at),
        // The end of another one.
        _ => {
            if let Some(other) = pool.choose(dice) {
                let from = dice.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_target_that_breaks_is_found() {
        let found = catch_unwind(|| {
            feed(
                "a reader that dislikes two brackets",
                &[b"{\"a\": [1]}"],
                |input| {
                    assert!(!input.windows(2).any(|pair| pair == b"[["), "two brackets");
                },
            );
        });
        assert!(found.is_err());
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let made = |seed| {
            let mut dice = StdRng::seed_from_u64(seed);
            let pool = vec![b"{\"a\": 1}".to_vec()];
            (0..50)
                .map(|_| mutation(&pool, &mut dice))
                .collect::<Vec<_>>()
        };
        assert_eq!(made(7), made(7));
        assert_ne!(made(7), made(8));
    }

    #[test]
    fn seeds_are_fed_as_they_are() {
        let seen = Cell::new(false);
        feed("seeds", &[b"seed"], |input| {
            seen.set(seen.get() || input == b"seed")
        });
        assert!(seen.get());
    }
}
