//! Memory of the process: what a peak took goes back to the system.

/// Bytes at the end of a heap past which they are given back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_THRESHOLD: libc::c_int = 2 << 20;
/// Bytes past which a block is mapped by itself, and goes back as soon as it is freed. Each time its
/// pages are cleared anew: the texts of files, which a replay makes by the thousand, lie in the heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD: libc::c_int = 1 << 20;

/// Has the allocator give back what is freed at the end of its heaps. To be called before any other
/// thread is there.
///
/// By itself, glibc raises the first threshold to twice the largest block that was ever freed, up to
/// 64 MiB for each heap: a daemon that has built its index once would hold that memory for its life.
/// Where one of the two is set, neither is raised (`mallopt(3)`).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt has no safe form")]
pub(super) fn give_back_what_peaks_took() {
    // SAFETY: each takes two numbers and touches the allocator's settings alone; no other thread is
    // there yet that could allocate meanwhile. What it refuses changes nothing.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    }
}

/// Elsewhere the allocator gives memory back by itself, or cannot be told to.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back_what_peaks_took() {}
