package netd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// says answers each connection with a line, if it has one to say, then echoes.
func says(t *testing.T, word string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if word != "" {
					fmt.Fprintln(c, word)
				}
				_, _ = io.Copy(c, c) // until either side is gone
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// shop is a port that several of one share have, and a client of its server.
type shop struct {
	t      *testing.T
	client *Client
	socket string
	port   uint16
}

// inWeb is one of those who share the port.
var inWeb = Member{Share: "p/web"}

func openShop(t *testing.T) *shop {
	socket, _ := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	return &shop{t, dial(t, socket), socket, free(t)}
}

// at is where clients come.
func (s *shop) at() string { return netip.AddrPortFrom(loopback, s.port).String() }

// want asks for the port, for who answers with a word.
func (s *shop) want(word string) Port {
	target := says(s.t, word)
	return Port{HostIP: loopback, HostPort: s.port, Proto: "tcp", ContainerIP: target.Addr(), ContainerPort: target.Port()}
}

// enter has owner share the port.
func (s *shop) enter(owner string) {
	s.t.Helper()
	if _, err := s.client.Reserve(owner, inWeb, []Port{s.want(owner)}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) leave(owner string) {
	s.t.Helper()
	if err := s.client.Release(owner); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) turn(owner string, turn Turn) {
	s.t.Helper()
	s.become(owner, Member{Turn: turn})
}

// become has owner be something else to the others.
func (s *shop) become(owner string, m Member) {
	s.t.Helper()
	if err := s.client.Turn(owner, m); err != nil {
		s.t.Fatal(err)
	}
}

// handOver has another server take over.
func (s *shop) handOver() *Server {
	s.t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.socket, Net: "unix"})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	heir := NewServer(slog.New(slog.DiscardHandler))
	if err := heir.TakeOver(conn); err != nil {
		s.t.Fatal(err)
	}
	next, _ := serve(s.t, heir)
	s.client = dial(s.t, next)
	return heir
}

// ask is who answers a connection; "": nobody.
func (s *shop) ask() string {
	s.t.Helper()
	c, err := net.Dial("tcp", s.at())
	if err != nil { // a reset may come as soon as this
		return ""
	}
	defer c.Close()
	word, _ := bufio.NewReader(c).ReadString('\n')
	return word[:max(len(word)-1, 0)]
}

// count is how many of n connections each answers.
func (s *shop) count(n int) map[string]int {
	s.t.Helper()
	got := map[string]int{}
	for range n {
		got[s.ask()]++
	}
	return got
}

// TestShare: two of one share have one port, and nobody else. Who comes is spread
// over those whose turn it is; what is connected stays so.
func TestShare(t *testing.T) {
	s := openShop(t)
	s.enter("a")
	if _, err := s.client.Reserve("greedy", inWeb, []Port{s.want("x"), s.want("y")}); err == nil {
		t.Error("one owner has a port twice")
	}
	s.enter("b")
	for _, m := range []Member{{}, {Share: "p/db"}} {
		_, err := s.client.Reserve("c", m, []Port{s.want("c")})
		if refused, ok := errors.AsType[*RefusalError](err); !ok || !refused.Allocated {
			t.Errorf("%+v got the port: %v", m, err)
		}
	}
	if got := s.count(200); got["a"] < 50 || got["b"] < 50 || len(got) != 2 {
		t.Errorf("spread %v", got)
	}
	s.turn("a", Waiting)
	if got := s.count(20); got["b"] != 20 {
		t.Errorf("a waits: %v", got)
	}
	s.turn("b", Waiting)
	if got := s.count(100); got["a"] == 0 || got["b"] == 0 {
		t.Errorf("both wait: %v", got)
	}
	s.turn("a", Ready)
	c, err := net.Dial("tcp", s.at())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if word, err := r.ReadString('\n'); word != "a\n" {
		t.Fatal(word, err)
	}
	s.turn("a", Drained)
	if got := s.count(20); got["b"] != 20 {
		t.Errorf("a is drained: %v", got)
	}
	fmt.Fprintln(c, "still here")
	if word, err := r.ReadString('\n'); word != "still here\n" {
		t.Errorf("a connection of who was drained: %q, %v", word, err)
	}
}

