package datasets

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
)

// gzipReader inflates a file as gzip(1) does: its members one after the other,
// and without the zeros that may fill up the end (RFC 1952, 2.2; gzip(1) leaves
// them out too, as tapes and padded downloads have them).
type gzipReader struct {
	source *bufio.Reader
	member *gzip.Reader
}

func newGzipReader(r io.Reader) (*gzipReader, error) {
	source := bufio.NewReader(r)
	member, err := gzip.NewReader(source)
	if err != nil {
		return nil, err
	}
	member.Multistream(false)
	return &gzipReader{source, member}, nil
}

var _ io.Reader = (*gzipReader)(nil)

func (z *gzipReader) Read(p []byte) (int, error) {
	n, err := z.member.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	for {
		b, err := z.source.ReadByte()
		if err != nil {
			return n, err
		}
		if b == 0 {
			continue
		}
		if err := z.source.UnreadByte(); err != nil {
			return n, err
		}
		break
	}
	if err := z.member.Reset(z.source); err != nil {
		return n, err
	}
	z.member.Multistream(false)
	return n, nil
}
