//! What a command says: for people by default, JSON on request. Answers go to standard output, everything else
//! to standard error.

use std::io::Write;

use serde_json::Value;

use crate::management::Failure;

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

/// Prints what went wrong and what to do about it.
pub(super) fn failure(failure: &Failure) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "error: {}", failure.what);
    if let Some(hint) = &failure.hint {
        let _ = writeln!(out, "hint: {hint}");
    }
}

fn for_people(value: &Value) -> String {
    match value {
        Value::Array(rows) if rows.is_empty() => "none\n".into(),
        Value::Array(rows) => table(rows),
        Value::Object(members) => {
            let width = members.keys().map(String::len).max().unwrap_or(0);
            members.iter().map(|(name, value)| format!("{name:width$}  {}\n", cell(value))).collect()
        }
        other => format!("{}\n", cell(other)),
    }
}

/// Columns as wide as their widest cell.
fn table(rows: &[Value]) -> String {
    let names: Vec<&String> =
        rows.first().and_then(Value::as_object).map(|row| row.keys().collect()).unwrap_or_default();
    if names.is_empty() {
        return rows.iter().map(|row| format!("{}\n", cell(row))).collect();
    }
    let mut lines: Vec<Vec<String>> = vec![names.iter().map(|name| name.to_uppercase()).collect()];
    lines.extend(
        rows.iter()
            .map(|row| names.iter().map(|name| cell(row.get(*name).unwrap_or(&Value::Null))).collect()),
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
