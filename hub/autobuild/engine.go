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

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
)

// build does the work of one build: context, image, push.
func (s *Service) build(ctx context.Context, e Engine, b *Build, log *buildLog) error {
	name, err := s.Name(ctx, b.repository)
	if err != nil {
		return err
	}
	dir, err := s.checkout(ctx, b, log)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir.temporary)
	b.Tags = b.Rule.tags(b.Ref, b.Commit)
	engine, err := connect(e)
	if err != nil {
		return err
	}
	defer engine.Close()
	var refs []string
	for _, t := range b.Tags {
		refs = append(refs, e.Registry+"/"+name+":"+t)
	}
	log.printf("building %s of %s (%s) in the engine %s", b.Commit, b.Ref, strings.Join(b.Tags, ", "), e.Name)
	defer removeImages(ctx, engine, refs)
	if err := s.image(ctx, engine, b, dir.path, refs, log); err != nil {
		return err
	}
	return s.push(ctx, engine, b, name, refs, log)
}

// place is where a commit can be read; temporary is removed afterwards.
type place struct{ path, temporary string }

// checkout finds the commit: here, or fetched from elsewhere.
func (s *Service) checkout(ctx context.Context, b *Build, log *buildLog) (place, error) {
	src, err := s.Source(ctx, b.repository)
	if err != nil {
		return place{}, err
	}
	if src.Kind == Hosted {
		return place{path: s.git.path(b.repository)}, nil
	}
	log.printf("fetching %s of %s", b.Ref, src.URL)
	dir, sha, err := s.git.fetch(ctx, src.URL, b.Ref, log)
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
func (s *Service) image(ctx context.Context, engine *client.Client, b *Build, dir string, refs []string, log *buildLog) error {
	r, w := io.Pipe()
	archived := make(chan error, 1)
	go func() {
		err := s.git.archive(ctx, dir, b.Commit, b.Rule.Context, w)
		w.CloseWithError(err)
		archived <- err
	}()
	o := client.ImageBuildOptions{
		Tags: refs, Dockerfile: b.Rule.Dockerfile, Remove: true, ForceRemove: true, BuildArgs: map[string]*string{},
		Labels: map[string]string{"org.opencontainers.image.revision": b.Commit},
	}
	for k, v := range b.Rule.Args {
		o.BuildArgs[k] = &v
	}
	result, err := engine.ImageBuild(ctx, r, o)
	if err == nil {
		err = errors.Join(follow(result.Body, log, nil), result.Body.Close())
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
func (s *Service) push(ctx context.Context, engine *client.Client, b *Build, name string, refs []string, log *buildLog) (err error) {
	id, login, secret, err := s.Credentials.Open(ctx, name, b.ID, time.Now().Add(maxTime))
	if err != nil {
		return err
	}
	if id != "" {
		defer func() {
			// Also of a build that was cancelled.
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			err = errors.Join(err, s.Credentials.Close(bounded, id))
		}()
		if _, err := s.DB.Exec(ctx, "UPDATE builds SET robot = ? WHERE id = ?", id, b.ID); err != nil {
			return err
		}
	}
	host, _, _ := strings.Cut(refs[0], "/")
	credentials, err := json.Marshal(registry.AuthConfig{Username: login, Password: secret, ServerAddress: host})
	if err != nil {
		return err
	}
	for _, ref := range refs {
		log.printf("pushing %s", ref)
		progress, err := engine.ImagePush(ctx, ref, client.ImagePushOptions{RegistryAuth: base64.URLEncoding.EncodeToString(credentials)})
		if err != nil {
			return err
		}
		err = follow(progress, log, func(raw json.RawMessage) {
			var pushed struct {
				Digest string `json:"Digest"`
			}
			if json.Unmarshal(raw, &pushed) == nil && pushed.Digest != "" {
				b.Digest = pushed.Digest
			}
		})
		if err := errors.Join(err, progress.Close()); err != nil {
			return err
		}
	}
	log.printf("pushed %s", b.Digest)
	return nil
}

// removeImages takes the tags away from the engine; its build cache stays.
func removeImages(ctx context.Context, engine *client.Client, refs []string) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for _, ref := range refs {
		_, _ = engine.ImageRemove(bounded, ref, client.ImageRemoveOptions{}) // it may never have been built
	}
}
