//! Tests of the tracker. Go: tracker/inflights_test.go, progress_test.go.

mod inflights;
mod progress;
mod tracker;
