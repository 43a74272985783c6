//! What only somebody with AWS's own API can ask of the installation that `localstack/up` started: to hear of events, and
//! that the hour has come. Without an installation nothing is run, which the output says.

#[cfg(test)]
mod installation {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use aws_sdk_sns::config::Credentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4;
    use flagforge_aws::{Connection, Settings};
    use serde_json::{Value as Json, json};

    /// A function that starts, and a stream that is polled.
    const PATIENCE: Duration = Duration::from_secs(60);

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

    fn unique(purpose: &str) -> String {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        format!("{purpose}-{:x}", nanos % 0xff_ffff_ffff)
    }

    /// What `localstack/up` wrote; `None` where nobody named an emulator.
    fn stack() -> Option<Json> {
        if std::env::var_os("AWS_ENDPOINT_URL").is_none_or(|endpoint| endpoint.is_empty()) {
            let said = "\n\nSKIPPED: nothing was asked of an installation. That needs an emulator: `localstack/up`.\n\n";
            // Straight to the terminal: the test harness would keep what a test prints.
            let _ = std::io::stderr().write_all(said.as_bytes());
            return None;
        }
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../localstack/.run/stack.json");
        Some(serde_json::from_str(&std::fs::read_to_string(place).unwrap()).unwrap())
    }

    struct Api {
        url: String,
        endpoint: String,
        operator_key: String,
        http: reqwest::Client,
    }

    impl Api {
        fn of(stack: &Json) -> Self {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let text = |name: &str| stack[name].as_str().unwrap().to_owned();
            let (url, endpoint, operator_key) =
                (text("url"), text("endpoint"), text("operatorKey"));
            Self { url, endpoint, operator_key, http: reqwest::Client::new() }
        }

        /// Founds an organization with two environments; answers its admin's key.
        async fn found(&self, org: &str) -> String {
            let founded =
                self.send("POST", "/v1/orgs", &self.operator_key, &json!({"key": org})).await;
            let admin = founded["adminKey"].as_str().unwrap().to_owned();
            for env in ["dev", "prod"] {
                let path = format!("/v1/orgs/{org}/environments");
                self.send("POST", &path, &admin, &json!({"key": env})).await;
            }
            admin
        }

        /// Invokes a function and waits for what it answers.
        async fn invoke(&self, function: &str, event: &Json) -> Json {
            let url = format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint);
            let body = event.to_string();
            let variable = |name: &str| std::env::var(name).unwrap();
            let (id, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
            let identity = Credentials::new(id, secret, None, None, "environment").into();
            let region = variable("AWS_REGION");
            let params = v4::SigningParams::builder()
                .identity(&identity)
                .region(&region)
                .name("lambda")
                .time(SystemTime::now())
                .settings(SigningSettings::default())
                .build()
                .unwrap()
                .into();
            let signed = SignableBody::Bytes(body.as_bytes());
            let signable = SignableRequest::new("POST", &url, std::iter::empty(), signed).unwrap();
            let (instructions, _) = sign(signable, &params).unwrap().into_parts();
            let mut request = self.http.post(&url).body(body.clone());
            for (name, value) in instructions.headers() {
                request = request.header(name, value);
            }
            let answer = request.send().await.unwrap();
            let failed = answer.headers().get("x-amz-function-error").cloned();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(status.is_success() && failed.is_none(), "{status} {failed:?} {text}");
            serde_json::from_str(&text).unwrap_or_default()
        }

        async fn send(&self, method: &str, path: &str, key: &str, body: &Json) -> Json {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let mut request =
                self.http.request(method, format!("{}{path}", self.url)).bearer_auth(key);
            if !body.is_null() {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(status.is_success(), "{path}: {status} {text}");
            serde_json::from_str(&text).unwrap_or_default()
        }
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
