package autobuild

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/jsonstream"
	registrytypes "github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// build does the work of one build: context, image, push.
func (s *Service) build(ctx context.Context, e Engine, b *Build, log *buildLog) error {
	repository, err := s.Catalog.ByID(ctx, b.repository)
	if err != nil {
		return err
	}
	name := repository.Name
	dir, err := s.checkout(ctx, b, log)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir.temporary)
	b.Tags = b.Rule.tags(b.Ref, b.Commit)
	wanted, err := b.Rule.platforms()
	if err != nil {
		return err
	}
	engine, err := connect(e)
	if err != nil {
		return err
	}
	defer engine.Close()
	w := job{Service: s, engine: engine, to: e.Registry + "/" + name, name: name, b: b, log: log, dir: dir.path}
	log.printf("building %s of %s (%s) in the engine %s", b.Commit, b.Ref, strings.Join(b.Tags, ", "), e.Name)
	if len(wanted) > 1 {
		return w.several(ctx, wanted)
	}
	b.Digest, err = w.one(ctx, b.Tags, wanted)
	return err
}

// job is one build while it is done.
type job struct {
	*Service
	engine   *client.Client
	to, name string // the repository's name for the engine, and here
	b        *Build
	log      *buildLog
	dir      string // of the commit's Git repository
}

// one builds for one platform ([] is the engine's own) and pushes that under tags.
func (w job) one(ctx context.Context, tags []string, platform []ocispec.Platform) (digest.Digest, error) {
	var refs []string
	for _, t := range tags {
		refs = append(refs, w.to+":"+t)
	}
	defer removeImages(ctx, w.engine, refs)
	if err := w.image(ctx, refs, platform); err != nil {
		return "", err
	}
	return w.push(ctx, refs)
}

// several builds for each platform and makes one image of them. A part is pushed
// under a tag of its own, since engines push nothing without one; the tag goes
// when the image is there.
func (w job) several(ctx context.Context, wanted []ocispec.Platform) (err error) {
	var parts []registry.Part
	defer func() {
		// Also of a build that was cancelled.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, w.removeParts(bounded, *w.b))
	}()
	for i, p := range wanted {
		w.log.printf("for %s", platforms.Format(p))
		d, err := w.one(ctx, []string{part(*w.b, i)}, []ocispec.Platform{p})
		if err != nil {
			return fmt.Errorf("for %s: %w", platforms.Format(p), err)
		}
		parts = append(parts, registry.Part{Platform: p, Digest: d})
	}
	w.b.Digest, err = w.Index(ctx, w.name, parts, w.b.Tags)
	if err == nil {
		w.log.printf("made %s of %d platforms", w.b.Digest, len(parts))
	}
	return err
}

// part is the tag of a build's part.
func part(b Build, i int) string { return fmt.Sprintf("%s%s-%d", catalog.Transient, b.ID, i) }

// removeParts takes the tags of a build's parts away; those that are not there
// are no error.
func (s *Service) removeParts(ctx context.Context, b Build) error {
	if len(b.Rule.Platforms) < 2 {
		return nil
	}
	repository, err := s.Catalog.ByID(ctx, b.repository)
	if errdefs.IsNotFound(err) {
		return nil
	}
	for i := range b.Rule.Platforms {
		if err == nil {
			_, err = s.Catalog.Untag(ctx, account.System("autobuild"), repository, part(b, i))
		}
		if errdefs.IsNotFound(err) {
			err = nil
		}
	}
	return err
}

// place is where a commit can be read; temporary is removed afterwards.
type place struct{ path, temporary string }

// checkout finds the commit: here, or fetched from elsewhere.
func (s *Service) checkout(ctx context.Context, b *Build, log *buildLog) (place, error) {
	src, err := source(ctx, s.DB, b.repository)
	if err != nil {
		return place{}, err
	}
	if src.Kind == Hosted {
		return place{path: s.git.path(b.repository)}, nil
	}
	log.printf("fetching %s of %s", b.Ref, src.URL)
	from := remote{url: src.URL, username: src.Username}
	if src.password != "" {
		if from.password, err = s.Key.Open(loginPurpose(b.repository), src.password); err != nil {
			return place{}, err
		}
	}
	dir, sha, err := s.git.fetch(ctx, from, b.Ref, log)
	if err != nil {
		return place{}, err
	}
	if sha != b.Commit {
		log.printf("the ref leads to %s by now, which is built", sha)
		b.Commit = sha
	}
	return place{path: dir, temporary: dir}, nil
}

