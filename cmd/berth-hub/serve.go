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
	"time"

	"github.com/berth-engine/berth/hub/registry"
	"github.com/spf13/cobra"
)

// drain is how long requests may still run after the Hub was told to end.
const drain = 10 * time.Second

type serveOptions struct {
	dataOptions
	automationOptions
	frontOptions
	listen, storage, publicURL, accessLog, tlsCert, tlsKey string
	insecure, noSeed, accounts, insecureOpen, signUp       bool
}

func serveCommand() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the Hub until SIGTERM",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return serve(c.Context(), o, c.OutOrStdout()) },
	}
	f := c.Flags()
	o.dataOptions.flags(f)
	o.keyFlag(f)
	o.automationOptions.flags(f)
	o.frontOptions.flags(f)
	f.StringVar(&o.listen, "listen", "127.0.0.1:5000", "address and port; port 0 picks a free one")
	f.StringVar(&o.storage, "storage", "", "where images are kept: a directory, or s3://BUCKET[/PREFIX]?region=…&endpoint=…&path-style=true, with credentials from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY); the default is registry below --data")
	f.StringVar(&o.publicURL, "public-url", "", "how clients reach the Hub, as https://hub.example.com; needed behind a proxy that ends TLS")
	f.StringVar(&o.accessLog, "access-log", "", "file for one JSON line a request; - is standard output")
	f.StringVar(&o.tlsCert, "tls-cert", "", "certificate file (PEM); it is read again when it changes")
	f.StringVar(&o.tlsKey, "tls-key", "", "key file (PEM)")
	f.BoolVar(&o.insecure, "insecure", false, "allow plain HTTP on an address that is not loopback")
	f.BoolVar(&o.accounts, "accounts", false, "people must sign in to push, and to pull what is not public; so it is anyhow on an address that is not loopback")
	f.BoolVar(&o.insecureOpen, "insecure-open", false, "no accounts on an address that is not loopback: whoever reaches it may push and delete")
	f.BoolVar(&o.signUp, "sign-up", false, "let everybody make an account; otherwise administrators do")
	f.BoolVar(&o.noSeed, "no-seed", false, "start with an empty store instead of hello-world")
	c.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	c.MarkFlagsMutuallyExclusive("accounts", "insecure-open")
	return c
}

func serve(ctx context.Context, o serveOptions, stdout io.Writer) (err error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	defer l.Close()
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		if o.tlsCert == "" && !o.insecure {
			return fmt.Errorf("%s is not loopback: give --tls-cert and --tls-key, or --insecure for plain HTTP", o.listen)
		}
		o.accounts = !o.insecureOpen
	}
	if err := checkPublicURL(o.publicURL); err != nil {
		return err
	}
	h, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	handler, closeLog, err := withAccessLog(o.accessLog, stdout, h.handler())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()

	server := &http.Server{
		Handler: h.from(handler), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(h.api.Stop) // logs that are followed have no end of their own
	server.RegisterOnShutdown(h.site.Stop)
	if o.tlsCert != "" {
		if server.TLSConfig, err = certificates(o.tlsCert, o.tlsKey); err != nil {
			return err
		}
	}
	// What works in the background ends after the last request.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	working := h.run(background)
	ended := make(chan error, 1)
	go func() {
		if o.tlsCert != "" {
			ended <- server.ServeTLS(l, "", "")
			return
		}
		ended <- server.Serve(l)
	}()
	fmt.Fprintf(stdout, "listening on %s\n", l.Addr())
	h.greet(context.WithoutCancel(ctx), stdout)
	select {
	case err = <-ended:
	case err = <-working:
		working <- nil
		err = errors.Join(err, server.Close(), <-ended)
	case <-ctx.Done():
		h.ending.Store(true)
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		err = server.Shutdown(bounded)
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	end()
	return errors.Join(err, <-working)
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
