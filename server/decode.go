package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/api"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxBody bounds a JSON body, in bytes.
const maxBody = 8 << 20

// readJSON decodes the body into out: one JSON document, nothing behind it.
// Unknown fields are tolerated as Docker does; of a key that appears twice, also
// with other case, the last one counts, for all who read out. An empty body
// leaves out alone.
func readJSON(w http.ResponseWriter, r *http.Request, out any) error {
	if r.ContentLength == 0 {
		return nil
	}
	if err := checkContentType(r); err != nil {
		return err
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := dec.Decode(out); err != nil {
		return jsonError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return jsonError(err)
		}
		return invalid("unexpected content after JSON")
	}
	return nil
}

func jsonError(err error) error {
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &tooLarge):
		return fmt.Errorf("request body is larger than %d bytes: %w", tooLarge.Limit, err)
	case errors.Is(err, io.EOF):
		return invalid("invalid JSON: got EOF while reading request body")
	}
	return invalid("invalid JSON: " + err.Error())
}

func checkContentType(r *http.Request) error {
	ct := r.Header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(ct)
	if err != nil {
		return invalid(fmt.Sprintf("malformed Content-Type header (%s): %v", ct, err))
	}
	if kind != "application/json" {
		return invalid(fmt.Sprintf("unsupported Content-Type header (%s): must be 'application/json'", ct))
	}
	return nil
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client went away
}

// writeRows answers with an array whose elements are written as they are made.
func writeRows(w http.ResponseWriter, rows iter.Seq[api.ContainerBrief]) {
	w.Header().Set("Content-Type", "application/json")
	// Larger than the server's own buffer: a write to the socket for each 4 KB
	// costs as much as what is in them.
	out := bufio.NewWriterSize(w, 32<<10)
	_ = out.WriteByte('[')
	var line []byte
	for row := range rows {
		if line != nil {
			_ = out.WriteByte(',')
		}
		line = append(row.AppendJSON(line[:0]), '\n')
		if _, err := out.Write(line); err != nil {
			return // the client went away
		}
	}
	_, _ = out.WriteString("]\n")
	_ = out.Flush()
}

// flag reads a boolean parameter as Docker does: anything but "", 0, no, false
// and none is true.
func (r *request) flag(name string) bool {
	switch strings.ToLower(strings.TrimSpace(r.query.Get(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// seconds reads an optional number of seconds.
func (r *request) seconds(name string) (*int, error) {
	s := r.query.Get(name)
	if s == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return nil, invalid(fmt.Sprintf("invalid value %q for %s: must be a number of seconds", s, name))
	}
	return &n, nil
}

// platform reads an optional platform in its short form, such as linux/arm64.
func (r *request) platform(name string) (*ocispec.Platform, error) {
	s := r.query.Get(name)
	if s == "" {
		return nil, nil
	}
	p, err := platforms.Parse(s)
	if err != nil {
		return nil, invalid(err.Error())
	}
	return &p, nil
}

// platformJSON reads an optional platform written as JSON.
func (r *request) platformJSON(name string) (*ocispec.Platform, error) {
	s := r.query.Get(name)
	if s == "" {
		return nil, nil
	}
	return parsePlatform(s)
}

// platforms reads the parameter "platform", which may be repeated, each JSON.
func (r *request) platforms() ([]ocispec.Platform, error) {
	if !r.version.Has(48) {
		return nil, nil
	}
	if len(r.query["platform"]) > 1 && !r.version.Has(52) {
		return nil, invalid("multiple platform parameters are not supported in this API version; use API version 1.52 or later")
	}
	return r.platformsJSON("platform")
}

// platformsJSON reads a parameter that may be repeated.
func (r *request) platformsJSON(name string) ([]ocispec.Platform, error) {
	var list []ocispec.Platform
	for _, text := range r.query[name] {
		if text == "" {
			continue
		}
		p, err := parsePlatform(text)
		if err != nil {
			return nil, err
		}
		list = append(list, *p)
	}
	return list, nil
}

// parsePlatform reads a platform in JSON; it names a system and an architecture.
func parsePlatform(text string) (*ocispec.Platform, error) {
	var p ocispec.Platform
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, invalid("failed to parse platform: " + err.Error())
	}
	if p.OS == "" || p.Architecture == "" {
		return nil, invalid("both OS and Architecture must be provided")
	}
	return &p, nil
}
