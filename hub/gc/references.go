package gc

import (
	_ "crypto/sha512" // sha512 digests are known to go-digest by it
	"encoding/json"

	"github.com/opencontainers/go-digest"
)

// References lists every digest that a manifest names as such, whatever kind
// of manifest it is: config, layers, manifests of an index, subject.
func References(manifest []byte) []digest.Digest {
	var doc any
	if json.Unmarshal(manifest, &doc) != nil {
		return nil
	}
	var all []digest.Digest
	seen := map[digest.Digest]bool{}
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				visit(e)
			}
		case map[string]any:
			for key, e := range v {
				s, ok := e.(string)
				// "blobSum" is what the first manifests of all called it.
				if d, err := digest.Parse(s); ok && err == nil && (key == "digest" || key == "blobSum") && !seen[d] {
					seen[d] = true
					all = append(all, d)
				}
				visit(e)
			}
		}
	}
	visit(doc)
	return all
}
