//! The peers and the upstream, all from Debian's packages.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::json;

use crate::contender::{Contender, Kind};
use crate::ports;
use crate::server::Server;
use crate::workshop::Workshop;

/// How many keys every contender with keys knows.
pub(crate) const KEYS: usize = 1000;

/// The server behind all contenders.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) server: Server,
    pub(crate) port: u16,
    /// Where `auth_request` asks.
    auth_port: u16,
    /// A key that the peers know.
    key: String,
}

/// Starts the upstream and writes the key maps of the peers.
pub(crate) fn upstream(workshop: &Workshop) -> anyhow::Result<Upstream> {
    let keys = (0..KEYS).map(|_| random_key()).collect::<anyhow::Result<Vec<_>>>()?;
    let tenant = "6f1c2f0e-6a53-4d0b-9d2c-0f6f1f0c8a11";
    let org = "1b7d8a52-93a5-4e5e-8a5b-5f2b3c9d7e42";
    let haproxy = keys.iter().enumerate().map(|(n, key)| format!("{key} key_{n}|{tenant}|{org}\n"));
    workshop.write("keys.haproxy.map", &haproxy.collect::<String>())?;
    let nginx = keys.iter().map(|key| format!("\"Bearer {key}\" {tenant};\n"));
    workshop.write("keys.nginx.map", &nginx.collect::<String>())?;

    let [port, auth_port] = ports::free()?;
    let settings = workshop.fill("upstream.nginx.conf", &[("upstream", port), ("auth", auth_port)])?;
    let server = nginx_server(workshop, "upstream", &settings, port)?;
    let key = keys.into_iter().next().context("there are no keys")?;
    Ok(Upstream { server, port, auth_port, key })
}

/// Starts the peers, each as a server of its own.
pub(crate) fn contenders(workshop: &Workshop, upstream: &Upstream) -> anyhow::Result<Vec<Contender>> {
    let [proxy_pass, auth_request, key_map, jwt] = ports::free()?;
    let token = es256_token(workshop)?;
    let bearer = |credential: &str| Some(format!("Bearer {credential}"));
    let fill = |file: &str, port: u16| {
        let values = [("port", port), ("upstream", upstream.port), ("auth", upstream.auth_port)];
        workshop.fill(file, &values)
    };
    Ok(vec![
        Contender {
            kind: Kind::NginxProxyPass,
            name: "nginx `proxy_pass`, no auth",
            server: Rc::new(nginx_server(
                workshop,
                "proxy-pass",
                &fill("proxy-pass.nginx.conf", proxy_pass)?,
                proxy_pass,
            )?),
            port: proxy_pass,
            authorization: None,
        },
        Contender {
            kind: Kind::NginxAuthRequest,
            name: "nginx `auth_request`",
            server: Rc::new(nginx_server(
                workshop,
                "auth-request",
                &fill("auth-request.nginx.conf", auth_request)?,
                auth_request,
            )?),
            port: auth_request,
            authorization: bearer(&upstream.key),
        },
        Contender {
            kind: Kind::HaproxyKeyMap,
            name: "HAProxy, key map and rate table",
            server: Rc::new(haproxy_server(
                workshop,
                "key-map",
                &fill("key-map.haproxy.cfg", key_map)?,
                key_map,
            )?),
            port: key_map,
            authorization: bearer(&upstream.key),
        },
        Contender {
            kind: Kind::HaproxyJwt,
            name: "HAProxy, `jwt_verify` ES256",
            server: Rc::new(haproxy_server(workshop, "jwt", &fill("jwt.haproxy.cfg", jwt)?, jwt)?),
            port: jwt,
            authorization: bearer(&token),
        },
    ])
}

fn nginx_server(workshop: &Workshop, name: &str, settings: &Path, port: u16) -> anyhow::Result<Server> {
    let directory = workshop.directory().display().to_string();
    let arguments =
        ["-p", &directory, "-c", &settings.display().to_string(), "-g", "daemon off;"].map(str::to_owned);
    Server::start(workshop, name, Path::new("/usr/sbin/nginx"), &arguments)?
        .until_ready(workshop, name, port, "/")
}

fn haproxy_server(workshop: &Workshop, name: &str, settings: &Path, port: u16) -> anyhow::Result<Server> {
    let arguments = ["-db".to_owned(), "-f".to_owned(), settings.display().to_string()];
    Server::start(workshop, name, Path::new("/usr/sbin/haproxy"), &arguments)?
        .until_ready(workshop, name, port, "/")
}

/// A key as long as those of Claviger, so that the maps work on the same sizes.
fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0; 24];
    fill(&mut bytes).ok().context("no random numbers can be had")?;
    Ok(format!("sk_live_{}", bytes.map(|byte| format!("{byte:02x}")).concat()))
}

/// Writes the public key where the settings of HAProxy name it, and gives a token that lives for a day.
fn es256_token(workshop: &Workshop) -> anyhow::Result<String> {
    let key =
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok().context("cannot make a P-256 key")?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().ok().context("cannot write a P-256 key")?;
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(public.as_ref())
    );
    let _: PathBuf = workshop.write("es256.pem", &pem)?;
    let now = Timestamp::now().as_second();
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "bench-1"}).to_string();
    let claims = json!({
        "iss": "bench", "aud": "bench", "sub": "0d4b1c8e-1a37-4a3e-8f0e-6b1f5d7c9a20", "iat": now, "exp": now + 86400,
        "jti": "5b6e2f50-6f0a-4f43-9f5e-2d9c3a7b1c64", "tenant_id": "6f1c2f0e-6a53-4d0b-9d2c-0f6f1f0c8a11",
        "org_id": "1b7d8a52-93a5-4e5e-8a5b-5f2b3c9d7e42", "role": "MEMBER",
    });
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).ok().context("cannot sign a token")?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
