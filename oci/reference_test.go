package oci

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

const sum = "sha256:7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa"

func TestParseName(t *testing.T) {
	for in, want := range map[string]string{
		"busybox":                  "docker.io/library/busybox:latest",
		"busybox:1":                "docker.io/library/busybox:1",
		"a/b":                      "docker.io/a/b:latest",
		"index.docker.io/a/b":      "docker.io/a/b:latest",
		"localhost/x":              "localhost/x:latest",
		"127.0.0.1:5000/x:y":       "127.0.0.1:5000/x:y",
		"[::1]:5000/x":             "[::1]:5000/x:latest",
		"busybox@" + sum:           "docker.io/library/busybox@" + sum,
		"busybox:1@" + sum:         "docker.io/library/busybox@" + sum,
		"docker.io/library/ubuntu": "docker.io/library/ubuntu:latest",
	} {
		got, err := ParseName(in)
		if err != nil || got.String() != want {
			t.Errorf("%s: %v, %v; want %s", in, got, err, want)
		}
	}
	for in, text := range map[string]string{
		"":                              "invalid reference format",
		"UPPER":                         "invalid reference format: repository name (library/UPPER) must be lowercase",
		"a:b:c":                         "invalid reference format",
		"a@sha256:12":                   "invalid reference format",
		"x:" + strings.Repeat("t", 129): "invalid reference format",
		strings.Repeat("a", 2000):       "invalid reference format",
		sum[7:]:                         "cannot specify 64-byte hexadecimal strings",
	} {
		_, err := ParseName(in)
		if err == nil || !strings.Contains(err.Error(), text) || !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%.80s: %v", in, err)
		}
	}
}

func TestParseNameOrID(t *testing.T) {
	for _, in := range []string{sum, sum[7:]} {
		named, id, err := ParseNameOrID(in)
		if err != nil || named != nil || id.String() != sum {
			t.Errorf("%s: %v %v %v", in, named, id, err)
		}
	}
	if named, id, err := ParseNameOrID("7cc4b5ae"); err != nil || id != "" || named.String() != "docker.io/library/7cc4b5ae:latest" {
		t.Errorf("%v %v %v", named, id, err)
	}
	for in, want := range map[string]string{"7cc4": "7cc4", "sha256:7cc4": "7cc4", "7CC4": "", "": "", "sha256:": "", "xyz": "", sum: sum[7:], sum + "0": ""} {
		if got := IDPrefix(in); got != want {
			t.Errorf("IDPrefix(%q) = %q", in, got)
		}
	}
	if got := ShortID(digest.Digest(sum)); got != "7cc4b5aefd1d" {
		t.Error(got)
	}
}

// FuzzParseName compares with the parser that Docker uses, and checks what
// callers rely on: the result parses to itself, has a tag or a digest and never
// both, and the familiar form means the same.
func FuzzParseName(f *testing.F) {
	for _, s := range []string{"busybox", "a/b:c", "h:1/x@" + sum, "b:1@" + sum, sum[7:], "UPPER", "a//b", "[::1]:5/x", "x@sha512:aa", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseName(s)
		want, refErr := reference.ParseDockerRef(s)
		if err != nil {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Fatalf("%q: kind of %v", s, err)
			}
			if d, ok := want.(reference.Digested); refErr == nil && len(s) <= maxReference && (!ok || d.Digest().Validate() == nil) {
				t.Fatalf("%q: refused, %v, but Docker takes it as %s", s, err, want)
			}
			return
		}
		if refErr != nil || got.String() != want.String() {
			t.Fatalf("%q: %s, Docker: %v %v", s, got, want, refErr)
		}
		for _, form := range []string{got.String(), reference.FamiliarString(got)} {
			again, err := ParseName(form)
			if err != nil || again.String() != got.String() {
				t.Fatalf("%q: %s is not stable: %v %v", s, form, again, err)
			}
		}
		_, tagged := got.(reference.Tagged)
		_, digested := got.(reference.Digested)
		if tagged == digested {
			t.Fatalf("%q: %s", s, got)
		}
		if named, id, err := ParseNameOrID(s); err == nil && id == "" && named.String() != got.String() {
			t.Fatalf("%q: %s and %s", s, named, got)
		}
		IDPrefix(s)
	})
}
