package bundle

import (
	"encoding/binary"
	"io"
)

// Metadata reads the metadata alone of a safetensors file of the given size in bytes.
func Metadata(r io.ReaderAt, size int64) (map[string]string, error) {
	var lead [8]byte
	if _, err := r.ReadAt(lead[:], 0); err != nil {
		return nil, safeError("header length: %v", err)
	}
	n := binary.LittleEndian.Uint64(lead[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, safeError("header of %d bytes in a file of %d", n, size)
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil {
		return nil, safeError("header: %v", err)
	}
	_, meta, err := parseHeader(header, nil)
	return meta, err
}
