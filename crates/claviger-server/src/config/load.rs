//! From a file to settings, or to an error that says where and what to do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, ConfigError, Source, StoreUrl};
use crate::failure::complaint;

/// Every setting and its default.
pub(super) const DEFAULTS: &str = include_str!("config.default.toml");

/// Tables of the default file that are lists in a user's: each of their items takes the defaults.
const LISTS: [&[&str]; 6] = [
    &["listener"],
    &["tls", "certificate"],
    &["api"],
    &["api", "route"],
    &["api", "limit"],
    &["api", "issuer"],
];

/// Settings that the environment has in place of the file, as they may hold passwords: the variable, and the name
/// within `[store]`.
const FROM_ENVIRONMENT: [(&str, &str); 3] = [
    ("CLAVIGER_STORE_URL", "url"),
    ("CLAVIGER_STORE_OWNER_URL", "owner_url"),
    ("CLAVIGER_STORE_FEED_URL", "feed_url"),
];

/// How much is told at once to be wrong.
const TOLD_AT_ONCE: usize = 20;
/// Where the token of whoever asks a server from afar stands, if no file is named.
pub(crate) const TOKEN_VARIABLE: &str = "CLAVIGER_OPERATOR_TOKEN";

/// The token in the environment, if there is one.
#[expect(clippy::disallowed_methods, reason = "this is where settings are read")]
pub(crate) fn operator_token() -> Option<String> {
    std::env::var(TOKEN_VARIABLE).ok()
}

impl Config {
    /// Reads the settings in `file`. `CLAVIGER_STORE_URL`, `CLAVIGER_STORE_OWNER_URL` and `CLAVIGER_STORE_FEED_URL`, where
    /// they are set and not empty, stand in place of `store.url`, `store.owner_url` and `store.feed_url`.
    ///
    /// # Errors
    /// If the file cannot be read, is not TOML, or has a setting that is unknown or ill-typed.
    pub fn load(file: &Path) -> Result<(Self, Source), ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
            file: file.to_owned(),
            line: None,
            what: format!("cannot read the settings ({})", complaint(&error)),
            hint: Some("name your file with `--config FILE`; `examples/` has three to begin with".into()),
            excerpt: None,
            more: Box::default(),
        })?;
        let (mut config, source) = Self::parse(file, text)?;
        #[expect(clippy::disallowed_methods, reason = "this is where settings are read")]
        let from_environment = |variable: &str| std::env::var_os(variable);
        config.store.take_from_environment(from_environment)?;
        Ok((config, source))
    }

    /// Reads settings from a text; `file` is what errors call it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(file: &Path, text: String) -> Result<(Self, Source), ConfigError> {
        let source = Source { file: file.to_owned(), text };
        let own: Table = source.text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| source.line_at(span.start));
            ConfigError {
                file: source.file.clone(),
                line,
                what: format!("not valid TOML: {}", error.message()),
                hint: None,
                excerpt: line.and_then(|line| source.excerpt(line, true)),
                more: Box::default(),
            }
        })?;
        let mut own = Value::Table(follow_likes(&source, own)?);
        let mut wrong = Vec::new();
        loop {
            let merged = merge(&mut Vec::new(), &defaults(), Some(&own));
            let error = match serde_path_to_error::deserialize::<_, Config>(merged) {
                Err(error) => error,
                Ok(config) => {
                    ConfigError::all(wrong)?;
                    return Ok((config, source));
                }
            };
            let path = error.path().to_string();
            let (error, place) = explain(&source, &path, error.inner().message());
            wrong.push(error);
            // What is wrong is left out, and what else is wrong found without it.
            if wrong.len() == TOLD_AT_ONCE || !leave_out_around(&mut own, &place) {
                return Err(ConfigError::all(wrong)
                    .err()
                    .unwrap_or_else(|| source.error("", "cannot be read")));
            }
        }
    }
}

impl super::Store {
    fn take_from_environment(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), ConfigError> {
        for (name, setting) in FROM_ENVIRONMENT {
            let Some(text) = variable(name).filter(|text| !text.is_empty()) else { continue };
            // What is wrong is said without the text, which may hold a password.
            let url =
                text.into_string().map_err(|_| "it is not UTF-8".to_owned()).and_then(StoreUrl::try_from);
            let url = url.map_err(|what| ConfigError {
                file: PathBuf::new(),
                line: None,
                what: format!("the environment variable `{name}` cannot be used: {what}"),
                hint: Some(format!("it stands in place of `store.{setting}`; unset it, or set it right")),
                excerpt: None,
                more: Box::default(),
            })?;
            match setting {
                "owner_url" => self.owner_url = Some(url),
                "feed_url" => self.feed_url = Some(url),
                _ => self.url = url,
            }
        }
        Ok(())
    }
}

