//! Objects from files, directories, URLs and standard input.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use crds::{config::ResourceInterpreterCustomization, work::AggregatedStatusItem};
use interpreter::{Mismatch, check::Severity, document};
use kube::{Client, Config};
use serde_json::Value;

use super::yaml::{self, Node};
use crate::failure::Failure;

const KIND: &str = ResourceInterpreterCustomization::KIND;

/// A document that is meant to be a customization.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) source: String,
    /// Its place in the file, where the file has several: `document 2`.
    pub(crate) place: Option<String>,
    /// None when the file cannot be read.
    pub(crate) name: Option<String>,
    /// The line of the name.
    line: u64,
    pub(crate) faults: Vec<Fault>,
    /// None when it cannot be read as a customization.
    pub(crate) object: Option<ResourceInterpreterCustomization>,
}

/// Something that is wrong with a document or file.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) line: Option<u64>,
    pub(crate) severity: Severity,
    pub(crate) message: String,
}

impl Fault {
    fn error(line: Option<u64>, message: impl Into<String>) -> Self {
        Self {
            line,
            severity: Severity::Error,
            message: message.into(),
        }
    }
}

impl Document {
    fn unreadable(source: String, problem: String) -> Self {
        Self {
            source,
            place: None,
            name: None,
            line: 0,
            faults: vec![Fault::error(None, problem)],
            object: None,
        }
    }

    /// The file, and which object in it.
    pub(crate) fn label(&self) -> String {
        let Self {
            source,
            place,
            name,
            ..
        } = self;
        let Some(name) = name else {
            return source.clone();
        };
        match place {
            Some(place) => format!("{source}, {place} ({KIND} {name:?})"),
            None => format!("{source} ({KIND} {name:?})"),
        }
    }
}

/// What there is in some places.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) documents: Vec<Document>,
    /// What was left out, a line for each file.
    pub(crate) skipped: Vec<String>,
}

impl Found {
    /// The customizations, when all of them can be read; and what the API server would drop of them.
    pub(crate) fn sound(
        self,
    ) -> Result<(Vec<ResourceInterpreterCustomization>, Vec<String>), Failure> {
        let (mut sound, mut warnings) = (Vec::new(), Vec::new());
        for document in self.documents {
            let label = document.label();
            for fault in &document.faults {
                let line = fault
                    .line
                    .map_or_else(String::new, |line| format!(", line {line}"));
                let text = format!("{label}{line}: {}", fault.message);
                match fault.severity {
                    Severity::Error => return Err(Failure::new(text)),
                    Severity::Warning => warnings.push(text),
                }
            }
            sound.extend(document.object);
        }
        Ok((sound, warnings))
    }
}

/// Looks for customizations in files, directories and URLs. Lists count as what they hold; what is no customization is left
/// out, but a file that the user names has to hold one. A file that cannot be read counts as a document with that fault.
pub(crate) fn find(names: &[String], recursive: bool) -> Result<Found, Failure> {
    let mut found = Found::default();
    for name in names {
        let is_folder = Path::new(name).is_dir();
        for (source, text) in texts(name, recursive) {
            let documents = match text.and_then(|text| yaml::documents(&text)) {
                Ok(documents) => documents,
                Err(problem) => {
                    found.documents.push(Document::unreadable(source, problem));
                    continue;
                }
            };
            let before = found.documents.len();
            let mut others = Vec::new();
            let is_only = documents.len() == 1;
            for (number, node) in (1..).zip(documents) {
                let place = (!is_only).then(|| format!("document {number}"));
                collect(&source, place, node, &mut found.documents, &mut others);
            }
            let has_some = found.documents.len() > before;
            if !has_some && !is_folder {
                return Err(no_customization(&source, &others));
            }
            if !others.is_empty() || !has_some {
                found.skipped.push(skipped(&source, has_some, &others));
            }
        }
    }
    if found.documents.is_empty() && !names.is_empty() {
        let hint = if recursive {
            "name files or directories with customizations"
        } else {
            "name files with customizations, or look into the directories below with -R"
        };
        return Err(Failure::new(format!("no {KIND} in {}", names.join(", "))).with_hint(hint));
    }
    tell_names_apart(&mut found.documents);
    Ok(found)
}

