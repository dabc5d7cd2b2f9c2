package datasets

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// stallTimeout ends a download that delivers nothing for so long.
const stallTimeout = 30 * time.Second

// origin is one place to get a data set's files from.
type origin struct {
	name string
	// open prepares the origin with scratch, an empty folder, and returns a
	// function that opens NAME.gz.
	open func(ctx context.Context, scratch string) (func(ctx context.Context, name string) (io.ReadCloser, error), error)
}

// fetcher lays a data set's files, inflated, in a folder.
type fetcher struct {
	set      *idxSet
	origins  []origin
	progress func(done, total int64)
	done     int64
	total    int64
}

func newFetcher(set *idxSet, progress func(done, total int64)) *fetcher {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	f := &fetcher{set: set, progress: progress}
	for _, file := range set.files {
		f.total += file.size
	}
	if set.debianPackage != "" {
		f.origins = append(f.origins,
			origin{"installed Debian package", set.installedPackage},
			origin{"Debian package", set.downloadedPackage})
	}
	for _, a := range set.addresses {
		f.origins = append(f.origins, origin{a, download(a)})
	}
	return f
}

// fetch fills dir. Each file is checked where it lies; those missing or
// damaged are laid down in a temporary folder beside dir, checked, and renamed
// into place one by one.
func (f *fetcher) fetch(ctx context.Context, dir string) error {
	name := f.set.info.Name
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("datasets: fetch %q: %w", name, err)
	}
	var want []pinned
	for _, file := range f.set.files {
		ok, err := file.check(ctx, filepath.Join(dir, file.name))
		if err != nil {
			return fmt.Errorf("datasets: fetch %q: %w", name, err)
		}
		if ok {
			f.advance(file.size)
		} else {
			want = append(want, file)
		}
	}
	if len(want) == 0 {
		return nil
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+name+"-*")
	if err != nil {
		return fmt.Errorf("datasets: fetch %q: %w", name, err)
	}
	defer os.RemoveAll(temp)

	var errs []error
	before := f.done
	for i, o := range f.origins {
		f.done = before
		scratch := filepath.Join(temp, fmt.Sprint(i))
		err := os.Mkdir(scratch, 0o755)
		if err == nil {
			err = f.take(ctx, o, want, scratch)
		}
		if err == nil {
			for _, file := range want {
				if err := os.Rename(filepath.Join(scratch, file.name), filepath.Join(dir, file.name)); err != nil {
					return fmt.Errorf("datasets: fetch %q: %w", name, err)
				}
			}
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("datasets: fetch %q: %w", name, ctx.Err())
		}
		errs = append(errs, fmt.Errorf("%s: %w", o.name, err))
	}
	return fmt.Errorf("datasets: fetch %q: %w: %w; with the files at hand, name their folder: %s:PATH",
		name, ErrUnavailable, joinLine(errs), name)
}

// joinLine joins errors on one line.
func joinLine(errs []error) error {
	format := strings.TrimSuffix(strings.Repeat("%w; ", len(errs)), "; ")
	args := make([]any, len(errs))
	for i, err := range errs {
		args[i] = err
	}
	return fmt.Errorf(format, args...)
}

func (f *fetcher) advance(n int64) {
	f.done += n
	f.progress(f.done, f.total)
}

// take lays the wanted files of one origin in scratch.
func (f *fetcher) take(ctx context.Context, o origin, want []pinned, scratch string) error {
	open, err := o.open(ctx, scratch)
	if err != nil {
		return err
	}
	for _, file := range want {
		if err := f.takeFile(ctx, open, file, filepath.Join(scratch, file.name)); err != nil {
			return fmt.Errorf("file %q: %w", file.name, err)
		}
	}
	return nil
}

