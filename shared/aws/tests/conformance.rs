//! The ports' own suite, over the hands for the cloud, on the emulator that `AWS_ENDPOINT_URL` names.
//!
//! Each case has a table, a bucket or a key of its own, and removes it. Without the variable nothing is run, which the
//! output says: these hands are never tried on AWS itself.

#[cfg(test)]
#[macro_use]
#[path = "../../../tests/conformance/mod.rs"]
mod conformance;

#[cfg(test)]
mod hands {
    use std::io::Write as _;
    use std::pin::Pin;
    use std::sync::Arc;

    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };
    use aws_sdk_kms::types::{KeySpec, KeyUsageType};
    use flagforge_aws::{
        Connection, DynamoTable, KmsSigner, S3Objects, Settings, SnsBus, SnsEvents, Topics,
    };
    use flagforge_platform::ports::{Bus, EventSink, Objects, Signer, Table, Timer};

    use super::conformance::unique;

    pub(super) async fn table() -> (Arc<dyn Table>, Cleanup) {
        let connection = connection();
        let name = unique();
        let client = aws_sdk_dynamodb::Client::new(connection.sdk());
        let mut request =
            client.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
        for (attribute, key) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let definition = AttributeDefinition::builder().attribute_name(attribute);
            let definition = definition.attribute_type(ScalarAttributeType::S).build().unwrap();
            let schema = KeySchemaElement::builder().attribute_name(attribute).key_type(key);
            request = request.attribute_definitions(definition).key_schema(schema.build().unwrap());
        }
        request.send().await.unwrap();
        let table = Arc::new(DynamoTable::new(&connection, &name));
        let cleanup = Cleanup::new(|connection| async move {
            let client = aws_sdk_dynamodb::Client::new(connection.sdk());
            client.delete_table().table_name(name).send().await.unwrap();
        });
        (table, cleanup)
    }

    pub(super) async fn objects() -> (Arc<dyn Objects>, Cleanup) {
        let connection = connection();
        let name = unique();
        s3(&connection).create_bucket().bucket(&name).send().await.unwrap();
        let objects = Arc::new(S3Objects::new(&connection, &name));
        let cleanup = Cleanup::new(|connection| async move {
            let client = s3(&connection);
            let listed = client.list_objects_v2().bucket(&name).send().await.unwrap();
            for object in listed.contents() {
                let request = client.delete_object().bucket(&name).set_key(object.key.clone());
                request.send().await.unwrap();
            }
            client.delete_bucket().bucket(name).send().await.unwrap();
        });
        (objects, cleanup)
    }

    pub(super) async fn signer() -> (Arc<dyn Signer>, Cleanup) {
        let connection = connection();
        let client = aws_sdk_kms::Client::new(connection.sdk());
        let request = client.create_key().key_spec(KeySpec::EccNistP256);
        let request = request.key_usage(KeyUsageType::SignVerify);
        let id = request.send().await.unwrap().key_metadata.unwrap().key_id;
        let signer = Arc::new(KmsSigner::new(&connection, &id));
        let cleanup = Cleanup::new(|connection| async move {
            let client = aws_sdk_kms::Client::new(connection.sdk());
            let request = client.schedule_key_deletion().key_id(id).pending_window_in_days(7);
            request.send().await.unwrap();
        });
        (signer, cleanup)
    }

    pub(super) async fn bus() -> (Arc<dyn Bus>, Cleanup) {
        let connection = connection();
        let ([changes, roots], cleanup) = topics(&connection).await;
        let topics = Topics { changes: Some(changes), roots: Some(roots) };
        (Arc::new(SnsBus::new(&connection, topics)), cleanup)
    }

    pub(super) async fn events() -> (Arc<dyn EventSink>, Cleanup) {
        let connection = connection();
        let ([topic], cleanup) = topics(&connection).await;
        (Arc::new(SnsEvents::new(&connection, &topic)), cleanup)
    }

    async fn topics<const COUNT: usize>(connection: &Connection) -> ([String; COUNT], Cleanup) {
        let client = aws_sdk_sns::Client::new(connection.sdk());
        let mut made = [const { String::new() }; COUNT];
        for topic in &mut made {
            let answer = client.create_topic().name(unique()).send().await.unwrap();
            *topic = answer.topic_arn.unwrap();
        }
        let all = made.clone();
        let cleanup = Cleanup::new(|connection| async move {
            let client = aws_sdk_sns::Client::new(connection.sdk());
            for topic in all {
                client.delete_topic().topic_arn(topic).send().await.unwrap();
            }
        });
        (made, cleanup)
    }

    pub(super) async fn timer() -> (Arc<dyn Timer>, ()) {
        (Arc::new(flagforge_platform::ports::SystemTimer), ())
    }

    fn s3(connection: &Connection) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(connection.sdk()).force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// A connection to the emulator. Where there is none, the whole program ends here, and well: what was not asked for has
    /// not failed.
    fn connection() -> Connection {
        if std::env::var_os("AWS_ENDPOINT_URL").is_none_or(|endpoint| endpoint.is_empty()) {
            let said = "\n\nSKIPPED: the conformance suite of the AWS hands did NOT run.\n\
                It needs an emulator: `localstack/up`, and the variables that localstack/.run/stack.json lists under `env`.\n\n";
            // Straight to the terminal: the test harness would keep what a test prints.
            let _ = std::io::stderr().write_all(said.as_bytes());
            std::process::exit(0);
        }
        Connection::new(&Settings::from_env(&[]).unwrap())
    }

    /// Removes what a case had for itself, also when the case failed.
    pub(super) struct Cleanup(Option<Removal>);

    type Removal = Box<dyn FnOnce(Connection) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

    impl Cleanup {
        fn new<F: Future<Output = ()> + 'static>(
            remove: impl FnOnce(Connection) -> F + Send + 'static,
        ) -> Self {
            Self(Some(Box::new(|connection| Box::pin(remove(connection)))))
        }
    }

    impl Drop for Cleanup {
        fn drop(&mut self) {
            let Some(remove) = self.0.take() else { return };
            // A runtime and a connection of its own: the case's are going down.
            let removed = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(remove(connection()));
            });
            let _ = removed.join();
        }
    }
}

