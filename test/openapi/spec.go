// Package openapi checks answers of the engine against the OpenAPI file that
// ships with Docker's api module: status, shape, and that nothing is in an
// answer which the file does not know. It is for tests.
package openapi

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Spec is the file, read.
type Spec struct {
	// Operations are its operations, as "GET /containers/json".
	Operations []string

	routes   []route
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by location
}

type route struct {
	name      string // "GET /containers/{id}/json"
	method    string
	path      *regexp.Regexp
	weight    int            // fixed characters: of several that match the heaviest counts
	responses map[string]any // by status

	parameters []string
}

const root = "https://berth.invalid/spec.json"

// Load reads the file of the api module that this module is built with.
func Load(ctx context.Context) (*Spec, error) {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/moby/api").Output()
	if err != nil {
		return nil, fmt.Errorf("find the api module: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "swagger.yaml"))
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	s := &Spec{compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	definitions, _ := doc["definitions"].(map[string]any)
	paths, _ := doc["paths"].(map[string]any)
	l := lifter{definitions}
	lifted := map[string]any{}
	for name := range definitions {
		lifted[name] = l.schema(definitions[name])
	}
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for method, op := range operations {
			if err := s.addRoute(&l, method, path, op, operations["parameters"]); err != nil {
				return nil, err
			}
		}
	}
	whole := map[string]any{"$schema": "http://json-schema.org/draft-04/schema#", "definitions": lifted, "responses": map[string]any{}}
	for _, r := range s.routes {
		for status, schema := range r.responses {
			whole["responses"].(map[string]any)[key(r.name, status)] = schema
		}
	}
	s.compiler.DefaultDraft(jsonschema.Draft4)
	if err := s.compiler.AddResource(root, plain(whole)); err != nil {
		return nil, err
	}
	return s, nil
}

func key(operation, status string) string {
	return strings.NewReplacer(" ", "_", "/", "_", "{", "", "}", "").Replace(operation) + "_" + status
}

func (s *Spec) addRoute(l *lifter, method, path string, op, shared any) error {
	o, ok := op.(map[string]any)
	if !ok || method == "parameters" {
		return nil
	}
	r := route{name: strings.ToUpper(method) + " " + path, method: strings.ToUpper(method), responses: map[string]any{}}
	r.parameters = l.parameters(shared, o["parameters"])
	fixed := regexp.MustCompile(`\{[^}]*\}`).Split(path, -1)
	for i := range fixed {
		r.weight += len(fixed[i])
		fixed[i] = regexp.QuoteMeta(fixed[i])
	}
	var err error
	if r.path, err = regexp.Compile(`^(?:/v[0-9.]+)?` + strings.Join(fixed, "(.+)") + `$`); err != nil {
		return err
	}
	responses, _ := o["responses"].(map[string]any)
	for status, resp := range responses {
		m, _ := resp.(map[string]any)
		if schema, ok := m["schema"]; ok {
			r.responses[status] = l.schema(schema)
		} else {
			r.responses[status] = nil
		}
	}
	s.routes = append(s.routes, r)
	s.Operations = append(s.Operations, r.name)
	return nil
}

// Operation names the operation that a request is for; "" if it is none.
func (s *Spec) Operation(method, path string) string {
	if r := s.find(method, path); r != nil {
		return r.name
	}
	return ""
}

func (s *Spec) find(method, path string) *route {
	var best *route
	for i := range s.routes {
		r := &s.routes[i]
		if r.method == method && r.path.MatchString(path) && (best == nil || r.weight > best.weight) {
			best = r
		}
	}
	return best
}

// plain turns what the YAML parser makes into what encoding/json would.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	case map[any]any:
		out := map[string]any{}
		for k, e := range v {
			out[fmt.Sprint(k)] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case int:
		return float64(v)
	case uint64:
		return float64(v)
	}
	return v
}
