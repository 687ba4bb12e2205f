//! `docs/reference/config.md`, from the file that holds the defaults: what stands above a setting describes it.

use std::fmt::Write;

use crate::documents::{compare, text};

const DEFAULTS: &str = "crates/claviger-server/src/config/config.default.toml";

/// A table of the settings.
struct Section {
    name: String,
    description: String,
    rows: Vec<Row>,
}

/// Settings that share a description.
struct Row {
    settings: Vec<(String, String)>,
    description: String,
}

/// The introduction, and the tables.
fn read(defaults: &str) -> (String, Vec<Section>) {
    let (mut introduction, mut comment) = (String::new(), String::new());
    let mut sections: Vec<Section> = Vec::new();
    for line in defaults.lines() {
        if let Some(said) = line.strip_prefix('#') {
            comment = format!("{comment} {}", said.trim()).trim().to_owned();
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let description = std::mem::take(&mut comment);
            sections.push(Section { name: name.to_owned(), description, rows: Vec::new() });
        } else if let Some((name, value)) = line.split_once('=') {
            let rows = &mut sections.last_mut().expect("a setting stands in a table").rows;
            let setting = (name.trim().to_owned(), value.trim().to_owned());
            match (std::mem::take(&mut comment), rows.last_mut()) {
                (said, Some(row)) if said.is_empty() => row.settings.push(setting),
                (description, _) => rows.push(Row { settings: vec![setting], description }),
            }
        } else if sections.is_empty() && !comment.is_empty() {
            introduction = std::mem::take(&mut comment);
        }
    }
    (introduction, sections)
}

/// The names of the tables that are lists, which the introduction names.
fn lists(introduction: &str) -> Vec<&str> {
    let named = introduction.split(" are lists").next().unwrap_or_default();
    named.split('[').skip(1).filter_map(|rest| rest.split(']').next()).collect()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn generated() -> String {
    let (introduction, sections) = read(&text(DEFAULTS));
    let lists = lists(&introduction);
    let mut out = format!(
        "# Settings\n\n<!-- Made from `{DEFAULTS}` by `make update`. -->\n\n{introduction}\n\n\
         `claviger config` prints what is in force, `claviger check-config` says whether a server would start with it.\n"
    );
    for Section { name, description, rows } in sections {
        let heading =
            if lists.contains(&name.as_str()) { format!("[[{name}]]") } else { format!("[{name}]") };
        write!(out, "\n## `{heading}`\n").unwrap();
        if !description.is_empty() {
            write!(out, "\n{description}\n").unwrap();
        }
        if !rows.is_empty() {
            out.push_str("\n| setting | default | |\n|---|---|---|\n");
        }
        for Row { settings, description } in rows {
            let column = |which: fn(&(String, String)) -> &str| {
                settings.iter().map(|one| format!("`{}`", cell(which(one)))).collect::<Vec<_>>().join("<br>")
            };
            let (names, values) = (column(|one| &one.0), column(|one| &one.1));
            writeln!(out, "| {names} | {values} | {} |", cell(&description)).unwrap();
        }
    }
    out
}

#[test]
fn the_reference_of_settings_is_what_the_defaults_say() {
    compare("config.md", &generated());
}

#[test]
fn every_setting_has_a_description() {
    let (_, sections) = read(&text(DEFAULTS));
    let described: usize =
        sections.iter().flat_map(|section| &section.rows).map(|row| row.settings.len()).sum();
    // A table without settings is filled by the user, and is one itself.
    let free = sections.iter().filter(|section| section.rows.is_empty()).count();
    let table: toml::Table = text(DEFAULTS).parse().unwrap();
    assert_eq!(described + free, leaves(&table));
    for Section { name, description, rows } in &sections {
        for row in rows {
            assert!(!row.description.is_empty() || !description.is_empty(), "[{name}] {:?}", row.settings);
        }
    }
}

/// How many settings a table has, in all its tables.
fn leaves(table: &toml::Table) -> usize {
    let of = |value: &toml::Value| match value {
        toml::Value::Table(inner) if !inner.is_empty() => leaves(inner),
        _ => 1,
    };
    table.values().map(of).sum()
}
