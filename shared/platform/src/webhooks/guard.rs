//! Which addresses are called for strangers. An endpoint is somebody's choice, and the platform stands inside
//! a network that the chooser may not see: only what is public is called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Error;
use crate::input::bounded;

/// Bytes of an endpoint's address.
pub const MAX_WEBHOOK_URL_BYTES: usize = 1_024;

/// Whether an address is one of the public Internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !(reserved
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is given out as public; Teredo, ORCHID and documentation are in it and carry other addresses or
    // none, and so do 6to4 and the translated prefix.
    let global = (0x2000..0x4000).contains(&a);
    let special = (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || a == 0x3fff;
    global && !special
}

/// Lets pass an address that an endpoint may have: `https`, or `http` on this machine. What its name leads to is asked
/// each time that it is called.
pub(crate) fn check_url(url: &str) -> Result<(), Error> {
    let refuse = |message: &str| Err(Error::invalid("url", message));
    bounded("url", "bytes", MAX_WEBHOOK_URL_BYTES, url.len())?;
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("must be ASCII without spaces; percent-encode the rest");
    }
    let (rest, secure) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, true),
        (None, Some(rest)) => (rest, false),
        (None, None) => return refuse("must begin with https://"),
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return refuse("must have a host, and no user before it");
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let address: Option<IpAddr> = host.parse().ok();
    let loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    if !secure && !loopback {
        return refuse("must begin with https://; plain http is for this machine only");
    }
    if !loopback && address.is_some_and(|address| !is_public(address)) {
        return refuse("is not a public address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "2001::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "2a00::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn endpoints_are_https_or_on_this_machine() {
        for good in [
            "https://a.example/x",
            "http://localhost:8080/",
            "http://127.0.0.1:1",
            "https://[2a00::1]/",
        ] {
            check_url(good).unwrap();
        }
        for bad in [
            "ftp://a.example",
            "http://a.example",
            "https://",
            "https://u@a.example",
            "https://10.0.0.1/x",
            "https://169.254.169.254/latest",
            "https://[fd00::1]/",
            "https://a.example/ x",
            "javascript:1",
        ] {
            let error = check_url(bad).unwrap_err().to_string();
            assert!(error.starts_with("url: "), "{bad}: {error}");
        }
        let long = |bytes: usize| format!("https://a.example/{}", "x".repeat(bytes - 18));
        check_url(&long(MAX_WEBHOOK_URL_BYTES)).unwrap();
        assert!(check_url(&long(MAX_WEBHOOK_URL_BYTES + 1)).is_err());
    }
}
