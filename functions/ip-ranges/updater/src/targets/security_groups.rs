//! Security groups, for each VPC, service and port as many as needed.

pub mod aws_lists;
pub mod group;
pub mod interfaces;
pub mod pool;
