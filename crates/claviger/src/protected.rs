//! Headers that only Claviger may write on what it forwards, and those that hold a credential.

use http::header::{self, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::api::Api;
use crate::refusal::Reason;
use crate::reserved::{is_like, is_method_override, is_ours, names};

/// The subprotocol that a client offers beside its credential, so that there is one to choose.
pub const SUBPROTOCOL: &str = "claviger";
/// What stands before a credential among the subprotocols of a WebSocket.
pub const BEARER_SUBPROTOCOL: &str = "claviger.bearer.";

/// What a client may not say to the service behind an API.
#[derive(Debug, Clone)]
pub struct Protected {
    identity: Vec<HeaderName>,
    carriers: Vec<HeaderName>,
}

impl Protected {
    /// For the service behind `api`, in a process that serves `all` of these besides: a header that holds a credential
    /// for one API, or says whose a request is, reaches the upstream of none: several APIs may have one.
    pub fn new<'a>(api: &'a Api, all: impl IntoIterator<Item = &'a Api>) -> Self {
        let (mut identity, mut carriers) = (Vec::new(), Vec::new());
        let add = |names: &mut Vec<HeaderName>, name: &HeaderName| {
            if !names.contains(name) {
                names.push(name.clone());
            }
        };
        for api in std::iter::once(api).chain(all) {
            api.identity_headers.names.iter().for_each(|name| add(&mut identity, name));
            api.carriers.header.iter().for_each(|name| add(&mut carriers, name));
        }
        Self { identity, carriers }
    }

    /// Whether a client may not send a header, or a trailer, called `name`.
    pub fn covers(&self, name: &HeaderName) -> bool {
        *name == header::AUTHORIZATION
            || is_ours(name.as_str(), &self.identity)
            || self.carriers.iter().any(|own| is_like(name.as_str(), own.as_str()))
    }

    /// Removes every protected header: the upstream gets to see neither the caller's credential, wherever it may stand,
    /// nor an identity that Claviger did not write.
    ///
    /// # Errors
    /// 400 if a header wishes for another method than the request's.
    pub fn remove_from(&self, method: &Method, headers: &mut HeaderMap) -> Result<(), Reason> {
        let mut found: smallvec::SmallVec<[HeaderName; 8]> = smallvec::SmallVec::new();
        let mut has_subprotocols = false;
        for name in headers.keys() {
            has_subprotocols |= *name == SEC_WEBSOCKET_PROTOCOL;
            if self.covers(name) {
                found.push(name.clone());
            }
        }
        for name in found {
            if is_method_override(name.as_str())
                && headers.get_all(&name).iter().any(|wish| !is_for(wish, method))
            {
                let why = "a header wishes for another method than the request has; send the request with that method";
                return Err(Reason::MalformedRequest { why });
            }
            headers.remove(name);
        }
        if has_subprotocols {
            remove_our_subprotocols(headers);
        }
        Ok(())
    }
}

/// The names of the headers that are removed for every API, as documents list them: in small letters, with a `*` for any
/// ending. An API's identity headers and carriers, which its settings name, are removed besides.
pub fn removed_for_every_api() -> impl Iterator<Item = String> {
    names().chain([header::AUTHORIZATION.to_string()])
}

fn is_for(wish: &HeaderValue, method: &Method) -> bool {
    wish.as_bytes().trim_ascii().eq_ignore_ascii_case(method.as_str().as_bytes())
}

/// The subprotocols that a client offers (RFC 6455, section 11.3.4).
pub(crate) fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// Whether a client offers [`SUBPROTOCOL`], so that it can be answered where the service behind us chooses none.
pub fn offers_our_subprotocol(headers: &HeaderMap) -> bool {
    subprotocols(headers).any(|name| name == SUBPROTOCOL)
}