/// A server keeps one customization of a name.
fn tell_names_apart(documents: &mut [Document]) {
    for position in 1..documents.len() {
        let (before, rest) = documents.split_at_mut(position);
        let document = &mut rest[0];
        let Some(name) = document.name.as_deref().filter(|name| !name.is_empty()) else {
            continue;
        };
        let mut others = before.iter();
        if let Some(other) = others.find(|other| other.name.as_deref() == Some(name)) {
            let message = format!(
                "metadata.name: {} has this name as well, and on a server the one would replace the other; give each its own",
                other.label()
            );
            document
                .faults
                .push(Fault::error(Some(document.line), message));
        }
    }
}

fn no_customization(source: &str, others: &[String]) -> Failure {
    let message = if others.is_empty() {
        format!("{source}: there is no {KIND} in it: the file is empty")
    } else {
        format!("{source}: there is no {KIND} in it, but {}", kinds(others))
    };
    Failure::new(message).with_hint(
        "-f takes customizations; objects to try them on go with --desired-file or --observed-file",
    )
}

fn skipped(source: &str, has_some: bool, others: &[String]) -> String {
    match (has_some, others.len()) {
        (_, 0) => format!("{source}: skipped, it is empty"),
        (false, _) => format!(
            "{source}: skipped, it holds no {KIND}, but {}",
            kinds(others)
        ),
        (true, 1) => format!(
            "{source}: skipped a document that is no {KIND}: {}",
            kinds(others)
        ),
        (true, many) => format!(
            "{source}: skipped {many} documents that are no {KIND}: {}",
            kinds(others)
        ),
    }
}

fn kinds(kinds: &[String]) -> String {
    let kinds: BTreeSet<&str> = kinds.iter().map(String::as_str).collect();
    kinds.into_iter().collect::<Vec<_>>().join(", ")
}

