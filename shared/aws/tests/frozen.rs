//! A function stands still between two requests, as Lambda's do, and a flag is flipped meanwhile: what it answers when it goes on.
//!
//! MiniStack's functions are processes of this machine, so they can be stopped. Elsewhere nothing is run, which the output says.
//! A binary of its own: whoever asks the function meanwhile waits.

#[cfg(test)]
mod stack;

#[cfg(test)]
mod frozen {
    use std::fs;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use serde_json::{Value as Json, json};

    use super::stack::{Api, PATIENCE, stack, unique};

    /// How long the function stands still; the campaign says ten minutes.
    const FROZEN_SECONDS: u64 = 15;
    const FROZEN: &str = "FLAGFORGE_FROZEN_SECONDS";
    /// What `infra/modules/flagforge` lets an answer's age be, the poll interval, and what a request waits for a newer manifest.
    const BOUND: Duration = Duration::from_millis(1_000 + 500);
    /// What the emulator takes for some invocations on a busy machine.
    const EMULATED: Duration = Duration::from_secs(5);
    const FUNCTION: &str = "AWS_LAMBDA_FUNCTION_NAME=flagforge-local-evaluate";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_function_that_stood_still_answers_with_fresh_flags() {
        let Some(stack) = stack() else { return };
        if stack["emulator"] != "ministack" || !cfg!(target_os = "linux") {
            eprintln!("SKIPPED: functions are no processes of this machine that could be stopped");
            return;
        }
        let frozen = std::env::var(FROZEN).map_or(FROZEN_SECONDS, |text| text.parse().unwrap());
        let api = Api::of(&stack);
        let org = unique("frozen");
        let admin = &api.found(&org).await;
        let at = |rest: &str| format!("/v1/orgs/{org}/{rest}");
        let verb = |verb: &str| at(&format!("environments/prod/flags/f/{verb}"));
        api.send("PUT", &at("tenants/acme"), admin, &json!({"attributes": {}})).await;
        let definition = json!({"class": "release", "type": "boolean"});
        api.send("PUT", &at("flags/f"), admin, &definition).await;
        api.send("POST", &verb("enable"), admin, &Json::Null).await;
        let issued = api
            .send("POST", &at("keys"), admin, &json!({"kind": "server", "envs": ["prod"]}))
            .await;
        let key = issued["key"].as_str().unwrap();
        let began = Instant::now();
        while api.evaluate(key, "f", "acme").await != Some(json!(true)) {
            assert!(began.elapsed() < PATIENCE, "the flag was never published");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }

        let workers = Stopped::all();
        assert!(!workers.0.is_empty(), "no process of the function");
        let stopped = Instant::now();
        api.send("POST", &verb("kill"), admin, &Json::Null).await;
        tokio::time::sleep(Duration::from_secs(frozen).saturating_sub(stopped.elapsed())).await;
        let count = workers.0.len();
        drop(workers);
        let (goes_on, stood) = (Instant::now(), stopped.elapsed());
        let mut stale = 0;
        while api.evaluate(key, "f", "acme").await != Some(json!(false)) {
            stale += 1;
            assert!(goes_on.elapsed() < BOUND + EMULATED, "{stale} stale answers");
        }
        println!(
            "{count} processes stood still for {stood:?}; fresh {:?} after they went on, {stale} stale answers before",
            goes_on.elapsed()
        );
        // One request waits for the newer manifest; what it waits for at most may be too short on a busy machine.
        assert!(stale <= 2, "{stale} stale answers");
    }

    /// Processes that stand still until this is dropped.
    struct Stopped(Vec<String>);

    impl Stopped {
        /// All processes of the function.
        fn all() -> Self {
            let is_function = |id: &String| {
                let variables = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
                variables.split(|byte| *byte == 0).any(|variable| variable == FUNCTION.as_bytes())
            };
            let ids = fs::read_dir("/proc").unwrap().flatten();
            let ids = ids.filter_map(|entry| entry.file_name().into_string().ok());
            let stopped = Self(ids.filter(is_function).collect());
            stopped.send("-STOP");
            stopped
        }

        fn send(&self, signal: &str) {
            for id in &self.0 {
                // One that has ended meanwhile needs nothing.
                let _ = Command::new("kill").args([signal, id]).status();
            }
        }
    }

    impl Drop for Stopped {
        fn drop(&mut self) {
            self.send("-CONT");
        }
    }
}
