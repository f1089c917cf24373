//! The rules that the components of a template have to meet, whichever layer they come from.

use std::collections::BTreeSet;

use crds::work::Component;

use crate::error::Cause;

/// Characters of a component's name, by the schema of bindings.
const MAX_NAME: usize = 32;

/// Checks all components of an answer: a binding can only hold them when they have names of their own that are short enough.
pub(crate) fn check(components: &[Component]) -> Result<(), Cause> {
    let mut names = BTreeSet::new();
    for (position, Component { name, replicas, .. }) in components.iter().enumerate() {
        let problem = if name.is_empty() {
            "name: empty; every component needs one".to_owned()
        } else if name.chars().count() > MAX_NAME {
            format!("name: {name:?} is longer than {MAX_NAME} characters")
        } else if !names.insert(name) {
            format!("name: there is another component named {name:?}")
        } else if *replicas < 0 {
            format!("replicas: {replicas} is less than 0")
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
                Some("components[1].name: empty; every component needs one".to_owned()),
            ),
            (
                &[&*long],
                Some(format!(
                    "components[0].name: {long:?} is longer than 32 characters"
                )),
            ),
            (
                &["a", "b", "a"],
                Some("components[2].name: there is another component named \"a\"".to_owned()),
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
        let fewer = Component {
            name: "a".to_owned(),
            replicas: -1,
            ..Component::default()
        };
        let answer = check(&[fewer]).err().map(|cause| cause.to_string());
        let problem = "components[0].replicas: -1 is less than 0";
        assert_eq!(answer.as_deref(), Some(problem));
    }
}
