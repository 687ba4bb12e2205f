//! `docs/operations/postgres.md`, as it is written.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::postgres::{Postgres, programs, user};
use crate::support::{Folder, run_with};

/// The commands of a document, in their order.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_guide_to_postgres_works_as_written() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations/postgres.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let blocks = blocks(&guide);
    assert_eq!(blocks.len(), 5);
    let folder = Folder::new();
    std::fs::set_permissions(folder.path(""), PermissionsExt::from_mode(0o777)).unwrap();
    let mut primary = Postgres::new(&folder.path(""), "a");
    let standby = Postgres::place(&folder.path(""), "b");
    folder.write("claviger.toml", "");
    let tools = programs();
    // What the reader's service manager does.
    let manage = format!(
        "start_standby() {{ '{0}/postgres' -D \"$B/data\" -k \"$B\" -c listen_addresses= >\"$B/log\" 2>&1 &
             until pg_isready -q -h \"$B\"; do sleep 0.05; done; }}
         stop_primary() {{ '{0}/pg_ctl' -D \"$A/data\" -m fast -w stop; }}
         stop_standby() {{ '{0}/pg_ctl' -D \"$B/data\" -m immediate -w stop; }}
         trap stop_standby EXIT",
        tools.display()
    );
    let script = format!("set -euo pipefail\n{manage}\n{}", blocks.join("\n"));
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(folder.path(""));
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap();
    command.env("PATH", format!("{}:{}:/usr/bin:/bin", program.display(), tools.display()));
    command.env("A", primary.socket()).env("B", standby.socket());
    command.env_remove("CLAVIGER_STORE_URL").env_remove("CLAVIGER_STORE_OWNER_URL");
    if let Some((uid, gid)) = user() {
        std::os::unix::process::CommandExt::uid(&mut command, uid);
        std::os::unix::process::CommandExt::gid(&mut command, gid);
    }
    let outcome = run_with(command, "");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.out.contains("accepted"), "{outcome:?}");
    primary.is_stopped();
}
