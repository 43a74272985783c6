//! Whose flags a provider gives, and what it says of itself.

use std::time::Duration;

use flagforge::testing::Fixed;
use flagforge::{Client, Status};
use flagforge_openfeature::Provider;
use open_feature::EvaluationContext;
use open_feature::provider::{FeatureProvider, ProviderStatus};

use crate::ask::ask;
use crate::kit::{Publisher, boolean};

fn client() -> Client {
    let fixed = Fixed::new().flag("theme", "plain");
    let fixed = fixed.tenant("acme", |acme| acme.flag("theme", "acme's"));
    fixed.tenant("globex", |globex| globex.flag("theme", "globex's")).client().unwrap()
}

fn naming(tenant: &str) -> EvaluationContext {
    EvaluationContext::default().with_custom_field("tenant", tenant)
}

async fn theme(provider: &Provider, context: &EvaluationContext) -> Result<String, String> {
    let answer = ask(provider, "string", "theme", context).await;
    answer
        .map(|it| it.value.as_str().unwrap().to_owned())
        .map_err(|(code, why)| format!("{code}: {why}"))
}

#[tokio::test]
async fn a_provider_of_one_tenant_is_of_no_other() {
    let provider = Provider::for_tenant(client().tenant("acme").unwrap());
    let nobody = EvaluationContext::default();
    for context in [nobody, naming("acme")] {
        assert_eq!(theme(&provider, &context).await.unwrap(), "acme's");
    }
    let why = "INVALID_CONTEXT: the context names another tenant than the provider's";
    for other in ["globex", "Acme", ""] {
        assert_eq!(theme(&provider, &naming(other)).await.unwrap_err(), why, "{other}");
    }
}

#[tokio::test]
async fn a_provider_of_many_has_to_be_told() {
    let provider = Provider::for_tenant_in_context(client());
    assert_eq!(theme(&provider, &naming("acme")).await.unwrap(), "acme's");
    assert_eq!(theme(&provider, &naming("globex")).await.unwrap(), "globex's");
    assert_eq!(theme(&provider, &naming("initech")).await.unwrap(), "plain");
    let nobody = theme(&provider, &EvaluationContext::default().with_targeting_key("acme")).await;
    assert_eq!(nobody.unwrap_err(), "INVALID_CONTEXT: the context does not name a `tenant`");
    for no_key in ["", " acme", "a/b", &"x".repeat(200)] {
        let seen = theme(&provider, &naming(no_key)).await.unwrap_err();
        assert!(seen.starts_with("INVALID_CONTEXT: `tenant`: "), "{seen}");
    }
}

/// A client over a folder with what is published there; without a manifest where nothing is.
pub(crate) async fn over(folder: &std::path::Path, published: bool) -> Client {
    let mut publisher = Publisher::new(folder);
    if published {
        publisher.publish(&[boolean("dark")], &[]);
    }
    let patience = if published { Duration::from_secs(5) } else { Duration::from_millis(50) };
    Client::connect(&publisher.connection()).start_within(patience).await.unwrap()
}

/// The same, gone on without its origin.
pub(crate) async fn stale(folder: &std::path::Path) -> Client {
    let client = over(folder, true).await;
    std::fs::remove_dir_all(folder).unwrap();
    let _ = client.refresh_if_older(Duration::ZERO).within(Duration::from_secs(5)).await;
    assert_eq!(client.status(), Status::LastKnownGood);
    client
}

#[tokio::test]
async fn its_status_is_the_clients() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = over(&folder.path().join("nothing"), false).await;
    let old = stale(&folder.path().join("old")).await;
    let cases = [
        (client(), ProviderStatus::Ready),
        (nothing.clone(), ProviderStatus::NotReady),
        (old, ProviderStatus::STALE),
    ];
    for (client, status) in cases {
        let one = Provider::for_tenant(client.tenant("acme").unwrap());
        assert_eq!((one.metadata().name.as_str(), &one.status()), ("FlagForge", &status));
        assert_eq!(Provider::for_tenant_in_context(client).status(), status);
    }
    let one = Provider::for_tenant(nothing.tenant("acme").unwrap());
    for (kind, key) in [("boolean", "dark"), ("string", "no such key/"), ("object", "")] {
        let (code, _) = ask(&one, kind, key, &EvaluationContext::default()).await.unwrap_err();
        assert_eq!(code, "PROVIDER_NOT_READY", "{key}");
    }
}
