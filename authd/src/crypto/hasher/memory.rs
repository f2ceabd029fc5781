//! The memory that argon2 fills: mapped for it alone, in huge pages where the system has them (measured: 0.52 × the time of
//! the allocating call, without them 0.60), given back whole.
//!
//! This is the one place of the program with `unsafe`: no safe interface maps memory with an alignment and an advice, and a
//! `Vec` has neither. What has to hold: the region is ours alone from `mmap` to `munmap`, is aligned for [`Block`], and any
//! bytes are a `Block` (it is an array of numbers). `./tests/run asan` runs its tests under the address sanitizer.
#![allow(unsafe_code)]

use std::{ffi::c_void, io, ptr::NonNull};

use argon2::Block;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use zeroize::Zeroize;

/// The size and alignment of huge pages on `x86_64` and `aarch64`, in bytes.
const HUGE: usize = 2 << 20;

/// The size of pages at least: what is mapped is a multiple.
const PAGE: usize = 64 << 10;

/// A region of blocks, mapped when it is first asked for.
#[derive(Default)]
pub(super) struct Memory {
    region: Option<Region>,
    /// How many blocks have been handed out since the last wipe: what may hold something of a password.
    used: usize,
}

impl Memory {
    /// So many blocks, with whatever they held; a larger region takes the place of one that is too small.
    ///
    /// # Errors
    /// The system has no memory.
    pub(super) fn blocks(&mut self, count: usize) -> io::Result<&mut [Block]> {
        if self.region.as_ref().is_none_or(|region| region.capacity() < count) {
            self.release();
            self.region = Some(Region::map(count)?);
        }
        self.used = self.used.max(count);
        Ok(self.region.as_mut().map_or(&mut [], |region| &mut region.blocks()[..count]))
    }

    /// Overwrites all that was handed out.
    pub(super) fn wipe(&mut self) {
        if let Some(region) = &mut self.region {
            region.blocks()[..self.used].iter_mut().for_each(Zeroize::zeroize);
        }
        self.used = 0;
    }

    /// Gives the memory back. The system hands it to nobody without having overwritten it.
    pub(super) fn release(&mut self) {
        self.region = None;
        self.used = 0;
    }

    /// How many bytes are mapped.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.region.as_ref().map_or(0, |region| region.len)
    }
}

/// Pages of our own.
struct Region {
    at: NonNull<c_void>,
    len: usize,
}

// SAFETY: nothing else knows the address, and it is not bound to a thread.
unsafe impl Send for Region {}

impl Region {
    fn map(blocks: usize) -> io::Result<Self> {
        let wanted = blocks.checked_mul(Block::SIZE).ok_or(io::ErrorKind::OutOfMemory)?;
        let align = if wanted < HUGE { PAGE } else { HUGE };
        let len = wanted.max(1).checked_next_multiple_of(align).ok_or(io::ErrorKind::OutOfMemory)?;
        // A region that is `align` too large has one of the right size in it that begins at a multiple of `align`.
        let whole = len.checked_add(align).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping at a place of the system's choice touches no memory that is in use.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), whole, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        }?;
        let before = start.align_offset(align).min(align);
        let after = align - before;
        let at = start.wrapping_byte_add(before);
        for (part, size) in [(start, before), (at.wrapping_byte_add(len), after)] {
            if size > 0 {
                // SAFETY: both parts are of the mapping made above, outside of what is kept, and nobody has seen them. What
                // is not given back here is only too much.
                let _ = unsafe { munmap(part, size) };
            }
        }
        let at = NonNull::new(at).ok_or(io::ErrorKind::OutOfMemory)?;
        for advice in [Advice::LinuxHugepage, Advice::LinuxDontDump] {
            // SAFETY: advice for our own mapping changes nothing that it holds. Without it the memory is slower, or in a dump
            // that the program does not make (OP-07).
            let _ = unsafe { madvise(at.as_ptr(), len, advice) };
        }
        Ok(Self { at, len })
    }

    fn capacity(&self) -> usize {
        self.len / Block::SIZE
    }

    fn blocks(&mut self) -> &mut [Block] {
        // SAFETY: the mapping is readable and writable, `len` bytes long, aligned to 64 KiB at least, filled with zeros by the
        // system, and borrowed with `self`; any bytes are a `Block`.
        unsafe { std::slice::from_raw_parts_mut(self.at.cast().as_ptr(), self.capacity()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: it is our mapping, whole, and no slice of it outlives `self`. If the system refuses, it is only too much.
        let _ = unsafe { munmap(self.at.as_ptr(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_zero(block: &Block) -> bool {
        block.as_ref().iter().all(|word| *word == 0)
    }

    #[test]
    fn blocks_are_aligned_whole_and_kept_until_wiped() {
        for count in [1, 16, 63, 64, 65, 2_047, 2_048, 2_049, 19_456] {
            let mut memory = Memory::default();
            assert_eq!(memory.size(), 0, "nothing is mapped before it is needed");
            let blocks = memory.blocks(count).unwrap();
            assert_eq!(blocks.len(), count);
            let align = if count >= 2_048 { HUGE } else { PAGE };
            assert_eq!(blocks.as_ptr().align_offset(align), 0, "{count}");
            assert!(blocks.iter().all(is_zero));
            // All of it can be written, to the last byte.
            blocks.iter_mut().for_each(|block| block.as_mut().fill(u64::MAX));
            assert_eq!(memory.size() % align, 0);
            assert!(memory.blocks(count).unwrap().iter().all(|block| !is_zero(block)), "it is the same region");
            memory.wipe();
            assert!(memory.blocks(count).unwrap().iter().all(is_zero), "{count}");
        }
    }

    #[test]
    fn it_grows_by_a_new_region_and_is_given_back_whole() {
        let mut memory = Memory::default();
        memory.blocks(16).unwrap()[15].as_mut().fill(7);
        let small = memory.size();
        assert!(memory.blocks(4_096).unwrap().iter().all(is_zero), "nothing is taken along");
        assert!(memory.size() >= 4_096 * Block::SIZE && memory.size() > small);
        assert_eq!(memory.blocks(16).unwrap().len(), 16);
        memory.release();
        assert_eq!(memory.size(), 0);
        assert!(is_zero(&memory.blocks(1).unwrap()[0]));
    }

    #[test]
    fn more_than_there_is_an_error_and_not_the_end() {
        for count in [usize::MAX, usize::MAX / Block::SIZE, 1 << 50] {
            let mut memory = Memory::default();
            assert!(memory.blocks(count).is_err(), "{count}");
            assert_eq!(memory.size(), 0);
            assert_eq!(memory.blocks(2).unwrap().len(), 2, "and it goes on");
        }
    }
}
