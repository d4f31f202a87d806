//! Does nothing. Whoever builds an example has Cargo take the features that the tests of the workspace need, too: so the
//! demos, which build this one and no larger one, leave nothing for the tests to compile again.

fn main() {}
