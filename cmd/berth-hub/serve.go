package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/seed"
	"github.com/spf13/cobra"
)

// drain is how long requests may still run after the Hub was told to end.
const drain = 10 * time.Second

type serveOptions struct {
	listen, data, accessLog, tlsCert, tlsKey string
	insecure, noSeed                         bool
}

func serveCommand() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the registry until SIGTERM",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return serve(c.Context(), o, c.OutOrStdout()) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:5000", "address and port; port 0 picks a free one")
	f.StringVar(&o.data, "data", "/var/lib/berth-hub", "directory for everything that lasts")
	f.StringVar(&o.accessLog, "access-log", "", "file for one JSON line a request; - is standard output")
	f.StringVar(&o.tlsCert, "tls-cert", "", "certificate file (PEM)")
	f.StringVar(&o.tlsKey, "tls-key", "", "key file (PEM)")
	f.BoolVar(&o.insecure, "insecure", false, "allow plain HTTP on an address that is not loopback")
	f.BoolVar(&o.noSeed, "no-seed", false, "start with an empty store instead of hello-world")
	c.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	return c
}

func serve(ctx context.Context, o serveOptions, stdout io.Writer) (err error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	defer l.Close()
	if o.tlsCert == "" && !o.insecure && !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return fmt.Errorf("%s is not loopback: give --tls-cert and --tls-key, or --insecure for plain HTTP", o.listen)
	}
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return err
	}
	reg, err := registry.New(ctx, registry.Options{Root: filepath.Join(o.data, "registry")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reg.Close()) }()
	if !o.noSeed {
		if err := seed.Into(ctx, reg); err != nil {
			return err
		}
	}
	handler, closeLog, err := withAccessLog(o.accessLog, stdout, reg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()

	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() {
		if o.tlsCert != "" {
			ended <- server.ServeTLS(l, o.tlsCert, o.tlsKey)
			return
		}
		ended <- server.Serve(l)
	}()
	fmt.Fprintf(stdout, "listening on %s\n", l.Addr())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err = server.Shutdown(bounded)
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// withAccessLog wraps the handler when a log is wanted; the function closes it.
func withAccessLog(path string, stdout io.Writer, next http.Handler) (http.Handler, func() error, error) {
	switch path {
	case "":
		return next, func() error { return nil }, nil
	case "-":
		return registry.AccessLog(stdout, next), func() error { return nil }, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return registry.AccessLog(f, next), f.Close, nil
}
