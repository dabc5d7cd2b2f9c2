package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile bounds a file of an archive; the CUDA provider has 0.5 GB.
const maxFile = 4 << 30

// fetchPack downloads a package by npm and checks it; no script of it runs.
func (in *installer) fetchPack(ctx context.Context, npm string, p pack) (string, error) {
	spec := p.name + "@" + p.version
	reported, err := in.run(ctx, npm, "view", spec, "dist.integrity")
	if err != nil {
		return "", fmt.Errorf("npm view %s: %w", spec, err)
	}
	if reported != p.integrity {
		return "", fmt.Errorf("%s: npm reports integrity %q, expected %s; nothing was installed", spec, reported, p.integrity)
	}
	in.Say("downloading %s with npm", spec)
	names, err := in.run(ctx, npm, "pack", "--silent", "--ignore-scripts", spec)
	if err != nil {
		return "", fmt.Errorf("npm pack %s: %w", spec, err)
	}
	lines := strings.Split(names, "\n")
	name := lines[len(lines)-1]
	if name == "" || filepath.Base(name) != name {
		return "", fmt.Errorf("npm pack %s: it names no archive", spec)
	}
	archive := filepath.Join(in.work, name)
	f, err := os.Open(archive)
	if err != nil {
		return "", fmt.Errorf("npm pack %s: %w", spec, err)
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)); got != p.integrity {
		return "", fmt.Errorf("%s: SHA-512 is %s, expected %s; nothing was installed", spec, got, p.integrity)
	}
	return archive, nil
}

// run gives what a command prints, and on failure the last line it complains with.
func (in *installer) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = in.work
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		lines := strings.Split(strings.TrimSpace(complaint.String()), "\n")
		return "", fmt.Errorf("%w: %q", err, lines[len(lines)-1])
	}
	return strings.TrimSpace(out.String()), nil
}

// fetchAsset downloads an archive of the releases page and checks it.
func (in *installer) fetchAsset(ctx context.Context, asset file) (path string, err error) {
	url := in.site + "/" + asset.name + ".tgz"
	in.Say("downloading %s", url)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("download: %w; with npm installed the library comes from its registry", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("download %s: %s", url, response.Status)
	}
	path = filepath.Join(in.work, "asset.tgz")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, io.LimitReader(response.Body, maxFile))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("download %s: %w", url, err)
	}
	sum, err := fileSHA256(path)
	if err != nil {
		return "", err
	}
	if sum != asset.sha256 {
		return "", fmt.Errorf("%s: SHA-256 is %s, expected %s; nothing was installed", url, sum, asset.sha256)
	}
	return path, nil
}

// unpack takes files out of an archive into the temporary folder, and checks
// those that have a sum.
func (in *installer) unpack(archive string, files ...file) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(archive), err)
	}
	left := slices.Clone(files)
	for t := tar.NewReader(z); len(left) > 0; {
		head, err := t.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s holds no %s", filepath.Base(archive), left[0].member)
		} else if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(archive), err)
		}
		i := slices.IndexFunc(left, func(f file) bool { return f.member == strings.TrimPrefix(head.Name, "./") })
		if i < 0 || head.Typeflag != tar.TypeReg {
			continue
		}
		if err := extract(t, filepath.Join(in.work, left[i].name), left[i]); err != nil {
			return err
		}
		left = slices.Delete(left, i, i+1)
	}
	return nil
}

func extract(r io.Reader, path string, f file) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(r, maxFile))
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if f.sha256 == "" {
		return nil
	}
	sum, err := fileSHA256(path)
	if err != nil {
		return err
	}
	if sum != f.sha256 {
		return fmt.Errorf("%s: SHA-256 is %s, expected %s; nothing was installed", f.member, sum, f.sha256)
	}
	return nil
}
