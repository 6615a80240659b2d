package netd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/test/golden"
)

// serve runs a server on a socket until the test ends or it is told to quit.
func serve(t *testing.T, s *Server) (socket string, done <-chan error) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "netd.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Run(ctx, l)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		for range ended {
		}
	})
	return socket, ended
}

func dial(t *testing.T, socket string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var loopback = netip.MustParseAddr("127.0.0.1")

// free returns a port that nobody has.
func free(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// TestProtocol talks to a server byte by byte. The golden file is the contract:
// docs/contracts/netd.md quotes it.
func TestProtocol(t *testing.T) {
	socket, _ := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	port := free(t)
	names := strings.NewReplacer("PORT", fmt.Sprint(port))
	back := strings.NewReplacer(fmt.Sprintf(":%d,", port), ":PORT,", fmt.Sprintf(`"pid":%d`, os.Getpid()), `"pid":PID`)
	var transcript bytes.Buffer
	for _, line := range []string{
		`{"op":"hello","version":1}`,
		`{"op":"hello","version":2}`,
		`{"op":"reserve","owner":"c1","ports":[{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.2","container_port":80}]}`,
		`{"op":"reserve","owner":"c2","ports":[{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.3","container_port":80}]}`,
		`{"op":"reserve","owner":"c3","ports":[{"host_ip":"192.0.2.99","host_port":PORT,"proto":"udp","container_ip":"127.0.0.3","container_port":53}]}`,
		`{"op":"reserve","owner":"c1","ports":[]}`,
		`{"op":"list"}`,
		`{"op":"quit"}`,
		`{"op":"dance"}`,
		`{"op":"change","owner":"c1","keep":[{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.2","container_port":80}],"ports":[{"host_ip":"192.0.2.99","host_port":PORT,"proto":"udp","container_ip":"127.0.0.3","container_port":53}]}`,
		`{"op":"change","owner":"c1","ports":[{"host_ip":"127.0.0.2","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.2","container_port":80}]}`,
		`{"op":"change","owner":"c1","keep":[{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.2","container_port":80}]}`,
		`{"op":"release","owner":"c1"}`,
		`{"op":"list"}`,
		`{"op":"reserve","owner":"s1","member":{"share":"p/web"},"ports":[{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.2","container_port":80}]}`,
		`{"op":"reserve","owner":"s2","member":{"share":"p/web","turn":"waiting","came":1},"ports":[{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.3","container_port":80}]}`,
		`{"op":"reserve","owner":"s3","member":{"share":"p/db"},"ports":[{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.4","container_port":80}]}`,
		`{"op":"reserve","owner":"s4","ports":[{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.4","container_port":80}]}`,
		`{"op":"turn","owner":"s1","member":{"turn":"drained"}}`,
		`{"op":"turn","owner":"s1","member":{"turn":"asleep"}}`,
		`{"op":"connections","owner":"s1"}`,
		`{"op":"turn","owner":"nobody","member":{"turn":"drained"}}`,
		`{"op":"list"}`,
		`{"op":"release","owner":"s1"}`,
		`{"op":"release","owner":"s2"}`,
		`{"op":"reserve","owner":"c4","ports":[{"host_ip":"127.0.0.9","host_port":1000,"proto":"udp","container_ip":"127.0.0.3","container_port":1000,"count":300}]}`,
		`{"op":"reserve","owner":"c5","ports":[{"host_ip":"127.0.0.9","host_port":1200,"proto":"udp","container_ip":"127.0.0.4","container_port":53}]}`,
		`{"op":"release","owner":"c4"}`,
		`{"op":"reserve","owner":"c7","ports":[{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.2","container_port":80},{"host_ip":"127.0.0.1","host_port":PORT,"proto":"tcp","container_ip":"127.0.0.2","container_port":81}]}`,
		`{"op":"record","record":{"network":"n1","network_name":"front","endpoint":"e1","names":["web"],"addresses":["172.18.0.2"]}}`,
		`{"op":"resolve","sandbox":{"id":"c1","networks":["n1"]}}`,
		`{"op":"lend","owner":"c1"}`,
		`{"op":"copies","owner":"c1"}`,
		`{"op":"restore","owner":"","keep":[]}`,
		`{"op":"restore","owner":"c6","keep":[{"host_ip":"127.0.0.9","host_port":2000,"proto":"udp","container_ip":"127.0.0.3","container_port":2000,"count":300}]}`,
		`{"op":"copies","owner":"c6"}`,
		`{"op":"release","owner":"c6"}`,
		`{"op":"names"}`,
		`{"op":"unrecord","record":{"network":"n1","endpoint":"e1"}}`,
		`{"op":"record","record":{"network":"n1"}}`,
		`{"op":"unresolve","owner":"c1"}`,
		`{"op":"quit"}`,
	} {
		if err := writeFrame(c, json.RawMessage(names.Replace(line))); err != nil {
			t.Fatal(err)
		}
		var answer json.RawMessage
		if err := readFrame(c, &answer); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&transcript, "> %s\n< %s\n", line, back.Replace(string(answer)))
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after quit: %v", err)
	}
	golden.Compare(t, "protocol.txt", transcript.String())
}

// TestBadPeers: what a peer sends cannot hurt.
func TestBadPeers(t *testing.T) {
	socket, _ := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	for _, data := range []string{"\xff\xff\xff\xff", "\x00\x00\x00\x05hello", "\x00\x00\x00\x02[]", "\x00\x00"} {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, data); err != nil {
			t.Fatal(err)
		}
		if len(data) == 2 {
			if err := c.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := io.ReadAll(c); len(b) != 0 && err == nil {
			t.Errorf("%q was answered %q", data, b)
		}
		c.Close()
	}
	if _, _, err := dial(t, socket).List(); err != nil {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), filepath.Join(t.TempDir(), "nosuch")); !errdefs.IsUnavailable(err) {
		t.Errorf("no server: %v", err)
	}
}

