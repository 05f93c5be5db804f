//! One organisation's Hedgerow node.

<<<<<<< HEAD
pub mod store;
=======
pub mod net;
>>>>>>> net
