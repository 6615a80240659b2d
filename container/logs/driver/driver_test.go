package driver

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/tinylib/msgp/msgp"
)

func info(t *testing.T, options map[string]string) *Info {
	return &Info{
		ID: "0123456789abcdef0123456789abcdef", Name: "web", ImageID: "sha256:fedcba9876543210", ImageName: "busybox",
		Command: "sh -c true", Created: time.Unix(1e9, 0).UTC(), Labels: map[string]string{"tier": "front", "other": "x"},
		Env: []string{"LANG=C", "SECRET=s"}, Options: options, Hostname: "host", Dir: t.TempDir(),
	}
}

var at = time.Date(2026, 1, 2, 3, 4, 5, 600000000, time.UTC)

func TestCheck(t *testing.T) {
	for _, tc := range []struct{ driver, options, want string }{
		{"local", "max-size=10m max-file=3 compress=false mode=blocking", ""},
		{"none", "anything=goes", ""},
		{"splunk", "", "logger: no log driver named 'splunk' is registered"},
		{"json-file", "syslog-address=x", "unknown log opt 'syslog-address' for json-file log driver"},
		{"json-file", "max-file=0", "max-file cannot be less than 1"},
		{"json-file", "max-size=x", "max-size must be a positive number"},
		{"json-file", "compress=true", "compress cannot be true when max-file is less than 2 or max-size is not set"},
		{"json-file", "max-size=1m max-file=2 compress=true", ""},
		{"json-file", "mode=sometimes", "logger: logging mode not supported: sometimes"},
		{"json-file", "max-buffer-size=1m", "only supported with 'mode=non-blocking'"},
		{"json-file", "mode=non-blocking max-buffer-size=x", "invalid size: 'x'"},
		{"json-file", "env-regex=[", "env-regex"},
		{"json-file", "tag={{.Nosuch}}", "'tag'"},
		{"syslog", "syslog-address=ftp://x", "unsupported scheme: 'ftp'"},
		{"syslog", "syslog-address=unix:///nonexistent", "no such file"},
		{"syslog", "syslog-facility=x", "invalid syslog facility: x"},
		{"syslog", "syslog-format=x", "invalid syslog format: x"},
		{"syslog", "syslog-address=tcp+tls://h syslog-tls-ca-cert=/nonexistent", "syslog-tls-ca-cert"},
		{"gelf", "", "gelf-address is a required parameter"},
		{"gelf", "gelf-address=unix:///x", "needs to be TCP or UDP"},
		{"gelf", "gelf-address=tcp://h:1 gelf-compression-type=gzip", "compression is only supported on UDP"},
		{"gelf", "gelf-address=udp://h:1 gelf-tcp-max-reconnect=1", "only valid for TCP"},
		{"fluentd", "fluentd-address=h:1/path", "should not contain a path element"},
		{"fluentd", "fluentd-address=ftp://h", "unsupported scheme: 'ftp'"},
		{"fluentd", "fluentd-async-reconnect-interval=1h", "between 100ms and 10s"},
		{"fluentd", "fluentd-buffer-limit=x", "fluentd-buffer-limit"},
		{"journald", "tag=x labels=a", ""},
	} {
		options := map[string]string{}
		for o := range strings.FieldsSeq(tc.options) {
			k, v, _ := strings.Cut(o, "=")
			options[k] = v
		}
		err := Check(tc.driver, options)
		switch {
		case tc.want == "" && err != nil, tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s %s: %v, want %q", tc.driver, tc.options, err, tc.want)
		case err != nil && !errdefs.IsInvalidArgument(err):
			t.Errorf("%s %s: %v is not the client's fault?", tc.driver, tc.options, err)
		}
	}
}

func TestAttrsAndTag(t *testing.T) {
	i := info(t, map[string]string{"labels": "tier, none", "env-regex": "^LANG$", "tag": "{{.Name}}/{{.ID}}/{{.ImageID}}/{{index (.ExtraAttributes nil) \"tier\"}}"})
	attrs, err := Attrs(i)
	if err != nil || len(attrs) != 3 || attrs["tier"] != "front" || attrs["LANG"] != "C" || attrs["tag"] != "web/0123456789ab/fedcba987654/front" {
		t.Errorf("%v, %v", attrs, err)
	}
}

