//! The rules that the components of a template have to meet, whichever layer they come from.

use std::collections::BTreeSet;

use crds::work::Component;

use crate::error::Cause;

/// Characters of a component's name, by the schema of bindings.
const MAX_NAME: usize = 32;

/// Checks all components of an answer: a binding can only hold them when they have names of their own that are short enough.
pub(crate) fn check(components: &[Component]) -> Result<(), Cause> {
    let mut names = BTreeSet::new();
    for (position, Component { name, .. }) in components.iter().enumerate() {
        let problem = if name.is_empty() {
            "the name is empty".to_owned()
        } else if name.chars().count() > MAX_NAME {
            format!("the name {name:?} is longer than {MAX_NAME} characters")
        } else if !names.insert(name) {
            format!("there is another one named {name:?}")
        } else {
            continue;
        };
        return Err(Cause::Component { position, problem });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_have_short_names_of_their_own() {
        let (just, long) = ("x".repeat(32), "x".repeat(33));
        for (names, problem) in [
            (&["a", "b", &just][..], None),
            (
                &["a", ""],
                Some("component 1: the name is empty".to_owned()),
            ),
            (
                &[&*long],
                Some(format!(
                    "component 0: the name {long:?} is longer than 32 characters"
                )),
            ),
            (
                &["a", "b", "a"],
                Some("component 2: there is another one named \"a\"".to_owned()),
            ),
        ] {
            let component = |name: &&str| Component {
                name: (*name).to_owned(),
                ..Component::default()
            };
            let components: Vec<_> = names.iter().map(component).collect();
            let answer = check(&components).err().map(|cause| cause.to_string());
            assert_eq!(answer, problem, "{names:?}");
        }
    }
}
