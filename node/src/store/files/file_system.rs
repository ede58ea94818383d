//! What the type of a file system says: whether one call makes durable all that was written to it.
//!
//! `syncfs` has the system write back what it holds, and then asks the file system. A type is named here
//! only if all that was written before is durable after that, and what could not be written is an error
//! of the call. All others get an `fsync` for each file and directory:
//!
//! - Drivers in user space (FUSE) and servers that speak SMB are not told of it.
//! - An overlay does not hand on that the file system below it could not write back.
//! - ZFS says that all is well when its pool is suspended, F2FS after a checkpoint that failed or when it
//!   makes none, and bcachefs where it is told not to flush.
//! - FAT, exFAT, NTFS and HFS+ are seldom the place of so many small files that it would matter.

/// ext2, ext3 and ext4.
const EXT: u32 = 0xef53;
const BTRFS: u32 = 0x9123_683e;
/// Its server has made names durable when it answers, and syncing commits what was written.
const NFS: u32 = 0x6969;
/// Nothing of it is ever durable, and no call changes that.
const TMPFS: u32 = 0x0102_1994;
const XFS: u32 = 0x5846_5342;

/// Whether syncing a file system of this type, as `statfs` says it, is worth as much as syncing each file
/// and directory of it.
pub(super) fn is_synced_whole(file_system: u32) -> bool {
    matches!(file_system, BTRFS | EXT | NFS | TMPFS | XFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_that_are_known_to_sync_as_a_whole_do() {
        for (file_system, expected) in [
            (0xef53, true),       // ext4
            (0x5846_5342, true),  // XFS
            (0x9123_683e, true),  // Btrfs
            (0x6969, true),       // NFS
            (0x0102_1994, true),  // tmpfs
            (0x6573_5546, false), // FUSE
            (0xff53_4d42, false), // SMB, by its driver's older name
            (0xfe53_4d42, false), // SMB 2
            (0x794c_7630, false), // overlay
            (0x2fc1_2fc1, false), // ZFS
            (0xf2f5_2010, false), // F2FS
            (0xca45_1a4e, false), // bcachefs
            (0x4d44, false),      // FAT
            (0x2011_bab0, false), // exFAT
            (0x0102_1997, false), // 9P
            (0, false),
        ] {
            assert_eq!(is_synced_whole(file_system), expected, "{file_system:#x}");
        }
    }
}
