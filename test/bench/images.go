package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/test/engine"
)

type imageOptions struct {
	on bool
	mb int64 // of the image, unpacked
}

// images is an image that is moved between engines, files and a registry.
type images struct {
	own    *own
	docker *peer
	dir    string
	image  oci.Image
	mb     float64 // unpacked
	empty  float64 // MB on our disk without it
	layers string  // folder with its layers
	tar    string  // in the form of docker save
	name   string  // in the Hub
}

// runImages measures how images are moved, on our engine, Docker's and by skopeo,
// which is Podman's code, beside what the kernel and the arithmetic take alone.
func runImages(ctx context.Context, o options) (err error) {
	own, err := startOwn(ctx, "--image-compact-after", "0s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.close()) }()
	docker, err := startDockerd(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, docker.close()) }()
	docker.name += docker.version(ctx)
	b := &images{own: own, docker: docker, dir: filepath.Join(own.dir, "images")}
	defer func() { err = errors.Join(err, removeStorage(filepath.Join(b.dir, "store"))) }()
	if err := b.prepare(ctx, o.images.mb<<20); err != nil {
		return err
	}
	report := newReport(o)
	for _, c := range b.cases() {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		for i := range o.n {
			for _, s := range c.by {
				if err := writtenOut(b.dir); err != nil {
					return err
				}
				cost, err := s.run(ctx)
				if err != nil {
					return fmt.Errorf("%s by %s: %w", c.name, s.name, err)
				}
				report.add(benchCase{name: c.name, unit: "MB/s"}, s.name, b.mb/cost.wall.Seconds())
				report.add(benchCase{name: c.name + ", processor time", unit: "s"}, s.name, cost.cpu.Seconds())
			}
			fmt.Fprintf(os.Stderr, "bench: %s, %d of %d\n", c.name, i+1, o.n)
		}
	}
	if strings.Contains(diskCase, o.only) {
		if err := b.disk(ctx, o, report); err != nil {
			return err
		}
	}
	report.print(os.Stdout)
	if o.out != "" {
		return report.save(o.out)
	}
	return nil
}

// prepare makes the image, puts it into the Hub and beside it into files.
func (b *images) prepare(ctx context.Context, size int64) error {
	paths, err := sample(size)
	if err != nil {
		return err
	}
	var plain int64
	if b.image, plain, err = makeImage(paths, "Go's gzip"); err != nil {
		return err
	}
	b.mb = float64(plain) / 1e6
	b.layers, b.tar, b.name = filepath.Join(b.dir, "layers"), filepath.Join(b.dir, "image.tar"), b.own.hub.Addr+"/bench/image:1"
	if err := os.MkdirAll(b.layers, 0o755); err != nil {
		return err
	}
	packed := 0
	for _, blob := range b.image.Blobs[:imageLayers] {
		packed += len(blob.Data)
		if err := os.WriteFile(filepath.Join(b.layers, blob.Descriptor.Digest.Encoded()), blob.Data, 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "bench: %d files, %.0f MB, %.0f MB packed, in %d layers\n", len(paths), b.mb, float64(packed)/1e6, imageLayers)
	if err := (oci.Remote{Registry: "http://" + b.own.hub.Addr, Repository: "bench/image"}).Push(ctx, b.image, "1"); err != nil {
		return err
	}
	b.image = oci.Image{} // it is large
	if b.empty, err = diskUse(b.store()); err != nil {
		return err
	}
	if err := b.own.command(ctx, b.own.cli, "pull", "-q", b.name); err != nil {
		return err
	}
	if err := b.own.command(ctx, b.own.cli, "save", "-o", b.tar, b.name); err != nil {
		return err
	}
	return b.removeOwn(ctx)
}

// writtenOut writes out what others have left to be written.
func writtenOut(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd())) //nolint:gosec // a descriptor
}

// emptyHub starts a Hub that has nothing, for what is pushed.
func (b *images) emptyHub() (*engine.Hub, func() error, error) {
	dir, err := os.MkdirTemp(b.dir, "hub-")
	if err != nil {
		return nil, nil, err
	}
	hub, err := engine.StartHub(dir, "", "--no-seed")
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return hub, func() error { return errors.Join(hub.Stop(), os.RemoveAll(dir)) }, nil
}
