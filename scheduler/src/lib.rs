//! Which clusters get a workload, and how many replicas.
