package compat

import (
	"encoding/json"

	"github.com/containerd/errdefs"
)

// maxFilters bounds the text of a filters parameter, in bytes.
const maxFilters = 1 << 20

// Filters decodes the filters parameter of list, prune and event operations, in
// its form of today, {"key":{"value":true}}, or the one before API 1.22,
// {"key":["value"]}, which old clients and scripts still send. Empty text is no
// filter. The result is never nil.
func Filters(s string) (map[string]map[string]bool, error) {
	f := map[string]map[string]bool{}
	if s == "" {
		return f, nil
	}
	if len(s) > maxFilters {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter: too long")
	}
	if err := json.Unmarshal([]byte(s), &f); err == nil {
		if f == nil { // "null"
			f = map[string]map[string]bool{}
		}
		return f, nil
	}
	var old map[string][]string
	if err := json.Unmarshal([]byte(s), &old); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter")
	}
	f = make(map[string]map[string]bool, len(old))
	for k, values := range old {
		f[k] = map[string]bool{}
		for _, v := range values {
			f[k][v] = true
		}
	}
	return f, nil
}
