//! Programs that run longer than a call, and must not be ended.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use crate::program::{Failure, run_detached};

type Outcome = Option<Result<(), Failure>>;

/// Those that this process has started, by what they are about.
#[derive(Clone, Default)]
pub(crate) struct Jobs(Arc<Mutex<HashMap<String, watch::Receiver<Outcome>>>>);

impl Jobs {
    /// Runs `program` about `subject`, unless that is running already, and waits for `patience`; how it ended, `None`
    /// while it has not. How it ended is told once.
    pub(crate) async fn run(
        &self,
        subject: &str,
        program: &'static str,
        arguments: Vec<String>,
        patience: Duration,
    ) -> Outcome {
        let mut running = {
            let mut jobs = self.0.lock().await;
            jobs.entry(subject.to_owned())
                .or_insert_with(|| start(program, arguments))
                .clone()
        };
        let ended = async {
            // Whoever ran it is gone if this fails: asked again, it is begun again.
            running.wait_for(Option::is_some).await.ok()?.clone()
        };
        let outcome = timeout(patience, ended).await.ok()?;
        self.0.lock().await.remove(subject);
        outcome
    }

    /// Whether something about `subject` is running.
    pub(crate) async fn is_running(&self, subject: &str) -> bool {
        let jobs = self.0.lock().await;
        jobs.get(subject)
            .is_some_and(|job| job.borrow().is_none() && job.has_changed().is_ok())
    }
}

fn start(program: &'static str, arguments: Vec<String>) -> watch::Receiver<Outcome> {
    let (tell, told) = watch::channel(None);
    tokio::spawn(async move {
        let ended = run_detached(program, &arguments).await;
        tell.send_replace(Some(ended));
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Vec<String> {
        vec!["-c".to_owned(), text.to_owned()]
    }

    #[tokio::test]
    async fn a_job_is_run_once_and_its_end_is_told() {
        let jobs = Jobs::default();
        let directory = tempfile::tempdir().unwrap();
        let (go, ran) = (directory.path().join("go"), directory.path().join("ran"));
        let text = format!(
            "echo x >> {}; while [ ! -e {} ]; do sleep 0.05; done; exit 16",
            ran.display(),
            go.display()
        );
        let short = Duration::from_millis(30);
        for _ in 0..2 {
            assert!(jobs.run("it", "sh", script(&text), short).await.is_none());
            assert!(jobs.is_running("it").await);
        }
        std::fs::write(&go, "").unwrap();
        let ended = jobs.run("it", "sh", script(&text), Duration::from_secs(20));
        assert_eq!(ended.await.unwrap().unwrap_err().code, 16);
        assert!(!jobs.is_running("it").await);
        assert_eq!(std::fs::read_to_string(ran).unwrap().lines().count(), 1);
    }
}
