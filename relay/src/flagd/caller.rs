//! Who calls: the same key, environment and tenant as everywhere, in metadata, or for providers that can send nothing else in
//! their selector; and how a refusal is said in gRPC.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};

use crate::problem::Refused;

/// The metadata that flagd's providers send their selector in.
const SELECTOR: &str = "flagd-selector";
/// What a selector may say, with `/` between, which no name has; and the header that says the same.
const NAMES: [(&str, &str); 3] = [
    ("key", "x-api-key"),
    ("tenant", "flagforge-tenant"),
    ("environment", "flagforge-environment"),
];

/// The metadata with what the selector says as if it were metadata too. Whether both contradict is seen where headers are.
pub(super) fn headers_of(mut headers: HeaderMap) -> Result<HeaderMap, Refused> {
    // Whoever sends several selectors means none of them.
    let mut selectors = headers.get_all(SELECTOR).iter();
    let Some(selector) = selectors.next().cloned() else { return Ok(headers) };
    if selectors.next().is_some() {
        return Err(Refused::Invalid(format!("{SELECTOR} is there more than once")));
    }
    let text = std::str::from_utf8(selector.as_bytes())
        .map_err(|_| Refused::Invalid(format!("{SELECTOR} is not UTF-8")))?;
    let mut told = Vec::new();
    for part in text.split('/').map(str::trim).filter(|part| !part.is_empty()) {
        told.push(named(part)?);
    }
    for (place, (name, value)) in told.iter().enumerate() {
        let is_key = *name == "x-api-key";
        let twice = told.iter().take(place).any(|(other, _)| other == name);
        if twice || (is_key && has_key(&headers)) {
            return Err(Refused::Invalid(format!("{name} is there more than once")));
        }
        if !is_key {
            headers.append(HeaderName::from_static(name), value.clone());
        }
    }
    if let Some((name, value)) = told.into_iter().find(|(name, _)| *name == "x-api-key") {
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

/// The metadata with the selector of a request that has one of its own, as older providers send it alone and newer ones twice.
pub(super) fn with_selector(mut headers: HeaderMap, selector: &str) -> Result<HeaderMap, Refused> {
    if selector.is_empty() {
        return Ok(headers);
    }
    match headers.get(SELECTOR) {
        Some(same) if same.as_bytes() == selector.as_bytes() => {}
        Some(_) => {
            return Err(Refused::Invalid(format!(
                "{SELECTOR} and the request's selector contradict"
            )));
        }
        None => {
            let value =
                HeaderValue::from_bytes(selector.as_bytes()).map_err(|_| not_these_words())?;
            headers.insert(SELECTOR, value);
        }
    }
    Ok(headers)
}

/// Whether there is a key at all, good or not.
pub(super) fn has_key(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key("x-api-key")
}

fn named(part: &str) -> Result<(&'static str, HeaderValue), Refused> {
    let (name, value) = part.split_once('=').ok_or_else(not_these_words)?;
    let known = NAMES.into_iter().find(|(known, _)| *known == name.trim());
    let (_, header) = known.ok_or_else(not_these_words)?;
    let mut value =
        HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| not_these_words())?;
    value.set_sensitive(header == "x-api-key");
    Ok((header, value))
}

/// What was sent is not repeated: it may be a key.
fn not_these_words() -> Refused {
    Refused::Invalid(format!(
        "{SELECTOR} may say key=<access key>/tenant=<tenant>/environment=<environment>"
    ))
}

/// A refusal as flagd's providers read it: they tell `NOT_FOUND` and `INVALID_ARGUMENT` from the rest, and repeat what is
/// `UNAVAILABLE` or `UNKNOWN`.
pub(super) fn status(refused: &Refused) -> Status {
    let code = match refused {
        Refused::Unauthenticated => Code::Unauthenticated,
        Refused::Forbidden(_) => Code::PermissionDenied,
        Refused::NotFound(_) | Refused::FlagNotFound => Code::NotFound,
        Refused::Malformed(_) | Refused::Invalid(_) | Refused::TooLarge(_) => Code::InvalidArgument,
        Refused::Evaluation("TYPE_MISMATCH" | "INVALID_CONTEXT", _) => Code::InvalidArgument,
        Refused::Evaluation("PARSE_ERROR", _) => Code::DataLoss,
        Refused::Evaluation(..) => Code::FailedPrecondition,
        Refused::Slow(_) => Code::DeadlineExceeded,
        Refused::TooMany { .. } => Code::ResourceExhausted,
        Refused::Full { .. } | Refused::Unavailable(_) => Code::Unavailable,
    };
    let detail = match refused {
        Refused::Evaluation(word, detail) => format!("{word}: {detail}"),
        Refused::Unauthenticated => format!(
            "send a valid access key in the metadata authorization or x-api-key, or as {SELECTOR}: key=<access key>"
        ),
        _ => refused.detail(),
    };
    Status::new(code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_selector_says_what_metadata_says() {
        let told = headers(&[(SELECTOR, "key=k/tenant=acme, Inc./environment=prod")]);
        let told = headers_of(told).unwrap();
        assert_eq!(told["x-api-key"], "k");
        assert!(told["x-api-key"].is_sensitive());
        assert_eq!(told["flagforge-tenant"], "acme, Inc.");
        assert_eq!(told["flagforge-environment"], "prod");
        // Both stand, so that whoever looks sees that they contradict.
        let both = headers(&[(SELECTOR, "tenant=acme"), ("flagforge-tenant", "globex")]);
        assert_eq!(headers_of(both).unwrap().get_all("flagforge-tenant").iter().count(), 2);
        for sent in [headers(&[]), headers(&[(SELECTOR, "tenant=acme")])] {
            let told = headers_of(with_selector(sent, "tenant=acme").unwrap()).unwrap();
            assert_eq!(told["flagforge-tenant"], "acme");
        }
        assert!(with_selector(HeaderMap::new(), "").unwrap().is_empty());
        let nothing = headers_of(headers(&[(SELECTOR, "")])).unwrap();
        assert!(!has_key(&nothing));
    }

    #[test]
    fn a_selector_that_says_anything_else_is_refused_without_its_words() {
        for selector in
            ["secret", "flagSetId=secret", "key=secret/key=secret", "tenant=secret/tenant=a"]
        {
            let refused = headers_of(headers(&[(SELECTOR, selector)])).unwrap_err();
            assert!(!refused.detail().contains("secret"), "{selector}: {refused:?}");
        }
        for (in_request, in_metadata) in [("tenant=secret", "tenant=a"), ("tenant=a", "key=secret")]
        {
            let refused =
                with_selector(headers(&[(SELECTOR, in_metadata)]), in_request).unwrap_err();
            assert!(!refused.detail().contains("secret"), "{refused:?}");
        }
        assert!(with_selector(HeaderMap::new(), "tenant=a\nb").is_err());
        for other in ["authorization", "x-api-key"] {
            let both = headers(&[(SELECTOR, "key=a"), (other, "b")]);
            assert!(headers_of(both).is_err(), "{other}");
        }
        let twice = headers_of([(SELECTOR, "tenant=a"), (SELECTOR, "tenant=a")].into_iter().fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value.parse().unwrap());
                headers
            },
        ));
        assert!(twice.is_err());
    }
}
