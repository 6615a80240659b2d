package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// serve answers on a unix socket until the test ends.
func serve(t *testing.T, path string, h http.Handler) *httptest.Server {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func answers(capability string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Accept") != mediaType {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		switch r.URL.Path {
		case "/Plugin.Activate":
			fmt.Fprintf(w, `{"Implements": [%q]}`, capability)
		case "/Echo":
			var v any
			_ = json.NewDecoder(r.Body).Decode(&v)
			_ = json.NewEncoder(w).Encode(v)
		case "/Fail":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"Err": "no luck"}`)
		case "/Large":
			_, _ = w.Write(make([]byte, maxAnswer+2))
		default:
			http.NotFound(w, r)
		}
	}
}

func registry(t *testing.T) (*Registry, string) {
	t.Helper()
	dir := t.TempDir()
	return New(Options{Sockets: filepath.Join(dir, "run"), Specs: []string{filepath.Join(dir, "etc"), filepath.Join(dir, "lib")}}), dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each of Docker's ways to say where a plugin is.
func TestFind(t *testing.T) {
	r, dir := registry(t)
	serve(t, filepath.Join(dir, "run/sock.sock"), answers("VolumeDriver"))
	serve(t, filepath.Join(dir, "run/deep/deep.sock"), answers("VolumeDriver"))
	serve(t, filepath.Join(dir, "else.sock"), answers("authz"))
	tcp := httptest.NewServer(answers("NetworkDriver"))
	t.Cleanup(tcp.Close)
	write(t, filepath.Join(dir, "etc/spec.spec"), "unix://"+dir+"/else.sock\n")
	write(t, filepath.Join(dir, "lib/spec.spec"), "unix:///nothing")
	write(t, filepath.Join(dir, "lib/tcp/tcp.spec"), strings.Replace(tcp.URL, "http", "tcp", 1))
	write(t, filepath.Join(dir, "lib/gone.spec"), "unix:///nothing")
	for name, capability := range map[string]string{"sock": "VolumeDriver", "deep": "VolumeDriver", "spec": "authz", "tcp": "NetworkDriver"} {
		p, err := r.Get(t.Context(), name, capability)
		if err != nil || p.Name() != name || !slices.Equal(p.Implements(), []string{capability}) {
			t.Errorf("%s: %+v %v", name, p, err)
		}
		if _, err := r.Get(t.Context(), name, "Other"); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := r.Names(); !slices.Equal(got, []string{"deep", "gone", "sock", "spec", "tcp"}) {
		t.Errorf("%q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if got := r.All(ctx, "VolumeDriver"); len(got) != 2 || got[0].Name() != "deep" {
		t.Errorf("%v", got)
	}
	for _, bad := range []string{"nosuch", "", "..", "a/b", "../run/sock", strings.Repeat("a", 200)} {
		if _, err := r.Get(t.Context(), bad, "VolumeDriver"); !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTLS(t *testing.T) {
	r, dir := registry(t)
	s := httptest.NewTLSServer(answers("VolumeDriver"))
	t.Cleanup(s.Close)
	addr := strings.TrimPrefix(s.URL, "https://")
	write(t, filepath.Join(dir, "etc/skip.json"), `{"Name":"skip","Addr":"https://`+addr+`","TLSConfig":{"InsecureSkipVerify":true}}`)
	write(t, filepath.Join(dir, "etc/strict.json"), `{"Name":"strict","Addr":"tcp://`+addr+`","TLSConfig":{}}`)
	write(t, filepath.Join(dir, "etc/noca.json"), `{"Name":"noca","Addr":"tcp://`+addr+`","TLSConfig":{"CAFile":"/nonexistent"}}`)
	if _, err := r.Get(t.Context(), "skip", "VolumeDriver"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"strict": "certificate", "noca": "/nonexistent"} {
		if _, err := r.Get(t.Context(), name, "VolumeDriver"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A spec that others can write is not believed.
func TestOwned(t *testing.T) {
	r, dir := registry(t)
	file := filepath.Join(dir, "etc/open.spec")
	write(t, file, "unix:///x")
	if err := os.Chmod(file, 0o666); err != nil { //nolint:gosec // that is what is tested
		t.Fatal(err)
	}
	if _, err := r.Get(t.Context(), "open", "VolumeDriver"); !errdefs.IsPermissionDenied(err) {
		t.Error(err)
	}
	write(t, filepath.Join(dir, "lib/below.spec"), "unix:///x")
	if err := os.Chmod(filepath.Join(dir, "lib"), 0o777); err != nil { //nolint:gosec // that is what is tested
		t.Fatal(err)
	}
	if _, err := r.Get(t.Context(), "below", "VolumeDriver"); !errdefs.IsPermissionDenied(err) {
		t.Error(err)
	}
	for name, text := range map[string]string{"empty": "", "words": "just words", "ftp": "ftp://x"} {
		write(t, filepath.Join(dir, "etc", name+".spec"), text)
		if _, err := r.Get(t.Context(), name, "VolumeDriver"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCall(t *testing.T) {
	r, dir := registry(t)
	sock := filepath.Join(dir, "run/p.sock")
	s := serve(t, sock, answers("VolumeDriver"))
	p, err := r.Get(t.Context(), "p", "VolumeDriver")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := p.Call(t.Context(), "Echo", map[string]string{"a": "b"}, &got); err != nil || got["a"] != "b" {
		t.Errorf("%v %v", got, err)
	}
	var ce *CallError
	if err := p.Call(t.Context(), "Fail", nil, nil); !errors.As(err, &ce) || ce.Text != "no luck" || ce.Missing() {
		t.Error(err)
	}
	if err := p.Call(t.Context(), "Unknown", nil, nil); !errors.As(err, &ce) || !ce.Missing() {
		t.Error(err)
	}
	if err := p.Call(t.Context(), "Large", nil, &got); !errdefs.IsResourceExhausted(err) {
		t.Error(err)
	}
	// It goes away, and comes back while it is called.
	s.Close()
	back := make(chan error, 1)
	go func() { back <- p.Call(t.Context(), "Echo", map[string]string{"c": "d"}, &got) }()
	serve(t, sock, answers("VolumeDriver"))
	if err := <-back; err != nil || got["c"] != "d" {
		t.Errorf("%v %v", got, err)
	}
}

func FuzzSpec(f *testing.F) {
	f.Add(`{"Addr":"unix:///a","TLSConfig":{"CAFile":"x"}}`)
	f.Add("tcp://[::1]:80")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		for _, ext := range []string{".spec", ".json"} {
			path := filepath.Join(dir, "x"+ext)
			write(t, path, text)
			if a, err := readSpec("x", path); err == nil {
				_, _ = open("x", a)
			}
		}
	})
}
