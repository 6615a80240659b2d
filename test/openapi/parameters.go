package openapi

import (
	"maps"
	"slices"
	"strings"
)

// Parameters are what an operation takes beside its path, sorted: "all" of the
// query, "header X-Registry-Auth", and of a body of JSON each member, those of
// lists and maps like those of objects: "body HostConfig.Binds". A body that is a
// stream is "body".
func (s *Spec) Parameters(operation string) []string {
	for i := range s.routes {
		if s.routes[i].name == operation {
			return s.routes[i].parameters
		}
	}
	return nil
}

// parameters reads those of an operation, and of the path that it is at.
func (l *lifter) parameters(lists ...any) []string {
	found := map[string]bool{}
	for _, list := range lists {
		all, _ := list.([]any)
		for _, p := range all {
			m, _ := p.(map[string]any)
			name, _ := m["name"].(string)
			switch m["in"] {
			case "query":
				found[name] = true
			case "header":
				found["header "+name] = true
			case "body":
				schema, _ := m["schema"].(map[string]any)
				members := map[string]bool{}
				l.members(schema, "", nil, members)
				for member := range members {
					found["body "+member] = true
				}
				if len(members) == 0 {
					found["body"] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// members collects the paths of all that a schema names. A type inside itself is
// not entered again.
func (l *lifter) members(schema map[string]any, path string, inside []string, into map[string]bool) {
	if schema == nil {
		return
	}
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/definitions/")
		if slices.Contains(inside, name) {
			return
		}
		inside = append(slices.Clone(inside), name)
		schema, _ = l.definitions[name].(map[string]any)
	}
	parts, _ := schema["allOf"].([]any)
	for _, part := range parts {
		m, _ := part.(map[string]any)
		l.members(m, path, inside, into)
	}
	props, _ := schema["properties"].(map[string]any)
	for name, p := range props {
		at := strings.TrimPrefix(path+"."+name, ".")
		into[at] = true
		m, _ := p.(map[string]any)
		l.members(m, at, inside, into)
	}
	for _, inner := range []string{"items", "additionalProperties"} {
		m, _ := schema[inner].(map[string]any)
		l.members(m, path, inside, into)
	}
}
