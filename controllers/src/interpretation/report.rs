//! What a failed operation says on the binding: a condition of its own for each operation, which goes when the operation succeeds.

use std::collections::BTreeMap;

use crds::{
    conditions::{self, interpretation},
    config::InterpreterOperation,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use runtime::ApiError;

use crate::{
    world::{Bindings, World},
    write,
};

/// The outcome of operations: the error's text, or none. Operations that are not in it were not tried.
pub(crate) type Outcomes = BTreeMap<InterpreterOperation, Option<String>>;

/// One operation's outcome.
pub(crate) fn outcome(operation: InterpreterOperation, error: Option<String>) -> Outcomes {
    BTreeMap::from([(operation, error)])
}

/// Puts outcomes into conditions; returns whether these change.
pub(crate) fn put(
    conditions: &mut Vec<Condition>,
    outcomes: &Outcomes,
    generation: Option<i64>,
    now: &Time,
) -> bool {
    let mut changed = false;
    for (operation, error) in outcomes {
        changed |= interpretation::put(conditions, *operation, error.as_deref(), generation, now);
    }
    changed
}

/// Writes outcomes into the conditions of a binding, if that changes them.
pub(crate) async fn write<B: Bindings>(
    world: &World,
    binding: &B,
    outcomes: &Outcomes,
) -> Result<(), ApiError> {
    // As it is now: a pass takes a while, and others write the status too.
    let key = crds::work::Binding::key(binding);
    let Some(present) = B::store(world).get(&key) else {
        return Ok(());
    };
    let is_told = |operation: &InterpreterOperation| {
        let conditions = present
            .status()
            .map_or(&[][..], |status| &status.conditions);
        conditions::find(conditions, interpretation::type_of(*operation)).is_some()
    };
    if outcomes
        .iter()
        .all(|(operation, error)| error.is_none() && !is_told(operation))
    {
        return Ok(());
    }
    let mut reported = B::clone(&present);
    let now = Time(jiff::Timestamp::now());
    let generation = binding.meta().generation;
    if !put(
        &mut reported.status_mut().conditions,
        outcomes,
        generation,
        &now,
    ) {
        return Ok(());
    }
    let api = B::api(world, key.namespace.as_deref());
    write::update_status(&api, B::store(world), &*present, &reported)
        .await
        .map(drop)
}
