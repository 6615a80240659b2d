package main

import (
	"archive/tar"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/oci"
)

// layers lists the files of every layer, lowest first. In the first one,
// busybox comes first, so that others may replace what it laid.
func (o *options) layers(ctx context.Context) ([][]oci.Entry, error) {
	var first []oci.Entry
	if o.busybox != "" {
		entries, err := busybox(ctx, o.busybox)
		if err != nil {
			return nil, err
		}
		first = entries
	}
	for _, pair := range o.files {
		from, to, err := mapping("--file", pair)
		if err != nil {
			return nil, err
		}
		e, err := file(from, to)
		if err != nil {
			return nil, err
		}
		first = append(first, e)
	}
	for _, pair := range o.dirs {
		entries, err := mappedTree("--dir", pair)
		if err != nil {
			return nil, err
		}
		first = append(first, entries...)
	}
	all := [][]oci.Entry{first}
	for _, pair := range o.extra {
		entries, err := mappedTree("--layer", pair)
		if err != nil {
			return nil, err
		}
		all = append(all, entries)
	}
	return all, nil
}

// mapping splits HOSTPATH=PATH.
func mapping(flag, pair string) (from, to string, err error) {
	from, to, ok := strings.Cut(pair, "=")
	if !ok {
		return "", "", fmt.Errorf("%s %q: want HOSTPATH=PATH", flag, pair)
	}
	return from, to, nil
}

func mappedTree(flag, pair string) ([]oci.Entry, error) {
	from, to, err := mapping(flag, pair)
	if err != nil {
		return nil, err
	}
	return tree(from, to)
}

// inLayer turns an absolute path in the image into a tar entry's name.
func inLayer(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

func file(from, to string) (oci.Entry, error) {
	info, err := os.Lstat(from)
	if err != nil {
		return oci.Entry{}, err
	}
	var link string
	var data []byte
	switch mode := info.Mode(); {
	case mode.IsDir():
	case mode&fs.ModeSymlink != 0:
		link, err = os.Readlink(from)
	case mode.IsRegular():
		data, err = os.ReadFile(from)
	default:
		err = fmt.Errorf("%s: neither file, directory nor symbolic link", from)
	}
	if err != nil {
		return oci.Entry{}, err
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return oci.Entry{}, err
	}
	name := inLayer(to)
	if info.IsDir() {
		name += "/"
	}
	// Nothing of the host's owners and times: equal content, equal digest.
	return oci.Entry{Header: tar.Header{Name: name, Typeflag: h.Typeflag, Mode: h.Mode, Linkname: h.Linkname}, Data: data}, nil
}

func tree(from, to string) ([]oci.Entry, error) {
	var all []oci.Entry
	err := filepath.WalkDir(from, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if rel == "." && inLayer(to) == "" {
			return nil
		}
		e, err := file(p, path.Join(to, filepath.ToSlash(rel)))
		all = append(all, e)
		return err
	})
	return all, err
}

// busybox lays a small root file system around a static busybox.
func busybox(ctx context.Context, program string) ([]oci.Entry, error) {
	binary, err := file(program, "/bin/busybox")
	if err != nil {
		return nil, fmt.Errorf("busybox (Debian package busybox-static): %w", err)
	}
	list, err := exec.CommandContext(ctx, program, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list: %w", program, err)
	}
	var all []oci.Entry
	dir := func(name string, mode int64) {
		all = append(all, oci.Entry{Header: tar.Header{Name: name + "/", Mode: mode, Typeflag: tar.TypeDir}})
	}
	text := func(name, content string) {
		all = append(all, oci.Entry{Header: tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}, Data: []byte(content)})
	}
	for _, name := range []string{"bin", "etc", "home", "usr", "usr/bin", "usr/sbin", "sbin", "var", "var/www"} {
		dir(name, 0o755)
	}
	dir("root", 0o700)
	dir("tmp", 0o1777)
	all = append(all, binary)
	for applet := range strings.FieldsSeq(string(list)) {
		if applet == "busybox" {
			continue
		}
		all = append(all, oci.Entry{Header: tar.Header{Name: "bin/" + applet, Linkname: "busybox", Mode: 0o777, Typeflag: tar.TypeSymlink}})
	}
	text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n")
	text("etc/group", "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nusers:x:100:nobody\nnobody:x:65534:\n")
	return all, nil
}
