package contents

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// words writes a command as a Dockerfile has it, so that its arguments can be
// told apart.
func words(list []string) string {
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(list); err != nil { // strings always encode
		return strings.Join(list, " ")
	}
	return strings.TrimSpace(b.String())
}

func keys(m map[string]struct{}) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

func pairs(env []string) map[string]string {
	m := map[string]string{}
	for _, e := range env {
		k, v, _ := strings.Cut(e, "=")
		m[k] = v
	}
	return m
}

func union(a, b map[string]string) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
