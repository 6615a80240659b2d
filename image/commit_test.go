package image

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layerOf writes a layer with one file.
func layerOf(name, data string) func(context.Context, io.Writer) (int, error) {
	return func(_ context.Context, w io.Writer) (int, error) {
		tw := tar.NewWriter(w)
		err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = io.WriteString(tw, data)
		}
		return 1, errors.Join(err, tw.Close())
	}
}

func TestCommit(t *testing.T) {
	s, bus, name, _ := pulled(t)
	base, err := s.Resolve(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := happened(t, bus)
	o := CommitOptions{
		Base: base, Layer: layerOf("added", "here"), Name: "mine:v1", Author: "me", Comment: "why", CreatedBy: "cmd",
		Config: dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{Cmd: []string{"x"}, Labels: map[string]string{"a": "b"}}},
	}
	id, err := s.Commit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := happened(t, bus)[len(before):]; !slices.Equal(got, []string{"create " + id.String() + " " + id.String(), "tag " + id.String() + " mine:v1"}) {
		t.Errorf("%q", got)
	}
	img, err := s.Resolve(t.Context(), "mine:v1", nil)
	if err != nil || img.ID != id {
		t.Fatalf("%v %v", img, err)
	}
	if img.Config.Author != "me" || img.Config.Config.Cmd[0] != "x" || img.Platform.Architecture != base.Platform.Architecture {
		t.Errorf("%+v", img.Config)
	}
	h := img.Config.History
	if last := h[len(h)-1]; last.Comment != "why" || last.CreatedBy != "cmd" || last.EmptyLayer || len(h) != len(base.Config.History)+1 {
		t.Errorf("%+v", h)
	}
	root, err := s.Rootfs(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Release()
	if got := readLower(t, root.Lower, "added"); got != "here" {
		t.Errorf("%q", got)
	}

	// Without changes: no layer, and another image of the same layers.
	o.Layer = func(context.Context, io.Writer) (int, error) { return 0, nil }
	o.Name = ""
	same, err := s.Commit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if img, err := s.Resolve(t.Context(), same.String(), nil); err != nil || img.ChainID != base.ChainID {
		t.Errorf("%+v %v", img, err)
	}
	// The new images outlive the one they are made of.
	if _, err := s.Remove(t.Context(), name, true, true); err != nil {
		t.Fatal(err)
	}
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := s.History(t.Context(), "mine:v1", nil); err != nil || len(list) != len(h) {
		t.Errorf("%v %v", list, err)
	}
	if _, err := s.Commit(t.Context(), CommitOptions{Base: img, Layer: layerOf("more", "x"), Name: "again"}); err != nil {
		t.Error(err)
	}
	root.Release()
	for _, ref := range []string{"mine:v1", same.String(), "again"} {
		if _, err := s.Remove(t.Context(), ref, true, true); err != nil {
			t.Error(err)
		}
	}
	wantEmpty(t, s)
}

// TestCommitFails: nothing of an image that cannot be made stays.
func TestCommitFails(t *testing.T) {
	s, _, name, _ := pulled(t)
	base, err := s.Resolve(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"UPPER", "sha256:0123", "a@sha256:" + base.ID.Encoded()} {
		if _, err := s.Commit(t.Context(), CommitOptions{Base: base, Name: ref}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	want := errors.New("the disk is on fire")
	_, err = s.Commit(t.Context(), CommitOptions{Base: base, Layer: func(_ context.Context, w io.Writer) (int, error) {
		_, _ = w.Write(make([]byte, 1<<20))
		return 1, want
	}})
	if !errors.Is(err, want) {
		t.Error(err)
	}
	if _, err := s.Remove(t.Context(), name, true, true); err != nil {
		t.Fatal(err)
	}
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), CommitOptions{Base: base, Layer: layerOf("a", "b")}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	wantEmpty(t, s)
}
