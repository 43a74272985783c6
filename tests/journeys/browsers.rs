//! Pages in browsers that call the API from another address.

use anyhow::ensure;
use reqwest::Method;

use crate::{CONSOLE, Stack};

const ALLOWED: &str = "access-control-allow-origin";
/// Who asks, and whom the answer allows.
const PAGES: [(&str, &str); 2] = [(CONSOLE, CONSOLE), ("https://elsewhere.example", "")];

pub async fn a_page_of_a_named_origin_reads_answers_and_no_other(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("console").await?;
    for (origin, expected) in PAGES {
        let headers = [("origin", origin)];
        let read = org.api.call(Method::GET, &org.path("tenants/acme"), &headers, None).await?;
        let read = read.expect(200)?;
        ensure!(read.header(ALLOWED) == expected, "{origin}: {:?}", read.headers);
        let exposed = read.header("access-control-expose-headers");
        ensure!(exposed.contains("etag") != expected.is_empty(), "{origin}: {exposed}");
        // An answer for one origin is not for another's cache.
        ensure!(read.header("vary").contains("origin"), "{:?}", read.headers);
    }
    Ok(())
}

/// What a browser asks before a page writes. MiniStack's gateway answers it in the API's stead.
pub async fn a_page_of_a_named_origin_is_let_write(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("console").await?;
    for (origin, expected) in PAGES {
        let asked = [("origin", origin), ("access-control-request-method", "PUT")];
        let asked = org.api.call(Method::OPTIONS, &org.path("tenants/acme"), &asked, None).await?;
        ensure!(asked.header(ALLOWED) == expected, "{origin}: {:?}", asked.headers);
        let methods = asked.header("access-control-allow-methods");
        ensure!(methods.contains("PUT") != expected.is_empty(), "{origin}: {methods}");
    }
    Ok(())
}
