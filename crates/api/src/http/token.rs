//! Keystone tokens: validated with Keystone, remembered until they expire.
//!
//! The memory is keyed by the token's SHA-256, so that a dump of this process does not hold tokens that were only
//! passing through. Any number of requests that bring the same new token cost one question to Keystone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use protector_core::{
    clock::Clock,
    id::{ProjectId, UserId},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    pub user_id: UserId,
    pub user_name: String,
    /// The project that the token is scoped to; `None` for a domain-scoped, system-scoped or unscoped one.
    pub project_id: Option<ProjectId>,
    pub project_name: Option<String>,
    pub user_domain_id: Option<String>,
    pub project_domain_id: Option<String>,
    /// Names of the roles that the user has there.
    pub roles: Vec<String>,
    /// When the token ends.
    pub expires_at: DateTime<Utc>,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Keystone does not know it, or it has ended.
    #[error("the token is not valid")]
    Invalid,
    /// Keystone does not answer, or refuses the service user. The text is for the log.
    #[error("Keystone cannot validate tokens: {0}")]
    Unavailable(String),
}

/// Keystone, as far as a token is concerned.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// Asks Keystone about `token`.
    async fn validate(&self, token: &SecretString) -> Result<TokenFacts, TokenError>;
}

/// How long and how many tokens are remembered.
#[derive(Clone, Copy, Debug)]
pub struct TokenMemory {
    /// `[keystone_authtoken] token_cache_time`: a revoked token is accepted at most this long.
    pub longest: Duration,
    /// The most tokens remembered at once.
    pub capacity: usize,
}

impl Default for TokenMemory {
    fn default() -> Self {
        Self {
            longest: Duration::from_secs(300),
            capacity: 10_000,
        }
    }
}

type Answer = Result<Arc<TokenFacts>, TokenError>;
type Question = Shared<BoxFuture<'static, Answer>>;
type Digest256 = [u8; 32];

enum Entry {
    /// Who waits for the answer holds the question: when all of them are gone, so are it and its connection.
    Asking(WeakShared<BoxFuture<'static, Answer>>),
    Known {
        facts: Arc<TokenFacts>,
        until: DateTime<Utc>,
    },
}

/// Validates tokens with Keystone and remembers the valid ones.
pub struct TokenValidator {
    source: Arc<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    memory: TokenMemory,
    entries: Mutex<HashMap<Digest256, Entry>>,
}

impl TokenValidator {
    /// Asks `source`, remembers as `memory` says.
    pub fn new(source: Arc<dyn TokenSource>, clock: Arc<dyn Clock>, memory: TokenMemory) -> Self {
        Self {
            source,
            clock,
            memory,
            entries: Mutex::new(HashMap::new()),
        }
    }

    /// Who `token` speaks for.
    pub async fn validate(&self, token: &SecretString) -> Answer {
        let digest: Digest256 = Sha256::digest(token.expose_secret().as_bytes()).into();
        let now = self.clock.now();
        let question = match self.look_up(&digest, token, now) {
            Ok(facts) => return Ok(facts),
            Err(question) => question,
        };
        let answer = question.clone().await;
        self.remember(digest, &question, &answer, now);
        let facts = answer?;
        if facts.expires_at <= self.clock.now() {
            return Err(TokenError::Invalid);
        }
        Ok(facts)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest256, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The facts if they are known and fresh, else the question to wait for: the one under way, or a new one.
    fn look_up(
        &self,
        digest: &Digest256,
        token: &SecretString,
        now: DateTime<Utc>,
    ) -> Result<Arc<TokenFacts>, Question> {
        let mut entries = self.lock();
        match entries.get(digest) {
            Some(Entry::Known { facts, until }) if *until > now => return Ok(facts.clone()),
            Some(Entry::Asking(question)) => {
                if let Some(question) = question.upgrade() {
                    return Err(question);
                }
            }
            _ => {}
        }
        make_room(&mut entries, self.memory.capacity, now);
        let source = self.source.clone();
        let token = token.clone();
        let question = async move { source.validate(&token).await.map(Arc::new) }
            .boxed()
            .shared();
        // It was made right here and is not polled yet, so there is something to look at later.
        if let Some(asking) = question.downgrade() {
            entries.insert(*digest, Entry::Asking(asking));
        }
        Err(question)
    }

    /// Every waiter comes here; the first one replaces the question by its answer. A refusal is not remembered.
    fn remember(&self, digest: Digest256, asked: &Question, answer: &Answer, now: DateTime<Utc>) {
        let mut entries = self.lock();
        let still_asking = matches!(
            entries.get(&digest),
            Some(Entry::Asking(question)) if is_this(question, asked)
        );
        if !still_asking {
            return;
        }
        match answer {
            Ok(facts) => {
                let longest = chrono::Duration::from_std(self.memory.longest)
                    .unwrap_or(chrono::Duration::zero());
                let until = facts.expires_at.min(now + longest);
                let facts = facts.clone();
                entries.insert(digest, Entry::Known { facts, until });
            }
            Err(_) => {
                entries.remove(&digest);
            }
        }
    }
}

fn is_this(asking: &WeakShared<BoxFuture<'static, Answer>>, asked: &Question) -> bool {
    asking.upgrade().is_some_and(|asking| asking.ptr_eq(asked))
}

/// Keeps the number of remembered tokens below `capacity`: first the questions for whose answer nobody waits any more and the
/// tokens that have ended, then those that end first.
fn make_room(entries: &mut HashMap<Digest256, Entry>, capacity: usize, now: DateTime<Utc>) {
    if entries.len() < capacity {
        return;
    }
    entries.retain(|_, entry| match entry {
        Entry::Asking(question) => question.upgrade().is_some(),
        Entry::Known { until, .. } => *until > now,
    });
    while entries.len() >= capacity {
        let oldest = entries
            .iter()
            .filter_map(|(digest, entry)| match entry {
                Entry::Known { until, .. } => Some((*until, *digest)),
                Entry::Asking(_) => None,
            })
            .min();
        let Some((_, digest)) = oldest else { return };
        entries.remove(&digest);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use chrono::TimeZone;

    use super::*;

    struct StoppedClock(Mutex<DateTime<Utc>>);

    impl StoppedClock {
        fn advance(&self, seconds: i64) {
            *self.0.lock().unwrap() += chrono::Duration::seconds(seconds);
        }
    }

    impl Clock for StoppedClock {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock().unwrap()
        }
    }

    struct CountingKeystone {
        asked: AtomicUsize,
        answer: Result<TokenFacts, TokenError>,
    }

    #[async_trait]
    impl TokenSource for CountingKeystone {
        async fn validate(&self, _: &SecretString) -> Result<TokenFacts, TokenError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.answer.clone()
        }
    }

