//! The calls to AWS: how they are made, counted and given up, and those to EC2.

pub mod caller;
pub mod calls;
pub mod ec2;
