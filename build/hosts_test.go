package build

import (
	"testing"

	"github.com/containerd/errdefs"
)

func TestHostList(t *testing.T) {
	got, err := hostList([]string{"a:10.0.0.1", "b=::1", "c:[fe80::1]", "d:host-gateway", "e=10.0.0.2,10.0.0.3"}, "172.17.0.1")
	if want := "a=10.0.0.1,b=::1,c=fe80::1,d=172.17.0.1,e=10.0.0.2,e=10.0.0.3"; got != want || err != nil {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for _, bad := range []string{"a", "a:", ":10.0.0.1", "a:b", "a:10.0.0.1,", "a:host-gateway"} {
		if got, err := hostList([]string{bad}, ""); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %s, %v", bad, got, err)
		}
	}
}
