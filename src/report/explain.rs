//! x
pub struct Question;
pub fn explain() {}
