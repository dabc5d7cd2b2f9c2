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
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"winnow/internal/files"
)

// stallTimeout ends a download that delivers nothing for so long.
const stallTimeout = 30 * time.Second

// origin is one place to get a data set's files from.
type origin struct {
	name string
	// open prepares the origin, with scratch as an empty folder to work in.
	open func(ctx context.Context, scratch string) (opener, error)
}

// opener opens NAME.gz of an origin.
type opener func(ctx context.Context, name string) (io.ReadCloser, error)

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
		f.origins = append(f.origins, origin{"Debian package " + set.debianPackage, set.openPackage})
	}
	for _, a := range set.addresses {
		f.origins = append(f.origins, origin{a, download(a, stallTimeout)})
	}
	return f
}

// fetch fills dir. Each file is checked where it lies; those missing or
// damaged are laid down in a temporary folder beside dir, checked, and renamed
// into place one by one.
func (f *fetcher) fetch(ctx context.Context, dir string) error {
	name := f.set.info.Name
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
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
		err := os.Mkdir(scratch, 0o777)
		if err == nil {
			err = f.take(ctx, o, want, scratch)
		}
		if err == nil {
			if err := place(want, scratch, dir); err != nil {
				return fmt.Errorf("datasets: fetch %q: %w", name, err)
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

// place moves checked files to dir.
func place(files []pinned, from, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, file := range files {
		if err := os.Rename(filepath.Join(from, file.name), filepath.Join(dir, file.name)); err != nil {
			return err
		}
	}
	return nil
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

func (f *fetcher) takeFile(ctx context.Context, open opener, file pinned, path string) (err error) {
	r, err := open(ctx, file.name)
	if err != nil {
		return err
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
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
	f, size, err := files.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	if size != p.size {
		return false, nil
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

// openPackage reads the files that the Debian package installs; where it is
// not installed, apt downloads it and dpkg unpacks it into scratch.
func (set *idxSet) openPackage(ctx context.Context, scratch string) (opener, error) {
	if open, err := folder(filepath.Join("/usr/share/datasets", set.info.Name)); err == nil {
		return open, nil
	}
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, err
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

func folder(dir string) (opener, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	return func(_ context.Context, name string) (io.ReadCloser, error) {
		f, _, err := files.Open(filepath.Join(dir, name+".gz"))
		if err != nil {
			return nil, err
		}
		return f, nil
	}, nil
}

// download gets ADDRESS/NAME.gz, and gives up when nothing arrives for stall.
func download(address string, stall time.Duration) func(context.Context, string) (opener, error) {
	return func(context.Context, string) (opener, error) {
		return func(ctx context.Context, name string) (io.ReadCloser, error) {
			ctx, cancel := context.WithCancelCause(ctx)
			b := &body{ctx: ctx, cancel: cancel, stall: stall}
			b.timer = time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing received for %v", stall)) })
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+name+".gz", nil)
			if err != nil {
				b.stop()
				return nil, err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				err = b.cause(err)
				b.stop()
				return nil, err
			}
			b.ReadCloser = resp.Body
			if resp.StatusCode != http.StatusOK {
				_ = b.Close() // the status is the error
				return nil, fmt.Errorf("server answers %s", resp.Status)
			}
			return b, nil
		}, nil
	}
}

// body is a response body that ends when its server stalls.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
}

// Read reads, and starts the wait anew.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.timer.Reset(b.stall)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.cause(err)
	}
	return n, err
}

// cause is why a request failed, without its address, which the origin names.
func (b *body) cause(err error) error {
	if cause := context.Cause(b.ctx); cause != nil {
		return cause
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// Close ends the request.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.stop()
	return err
}

func (b *body) stop() {
	b.timer.Stop()
	b.cancel(nil)
}
