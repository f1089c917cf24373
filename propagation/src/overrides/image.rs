//! Image references and the change that one image overrider makes to them.

use std::fmt;
use std::sync::LazyLock;

use crds::policy::{ImageComponent, OverriderOperator};
use regex::Regex;

/// An image reference taken apart as `[registry/]repository[:tag][@digest]`. A digest beside a tag is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    registry: String,
    repository: String,
    tag: String,
    digest: String,
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("repository name must have at least one component")]
    Empty,
    #[error("repository name must be lowercase")]
    UpperCase,
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    #[error("invalid reference format")]
    Malformed,
}

/// A value that is neither a tag nor a digest, which leaves the image as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is neither a tag nor a digest, the image stays as it is")]
pub struct NeitherTagNorDigest {
    pub value: String,
}

const TAG: &str = r"[0-9A-Za-z_][0-9A-Za-z_.\-]{0,127}";
const DIGEST: &str = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[[:xdigit:]]{32,}";
const NAME: &str = concat!(
    r"(?:(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*",
    r"|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?",
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*",
);

static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| regex(&format!("^({NAME})(?::({TAG}))?(?:@({DIGEST}))?$")));
static WHOLE_TAG: LazyLock<Regex> = LazyLock::new(|| regex(&format!("^{TAG}$")));
static WHOLE_DIGEST: LazyLock<Regex> = LazyLock::new(|| regex(&format!("^{DIGEST}$")));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns are constants that the tests compile")
}

impl Image {
    /// Takes a reference apart. The part before the first slash is the registry if it looks like a host.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let Some(parts) = REFERENCE.captures(text) else {
            return Err(if text.is_empty() {
                ImageError::Empty
            } else if REFERENCE.is_match(&text.to_lowercase()) {
                ImageError::UpperCase
            } else {
                ImageError::Malformed
            });
        };
        let part = |index| parts.get(index).map_or("", |found| found.as_str());
        let name = part(1);
        if name.len() > 255 {
            return Err(ImageError::TooLong);
        }
        let (registry, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => ("", name),
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: part(2).to_owned(),
            digest: part(3).to_owned(),
        })
    }

    /// Applies one overrider. An error leaves the image unchanged and is for the record: the rule goes on without effect.
    pub fn override_component(
        &mut self,
        component: ImageComponent,
        operator: OverriderOperator,
        value: &str,
    ) -> Result<(), NeitherTagNorDigest> {
        match component {
            ImageComponent::Registry => change(&mut self.registry, operator, value),
            ImageComponent::Repository => change(&mut self.repository, operator, value),
            ImageComponent::Tag => match operator {
                OverriderOperator::Add => {
                    let text = format!(
                        "{}{value}",
                        if self.tag.is_empty() {
                            &self.digest
                        } else {
                            &self.tag
                        }
                    );
                    return self.set_tag_or_digest(text);
                }
                OverriderOperator::Replace => return self.set_tag_or_digest(value.to_owned()),
                OverriderOperator::Remove if self.tag.is_empty() => self.digest.clear(),
                // A digest beside the tag stays: it names the content, the tag was only a comment on it.
                OverriderOperator::Remove => self.tag.clear(),
            },
        }
        Ok(())
    }

    fn set_tag_or_digest(&mut self, text: String) -> Result<(), NeitherTagNorDigest> {
        if WHOLE_TAG.is_match(&text) {
            self.tag = text;
            self.digest.clear();
        } else if WHOLE_DIGEST.is_match(&text) {
            self.digest = text;
            self.tag.clear();
        } else {
            return Err(NeitherTagNorDigest { value: text });
        }
        Ok(())
    }
}

