//! What every kind of resource means: replicas, health, status, dependencies.
