// Package registry is the Hub's registry: distribution's handlers and storage,
// with the Hub's own names, tags, rights and referrers around them. It serves OCI
// distribution v1.1.
//
// Where a repository lies in the storage is the catalogue's to say, so that a
// rename moves nothing; its tags are the catalogue's, too. Which repository a
// request is about, and what it wants there, is decided once, by distribution's
// own router; rights are checked on what that decided. Blobs are reached only
// through repositories that link them.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/token"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // the storage of one node
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus" //nolint:depguard // distribution logs with it; here it is silenced
)

// maxEntries bounds how many names one catalogue or tag listing returns,
// whatever n a client asks for (CVE-2023-2253).
const maxEntries = 1000

// Options configure a registry.
type Options struct {
	// Storage is where content is kept; see Filesystem.
	Storage configuration.Storage
	// Catalog knows the repositories.
	Catalog *catalog.Service
	// Identify says who a request's Authorization header is from
	// (token.Service.Identify). It is needed unless the catalogue is open.
	Identify func(ctx context.Context, authorization string) (token.Identity, error)
	// PublicURL is how clients reach the Hub, as https://hub.example.com; empty is
	// as they say themselves in each request.
	PublicURL string
	// Secret signs the state of uploads; all nodes of a Hub have the same one.
	Secret string
	// Log is told of failures that are the registry's own, such as a full disk;
	// nil means slog.Default.
	Log *slog.Logger
	// Relies is told of blobs that a push goes on to rely on, before the push is
	// told that they are there; nil where nothing collects garbage.
	Relies func(ctx context.Context, blobs ...digest.Digest) error
	// Events are called after a push or deletion lasts and before it is
	// acknowledged, and for counted pulls. They must be quick.
	Events []func(ctx context.Context, e Event)
}

// Filesystem is a storage in a directory, which is made when missing.
func Filesystem(root string) configuration.Storage {
	return configuration.Storage{"filesystem": configuration.Parameters{"rootdirectory": root}}
}

// Registry is an http.Handler for /v2/ and nothing else. Close it to end its
// background work.
type Registry struct {
	app    *handlers.App
	o      Options
	inner  distribution.Namespace // names are those of the storage
	driver driver.StorageDriver
}

// New opens the store. What distribution panics on becomes an error.
func New(ctx context.Context, o Options) (_ *Registry, err error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	silence(o.Log)
	if err := register(); err != nil {
		return nil, err
	}
	r := &Registry{o: o}
	config := &configuration.Configuration{
		Version: "0.1",
		Storage: configuration.Storage{
			"delete":   configuration.Parameters{"enabled": true},
			"redirect": configuration.Parameters{"disable": true},
			"maintenance": configuration.Parameters{
				"uploadpurging": map[any]any{"enabled": true, "age": "24h", "interval": "6h", "dryrun": false},
			},
		},
		Catalog:    configuration.Catalog{MaxEntries: maxEntries},
		Tags:       configuration.Tags{MaxTags: maxEntries},
		Middleware: map[string][]configuration.Middleware{"registry": {{Name: ours, Options: configuration.Parameters{"registry": r}}}},
		Auth:       configuration.Auth{ours: configuration.Parameters{"registry": r}},
	}
	for kind, parameters := range o.Storage {
		config.Storage[kind] = parameters
	}
	// Layers that may lie elsewhere are allowed, as OCI wants; their addresses are
	// the client's to judge.
	config.Validation.Manifests.URLs.Allow = []string{"^https?://"}
	config.HTTP.Host = o.PublicURL
	config.HTTP.Secret = o.Secret // when it is empty, distribution makes a random one
	config.Log.AccessLog.Disabled = true
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("open the registry's storage: %v", p)
		}
	}()
	r.app = handlers.NewApp(ctx, config)
	return r, r.adopt(ctx)
}

// relies passes on what a push relies on.
func (r *Registry) relies(ctx context.Context, blobs ...digest.Digest) error {
	if r.o.Relies == nil {
		return nil
	}
	return r.o.Relies(ctx, blobs...)
}

// Driver is the storage itself, for collecting garbage.
func (r *Registry) Driver() driver.StorageDriver { return r.driver }

// Repository opens the content of a repository that the catalogue has, for the
// Hub's own work. Nothing is checked, recorded or announced.
func (r *Registry) Repository(ctx context.Context, c catalog.Repository) (distribution.Repository, error) {
	name, err := storageName(c)
	if err != nil {
		return nil, err
	}
	return r.inner.Repository(ctx, name)
}

// silence turns off distribution's own logging, which is one for the whole
// process: requests are in the access log, and what a client did wrong is
// answered to the client. What remains, the registry's own failures, goes to
// log.
func silence(log *slog.Logger) {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.ErrorLevel)
	logrus.StandardLogger().ReplaceHooks(logrus.LevelHooks{logrus.ErrorLevel: {failures{log}}})
}

// failures is a logrus.Hook that forwards the answers without a code of the
// protocol, which distribution gives when it is itself at fault.
type failures struct{ log *slog.Logger }

func (failures) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

func (f failures) Fire(e *logrus.Entry) error {
	if e.Data["err.code"] != errcode.ErrorCodeUnknown {
		return nil
	}
	if err, ok := e.Data["err.detail"].(error); ok && (errdefs.IsPermissionDenied(err) || errdefs.IsNotFound(err) || errors.Is(err, context.Canceled)) {
		return nil // the client was told, by refused, or is gone
	}
	f.log.Error("registry", "method", e.Data["http.request.method"], "uri", e.Data["http.request.uri"],
		"error", e.Data["err.message"], "detail", e.Data["err.detail"])
	return nil
}

// Close ends the registry's background work.
func (r *Registry) Close() error { return r.app.Shutdown() }
