package openapi

import (
	"maps"
	"slices"
	"strings"
)

// lifter turns schemas of Swagger 2 into JSON Schema.
type lifter struct {
	definitions map[string]any
}

// schema lifts one: x-nullable becomes null as one more type, allOf is merged,
// and an object that names its properties may have no others. Examples and
// words are left out.
func (l *lifter) schema(in any) any {
	m, ok := in.(map[string]any)
	if !ok {
		return in
	}
	nullable, _ := m["x-nullable"].(bool)
	var out map[string]any
	if ref, ok := m["$ref"].(string); ok {
		out = map[string]any{"$ref": root + ref}
	} else {
		out = l.object(m)
	}
	if nullable {
		return map[string]any{"anyOf": []any{map[string]any{"type": "null"}, out}}
	}
	return out
}

func (l *lifter) object(m map[string]any) map[string]any {
	m = l.merged(m)
	out := map[string]any{}
	for _, k := range []string{"type", "enum", "required", "minimum", "maximum", "pattern", "minItems", "maxItems", "minLength"} {
		if v, ok := m[k]; ok {
			out[k] = v
		}
	}
	if out["type"] == "" {
		delete(out, "type")
	}
	// YAML's numbers and booleans among the words of an enumeration.
	if out["type"] == "file" {
		return map[string]any{}
	}
	if items, ok := m["items"]; ok {
		out["items"] = l.schema(items)
	}
	props, _ := m["properties"].(map[string]any)
	if len(props) > 0 {
		lifted := map[string]any{}
		for name, p := range props {
			lifted[name] = l.schema(p)
		}
		out["properties"], out["additionalProperties"] = lifted, false
	}
	switch a := m["additionalProperties"].(type) {
	case map[string]any:
		out["additionalProperties"] = l.schema(a)
	case bool:
		out["additionalProperties"] = a
	}
	return out
}

// merged puts the parts of an allOf into one.
func (l *lifter) merged(m map[string]any) map[string]any {
	parts, ok := m["allOf"].([]any)
	if !ok {
		return m
	}
	out := maps.Clone(m)
	delete(out, "allOf")
	props := map[string]any{}
	var required []any
	add := func(p map[string]any) {
		if have, ok := p["properties"].(map[string]any); ok {
			maps.Copy(props, have)
		}
		if r, ok := p["required"].([]any); ok {
			required = append(required, r...)
		}
		for _, k := range []string{"type", "items", "enum", "additionalProperties"} {
			if v, ok := p[k]; ok {
				out[k] = v
			}
		}
	}
	for _, part := range parts {
		p, ok := part.(map[string]any)
		if !ok {
			continue
		}
		for {
			ref, ok := p["$ref"].(string)
			if !ok {
				break
			}
			p, _ = l.definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
		}
		add(l.merged(p))
	}
	if own, ok := m["properties"].(map[string]any); ok {
		maps.Copy(props, own)
	}
	if len(props) > 0 {
		out["properties"] = props
	}
	if len(required) > 0 {
		out["required"] = slices.Compact(required)
	}
	return out
}
