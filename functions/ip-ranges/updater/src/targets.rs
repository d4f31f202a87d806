//! What follows the ranges: security groups, prefix lists, IP sets of AWS WAF.

pub mod ip_sets;
pub mod prefix_lists;
pub mod security_groups;
