//! Stores, queues, member clients, events and metrics that the reconcilers stand on.
