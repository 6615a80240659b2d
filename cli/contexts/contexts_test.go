package contexts

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// dockers is a file as Docker's command line writes it, with an endpoint of
// another kind.
const dockers = `{"Name":"prod","Metadata":{"Description":"the big one","Extra":1},` +
	`"Endpoints":{"docker":{"Host":"tcp://h:2376","SkipTLSVerify":true},"kubernetes":{"x":"y"}}}`

func TestDockersContexts(t *testing.T) {
	s := Open(t.TempDir())
	for file, data := range map[string]string{
		s.MetaDir("prod") + "/meta.json":     dockers,
		s.TLSDir("prod") + "/docker/ca.pem":  "CA",
		s.MetaDir("bad") + "/meta.json":      "{",
		filepath.Join(s.dir, "meta", "file"): "",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.Get("prod")
	if err != nil || c.Host != "tcp://h:2376" || !c.SkipVerify || c.Description != "the big one" || string(c.TLS.CA) != "CA" {
		t.Fatalf("%+v, %v", c, err)
	}
	all, err := s.List()
	if len(all) != 1 || err == nil || !strings.Contains(err.Error(), ID("bad")) {
		t.Errorf("%v, %v", all, err)
	}
	c.Host, c.Description, c.TLS = "unix:///x", "", TLS{Key: []byte("K")}
	if err := s.Put(c); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(s.MetaDir("prod"), "meta.json"))
	want := `{"Name":"prod","Metadata":{"Extra":1},"Endpoints":{"docker":{"Host":"unix:///x","SkipTLSVerify":true},"kubernetes":{"x":"y"}}}`
	if err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
	if c, err = s.Get("prod"); err != nil || c.TLS.CA != nil || string(c.TLS.Key) != "K" {
		t.Errorf("%+v, %v", c, err)
	}
	if err := s.Remove("prod"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.TLSDir("prod")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the keys are still there")
	}
	if _, err := s.Get("prod"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if err := s.Remove("prod"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	s := Open(t.TempDir())
	for _, name := range []string{"", "default", "a", "../x", "a b", "-x"} {
		if err := s.Put(&Context{Name: name}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if entries, _ := os.ReadDir(s.dir); len(entries) > 0 {
		t.Errorf("left %v", entries)
	}
}

func TestExportImport(t *testing.T) {
	c, err := parse([]byte(dockers))
	if err != nil {
		t.Fatal(err)
	}
	c.TLS = TLS{CA: []byte("ca"), Cert: []byte("cert"), Key: []byte("key")}
	var b bytes.Buffer
	if err := c.Export(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Import("other", &b)
	if err != nil || got.Name != "other" || got.Host != c.Host || string(got.TLS.Key) != "key" || got.raw.Endpoints["kubernetes"]["x"] != "y" {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzImport(f *testing.F) {
	c, err := parse([]byte(dockers))
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Export(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Import("name", bytes.NewReader(data))
		if err != nil {
			return
		}
		if err := Open(t.TempDir()).Put(c); err != nil {
			t.Errorf("accepted, but cannot be kept: %v", err)
		}
	})
}
