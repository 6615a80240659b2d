package dns

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	got := Parse([]byte("# comment\nnameserver 10.0.0.1\nnameserver ::1 ; local\nnameserver nonsense\nnameserver\ndomain a\nsearch b c\noptions ndots:2 edns0\noptions rotate\nsortlist x\n"))
	want := Config{
		Servers: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")},
		Search:  []string{"b", "c"},
		Options: []string{"ndots:2", "edns0", "rotate"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestText(t *testing.T) {
	if got := Text([]string{"10.0.0.1", "::1"}, []string{"b", "c"}, []string{"ndots:2"}); got != "nameserver 10.0.0.1\nnameserver ::1\nsearch b c\noptions ndots:2\n" {
		t.Errorf("got %q", got)
	}
	if got := Text(nil, []string{"."}, nil); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestReachable(t *testing.T) {
	in := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0")}
	if got := reachable(in, false); len(got) != 1 || got[0].String() != "10.0.0.1" {
		t.Errorf("got %v", got)
	}
}

func TestForResolver(t *testing.T) {
	host := Config{Servers: []netip.Addr{addr("127.0.0.1"), addr("10.0.0.1")}, Search: []string{"lan"}, Options: []string{"edns0"}}
	for _, c := range []struct {
		given, host Config
		want        string
	}{
		{Config{}, host, "{[127.0.0.11] [lan] [edns0 ndots:0]} [{127.0.0.1:53 true} {10.0.0.1:53 true}]"},
		{Config{Servers: []netip.Addr{addr("127.0.0.1")}, Search: []string{"."}, Options: []string{"ndots:2"}}, host, "{[127.0.0.11] [] [ndots:2]} [{127.0.0.1:53 false}]"},
		{Config{Search: []string{"a", "b"}}, Config{}, "{[127.0.0.11] [a b] [ndots:0]} [{8.8.8.8:53 false} {8.8.4.4:53 false}]"},
	} {
		file, ask := forResolver(c.given, c.host)
		if got := fmt.Sprint(file, ask); got != c.want {
			t.Errorf("%+v: %s; want %s", c.given, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("nameserver 1.1.1.1\nsearch a b\n"))
	f.Add([]byte("options \x00\r\n;#"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Parse(data)
		for _, word := range append(c.Search, c.Options...) {
			if word == "" || strings.ContainsAny(word, " \t\n#;") {
				t.Errorf("word %q", word)
			}
		}
	})
}