func connect(e Engine) (*client.Client, error) {
	opts := []client.Opt{client.WithHost(e.Host), client.WithUserAgent("berth-hub")}
	if e.CA+e.Cert != "" {
		opts = append(opts, client.WithTLSClientConfig(e.CA, e.Cert, e.Key))
	}
	return client.New(opts...)
}

// image builds. The context is written by git while the engine reads it.
func (w job) image(ctx context.Context, refs []string, platform []ocispec.Platform) error {
	r, out := io.Pipe()
	archived := make(chan error, 1)
	go func() {
		err := w.git.archive(ctx, w.dir, w.b.Commit, w.b.Rule.Context, out)
		out.CloseWithError(err)
		archived <- err
	}()
	o := client.ImageBuildOptions{
		Tags: refs, Dockerfile: w.b.Rule.Dockerfile, Remove: true, ForceRemove: true, BuildArgs: map[string]*string{}, Platforms: platform,
		Labels: map[string]string{"org.opencontainers.image.revision": w.b.Commit},
	}
	for k, v := range w.b.Rule.Args {
		o.BuildArgs[k] = &v
	}
	result, err := w.engine.ImageBuild(ctx, r, o)
	if err == nil {
		err = errors.Join(follow(result.Body, w.log, nil), result.Body.Close())
	}
	r.CloseWithError(errors.New("the engine does not want more"))
	if e := <-archived; e != nil && err != nil {
		return fmt.Errorf("%w (%w)", err, e)
	}
	return err
}

// follow copies an engine's progress to the log until it ends, and returns the
// error that it tells. aux is shown what is meant for programs.
func follow(r io.Reader, log *buildLog, aux func(json.RawMessage)) error {
	messages := json.NewDecoder(r)
	for {
		var m jsonstream.Message
		err := messages.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("the engine's progress: %w", err)
		case m.Error != nil:
			return m.Error
		case m.Aux != nil && aux != nil:
			aux(*m.Aux)
		case m.Stream != "":
			_, _ = io.WriteString(log, m.Stream) // it never fails
		case m.Status != "" && m.Progress == nil:
			log.printf("%s", strings.TrimPrefix(m.ID+": "+m.Status, ": "))
		}
	}
}

// push pushes the image's tags with a login of its own.
func (w job) push(ctx context.Context, refs []string) (pushed digest.Digest, err error) {
	id, login, secret, err := w.Credentials.Open(ctx, w.name, w.b.ID, time.Now().Add(maxTime))
	if err != nil {
		return "", err
	}
	if id != "" {
		defer func() {
			// Also of a build that was cancelled.
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			err = errors.Join(err, w.Credentials.Close(bounded, id))
		}()
		if _, err := w.DB.Exec(ctx, "UPDATE builds SET robot = ? WHERE id = ?", id, w.b.ID); err != nil {
			return "", err
		}
	}
	host, _, _ := strings.Cut(refs[0], "/")
	credentials, err := json.Marshal(registrytypes.AuthConfig{Username: login, Password: secret, ServerAddress: host})
	if err != nil {
		return "", err
	}
	for _, ref := range refs {
		w.log.printf("pushing %s", ref)
		progress, err := w.engine.ImagePush(ctx, ref, client.ImagePushOptions{RegistryAuth: base64.URLEncoding.EncodeToString(credentials)})
		if err != nil {
			return "", err
		}
		err = follow(progress, w.log, func(raw json.RawMessage) {
			var said struct {
				Digest digest.Digest `json:"Digest"`
			}
			if json.Unmarshal(raw, &said) == nil && said.Digest != "" {
				pushed = said.Digest
			}
		})
		if err := errors.Join(err, progress.Close()); err != nil {
			return "", err
		}
	}
	w.log.printf("pushed %s", pushed)
	return pushed, nil
}

// removeImages takes the tags away from the engine; its build cache stays.
func removeImages(ctx context.Context, engine *client.Client, refs []string) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for _, ref := range refs {
		_, _ = engine.ImageRemove(bounded, ref, client.ImageRemoveOptions{}) // it may never have been built
	}
}
