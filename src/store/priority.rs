//! How a thread shares the processor with others.

/// Has the system let other threads come before this one, by so many steps of 19.
#[cfg(target_os = "linux")]
pub(super) fn lower(steps: i32) {
    // On Linux a priority is a thread's own (setpriority(2), C library/kernel differences).
    if let Err(error) = rustix::process::setpriority_process(None, steps) {
        tracing::debug!(%error, "the priority of a thread could not be lowered");
    }
}

/// Elsewhere a priority is that of the whole process.
#[cfg(not(target_os = "linux"))]
pub(super) fn lower(_: i32) {}
