//! People and what comes from elsewhere: an issuer, whom it vouches for, and a customer database.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use flagforge_flags::manifest::SecretKey;
use serde_json::json;

use crate::installation::Terminal;

/// The example of RFC 7517, appendix A.2: its private half.
const SECRET: &str = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE";
/// Its public half (A.1).
const KEYS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

/// An issuer that says of itself what one has to, and knows some tenants, too.
pub(crate) fn elsewhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let about = format!(r#"{{"issuer": "{url}", "jwks_uri": "{url}/jwks"}}"#);
    let tenants = "{\"key\": \"from-afar\", \"attributes\": {}}\n";
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut asked = [0; 4096];
            let length = stream.read(&mut asked).unwrap_or_default();
            let (kind, body) = match &asked[..length] {
                asked if asked.starts_with(b"GET /jwks") => ("application/json", KEYS),
                asked if asked.starts_with(b"GET /tenants") => ("application/x-ndjson", tenants),
                _ => ("application/json", about.as_str()),
            };
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}");
            _ = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    url
}

/// What the issuer says of somebody.
fn token(issuer: &str, audience: &str, subject: &str, email: &str) -> String {
    let mut secret = [0; 32];
    Base64UrlUnpadded::decode(SECRET, &mut secret).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let head = json!({"alg": "ES256", "kid": "1", "typ": "JWT"}).to_string();
    let claims = json!({"iss": issuer, "sub": subject, "aud": audience, "iat": now,
        "exp": now + 600, "email": email, "email_verified": true});
    let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let signed = format!("{}.{}", text(head.as_bytes()), text(claims.to_string().as_bytes()));
    let signature = SecretKey::from_bytes(&secret).unwrap().sign(signed.as_bytes());
    format!("{signed}.{}", text(&signature))
}

pub(crate) fn people(t: &Terminal, url: &str) {
    of_everybodys_issuer(t, url);
    t.ok(&format!(
        "issuer set company --issuer-url {url} --audience flagforge --grant groups=devs:maintainer"
    ));
    t.ok("issuer set company --leeway-seconds 30");
    assert!(t.ok("issuer show company").contains("groups=devs:maintainer"));
    assert_eq!(t.json("issuer list")["items"][0]["leewaySeconds"], 30);
    taken_in(t, url);
    invited(t, url);
    t.ok("issuer delete company --yes");
    from_a_source(t, url);
}

/// The whole installation believes it; the organization has said nothing of it yet.
fn of_everybodys_issuer(t: &Terminal, url: &str) {
    let org = t.json("org show")["key"].as_str().unwrap().to_owned();
    t.write("zoe.jwt", &token(url, "everybody", "zoe", "zoe@example.com"));
    let as_zoe = format!("--org {org} --key-file zoe.jwt");
    assert!(t.run(&format!("flag list --definitions {as_zoe}")).code != 0);
    let zoe = t.json(&format!("person add --subject zoe --role reader --issuer-url {url}"));
    t.ok(&format!("flag list --definitions {as_zoe}"));
    t.write("zoe.jwt", &token(url, "somebody", "zoe", "zoe@example.com"));
    assert!(t.run(&format!("flag list --definitions {as_zoe}")).code != 0);
    t.ok(&format!("person remove {} --yes", zoe["id"].as_str().unwrap()));
}

fn taken_in(t: &Terminal, url: &str) {
    let line = "person add --subject bob --role reader --only-env dev --issuer-url";
    let bob = t.json(&format!("{line} {url}"));
    let id = bob["id"].as_str().unwrap();
    assert_eq!(t.json(&format!("person set {id} --role maintainer"))["envs"], json!(["dev"]));
    assert!(t.ok("person list").contains("maintainer"));
    assert!(t.ok(&format!("person show {id}")).contains(url));
    t.ok(&format!("person remove {id} --yes"));
    t.fails(&format!("person show {id}"), 3);
}

fn invited(t: &Terminal, url: &str) {
    t.ok("invitation create ada@example.com --role maintainer --token-out ada.invitation");
    assert!(t.ok("invitation list").contains("ada@example.com"));
    t.write("ada.jwt", &token(url, "flagforge", "ada", "ada@example.com"));
    t.write("eve.jwt", &token(url, "flagforge", "eve", "eve@example.com"));
    // An organization is named, because a token names none.
    let org = t.json("org show")["key"].as_str().unwrap().to_owned();
    let accept = format!("invitation accept --token-file ada.invitation --org {org} --key-file");
    assert!(t.run(&format!("{accept} eve.jwt")).code != 0);
    assert_eq!(t.json(&format!("{accept} ada.jwt"))["role"], "maintainer");
    assert!(t.ok(&format!("flag list --definitions --org {org} --key-file ada.jwt")).contains("a"));
    t.ok("invitation create late@example.com --role reader --expires-in 60 --token-out late.invitation");
    let late = t.json("invitation list")["items"][0]["id"].as_str().unwrap().to_owned();
    t.ok(&format!("invitation withdraw {late} --yes"));
}

fn from_a_source(t: &Terminal, url: &str) {
    t.write("bearer", "what-the-source-is-shown");
    t.ok(&format!("source set --from {url}/tenants --bearer-file bearer --every 600"));
    assert!(t.ok("source set --pause").contains("600"));
    assert_eq!(t.json("source show")["hasBearer"], true);
    t.ok("source set --resume");
    assert!(t.ok("source run").contains("applied: 1 tenants, 1 created"));
    assert_eq!(t.json("tenant show from-afar")["key"], "from-afar");
    assert!(t.ok("source show").contains("last run"));
    t.ok("source delete --yes");
}