fn collect(
    source: &str,
    place: Option<String>,
    node: Node,
    found: &mut Vec<Document>,
    others: &mut Vec<String>,
) {
    let value = node.value();
    let text = |pointer: &str| {
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let kind = text("/kind");
    if kind == "List" || kind == "ResourceInterpreterCustomizationList" {
        for (position, item) in node.into_items("items").into_iter().enumerate() {
            let place = match &place {
                Some(place) => format!("{place}, items[{position}]"),
                None => format!("items[{position}]"),
            };
            collect(source, Some(place), item, found, others);
        }
        return;
    }
    if kind != KIND {
        others.push(if kind.is_empty() {
            "a document without kind".to_owned()
        } else {
            kind
        });
        return;
    }
    let problems = document::problems_of_customization(&value).into_iter();
    let mut faults: Vec<_> = problems
        .map(|problem| Fault {
            line: Some(node.line_of(&problem.mismatch.path)),
            severity: problem.severity,
            message: told(&problem.mismatch),
        })
        .collect();
    let name = Some(text("/metadata/name"));
    let object = match document::customization(value) {
        Ok(object) => Some(object),
        Err(mismatch) => {
            let fault = Fault::error(Some(node.line()), told(&mismatch));
            if faults.iter().all(|it| it.message != fault.message) {
                faults.push(fault);
            }
            None
        }
    };
    found.push(Document {
        source: source.to_owned(),
        place,
        name,
        line: node.line_of("metadata.name"),
        faults,
        object,
    });
}

/// The one object in a file.
pub(crate) fn object(path: &Path) -> Result<Value, Failure> {
    let source = path.display();
    let failed = |problem: String| Failure::new(format!("{source}: {problem}"));
    let text = read(path).map_err(failed)?;
    let documents = yaml::documents(&text).map_err(failed)?;
    let [node] = &documents[..] else {
        return Err(failed(match documents.len() {
            0 => "the file is empty; it has to hold one object".to_owned(),
            many => format!("the file holds {many} documents; it has to hold one object"),
        }));
    };
    let object = node.value();
    if !object.is_object() {
        return Err(failed(format!(
            "line {}: expected an object, such as one that `kubectl get -o yaml` prints",
            node.line()
        )));
    }
    match document::problem_of_kind(&object) {
        Some(mismatch) => Err(failed(mismatch.to_string())),
        None => Ok(object),
    }
}

/// What does not fit, and what YAML makes of texts such as `n` and `1`.
fn told(mismatch: &Mismatch) -> String {
    let is_plain = ["a boolean", "a number"]
        .iter()
        .any(|found| mismatch.problem == format!("expected a string, found {found}"));
    let remedy = if is_plain { "; quote it" } else { "" };
    format!("{mismatch}{remedy}")
}

/// What is known of an object in clusters, each document of a file being one cluster's.
pub(crate) fn status_items(path: &Path) -> Result<Vec<AggregatedStatusItem>, Failure> {
    let source = path.display();
    let failed = |problem: String| Failure::new(format!("{source}{problem}"));
    let documents = read(path).and_then(|text| yaml::documents(&text));
    let documents = documents.map_err(|problem| failed(format!(": {problem}")))?;
    let item = |(number, node): (usize, &Node)| {
        let value = node.value();
        let place = format!(", document {number} (AggregatedStatusItem)");
        if !value.is_object() {
            let line = node.line();
            let problem =
                "each document is an AggregatedStatusItem, an object with clusterName and status";
            let hint = "write one after the other with lines of `---` in between";
            return Err(failed(format!("{place}, line {line}: {problem}")).with_hint(hint));
        }
        document::status_item(value).map_err(|mismatch: Mismatch| {
            let line = node.line_of(&mismatch.path);
            failed(format!("{place}, line {line}: {}", told(&mismatch)))
        })
    };
    (1..).zip(&documents).map(item).collect()
}

fn read(path: &Path) -> Result<String, String> {
    let read = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    read.map_err(|error| match error.kind() {
        ErrorKind::InvalidData => "no text in UTF-8".to_owned(),
        _ => error.to_string(),
    })
}

/// What is found under a name: file by file, each with its text, or why it cannot be read.
fn texts(name: &str, recursive: bool) -> Vec<(String, Result<String, String>)> {
    if name.starts_with("http://") || name.starts_with("https://") {
        return vec![(name.to_owned(), fetch(name))];
    }
    let path = Path::new(name);
    if !path.is_dir() {
        return vec![(name.to_owned(), read(path))];
    }
    let mut files = BTreeMap::new();
    files_in(path, recursive, &mut files);
    let text = |(path, listed): (PathBuf, Result<(), String>)| {
        let text = listed.and_then(|()| read(&path));
        (path.display().to_string(), text)
    };
    files.into_iter().map(text).collect()
}

/// The files in a folder, and below it the folders that cannot be listed.
fn files_in(folder: &Path, recursive: bool, files: &mut BTreeMap<PathBuf, Result<(), String>>) {
    let listed = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = match listed {
        Ok(entries) => entries,
        Err(error) => {
            files.insert(folder.to_owned(), Err(error.to_string()));
            return;
        }
    };
    for entry in entries {
        let path = entry.path();
        let extension = path
            .extension()
            .and_then(|it| it.to_str())
            .unwrap_or_default();
        // Links to folders are not followed: they can lead in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if recursive {
                files_in(&path, recursive, files);
            }
        } else if ["yaml", "yml", "json"].contains(&extension) && !path.is_dir() {
            files.insert(path, Ok(()));
        }
    }
}

fn fetch(url: &str) -> Result<String, String> {
    let failed = |error: &dyn std::error::Error| error.to_string();
    let uri: http::Uri = url
        .parse()
        .map_err(|error: http::uri::InvalidUri| failed(&error))?;
    let mut base = http::uri::Parts::default();
    base.scheme = uri.scheme().cloned();
    base.authority = uri.authority().cloned();
    base.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let base = http::Uri::from_parts(base).map_err(|error| failed(&error))?;
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    runtime.block_on(async {
        let client = Client::try_from(Config::new(base)).map_err(|error| failed(&error))?;
        client
            .request_text(request)
            .await
            .map_err(|error| failed(&error))
    })
}
