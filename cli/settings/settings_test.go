package settings

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/registry"
)

func load(t *testing.T, text string) (*File, string) {
	t.Helper()
	dir := t.TempDir()
	if text != "" {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f, dir
}

func TestLoad(t *testing.T) {
	f, _ := load(t, `{
		"auths": {
			"https://index.docker.io/v1/": {"auth": "dXNlcjpwYTpzcw=="},
			"http://reg.example:5000/v2/": {"auth": "YTpi", "identitytoken": "tok"},
			"bad.example": {"auth": "!!"}
		},
		"HttpHeaders": {"X-A": "b"}, "psFormat": "{{.ID}}", "imagesFormat": "{{.Tag}}", "detachKeys": "ctrl-x",
		"proxies": {"default": {"httpProxy": "http://p"}}
	}`)
	if f.HTTPHeaders["X-A"] != "b" || f.PsFormat != "{{.ID}}" || f.ImagesFormat != "{{.Tag}}" || f.DetachKeys != "ctrl-x" {
		t.Errorf("got %+v", f)
	}
	for server, want := range map[string]registry.AuthConfig{
		Hub:                     {Username: "user", Password: "pa:ss", ServerAddress: Hub},
		"reg.example:5000":      {Username: "a", Password: "b", IdentityToken: "tok", ServerAddress: "reg.example:5000"},
		"reg.example":           {},
		"evil.reg.example:5000": {},
	} {
		if got, err := f.Credentials(server); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", server, got, err)
		}
	}
	if _, err := f.Credentials("bad.example"); err == nil {
		t.Error("broken credentials must be an error")
	}
}

func TestLoadBroken(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(dir)
	if err == nil || !strings.Contains(err.Error(), "config.json") || f == nil {
		t.Errorf("got %v, %v", f, err)
	}
	if f, err := Load(filepath.Join(dir, "none")); err != nil || f == nil {
		t.Errorf("a missing file is an empty one: %v", err)
	}
}

func TestStoreAndErase(t *testing.T) {
	f, dir := load(t, `{"currentContext": "x", "auths": {"other": {"auth": "YTpi"}}}`)
	path := filepath.Join(dir, "config.json")
	c := registry.AuthConfig{ServerAddress: "reg.example", Username: "u", Password: "p"}
	plain, err := f.Store(c)
	if err != nil || !plain {
		t.Fatalf("got %v, %v", plain, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Credentials("reg.example"); err != nil || got != c {
		t.Errorf("got %+v, %v", got, err)
	}
	var raw map[string]any
	data, _ := os.ReadFile(path)
	if err := json.Unmarshal(data, &raw); err != nil || raw["currentContext"] != "x" {
		t.Errorf("other settings are lost: %s", data)
	}
	if plain, err := again.Store(c); err != nil || plain {
		t.Errorf("storing the same again: %v, %v", plain, err)
	}
	if err := again.Erase("https://reg.example"); err != nil {
		t.Fatal(err)
	}
	last, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := last.Credentials("reg.example"); got != (registry.AuthConfig{}) {
		t.Errorf("got %+v", got)
	}
	if got, _ := last.Credentials("other"); got.Username != "a" {
		t.Errorf("got %+v", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".config*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestStoreThroughLink(t *testing.T) {
	real := filepath.Join(t.TempDir(), "real.json")
	if err := os.WriteFile(real, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "config.json")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	f, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Store(registry.AuthConfig{ServerAddress: "r", Username: "u", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info.Mode(), err)
	}
	if data, _ := os.ReadFile(real); !strings.Contains(string(data), "auths") {
		t.Errorf("got %s", data)
	}
}

// helperScript is a credential helper that keeps one secret in a file.
const helperScript = `#!/bin/sh
f="$(dirname "$0")/secret"
case "$1" in
get) read -r s; if [ -f "$f" ] && grep -q "\"$s\"" "$f"; then cat "$f"; else echo "credentials not found in native keychain"; exit 1; fi;;
store) cat > "$f";;
erase) rm -f "$f";;
esac
`

func TestHelper(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-test"), []byte(helperScript), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	f, dir := load(t, `{"credHelpers": {"reg.example": "test"}}`)
	if got, err := f.Credentials("reg.example"); err != nil || got != (registry.AuthConfig{}) {
		t.Errorf("nothing stored: got %+v, %v", got, err)
	}
	if plain, err := f.Store(registry.AuthConfig{ServerAddress: "reg.example", Username: "u", Password: "secret!"}); err != nil || plain {
		t.Fatalf("got %v, %v", plain, err)
	}
	if all, err := f.All(); err != nil || len(all) != 1 || all["reg.example"].Password != "secret!" {
		t.Errorf("all: got %+v, %v", all, err)
	}
	got, err := f.Credentials("reg.example")
	if err != nil || got.Username != "u" || got.Password != "secret!" {
		t.Errorf("got %+v, %v", got, err)
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "config.json")); strings.Contains(string(data), "secret") {
		t.Errorf("the secret is in the file: %s", data)
	}
	if _, err := f.Store(registry.AuthConfig{ServerAddress: "reg.example", IdentityToken: "tok"}); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Credentials("reg.example"); err != nil || got.IdentityToken != "tok" || got.Password != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := f.Erase("reg.example"); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Credentials("reg.example"); err != nil || got != (registry.AuthConfig{}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestHelperMissing(t *testing.T) {
	f, _ := load(t, `{"credsStore": "no-such-helper-here"}`)
	if _, err := f.Credentials(Hub); err == nil {
		t.Error("a helper that cannot be run must be an error")
	}
	if _, err := f.All(); err == nil || !strings.Contains(err.Error(), "no-such-helper-here") {
		t.Errorf("all: %v", err)
	}
}

func TestProxyEnv(t *testing.T) {
	f, _ := load(t, `{"proxies": {"default": {"httpProxy": "http://d", "noProxy": "x"}, "tcp://h:1": {"httpsProxy": "http://h"}}}`)
	got := f.ProxyEnv("unix:///s", []string{"A=b", "http_proxy=mine", "NO_PROXY"})
	want := []string{"HTTP_PROXY=http://d", "no_proxy=x", "A=b", "http_proxy=mine", "NO_PROXY"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	if got := f.ProxyEnv("tcp://h:1", nil); !reflect.DeepEqual(got, []string{"HTTPS_PROXY=http://h", "https_proxy=http://h"}) {
		t.Errorf("got %q", got)
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"https://reg.example/v2/": "reg.example", "http://reg.example:5000": "reg.example:5000",
		"reg.example:5000/x": "reg.example:5000", "reg.example": "reg.example",
	} {
		if got := Hostname(in); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
	if ServerFor("docker.io") != Hub || ServerFor("quay.io") != "quay.io" {
		t.Error("ServerFor")
	}
	t.Setenv("DOCKER_CONFIG", "/from/env")
	if Dir("") != "/from/env" || Dir("/flag") != "/flag" {
		t.Error("Dir")
	}
	t.Setenv("DOCKER_CONFIG", "")
	t.Setenv("HOME", "/home/u")
	if Dir("") != "/home/u/.docker" {
		t.Errorf("got %q", Dir(""))
	}
}
