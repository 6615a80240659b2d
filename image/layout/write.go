package layout

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// Image is an image to write.
type Image struct {
	Target ocispec.Descriptor // an index or a manifest
	Names  []string           // full names with tag; none: the image has no name in the stream
	// Manifest is what manifest.json describes, for readers that know no
	// indexes; nil: the image is not in there.
	Manifest *ocispec.Descriptor
	// Platforms are those to write of an index; none: all.
	Platforms []ocispec.Platform
}

// Source is where blobs are read from.
type Source interface {
	content.Provider
	content.InfoProvider
}

// dockerManifest is an entry of manifest.json, which docker save has written
// since version 1.10.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// Write writes images as one stream, each blob once. Of an index, manifests that
// are not in the source whole are left out, as the index still names them.
// What else is missing is NotFound.
func Write(ctx context.Context, source Source, w io.Writer, list []Image) error {
	out := &writer{ctx: ctx, source: source, tar: tar.NewWriter(w), written: map[digest.Digest]bool{}, buf: make([]byte, 1<<20)}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	manifests := []dockerManifest{}
	if err := out.json(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}); err != nil {
		return err
	}
	for _, img := range list {
		if err := out.tree(img.Target, img.Platforms, false); err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, named(img)...)
		if img.Manifest == nil {
			continue
		}
		m, err := out.describe(*img.Manifest, img.Names)
		if err != nil {
			return err
		}
		manifests = append(manifests, m)
	}
	if err := out.json(ocispec.ImageIndexFile, index); err != nil {
		return err
	}
	if err := out.json("manifest.json", manifests); err != nil {
		return err
	}
	return out.tar.Close()
}

// named gives the entries of index.json: one for each name.
func named(img Image) []ocispec.Descriptor {
	if len(img.Names) == 0 {
		return []ocispec.Descriptor{img.Target}
	}
	var list []ocispec.Descriptor
	for _, name := range img.Names {
		d := img.Target
		d.Annotations = map[string]string{images.AnnotationImageName: name}
		if n, err := reference.ParseNormalizedNamed(name); err == nil {
			if t, ok := n.(reference.Tagged); ok {
				d.Annotations[ocispec.AnnotationRefName] = t.Tag()
			}
		}
		list = append(list, d)
	}
	return list
}

type writer struct {
	ctx     context.Context //nolint:containedctx // of one call of Write
	source  Source
	tar     *tar.Writer
	written map[digest.Digest]bool
	buf     []byte
}

// tree writes a descriptor and what is below it, of an index for some platforms
// only. An optional one that is not there whole is left out.
func (w *writer) tree(desc ocispec.Descriptor, only []ocispec.Platform, optional bool) error {
	if w.written[desc.Digest] {
		return nil
	}
	children, err := images.Children(w.ctx, w.source, desc)
	if errdefs.IsNotFound(err) && optional {
		return nil
	}
	if err != nil {
		return err
	}
	isIndex := images.IsIndexType(desc.MediaType)
	if isIndex {
		children = oci.ForPlatforms(children, only)
	}
	if optional && !isIndex {
		for _, c := range children {
			if _, err := w.source.Info(w.ctx, c.Digest); errdefs.IsNotFound(err) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	for _, c := range children {
		if err := w.tree(c, only, isIndex); err != nil {
			return err
		}
	}
	return w.blob(desc)
}

func (w *writer) blob(desc ocispec.Descriptor) error {
	if w.written[desc.Digest] {
		return nil
	}
	r, err := w.source.ReaderAt(w.ctx, desc)
	if err != nil {
		return fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	defer r.Close()
	if err := w.header(blobPath(desc.Digest), r.Size()); err != nil {
		return err
	}
	// Not io.NewSectionReader's WriterTo: a buffer of our size, once.
	if _, err := io.CopyBuffer(onlyWriter{w.tar}, io.NewSectionReader(r, 0, r.Size()), w.buf); err != nil {
		return fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	w.written[desc.Digest] = true
	return w.ctx.Err()
}

type onlyWriter struct{ io.Writer }

// describe makes the entry of manifest.json for a manifest.
func (w *writer) describe(desc ocispec.Descriptor, names []string) (dockerManifest, error) {
	var m ocispec.Manifest
	data, err := content.ReadBlob(w.ctx, w.source, desc)
	if err != nil {
		return dockerManifest{}, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return dockerManifest{}, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	entry := dockerManifest{Config: blobPath(m.Config.Digest), Layers: []string{}}
	for _, name := range names {
		if n, err := reference.ParseNormalizedNamed(name); err == nil {
			entry.RepoTags = append(entry.RepoTags, reference.FamiliarString(n))
		}
	}
	for _, l := range m.Layers {
		entry.Layers = append(entry.Layers, blobPath(l.Digest))
	}
	return entry, nil
}

func (w *writer) json(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := w.header(name, int64(len(data))); err != nil {
		return err
	}
	_, err = w.tar.Write(data)
	return err
}

// header begins a file. All have the same time, so that the stream depends on
// its images alone.
func (w *writer) header(name string, size int64) error {
	return w.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o444, Size: size, Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)})
}

func blobPath(d digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}
