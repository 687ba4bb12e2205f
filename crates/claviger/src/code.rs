//! The words by which programs tell one kind of error from another.

/// Makes [`Code`] and everything that has to know all of its members, so that no list can miss one.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $text:literal $message:literal;)*) => {
        /// What programs compare: one short word per kind of error. A decision gives some of them; the others are
        /// what a server before an API has to say besides, in the same envelope.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them, in the order of their statuses.
            pub const ALL: &'static [Code] = &[$(Self::$name),*];

            /// The code as it stands in answers: lower case with underscores.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What a client is told unless the API's configuration says it in its own words.
            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)*
                }
            }
        }
    };
}

codes! {
    /// 400.
    BadRequest "bad_request" "The request is malformed";
    /// 401.
    Unauthorized "unauthorized" "Missing or invalid credentials";
    /// 401: e-mail address and password, or a token that prolongs a session, are nobody's.
    InvalidCredentials "invalid_credentials" "The e-mail address, the password or the token is wrong";
    /// 403: the request came in clear.
    HttpsRequired "https_required" "This API is served over HTTPS only";
    /// 403: tenant or organization are not named where they must be.
    IdentityMissing "identity_missing" "Missing or invalid tenant/org identity";
    /// 403: another tenant or organization is named.
    IdentityMismatch "identity_mismatch" "The request names another tenant or organization than its credential";
    /// 403: suspended, invited, or not verified.
    NotActive "not_active" "The account, organization or tenant is not active";
    /// 403: scope or role do not reach that far.
    Forbidden "forbidden" "The credential does not allow this";
    /// 403: a key from outside of its networks.
    NetworkNotAllowed "network_not_allowed" "The credential may not be used from this network";
    /// 404.
    NotFound "not_found" "There is nothing at this path";
    /// 405.
    MethodNotAllowed "method_not_allowed" "This path does not have that method";
    /// 408.
    RequestTimeout "request_timeout" "The request took too long to arrive";
    /// 409.
    Conflict "conflict" "It stands against what is there already";
    /// 413.
    PayloadTooLarge "payload_too_large" "The request body is too large";
    /// 414.
    UriTooLong "uri_too_long" "The request target is too long";
    /// 421.
    MisdirectedRequest "misdirected_request" "This host is not served here";
    /// 429.
    RateLimited "rate_limited" "Too many requests; try again later";
    /// 431.
    HeadersTooLarge "headers_too_large" "The request headers are too large";
    /// 500.
    Internal "internal" "Something is wrong on our side";
    /// 502.
    BadGateway "bad_gateway" "The service behind this API failed";
    /// 503.
    Unavailable "unavailable" "The service cannot answer right now; try again later";
    /// 504.
    GatewayTimeout "gateway_timeout" "The service behind this API did not answer in time";
}

impl Code {
    /// Reads what [`as_str`](Self::as_str) writes.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_says_something() {
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.as_str()), Some(*code));
            assert!(!code.message().is_empty() && !code.message().ends_with('.'), "{code:?}");
        }
        assert_eq!(Code::from_name("Forbidden"), None);
        assert_eq!(Code::ALL.len(), 22);
    }
}