    fn start() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap()
    }

    fn facts(lives: i64) -> TokenFacts {
        TokenFacts {
            user_id: "u".into(),
            user_name: "alice".into(),
            project_id: Some("p".into()),
            project_name: Some("prod".into()),
            user_domain_id: None,
            project_domain_id: None,
            roles: vec!["member".into()],
            expires_at: start() + chrono::Duration::seconds(lives),
        }
    }

    fn validator(
        answer: Result<TokenFacts, TokenError>,
        capacity: usize,
    ) -> (Arc<CountingKeystone>, Arc<StoppedClock>, TokenValidator) {
        let keystone = Arc::new(CountingKeystone {
            asked: AtomicUsize::new(0),
            answer,
        });
        let clock = Arc::new(StoppedClock(Mutex::new(start())));
        let memory = TokenMemory {
            longest: Duration::from_secs(300),
            capacity,
        };
        let validator = TokenValidator::new(keystone.clone(), clock.clone(), memory);
        (keystone, clock, validator)
    }

    fn token(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[tokio::test]
    async fn the_same_token_asks_keystone_once() {
        let (keystone, _, validator) = validator(Ok(facts(3600)), 10);
        let token = token("t");
        let together = futures_util::future::join_all((0..20).map(|_| validator.validate(&token)));
        assert!(together.await.into_iter().all(|answer| answer.is_ok()));
        assert!(validator.validate(&token).await.is_ok());
        assert_eq!(keystone.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_token_is_remembered_no_longer_than_the_cache_time_or_its_life() {
        let (keystone, clock, validator) = validator(Ok(facts(400)), 10);
        validator.validate(&token("t")).await.unwrap();
        clock.advance(301);
        validator.validate(&token("t")).await.unwrap();
        assert_eq!(keystone.asked.load(Ordering::SeqCst), 2);
        clock.advance(100);
        assert_eq!(
            validator.validate(&token("t")).await,
            Err(TokenError::Invalid)
        );
    }

    #[tokio::test]
    async fn a_refusal_is_not_remembered() {
        let (keystone, _, validator) = validator(Err(TokenError::Invalid), 10);
        for _ in 0..2 {
            assert_eq!(
                validator.validate(&token("t")).await,
                Err(TokenError::Invalid)
            );
        }
        assert_eq!(keystone.asked.load(Ordering::SeqCst), 2);
    }

    /// Never answers; counts the questions that somebody still waits for.
    #[derive(Default)]
    struct SilentKeystone {
        waiting: Arc<()>,
    }

    #[async_trait]
    impl TokenSource for SilentKeystone {
        async fn validate(&self, _: &SecretString) -> Result<TokenFacts, TokenError> {
            let _waits = Arc::clone(&self.waiting);
            std::future::pending().await
        }
    }

    /// A client that hangs up takes its question with it: its connection to Keystone, and after a while its place here.
    #[tokio::test]
    async fn a_question_for_whose_answer_nobody_waits_is_dropped() {
        let keystone = Arc::new(SilentKeystone::default());
        let clock = Arc::new(StoppedClock(Mutex::new(start())));
        let memory = TokenMemory {
            capacity: 3,
            ..TokenMemory::default()
        };
        let validator = TokenValidator::new(keystone.clone(), clock, memory);
        let waiting = || Arc::strong_count(&keystone.waiting) - 1;
        for number in 0..20 {
            let token = token(&number.to_string());
            let (first, second) = (validator.validate(&token), validator.validate(&token));
            let mut both = Box::pin(futures_util::future::join(first, second));
            assert!(both.as_mut().now_or_never().is_none());
            assert_eq!(waiting(), 1, "the two share a question");
            drop(both);
            assert_eq!(waiting(), 0);
        }
        assert!(validator.lock().len() <= 3);
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let (_, _, validator) = validator(Ok(facts(3600)), 3);
        for number in 0..20 {
            validator
                .validate(&token(&number.to_string()))
                .await
                .unwrap();
        }
        assert!(validator.lock().len() <= 3);
    }
}
