// Package seed gives a Hub its first image, hello-world for two platforms,
// made from programs embedded in the binary. Seeding is idempotent, and the
// same build gives the same digests.
package seed

import (
	"archive/tar"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/berth-engine/berth/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

//go:embed bin
var programs embed.FS

// ErrNotBuilt says that the Hub was built without the programs to seed.
var ErrNotBuilt = errors.New("this Hub was built without the hello-world programs: build it with `make build`")

// Repository is where hello-world is put; a client's "hello-world" means this
// name on docker.io and its mirrors.
const Repository = "library/hello-world"

// HelloWorld makes the image from the embedded programs.
func HelloWorld() (oci.Image, error) {
	var images []oci.Image
	for _, arch := range []string{"amd64", "arm64"} {
		program, err := programs.ReadFile("bin/hello-linux-" + arch)
		if errors.Is(err, fs.ErrNotExist) {
			return oci.Image{}, ErrNotBuilt
		}
		if err != nil {
			return oci.Image{}, err
		}
		layer, err := oci.NewLayer([]oci.Entry{{Header: tar.Header{Name: "hello", Mode: 0o755, Typeflag: tar.TypeReg}, Data: program}}, oci.Gzip)
		if err != nil {
			return oci.Image{}, err
		}
		platform := ocispec.Platform{OS: "linux", Architecture: arch}
		config := ocispec.ImageConfig{Cmd: []string{"/hello"}, Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
		image, err := oci.NewImage(platform, config, "COPY hello / # buildkit", layer)
		if err != nil {
			return oci.Image{}, err
		}
		images = append(images, image)
	}
	return oci.NewIndex(images...)
}

// Into pushes hello-world:latest through the registry's own handler, unless it
// is there already.
func Into(ctx context.Context, registry http.Handler) error {
	image, err := HelloWorld()
	if err != nil {
		return err
	}
	remote := oci.Remote{
		Client:   &http.Client{Transport: inProcess{registry}},
		Registry: "http://hub", Repository: Repository,
	}
	has, err := remote.Has(ctx, image.Root(), "latest")
	if err != nil || has {
		return err
	}
	if err := remote.Push(ctx, image, "latest"); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return nil
}
