package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/registry"
	volumetypes "github.com/moby/moby/api/types/volume"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/server/authz"
	"github.com/berth-engine/berth/server/compat"
)

// bodies are what the operations with a JSON body decode it into. An operation
// that is missing here refuses bodies while there are authorisation plugins:
// nobody can decide about what he is not shown.
var bodies = map[string]func() any{
	"POST /auth":                        func() any { return new(registry.AuthConfig) },
	"POST /commit":                      func() any { return new(*container.Config) },
	"POST /containers/create":           func() any { return new(compat.CreateBody) },
	"POST /containers/{id}/update":      func() any { return new(container.UpdateConfig) },
	"POST /containers/{id}/exec":        func() any { return new(container.ExecCreateRequest) },
	"POST /exec/{id}/start":             func() any { return new(container.ExecStartRequest) },
	"POST /networks/create":             func() any { return new(network.CreateRequest) },
	"POST /networks/{id}/connect":       func() any { return new(network.ConnectRequest) },
	"POST /networks/{id}/disconnect":    func() any { return new(network.DisconnectRequest) },
	"POST /volumes/create":              func() any { return new(volumetypes.CreateRequest) },
	"POST /volumes/{name}/copy":         func() any { return new(api.VolumeCopyRequest) },
	"POST /containers/{id}/checkpoints": func() any { return new(map[string]any) },
}

// authorized carries out an operation if the authorisation plugins allow it.
func (s *Server) authorized(w http.ResponseWriter, r *request, op *operation, chain *authz.Chain) error {
	m := authz.NewMessage(r.Request)
	var err error
	if m.RequestBody, err = decodedBody(w, r.Request, op); err != nil {
		return err
	}
	if op.path == "/auth" {
		m.RequestBody = nil // a password is for the registry alone
	}
	if err := chain.Request(r.Context(), m); err != nil {
		return err
	}
	gate := authz.NewGate(r.Context(), w, chain, m)
	err = s.do(gate, r, op)
	code := 0
	if err != nil {
		code = status(err)
	}
	return gate.Finish(err, code)
}

// decodedBody reads a JSON body, and returns what the operation will understand
// by it. What is announced as something else no operation reads as JSON. The
// length that a client claims counts for nothing.
func decodedBody(w http.ResponseWriter, r *http.Request, op *operation) ([]byte, error) {
	if checkContentType(r) != nil || r.Body == nil {
		return nil, nil //nolint:nilerr // not JSON: readJSON refuses it, too
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, jsonError(err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	decoded, known := bodies[op.method+" "+op.path]
	switch text := string(bytes.TrimSpace(data)); {
	case text == "" || !known && (text == "{}" || text == "null"): // what clients send for nothing
		return nil, nil
	case !known:
		return nil, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"%s %s: a body is refused, because authorization plugins could not see it", op.method, op.path))
	}
	out := decoded()
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(out); err != nil {
		return nil, jsonError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("unexpected content after JSON")
	}
	return json.Marshal(out)
}
