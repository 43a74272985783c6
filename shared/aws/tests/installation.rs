//! What only somebody with AWS's own API can ask of the installation that `localstack/up` started: to hear of events, and
//! that the hour has come. Without an installation nothing is run, which the output says.

#[cfg(test)]
mod stack;

#[cfg(test)]
mod installation {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{SystemTime, UNIX_EPOCH};

    use aws_sdk_kms::primitives::Blob;
    use aws_sdk_kms::types::SigningAlgorithmSpec;
    use base64ct::{Base64, Encoding as _};
    use flagforge_aws::{Connection, Settings};
    use serde_json::{Value as Json, json};

    use super::stack::{Api, PATIENCE, stack, unique};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_subscriber_hears_of_what_it_filters_for() {
        let Some(stack) = stack() else { return };
        let text = |name: &str| stack[name].as_str().unwrap().to_owned();
        let client =
            aws_sdk_sns::Client::new(Connection::new(&Settings::from_env(&[]).unwrap()).sdk());
        let org =
            format!("told-{:x}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos());
        let (endpoint, heard) = listen();
        let filter =
            json!({"organization": [org], "environment": ["prod"], "type": ["flag.enabled"]});
        let subscribed = client
            .subscribe()
            .topic_arn(text("eventsTopic"))
            .protocol("http")
            .endpoint(endpoint)
            .attributes("FilterPolicy", filter.to_string())
            .return_subscription_arn(true)
            .send()
            .await
            .unwrap();
        let asked = next(&heard, "SubscriptionConfirmation");
        let (topic, token) = (text("eventsTopic"), asked["Token"].as_str().unwrap());
        client.confirm_subscription().topic_arn(topic).token(token).send().await.unwrap();

        let api = Api::of(&stack);
        let admin = &api.found(&org).await;
        let definition = json!({"class": "release", "type": "boolean"});
        api.send("PUT", &format!("/v1/orgs/{org}/flags/f"), admin, &definition).await;
        for (env, verb) in
            [("dev", "enable"), ("prod", "enable"), ("prod", "kill"), ("prod", "enable")]
        {
            let path = format!("/v1/orgs/{org}/environments/{env}/flags/f/{verb}");
            api.send("POST", &path, admin, &Json::Null).await;
        }

        let mut ids = Vec::new();
        // Each at least once, in any order.
        while ids.len() < 2 {
            let told = next(&heard, "Notification");
            let event: Json = serde_json::from_str(told["Message"].as_str().unwrap()).unwrap();
            assert_eq!(event["specversion"], "1.0");
            assert_eq!(event["source"], format!("/orgs/{org}/environments/prod"));
            assert_eq!((&event["type"], &event["subject"]), (&json!("flag.enabled"), &json!("f")));
            let id = event["id"].as_str().unwrap().to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let arn = subscribed.subscription_arn.unwrap();
        client.unsubscribe().subscription_arn(arn).send().await.unwrap();
    }

    /// The clock's hour is too long for a test, so the function is invoked with what the clock would send it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn leftovers_are_collected_when_the_hour_has_come() {
        let Some(stack) = stack() else { return };
        let api = Api::of(&stack);
        let org = unique("left");
        let admin = &api.found(&org).await;
        let at = |rest: &str| format!("/v1/orgs/{org}/{rest}");
        api.send("PUT", &at("tenants/acme"), admin, &json!({"attributes": {}})).await;
        let definition = json!({"class": "release", "type": "boolean"});
        api.send("PUT", &at("flags/f"), admin, &definition).await;
        let special = at("environments/prod/flags/f/overrides/acme");
        api.send("PUT", &special, admin, &json!({"variant": "on"})).await;
        api.send("DELETE", &at("tenants/acme"), admin, &Json::Null).await;
        let left = api.send("GET", &at("collection"), admin, &Json::Null).await;
        assert_eq!(left["overrides"], 1, "{left}");
        api.invoke("flagforge-local-timer", &json!({"tick": "collect"})).await;
        let left = api.send("GET", &at("collection"), admin, &Json::Null).await;
        assert_eq!((&left["overrides"], &left["complete"]), (&json!(0), &json!(true)), "{left}");
        let log = api.send("GET", &at("audit?env=prod&change=collect"), admin, &Json::Null).await;
        assert_eq!(log["items"][0]["by"]["actor"], "system", "{log}");
    }

    /// MiniStack's gateway answers what a browser asks before a page writes; AWS's hands it to the function, as here.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_page_of_a_named_origin_is_let_write() {
        let Some(stack) = stack() else { return };
        let api = Api::of(&stack);
        for (origin, allowed) in
            [("https://console.example", true), ("https://elsewhere.example", false)]
        {
            let path = "/v1/orgs/any/tenants/acme";
            let event = json!({
                "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
                "headers": {"origin": origin, "access-control-request-method": "PUT", "host": "api.example"},
                "requestContext": {
                    "accountId": "000000000000", "apiId": "any", "domainName": "api.example", "domainPrefix": "api",
                    "requestId": "r", "routeKey": "$default", "stage": "$default", "time": "21/Nov/2026:00:00:00 +0000",
                    "timeEpoch": 1_795_219_200_000_u64, "http": {"method": "OPTIONS", "path": path, "protocol":
                    "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test"},
                },
                "isBase64Encoded": false,
            });
            let answer = api.invoke("flagforge-local-api", &event).await;
            let headers = &answer["headers"];
            assert_eq!(answer["statusCode"] == 204, allowed, "{answer}");
            assert_eq!(headers["access-control-allow-origin"] == origin, allowed, "{answer}");
            let methods = headers["access-control-allow-methods"].as_str().unwrap_or_default();
            assert_eq!(methods.contains("PUT"), allowed, "{answer}");
        }
    }

