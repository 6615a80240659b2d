package e2e

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// TestRemoteContexts builds what has an address, by POST /build as SDKs send it: a
// Dockerfile, a tar, a repository and a folder of one; and by the clients, of which the
// stock one without a plugin fetches a repository itself.
func TestRemoteContexts(t *testing.T) {
	d := started(t)
	site := httptest.NewServer(contextsOf(t))
	defer site.Close()
	must(t, d, "berth", "pull", "-q", "busybox")
	for remote, want := range map[string]string{
		"/Dockerfile":        "alone",
		"/context.tar.gz":    "in a tar",
		"/repo.git":          "at the top",
		"/repo.git#main:sub": "in a folder",
	} {
		for _, version := range []string{"1", "2"} {
			status, text := postBuild(t, d, url.Values{"remote": {site.URL + remote}, "t": {"remote"}, "version": {version}, "nocache": {"1"}})
			if status != http.StatusOK || strings.Contains(text, "errorDetail") {
				t.Errorf("%s, version %s: %d %s", remote, version, status, text)
				continue
			}
			if got := must(t, d, "berth", "run", "--rm", "remote"); got != want+"\n" {
				t.Errorf("%s, version %s, is %q", remote, version, got)
			}
		}
		for _, client := range [][]string{
			{"berth", "build", "--no-cache"}, {"env", "DOCKER_BUILDKIT=0", "docker", "build", "--no-cache"},
		} {
			must(t, d, append(client, "-q", "-t", "remote", site.URL+remote)...)
			if got := must(t, d, "berth", "run", "--rm", "remote"); got != want+"\n" {
				t.Errorf("%s by %q is %q", remote, client, got)
			}
		}
	}
	for remote, want := range map[string]string{
		site.URL + "/none":         "invalid response status 404",
		site.URL + "/repo.git#top": "top",
		"/etc":                     "remoteURL (/etc) could not be recognized as URL",
		"ftp://" + site.URL[7:]:    "could not be recognized as URL",
		site.URL + "/endless":      "it has more than 1MiB",
		site.URL + "/packed":       "it has more than 1MiB",
		site.URL + "/adds":         "it has more than 1MiB",
		site.URL + "/large.git":    "clone " + site.URL + "/large.git: it has more than 1MiB",
		site.URL + "/clones":       "clone " + site.URL + "/large.git: it has more than 1MiB",
	} {
		restart(t, d, `{"builder": {"maxDownload": "1m"}}`)
		status, text := postBuild(t, d, url.Values{"remote": {remote}})
		if status < 400 && !strings.Contains(text, "errorDetail") || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", remote, status, text)
		}
	}
	if left := must(t, d, "berth", "buildx", "du", "--verbose"); strings.Contains(left, "large.git") {
		t.Errorf("a repository that is too large stays:\n%s", left)
	}
	restart(t, d, "{}")
	must(t, d, "berth", "rmi", "-f", "remote")
}

// restart gives a daemon another configuration, if it has not got it.
func restart(t *testing.T, d *engine.Daemon, config string) {
	t.Helper()
	path := filepath.Join(d.Dir, "daemon.json")
	if was, err := os.ReadFile(path); err == nil && string(was) == config {
		return
	}
	if err := errors.Join(d.Stop(), os.WriteFile(path, []byte(config), 0o600), d.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// postBuild asks for a build without a context of its own.
func postBuild(t *testing.T, d *engine.Daemon, q url.Values) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://berth/v1.50/build?"+q.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := d.Client()
	defer c.CloseIdleConnections()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// contextsOf serves contexts, and some without end.
func contextsOf(t *testing.T) http.Handler {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	const copies = "FROM busybox\nCOPY file /file\nCMD [\"cat\", \"/file\"]\n"
	write("Dockerfile", "FROM busybox\nCMD [\"echo\", \"alone\"]\n")
	write("tar/Dockerfile", copies)
	write("tar/file", "in a tar\n")
	write("work/Dockerfile", copies)
	write("work/file", "at the top\n")
	write("work/sub/Dockerfile", copies)
	write("work/sub/file", "in a folder\n")
	run("tar", "-C", filepath.Join(dir, "tar"), "-czf", filepath.Join(dir, "context.tar.gz"), ".")
	git := func(args ...string) {
		run("git", append([]string{"-C", filepath.Join(dir, "work"), "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
	}
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("commit", "-q", "-m", "all")
	git("branch", "-q", "master") // which the stock client wants
	git("clone", "-q", "--bare", ".", filepath.Join(dir, "repo.git"))
	// Packed it is small; what is checked out is not.
	write("work/zeros", strings.Repeat("\x00", 2<<20))
	git("add", ".")
	git("commit", "-q", "-m", "zeros")
	git("clone", "-q", "--bare", ".", filepath.Join(dir, "large.git"))
	mux := http.NewServeMux()
	mux.Handle("/", remoteContexts(t, dir))
	mux.HandleFunc("/clones", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "FROM scratch\nADD http://"+r.Host+"/large.git /x\n")
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for some := make([]byte, 1<<16); ; {
			if _, err := w.Write(some); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/packed", func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(make([]byte, 2<<20))
		_ = z.Close() // into memory
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	})
	mux.HandleFunc("/adds", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "FROM scratch\nADD http://"+r.Host+"/endless /x\n")
	})
	return mux
}
