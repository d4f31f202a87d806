//! The calls to AWS: how they are made, counted and given up, and those to EC2.

pub(crate) mod caller;
pub(crate) mod calls;
pub(crate) mod ec2;
