//! The types of problems: stable words that programs may compare, documented in `docs/problems.md`.

use axum::http::StatusCode;

/// One type of problem, `urn:flagforge:problem:<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) status: StatusCode,
    /// The type in words.
    pub(super) title: &'static str,
}

macro_rules! kinds {
    ($($constant:ident = $name:literal, $status:ident, $title:literal;)*) => {
        $(pub(super) const $constant: Kind =
            Kind { name: $name, status: StatusCode::$status, title: $title };)*

        /// Every type of problem there is.
        #[cfg(test)]
        pub(super) const ALL: &[Kind] = &[$($constant),*];
    };
}

kinds! {
    INVALID = "invalid", BAD_REQUEST, "Invalid request";
    OVER_LIMIT = "over-limit", BAD_REQUEST, "Over a limit";
    BODY_UNREADABLE = "body-unreadable", BAD_REQUEST, "Body unreadable";
    UNAUTHENTICATED = "unauthenticated", UNAUTHORIZED, "Unauthenticated";
    FORBIDDEN = "forbidden", FORBIDDEN, "Forbidden";
    WRONG_KEY_KIND = "wrong-key-kind", FORBIDDEN, "Wrong kind of key";
    SUSPENDED = "suspended", FORBIDDEN, "Organization suspended";
    NOT_FOUND = "not-found", NOT_FOUND, "Not found";
    METHOD_NOT_ALLOWED = "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    EXISTS = "exists", CONFLICT, "Exists already";
    IN_USE = "in-use", CONFLICT, "In use";
    KEPT = "kept", CONFLICT, "Kept for restoring";
    LAST_ADMIN = "last-admin", CONFLICT, "Last admin";
    QUOTA_EXCEEDED = "quota-exceeded", CONFLICT, "Quota exceeded";
    PRECONDITION_FAILED = "precondition-failed", PRECONDITION_FAILED, "Precondition failed";
    BODY_TOO_LARGE = "body-too-large", PAYLOAD_TOO_LARGE, "Body too large";
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    IDEMPOTENCY_MISMATCH = "idempotency-mismatch", UNPROCESSABLE_ENTITY, "Idempotency key reused";
    PRECONDITION_REQUIRED = "precondition-required", PRECONDITION_REQUIRED, "Precondition required";
    RATE_LIMITED = "rate-limited", TOO_MANY_REQUESTS, "Too many requests";
    INTERNAL = "internal", INTERNAL_SERVER_ERROR, "Internal error";
    BUSY = "busy", SERVICE_UNAVAILABLE, "Busy";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_documented_with_its_status_and_no_other_is() {
        let page = include_str!("../../../../docs/problems.md");
        for kind in ALL {
            let row = format!("| `{}` | {} | {} |", kind.name, kind.status.as_u16(), kind.title);
            assert!(page.contains(&row), "docs/problems.md has no row that begins `{row}`");
            let sole = ALL.iter().filter(|other| other.name == kind.name).count() == 1;
            assert!(sole, "two types are called {}", kind.name);
        }
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, ALL.len(), "docs/problems.md lists what is no type any more");
    }
}
