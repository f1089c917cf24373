//! Objects from files, directories, URLs and standard input.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use crds::config::ResourceInterpreterCustomization;
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

/// An object, and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Sourced<T> {
    pub(crate) source: String,
    pub(crate) object: T,
}

/// The customizations in these places. Lists count as what they hold.
pub(crate) fn customizations(
    names: &[String],
    recursive: bool,
) -> Result<Vec<Sourced<ResourceInterpreterCustomization>>, Failure> {
    let mut found = Vec::new();
    for name in names {
        for (source, text) in texts(name, recursive)? {
            for document in documents::<Value>(&source, &text)? {
                collect(&source, document, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn collect(
    source: &str,
    document: Value,
    found: &mut Vec<Sourced<ResourceInterpreterCustomization>>,
) -> Result<(), Failure> {
    let kind = document
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if kind == "List" || kind == "ResourceInterpreterCustomizationList" {
        let items = document.get("items").and_then(Value::as_array).cloned();
        for item in items.unwrap_or_default() {
            collect(source, item, found)?;
        }
        return Ok(());
    }
    if kind != "ResourceInterpreterCustomization" {
        return Err(Failure::new(format!(
            "{source}: kind {kind:?} is not ResourceInterpreterCustomization"
        )));
    }
    let object = serde_json::from_value(document)
        .map_err(|error| Failure::new(format!("{source}: {error}")))?;
    found.push(Sourced {
        source: source.to_owned(),
        object,
    });
    Ok(())
}

/// The one object in a file.
pub(crate) fn object(path: &Path) -> Result<Value, Failure> {
    let source = path.display().to_string();
    let mut documents = documents::<Value>(&source, &read(path)?)?;
    match documents.pop() {
        Some(object) if documents.is_empty() && object.is_object() => Ok(object),
        _ => Err(Failure::new(format!("{source}: not exactly one object"))),
    }
}

/// Every document of a file.
pub(crate) fn list<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Failure> {
    documents(&path.display().to_string(), &read(path)?)
}

fn documents<T: DeserializeOwned>(source: &str, text: &str) -> Result<Vec<T>, Failure> {
    let parsed = serde_saphyr::from_multiple::<Option<T>>(text)
        .map_err(|error| Failure::new(format!("{source}: {error}")))?;
    Ok(parsed.into_iter().flatten().collect())
}

fn read(path: &Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// What is found under a name: file by file.
fn texts(name: &str, recursive: bool) -> Result<Vec<(String, String)>, Failure> {
    if name.starts_with("http://") || name.starts_with("https://") {
        return Ok(vec![(name.to_owned(), fetch(name)?)]);
    }
    let path = Path::new(name);
    if !path.is_dir() {
        return Ok(vec![(name.to_owned(), read(path)?)]);
    }
    let mut files = Vec::new();
    files_in(path, recursive, &mut files)?;
    files.sort();
    files
        .iter()
        .map(|file| Ok((file.display().to_string(), read(file)?)))
        .collect()
}

fn files_in(folder: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path
            .extension()
            .and_then(|it| it.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if recursive {
                files_in(&path, recursive, files)?;
            }
        } else if ["yaml", "yml", "json"].contains(&extension) {
            files.push(path);
        }
    }
    Ok(())
}

fn fetch(url: &str) -> Result<String, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(format!("{url}: {error}"));
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
        .build()?;
    runtime.block_on(async {
        let client = Client::try_from(Config::new(base)).map_err(|error| failed(&error))?;
        client
            .request_text(request)
            .await
            .map_err(|error| failed(&error))
    })
}
