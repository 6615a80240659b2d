package container

import (
	"fmt"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestLogDefaults(t *testing.T) {
	type config = container.LogConfig
	def := config{Type: "syslog", Config: map[string]string{"tag": "all", "syslog-format": "rfc3164"}}
	for _, c := range []struct {
		asked, def config
		want       string
	}{
		{config{}, config{}, "local map[]"},
		{config{}, def, "syslog map[syslog-format:rfc3164 tag:all]"},
		{config{Config: map[string]string{"tag": "mine"}}, def, "syslog map[syslog-format:rfc3164 tag:mine]"},
		{config{Type: "syslog"}, def, "syslog map[syslog-format:rfc3164 tag:all]"},
		{config{Type: "local", Config: map[string]string{"max-size": "1m"}}, def, "local map[max-size:1m]"},
	} {
		got := withLogDefaults(c.asked, c.def)
		if fmt.Sprint(got.Type, " ", got.Config) != c.want {
			t.Errorf("%v over %v: got %v", c.asked, c.def, got)
		}
	}
	if len(def.Config) != 2 || def.Config["tag"] != "all" {
		t.Errorf("the engine's own options have changed: %v", def.Config)
	}
}
