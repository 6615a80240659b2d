package cli

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// fileRoutes answer as a container that has the directory /d with the file f,
// and the link /l to it. What is put there goes to put.
func fileRoutes(t *testing.T, put *[]string) map[string]http.HandlerFunc {
	t.Helper()
	stats := map[string]container.PathStat{
		"/d": {Name: "d", Mode: fs.ModeDir | 0o755}, "/d/.": {Name: ".", Mode: fs.ModeDir | 0o755},
		"/l": {Name: "l", Mode: fs.ModeSymlink | 0o777, LinkTarget: "/d"}, "/n": {Name: "n", Mode: fs.ModeDevice},
	}
	stat := func(w http.ResponseWriter, r *http.Request) bool {
		st, ok := stats[r.URL.Query().Get("path")]
		if !ok {
			fail(404, "Could not find the file")(w, r)
			return false
		}
		b, err := json.Marshal(st)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(b))
		return true
	}
	return map[string]http.HandlerFunc{
		"HEAD /containers/c1/archive": func(w http.ResponseWriter, r *http.Request) { stat(w, r) },
		"GET /containers/c1/archive": func(w http.ResponseWriter, r *http.Request) {
			if !stat(w, r) {
				return
			}
			base := filepath.Base(r.URL.Query().Get("path"))
			tw := tar.NewWriter(w)
			for _, h := range []tar.Header{{Name: base + "/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: base + "/f", Size: 2, Mode: 0o644}} {
				if err := tw.WriteHeader(&h); err != nil {
					t.Error(err)
				}
			}
			_, _ = io.WriteString(tw, "hi")
			_ = tw.Close()
		},
		"PUT /containers/c1/archive": func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			tr := tar.NewReader(bytes.NewReader(body))
			for h, err := tr.Next(); err == nil; h, err = tr.Next() {
				*put = append(*put, r.URL.Query().Get("path")+" "+h.Name)
			}
			w.WriteHeader(http.StatusOK)
		},
	}
}

func TestCp(t *testing.T) {
	var put []string
	dir := t.TempDir()
	local := filepath.Join(dir, "local")
	if err := os.WriteFile(local, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		errs string
		file string // that must exist afterwards
		put  string
	}{
		{args: []string{"c1:/d", dir}, file: "d/f"},
		{args: []string{"c1:/d", dir + "/new"}, file: "new/f"},
		{args: []string{"-L", "c1:/l", dir}, file: "l/f"},
		{args: []string{"c1:/none", dir}, errs: "Error response from daemon: Could not find the file\n"},
		{args: []string{"c1:/d", dir + "/none/x"}, errs: "invalid output path: directory \"" + dir + "/none\" does not exist\n"},
		{args: []string{"c1:/d", local}, errs: "cannot copy directory\n"},
		{args: []string{local, "c1:/d"}, put: "/d local"},
		{args: []string{local, "c1:/l"}, put: "/d local"},
		{args: []string{local, "c1:/d/new"}, put: "/d new"},
		{args: []string{local, "c1:/n"}, errs: "destination \"c1:/n\" must be a directory or a regular file\n"},
		{args: []string{"-", "c1:/d/new"}, errs: "destination \"c1:/d/new\" must be a directory\n"},
		{args: []string{"c1:/d", "c2:/d"}, errs: "copying between containers is not supported\n"},
		{args: []string{local, dir}, errs: "must specify at least one container source\n"},
		{args: []string{"", "c1:/d"}, errs: "source can not be empty\n"},
		{args: []string{"-q=false", local, "c1:/d"}, errs: "Successfully copied 2.05kB to c1:/d\n", put: "/d local"},
	} {
		put = nil
		d := newFake(t, fileRoutes(t, &put))
		_, _, errs := d.run("", append([]string{"cp"}, tc.args...)...)
		if errs != tc.errs {
			t.Errorf("%q: %q", tc.args, errs)
		}
		if tc.file != "" {
			if _, err := os.Stat(filepath.Join(dir, tc.file)); err != nil {
				t.Errorf("%q: %v", tc.args, err)
			}
		}
		if tc.put != "" && (len(put) != 1 || put[0] != tc.put) {
			t.Errorf("%q: %q", tc.args, put)
		}
	}
}

func TestExportAndDiff(t *testing.T) {
	d := newFake(t, map[string]http.HandlerFunc{
		"GET /containers/c1/export":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a tar") },
		"GET /containers/c1/changes": answer([]container.FilesystemChange{{Kind: container.ChangeModify, Path: "/a"}, {Kind: container.ChangeDelete, Path: "/a/b"}}),
	})
	if code, out, errs := d.run("", "diff", "c1"); code != 0 || out != "C /a\nD /a/b\n" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if code, out, errs := d.run("", "export", "c1"); code != 0 || out != "a tar" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if code, out, errs := d.run("", "export", "-o", file, "c1"); code != 0 || out != "" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "a tar" {
		t.Errorf("%q, %v", b, err)
	}
	if code, _, errs := d.run("", "export", "-o", filepath.Join(file, "none/y"), "c1"); code != 1 || errs == "" {
		t.Errorf("%d, %q", code, errs)
	}
}
