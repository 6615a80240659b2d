package pressure

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryShort(t *testing.T) {
	const plenty, little = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 500 kB\n", "MemTotal: 1000 kB\nMemAvailable: 49 kB\n"
	for _, c := range []struct {
		pressure, meminfo string
		want              bool
	}{
		{"some avg10=0.00 avg60=50.00 avg300=0.00 total=1\nfull avg10=90.00 avg60=0.00 avg300=0.00 total=1\n", little, false},
		{"some avg10=10.00 avg60=0.00 avg300=0.00 total=1\n", plenty, true},
		{"", plenty, false},
		{"", little, true},
		{"nonsense\n", little, true},
		{"some avg10=much\n", plenty, false},
		{"", "MemTotal: x kB\n", false},
		{"", "", false},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "pressure"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"pressure/memory": c.pressure, "meminfo": c.meminfo} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := memoryShort(dir); got != c.want {
			t.Errorf("%q, %q: %v", c.pressure, c.meminfo, got)
		}
	}
}
