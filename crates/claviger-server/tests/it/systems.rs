//! Every command of `docs/systems.md` prints what the page says, before the running demonstration.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use claviger::random::SystemRandom;
use claviger_server::clock::MachineClock;
use claviger_server::demo::{Demo, Place};
use claviger_server::world::World;
use claviger_store::testing::Folder;

/// The commands of the page with what it says they print, and the heading each is under.
fn commands(page: &str) -> Vec<(String, String, String)> {
    let (mut commands, mut heading, mut command) = (Vec::new(), String::new(), None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            assert!(command.is_none(), "a command under `{heading}` has nothing that it prints");
            heading = line.trim_start_matches(['#', ' ']).to_owned();
        } else if line == "```sh" || line == "```text" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match (line, command.take()) {
                ("```sh", None) => command = Some(block.join("\n")),
                ("```text", Some(command)) => commands.push((heading.clone(), command, block.join("\n"))),
                _ => panic!("under `{heading}` a command and what it prints do not alternate"),
            }
        }
    }
    commands
}

#[test]
fn every_command_of_the_page_prints_what_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/systems.md");
    let page = std::fs::read_to_string(page).unwrap();
    let commands = commands(&page);
    for row in [
        "q01", "q02", "q03", "q04", "q05", "q06", "q07", "q10", "q11", "q13", "q15", "q18", "q19", "q20",
        "q22", "q24", "q25", "q26", "a01", "a03", "a04", "a05", "a06", "a07", "a11", "a13", "a14", "a18",
        "c01", "c02", "c03", "c04", "c06", "c08", "c10",
    ] {
        assert!(commands.iter().any(|(heading, ..)| heading == row), "`{row}` has no command");
    }

    let folder = Folder::make();
    let place = Place { data: folder.path().to_owned(), port_base: 0, env_file: None };
    let world = World { clock: MachineClock::new(), random: Arc::new(SystemRandom), is_demo: true };
    let demo = Demo::start(&place, &world).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap().display().to_string();
    let mut wrong = Vec::new();
    for (heading, command, expected) in &commands {
        let script = format!(". \"$ENV_FILE\"\nPATH=\"$PROGRAM:$PATH\"\n{command}");
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).env("ENV_FILE", demo.env_file()).env("PROGRAM", &program);
        let output = bash.env("NO_PROXY", "*").env("no_proxy", "*").output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        if printed.trim_end() != expected {
            let said = String::from_utf8_lossy(&output.stderr);
            wrong.push(format!("{heading}:\n{command}\nprinted {printed:?} {said}\nexpected {expected:?}"));
        }
    }
    demo.stop();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
