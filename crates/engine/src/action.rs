//! What a step is given, and what it gives back.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protector_core::{
    clock::Clock,
    fault::{Code, Fault},
    id::SiteName,
    journal::{Claim, Effect, Entry, Journal, JournalError},
    operation::{MapKind, Memo, Operation, ResourceMap, StepProgress, StepRecord},
    plan::Plan,
};

use crate::step::Standing;

/// How one look at a step ended, if nothing went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The world is as the step wants it. The effects are written with the step's end.
    Done(Vec<Effect>),
    /// Left out on purpose.
    Skipped {
        /// Why.
        why: String,
    },
    /// Not yet.
    Waiting {
        /// For what, in words.
        on: String,
        /// When to look again.
        again: Duration,
    },
}

impl Progress {
    /// Done, with nothing else to write.
    pub fn done() -> Self {
        Self::Done(Vec::new())
    }
}

/// Why a look at a step ended early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stop {
    /// Something went wrong out there.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The journal refused a write: the whole walk ends here.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The cloud had accepted a change and did not carry it out: the resource is as it was. The try has failed.
    #[error("{why}")]
    CameBack {
        /// The sentence for the record, with what was seen.
        why: String,
    },
}

impl Stop {
    /// A fault that no repetition will cure.
    pub fn last(code: Code, why: impl std::fmt::Display) -> Self {
        Self::Fault(Fault::last(code, why))
    }

    /// A fault that may pass.
    pub fn passing(why: impl std::fmt::Display) -> Self {
        Self::Fault(Fault::passing(why))
    }

    /// A change that the cloud accepted and did not carry out.
    pub fn came_back(why: impl std::fmt::Display) -> Self {
        Self::CameBack {
            why: why.to_string(),
        }
    }
}

/// How long a step may take and how often it may try to change the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the step's begin to its end, all tries and waits included; [`Duration::MAX`]: it waits as long as it must.
    pub limit: Duration,
    /// How many further tries follow a change that failed in a way that may pass; `None`: as many as fit into `limit`.
    /// A look that could not even see the resource is no try: it is taken again until `limit` has passed.
    pub retries: Option<u32>,
    /// What is recorded when `limit` has passed while the step waited.
    pub timeout_error: String,
    /// Whether what it waited for is recorded with that.
    pub says_what_for: bool,
}

/// Which of an operation's limits a step draws on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Draws {
    /// One cloud's Nova.
    Compute(SiteName),
    /// One cloud's Cinder.
    Volume(SiteName),
    /// The arrays.
    Storage,
    /// Nothing outside.
    Nothing,
}

/// What a step sees of its operation, and where it writes down what it is about to do.
pub struct Cx<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// The step, as recorded when this look began.
    pub step: &'a StepRecord,
    /// What became what so far.
    pub map: &'a RwLock<ResourceMap>,
    /// Why a line that this one waited for failed, if it did.
    pub blocked_by: Option<&'a str>,
    /// What the step remembers; written down with its end, and by `intend`.
    pub memo: Memo,
    /// How the last allowed try failed: nothing more may be changed, only looked at.
    pub(crate) last_try: Option<Fault>,
    /// The other site, which may move the group too; set by the actions that ask it.
    pub(crate) standing: Option<Standing>,
    pub(crate) scribe: &'a Scribe,
}

impl Cx<'_> {
    /// The operation's plan.
    pub fn plan(&self) -> &Plan {
        &self.operation.plan
    }

    /// What `source` became, if it is known yet.
    pub fn mapped(&self, kind: MapKind, source: &str) -> Option<String> {
        self.map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .target(kind, source)
            .map(str::to_owned)
    }

    /// What stands in the operation's map now: what somebody else than the engine may have written since it was read.
    ///
    /// # Errors
    ///
    /// What the journal says.
    pub async fn recorded_since(
        &self,
        kind: MapKind,
        source: &str,
    ) -> Result<Option<String>, Stop> {
        let record = self.scribe.journal.load(&self.scribe.claim).await?;
        Ok(record.map.target(kind, source).map(str::to_owned))
    }

    /// Writes down that the step is about to change the world. To be called right before each such call, so that after
    /// a crash everybody knows that it may have happened (invariant I5).
    ///
    /// # Errors
    ///
    /// How the last try failed, once all tries are used up: a failed call may have been carried out all the same, so the
    /// step looks once more after the last of them, but asks for nothing again. And that the other site does not hold the
    /// group still (any more).
    pub async fn intend(&mut self) -> Result<(), Stop> {
        self.may_try()?;
        self.hold_still().await?;
        self.memo.intents += 1;
        Ok(self.write_memo().await?)
    }

    /// The same, before a call that takes the step back.
    ///
    /// # Errors
    ///
    /// As [`Cx::intend`].
    pub async fn intend_undo(&mut self) -> Result<(), Stop> {
        self.may_try()?;
        self.hold_still_to_undo().await?;
        self.still_needs_its_server().await?;
        self.memo.undo_intents += 1;
        Ok(self.write_memo().await?)
    }

    fn may_try(&self) -> Result<(), Stop> {
        self.last_try
            .as_ref()
            .map_or(Ok(()), |fault| Err(Stop::Fault(fault.clone())))
    }

    /// Notes a fact for the record.
    pub fn fact(&mut self, fact: impl Into<String>) {
        let fact = fact.into();
        if !self.memo.facts.contains(&fact) {
            self.memo.facts.push(fact);
        }
    }

    async fn write_memo(&self) -> Result<(), JournalError> {
        let progress = StepProgress {
            memo: self.memo.clone(),
            ..self.step.progress.clone()
        };
        self.scribe
            .write(Entry {
                steps: vec![(self.step.position, progress)],
                ..Entry::default()
            })
            .await
    }
}

/// Carries steps out. One implementation speaks to clouds and arrays.
#[async_trait]
pub trait Actions: Send + Sync {
    /// Brings the world to the state that the step names. Called again after a crash, a wait or a retry, so it looks
    /// before it acts.
    async fn run(&self, cx: &mut Cx<'_>) -> Result<Progress, Stop>;

    /// Takes the step back. Called again likewise.
    async fn undo(&self, cx: &mut Cx<'_>) -> Result<Progress, Stop>;

    /// How long the step may take.
    fn patience(&self, operation: &Operation, step: &StepRecord) -> Patience;

    /// Which limit it draws on.
    fn draws(&self, operation: &Operation, step: &StepRecord) -> Draws;
}

/// Writes entries under one claim.
pub struct Scribe {
    pub(crate) journal: std::sync::Arc<dyn Journal>,
    pub(crate) clock: std::sync::Arc<dyn Clock>,
    pub(crate) claim: Claim,
}

impl Scribe {
    pub(crate) async fn write(&self, entry: Entry) -> Result<(), JournalError> {
        self.journal.record(&self.claim, self.now(), entry).await
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
