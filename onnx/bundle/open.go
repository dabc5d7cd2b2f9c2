package bundle

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"winnow/internal/atomicfile"
	"winnow/internal/elements"
	"winnow/internal/files"
	"winnow/onnx"
	"winnow/onnx/wire"
)

// Bounds of the files of a bundle, in bytes. A protobuf message ends at 2 GiB.
const (
	maxManifest = 4 << 20
	maxGraph    = 2<<30 - 1
)

// Bounds of what is inflated from an archive. Graphs hold no trained state, and
// deflate shrinks trained numbers little: what it shrinks a hundred times is small.
const (
	maxZipped      = 4 << 30   // the files of a bundle together
	maxZippedGraph = 512 << 20 // one graph
	maxRatio       = 100       // of sizes, for files over freeSize
	freeSize       = 16 << 20
	maxEntries     = 1000
)

// OpenPath reads a bundle from a folder or a .zip file. Links that leave the
// folder, pipes and devices are refused.
func OpenPath(path string) (*Bundle, error) {
	b, err := openPath(path)
	var lacks *missing
	switch {
	case errors.As(err, &lacks):
		return nil, fmt.Errorf("bundle %q %w", path, lacks)
	case err != nil:
		return nil, fmt.Errorf("bundle: open %q: %w", path, err)
	}
	b.Path = path
	return b, nil
}

func openPath(path string) (*Bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotBundle, err)
	}
	if info.IsDir() {
		atomicfile.Settle(path, fixedFiles)
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		return Open(files.FS{Root: root})
	}
	f, size, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotBundle, err)
	}
	defer f.Close()
	if err := fewEntries(f, size); err != nil {
		return nil, err
	}
	z, err := zip.NewReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("%w: neither a folder nor a zip file", ErrNotBundle)
	}
	if err := checkArchive(z); err != nil {
		return nil, err
	}
	return Open(inner(z))
}

// fewEntries refuses an archive with a directory far longer than a bundle's,
// by the record at its end, before the directory is read.
func fewEntries(r io.ReaderAt, size int64) error {
	const record, comment = 22, 1<<16 - 1
	tail := make([]byte, min(size, record+comment))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return err
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || at+record > len(tail) {
		return nil // archive/zip says what is wrong
	}
	if n := int(tail[at+10]) | int(tail[at+11])<<8; n > maxEntries { // 0xffff where a longer record counts them
		return fmt.Errorf("%w: an archive of %d files or more", ErrNotBundle, n)
	}
	if n := uint32(tail[at+12]) | uint32(tail[at+13])<<8 | uint32(tail[at+14])<<16 | uint32(tail[at+15])<<24; n > maxEntries<<10 {
		return fmt.Errorf("%w: an archive with a directory of %d bytes", ErrNotBundle, n)
	}
	return nil
}

// checkArchive holds the sizes that an archive promises against its bounds. A
// file that inflates to more than it promises is an error when it is read.
func checkArchive(z *zip.Reader) error {
	total := uint64(0)
	for _, f := range z.File {
		size := f.UncompressedSize64
		if size > freeSize && size/maxRatio > f.CompressedSize64 {
			return fmt.Errorf("%s: %w: %d bytes from %d, over %d times; unpack the archive if it is meant so",
				f.Name, ErrTooLarge, size, f.CompressedSize64, maxRatio)
		}
		if size > maxZipped || total+size > maxZipped {
			return fmt.Errorf("%w: over %d bytes inflated; unpack the archive", ErrTooLarge, int64(maxZipped))
		}
		total += size
	}
	return nil
}

// inner steps into the only folder of an archive that has no bundle.json at its root.
func inner(fsys fs.FS) fs.FS {
	if _, err := fs.Stat(fsys, ManifestFile); err == nil {
		return fsys
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil || len(entries) != 1 || !entries[0].IsDir() {
		return fsys
	}
	sub, err := fs.Sub(fsys, entries[0].Name())
	if err != nil {
		return fsys
	}
	return sub
}

// Open reads a bundle from the root of a file system. It checks the format and
// the files' own structure; Validate checks that they agree.
func Open(fsys fs.FS) (*Bundle, error) {
	text, err := readFile(fsys, ManifestFile, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no %s", ErrNotBundle, ManifestFile)
	} else if err != nil {
		return nil, err
	}
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotBundle, ManifestFile, err)
	}
	if head.Format != Format {
		return nil, fmt.Errorf("%w %q, want %q", ErrUnknownFormat, head.Format, Format)
	}
	b := &Bundle{}
	if err := json.Unmarshal(text, &b.Manifest); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, ManifestFile, err)
	}
	if b.Train, err = readGraph(fsys, TrainFile); err != nil {
		return nil, err
	}
	if b.Eval, err = readGraph(fsys, EvalFile); err != nil {
		return nil, err
	}
	if b.Manifest.Blocked != nil {
		if b.Blocked, err = readGraph(fsys, BlockedFile); err != nil {
			return nil, err
		}
	}
	if b.Forward, err = readGraph(fsys, ForwardFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := checkFileName(b.Manifest.Weights); err != nil {
		return nil, err
	}
	if b.Init, err = readWeights(fsys, b.Manifest.Weights, b.Manifest.State); err != nil {
		return nil, err
	}
	return b, nil
}