func (f *fetcher) takeFile(ctx context.Context, open func(context.Context, string) (io.ReadCloser, error), file pinned, path string) (err error) {
	r, err := open(ctx, file.name)
	if err != nil {
		return err
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := sha256.New()
	// One byte more than pinned is enough to see that there is too much.
	n, err := copyContext(ctx, io.MultiWriter(out, sum), io.LimitReader(z, file.size+1), f.advance)
	if err != nil {
		return err
	}
	if n != file.size {
		return fmt.Errorf("%w: %d bytes inflated: want %d", ErrChecksum, n, file.size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != file.sha256 {
		return fmt.Errorf("%w: SHA-256 %s: want %s", ErrChecksum, got, file.sha256)
	}
	return out.Sync()
}

// check tells whether the file at path is there and has the pinned content.
func (p pinned) check(ctx context.Context, path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != p.size {
		return false, err
	}
	sum := sha256.New()
	if _, err := copyContext(ctx, sum, f, func(int64) {}); err != nil {
		return false, err
	}
	return hex.EncodeToString(sum.Sum(nil)) == p.sha256, nil
}

func copyContext(ctx context.Context, w io.Writer, r io.Reader, advance func(int64)) (total int64, err error) {
	buf := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
			advance(int64(n))
		}
		if err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
}

// installedPackage reads the files that the Debian package installs.
func (set *idxSet) installedPackage(context.Context, string) (func(context.Context, string) (io.ReadCloser, error), error) {
	return folder(filepath.Join("/usr/share/datasets", set.info.Name))
}

// downloadedPackage has apt download the Debian package and dpkg unpack it
// into scratch; nothing is installed.
func (set *idxSet) downloadedPackage(ctx context.Context, scratch string) (func(context.Context, string) (io.ReadCloser, error), error) {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, errors.Unwrap(err)
		}
	}
	if err := command(ctx, scratch, "apt-get", "download", set.debianPackage); err != nil {
		if ctx.Err() != nil || os.Geteuid() != 0 {
			return nil, err
		}
		// The package lists may be missing or stale; only root may renew them.
		if err := command(ctx, scratch, "apt-get", "-q", "update"); err != nil {
			return nil, err
		}
		if err := command(ctx, scratch, "apt-get", "download", set.debianPackage); err != nil {
			return nil, err
		}
	}
	debs, err := filepath.Glob(filepath.Join(scratch, "*.deb"))
	if err != nil || len(debs) != 1 {
		return nil, fmt.Errorf("apt-get download left %d packages: want 1", len(debs))
	}
	tree := filepath.Join(scratch, "tree")
	if err := command(ctx, scratch, "dpkg-deb", "-x", debs[0], tree); err != nil {
		return nil, err
	}
	return folder(filepath.Join(tree, "usr", "share", "datasets", set.info.Name))
}

// command runs a program with fixed arguments, without a shell.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s %s: %w: %s", name, args[0], err, lines[len(lines)-1])
	}
	return nil
}

func folder(dir string) (func(context.Context, string) (io.ReadCloser, error), error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	return func(_ context.Context, name string) (io.ReadCloser, error) {
		return os.Open(filepath.Join(dir, name+".gz"))
	}, nil
}

// download gets ADDRESS/NAME.gz.
func download(address string) func(context.Context, string) (func(context.Context, string) (io.ReadCloser, error), error) {
	client := &http.Client{}
	return func(context.Context, string) (func(context.Context, string) (io.ReadCloser, error), error) {
		return func(ctx context.Context, name string) (io.ReadCloser, error) {
			ctx, cancel := context.WithCancelCause(ctx)
			body := &stalling{cancel: func() { cancel(nil) }}
			body.timer = time.AfterFunc(stallTimeout, func() { cancel(fmt.Errorf("nothing received for %v", stallTimeout)) })
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+name+".gz", nil)
			if err != nil {
				return nil, errors.Join(err, body.stop())
			}
			resp, err := client.Do(req)
			if err != nil {
				body.stop()
				return nil, err
			}
			if resp.StatusCode != http.StatusOK {
				resp.Body.Close()
				body.stop()
				return nil, fmt.Errorf("server answers %s", resp.Status)
			}
			body.ReadCloser = resp.Body
			return body, nil
		}, nil
	}
}

// stalling is a response body that gives up when nothing arrives.
type stalling struct {
	io.ReadCloser
	timer  *time.Timer
	cancel func()
}

// Read reads, and starts the wait anew.
func (s *stalling) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if n > 0 {
		s.timer.Reset(stallTimeout)
	}
	return n, err
}

// Close ends the request.
func (s *stalling) Close() error {
	err := s.ReadCloser.Close()
	s.stop()
	return err
}

func (s *stalling) stop() error {
	s.timer.Stop()
	s.cancel()
	return nil
}
