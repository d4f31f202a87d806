//! What the three functions for AMIs agree on. This crate is no function.
//!
//! | module | what it holds |
//! |---|---|
//! | [`image`] | an image: Region and AMI id, as in the parameter `images` of the Automation document |
//! | [`target`] | who receives an image: accounts, organizations, organizational units |
//! | [`effects`] | what is done with an approved image besides sharing it |
//! | [`execution`] | what Systems Manager says about an approval: images, receivers, effects, votes, state |
//! | [`role`] | a role among the approvers |
//! | [`link`] | the signed link in the approvers' mail |
//! | [`watermark`] | the AMI watermark that means "approved" |
//! | [`text`] | names that others chose, fit for a mail or a page |

pub mod effects;
pub mod execution;
pub mod image;
pub mod link;
pub mod role;
pub mod target;
pub mod text;
pub mod watermark;
