//! Programs that run longer than a call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout},
};

use crate::program::Failure;

/// How a job ended, and when.
type Ended<T> = (Result<T, Failure>, Instant);
type Told<T> = watch::Receiver<Option<Ended<T>>>;

/// A place for one job, which that keeps until it has ended.
pub(crate) struct Place(OwnedSemaphorePermit);

/// Those of one kind that this process has begun, by what they are about: so many at a time, each once.
pub(crate) struct Jobs<T> {
    begun: Mutex<HashMap<String, Told<T>>>,
    slots: Arc<Semaphore>,
    /// How long it is true how one ended.
    holds_for: Option<Duration>,
}

impl<T: Clone + Send + Sync + 'static> Jobs<T> {
    pub(crate) fn new(at_a_time: usize, holds_for: Option<Duration>) -> Self {
        Self {
            begun: Mutex::default(),
            slots: Arc::new(Semaphore::new(at_a_time.max(1))),
            holds_for,
        }
    }

    /// A place for one more, if there is one at this moment.
    pub(crate) fn place(&self) -> Option<Place> {
        let place = self.slots.clone().try_acquire_owned();
        place.ok().map(Place)
    }

    /// Does `job` about `subject`, unless that is begun already, and waits for `patience`; how it ended, `None` while it has
    /// not. What gets no place within `patience` is not begun: nothing is that nobody waits for any more.
    pub(crate) async fn run<F>(
        &self,
        subject: &str,
        patience: Duration,
        job: impl FnOnce() -> F,
    ) -> Option<Result<T, Failure>>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let until = Instant::now() + patience;
        let place = match self.told(subject) {
            Some(_) => None,
            None => {
                let place = timeout(patience, self.slots.clone().acquire_owned()).await;
                Some(Place(place.ok()?.ok()?))
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        self.run_in(place, subject, left, job).await
    }

    /// As [`Self::run`], in a `place` that was taken before; without one nothing is begun.
    pub(crate) async fn run_in<F>(
        &self,
        place: Option<Place>,
        subject: &str,
        patience: Duration,
        job: impl FnOnce() -> F,
    ) -> Option<Result<T, Failure>>
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut running = {
            let mut begun = self.begun();
            let told = begun
                .get(subject)
                .filter(|told| !self.is_over(told))
                .cloned();
            match told {
                Some(told) => told,
                None => {
                    let told = start(place?, job());
                    begun.insert(subject.to_owned(), told.clone());
                    told
                }
            }
        };
        let ended = async {
            // Whoever ran it is gone if this fails: asked again, it is begun again.
            running.wait_for(Option::is_some).await.ok()?.clone()
        };
        let (outcome, _) = timeout(patience, ended).await.ok()??;
        // What holds for a while is told to everybody who asks until then: a caller asks twice.
        if self.holds_for.is_none() {
            self.begun().remove(subject);
        }
        Some(outcome)
    }

    fn told(&self, subject: &str) -> Option<Told<T>> {
        let begun = self.begun();
        let told = begun.get(subject).filter(|told| !self.is_over(told));
        told.cloned()
    }

    /// Whether something about `subject` is running.
    pub(crate) fn is_running(&self, subject: &str) -> bool {
        let begun = self.begun();
        begun
            .get(subject)
            .is_some_and(|told| told.borrow().is_none() && told.has_changed().is_ok())
    }

    /// Forgets how the job about `subject` ended, if it has.
    pub(crate) fn forget_end(&self, subject: &str) {
        if !self.is_running(subject) {
            self.begun().remove(subject);
        }
    }

    /// Whether how it ended is true no more, or will never be told.
    fn is_over(&self, told: &Told<T>) -> bool {
        match (&*told.borrow(), self.holds_for) {
            (Some((_, at)), Some(holds_for)) => at.elapsed() > holds_for,
            (Some(_), None) => false,
            (None, _) => told.has_changed().is_err(),
        }
    }

    /// What is behind a poisoned lock is whole: nothing that can fail is done under it.
    fn begun(&self) -> MutexGuard<'_, HashMap<String, Told<T>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start<T: Send + Sync + 'static>(
    place: Place,
    job: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Told<T> {
    let (tell, told) = watch::channel(None);
    tokio::spawn(async move {
        let Place(_place) = place;
        let outcome = job.await;
        tell.send_replace(Some((outcome, Instant::now())));
    });
    told
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::program::{Fate, run_to_the_end};

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_secs(20);

    async fn script(text: String) -> Result<(), Failure> {
        let arguments = ["-c".to_owned(), text];
        run_to_the_end(Path::new("sh"), &arguments, Fate::Ends).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_job_is_run_once_and_its_end_is_told() {
        let jobs = Jobs::new(1, None);
        let directory = tempfile::tempdir().unwrap();
        let (go, ran) = (directory.path().join("go"), directory.path().join("ran"));
        let text = format!(
            "echo x >> {}; while [ ! -e {} ]; do sleep 0.05; done; exit 16",
            ran.display(),
            go.display()
        );
        for _ in 0..2 {
            let asked = jobs.run("it", SHORT, || script(text.clone()));
            assert!(asked.await.is_none());
            assert!(jobs.is_running("it"));
        }
        std::fs::write(&go, "").unwrap();
        let ended = jobs.run("it", LONG, || script(text.clone()));
        assert_eq!(ended.await.unwrap().unwrap_err().code, 16);
        assert!(!jobs.is_running("it"));
        assert_eq!(std::fs::read_to_string(ran).unwrap().lines().count(), 1);
    }

    #[tokio::test]
    async fn no_more_run_at_a_time_than_there_are_places() {
        let jobs: Jobs<()> = Jobs::new(2, None);
        let gauge = Arc::new(Semaphore::new(2));
        let work = |gauge: Arc<Semaphore>| async move {
            let place = gauge.try_acquire().expect("at most two at a time");
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(place);
            Ok(())
        };
        let subjects: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let all = subjects
            .iter()
            .map(|subject| jobs.run(subject, LONG, || work(gauge.clone())));
        for ended in futures_util::future::join_all(all).await {
            ended.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_old_is_not_told() {
        let jobs = Jobs::new(1, Some(Duration::from_secs(60)));
        let slow = |answer: u64| async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(answer)
        };
        assert!(jobs.run("it", SHORT, || slow(1)).await.is_none());
        tokio::time::advance(Duration::from_secs(30)).await;
        for asked in [2, 3] {
            let told = jobs.run("it", SHORT, || slow(asked)).await;
            assert_eq!(
                told.unwrap().unwrap(),
                1,
                "whoever asks twice is told twice"
            );
        }
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(jobs.run("it", LONG, || slow(4)).await.unwrap().unwrap(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_gets_no_place_in_time_is_never_begun() {
        let jobs = Jobs::new(1, None);
        let slow = |seconds: u64| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(seconds)
        };
        assert!(jobs.run("one", SHORT, || slow(60)).await.is_none());
        assert!(jobs.place().is_none());
        let begin =
            || -> std::future::Ready<Result<u64, Failure>> { panic!("nobody waits for it") };
        assert!(jobs.run("other", SHORT, begin).await.is_none());
        assert!(!jobs.is_running("other"));
        assert!(jobs.run_in(None, "other", SHORT, begin).await.is_none());
        assert_eq!(
            jobs.run("one", 5 * LONG, || slow(1))
                .await
                .unwrap()
                .unwrap(),
            60
        );
        tokio::time::sleep(LONG).await;
        assert!(!jobs.is_running("other"));
        let place = jobs.place();
        assert!(place.is_some() && jobs.place().is_none());
        let ran = jobs.run_in(place, "other", LONG, || slow(2));
        assert_eq!(ran.await.unwrap().unwrap(), 2);
    }
}