// echo is a container: it answers what it is sent.
func echo(t *testing.T) netip.AddrPort { return says(t, "") }

// TestHandover: the successor serves the same sockets; a connection that the
// predecessor splices goes on until it is closed.
func TestHandover(t *testing.T) {
	old := NewServer(slog.New(slog.DiscardHandler))
	socket, done := serve(t, old)
	target := echo(t)
	client := dial(t, socket)
	want := []Port{
		{HostIP: loopback, Proto: "tcp", ContainerIP: target.Addr(), ContainerPort: target.Port()},
		{HostIP: loopback, Proto: "udp", ContainerIP: target.Addr(), ContainerPort: 1},
	}
	got, err := client.Reserve("c1", Member{}, want)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(got[0].HostIP, got[0].HostPort).String()
	early := connect(t, address)

	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	heir := NewServer(slog.New(slog.DiscardHandler))
	if err := heir.TakeOver(c); err != nil {
		t.Fatal(err)
	}
	c.Close()
	newSocket, _ := serve(t, heir)
	held, _, err := dial(t, newSocket).List()
	if err != nil || fmt.Sprint(held["c1"]) != fmt.Sprint(got) {
		t.Errorf("the successor holds %v, %v; want %v", held, err, got)
	}
	late := connect(t, address) // until the old server has closed its copy, either may accept it
	say(t, late, "late")
	say(t, early, "early")
	if !old.Superseded() || heir.Superseded() {
		t.Error("who is superseded?")
	}
	early.Close()
	late.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the old server does not end")
	}
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	say(t, c, "hello")
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len(text))
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != text {
		t.Errorf("echo of %q: %q, %v", text, buf, err)
	}
}

// TestReleaseCuts: with the port go its connections, of a container that is
// gone.
func TestReleaseCuts(t *testing.T) {
	socket, _ := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	target := echo(t)
	client := dial(t, socket)
	got, err := client.Reserve("c1", Member{}, []Port{{HostIP: loopback, Proto: "tcp", ContainerIP: target.Addr(), ContainerPort: target.Port()}})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, netip.AddrPortFrom(got[0].HostIP, got[0].HostPort).String())
	if err := client.Release("c1"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection still lives")
	}
}

// TestHalfClose: a client that has said everything still hears the answer.
func TestHalfClose(t *testing.T) {
	socket, _ := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	target := echo(t)
	got, err := dial(t, socket).Reserve("c1", Member{}, []Port{{HostIP: loopback, Proto: "tcp", ContainerIP: target.Addr(), ContainerPort: target.Port()}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", netip.AddrPortFrom(got[0].HostIP, got[0].HostPort).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := strings.Repeat("berth", 200_000)
	go func() {
		_, _ = io.WriteString(c, big) // what comes back tells
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(c)
	if err != nil || string(back) != big {
		t.Errorf("%d of %d bytes came back, %v", len(back), len(big), err)
	}
}

// TestCopies: sockets outlive a server that is killed, as long as somebody has
// copies of them, and another server goes on with them.
func TestCopies(t *testing.T) {
	target := echo(t)
	first := NewServer(slog.New(slog.DiscardHandler))
	socket, _ := serve(t, first)
	client := dial(t, socket)
	want := []Port{
		{HostIP: loopback, Proto: "tcp", ContainerIP: target.Addr(), ContainerPort: target.Port()},
		{HostIP: loopback, HostPort: 3000, Proto: "udp", ContainerIP: target.Addr(), ContainerPort: 3000, Count: 300},
		{HostIP: loopback, Proto: "udp", ContainerIP: target.Addr(), ContainerPort: 1},
	}
	got, err := client.Reserve("c1", Member{}, want)
	if err != nil {
		t.Fatal(err)
	}
	held, kept, err := client.Copies("c1")
	if err != nil || fmt.Sprint(held) != fmt.Sprint(got) || len(kept) != 3 || kept[1] != nil {
		t.Fatalf("%v, %v, %v", held, kept, err)
	}
	defer closeKept(kept)
	if err := client.Release("c1"); err != nil { // as good as dead
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(got[0].HostIP, got[0].HostPort).String()
	if l, err := net.Listen("tcp", address); err == nil {
		l.Close()
		t.Error("somebody else can have the port")
	}
	waiting, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()

	socket, _ = serve(t, NewServer(slog.New(slog.DiscardHandler)))
	client = dial(t, socket)
	if err := client.Restore("c1", Member{}, held, kept[:1]); err == nil {
		t.Error("sockets are missing, and that is well")
	}
	if err := client.Restore("c1", Member{}, held, kept); err != nil {
		t.Fatal(err)
	}
	say(t, waiting, "at last")
	closeKept(kept)
	connect(t, address)
	if err := client.Release("c1"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// FuzzFrame: a request that can be read is written as one that says the same.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0d{\"op\":\"list\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r request
		if err := readFrame(bytes.NewReader(data), &r); err != nil {
			return
		}
		var out, twice bytes.Buffer
		if err := writeFrame(&out, &r); err != nil {
			t.Fatal(err)
		}
		var again request
		if err := readFrame(bytes.NewReader(out.Bytes()), &again); err != nil {
			t.Fatal(err)
		}
		if err := writeFrame(&twice, &again); err != nil || !bytes.Equal(twice.Bytes(), out.Bytes()) {
			t.Errorf("%q is written as %q, and that as %q, %v", data, out.Bytes(), twice.Bytes(), err)
		}
	})
}
