//! Real API servers, etcd and kwok on loopback, for navarch local, tests and benches.