// TestShareStarts: while nobody is ready, those who have started get what comes,
// or else the first that came; the next server knows who that is.
func TestShareStarts(t *testing.T) {
	s := openShop(t)
	for came, owner := range []string{"c", "b", "a"} { // in another order than that of their names
		m := Member{Share: "p/web", Turn: Waiting, Came: uint64(came + 1)}
		if _, err := s.client.Reserve(owner, m, []Port{s.want(owner)}); err != nil {
			t.Fatal(err)
		}
	}
	only := func(want string) {
		t.Helper()
		if got := s.count(20); got[want] != 20 {
			t.Errorf("%v, want %s alone", got, want)
		}
	}
	only("c")
	s.handOver()
	only("c")
	s.leave("c")
	only("b")
	s.become("a", Member{Turn: Waiting})
	only("a") // it has started, b has not
	s.turn("b", Ready)
	only("b")
	s.become("b", Member{Turn: Waiting})
	if got := s.count(100); got["a"] == 0 || got["b"] == 0 {
		t.Errorf("nobody is ready, and both have started: %v", got)
	}
	if _, members, err := s.client.List(); err != nil || members["b"] != (Member{"p/web", Waiting, 0}) {
		t.Errorf("%v, %v", members, err)
	}
}

// TestNext: who is asked, of all there are.
func TestNext(t *testing.T) {
	ready, waits, drained := Member{}, Member{Turn: Waiting}, Member{Turn: Drained}
	first, second := Member{Turn: Waiting, Came: 4}, Member{Turn: Waiting, Came: 5}
	for _, c := range []struct{ all, want []Member }{
		{nil, nil},
		{[]Member{drained, {Turn: "of another version"}}, nil},
		{[]Member{second}, []Member{second}},
		{[]Member{second, first, drained}, []Member{first}},
		{[]Member{first, waits, second, waits}, []Member{waits, waits}},
		{[]Member{first, waits, ready, second, ready}, []Member{ready, ready}},
		{[]Member{ready, waits, first, drained}, []Member{ready}},
	} {
		if got := Next(c.all, func(m Member) Member { return m }); !slices.Equal(got, c.want) {
			t.Errorf("of %v: %v, want %v", c.all, got, c.want)
		}
	}
}

// TestShareHandedOver: another server takes a shared port over, and then another
// one the kept copies; turns stay what they were.
func TestShareHandedOver(t *testing.T) {
	s := openShop(t)
	s.enter("a")
	s.enter("b")
	s.turn("a", Drained)
	s.become("b", Member{Turn: Waiting, Came: 7})
	heir := s.handOver()
	if _, members, err := s.client.List(); err != nil || members["a"] != (Member{"p/web", Drained, 0}) || members["b"] != (Member{"p/web", Waiting, 7}) {
		t.Errorf("the heir has %v, %v", members, err)
	}
	if len(heir.doors) != 1 {
		t.Errorf("%d sockets", len(heir.doors))
	}
	if got := s.count(20); got["b"] != 20 {
		t.Errorf("the heir leads to %v", got)
	}
	heldA, keptA, err := s.client.Copies("a")
	if err != nil {
		t.Fatal(err)
	}
	heldB, keptB, err := s.client.Copies("b")
	if err != nil {
		t.Fatal(err)
	}
	s.leave("a")
	s.leave("b")
	third := NewServer(slog.New(slog.DiscardHandler))
	socket, _ := serve(t, third)
	s.client = dial(t, socket)
	if err := s.client.Restore("a", Member{Share: "p/web", Turn: Drained}, heldA, keptA); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Restore("b", inWeb, heldB, keptB); err != nil {
		t.Fatal(err)
	}
	closeKept(append(keptA, keptB...))
	if got := s.count(20); got["b"] != 20 || len(third.doors) != 1 {
		t.Errorf("after a restore: %v, %d sockets", got, len(third.doors))
	}
}

