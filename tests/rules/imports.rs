//! An import under an unreliable table, driven by two at once.

use std::sync::Arc;
use std::time::Duration;

use flagforge_embedded::{FaultPlan, FaultTable};
use flagforge_platform::import::{Import, ImportFormat, ImportState, NewImport, OnError};
use flagforge_platform::{Change, Outcome, Platform, Request};

use crate::kit::{caller, furnished, log, org, platform};

const TENANTS: usize = 460;

fn request(change: Change) -> Request {
    Request::of(change, "import")
}

/// Makes an import with one part and starts it.
async fn begun(platform: &Platform, on: &Platform) -> String {
    let (format, on_error) = (ImportFormat::Ndjson, OnError::Nothing);
    let new = NewImport { format, on_error, dry_run: false };
    let (_, outcome) = platform.begin_import(&caller(), &org(), new, request).await.unwrap();
    let Outcome::Committed(committed) = outcome else { panic!("not committed") };
    let import: Import = serde_json::from_value(committed.body.unwrap()).unwrap();
    let file: String = (0..TENANTS).map(|n| format!("{{\"key\": \"t{n}\"}}\n")).collect();
    platform.put_import_part(&caller(), &org(), &import.id, 0, file.into()).await.unwrap();
    // It may fail under way: from then on it is continued.
    while platform.import(&caller(), &org(), &import.id).await.unwrap().value.state
        == ImportState::Uploading
    {
        let _ = on.start_import(&caller(), &org(), &import.id, 1, &request).await;
    }
    import.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_drive_an_import_over_a_table_that_fails_apply_each_tenant_once() {
    for seed in 0..5 {
        let (hands, reliable, _) = furnished().await;
        let plan = FaultPlan {
            fail_before_per_mille: 50,
            fail_after_per_mille: 100,
            contended_per_mille: 100,
            longest_delay: Duration::ZERO,
            ..FaultPlan::default()
        };
        let table = FaultTable::new(hands.table.clone(), hands.timer.clone(), seed, plan);
        let shaky = platform(&hands, Arc::new(table));
        let id = begun(&reliable, &shaky).await;
        let mut drivers = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let (shaky, id) = (shaky.clone(), id.clone());
            drivers.spawn(async move {
                for _ in 0..1_000 {
                    let driven = shaky.continue_import(&caller(), &org(), &id, &request).await;
                    if driven.is_ok_and(|import| import.value.state == ImportState::Done) {
                        return;
                    }
                }
                panic!("not done");
            });
        }
        while let Some(driver) = drivers.join_next().await {
            driver.unwrap();
        }
        let import = reliable.import(&caller(), &org(), &id).await.unwrap().value;
        assert_eq!((import.applied, import.tenants_created), (TENANTS as u64, TENANTS as u64));
        let mut written: Vec<String> = log(&reliable, None)
            .await
            .into_iter()
            .flat_map(|entry| entry.images)
            .filter(|image| image.sk.starts_with("TENANT#"))
            .map(|image| image.sk)
            .collect();
        written.sort();
        let count = written.len();
        written.dedup();
        assert_eq!((count, written.len()), (TENANTS, TENANTS), "seed {seed}");
    }
}
