//! What the documents name is there: files, links, tests.

use std::path::Path;

use crate::documents::{files, root};

/// The documents that name parts of the code.
fn documents() -> Vec<(String, String)> {
    let root = root();
    let written =
        files(&root, ".md").into_iter().filter(|path| !path.starts_with(root.join("docs/reference")));
    written
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&root).unwrap().display().to_string(), text)
        })
        .collect()
}

/// What stands between backticks, code blocks apart.
fn quoted(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether a word between backticks is the name of a file of the checkout.
fn is_file(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    plain && [".rs", ".sql", ".sh"].iter().any(|ending| word.ends_with(ending)) && word.len() > 4
}

/// Whether a word between backticks is the name of a test: a claim has many words.
fn is_test(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    plain && word.matches('_').count() >= 3
}

#[test]
fn the_files_that_documents_name_are_there() {
    let root = root();
    let known: Vec<String> = [".rs", ".sql", ".sh"]
        .iter()
        .flat_map(|ending| files(&root, ending))
        .map(|path| format!("/{}", path.strip_prefix(&root).unwrap().display()))
        .collect();
    let mut missing = Vec::new();
    for (document, text) in documents() {
        for word in quoted(&text).into_iter().filter(|word| is_file(word)) {
            if !known.iter().any(|file| file.ends_with(&format!("/{word}"))) {
                missing.push(format!("{document}: {word}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_tests_that_documents_name_are_there() {
    let root = root();
    let sources: String = ["crates", "examples"]
        .iter()
        .flat_map(|folder| files(&root.join(folder), ".rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let mut missing = Vec::new();
    for document in ["SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = crate::documents::text(document);
        for word in quoted(&text).into_iter().filter(|word| is_test(word)) {
            let is_there =
                [format!("fn {word}("), format!("{word},"), format!("{word};"), format!("{word} =")];
            if !is_there.iter().any(|form| sources.contains(form.as_str())) {
                missing.push(format!("{document}: {word}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = root();
    let mut broken = Vec::new();
    for (document, text) in documents() {
        let folder = root.join(&document).parent().unwrap_or(Path::new(".")).to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                broken.push(format!("{document}: {target}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn a_page_that_shows_code_shows_what_is_there() {
    let root = root();
    let sources: Vec<String> = files(&root.join("crates"), ".rs")
        .iter()
        .map(|path| lines(&std::fs::read_to_string(path).unwrap()))
        .collect();
    let page = crate::documents::text("docs/adding-a-noun.md");
    let blocks: Vec<&str> =
        page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 4, "the page shows code");
    for block in blocks {
        let shown = lines(block);
        assert!(sources.iter().any(|source| source.contains(&shown)), "nowhere in the sources:\n{block}");
    }
}

/// The lines without what stands before and behind them.
fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}
