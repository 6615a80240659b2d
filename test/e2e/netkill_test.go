package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/test/engine"
)

// netOf opens the network namespace of a container. It lives as long as the
// descriptor.
func netOf(t *testing.T, d *engine.Daemon, name string) *os.File {
	t.Helper()
	pid := strings.TrimSpace(must(t, d, "berth", "inspect", "-f", "{{.State.Pid}}", name))
	f, err := os.Open("/proc/" + pid + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// echoIn answers in a container's namespace what it is sent, until stop.
func echoIn(t *testing.T, f *os.File, port int) (stop func()) {
	t.Helper()
	var open sync.Map
	var l net.Listener
	err := ns.WithNetNS(f, func() (err error) {
		l, err = net.Listen("tcp4", ":"+strconv.Itoa(port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, nil)
			wg.Go(func() {
				defer open.Delete(c)
				defer c.Close()
				_, _ = io.Copy(c, c) // until either side is gone
			})
		}
	})
	return func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		wg.Wait()
	}
}

// load is work that goes on while something is killed. Nothing in it is
// measured but how often it succeeded and failed.
type load struct {
	t            *testing.T
	wg           sync.WaitGroup
	done         chan struct{}
	asked, calls atomic.Int64
	said         atomic.Int64
	open         []net.Conn
}

// every repeats do, at most once in each period, until stop.
func (l *load) every(period time.Duration, do func()) {
	l.wg.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-l.done:
				return
			case <-tick.C:
				do()
			}
		}
	})
}

func (l *load) stop() {
	close(l.done)
	l.wg.Wait()
	for _, c := range l.open {
		c.Close()
	}
	l.t.Logf("%d questions, %d connections, %d exchanges on lasting ones", l.asked.Load(), l.calls.Load(), l.said.Load())
}

// asks puts some 300 questions a second in a container. One that was not answered
// within a second is asked again, at most tries times, as programs do.
func (l *load) asks(f *os.File, name string, tries int) {
	l.t.Helper()
	var c net.Conn
	if err := ns.WithNetNS(f, func() (err error) {
		c, err = net.Dial("udp4", "127.0.0.11:53")
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	l.open = append(l.open, c)
	conn := &mdns.Conn{Conn: c}
	q := new(mdns.Msg)
	l.every(3*time.Millisecond, func() {
		for range tries {
			q.SetQuestion(name+".", mdns.TypeA)
			err := conn.WriteMsg(q)
			if err == nil {
				err = ask(conn, q.Id)
			}
			if err == nil {
				l.asked.Add(1)
				return
			}
			if tries == 1 || !errors.Is(err, os.ErrDeadlineExceeded) {
				l.t.Errorf("question about %s: %v", name, err)
				return
			}
		}
		l.t.Errorf("no answer about %s", name)
	})
}

// ask waits for the answer to question id; older ones may still come in.
func ask(conn *mdns.Conn, id uint16) error {
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	for {
		r, err := conn.ReadMsg()
		if err != nil {
			return err
		}
		if r.Id != id {
			continue
		}
		if r.Rcode != mdns.RcodeSuccess || len(r.Answer) == 0 {
			return fmt.Errorf("answered %s with %d records", mdns.RcodeToString[r.Rcode], len(r.Answer))
		}
		return nil
	}
}

// connects is a client of an address, again and again. Nobody may be turned away;
// cut: a connection may be cut off.
func (l *load) connects(address string, cut bool) {
	l.every(5*time.Millisecond, func() {
		c, err := net.Dial("tcp", address)
		if err != nil {
			l.t.Errorf("connect to %s: %v", address, err)
			return
		}
		defer c.Close()
		if err := exchange(c); err != nil {
			if !cut {
				l.t.Errorf("connection to %s: %v", address, err)
			}
			return
		}
		l.calls.Add(1)
	})
}

// lasts uses one connection all the time.
func (l *load) lasts(address string) {
	l.t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.open = append(l.open, c)
	l.every(5*time.Millisecond, func() {
		if err := exchange(c); err != nil {
			l.t.Errorf("the connection to %s that was there before: %v", address, err)
			return
		}
		l.said.Add(1)
	})
}

func exchange(c net.Conn) error {
	buf := []byte("hello")
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(buf); err != nil {
		return err
	}
	_, err := io.ReadFull(c, buf)
	return err
}

// steals tries to get a port.
func (l *load) steals(port string) {
	for _, host := range []string{"127.0.0.1", "[::1]", "0.0.0.0", "[::]"} {
		l.every(2*time.Millisecond, func() {
			if s, err := net.Listen("tcp", host+":"+port); err == nil {
				s.Close()
				l.t.Errorf("somebody else could listen on %s:%s", host, port)
			}
		})
	}
}

// TestNetKill kills the engine, leaves its containers without one for five
// seconds, and starts another: not one question about a name fails, no
// connection to a published port breaks or is refused, and nobody else gets the
// port. Then berth-netd is killed under the same load: what it was passing on,
// from ::1, is lost, and nothing else.
func TestNetKill(t *testing.T) {
	d := started(t)
	port, err := engine.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	must(t, d, "berth", "network", "create", "mesh")
	must(t, d, "berth", "run", "-d", "--name", "web", "--network", "mesh", "--stop-timeout", "0", "-p", port+":80", "busybox", "sleep", "1000")
	must(t, d, "berth", "run", "-d", "--name", "asks", "--network", "mesh", "--stop-timeout", "0", "busybox", "sleep", "1000")
	web, asks := netOf(t, d, "web"), netOf(t, d, "asks")
	defer web.Close()
	defer asks.Close()
	stop := echoIn(t, web, 80)
	begin := func(tries int) *load { // more than one: berth-netd is killed
		l := &load{t: t, done: make(chan struct{})}
		l.asks(asks, "web", tries)
		l.asks(web, "asks", tries)
		l.connects("127.0.0.1:"+port, false)
		l.connects("[::1]:"+port, tries > 1)
		l.steals(port)
		return l
	}

	l := begin(1)
	l.lasts("127.0.0.1:" + port)
	l.lasts("[::1]:" + port)
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second) // what the engine is missed for
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, d, "berth", "exec", "web", "true")
	l.stop()

	l = begin(5)
	l.lasts("127.0.0.1:" + port)
	passed, err := net.Dial("tcp", "[::1]:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	for range 3 {
		old := netdOf(t, d)
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another berth-netd", func() []string {
			if now := netdOf(t, d); now == 0 || now == old {
				return []string{"none yet"}
			}
			return serves("[::1]:" + port)
		})
	}
	if err := exchange(passed); err == nil {
		t.Error("a connection outlived the berth-netd that passed it on: the documentation says otherwise")
	}
	l.stop()
	stop()
	web.Close()
	asks.Close()
	must(t, d, "berth", "rm", "-f", "web", "asks")
	must(t, d, "berth", "network", "rm", "mesh")
	noLeak(t, d, before)
}

// serves tells whether what listens on an address answers.
func serves(address string) []string {
	c, err := net.Dial("tcp", address)
	if err == nil {
		defer c.Close()
		err = exchange(c)
	}
	if err != nil {
		return []string{err.Error()}
	}
	return nil
}

// netdOf finds the process of the daemon's berth-netd; 0: there is none.
func netdOf(t *testing.T, d *engine.Daemon) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err == nil && strings.Contains(string(cmdline), d.ExecRoot()+"/netd.sock") {
			return pid
		}
	}
	return 0
}
