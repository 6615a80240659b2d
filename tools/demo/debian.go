package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// cache keeps what takes long to fetch between demonstrations; make clean
// removes it.
const cache = ".cache/examples"

// debian makes the image that the examples are built from and pushes it to the
// Hub as examples/debian:12. Its file system is what mmdebstrap makes of
// Debian's packages.
func (s *stage) debian(ctx context.Context) error {
	rootfs, err := debianRootfs(ctx, s)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "debian")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := exec.CommandContext(ctx, "cp", "--reflink=auto", rootfs, filepath.Join(dir, "rootfs.tar")).Run(); err != nil {
		return fmt.Errorf("copy %s: %w", rootfs, err)
	}
	name := s.hubAddr + "/examples/debian:12"
	if err := s.show(ctx, s.out, "build", "--quiet", "--file", "examples/debian/Dockerfile", "--tag", name, dir); err != nil {
		return err
	}
	return s.show(ctx, s.out, "push", "--quiet", name)
}

func debianRootfs(ctx context.Context, s *stage) (string, error) {
	path := filepath.Join(cache, "debian-12.tar")
	begin := time.Now()
	fmt.Fprintln(s.out, "$ tools/debian "+path)
	cmd := exec.CommandContext(ctx, "tools/debian", path)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("tools/debian: %w", err)
	}
	fmt.Fprintf(s.out, "Debian's base system is here after %s\n", time.Since(begin).Round(time.Second))
	return path, nil
}
