//! whatever an operator writes is read, or refused with a place and without a secret.

use std::path::Path;

use crate::spelt;
use bolero::check;
use claviger_server::config::{Config, build_api};

const PASSWORD: &str = "hunter2";

const WORDS: [&str; 49] = [
    "[[api]]\n",
    "name = \"a\"\n",
    "realm = \"a\"\n",
    "hosts = [\"a\"]\n",
    "credentials = [\"api-key\"]\n",
    "upstream = \"http://127.0.0.1:1\"\n",
    "[[api.route]]\n",
    "path = \"/a\"\n",
    "path = \"/a/{id}\"\n",
    "path = \"/a/{*rest}\"\n",
    "resource = \"a\"\n",
    "methods = [\"GET\", \"PUT\"]\n",
    "access = \"read\"\n",
    "access = \"none\"\n",
    "access = { GET = \"none\" }\n",
    "websocket = true\n",
    "[[api.limit]]\n",
    "name = \"l\"\n",
    "per = \"address\"\n",
    "form = \"burst\"\n",
    "seconds = 60\n",
    "plans = { Standard = { read = 5 } }\n",
    "otherwise = { read = 1 }\n",
    "[[api.issuer]]\n",
    "issuer = \"https://i.example\"\n",
    "audience = \"a\"\n",
    "typ = [\"JWT\"]\n",
    "required_claims = { a = \"b\" }\n",
    "jwks_file = \"nowhere\"\n",
    "[server]\n",
    "cores = 1\n",
    "trusted_proxies = [\"10.0.0.0/8\"]\n",
    "[[listener]]\n",
    "address = \"127.0.0.1:1\"\n",
    "[store]\n",
    "url = \"postgres://u:hunter2@db/x\"\n",
    "url = \"hunter2\"\n",
    "[ops]\n",
    "like = \"a\"\n",
    "unlisted = \"ladder\"\n",
    "credential_header = \"X-API-Key\"\n",
    "basic = true\n",
    "encoded_slash = true\n",
    "cors_origins = [\"https://a.example\"]\n",
    "[api.roles]\n",
    "ADMIN = \"admin\"\n",
    "[api.messages]\n",
    "forbidden = \"no\"\n",
    "\u{e9}",
];

#[test]
fn target() {
    check!().for_each(|bytes: &[u8]| {
        let text = spelt(bytes, &WORDS);
        let lines = text.matches('\n').count() + 1;
        let said = |error: claviger_server::config::ConfigError| {
            assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)), "{error} in {lines} lines");
            assert!(!error.what.is_empty() && !error.what.starts_with(' '), "{error:?}");
            // A word that stands in place of another setting may be quoted; a store's address never is.
            assert!(!error.to_string().contains(&format!(":{PASSWORD}")), "{error}");
        };
        match Config::parse(Path::new("claviger.toml"), text.clone()) {
            Err(error) => said(error),
            Ok((config, source)) => {
                assert!(!format!("{config:?}").contains(PASSWORD), "a password is printed");
                for (at, api) in config.api.iter().enumerate() {
                    match build_api(api, at, &source) {
                        Err(error) => said(error),
                        Ok(served) => {
                            assert!(
                                !api.credentials.is_empty()
                                    && served.hosts.iter().all(|host| !host.is_empty())
                            );
                            let _told: Vec<String> =
                                served.api.doubts().iter().map(ToString::to_string).collect();
                        }
                    }
                }
            }
        }
    });
}
