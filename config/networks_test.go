package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestNetworks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(file, []byte(`{"default-address-pools":[{"base":"10.10.0.0/16","size":24}],"default-network-opts":{"bridge":{"a":"b"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []AddressPool{{"10.10.0.0/16", 24}}
	opts := map[string]map[string]string{"bridge": {"a": "b"}}
	for name, args := range map[string][]string{
		"file":  {"--config-file", file},
		"flags": {"--config-file", os.DevNull, "--default-address-pool", "base=10.10.0.0/16,size=24", "--default-network-opt", "bridge=a=b"},
	} {
		c, err := Load(args)
		if err != nil || !reflect.DeepEqual(c.AddressPools, want) || !reflect.DeepEqual(c.NetworkOpts, opts) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	for _, bad := range []string{"base=x,size=24", "base=10.0.0.0/16,size=8", "base=10.0.0.0/16,size=31", "base=10.0.0.0/16", "10.0.0.0/16", "base=10.0.0.0/16,size=x"} {
		if _, err := Load([]string{"--config-file", os.DevNull, "--default-address-pool", bad}); err == nil || !strings.Contains(err.Error(), "default-address-pool") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