#[expect(clippy::expect_used, reason = "the file is compiled in, and a test reads it")]
fn defaults() -> Value {
    Value::Table(DEFAULTS.parse().expect("the default settings are TOML"))
}

/// Gives an API that says `like = "other"` the other's settings, where it has none of its own.
fn follow_likes(source: &Source, mut own: Table) -> Result<Table, ConfigError> {
    let Some(Value::Array(apis)) = own.get_mut("api") else { return Ok(own) };
    let before = apis.clone();
    for (index, api) in apis.iter_mut().enumerate() {
        let Some(api) = api.as_table_mut() else { continue };
        let Some(like) = api.remove("like") else { continue };
        let place = format!("api[{index}].like");
        let other = before.iter().filter_map(Value::as_table).find(|other| other.get("name") == Some(&like));
        let other = other.ok_or_else(|| source.error(&place, format!("there is no API called {like}")))?;
        if other.contains_key("like") {
            return Err(source.error(&place, "that API is like another one itself; name the first"));
        }
        for (name, value) in other {
            if !api.contains_key(name) {
                api.insert(name.clone(), value.clone());
            }
        }
    }
    Ok(own)
}

/// The user's value where there is one, over the default.
fn merge(path: &mut Vec<String>, default: &Value, own: Option<&Value>) -> Value {
    let is_list = LISTS.iter().any(|list| list.iter().eq(path.iter()));
    match (default, own) {
        (Value::Table(_), Some(Value::Array(items))) if is_list => {
            Value::Array(items.iter().map(|item| merge_tables(path, default, item)).collect())
        }
        (Value::Table(_), None) if is_list => Value::Array(Vec::new()),
        // Something else where a list belongs: left as it is, for the types to refuse.
        (_, Some(own)) if is_list => own.clone(),
        (Value::Table(_), Some(own @ Value::Table(_))) => merge_tables(path, default, own),
        (Value::Table(_), None) => merge_tables(path, default, &Value::Table(Table::new())),
        (_, Some(own)) => own.clone(),
        (default, None) => default.clone(),
    }
}

fn merge_tables(path: &mut Vec<String>, default: &Value, own: &Value) -> Value {
    let (Value::Table(default), Value::Table(own)) = (default, own) else { return own.clone() };
    let mut merged = own.clone();
    for (name, value) in default {
        path.push(name.clone());
        merged.insert(name.clone(), merge(path, value, own.get(name)));
        path.pop();
    }
    Value::Table(merged)
}

/// Turns a type error into words that name the setting, the line, and the nearest known name.
/// Gives the place as well.
fn explain(source: &Source, path: &str, message: &str) -> (ConfigError, String) {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return (source.error(path, plainly(message.trim_end())), path.to_owned());
    };
    let (name, rest) = rest.split_once('`').unwrap_or((rest, ""));
    // Depending on where the error arose, the path does or does not end in the unknown name.
    let parent = path.strip_suffix(name).unwrap_or(path).trim_end_matches('.');
    let full = if parent.is_empty() || parent == "?" { name.to_owned() } else { format!("{parent}.{name}") };
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(candidate, name), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()) / 2);
    let place = without_indices(parent);
    let hint = match nearest {
        Some((_, nearest)) if place.is_empty() => format!("did you mean `{nearest}`?"),
        Some((_, nearest)) => format!("did you mean `{place}.{nearest}`?"),
        None => format!(
            "known here are {}",
            known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    };
    let line = source.line_of(&full);
    let error = ConfigError {
        file: source.file.clone(),
        line,
        what: format!("unknown setting `{}`", without_indices(&full)),
        hint: Some(hint),
        // Nobody knows what it was meant to hold.
        excerpt: line.and_then(|line| source.excerpt(line, false)),
        more: Box::default(),
    };
    (error, full)
}

/// Leaves out the setting that `path` leads to, or what it is missing in. Gives whether there was anything.
fn leave_out_around(own: &mut Value, path: &str) -> bool {
    let mut path = path;
    loop {
        if leave_out(own, path) {
            return true;
        }
        match path.rsplit_once('.') {
            Some((around, _)) => path = around,
            None => return false,
        }
    }
}

/// Leaves out the setting that `path` leads to, or the list that it is in. Gives whether it was there.
fn leave_out(own: &mut Value, path: &str) -> bool {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (name, index) = match first.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
        None => (first, None),
    };
    let Some(table) = own.as_table_mut() else { return false };
    match (rest, index) {
        (None, _) => table.remove(name).is_some(),
        (Some(rest), None) => table.get_mut(name).is_some_and(|inner| leave_out(inner, rest)),
        (Some(rest), Some(index)) => table
            .get_mut(name)
            .and_then(Value::as_array_mut)
            .and_then(|items| items.get_mut(index))
            .is_some_and(|item| leave_out(item, rest)),
    }
}

