package oci

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// What "printf berth | bzip2" and "… | xz" write.
const (
	bzipped = "QlpoOTFBWSZTWVkAYj8AAAABgBJAFAAgACGDQZoLDHF3JFOFCQWQBiPw"
	xzed    = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAEYmVydGgAAAAAgfZOtDkp6kQAAR0FuC2Arx+2830BAAAAAARZWg=="
)

func TestDecompress(t *testing.T) {
	var gz, zs bytes.Buffer
	g := gzip.NewWriter(&gz)
	z, err := zstd.NewWriter(&zs)
	check(t, err)
	for _, w := range []io.WriteCloser{g, z} {
		_, err := io.WriteString(w, "berth")
		check(t, err)
		check(t, w.Close())
	}
	decode := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		check(t, err)
		return string(b)
	}
	for name, data := range map[string]string{
		"plain": "berth", "gzip": gz.String(), "zstd": zs.String(), "bzip2": decode(bzipped), "xz": decode(xzed),
	} {
		r, err := Decompress(strings.NewReader(data))
		check(t, err)
		b, err := io.ReadAll(r)
		if err != nil || string(b) != "berth" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		check(t, r.Close())
		if name == "plain" {
			continue
		}
		for cut := 7; cut < len(data)-1; cut++ {
			r, err := Decompress(strings.NewReader(data[:cut]))
			if err == nil {
				_, err = io.ReadAll(r)
				r.Close()
			}
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s cut at %d: %v", name, cut, err)
			}
		}
	}
	if r, err := Decompress(strings.NewReader("")); err != nil {
		t.Error(err)
	} else if b, err := io.ReadAll(r); len(b) != 0 || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// A header that asks for a dictionary of 4 GiB is refused before it gets one.
func TestXZMemory(t *testing.T) {
	// Stream header; block header with LZMA2's largest dictionary (40).
	head := "\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36" + "\x02\x00\x21\x01\x28\x00\x00\x00"
	r, err := Decompress(strings.NewReader(head + "\x00\x00\x00\x00" + strings.Repeat("\x00", 100)))
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
