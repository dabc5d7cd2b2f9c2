// Package spill makes tables of numbers that need no memory of their own: a
// table of 128 kB or more lies in a file without a name below the cache
// folder, mapped, whose pages the system writes back and takes away as it needs.
// Where there is no such folder or no room in it, a table is ordinary memory.
package spill

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Number is what a table can hold: nothing that points to memory.
type Number interface {
	~bool | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int32 | ~int64 | ~float32 | ~float64
}

// least is the bytes from which on a table is a file, most the number of such
// tables: Linux lets a process have 65530 mappings, of everything.
const (
	least = 1 << 17
	most  = 1 << 12
)

// tables are the mapped ones, by their first byte, with what releases them.
var (
	tables sync.Map
	count  atomic.Int32
)

// Make is make([]T, n), for a table that lasts as long as the program, or until Free.
func Make[T Number](n int) []T {
	var zero T
	size := int64(n) * int64(unsafe.Sizeof(zero))
	if size < least {
		return make([]T, n)
	}
	if count.Add(1) > most {
		count.Add(-1)
		return make([]T, n)
	}
	data, unmap, err := mapped(size)
	if err != nil {
		count.Add(-1)
		return make([]T, n)
	}
	tables.Store(&data[0], unmap)
	return unsafe.Slice((*T)(unsafe.Pointer(&data[0])), n)
}

// Free gives a table back, which nothing may use any more. Slices that Make and
// Append did not give are left to the garbage collector.
func Free[T Number](s []T) {
	if cap(s) == 0 {
		return
	}
	if unmap, ok := tables.LoadAndDelete((*byte)(unsafe.Pointer(&s[:1][0]))); ok {
		unmap.(func())()
		count.Add(-1)
	}
}

// Append is append, on a table: where it does not fit, s is given back and must
// not be used again.
func Append[T Number](s []T, values ...T) []T {
	if n := len(s) + len(values); n > cap(s) {
		t := Make[T](max(n, 2*cap(s)))
		copy(t, s)
		t = t[:len(s)]
		Free(s)
		s = t
	}
	return append(s, values...)
}

// Clip moves a table that is complete to a place of its size.
func Clip[T Number](s []T) []T {
	t := Make[T](len(s))
	copy(t, s)
	Free(s)
	return t
}

// folder is where the files are: $WINNOW_CACHE, else winnow in the user's cache folder.
func folder() (string, error) {
	if dir := os.Getenv("WINNOW_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "winnow"), err
}
