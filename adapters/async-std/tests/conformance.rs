//! The suite that every runtime has to pass.

adit_driver::conformance!(adit_async_std::AsyncStd);
