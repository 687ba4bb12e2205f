//! What a command says: for people by default, JSON on request. Answers go to standard output, everything else
//! to standard error.

use std::io::Write;

use serde_json::Value;

use crate::failure::Failure;
use crate::redact::redact_words;

/// Prints an answer. A reader that has gone away is no error of ours.
pub(super) fn value(value: &Value, json: bool) {
    let text = if json { format!("{value:#}\n") } else { for_people(value) };
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line for people to standard output.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Tells a person at the terminal something that is no answer.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints what is wrong with a command line, without a key or a token that stands on it.
pub(super) fn usage(said: &str) {
    let _ = write!(std::io::stderr().lock(), "{}", redact_words(said));
}

/// Prints what went wrong and what to do about it.
pub(super) fn failure(failure: &Failure) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "error: {}", redact_words(&failure.to_string()));
    if let Some(hint) = &failure.hint {
        let _ = writeln!(out, "hint: {}", redact_words(hint));
    }
}

fn for_people(value: &Value) -> String {
    match value {
        Value::Array(rows) if rows.is_empty() => "none\n".into(),
        Value::Array(rows) => table(rows),
        Value::Object(members) => {
            let width = members.keys().map(String::len).max().unwrap_or(0);
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by_key(|name| (rank(name), *name));
            let value = |name: &String| members.get(name).map(cell).unwrap_or_default();
            names.iter().map(|name| format!("{name:width$}  {}\n", value(name))).collect()
        }
        other => format!("{}\n", cell(other)),
    }
}

/// Columns as wide as their widest cell.
fn table(rows: &[Value]) -> String {
    let mut names: Vec<&String> =
        rows.first().and_then(Value::as_object).map(|row| row.keys().collect()).unwrap_or_default();
    names.sort_by_key(|name| (rank(name), *name));
    if names.is_empty() {
        return rows.iter().map(|row| format!("{}\n", cell(row))).collect();
    }
    let mut lines: Vec<Vec<String>> = vec![names.iter().map(|name| name.to_uppercase()).collect()];
    lines.extend(
        rows.iter()
            .map(|row| names.iter().map(|name| short(row.get(*name).unwrap_or(&Value::Null))).collect()),
    );
    let width =
        |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let line = |line: &Vec<String>| {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

/// What people look for first stands first: the id and the name; times stand last.
fn rank(name: &str) -> u8 {
    match name {
        "key_id" | "account_id" | "tenant_id" | "kid" => 0,
        "org_id" => 1,
        "name" | "email" => 2,
        _ if name.ends_with("_at") => 4,
        _ => 3,
    }
}

/// A cell of a table: of things with parts of their own, only how many.
fn short(value: &Value) -> String {
    match value {
        Value::Array(items) if items.iter().any(Value::is_object) => items.len().to_string(),
        _ => cell(value),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| format!("{name}={}", cell(value)))
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_begin_with_the_id_and_end_with_times() {
        let rows = [
            json!({"created_at": "2026", "name": "a", "key_id": "key_1", "secrets": [{"last_four": "x"}], "networks": null}),
            json!({"created_at": "2026", "name": "longer", "key_id": "key_2", "secrets": [], "networks": ["::1/128"]}),
        ];
        assert_eq!(
            table(&rows),
            "KEY_ID  NAME    NETWORKS  SECRETS  CREATED_AT\n\
             key_1   a       -         1        2026\n\
             key_2   longer  ::1/128            2026\n"
        );
        assert_eq!(for_people(&json!({"b": 1, "tenant_id": "t"})), "tenant_id  t\nb          1\n");
        assert_eq!(for_people(&json!([])), "none\n");
    }
}
