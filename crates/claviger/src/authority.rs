//! Which host a request is for: exactly one answer, or none.

use http::{HeaderMap, Uri, header};

use crate::refusal::Reason;

/// The host a request names, without its port, as it was written.
///
/// # Errors
/// 400 unless there is exactly one `Host` header that is a host and an optional port, without user information,
/// and an absolute-form target names the same (RFC 9112, section 3.2).
pub fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Reason> {
    let refuse = |why| Reason::MalformedRequest { why };
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().ok_or(refuse("there is no Host header"))?;
    if hosts.next().is_some() {
        return Err(refuse("there is more than one Host header"));
    }
    let host = host.to_str().map_err(|_| refuse("the Host header is not ASCII"))?;
    if let Some(authority) = uri.authority()
        && !authority.as_str().eq_ignore_ascii_case(host)
    {
        return Err(refuse("the target and the Host header name different hosts"));
    }
    without_port(host).ok_or(refuse("the Host header is not a host and an optional port"))
}

/// The host of `host[:port]`; `None` if the text is anything else.
pub fn without_port(text: &str) -> Option<&str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            inside.parse::<std::net::Ipv6Addr>().ok()?;
            let host = text.get(..inside.len() + 2)?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let good_port =
        port.is_none_or(|port| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()));
    let good_host = !host.is_empty()
        && host.len() <= 255
        && (host.starts_with('[')
            || host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')));
    (good_port && good_host).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(target: &str, hosts: &[&str]) -> Option<String> {
        let uri: Uri = target.parse().unwrap();
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        host_of(&uri, &headers).ok().map(str::to_owned)
    }

    #[test]
    fn exactly_one_host_or_none() {
        assert_eq!(host("/", &["api.example.com"]).unwrap(), "api.example.com");
        assert_eq!(host("/", &["api.example.com:8080"]).unwrap(), "api.example.com");
        assert_eq!(host("/", &["[::1]:80"]).unwrap(), "[::1]");
        assert_eq!(host("http://A.example/x", &["a.example"]).unwrap(), "a.example");
        for (target, hosts) in [
            ("/", &[][..]),
            ("/", &["a.example", "a.example"]),
            ("/", &["user@a.example"]),
            ("/", &["a.example:"]),
            ("/", &["a.example:80:80"]),
            ("/", &["a.example:http"]),
            ("/", &["a example"]),
            ("/", &["a.example/b"]),
            ("/", &[""]),
            ("/", &["[::1"]),
            ("/", &["[::1]x"]),
            ("http://a.example/", &["b.example"]),
            ("http://a.example/", &["a.example:80"]),
            ("http://user@a.example/", &["a.example"]),
        ] {
            assert_eq!(host(target, hosts), None, "{target} {hosts:?}");
        }
    }
}
