//! What the threads of this process share the ledger by: the standard library's, or, with the feature `shuttle`, one whose
//! every step the tests of [`super::shuttled`] put into every order.

#[cfg(not(all(test, feature = "shuttle")))]
pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic};

#[cfg(all(test, feature = "shuttle"))]
pub(super) use shuttle::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic};
