package datasets

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// published is a small data set and what its origin serves.
func published() (*idxSet, map[string][]byte) {
	contents := map[string][]byte{
		trainImages: idxBytes(bytes.Repeat([]byte{7}, 40*12), 40, 3, 4),
		trainLabels: idxBytes(make([]byte, 40), 40),
		testImages:  idxBytes(make([]byte, 20*12), 20, 3, 4),
		testLabels:  idxBytes(make([]byte, 20), 20),
	}
	set := &idxSet{info: Info{Name: "small", Fetchable: true}, classes: []string{"a"}}
	served := map[string][]byte{}
	for _, name := range idxNames {
		sum := sha256.Sum256(contents[name])
		set.files = append(set.files, pinned{name, int64(len(contents[name])), hex.EncodeToString(sum[:])})
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(contents[name])
		z.Close()
		served["/"+name+".gz"] = b.Bytes()
	}
	return set, served
}

func serve(t *testing.T, files map[string][]byte) (address string, requests *int) {
	t.Helper()
	requests = new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests++
		b, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(b)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/", requests
}

// leftovers are the entries of a data folder, other than the data set.
func leftovers(t *testing.T, root string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "small" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestFetch(t *testing.T) {
	set, served := published()
	address, requests := serve(t, served)
	dead, _ := serve(t, nil)
	set.addresses = []string{dead, address}
	root := t.TempDir()
	dir := filepath.Join(root, "small")
	var done, total int64
	fetch := func() {
		t.Helper()
		done, total = 0, 0
		err := newFetcher(set, func(d, n int64) { done, total = d, n }).fetch(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if done != total || total == 0 {
			t.Errorf("progress ended at %d of %d", done, total)
		}
		for _, file := range set.files {
			if ok, err := file.check(t.Context(), filepath.Join(dir, file.name)); !ok {
				t.Errorf("%s is not there: %v", file.name, err)
			}
		}
		if left := leftovers(t, root); left != nil {
			t.Errorf("left behind: %v", left)
		}
	}
	fetch()
	if *requests != 4 {
		t.Errorf("%d requests: want 4", *requests)
	}
	fetch()
	if *requests != 4 {
		t.Error("a second fetch asked the origin again")
	}

	// A damaged file of the right size, and a missing one.
	path := filepath.Join(dir, trainImages)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[100] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, testLabels)); err != nil {
		t.Fatal(err)
	}
	fetch()
	if *requests != 6 {
		t.Errorf("%d requests after a repair of two files: want 6", *requests)
	}
}

func TestFetchRefusesOtherContent(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"another content": func(b []byte) []byte {
			var out bytes.Buffer
			z := gzip.NewWriter(&out)
			z.Write(idxBytes(bytes.Repeat([]byte{8}, 40*12), 40, 3, 4))
			z.Close()
			return out.Bytes()
		},
		"too much": func(b []byte) []byte { return append(b, b...) },
		"cut":      func(b []byte) []byte { return b[:len(b)-10] },
		"no gzip":  func([]byte) []byte { return []byte("<html>") },
		"nothing":  func([]byte) []byte { return nil },
	} {
		set, served := published()
		served["/"+trainImages+".gz"] = spoil(served["/"+trainImages+".gz"])
		address, _ := serve(t, served)
		set.addresses = []string{address}
		root := t.TempDir()
		err := newFetcher(set, nil).fetch(t.Context(), filepath.Join(root, "small"))
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), trainImages) || !strings.Contains(err.Error(), "small:PATH") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "another content" && !errors.Is(err, ErrChecksum) {
			t.Errorf("%s: %v: want ErrChecksum", name, err)
		}
		if entries, _ := os.ReadDir(root); len(entries) != 0 {
			t.Errorf("%s: left %v", name, entries)
		}
	}
}

func TestFetchStopsWhenCancelled(t *testing.T) {
	set, _ := published()
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	hang := func(context.Context, string) (opener, error) {
		calls++
		cancel()
		return nil, errors.New("interrupted")
	}
	f := newFetcher(set, nil)
	f.origins = []origin{{"one", hang}, {"two", hang}}
	root := t.TempDir()
	err := f.fetch(ctx, filepath.Join(root, "small"))
	if !errors.Is(err, context.Canceled) || calls != 1 || leftovers(t, root) != nil {
		t.Errorf("%v, %d origins tried, left %v", err, calls, leftovers(t, root))
	}
}

// TestFetchGivesUpOnASilentServer: one that never answers, and one that stops
// in the middle.
func TestFetchGivesUpOnASilentServer(t *testing.T) {
	for _, first := range []string{"", "some bytes"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if first != "" {
				io.WriteString(w, first)
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		}))
		open, err := download(server.URL+"/", 50*time.Millisecond)(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		r, err := open(t.Context(), "x")
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if err == nil || err.Error() != "nothing received for 50ms" {
			t.Errorf("after %q: %v", first, err)
		}
		server.Close()
	}
}

func TestFetchIntoAFile(t *testing.T) {
	set, _ := published()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := newFetcher(set, nil).fetch(t.Context(), filepath.Join(path, "small")); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

// TestFashionMNISTSums: the pinned sizes agree with the pinned shapes.
func TestFashionMNISTSums(t *testing.T) {
	for i, want := range []int64{16 + 60000*784, 8 + 60000, 16 + 10000*784, 8 + 10000} {
		if f := fashionMNIST.files[i]; f.size != want || len(f.sha256) != 64 || f.name != idxNames[i] {
			t.Errorf("%+v: want %d bytes", f, want)
		}
	}
}
