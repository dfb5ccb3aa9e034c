//! Client for the OpenStack services that disaster recovery needs.

pub mod transport;
