//! What a server does not start with. Each time: one error that names the thing, nothing written over.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Folder, Outcome, orders, program, run, run_with, serve};

/// The settings most cases differ from in one thing.
fn settings(more: &str) -> String {
    orders("127.0.0.1:1", more)
}

fn refused(folder: &Folder, text: &str) -> Outcome {
    folder.write("claviger.toml", text);
    let before = folder.contents();
    let outcome = run(folder, &["serve"]);
    assert_eq!(folder.contents(), before, "something was written: {outcome:?}");
    outcome
}

#[test]
fn settings_that_cannot_be_served_name_their_place() {
    let folder = Folder::new();
    let with = |from: &str, to: &str| settings("").replace(from, to);
    for (text, error, hint) in [
        ("[server\n".to_owned(), "not valid TOML: ", ""),
        (
            settings("[sever]\n"),
            "unknown setting `sever` in `claviger.toml`, line 3",
            "did you mean `server`?",
        ),
        (settings("[server]\ncorse = 1\n"), "`server.corse` in `claviger.toml`, line 4", "`server.cores`?"),
        (settings("[server]\ncores = \"two\"\n"), "`server.cores`: ", ""),
        (
            settings("[server]\ncores = \"two\"\n"),
            "expected a whole number, 0 or more in `claviger.toml`, line 4",
            "",
        ),
        (settings("[store]\nurl = \"mysql://u:hunter2@db\"\n"), "`store.url`: a store is ", ""),
        (
            with("http://127.0.0.1:1", "nowhere"),
            "`api[0].upstream`: `nowhere` is not an upstream; write `http://",
            "",
        ),
        (with("http://127.0.0.1:1", "http://a/path"), "`http://a/path` is not an upstream", ""),
        (
            with("[[listener]]\n", "[[listener]]\napi = \"nope\"\n"),
            "`listener[0].api`: there is no API called `nope`",
            "",
        ),
        (
            with("[[listener]]\n", "[[listener]]\ntls = true\n"),
            "`listener[0].tls`: there is no `[[tls.certificate]]`",
            "",
        ),
        (
            with(
                "[[api]]",
                "[[listener]]\naddress = \"127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n[[api]]",
            ),
            "`listener[2].address`: `127.0.0.1:1` is another listener's",
            "",
        ),
        (with("\"127.0.0.1:0\"\n[[api]]", "\"127.0.0.1\"\n[[api]]"), "write an address and a port", ""),
        (
            "[ops]\naddress = \"127.0.0.1:0\"\n".to_owned(),
            "`claviger.toml` have nothing to serve",
            "[[listener]]",
        ),
        (
            settings("[log]\naccess = \"no/such/place.log\"\n[store]\nurl = \"sqlite:claviger.db\"\n"),
            "cannot open the access log `no/such/place.log` (no such file or directory)",
            "log.access",
        ),
        (settings("[log]\nfilter = \"a=b=c\"\n"), "`log.filter` cannot be read", ""),
        (
            settings("[store]\nurl = \"sqlite:claviger.toml/x/claviger.db\"\n"),
            "data directory `claviger.toml/x` (not a directory)",
            "store.url",
        ),
        (
            settings("[store]\nurl = \"sqlite:/proc/claviger/claviger.db\"\n"),
            "data directory `/proc/claviger`",
            "store.url",
        ),
        (
            settings("[keyring]\nfile = \"claviger.toml/keyring\"\n[store]\nurl = \"sqlite:claviger.db\"\n"),
            "cannot make the keyring `claviger.toml/keyring` (not a directory)",
            "keyring.file",
        ),
        (
            settings("[store]\nurl = \"postgres://u:hunter2@127.0.0.1:1/x\"\n"),
            "the keyring `data/keyring.toml` is missing",
            "`claviger keyring create`",
        ),
        (
            settings(
                "[tls]\n[[tls.certificate]]\ncertificate_file = \"no.pem\"\nkey_file = \"no.key\"\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = true\n",
            ),
            "cannot read `no.pem` (no such file or directory)",
            "",
        ),
    ] {
        let outcome = refused(&folder, &text);
        let (said, cure) = outcome.error();
        assert!(said.contains(error), "wanted {error:?}, got {said:?}");
        assert!(cure.unwrap_or_default().contains(hint), "wanted {hint:?}: {outcome:?}");
        assert!(!outcome.err.contains("hunter2"), "{outcome:?}");
    }
    let (said, hint) = run(&folder, &["--config", "no.toml", "serve"]).error();
    assert_eq!(said, "cannot read the settings (no such file or directory) in `no.toml`");
    assert!(hint.unwrap().contains("--config"));
}