/// A complaint of the types, in words for people who do not know them.
fn plainly(message: &str) -> String {
    if message == "invalid socket address syntax" {
        return "write an address and a port, such as `127.0.0.1:8080`".into();
    }
    let plain = message.rsplit_once("expected ").and_then(|(before, wanted)| {
        let wanted = match wanted {
            "usize" | "u64" | "u32" => "a whole number, 0 or more",
            "i64" => "a whole number",
            "a boolean" => "`true` or `false`",
            "a string" => "a text in quotes",
            "a sequence" => "a list in brackets",
            _ if wanted.starts_with("struct ") || wanted == "a map" => "a table",
            _ => return None,
        };
        Some(format!("{before}expected {wanted}"))
    });
    plain.unwrap_or_else(|| message.to_owned())
}

fn without_indices(path: &str) -> String {
    path.split('.').map(|step| step.split('[').next().unwrap_or(step)).collect::<Vec<_>>().join(".")
}

/// What is in force: the defaults with the user's settings over them, passwords hidden.
///
/// # Errors
/// As [`Config::load`].
pub fn in_force(file: &Path) -> Result<Table, ConfigError> {
    let (config, source) = Config::load(file)?;
    let own = follow_likes(&source, source.text.parse().unwrap_or_default())?;
    let mut merged = merge(&mut Vec::new(), &defaults(), Some(&Value::Table(own)));
    let store = &config.store;
    let urls = [
        ("url", Some(&store.url)),
        ("owner_url", store.owner_url.as_ref()),
        ("feed_url", store.feed_url.as_ref()),
    ];
    for (name, url) in urls {
        let place = merged.get_mut("store").and_then(Value::as_table_mut);
        if let (Some(store), Some(url)) = (place, url) {
            store.insert(name.to_owned(), Value::String(url.shown()));
        }
    }
    match merged {
        Value::Table(table) => Ok(table),
        _ => Ok(Table::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    const API: &str = "[[api]]\nname = \"orders\"\nrealm = \"orders\"\nupstream = \"http://127.0.0.1:1\"\n";

    fn error(text: &str) -> String {
        Config::parse(Path::new("claviger.toml"), text.to_owned()).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_complete() {
        let (config, _) = Config::parse(
            Path::new("claviger.toml"),
            format!("{API}[[api.route]]\npath=\"/a\"\nresource=\"a\"\n[[api.limit]]\nname=\"a\"\n[[listener]]\naddress=\"127.0.0.1:0\"\n"),
        )
        .unwrap();
        assert_eq!(config.api[0].key_prefix.as_str(), "sk");
        assert_eq!(config.api[0].route[0].methods, ["GET"]);
        assert_eq!(config.server.drain_seconds, 30);
        assert!(config.tls.certificate.is_empty());
    }

    #[test]
    fn an_unknown_setting_names_its_line_and_its_neighbour() {
        assert_eq!(
            error("[server]\ncores = 2\ndrain_second = 5\n"),
            "unknown setting `server.drain_second` in `claviger.toml`, line 3\nhint: did you mean `server.drain_seconds`?"
        );
        assert_eq!(
            error(&format!("{API}upsteam = \"x\"\n")),
            "unknown setting `api.upsteam` in `claviger.toml`, line 5\nhint: did you mean `api.upstream`?"
        );
        assert_eq!(
            error(&format!("{API}\n[[api.route]]\npath = \"/a\"\nresource = \"a\"\nmethod = [\"GET\"]\n")),
            "unknown setting `api.route.method` in `claviger.toml`, line 9\nhint: did you mean `api.route.methods`?"
        );
        assert_eq!(
            error("[servers]\n"),
            "unknown setting `servers` in `claviger.toml`, line 1\nhint: did you mean `server`?"
        );
    }

    #[test]
    fn an_ill_typed_setting_names_its_line() {
        for (text, setting, line) in [
            ("[server]\n\ncores = \"two\"\n".to_owned(), "server.cores", 3),
            (format!("{API}errors = \"html\"\n"), "api[0].errors", 5),
            (format!("{API}paths = 3\n"), "api[0].paths", 5),
            ("[server]\ntrusted_proxies = [\"10.0.0.1/8\"]\n".to_owned(), "server.trusted_proxies", 2),
            ("listener = 3\n".to_owned(), "listener", 1),
            ("[store]\nurl = \"mysql://x\"\n".to_owned(), "store.url", 2),
        ] {
            let error = error(&text);
            assert!(error.contains(&format!("`{setting}`")), "{error}");
            assert!(error.contains(&format!("line {line}")), "{error}");
        }
        assert!(error("a = = 3").contains("not valid TOML"), "{}", error("a = = 3"));
        let error = error("[server]\ncores = -1\n");
        assert!(error.contains("expected a whole number, 0 or more in `claviger.toml`, line 2"), "{error}");
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_with_its_lines_and_without_secrets() {
        let text = "[store]\nurl = \"mysql://rt:hunter2@db\"\npasswrd = \"hunter2\"\n[server]\ncores = \"two\"\n\
                    [[api]]\nname = \"a\"\nrealm = \"a\"\nupstream = \"http://127.0.0.1:1\"\npaths = 3\ncredentials = [\"api-kee\", \"sk_live_0123456789abcdefghijklmnopqrstuvwxyz\"]\n";
        let error = Config::parse(Path::new("claviger.toml"), text.to_owned()).unwrap_err();
        let failure = Failure::from(error);
        for (said, line) in [
            ("store.url", "    2 | url = …"),
            ("unknown setting `store.passwrd`", "    3 | passwrd = …"),
            ("server.cores", "    5 | cores = \"two\""),
            ("api[0].paths", "   10 | paths = 3"),
            ("api[0].credentials[0]", "   11 | credentials = [\"api-kee\", "),
        ] {
            let at = failure.what.find(said).unwrap_or_else(|| panic!("no `{said}` in {}", failure.what));
            let next = failure.what[at..].lines().nth(1).unwrap();
            assert!(next.starts_with(line), "{next}");
        }
        assert_eq!(failure.what.matches("error: ").count(), 4);
        assert!(
            !failure.what.contains("hunter2") && !failure.what.contains("0123456789"),
            "{}",
            failure.what
        );
        // What is missing is told as well, and does not end it.
        let text = "[[listener]]\napi = \"a\"\n[opss]\n";
        let missing = Config::parse(Path::new("claviger.toml"), text.into()).unwrap_err();
        let failure = Failure::from(missing);
        assert!(
            failure.what.contains("`listener[0].address`") && failure.what.contains("`opss`"),
            "{}",
            failure.what
        );
        // What a URL holds beside the host is nobody's to read, wherever it stands.
        let broken =
            Config::parse(Path::new("claviger.toml"), "[store]\nurl = postgres://rt:hunter2@db\n".into());
        let failure = Failure::from(broken.unwrap_err());
        assert!(failure.what.contains("    2 | url = postgres://***@db"), "{}", failure.what);
    }

    #[test]
    fn an_api_can_be_like_another_one() {
        let text = format!(
            "{API}errors = \"error-text\"\n[[api]]\nlike = \"orders\"\nname = \"strict\"\nhosts = [\"b\"]\n"
        );
        let (config, _) = Config::parse(Path::new("claviger.toml"), text).unwrap();
        assert_eq!(config.api[1].name.as_str(), "strict");
        assert_eq!(config.api[1].realm.as_str(), "orders");
        assert_eq!(config.api[1].errors, config.api[0].errors);
        assert!(error(&format!("{API}like = \"nobody\"\n")).contains("line 5"));
    }

    #[test]
    fn passwords_are_hidden() {
        for (url, shown) in [
            ("postgres://rt:hun@ter2@db/claviger", "postgres://rt:***@db/claviger"),
            ("postgres://db/claviger?user=rt&password=hunter2", "postgres://db/claviger?***"),
            ("postgresql://rt@db/claviger", "postgresql://rt@db/claviger"),
        ] {
            let url: StoreUrl = url.parse().unwrap();
            assert_eq!(url.shown(), shown);
            assert!(!format!("{url:?}").contains("ter2"));
        }
    }

    #[test]
    fn the_environment_stands_in_place_of_the_stores_addresses() {
        let parsed = || Config::parse(Path::new("claviger.toml"), "[store]\nurl = \"sqlite:a\"\n".into());
        let (mut config, _) = parsed().unwrap();
        let set = |name: &str| match name {
            "CLAVIGER_STORE_URL" => Some("postgres://rt:hunter2@db/claviger".into()),
            "CLAVIGER_STORE_OWNER_URL" => Some("postgres://owner:hunter2@db/claviger".into()),
            _ => None,
        };
        config.store.take_from_environment(set).unwrap();
        assert_eq!(config.store.url.expose(), "postgres://rt:hunter2@db/claviger");
        assert_eq!(config.store.owner_url.unwrap().expose(), "postgres://owner:hunter2@db/claviger");

        let (mut config, _) = parsed().unwrap();
        config.store.take_from_environment(|_| Some(OsString::new())).unwrap();
        assert_eq!((config.store.url.expose(), config.store.owner_url), ("sqlite:a", None));

        let (mut config, _) = parsed().unwrap();
        let error = config.store.take_from_environment(|_| Some("mysql://u:hunter2@db".into())).unwrap_err();
        assert!(error.to_string().starts_with("the environment variable `CLAVIGER_STORE_URL`"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