fn change(part: &mut String, operator: OverriderOperator, value: &str) {
    match operator {
        OverriderOperator::Add => part.push_str(value),
        OverriderOperator::Replace => value.clone_into(part),
        OverriderOperator::Remove => part.clear(),
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.registry.is_empty() {
            write!(f, "{}/", self.registry)?;
        }
        f.write_str(&self.repository)?;
        if !self.tag.is_empty() {
            write!(f, ":{}", self.tag)?;
        }
        if !self.digest.is_empty() {
            write!(f, "@{}", self.digest)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ImageComponent::{Registry, Repository, Tag};
    use OverriderOperator::{Add, Remove, Replace};

    const SHA: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn references_are_split_and_printed() {
        for (text, registry, repository, tag, digest) in [
            ("nginx", "", "nginx", "", ""),
            ("nginx:1.27", "", "nginx", "1.27", ""),
            ("library/nginx", "", "library/nginx", "", ""),
            ("localhost/nginx", "localhost", "nginx", "", ""),
            ("r.example.com/a/b:v1", "r.example.com", "a/b", "v1", ""),
            ("r:5000/a", "r:5000", "a", "", ""),
            ("[::1]:5000/a", "[::1]:5000", "a", "", ""),
            ("a__b/c--d.e", "", "a__b/c--d.e", "", ""),
            (&format!("nginx@{SHA}"), "", "nginx", "", SHA),
            (&format!("nginx:1@{SHA}"), "", "nginx", "1", SHA),
        ] {
            let image = Image::parse(text).unwrap();
            assert_eq!(
                (
                    &*image.registry,
                    &*image.repository,
                    &*image.tag,
                    &*image.digest
                ),
                (registry, repository, tag, digest)
            );
            assert_eq!(image.to_string(), text);
        }
        for (text, error) in [
            ("", ImageError::Empty),
            ("Nginx", ImageError::UpperCase),
            ("r.example.com/Nginx:v1", ImageError::UpperCase),
            (":v1", ImageError::Malformed),
            ("nginx:", ImageError::Malformed),
            ("nginx@sha256:12", ImageError::Malformed),
            ("a//b", ImageError::Malformed),
            ("a b", ImageError::Malformed),
            (&format!("r.io/{}", "a".repeat(251)), ImageError::TooLong),
        ] {
            assert_eq!(Image::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn components_are_overridden() {
        let both = format!("r.io/a:1@{SHA}");
        for (text, component, operator, value, expected) in [
            ("r.io/a:1", Registry, Replace, "s.io", "s.io/a:1".to_owned()),
            ("a:1", Registry, Replace, "s.io", "s.io/a:1".to_owned()),
            ("r.io/a:1", Registry, Add, ":443", "r.io:443/a:1".to_owned()),
            ("r.io/a:1", Registry, Remove, "", "a:1".to_owned()),
            (
                "r.io/a:1",
                Repository,
                Replace,
                "b/c",
                "r.io/b/c:1".to_owned(),
            ),
            ("r.io/a:1", Repository, Add, "/c", "r.io/a/c:1".to_owned()),
            ("r.io/a:1", Tag, Replace, "2", "r.io/a:2".to_owned()),
            ("r.io/a:1", Tag, Add, "-x", "r.io/a:1-x".to_owned()),
            ("r.io/a", Tag, Add, "-x", "r.io/a".to_owned()),
            ("r.io/a:1", Tag, Replace, SHA, format!("r.io/a@{SHA}")),
            ("r.io/a:1", Tag, Remove, "", "r.io/a".to_owned()),
            ("r.io/a:1", Tag, Replace, "not a tag", "r.io/a:1".to_owned()),
            (&both, Tag, Replace, "2", "r.io/a:2".to_owned()),
            (&both, Tag, Remove, "", format!("r.io/a@{SHA}")),
            (&both, Registry, Replace, "s.io", format!("s.io/a:1@{SHA}")),
        ] {
            let mut image = Image::parse(text).unwrap();
            let _ = image.override_component(component, operator, value);
            assert_eq!(
                image.to_string(),
                expected,
                "{text} {component:?} {operator:?} {value}"
            );
        }
        let mut image = Image::parse("a:1").unwrap();
        assert!(image.override_component(Tag, Replace, "no tag").is_err());
    }
}
