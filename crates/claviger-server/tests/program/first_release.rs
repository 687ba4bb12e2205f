//! Data that the first version has left (`first_release/`: a database of each engine, with its keyring and what is in it)
//! is brought up, and means what it meant.

use std::path::Path;

use serde_json::Value;

use crate::store_faults::postgres::Postgres;
use crate::support::{Folder, Upstream, get, orders, program, run, run_with, serve};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/first_release");

fn take(folder: &Folder, name: &str, to: &str) {
    let to = folder.path(to);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(Path::new(FIXTURE).join(name), &to).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&to, mode).unwrap();
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(FIXTURE).join(name)).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// Each key is what it was, people are where they were, and what is done from now on works.
fn means_what_it_meant(folder: &Folder, about: &Value) {
    let server = serve(folder, "claviger.toml");
    let keys = about["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 6);
    for key in keys {
        let status = get(server.address(), "/a", Some(text(key, "key"))).status;
        assert_eq!(Some(u64::from(status)), key["status"].as_u64(), "the key that is {}", key["is"]);
    }
    let (tenant, org) = (text(about, "tenant"), text(about, "org"));
    let command = |words: &[&str]| {
        let of = ["--tenant", tenant, "--org", org];
        run(folder, &[&["--config", "claviger.toml", "--json"], words, &of].concat()).json()
    };
    let members = command(&["member", "list"]);
    let ann = members.as_array().unwrap().iter().find(|member| member["account_id"] == about["account"]);
    assert_eq!(ann.unwrap()["role"], "EDITOR");
    assert_eq!(members.as_array().unwrap().len(), 2, "one was removed: {members}");
    let listed = command(&["key", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    let made = command(&["key", "create", "--name", "new", "--scope", "admin"]);
    assert_eq!(get(server.address(), "/a", Some(text(&made, "key"))).status, 200);
    // One act ends them all, which the first version could not do.
    let revoked = ["tenant", "revoke-tokens", "--tenant", tenant, "--credentials", "--wait"];
    run(folder, &[&["--config", "claviger.toml", "--json"], &revoked[..]].concat()).json();
    for key in keys.iter().filter(|key| key["status"] == 200) {
        assert_eq!(get(server.address(), "/a", Some(text(key, "key"))).status, 401);
    }
}

#[test]
fn data_of_the_first_release_is_brought_up_on_sqlite() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    take(&folder, "claviger.db", "data/claviger.db");
    take(&folder, "sqlite.keyring.toml", "keyring.toml");
    let store = "[store]\nurl = \"sqlite:data/claviger.db\"\n[keyring]\nfile = \"keyring.toml\"\n";
    folder.write("claviger.toml", &orders(upstream.address, store));
    means_what_it_meant(&folder, &serde_json::from_str(&read("sqlite.json")).unwrap());
}

#[test]
fn data_of_the_first_release_is_brought_up_on_postgres() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    let place = folder.path("");
    std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let postgres = Postgres::new(&place, "a");
    let host = postgres.socket().replace('/', "%2F");
    take(&folder, "postgres.keyring.toml", "keyring.toml");
    let prepare = |database: &str| {
        let store = format!(
            "[store]\nurl = \"postgres:///{database}?user=claviger_rt&host={host}\"\n[keyring]\nfile = \"keyring.toml\"\n"
        );
        folder.write("claviger.toml", &orders(upstream.address, &store));
        let mut command = program(&folder);
        command.args(["--config", "claviger.toml", "--json", "store", "prepare"]);
        command.env("CLAVIGER_STORE_OWNER_URL", format!("postgres:///{database}?user=owner&host={host}"));
        assert_eq!(run_with(command, "").json()["state"], "prepared");
    };
    // The roles are the cluster's.
    postgres.sql("postgres", "CREATE DATABASE other");
    prepare("other");
    postgres.sql("postgres", "CREATE DATABASE claviger");
    let dump = folder.write("dump.sql", &read("postgres.sql")).display().to_string();
    let socket = postgres.socket();
    let restore =
        ["-h", &socket, "-U", "owner", "-d", "claviger", "-v", "ON_ERROR_STOP=1", "-q", "-f", &dump];
    postgres.run("psql", &restore);
    prepare("claviger");
    means_what_it_meant(&folder, &serde_json::from_str(&read("postgres.json")).unwrap());
}
