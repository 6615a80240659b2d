package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// Policy is a set of rules. The zero value and nil accept everything.
type Policy struct {
	fallback []rule            // nil: everything is accepted
	scopes   map[string][]rule // by what they are for; "" is any registry
}

// rule is one demand; an image has to meet all that apply.
type rule struct {
	kind string // see the constants
	keys []key  // of signed; the signature of one is enough
	name identity
}

const (
	accept = "insecureAcceptAnything"
	reject = "reject"
	signed = "sigstoreSigned"
)

type document struct {
	Default    *[]json.RawMessage                      `json:"default"`
	Transports map[string]map[string][]json.RawMessage `json:"transports"`
}

// Load reads a policy and the keys that it names. InvalidArgument for one that is
// wrong or asks for what cannot be enforced here.
func Load(path string) (*Policy, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("signature policy: %w", err)
	}
	p, err := parse(data, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("signature policy %s: %w: %w", path, err, errdefs.ErrInvalidArgument)
	}
	return p, nil
}

// parse reads a policy; files that it names are relative to dir.
func parse(data []byte, dir string) (*Policy, error) {
	var d document
	if err := strict(data, &d); err != nil {
		return nil, err
	}
	if d.Default == nil {
		return nil, errors.New(`"default" is missing`)
	}
	p := &Policy{scopes: map[string][]rule{}}
	var err error
	if p.fallback, err = parseRules(*d.Default, dir); err != nil {
		return nil, fmt.Errorf("default: %w", err)
	}
	// Other transports are places that images do not come from here.
	for scope, list := range d.Transports["docker"] {
		if p.scopes[scope], err = parseRules(list, dir); err != nil {
			return nil, fmt.Errorf("docker %q: %w", scope, err)
		}
	}
	return p, nil
}

func parseRules(list []json.RawMessage, dir string) ([]rule, error) {
	if len(list) == 0 {
		return nil, errors.New("no rule: name at least one")
	}
	rules := make([]rule, 0, len(list))
	for _, raw := range list {
		r, err := parseRule(raw, dir)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(raw json.RawMessage, dir string) (rule, error) {
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return rule{}, err
	}
	switch kind.Type {
	case accept, reject:
		return rule{kind: kind.Type}, strict(raw, &kind)
	case signed:
		return parseSigned(raw, dir)
	case "signedBy":
		return rule{}, errors.New("signedBy: GPG signatures are not supported; use sigstoreSigned with a key")
	}
	return rule{}, fmt.Errorf("unknown type %q", kind.Type)
}

// strict decodes one JSON value without unknown or further fields.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows after the end")
	}
	return nil
}

// rules finds those for a name: of the longest scope that it is in, from the name
// with its tag over repository, namespaces and registry to wildcards of domains
// and the default.
func (p *Policy) rules(ref reference.Named) []rule {
	if p == nil {
		return nil
	}
	repository := ref.Name()
	scopes := []string{ref.String(), repository}
	for at := repository; ; {
		i := strings.LastIndexByte(at, '/')
		if i < 0 {
			break
		}
		at = at[:i]
		scopes = append(scopes, at)
	}
	host, _, _ := strings.Cut(reference.Domain(ref), ":")
	for at := host; ; {
		_, parent, more := strings.Cut(at, ".")
		if !more {
			break
		}
		scopes = append(scopes, "*."+parent)
		at = parent
	}
	for _, scope := range append(scopes, "") {
		if list, ok := p.scopes[scope]; ok {
			return list
		}
	}
	return p.fallback
}
