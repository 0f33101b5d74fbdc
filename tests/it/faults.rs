//! What can break around a sidecar: a table of every fault that was thought of with the test that provokes it, and the
//! tests of those that have no better home.

mod link;
mod machine;
mod table;
