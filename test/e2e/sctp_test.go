package e2e

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/socket"
	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/sctp"
)

// answersSCTP has a container answer on a port of SCTP; busybox has no program
// that would.
func answersSCTP(t *testing.T, d *engine.Daemon, name, address string) net.Listener {
	t.Helper()
	f := netOf(t, d, name)
	defer f.Close()
	var l net.Listener
	if err := ns.WithNetNS(f, func() (err error) {
		l, err = socket.ListenSCTP(t.Context(), netip.MustParseAddrPort(address))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go sctp.Answer(l, name)
	return l
}

// TestSCTP: a port of SCTP that is published leads to the container from the host
// and from other containers, whatever happens to the engine.
func TestSCTP(t *testing.T) {
	if !sctp.Available() {
		t.Skip("this kernel has no SCTP")
	}
	d := started(t)
	must(t, d, "berth", "pull", "-q", "busybox")
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	must(t, d, "docker", "run", "-d", "--name", "web", "-p", port+":80/sctp", "busybox", "sleep", "100000")
	must(t, d, "berth", "run", "-d", "--name", "other", "busybox", "sleep", "100000")
	if out := must(t, d, "docker", "port", "web"); !strings.Contains(out, "80/sctp -> 0.0.0.0:"+port) {
		t.Errorf("port: %s", out)
	}
	if out := must(t, d, "docker", "ps", "--format", "{{.Ports}}"); !strings.Contains(out, "0.0.0.0:"+port+"->80/sctp") {
		t.Errorf("ps: %s", out)
	}
	gateway := strings.TrimSpace(must(t, d, "berth", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", "other"))
	l := answersSCTP(t, d, "web", "0.0.0.0:80")
	other := netOf(t, d, "other")
	defer other.Close()
	answers := func(when string) {
		t.Helper()
		for _, address := range []string{"127.0.0.1:" + port, gateway + ":" + port} {
			if got, err := sctp.Call(address, "hello", 20*time.Second); err != nil || got != "web hello" {
				t.Errorf("%s: %s: %q, %v", when, address, got, err)
			}
		}
		if err := ns.WithNetNS(other, func() error {
			got, err := sctp.Call(gateway+":"+port, "hello", 20*time.Second)
			if err == nil && got != "web hello" {
				t.Errorf("%s: another container: %q", when, got)
			}
			return err
		}); err != nil {
			t.Errorf("%s: another container: %v", when, err)
		}
	}
	answers("at first")
	if out, err := client(t, d, "docker", "run", "--rm", "-p", port+":81/sctp", "busybox", "true"); err == nil || !strings.Contains(out, "port is already allocated") {
		t.Errorf("twice: %v, %s", err, out)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	answers("without the engine")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers("with another engine")
	l.Close()
	must(t, d, "docker", "restart", "-t", "0", "web")
	answersSCTP(t, d, "web", "0.0.0.0:80")
	answers("restarted")
	must(t, d, "docker", "rm", "-f", "web", "other")
	if got, err := sctp.Call("127.0.0.1:"+port, "hello", 20*time.Second); err == nil && got != "" {
		t.Errorf("after the end: %q", got)
	}
	noLeak(t, d, before)
}
