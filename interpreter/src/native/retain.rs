//! What stays of a member's object when the control plane writes its own over it.
//!
//! The generic part (resource version, finalizers, owners, labels and annotations) is the writer's and comes before.

use std::collections::BTreeSet;

use crds::keys;
use serde_json::Value;

use super::Kind;
use crate::error::Cause;
use crate::layer::Options;
use crate::value::{
    put, remove, strict, strict_integer, strict_list, strict_text, strict_text_map,
};

pub(super) fn retain(
    kind: Kind,
    mut desired: Value,
    observed: &Value,
    options: Options,
) -> Result<Value, Cause> {
    match kind {
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet => {
            retain_replicas(&mut desired, observed)?;
        }
        Kind::Pod => {
            kind.decode(&desired)?;
            kind.decode(observed)?;
            retain_pod(&mut desired, observed)?;
        }
        Kind::Service => retain_service(&mut desired, observed, options)?,
        Kind::ServiceAccount => {
            for field in ["secrets", "imagePullSecrets"] {
                retain_references(&mut desired, observed, field, options)?;
            }
        }
        Kind::PersistentVolumeClaim => {
            let path = &["spec", "volumeName"];
            if let Some(name) = strict_text(observed, path)?.filter(|name| !name.is_empty()) {
                put(&mut desired, path, name.into())?;
            }
        }
        Kind::PersistentVolume => {
            let path = &["spec", "claimRef"];
            if let Some(claim) = strict(observed, path)? {
                put(&mut desired, path, claim.clone())?;
            }
        }
        Kind::Job => {
            for path in [
                &["spec", "selector", "matchLabels"][..],
                &["spec", "template", "metadata", "labels"],
            ] {
                retain_map(&mut desired, observed, path)?;
            }
        }
        Kind::Secret => {
            if strict_text(&desired, &["type"])? == Some("kubernetes.io/service-account-token") {
                retain_map(&mut desired, observed, &["data"])?;
            }
        }
        _ => return Err(Cause::NoHook),
    }
    Ok(desired)
}

/// Somebody in the member, such as an autoscaler, owns the replicas when the desired object says so. The label
/// is read from the desired object alone, after overrides: what a member's user writes there does not take replicas out
/// of the control plane's hands.
fn retain_replicas(desired: &mut Value, observed: &Value) -> Result<(), Cause> {
    let labels = strict_text_map(desired, &["metadata", "labels"])?;
    let label = labels
        .and_then(|labels| labels.get(keys::RETAIN_REPLICAS))
        .and_then(Value::as_str);
    if label != Some("true") {
        return Ok(());
    }
    let path = &["spec", "replicas"];
    let replicas = strict_integer(observed, path)?
        .ok_or_else(|| Cause::field(path, "is missing in the member"))?;
    put(desired, path, replicas.into())
}

fn retain_pod(desired: &mut Value, observed: &Value) -> Result<(), Cause> {
    for field in ["nodeName", "serviceAccountName", "volumes"] {
        copy_or_remove(desired, observed, &["spec", field])?;
    }
    for field in ["containers", "initContainers"] {
        let path = &["spec", field];
        let named = |container: &Value| {
            container
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        for observed in strict(observed, path)?
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let name = named(observed);
            let containers = desired
                .pointer_mut(&format!("/spec/{field}"))
                .and_then(Value::as_array_mut);
            if let Some(container) = containers
                .into_iter()
                .flatten()
                .find(|container| named(container) == name)
            {
                copy_or_remove(container, observed, &["volumeMounts"])?;
            }
        }
    }
    Ok(())
}

fn copy_or_remove(desired: &mut Value, observed: &Value, path: &[&str]) -> Result<(), Cause> {
    if let Some(value) = strict(observed, path)?.filter(|value| !value.is_null()) {
        return put(desired, path, value.clone());
    }
    remove(desired, path);
    Ok(())
}

fn retain_service(desired: &mut Value, observed: &Value, options: Options) -> Result<(), Cause> {
    let path = &["spec", "healthCheckNodePort"];
    if let Some(port) = strict_integer(observed, path)?.filter(|port| *port > 0) {
        put(desired, path, port.into())?;
    }
    let path = &["spec", "clusterIP"];
    let Some(address) = strict_text(observed, path)?.filter(|address| !address.is_empty()) else {
        return if options.compat {
            Ok(())
        } else {
            retain_node_ports(desired, observed)
        };
    };
    put(desired, path, address.into())?;
    if !options.compat {
        let path = &["spec", "clusterIPs"];
        if let Some(addresses) = strict_list(observed, path)? {
            put(desired, path, addresses.into())?;
        }
        retain_node_ports(desired, observed)?;
    }
    Ok(())
}

/// A port that leaves its node port open keeps the one that the member has allocated for it.
fn retain_node_ports(desired: &mut Value, observed: &Value) -> Result<(), Cause> {
    let kind = desired.pointer("/spec/type").and_then(Value::as_str);
    if !matches!(kind, Some("NodePort" | "LoadBalancer")) {
        // The API server refuses a node port of any other type.
        return Ok(());
    }
    let observed = strict_list(observed, &["spec", "ports"])?.unwrap_or_default();
    let same = |left: &Value, right: &Value| {
        let protocol = |port: &Value| {
            port.get("protocol")
                .and_then(Value::as_str)
                .unwrap_or("TCP")
                .to_owned()
        };
        left.get("port") == right.get("port") && protocol(left) == protocol(right)
    };
    let ports = desired
        .pointer_mut("/spec/ports")
        .and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        if port
            .get("nodePort")
            .and_then(Value::as_i64)
            .unwrap_or_default()
            != 0
        {
            continue;
        }
        let allocated = observed
            .iter()
            .find(|other| same(port, other))
            .and_then(|other| other.get("nodePort"));
        if let Some(allocated) = allocated.filter(|it| it.is_i64()) {
            put(port, &["nodePort"], allocated.clone())?;
        }
    }
    Ok(())
}

/// The desired entries, then those of the member with names that did not occur; a member's controllers add tokens there.
fn retain_references(
    desired: &mut Value,
    observed: &Value,
    field: &str,
    options: Options,
) -> Result<(), Cause> {
    let path = &[field];
    let own = strict_list(desired, path)?.unwrap_or_default();
    let others = strict_list(observed, path)?.unwrap_or_default();
    let name = |entry: &Value| entry.get("name").and_then(Value::as_str).map(str::to_owned);
    if options.compat && own.iter().chain(others).any(|entry| name(entry).is_none()) {
        return Err(Cause::field(path, "has an entry without a name"));
    }
    let mut names: BTreeSet<_> = own.iter().filter_map(name).collect();
    let mut united = own.to_vec();
    for entry in others {
        // An entry without a name cannot be told from others, so it is left to the member.
        if name(entry).is_some_and(|name| names.insert(name)) {
            united.push(entry.clone());
        }
    }
    if !united.is_empty() {
        put(desired, path, united.into())
    } else if options.compat {
        put(desired, path, Value::Null)
    } else {
        Ok(())
    }
}

fn retain_map(desired: &mut Value, observed: &Value, path: &[&str]) -> Result<(), Cause> {
    match strict_text_map(observed, path)? {
        Some(map) => put(desired, path, Value::Object(map.clone())),
        None => Ok(()),
    }
}
