package files

import (
	"bytes"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const canOpenBeneath = true

// openBeneath opens a regular file below a folder by the kernel's own rule that
// links do not leave it (openat2, Linux 5.6). Where it is not ok, os.Root is to be asked.
func openBeneath(dir *os.File, name []byte) (fd int, size int64, ok bool) {
	var path [512]byte // ends in zero
	if len(name) == 0 || len(name) >= len(path) || bytes.IndexByte(name, 0) >= 0 {
		return 0, 0, false
	}
	copy(path[:], name)
	how := unix.OpenHow{Flags: uint64(readOnly | unix.O_CLOEXEC | unix.O_NOCTTY), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	r, _, errno := unix.Syscall6(unix.SYS_OPENAT2, dir.Fd(), uintptr(unsafe.Pointer(&path[0])), uintptr(unsafe.Pointer(&how)), unix.SizeofOpenHow, 0, 0)
	if errno != 0 {
		return 0, 0, false
	}
	fd = int(r)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		closeBeneath(fd)
		return 0, 0, false
	}
	return fd, st.Size, true
}

func readFull(fd int, dst []byte) error {
	for len(dst) > 0 {
		n, err := unix.Read(fd, dst)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return &os.PathError{Op: "read", Err: err}
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			dst = dst[n:]
		}
	}
	return nil
}

func closeBeneath(fd int) { _ = unix.Close(fd) } // only read