/// Takes what is meant for us off the subprotocols that a client offers: the credential above all. A value that is no
/// text could hide one, and goes as a whole.
fn remove_our_subprotocols(headers: &mut HeaderMap) {
    let is_ours = |name: &&str| {
        let start = name.get(..BEARER_SUBPROTOCOL.len());
        *name == SUBPROTOCOL || start.is_some_and(|start| start.eq_ignore_ascii_case(BEARER_SUBPROTOCOL))
    };
    if headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().all(|value| value.to_str().is_ok())
        && !subprotocols(headers).any(|name| is_ours(&name))
    {
        return;
    }
    let left: Vec<&str> = subprotocols(headers).filter(|name| !is_ours(name)).collect();
    let left = (!left.is_empty()).then(|| HeaderValue::from_str(&left.join(", ")).ok()).flatten();
    match left {
        Some(left) => headers.insert(SEC_WEBSOCKET_PROTOCOL, left),
        None => headers.remove(SEC_WEBSOCKET_PROTOCOL),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protected(carriers: &[&'static str]) -> Protected {
        Protected {
            identity: vec![HeaderName::from_static("x-tenant-id"), HeaderName::from_static("x-org-id")],
            carriers: carriers.iter().map(|name| HeaderName::from_static(name)).collect(),
        }
    }

    fn name(text: &str) -> HeaderName {
        text.parse().unwrap()
    }

    #[test]
    fn trap_x_user_normalisation() {
        let own = protected(&["x-api-key"]);
        for bad in [
            "x-tenant-id",
            "x_tenant_id",
            "X_Org-Id",
            "x.org.id",
            "x-claviger-principal",
            "x_claviger_anything",
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_host",
            "x-real-ip",
            "x-http-method-override",
            "x-original-url",
            "x-request-id",
            "authorization",
            "x-api-key",
            "X_API_Key",
            "x-forwarded",
            "Proxy",
            "True_Client_IP",
            "Content_Length",
            "transfer.encoding",
        ] {
            assert!(own.covers(&name(bad)), "{bad}");
        }
        for good in [
            "accept",
            "x-tenant",
            "x-tenant-id-2",
            "x-forwarder",
            "content-length",
            "content-type",
            "traceparent",
            "x-api-keys",
        ] {
            assert!(!own.covers(&name(good)), "{good}");
        }
        assert!(own.covers(&name(&format!("x-claviger-{}", "a".repeat(100)))));
        let long = Protected { carriers: vec![name(&"x-long-".repeat(20))], ..own };
        assert!(long.covers(&name(&"X_Long_".repeat(20))));
        assert!(!protected(&[]).covers(&name("x-api-key")));
    }

    #[test]
    fn what_says_whose_a_request_is_at_one_api_is_nobodys_to_say_at_another() {
        let apis = crate::testing::synq();
        let other = crate::api::ApiSettings {
            identity_headers: crate::api::IdentityHeaders {
                names: [name("x-workspace-id"), name("x-team-id")],
                ..apis.identity_headers.clone()
            },
            ..crate::testing::syncello()
        };
        let (synq, other) = (crate::testing::api(apis), crate::testing::api(other));
        let own = Protected::new(&synq, [&*synq, &*other]);
        for bad in ["x-tenant-id", "x-workspace-id", "X_Team_ID"] {
            assert!(own.covers(&name(bad)), "{bad}");
        }
        assert!(!Protected::new(&synq, []).covers(&name("x-workspace-id")));
    }

    #[test]
    fn trap_credential_forwarded_upstream() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "x_tenant_id", "x-claviger-principal", "x_api_key", "accept"] {
            headers.append(HeaderName::from_static(name), "1".parse().unwrap());
            headers.append(HeaderName::from_static(name), "2".parse().unwrap());
        }
        protected(&["x-api-key"]).remove_from(&Method::GET, &mut headers).unwrap();
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["accept"]);
        assert_eq!(headers.get_all("accept").iter().count(), 2);
    }

    #[test]
    fn forwarding_14_a_wish_for_another_method_is_refused_aloud() {
        for (header, wish, good) in [
            ("x-http-method-override", "PATCH", false),
            ("X_HTTP_Method_Override", "delete", false),
            ("x-method-override", "POST ", true),
            ("x-http-method", "post", true),
            ("x-http-method", "", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(name(header), "POST".parse().unwrap());
            headers.append(name(header), wish.parse().unwrap());
            let outcome = protected(&[]).remove_from(&Method::POST, &mut headers);
            assert_eq!(outcome.is_ok(), good, "{header}: {wish}");
            assert_eq!(headers.is_empty(), good);
        }
    }

    #[test]
    fn no_subprotocol_of_ours_is_passed_on() {
        let left = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_bytes(value).unwrap());
            }
            protected(&[]).remove_from(&Method::GET, &mut headers).unwrap();
            headers
                .get_all(SEC_WEBSOCKET_PROTOCOL)
                .iter()
                .map(|v| v.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(left(&[b"claviger, claviger.bearer.a.b.c"]), [""; 0]);
        assert_eq!(left(&[b"claviger", b"graphql-ws, Claviger.Bearer.x,v2"]), ["graphql-ws, v2"]);
        assert_eq!(left(&[b"graphql-ws", b"v2"]), ["graphql-ws", "v2"], "others stay as they were");
        assert_eq!(left(&[b"v2", b"claviger.bearer.x\xff"]), ["v2"]);
        assert_eq!(left(&[b"clavigers"]), ["clavigers"]);
    }
}
