//! The page in a real browser, and the guide's snippets in its console.

mod chromium;
mod guide;
mod looks;
mod strangers;
mod walk;