// TestShareLast: nobody answers for who is drained, also if the others are gone;
// the last one to go shuts the port.
func TestShareLast(t *testing.T) {
	s := openShop(t)
	s.enter("a")
	s.enter("b")
	s.turn("a", Drained)
	s.leave("b")
	if got := s.ask(); got != "" {
		t.Errorf("%q answers, although nobody takes a turn", got)
	}
	s.turn("a", Ready)
	if got := s.ask(); got != "a" {
		t.Errorf("%q instead of a", got)
	}
	s.leave("a")
	l, err := net.Listen("tcp", s.at())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestAcceptedBeforeHandover: who was accepted by a server is led in by it, even
// if a successor has the port by then.
func TestAcceptedBeforeHandover(t *testing.T) {
	s := NewServer(slog.New(slog.DiscardHandler))
	p := Port{HostIP: loopback, Proto: "tcp", ContainerIP: loopback, ContainerPort: says(t, "a").Port()}
	if r := s.reserve(t.Context(), opener{owner: "a", Member: Member{Share: "p/web"}}, []Port{p}); r.Error != "" || r.Refusal != nil {
		t.Fatal(r)
	}
	d := s.held["a"][0].door
	s.heir = true
	s.drop()
	if c, err := net.Dial("tcp", netip.AddrPortFrom(loopback, d.at.port).String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
	h, c := s.reach(d, netip.AddrPortFrom(loopback, 1))
	if h == nil {
		t.Fatal("nobody for who was accepted")
	}
	c.Close()
	s.wg.Wait()
}

// TestShareGone: nobody is told that a port is closed because one of those who
// share it does not answer.
func TestShareGone(t *testing.T) {
	socket, _ := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	client := dial(t, socket)
	port := free(t)
	for owner, target := range map[string]netip.AddrPort{"alive": echo(t), "gone": netip.AddrPortFrom(loopback, free(t))} {
		p := Port{HostIP: loopback, HostPort: port, Proto: "tcp", ContainerIP: target.Addr(), ContainerPort: target.Port()}
		if _, err := client.Reserve(owner, Member{Share: "p/web"}, []Port{p}); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		connect(t, netip.AddrPortFrom(loopback, port).String()).Close()
	}
}

// TestShareUDP: a client stays with the one that it speaks to, until that one
// is gone.
func TestShareUDP(t *testing.T) {
	socket, _ := serve(t, NewServer(slog.New(slog.DiscardHandler)))
	client := dial(t, socket)
	door := Port{HostIP: loopback, Proto: "udp"}
	for _, word := range []string{"a", "b"} {
		l, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			buf := make([]byte, 64)
			for {
				_, from, err := l.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = l.WriteTo([]byte(word), from)
			}
		}()
		at := netip.MustParseAddrPort(l.LocalAddr().String())
		door.ContainerIP, door.ContainerPort = at.Addr(), at.Port()
		got, err := client.Reserve(word, Member{Share: "p/dns"}, []Port{door})
		if err != nil {
			t.Fatal(err)
		}
		door.HostPort = got[0].HostPort
	}
	c, err := net.Dial("udp", netip.AddrPortFrom(loopback, door.HostPort).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() string {
		t.Helper()
		buf := make([]byte, 64)
		if _, err := c.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	first := ask()
	for range 20 {
		if got := ask(); got != first {
			t.Fatalf("%s, then %s", first, got)
		}
	}
	if err := client.Turn(first, Member{Turn: Drained}); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != first {
		t.Errorf("who was drained lost a client to %s", got)
	}
	if err := client.Release(first); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got == first {
		t.Errorf("%s is gone, and answers", got)
	}
}
