//! Addresses of Services and Ingresses: all clusters' entries, each address once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Items;
use crate::layer::Options;
use crate::value::{integer, items as list, text};

/// An entry's identity, in the order in which entries are written: with a hostname first, then by hostname, address and
/// mode, a set mode first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Address {
    without_hostname: bool,
    hostname: String,
    ip: String,
    without_mode: bool,
    mode: Option<String>,
}

pub(super) fn of_service(old: &Value, items: Items<'_>, options: Options) -> Map<String, Value> {
    let mut status = with_load_balancer(items, true);
    // The conditions are the control plane's own, for example of its port allocation.
    if let Some(conditions) = old.get("conditions").filter(|_| !options.compat) {
        status.insert("conditions".to_owned(), conditions.clone());
    }
    status
}

pub(super) fn of_ingress(items: Items<'_>) -> Map<String, Value> {
    with_load_balancer(items, false)
}

fn with_load_balancer(items: Items<'_>, with_mode: bool) -> Map<String, Value> {
    let mut addresses: BTreeMap<Address, Vec<Value>> = BTreeMap::new();
    for (_, status) in items.collected() {
        for entry in list(status, &["loadBalancer", "ingress"]) {
            let ports = addresses.entry(address_of(entry, with_mode)).or_default();
            for port in list(entry, &["ports"]) {
                if !ports.contains(port) {
                    ports.push(port.clone());
                }
            }
        }
    }
    let mut load_balancer = Map::new();
    if !addresses.is_empty() {
        let ingress = addresses
            .into_iter()
            .map(|(address, ports)| entry_of(address, ports))
            .collect();
        load_balancer.insert("ingress".to_owned(), Value::Array(ingress));
    }
    Map::from_iter([("loadBalancer".to_owned(), Value::Object(load_balancer))])
}

fn address_of(entry: &Value, with_mode: bool) -> Address {
    let field = |name: &str| text(entry, &[name]).unwrap_or_default().to_owned();
    let mode = text(entry, &["ipMode"])
        .filter(|_| with_mode)
        .map(str::to_owned);
    let hostname = field("hostname");
    Address {
        without_hostname: hostname.is_empty(),
        hostname,
        ip: field("ip"),
        without_mode: mode.is_none(),
        mode,
    }
}

fn entry_of(address: Address, mut ports: Vec<Value>) -> Value {
    let mut entry = Map::new();
    let fields = [
        ("hostname", Some(address.hostname)),
        ("ip", Some(address.ip)),
        ("ipMode", address.mode),
    ];
    for (name, value) in fields {
        if let Some(value) = value.filter(|value| !value.is_empty() || name == "ipMode") {
            entry.insert(name.to_owned(), value.into());
        }
    }
    ports.sort_by_cached_key(|port| {
        let field = |name: &str| text(port, &[name]).map(str::to_owned);
        (
            integer(port, &["port"]),
            field("protocol").unwrap_or_default(),
            field("error"),
        )
    });
    if !ports.is_empty() {
        entry.insert("ports".to_owned(), ports.into());
    }
    Value::Object(entry)
}
