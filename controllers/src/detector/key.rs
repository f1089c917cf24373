//! Names a template among all kinds.

use std::fmt;

use crds::{
    object::{Gvk, Key},
    work::ObjectReference,
};
use propagation::matching;

use crate::world::template_of;

/// Kind and name of a template; what the detector's queue holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateKey {
    pub gvk: Gvk,
    pub key: Key,
}

impl TemplateKey {
    /// The template of a binding.
    pub fn of_binding(resource: &ObjectReference) -> Self {
        let (gvk, key) = template_of(resource);
        Self { gvk, key }
    }

    pub fn namespace(&self) -> Option<&str> {
        self.key.namespace.as_deref()
    }
}

/// `Deployment demo/web (apps/v1)`.
impl fmt::Display for TemplateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} ({})",
            self.gvk.kind,
            self.key,
            self.gvk.api_version()
        )
    }
}

impl From<&TemplateKey> for matching::TemplateKey {
    fn from(key: &TemplateKey) -> Self {
        Self {
            api_version: key.gvk.api_version(),
            kind: key.gvk.kind.clone(),
            namespace: key.key.namespace.clone().unwrap_or_default(),
            name: key.key.name.clone(),
        }
    }
}

impl From<matching::TemplateKey> for TemplateKey {
    fn from(key: matching::TemplateKey) -> Self {
        Self {
            gvk: Gvk::parse(&key.api_version, &key.kind),
            key: Key::new(&key.namespace, &key.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_waiting_list() {
        for (api_version, kind, namespace, name, text) in [
            (
                "apps/v1",
                "Deployment",
                "demo",
                "web",
                "Deployment demo/web (apps/v1)",
            ),
            ("v1", "Namespace", "", "demo", "Namespace demo (v1)"),
        ] {
            let key = TemplateKey {
                gvk: Gvk::parse(api_version, kind),
                key: Key::new(namespace, name),
            };
            assert_eq!(key.to_string(), text);
            assert_eq!(TemplateKey::from(matching::TemplateKey::from(&key)), key);
        }
    }
}
