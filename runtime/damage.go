package runtime

import (
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"io"
	goruntime "runtime"

	"winnow/internal/files"
	"winnow/runtime/install"
)

// checkLibrary looks at a library before it is loaded, since a damaged one can
// end the process: an installed one by its checksum, one from elsewhere by its
// kind, machine and length.
func checkLibrary(path string) error {
	if known, err := install.Check(path); known || err != nil {
		return err
	}
	f, size, err := files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if goruntime.GOOS == "darwin" {
		return checkMachO(f, size)
	}
	return checkELF(f, size)
}

var elfMachines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

func checkELF(r io.ReaderAt, size int64) error {
	f, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("no shared library: %w", err)
	}
	defer f.Close()
	if want, ok := elfMachines[goruntime.GOARCH]; ok && f.Machine != want || f.Type != elf.ET_DYN {
		return fmt.Errorf("a file of type %v for %v, not a shared library for %s", f.Type, f.Machine, goruntime.GOARCH)
	}
	for _, p := range f.Progs {
		if p.Filesz > uint64(size) || p.Off > uint64(size)-p.Filesz {
			return errors.New("the file is cut short")
		}
	}
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOBITS && (s.FileSize > uint64(size) || s.Offset > uint64(size)-s.FileSize) {
			return errors.New("the file is cut short")
		}
	}
	return nil
}

func checkMachO(r io.ReaderAt, size int64) error {
	if fat, err := macho.NewFatFile(r); err == nil {
		return fat.Close()
	}
	f, err := macho.NewFile(r)
	if err != nil {
		return fmt.Errorf("no shared library: %w", err)
	}
	defer f.Close()
	for _, l := range f.Loads {
		if s, ok := l.(*macho.Segment); ok && (s.Filesz > uint64(size) || s.Offset > uint64(size)-s.Filesz) {
			return errors.New("the file is cut short")
		}
	}
	return nil
}
