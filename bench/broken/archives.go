package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// pack puts files into an archive, folder before their names.
func pack(files map[string][]byte, folder string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(folder + name)
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			panic(err) // memory does not fail
		}
	}
	_ = z.Close() // the same
	return b.Bytes()
}

// bomb is an archive with one file of n zeros after a start.
func bomb(files map[string][]byte, name string, start []byte, n int) func(dir string) (string, error) {
	return func(dir string) (string, error) {
		path := filepath.Join(dir, "b.zip")
		f, err := os.Create(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		z := zip.NewWriter(f)
		for _, file := range slices.Sorted(maps.Keys(files)) {
			w, err := z.Create(file)
			if err != nil {
				return "", err
			}
			if file != name {
				_, err = w.Write(files[file])
			} else if _, err = w.Write(start); err == nil {
				_, err = io.CopyN(w, zeros{}, int64(n))
			}
			if err != nil {
				return "", err
			}
		}
		return path, z.Close()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func archives(g *good) []*sample {
	const kind = "bundle, archive"
	var list []*sample
	whole := pack(g.bundleFiles, "")
	for _, c := range slices.Concat(cuts(whole, 20), flips(whole, 60, 77), flips(whole[len(whole)-400:], 40, 78), strange()) {
		if len(c.data) == 400 { // of the directory at the end
			c.data = slices.Concat(whole[:len(whole)-400], c.data)
		}
		list = append(list, single(kind, c.name, aBundle, "b.zip", c.data))
	}
	for file := range maps.Keys(g.bundleFiles) {
		rest := maps.Clone(g.bundleFiles)
		delete(rest, file)
		list = append(list, single(kind, "without "+file, aBundle, "b.zip", pack(rest, "")))
	}
	slices.SortStableFunc(list, func(a, b *sample) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	for _, file := range slices.Sorted(maps.Keys(g.bundleFiles)) {
		for _, size := range []int{64 << 20, 1 << 30} {
			list = append(list, &sample{kind: kind, name: fmt.Sprintf("%s of %d MiB of zeros", file, size>>20), of: aBundle, file: file,
				make: bomb(g.bundleFiles, file, nil, size)})
			list = append(list, &sample{kind: kind, name: fmt.Sprintf("%s and %d MiB of zeros", file, size>>20), of: aBundle, file: file,
				make: bomb(g.bundleFiles, file, g.bundleFiles[file], size)})
		}
	}
	list = append(list,
		single(kind, "names that leave the folder", aBundle, "b.zip", pack(g.bundleFiles, "../")),
		single(kind, "two folders deep", aBundle, "b.zip", pack(g.bundleFiles, "a/b/")),
		single(kind, "an archive in itself", aBundle, "b.zip", pack(map[string][]byte{"bundle.zip": whole}, "")))
	many := map[string][]byte{}
	for i := range 100_000 {
		many[fmt.Sprintf("%06d", i)] = nil
	}
	list = append(list, single(kind, "a hundred thousand files", aBundle, "b.zip", pack(many, "")))
	for i, size := range []uint64{0, 1, 1 << 31, 1 << 40, 1 << 62} {
		list = append(list, single(kind, fmt.Sprintf("a size that lies, %d", i), aBundle, "b.zip", lie(g.bundleFiles, "train.onnx", size)))
	}
	return list
}

// lie packs files of which one says another size than it has.
func lie(files map[string][]byte, name string, size uint64) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		data := files[file]
		h := &zip.FileHeader{Name: file, CRC32: crc32.ChecksumIEEE(data), CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data))}
		if file == name {
			h.UncompressedSize64 = size
		}
		w, err := z.CreateRaw(h)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			panic(err) // memory does not fail
		}
	}
	_ = z.Close() // the same
	return b.Bytes()
}