func TestJSONFile(t *testing.T) {
	i := info(t, map[string]string{"labels": "tier", "max-size": "500", "max-file": "3", "compress": "true"})
	j, err := OpenJSONFile(i, nil)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string, part *Part) {
		t.Helper()
		if err := j.Write(&Message{Time: at, Text: []byte(text), Part: part}); err != nil {
			t.Fatal(err)
		}
	}
	write("a \"b\" <c> \xff\t\x01 é\u2028", nil)
	write("piece", &Part{Ordinal: 1})
	got, err := os.ReadFile(JSONPath(i.Dir, i.ID))
	want := `{"log":"a \"b\" \u003cc\u003e \ufffd\t\u0001 é\u2028\n","stream":"stdout","attrs":{"tier":"front"},"time":"2026-01-02T03:04:05.6Z"}` + "\n" +
		`{"log":"piece","stream":"stdout","attrs":{"tier":"front"},"time":"2026-01-02T03:04:05.6Z"}` + "\n"
	if err != nil || string(got) != want {
		t.Errorf("%s\n%v", got, err)
	}
	size := j.Size()
	write("not noted as written", nil)
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if j, err = OpenJSONFile(i, &size); err != nil || j.Size() != size {
		t.Fatalf("%v", err)
	}
	defer j.Close()
	for range 12 { // a few in a file
		write("one line and another and a third one", nil)
	}
	zipped, err := os.Open(JSONPath(i.Dir, i.ID) + ".2.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer zipped.Close()
	z, err := gzip.NewReader(zipped)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || bytes.Count(text, []byte("\n")) == 0 {
		t.Errorf("%s, %v", text, err)
	}
	files, err := filepath.Glob(JSONPath(i.Dir, i.ID) + "*")
	if err != nil || len(files) != 3 {
		t.Errorf("%v, %v", files, err)
	}
}

func FuzzJSONString(f *testing.F) {
	f.Add([]byte("a\"\\\n\x00\xff\u2029"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got string
		if err := json.Unmarshal(appendString(nil, text, true), &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(string(text), "") + "\n"; strings.ReplaceAll(got, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("%q became %q", text, got)
		}
	})
}

func TestSyslog(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := Open("syslog", info(t, map[string]string{
		"syslog-address": "udp://" + l.LocalAddr().String(), "syslog-format": "rfc5424", "syslog-facility": "local3", "tag": "{{.Name}}",
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, m := range []Message{{Text: []byte("out")}, {Text: nil}, {Text: []byte("err"), Stderr: true}} {
		if err := d.Write(&m); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 1000)
	for _, want := range []string{"<158>1 ", "<155>1 "} { // local3.info, local3.err
		n, _, err := l.ReadFrom(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) || !strings.Contains(string(buf[:n]), " berth/web ") {
			t.Errorf("%s, %v", buf[:n], err)
		}
	}
}

func TestGELF(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := Open("gelf", info(t, map[string]string{"gelf-address": "tcp://" + l.Addr().String(), "env": "LANG"}))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := d.Write(&Message{Time: at, Text: []byte("text"), Stderr: true}); err != nil {
		t.Fatal(err)
	}
	data, err := bufio.NewReader(c).ReadBytes(0)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(bytes.TrimRight(data, "\x00"), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{
		"version": "1.1", "host": "host", "short_message": "text", "level": 3.0, "timestamp": float64(at.UnixMilli()) / 1000,
		"_container_name": "web", "_tag": "0123456789ab", "_LANG": "C", "_image_name": "busybox",
	} {
		if got[k] != want {
			t.Errorf("%s: %v, want %v", k, got[k], want)
		}
	}
}

func TestFluentd(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "f.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := Open("fluentd", info(t, map[string]string{"fluentd-address": "unix://" + l.Addr().String(), "tag": "t.{{.Name}}"}))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Write(&Message{Time: at, Text: []byte("text"), Part: &Part{ID: "p", Ordinal: 2, Last: true}}); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := msgp.NewReader(c).ReadIntf()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	want := `"container_id":"0123456789abcdef0123456789abcdef","container_name":"/web","log":"text","partial_id":"p","partial_last":"true","partial_message":"true","partial_ordinal":"2","source":"stdout"`
	if err != nil || !strings.HasPrefix(string(text), `["t.web",1767323045,`) || !strings.Contains(string(text), want) {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := Open("fluentd", info(t, map[string]string{"fluentd-address": "unix:///nonexistent/x"})); err == nil {
		t.Error("no error without a server")
	}
}

func TestJournal(t *testing.T) {
	got := journalFields(info(t, nil), "tag", map[string]string{"_a.b-c": "x"})
	if got["A_B_C"] != "x" || got["CONTAINER_NAME"] != "web" || got["SYSLOG_IDENTIFIER"] != "tag" {
		t.Error(got)
	}
	if _, err := os.Stat("/run/systemd/journal/socket"); !errors.Is(err, os.ErrNotExist) {
		return
	}
	if _, err := Open("journald", info(t, nil)); err == nil || !strings.Contains(err.Error(), "journald is not enabled on this host") {
		t.Error(err)
	}
}
