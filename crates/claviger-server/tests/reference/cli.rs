//! `docs/reference/cli.md`, from the program's own help.

use std::fmt::Write;
use std::process::Command;

use crate::documents::compare;

/// What the program says to `--help` after `words`.
fn help(words: &[String]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_claviger")).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "`claviger {} --help` fails", words.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

fn describe(words: &[String], out: &mut String) {
    let said = help(words);
    let name = format!("claviger {}", words.join(" "));
    write!(
        out,
        "\n{} `{}`\n\n```text\n{}\n```\n",
        "#".repeat(words.len().min(2) + 2),
        name.trim(),
        said.trim_end()
    )
    .unwrap();
    for command in commands(&said) {
        let mut words = words.to_vec();
        words.push(command);
        describe(&words, out);
    }
}

#[test]
fn the_reference_of_commands_is_what_the_program_says() {
    let mut out = "# Commands\n\n<!-- Made from `claviger --help` by `make update`. -->\n\n\
        A noun, then a verb. Exit codes: 0 done, 1 not done, 2 not understood.\n"
        .to_owned();
    describe(&[], &mut out);
    let out: Vec<&str> = out.lines().map(str::trim_end).collect();
    compare("cli.md", &(out.join("\n") + "\n"));
}
