package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/image/remote"
)

// fetch brings one blob into the content store. What fails at the registry is
// tried again from where it stopped, after ever longer times.
func (j *job) fetch(ctx context.Context, desc ocispec.Descriptor) error {
	pause := j.pause
	for n := 1; ; n++ {
		err := j.fetchWhole(ctx, desc)
		if err == nil || n >= j.attempts || !errors.As(err, new(registryError)) || !remote.Transient(ctx, err) {
			return err
		}
		text := fmt.Sprintf("Retrying in %s: %v", pause, err)
		if images.IsLayerType(desc.MediaType) {
			j.progress.Layer(desc.Digest, text, jsonstream.Progress{})
		} else {
			j.progress.Line("", text)
		}
		if err := remote.Wait(ctx, pause); err != nil {
			return err
		}
		pause *= 2
	}
}

// registryError marks errors of the registry, apart from those of the store.
type registryError struct{ error }

func (e registryError) Unwrap() error { return e.error }

// BlobRef names what has come of a blob that is not complete.
func BlobRef(d digest.Digest) string { return "blob-" + d.String() }

// fetchWhole fetches a blob. A partial one that an earlier pull left is continued;
// if the whole then has the wrong digest it is fetched once more from the start.
func (j *job) fetchWhole(ctx context.Context, desc ocispec.Descriptor) error {
	ref := BlobRef(desc.Digest)
	for {
		resumed, err := j.fetchOnce(ctx, ref, desc)
		if err == nil || errdefs.IsAlreadyExists(err) {
			return nil
		}
		if !errdefs.IsFailedPrecondition(err) {
			return remote.BlobError(desc, err)
		}
		if abortErr := j.content.Abort(ctx, ref); abortErr != nil && !errdefs.IsNotFound(abortErr) {
			return errors.Join(err, abortErr)
		}
		if !resumed {
			return err
		}
	}
}

func (j *job) fetchOnce(ctx context.Context, ref string, desc ocispec.Descriptor) (resumed bool, err error) {
	j.mu.Lock()
	l := j.layers[desc.Digest]
	j.mu.Unlock()
	w, err := content.OpenWriter(ctx, j.content, content.WithRef(ref), content.WithDescriptor(desc))
	if err != nil {
		if !errdefs.IsAlreadyExists(err) {
			return false, err
		}
		// A manifest may name any blob as its config; what is read into memory
		// is bounded by the size it states, so that must be true.
		info, infoErr := j.content.Info(ctx, desc.Digest)
		if infoErr != nil {
			return false, infoErr
		}
		if info.Size != desc.Size {
			return false, fmt.Errorf("%s has %d bytes, not %d: %w", desc.Digest, info.Size, desc.Size, errdefs.ErrInvalidArgument)
		}
		if l != nil {
			j.downloaded(desc.Digest, l)
		}
		return false, err
	}
	defer w.Close()
	status, err := w.Status()
	if err != nil {
		return false, err
	}
	resumed = status.Offset > 0
	if status.Offset > desc.Size {
		if err := w.Truncate(0); err != nil {
			return resumed, err
		}
	}
	if status.Offset == desc.Size {
		if err := w.Commit(ctx, desc.Size, desc.Digest, content.WithLabels(j.source)); err != nil {
			return true, err
		}
	} else {
		body, err := j.fetcher.Fetch(ctx, desc)
		if err != nil {
			return resumed, registryError{err}
		}
		defer body.Close()
		r := &blobBody{ReadCloser: body}
		if l != nil {
			r.count = j.progress.Counter(desc.Digest, "Downloading", desc.Size).At
		}
		if err := content.Copy(ctx, w, r, desc.Size, desc.Digest, content.WithLabels(j.source)); err != nil {
			return resumed, err
		}
	}
	if l != nil {
		j.downloaded(desc.Digest, l)
	}
	return resumed, nil
}

func (j *job) downloaded(d digest.Digest, l *layer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !l.arrived {
		l.arrived = true
		if !slices.ContainsFunc(j.order, func(d digest.Digest) bool { return !j.layers[d].arrived }) {
			j.at.Mark("layers are fetched, and the first unpacked")
		}
	}
	if l.existed {
		if !l.finished && !j.allExist() {
			j.say(d, j.words.known, jsonstream.Progress{HideCounts: true})
		}
		l.finished = true
		return
	}
	j.say(d, j.words.here, jsonstream.Progress{HideCounts: true})
}

func (j *job) allExist() bool {
	for _, l := range j.layers {
		if !l.existed {
			return false
		}
	}
	return true
}

// blobBody counts what is read of a blob and passes on seeks.
type blobBody struct {
	io.ReadCloser
	n     int64
	count func(int64)
}

func (b *blobBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if b.count != nil && n > 0 {
		b.count(b.n)
	}
	if err != nil && err != io.EOF {
		err = registryError{err}
	}
	return n, err
}

// Seek is what content.Copy resumes with.
func (b *blobBody) Seek(offset int64, whence int) (int64, error) {
	s, ok := b.ReadCloser.(io.Seeker)
	if !ok {
		return 0, fmt.Errorf("resume: %w", errdefs.ErrNotImplemented)
	}
	n, err := s.Seek(offset, whence)
	if err == nil {
		b.n = n
	}
	return n, err
}
