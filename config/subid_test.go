package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseRanges(t *testing.T) {
	const file = "# who\nother:1:2\nme:100000:65536\n1000:300000:10\nme:5:x:y\n"
	list, err := parseRanges(strings.NewReader(file), "me", "1000")
	want := []IDRange{{0, 100000, 65536}, {65536, 300000, 10}}
	if err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("%v, %v", list, err)
	}
	for _, bad := range []string{"me:x:1", "me:1:", "me:1:0", "me:0:10", "me:4294967295:1", "me:-1:5", "me:1:4294967295"} {
		if list, err := parseRanges(strings.NewReader(bad), "me", "1000"); err == nil {
			t.Errorf("%q: %v", bad, list)
		}
	}
}

// FuzzParseRanges: what is accepted are ranges that the kernel would take.
func FuzzParseRanges(f *testing.F) {
	f.Add("me:100000:65536\nme:1:1")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseRanges(strings.NewReader(text), "me", "7")
		if err != nil {
			return
		}
		next := uint64(0)
		for _, r := range list {
			if uint64(r.Inside) != next || r.Size == 0 || uint64(r.Outside)+uint64(r.Size) > 1<<32-1 {
				t.Fatalf("%+v", list)
			}
			next += uint64(r.Size)
		}
	})
}

// A user without ranges, or who does not exist, ends the daemon with a remedy.
func TestRemappedErrors(t *testing.T) {
	for remap, want := range map[string]string{"no-such-user": "useradd", "root:no-such-group": "no group", "4000000000": "no user"} {
		c := Config{UsernsRemap: remap}
		if _, err := c.Remapped(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", remap, err)
		}
	}
	if r, err := new(Config).Remapped(); err != nil || r.Name != "" {
		t.Errorf("%+v, %v", r, err)
	}
}
