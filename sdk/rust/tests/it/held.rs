//! Flags that go on in an earlier form, and who is told of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flagforge::report::{Report, Reports, Sink};
use flagforge::{Client, Flag, HeldFlag};
use flagforge_flags::keys::FlagKey;
use tokio::sync::mpsc;

use crate::hooks::Kept;
use crate::kit::{Publisher, boolean, directory};

struct Told(mpsc::UnboundedSender<Report>);

#[async_trait]
impl Sink for Told {
    async fn take(&self, report: Report) {
        self.0.send(report).unwrap();
    }
}

fn held(flag: &str, since: &str) -> HeldFlag {
    HeldFlag { flag: FlagKey::new(flag).unwrap(), since: since.parse().unwrap() }
}

#[tokio::test]
async fn a_held_flag_is_named_until_it_is_held_no_more() {
    let kept = Kept::of("flagforge::shared");
    // For this thread, on which the client's tasks run too.
    let _guard = tracing::subscriber::set_default(kept.clone());
    let (sender, mut reports) = mpsc::unbounded_channel();
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    let flags = [boolean("new-dashboard")];
    publisher.held = vec![held("new-dashboard", "1.1"), held("theme", "1.1")];
    publisher.publish(&flags, &[directory("acme", &[])]);
    let client = Client::connect(&publisher.connection())
        .poll_every(Duration::from_millis(10))
        .report(Reports::to(Arc::new(Told(sender))).summaries())
        .await
        .unwrap();
    assert_eq!(client.held(), publisher.held);
    assert!(!client.tenant("acme").unwrap().flags().get(&Flag::new("new-dashboard", true)));

    // The same flag, held again since a later change, and the other one let go.
    publisher.held = vec![held("new-dashboard", "1.2")];
    publisher.publish(&flags, &[directory("acme", &[])]);
    assert!(client.wait_for("1.2".parse().unwrap()).within(Duration::from_secs(5)).await);
    assert_eq!(client.held(), publisher.held);
    assert!(client.close().await);
    assert_eq!(reports.recv().await.unwrap().held, publisher.held);

    let told: Vec<_> =
        kept.events().into_iter().filter(|event| event.contains_key("flag")).collect();
    let told: Vec<_> = told.iter().map(|e| [&*e["flag"], &e["since"], &e["message"]]).collect();
    let is = "the flag is held: it goes on in an earlier form";
    let expected = [
        ["new-dashboard", "1.1", is],
        ["theme", "1.1", is],
        ["new-dashboard", "1.2", is],
        ["theme", "1.1", "the flag is held no more"],
    ];
    assert_eq!(told, expected);
}
