package compose

import (
	"testing"

	"github.com/docker/compose/v5/pkg/api"
)

func TestUnnamed(t *testing.T) {
	for _, c := range []struct{ name, replaces, old, own string }{
		{"0123456789ab_app-web-1", "web-1", "0123456789ab", "app-web-1"},
		{"0123456789ab_app_web_1", "web_1", "0123456789ab", "app_web_1"},
		{"0123456789ab_0123456789ab_x", "0123456789ab_x", "0123456789ab", "0123456789ab_x"},
		{"0123456789ab_x", "0123456789ab_x", "", ""}, // container_name has it so
		{"0123456789ab_app-web-1", "", "", ""},
		{"0123456789ab_app-db-1", "web-1", "", ""},
		{"0123456789aX_app-web-1", "web-1", "", ""},
		{"app-web-1", "web-1", "", ""},
		{"my_app-web-1", "web-1", "", ""},
	} {
		if old, own := unnamed(c.name, map[string]string{api.ContainerReplaceLabel: c.replaces}); old != c.old || own != c.own {
			t.Errorf("%s in place of %q: %q, %q", c.name, c.replaces, old, own)
		}
	}
}
