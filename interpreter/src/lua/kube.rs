//! The library `kube`: what scripts need to know of Kubernetes.

use mlua::{Lua, MultiValue, Table, Value as LuaValue};
use serde_json::Value;

use super::convert::{Reader, Root, kind_of, to_lua};
use super::state::RunState;
use crate::native::{PodReferences, requirements};
use crate::quantity::Quantity;
use crate::schema::{self, TypeName};
use crate::value::set;

pub(super) fn library(lua: &Lua, state: &RunState) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let own = state.clone();
    library.set(
        "resourceAdd",
        lua.create_function(move |lua, terms: MultiValue| {
            own.charge(text_bytes(&terms))?;
            resource_add(lua, &terms)
        })?,
    )?;
    let own = state.clone();
    library.set(
        "getResourceQuantity",
        lua.create_function(move |_, arguments: MultiValue| {
            own.charge(text_bytes(&arguments))?;
            resource_quantity(&arguments)
        })?,
    )?;
    let own = state.clone();
    let requirements = lua.create_function(move |lua, arguments: MultiValue| {
        pod_requirements(lua, &arguments, &own)
    })?;
    library.set("accuratePodRequirements", requirements)?;
    let own = state.clone();
    let dependencies = lua.create_function(move |lua, arguments: MultiValue| {
        pod_dependencies(lua, &arguments, &own)
    })?;
    library.set("getPodDependencies", dependencies)?;
    Ok(library)
}

fn failed<T>(message: impl Into<String>) -> mlua::Result<T> {
    Err(mlua::Error::RuntimeError(message.into()))
}

/// Bytes of the texts among arguments.
pub(super) fn text_bytes(arguments: &MultiValue) -> usize {
    let text = |value: &LuaValue| match value {
        LuaValue::String(text) => text.as_bytes().len(),
        _ => 0,
    };
    arguments.iter().map(text).sum()
}

fn quantity(value: &LuaValue, function: &str) -> mlua::Result<Quantity> {
    match value {
        LuaValue::Nil => Ok(Quantity::default()),
        LuaValue::String(text) => text
            .to_string_lossy()
            .parse()
            .map_err(|error| mlua::Error::RuntimeError(format!("{function}: {error}"))),
        other => failed(format!(
            "{function}: expected a string, found {}",
            kind_of(other)
        )),
    }
}

fn resource_add(lua: &Lua, terms: &MultiValue) -> mlua::Result<LuaValue> {
    let sum: Quantity = terms
        .iter()
        .map(|term| quantity(term, "resourceAdd"))
        .sum::<mlua::Result<_>>()?;
    lua.create_string(sum.to_string()).map(LuaValue::String)
}

fn resource_quantity(arguments: &MultiValue) -> mlua::Result<f64> {
    if arguments.len() != 1 {
        return failed("getResourceQuantity takes one argument");
    }
    let quantity = quantity(&arguments[0], "getResourceQuantity")?;
    if quantity.is_negative() {
        failed("getResourceQuantity: the quantity is negative")
    } else {
        Ok(quantity.to_f64())
    }
}

/// The pod template as JSON, checked. Empty members are dropped on the way.
fn pod_template(value: &LuaValue, function: &str, state: &RunState) -> mlua::Result<Value> {
    state.charge(0)?;
    if !value.is_table() {
        return failed(format!(
            "{function}: expected a table, found {}",
            kind_of(value)
        ));
    }
    let read = Reader::new(None, &[])
        .shared()
        .charged(state)
        .root(value, Root::Object);
    let template =
        read.map_err(|problem| mlua::Error::RuntimeError(format!("{function}: {problem}")))?;
    match schema::check(TypeName::PodTemplateSpec, &template) {
        Ok(()) => Ok(template),
        Err(mismatch) => failed(format!("{function}: {mismatch}")),
    }
}

fn pod_requirements(lua: &Lua, arguments: &MultiValue, state: &RunState) -> mlua::Result<LuaValue> {
    const NAME: &str = "accuratePodRequirements";
    if arguments.len() != 1 {
        return failed(format!("{NAME} takes one argument"));
    }
    let template = pod_template(&arguments[0], NAME, state)?;
    let requirements =
        set(&template, &["spec"]).and_then(|spec| requirements::of_pod(spec, state.options()));
    let Some(requirements) = requirements else {
        return Ok(LuaValue::Nil);
    };
    let requirements = serde_json::to_value(requirements).map_err(mlua::Error::external)?;
    to_lua(lua, &requirements, None)
}

fn pod_dependencies(lua: &Lua, arguments: &MultiValue, state: &RunState) -> mlua::Result<LuaValue> {
    const NAME: &str = "getPodDependencies";
    if arguments.len() != 2 {
        return failed(format!("{NAME} takes two arguments"));
    }
    let template = pod_template(&arguments[0], NAME, state)?;
    let namespace = match &arguments[1] {
        // The object may be cluster-scoped, so a namespace is not made up.
        LuaValue::Nil => state.options().compat.then(|| "default".to_owned()),
        LuaValue::String(namespace) => Some(namespace.to_string_lossy()),
        #[expect(
            clippy::cast_precision_loss,
            reason = "all numbers of the dialect are floats"
        )]
        LuaValue::Integer(number) => Some(super::number::print(*number as f64)),
        LuaValue::Number(number) => Some(super::number::print(*number)),
        other => {
            return failed(format!(
                "{NAME}: expected a namespace, found {}",
                kind_of(other)
            ));
        }
    };
    let references = set(&template, &["spec"])
        .map(PodReferences::of)
        .unwrap_or_default();
    let references = references.into_references(namespace.as_deref());
    if references.is_empty() {
        return Ok(LuaValue::Nil);
    }
    let references = serde_json::to_value(references).map_err(mlua::Error::external)?;
    to_lua(lua, &references, None)
}
