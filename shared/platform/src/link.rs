//! Links that a change is given: to the incident, release or ticket that it belongs to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;
use crate::input::bounded;

/// Links of one change; 8 of 1 KiB beside the largest change keep a log entry under its limit.
pub const MAX_LINKS: usize = 8;
/// Bytes of one address.
pub const MAX_LINK_BYTES: usize = 1_024;

/// A link, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    pub to: Target,
    #[schema(example = "https://incidents.example.com/7")]
    pub href: String,
}

/// What a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    Incident,
    Release,
    Ticket,
}

impl Target {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "incident" => Some(Self::Incident),
            "release" => Some(Self::Release),
            "ticket" => Some(Self::Ticket),
            _ => None,
        }
    }
}

/// Reads a header: `incident=https://…, ticket=https://…`.
pub(crate) fn parse(header: &str) -> Result<Vec<Link>, Error> {
    let links: Vec<Link> = header
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (word, href) = part.split_once('=').unwrap_or((part, ""));
            let to = Target::parse(word.trim()).ok_or_else(|| {
                refuse(
                    "say what each leads to: `incident=`, `release=` or `ticket=` and an address",
                )
            })?;
            Ok(Link { to, href: href.trim().to_owned() })
        })
        .collect::<Result<_, Error>>()?;
    bounded("FlagForge-Links", "links", MAX_LINKS, links.len())?;
    for link in &links {
        bounded("FlagForge-Links", "bytes", MAX_LINK_BYTES, link.href.len())?;
        check(&link.href)?;
    }
    Ok(links)
}

/// Lets pass addresses that a person can click without harm: `http` or `https`, with a host, and no user in it.
fn check(href: &str) -> Result<(), Error> {
    let rest = href.strip_prefix("https://").or_else(|| href.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| refuse("an address begins with https:// or http://"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.contains('@') {
        return Err(refuse("an address has a host, and no user before it"));
    }
    if !href.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>')) {
        return Err(refuse(
            "an address is ASCII without spaces and quotes; percent-encode the rest",
        ));
    }
    Ok(())
}

fn refuse(message: &str) -> Error {
    Error::invalid("FlagForge-Links", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_addresses_with_a_word_and_have_limits() {
        let links = parse("incident=https://a.example/7?x=1, ticket=http://b.example").unwrap();
        let read: Vec<(Target, &str)> = links.iter().map(|l| (l.to, l.href.as_str())).collect();
        let expected =
            [(Target::Incident, "https://a.example/7?x=1"), (Target::Ticket, "http://b.example")];
        assert_eq!(read, expected);
        for bad in [
            "https://a.example",
            "rumour=https://a.example",
            "ticket=javascript:alert(1)",
            "ticket=https://",
            "ticket=https://user@a.example",
            "ticket=https://a.example/\u{e9}",
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.starts_with("FlagForge-Links: "), "{bad}: {error}");
        }
        let many = |count: usize| vec!["ticket=https://a.example"; count].join(",");
        assert_eq!(parse(&many(MAX_LINKS)).unwrap().len(), MAX_LINKS);
        assert!(parse(&many(MAX_LINKS + 1)).unwrap_err().to_string().contains("limit is 8"));
        let long = |bytes: usize| {
            let start = "https://a.example/";
            format!("ticket={start}{}", "x".repeat(bytes - start.len()))
        };
        assert!(parse(&long(MAX_LINK_BYTES)).is_ok());
        assert!(
            parse(&long(MAX_LINK_BYTES + 1)).unwrap_err().to_string().contains("limit is 1024")
        );
    }
}