    /// CloudFront checks what KMS signed with the key that it was given; here KMS checks, and CloudFront says which key that is.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn passes_are_signed_by_the_key_that_the_distribution_trusts() {
        let Some(stack) = stack() else { return };
        let api = Api::of(&stack);
        let org = unique("passed");
        let admin = &api.found(&org).await;
        let spec = json!({"kind": "server", "envs": ["prod"]});
        let issued = api.send("POST", &format!("/v1/orgs/{org}/keys"), admin, &spec).await;
        let key = issued["key"].as_str().unwrap();
        let path = format!("/data/v1/{org}/prod/grant?kind=cloudfront");
        let granted = api.eventually("POST", &path, key).await;
        let distribution = &stack["distribution"];
        assert_eq!(granted["address"], distribution["address"]);
        let address = granted["address"].as_str().unwrap();

        let kms =
            aws_sdk_kms::Client::new(Connection::new(&Settings::from_env(&[]).unwrap()).sdk());
        let (key_arn, key_pair) =
            (distribution["key_arn"].as_str().unwrap(), distribution["key_pair"].as_str().unwrap());
        let passes = granted["passes"].as_array().unwrap();
        let names: Vec<&str> = passes.iter().map(|pass| pass["names"].as_str().unwrap()).collect();
        let own = [format!("{org}/chunks/*"), format!("{org}/prod/environment.jws")];
        let canary = format!("{org}/prod/canary.jws");
        assert_eq!(names, ["trust.json", "trust/*", &own[0], &own[1], &canary]);
        for pass in passes {
            let query = pass["query"].as_str().unwrap();
            let parts: Vec<(&str, &str)> =
                query.split('&').map(|part| part.split_once('=').unwrap()).collect();
            let [("Policy", policy), ("Signature", signature), ("Key-Pair-Id", pair), hash] =
                parts.as_slice()
            else {
                unreachable!("{query}");
            };
            assert_eq!((*pair, *hash), (key_pair, ("Hash-Algorithm", "SHA256")));
            let decoded = |text: &str| {
                let text = text.replace('-', "+").replace('_', "=").replace('~', "/");
                Base64::decode_vec(&text).unwrap()
            };
            let (policy, signature) = (decoded(policy), decoded(signature));
            let says: Json = serde_json::from_slice(&policy).unwrap();
            let resource = format!("{address}/{}", pass["names"].as_str().unwrap());
            assert_eq!(says["Statement"][0]["Resource"], resource);
            let verified = kms
                .verify()
                .key_id(key_arn)
                .message(Blob::new(policy))
                .signature(Blob::new(signature))
                .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
                .send()
                .await
                .unwrap();
            assert!(verified.signature_valid);
        }
        let url = format!("{}/2020-05-31/public-key/{key_pair}", api.endpoint);
        let trusted = api.signed("cloudfront", "GET", &url, "").await;
        let public = kms.get_public_key().key_id(key_arn).send().await.unwrap().public_key.unwrap();
        let public = Base64::encode_string(public.as_ref());
        assert!(trusted.replace(['\n', '\r'], "").contains(&public), "{trusted}");
    }

    fn next(heard: &Receiver<Json>, kind: &str) -> Json {
        loop {
            let message = heard.recv_timeout(PATIENCE).expect(kind);
            if message["Type"] == kind {
                return message;
            }
        }
    }

    /// An address on this machine, and the JSON bodies that are posted to it.
    fn listen() -> (String, Receiver<Json>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                take(stream, &sender);
            }
        });
        (url, receiver)
    }

    fn take(stream: TcpStream, to: &Sender<Json>) {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or_default() == 0 {
                return;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(said) = line.strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let _ = to.send(serde_json::from_slice(&body).unwrap());
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = reader.get_mut().write_all(answer);
    }
}
