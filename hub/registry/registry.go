// Package registry is the Hub's registry: distribution's handlers over a
// filesystem store, with an access log of its own. It serves OCI distribution
// v1.1 and holds no accounts yet.
package registry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // the storage that New configures
	"github.com/sirupsen/logrus"                                                   //nolint:depguard // distribution logs with it; here it is silenced
)

// maxEntries bounds how many names one catalogue or tag listing returns,
// whatever n a client asks for (CVE-2023-2253).
const maxEntries = 1000

// Options configure a registry.
type Options struct {
	// Root is the directory of the store; it is made when missing.
	Root string
	// Log is told of failures that are the registry's own, such as a full disk;
	// nil means slog.Default.
	Log *slog.Logger
}

// Registry is an http.Handler for /v2/ and nothing else. Close it to end its
// background work.
type Registry struct {
	app *handlers.App
}

// New opens the store. What distribution panics on becomes an error.
func New(ctx context.Context, o Options) (_ *Registry, err error) {
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	silence(log)
	config := &configuration.Configuration{
		Version: "0.1",
		Storage: configuration.Storage{
			"filesystem": configuration.Parameters{"rootdirectory": o.Root},
			"delete":     configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{
				"uploadpurging": map[any]any{"enabled": true, "age": "24h", "interval": "6h", "dryrun": false},
			},
		},
		Catalog: configuration.Catalog{MaxEntries: maxEntries},
		Tags:    configuration.Tags{MaxTags: maxEntries},
	}
	config.HTTP.Secret = "" // distribution makes a random one; there is one node
	config.Log.AccessLog.Disabled = true
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("open the registry in %s: %v", o.Root, p)
		}
	}()
	return &Registry{app: handlers.NewApp(ctx, config)}, nil
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
	f.log.Error("registry", "method", e.Data["http.request.method"], "uri", e.Data["http.request.uri"],
		"error", e.Data["err.message"], "detail", e.Data["err.detail"])
	return nil
}

// ServeHTTP answers a request of the distribution protocol.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.app.ServeHTTP(w, req)
}

// Close ends the registry's background work.
func (r *Registry) Close() error { return r.app.Shutdown() }
