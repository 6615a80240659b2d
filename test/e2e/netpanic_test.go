package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/test/engine"
)

// TestNetdPanics: a panic of berth-netd in one request fails that request, and
// one in the middle of a question about a name that question. What is published
// goes on, connections that berth-netd passes on included; and it is the same
// process that serves the next request.
func TestNetdPanics(t *testing.T) {
	bin, err := engine.Bin()
	if err != nil {
		t.Fatal(err)
	}
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	d.Bin = filepath.Join(bin, "faults")
	// The second port that is opened, and the first one that is dropped for another.
	d.Setenv("BERTH_FAULT=netd.bound=panic:2,netd.dropped=panic:1,dns.question=panic:2")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ports := make([]string, 2)
	for i := range ports {
		if ports[i], err = engine.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	must(t, d, "berth", "network", "create", "mesh")
	must(t, d, "berth", "run", "-d", "--name", "web", "--network", "mesh", "--stop-timeout", "0", "-p", ports[0]+":80", "busybox", "sleep", "1000")
	web := netOf(t, d, "web")
	defer web.Close()
	defer echoIn(t, web, 80)()
	netd := netdOf(t, d)
	passed, err := net.Dial("tcp", "[::1]:"+ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()

	other := []string{"berth", "run", "-d", "--name", "other", "--stop-timeout", "0", "-p", ports[1] + ":80", "busybox", "sleep", "1000"}
	if said, err := client(t, d, other...); err == nil || !strings.Contains(said, `internal error in "reserve"`) {
		t.Errorf("run: %v: %s", err, said)
	}
	for _, address := range []string{"127.0.0.1:", "[::1]:"} {
		if l, err := net.Listen("tcp", address+ports[1]); err != nil {
			t.Errorf("what the request had opened stays: %v", err)
		} else {
			l.Close()
		}
	}
	must(t, d, "berth", "rm", "-f", "other")
	must(t, d, other...)

	// 127.0.0.1 alone instead of all addresses: the socket goes before the other can come.
	narrow := []string{"berth", "update", "-p", "127.0.0.1:" + ports[1] + ":80", "--publish-rm", "80", "other"}
	if said, err := client(t, d, narrow...); err == nil || !strings.Contains(said, `internal error in "change"`) {
		t.Errorf("update: %v: %s", err, said)
	}
	if got := must(t, d, "berth", "port", "other"); !strings.Contains(got, "0.0.0.0:"+ports[1]) {
		t.Errorf("published after the update that failed:\n%s", got)
	}
	if l, err := net.Listen("tcp", "[::1]:"+ports[1]); err == nil {
		l.Close()
		t.Error("the port is nobody's after the update that failed")
	}
	must(t, d, narrow...)

	if failed := failedQuestions(t, web, 4); failed != 1 {
		t.Errorf("%d of 4 questions failed; want the one with the panic", failed)
	}

	if err := exchange(passed); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
	if problem := serves("127.0.0.1:" + ports[0]); problem != nil {
		t.Error(problem)
	}
	if now := netdOf(t, d); now != netd {
		t.Errorf("berth-netd is process %d, and was %d", now, netd)
	}
	passed.Close()
	must(t, d, "berth", "rm", "-f", "web", "other")
	must(t, d, "berth", "network", "rm", "mesh")
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	d.Bin = ""
	d.Setenv()
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	noLeak(t, d, before)
}

// failedQuestions asks in a container for "web", and counts what got no address.
func failedQuestions(t *testing.T, space *os.File, n int) (failed int) {
	t.Helper()
	var c net.Conn
	if err := ns.WithNetNS(space, func() (err error) {
		c, err = net.Dial("udp4", "127.0.0.11:53")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range n {
		q := new(mdns.Msg)
		q.SetQuestion("web.", mdns.TypeA)
		conn := &mdns.Conn{Conn: c}
		if err := conn.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
		if err := ask(conn, q.Id); err != nil {
			failed++
		}
	}
	return failed
}
