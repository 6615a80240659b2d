package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/pgzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// imageLayers is how many layers the image has that is moved about.
const imageLayers = 6

// sample chooses files of /usr whose sizes add up to about size bytes: everywhere
// the same share, so that they are what an image of this system would hold.
func sample(size int64) (paths []string, err error) {
	sizes := map[string]int64{}
	var all []string
	total := int64(0)
	err = filepath.WalkDir("/usr", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || info.Size() > size/imageLayers/4 {
			return err
		}
		all = append(all, path)
		sizes[path] = info.Size()
		total += info.Size()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if total < size {
		return nil, fmt.Errorf("/usr has %d MB in files, an image of %d MB cannot be made of them", total>>20, size>>20)
	}
	share := uint64(total) / uint64(size) //nolint:gosec // positive
	for _, path := range all {
		h := fnv.New64a()
		_, _ = io.WriteString(h, path)
		if h.Sum64()%share == 0 {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// layerTar writes files and the directories that they are in, all with one time.
func layerTar(w io.Writer, paths []string) error {
	t := tar.NewWriter(w)
	made := map[string]bool{".": true}
	var dir func(name string) error
	dir = func(name string) error {
		if made[name] {
			return nil
		}
		made[name] = true
		if err := dir(filepath.Dir(name)); err != nil {
			return err
		}
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: time.Unix(1e9, 0)})
	}
	for _, path := range paths {
		name := strings.TrimPrefix(path, "/")
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := dir(filepath.Dir(name)); err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: time.Unix(1e9, 0)}); err != nil {
			return err
		}
		if _, err := t.Write(data); err != nil {
			return err
		}
	}
	return t.Close()
}

// compressors are those by which usual images are packed.
var compressors = map[string]func(w io.Writer, plain []byte) error{
	"Go's gzip": func(w io.Writer, plain []byte) error { // docker build, BuildKit
		z := gzip.NewWriter(w)
		_, err := z.Write(plain)
		return errors.Join(err, z.Close())
	},
	"pgzip": func(w io.Writer, plain []byte) error { // Podman, Buildah
		z := pgzip.NewWriter(w)
		_, err := z.Write(plain)
		return errors.Join(err, z.Close())
	},
	"GNU gzip": func(w io.Writer, plain []byte) error {
		cmd := exec.Command("gzip", "-c")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(plain), w, os.Stderr
		return cmd.Run()
	},
}

// makeImage packs files as an image of several layers, and tells how much they
// are unpacked.
func makeImage(paths []string, compressor string) (image oci.Image, plain int64, err error) {
	var layers []oci.Layer
	for i := range imageLayers {
		var tarred, packed bytes.Buffer
		if err := layerTar(&tarred, paths[len(paths)*i/imageLayers:len(paths)*(i+1)/imageLayers]); err != nil {
			return image, 0, err
		}
		if err := compressors[compressor](&packed, tarred.Bytes()); err != nil {
			return image, 0, fmt.Errorf("%s: %w", compressor, err)
		}
		plain += int64(tarred.Len())
		layers = append(layers, oci.Layer{
			Blob:   oci.NewBlob(ocispec.MediaTypeImageLayerGzip, packed.Bytes()),
			DiffID: digest.FromBytes(tarred.Bytes()),
		})
	}
	image, err = oci.NewImage(ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, ocispec.ImageConfig{Cmd: []string{"true"}}, "bench", layers...)
	return image, plain, err
}