// openFile opens a regular file of the bundle and gives its size in bytes.
func openFile(fsys fs.FS, name string, limit int64) (fs.File, int64, error) {
	info, err := fs.Stat(fsys, name) // before Open, which waits on a pipe
	var f fs.File
	if err == nil && !info.Mode().IsRegular() {
		err = files.ErrNotRegular
	}
	if err == nil {
		f, err = fsys.Open(name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, &missing{name, err}
	case err != nil: // a folder, a device, a link out of the folder, no permission
		return nil, 0, fmt.Errorf("%s: %w: %w", name, ErrInvalid, cause(err))
	case info.Size() > limit:
		return nil, 0, errors.Join(fmt.Errorf("%s: %w: %d bytes, at most %d", name, ErrTooLarge, info.Size(), limit), f.Close())
	}
	return f, info.Size(), nil
}

// cause is the reason without the call and the path, which the message has.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, size, err := openFile(fsys, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, size)
	return data, readAll(name, f, data)
}

// readAll fills data and sees to it that nothing follows: an archive checks the
// sum of a file only when its end is read.
func readAll(name string, r io.Reader, data []byte) error {
	if _, err := io.ReadFull(r, data); err != nil {
		return fmt.Errorf("%s: %w: %w", name, ErrInvalid, err)
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); {
	case err == nil:
		return fmt.Errorf("%s: %w: longer than its size says", name, ErrInvalid)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("%s: %w: damaged: %w", name, ErrInvalid, err)
	}
	return nil
}

// readGraph reads a graph's file, whose first bytes are looked at before there
// is room for all of it.
func readGraph(fsys fs.FS, name string) ([]byte, error) {
	limit := int64(maxGraph)
	if inArchive(fsys, name) {
		limit = maxZippedGraph
	}
	f, size, err := openFile(fsys, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, min(size, 16))
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrInvalid, err)
	}
	if size > freeSize && !wire.LooksLikeModel(head) {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrInvalid, onnx.ErrNotONNX)
	}
	data := make([]byte, size)
	copy(data, head)
	return data, readAll(name, f, data[len(head):])
}

// inArchive is whether a file is one of an archive, a stream.
func inArchive(fsys fs.FS, name string) bool {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return false
	}
	_, ok := info.Sys().(*zip.FileHeader)
	return ok
}

// readWeights reads the initial values of the state. What the file may hold
// follows from the state, so that nothing beyond it is read or inflated.
func readWeights(fsys fs.FS, name string, state []State) (map[string]*onnx.Tensor, error) {
	want, err := newExpected(state)
	if err != nil {
		return nil, err
	}
	f, size, err := openFile(fsys, name, want.maxSize())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	if !ok { // an archive's file is a stream
		r = &stream{r: f, size: size}
	}
	tensors, _, err := readSafetensors(r, size, want)
	if err == nil && !ok {
		err = r.(*stream).end()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return tensors, nil
}

// stream reads a file from its start to its end through io.ReaderAt, the way
// ReadSafetensors does.
type stream struct {
	r        io.Reader
	at, size int64
}

func (s *stream) ReadAt(p []byte, off int64) (int, error) {
	if off != s.at {
		return 0, errors.New("read out of order")
	}
	n, err := io.ReadFull(s.r, p)
	s.at += int64(n)
	return n, err
}

// end reads the end of the file, which checks its sum.
func (s *stream) end() error { return readAll("the end", s.r, nil) }

// expected is what a file of weights may hold.
type expected struct {
	state map[string]State
	bytes int64 // of all tensors
	names int64 // bytes of their names
}

func newExpected(state []State) (*expected, error) {
	e := &expected{state: make(map[string]State, len(state))}
	for _, s := range state {
		dtype, _ := onnx.ParseDType(s.DType) // Validate says what is wrong with it
		n, ok := elements.Count(s.Shape)
		size := n * int64(dtype.Size())
		if !ok || size > math.MaxInt64/2-e.bytes {
			return nil, problemf("%s: state %q: shape %v", ManifestFile, s.Name, s.Shape)
		}
		e.state[s.Name] = s
		e.bytes += size
		e.names += int64(len(s.Name) + 22*len(s.Shape))
	}
	return e, nil
}

// maxHeader bounds the header: a name may be escaped, six bytes for each, and
// beside it stand type, offsets and metadata.
func (e *expected) maxHeader() int64 {
	return min(maxHeader, 1<<20+6*e.names+256*int64(len(e.state)))
}

func (e *expected) maxSize() int64 { return 8 + e.maxHeader() + e.bytes }