table_conformance!(dynamodb, crate::hands::table);
objects_conformance!(s3, crate::hands::objects);
signer_conformance!(kms, crate::hands::signer);
bus_conformance!(sns, crate::hands::bus);
timer_conformance!(machine, crate::hands::timer);

/// The one sink of these hands; the other there is, of NATS, is held to a server of that.
#[cfg(test)]
mod events {
    use bytes::Bytes;
    use flagforge_flags::keys::{EnvKey, MAX_SLUG_BYTES, OrgKey};
    use flagforge_platform::ports::Outgoing;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn events_are_taken_however_long_their_keys() {
        let (sink, _cleanup) = crate::hands::events().await;
        let longest = "a".repeat(MAX_SLUG_BYTES);
        let body = format!(
            r#"{{"specversion":"1.0","id":"{longest}/{longest}:1:0","type":"tenant.override-set","time":
            "2026-11-21T00:00:00Z","source":"/orgs/{longest}/environments/{longest}","subject":"{longest}/{longest}",
            "datacontenttype":"application/json","data":{{"organization":"{longest}","environment":"{longest}","flag":
            "{longest}","tenant":"{longest}","group":"{longest}","segment":"{longest}","number":1,"reason":"{}"}}}}"#,
            "\u{1f6a9}".repeat(256)
        );
        let outgoing = Outgoing {
            org: OrgKey::new(&longest).unwrap(),
            env: Some(EnvKey::new(&longest).unwrap()),
            event: serde_json::from_str(&body).unwrap(),
            body: Bytes::from(body),
        };
        sink.take(&outgoing).await.unwrap();
        // At least once: the same again is no error.
        sink.take(&outgoing).await.unwrap();
    }
}
