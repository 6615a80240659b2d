package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestBuilder(t *testing.T) {
	c, err := load(t, `{"builder":{"gc":{"enabled":true,"defaultReservedSpace":"10%","policy":[
		{"all":true,"filter":["unused-for=48h","type=exec.cachemount"],"keepStorage":"2GB","minFreeSpace":"5%"}]},
		"entitlements":{"security-insecure":true,"device":false},"maxDownload":"3GB"}}`)
	if err != nil {
		t.Fatal(err)
	}
	on := true
	want := BuilderGC{Enabled: &on, Reserved: Space{Percent: 10}, Policy: []BuilderRule{{
		All: true, Filter: []string{"unused-for=48h", "type=exec.cachemount"}, Keep: Space{Bytes: 2 << 30}, MinFree: Space{Percent: 5},
	}}}
	if !reflect.DeepEqual(c.Builder.GC, want) {
		t.Errorf("%+v", c.Builder.GC)
	}
	if c.Builder.MaxDownload != (Space{Bytes: 3 << 30}) {
		t.Errorf("%+v", c.Builder.MaxDownload)
	}
	if got := strings.Join(c.Builder.Entitlements.Granted(), " "); got != "network.host security.insecure" {
		t.Errorf("granted: %s", got)
	}
	if got := strings.Join((BuilderEntitlements{}).Granted(), " "); got != "network.host device" {
		t.Errorf("granted without a word: %s", got)
	}
	for file, want := range map[string]string{
		`{"builder":{"gc":{"defaultKeepStorage":"much"}}}`:                             "invalid size",
		`{"builder":{"gc":{"defaultKeepStorage":"101%"}}}`:                             "want 1% to 100%",
		`{"builder":{"gc":{"defaultKeepStorage":"1GB","defaultReservedSpace":"1GB"}}}`: "mean the same",
		`{"builder":{"gc":{"policy":[{"filter":["old"]}]}}}`:                           "want key=value",
		`{"builder":{"gc":{"policy":[{"keepStorage":"1GB","reservedSpace":"1GB"}]}}}`:  "rule 1",
		`{"builder":{"gc":{"enabled":"perhaps"}}}`:                                     "enabled",
		`{"builder":{"nonsense":{}}}`:                                                  "nonsense",
	} {
		if _, err := load(t, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}
