// Package atomicfile writes files that appear whole or not at all, alone and in
// sets, and holds a folder for one process at a time.
//
// Write fills a temporary file beside the target, syncs and renames it. A
// symbolic link at the target is kept: the file it points to is replaced. What
// is no regular file, or is read-only, is refused. Permissions are 0666 less
// the umask, and never more than those of the file that is replaced.
//
// A Folder is held under a lock that the system takes back when its owner dies.
// Its files are written in place, or staged beside a set that is already there
// and then committed: until Commit the old set stays whole.
//
// Temporary names are NAME's own, .NAME.winnow-HEX, and each such file is
// locked while it is written, so that one without an owner is known and removed.
package atomicfile
