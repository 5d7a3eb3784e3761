//! placeholder
pub mod diagnostic;
pub mod document;
pub mod file;
pub mod hook_command;
pub mod latency;
pub mod load;
pub mod profiles;
pub mod read;
pub mod schema;
pub mod set;
pub mod source;
pub mod suggest;
pub mod tree;
pub mod values;
