package network

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"testing"
)

// TestResult fixes the form in which a Result lies in container records: an
// engine must understand what an older one wrote. docs/contracts/network.md.
func TestResult(t *testing.T) {
	want := Result{
		Endpoints: []Endpoint{{
			Network: "bridge", NetworkID: "n1", EndpointID: "e1", Interface: "eth0", HostLink: "veth0123456",
			MAC: "02:42:ac:11:00:02", IPv4: netip.MustParsePrefix("172.17.0.2/16"), Gateway: netip.MustParseAddr("172.17.0.1"),
		}},
		Ports: Rows([]PortBinding{
			{ContainerPort: 80, Proto: "tcp", HostIP: netip.MustParseAddr("0.0.0.0"), HostPort: 8080},
			{ContainerPort: 80, Proto: "tcp", HostIP: netip.MustParseAddr("::"), HostPort: 8080},
		}),
	}
	golden, err := os.ReadFile("testdata/result-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var got Result
	if err := json.Unmarshal(golden, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	data, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(data, '\n'), golden) {
		t.Errorf("wrote %s", data)
	}
}
