//! Backups: the whole store in one file, which opens with the store's master key, or with the identity of a recovery recipient
//! where the host and its master key are lost. Made from a snapshot of the commit log, so exact and consistent; read and
//! written as a stream, so that the size of a store is no matter of memory.

mod drill;
mod file;
mod restore;
mod shelf;

pub use self::{
    drill::drill,
    file::{Content, Opening},
    restore::{Wanted, new_identity, restore, verify},
    shelf::Shelf,
};