#[test]
fn a_taken_port_is_found_before_anything_is_written() {
    let folder = Folder::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    for place in ["[[listener]]\naddress = \"127.0.0.1:0\"", "[ops]\naddress = \"127.0.0.1:0\""] {
        let text = settings("").replace(place, &place.replace("127.0.0.1:0", &taken));
        let (said, _) = refused(&folder, &text).error();
        assert!(said.contains(&format!("cannot listen on `{taken}`: the port is taken")), "{said}");
    }
    assert!(!folder.path("data").exists());
}

#[test]
fn a_store_goes_with_its_own_keyring_and_one_server() {
    let folder = Folder::new();
    let text = settings("[store]\nurl = \"sqlite:data/claviger.db\"\n");
    folder.write("claviger.toml", &text);
    let mut server = serve(&folder, "claviger.toml");

    // A second server, on ports of its own.
    let (said, hint) = run(&folder, &["serve"]).error();
    assert!(said.contains("claviger.lock") && said.contains("another process"), "{said}");
    assert!(hint.unwrap().contains("stop it first"));
    server.process.signal(rustix::process::Signal::TERM);
    assert_eq!(server.process.wait().code(), Some(0));

    let keyring = folder.path("data/keyring.toml");
    let own = std::fs::read(&keyring).unwrap();
    std::fs::set_permissions(&keyring, PermissionsExt::from_mode(0o644)).unwrap();
    let (said, _) = refused(&folder, &text).error();
    assert!(
        said.contains("`data/keyring.toml` may be read by others") && said.contains("`chmod 600` it"),
        "{said}"
    );

    std::fs::remove_file(&keyring).unwrap();
    let (said, hint) = refused(&folder, &text).error();
    assert_eq!(said, "the keyring `data/keyring.toml` is missing, and the store is not new");
    assert!(hint.unwrap().contains("put the keyring back"));

    // The keyring of another store.
    let other = Folder::new();
    other.write("claviger.toml", &text);
    drop(serve(&other, "claviger.toml"));
    std::fs::copy(other.path("data/keyring.toml"), &keyring).unwrap();
    let (said, hint) = refused(&folder, &text).error();
    assert!(said.starts_with("the keyring is not this store's"), "{said}");
    assert!(hint.unwrap().contains("`data/keyring.toml`"));

    std::fs::write(&keyring, "nonsense").unwrap();
    let (said, _) = refused(&folder, &text).error();
    assert_eq!(said, "`data/keyring.toml` is not a keyring of this version");

    // With its own it goes on.
    std::fs::write(&keyring, own).unwrap();
    drop(serve(&folder, "claviger.toml"));
}

#[test]
fn the_environment_stands_in_place_of_the_store_and_is_not_shown() {
    let folder = Folder::new();
    folder.write("claviger.toml", &settings(""));
    let with = |url: &str, arguments: &[&str]| {
        let mut command = program(&folder);
        command.env("CLAVIGER_STORE_URL", url).args(arguments);
        run_with(command, "")
    };
    let shown = with("postgres://rt:hunter2@127.0.0.1:1/x", &["config"]);
    assert!(shown.out.contains("url = \"postgres://rt:***@127.0.0.1:1/x\""), "{shown:?}");
    let shown = with("postgres://rt:hunter2@127.0.0.1:1/x", &["--json", "config"]).json();
    assert_eq!(shown["store"]["url"], "postgres://rt:***@127.0.0.1:1/x");
    let (said, hint) = with("postgres://rt:hunter2@127.0.0.1:1/x", &["serve"]).error();
    assert_eq!(said, "the keyring `data/keyring.toml` is missing");
    assert!(hint.unwrap().contains("`claviger keyring create`"));
    assert_eq!(run(&folder, &["keyring", "create"]).code, Some(0));
    let unreachable = with("postgres://rt:hunter2@127.0.0.1:1/x", &["serve"]);
    let (said, hint) = unreachable.error();
    assert!(said.starts_with("cannot connect to postgres"), "{said}");
    assert!(hint.unwrap().contains("`postgres://rt:***@127.0.0.1:1/x`"));
    let unusable = with("mysql://rt:hunter2@127.0.0.1:1/x", &["serve"]);
    let (said, _) = unusable.error();
    assert!(said.starts_with("the environment variable `CLAVIGER_STORE_URL` cannot be used"), "{said}");
    assert!(!unreachable.err.contains("hunter2") && !unusable.err.contains("hunter2"));
    assert_eq!(with("sqlite:elsewhere/claviger.db", &["tenant", "list", "--realm", "orders"]).code, Some(0));
    assert!(folder.path("elsewhere/claviger.db").exists());
    assert!(!folder.path("data/claviger.db").exists());
}
