//! A library that stands before the C library's flushes: tells what is flushed, and fails on demand.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Home;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int flush(int fd, const char *call) {
    const char *failing = getenv("FLUSH_FAILS"), *file = getenv("FLUSH_FAILS_ONCE_THERE_IS");
    if (failing && file && !strcmp(failing, call) && access(file, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    const char *log = getenv("FLUSH_LOG");
    if (log) {
        char link[64], line[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, line, sizeof line - 1);
        if (length > 0) {
            line[length++] = '\n';
            int out = open(log, O_WRONLY | O_APPEND | O_CREAT, 0600);
            if (write(out, line, length) != length) abort();
            close(out);
        }
    }
    return ((int (*)(int)) dlsym(RTLD_NEXT, call))(fd);
}

int fsync(int fd) { return flush(fd, "fsync"); }
int fdatasync(int fd) { return flush(fd, "fdatasync"); }
"#;

/// The library, built by the compiler that Rust itself links with.
pub(crate) struct FlushShim {
    library: PathBuf,
    log: PathBuf,
    failing: PathBuf,
}

impl FlushShim {
    /// Builds it in a home.
    pub(crate) fn build(home: &Home) -> Self {
        let inside = |name| home.path().join(name);
        let (source, library) = (inside("flush.c"), inside("flush.so"));
        std::fs::write(&source, SOURCE).expect("a file");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
            .expect("cc runs");
        assert!(built.success());
        Self { library, log: inside("flushed.log"), failing: inside("flushes-fail") }
    }

    /// Puts it before the C library's in a command.
    pub(crate) fn stand_before(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FLUSH_LOG", &self.log);
    }

    /// Makes one of the calls, `fsync` or `fdatasync`, fail in a command once `fail` was called.
    pub(crate) fn prepare_failure(&self, command: &mut Command, call: &str) {
        command.env("FLUSH_FAILS", call).env("FLUSH_FAILS_ONCE_THERE_IS", &self.failing);
    }

    /// From now on the prepared call fails.
    pub(crate) fn fail(&self) {
        std::fs::write(&self.failing, "").expect("a file");
    }

    /// What was flushed, in order.
    pub(crate) fn flushed(&self) -> Vec<PathBuf> {
        let log = std::fs::read_to_string(&self.log).expect("something was flushed");
        log.lines().map(|line| Path::new(line).to_owned()).collect()
    }
}
