package container

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"
)

// TestEncodeMember: ports are written as json.Marshal writes them.
func TestEncodeMember(t *testing.T) {
	bindings := nettypes.PortMap{
		nettypes.MustParsePort("443/tcp"): {{HostPort: "8443"}}, nettypes.MustParsePort("80/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1")}},
		nettypes.MustParsePort("53/udp"): {{HostPort: "53"}, {HostIP: netip.MustParseAddr("::1"), HostPort: "54"}},
		nettypes.MustParsePort("1/tcp"):  {{HostIP: netip.MustParseAddr("fe80::1%eth0"), HostPort: "1"}}, nettypes.MustParsePort("2/tcp"): nil,
		nettypes.MustParsePort("3/sctp"): {}, nettypes.MustParsePort("4/tcp"): {{HostPort: `8"0`}}, nettypes.MustParsePort("5/tcp"): {{HostPort: "1-2"}},
	}
	exposed := nettypes.PortSet{}
	for i := range 200 {
		exposed[nettypes.MustParsePort(fmt.Sprintf("%d/udp", i*7+1))] = struct{}{}
	}
	for _, v := range []any{bindings, exposed, nettypes.PortMap(nil), nettypes.PortMap{}, nettypes.PortSet(nil), "text"} {
		got, err := encodeMember(v)
		want, _ := json.Marshal(v)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

// TestPortsInRecord: ports in a row are one member of a record, and what is read
// is what was written, in the record's own settings and in those of an edit.
func TestPortsInRecord(t *testing.T) {
	bindings, exposed := nettypes.PortMap{}, nettypes.PortSet{}
	add := func(n int, proto, ip, host string) {
		p := nettypes.MustParsePort(fmt.Sprintf("%d/%s", n, proto))
		b := nettypes.PortBinding{HostPort: host}
		if ip != "" {
			b.HostIP = netip.MustParseAddr(ip)
		}
		bindings[p], exposed[p] = append(bindings[p], b), struct{}{}
	}
	for n := range 10001 {
		add(10000+n, "udp", "", fmt.Sprint(20000+n)) // shifted
		add(30000+n, "tcp", "127.0.0.1", "")         // any
	}
	for n := range 100 {
		add(50000+n, "tcp", "::1", fmt.Sprint(65000+n))
		add(50000+n, "tcp", "127.0.0.1", fmt.Sprint(65000+n)) // two each
		add(51000+n, "tcp", "", fmt.Sprint(9000+n%50))        // begins anew
		add(52000+n, "tcp", "", fmt.Sprintf("0%d", 9000+n))   // no number that counts on
		add(53000+n, "tcp", "", "8000-9000")
		add(65436+n, "sctp", "", fmt.Sprint(65436+n)) // to the end
	}
	bindings[nettypes.Port{}] = nil
	r := testRecord("a")
	r.Config.ExposedPorts, r.HostConfig.PortBindings = exposed, bindings
	r.Edit = &Edit{Phase: EditLive, settings: settings{Config: &container.Config{Image: "x"}, HostConfig: &container.HostConfig{PortBindings: bindings}}}
	data, err := encodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeRecord(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, r) {
		t.Errorf("read differently from %.1000s", data)
	}
	if n := strings.Count(string(data), "HostPort"); n > 2*(600+10) {
		t.Errorf("%d bindings are written", n)
	}
	old, _ := json.Marshal(r) // as earlier programs wrote it
	if again, err = decodeRecord(old); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("every port by itself: %v", err)
	}
	for _, bad := range []string{`"1-40/tcp":[]`, `"1-40/tcp":[{"HostPort":"65530"}]`, `"1-40/tcp":[{"HostPort":"1-2"}]`, `"40-1/tcp":[{}]`, `"1-70000/tcp":[{}]`, `"x":[{}]`} {
		broken := strings.Replace(string(data), `"PortBindings":{`, `"PortBindings":{`+bad+`,`, 1)
		if _, err := decodeRecord([]byte(broken)); err == nil || broken == string(data) {
			t.Errorf("read %s", bad)
		}
	}
}
