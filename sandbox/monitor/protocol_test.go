package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/sandbox/stage"
	"github.com/berth-engine/berth/test/golden"
)

// examples has every message of protocol version 1 with every field set.
func examples() []*Message {
	at := time.Date(2026, 8, 1, 12, 0, 0, 123456789, time.UTC)
	exit := Exit{Code: 137, Signal: 9, OOMKilled: true, StartedAt: at, FinishedAt: at.Add(time.Second), Reason: "why", Instance: "0123456789abcdef"}
	body := func(v any) json.RawMessage {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return data
	}
	return []*Message{
		{Seq: 1, Op: OpHello, Body: body(Hello{Min: 1, Max: 1, Instance: "0123456789abcdef"})},
		{Seq: 1, Body: body(Welcome{Protocol: 1, Pid: 4242, ID: "c1", Instance: "0123456789abcdef"})},
		{Seq: 2, Op: OpLaunch, Body: body(Launch{
			ID: "c1", Instance: "0123456789abcdef", Dir: "/run/containers/c1", StateDir: "/lib/containers/c1", Durable: true,
			Plan:  stage.Plan{Clone: 0x6c020000, PidNS: "/proc/7/ns/pid", Groups: []string{"/cg/memory/c1"}, Terminal: true},
			Files: []string{FileOrder, FileRootfs, FileNetNS, FileCgroup}, LogDir: "/lib/containers/c1/log", LogMaxSize: 20000000, LogMaxFiles: 3,
			OpenStdin: true, StdinOnce: true, OOMFile: "/cg/memory/c1/memory.oom_control", KillFile: "/cg/unified/c1/cgroup.kill",
			CgroupDirs: []string{"/cg/memory/c1"}, Calm: 5000,
		})},
		{Seq: 2, Body: body(Created{Pid: 4243, StartTime: 99, Warnings: []string{"a limit was lowered"}})},
		{Seq: 11, Op: OpStart},
		{Seq: 11, Body: body(Started{At: at})},
		{Seq: 11, Error: &Error{Kind: kindExec, Text: `exec: "x": executable file not found in $PATH`, ExitCode: 127}},
		{Seq: 12, Op: OpStatus},
		{Seq: 12, Body: body(Status{State: StateExited, ID: "c1", Instance: "0123456789abcdef", Pid: 4243, StartTime: 99, StartedAt: at, Exit: &exit})},
		{Seq: 10, Op: OpWait},
		{Seq: 10, Body: body(Exited{Exit: exit, Unrecorded: "no space left on device"})},
		{Seq: 13, Op: OpSignal, Body: body(Signal{Signal: 15})},
		{Seq: 13},
		{Seq: 14, Op: OpResize, Body: body(Resize{Rows: 24, Cols: 80})},
		{Seq: 15, Op: OpAttach, Body: body(Attach{Stdin: true, Stdout: true, Stderr: true})},
		{Seq: 16, Op: OpRemove},
		{Seq: 16, Error: &Error{Kind: "failed_precondition", Text: "remove: the container is running"}},
	}
}

// examples2 has every message that version 2 added, with every field set.
func examples2() []*Message {
	at := time.Date(2026, 8, 1, 12, 0, 0, 123456789, time.UTC)
	exit := ExecExit{Code: 137, Signal: 9, FinishedAt: at.Add(time.Second)}
	return []*Message{
		{Seq: 11, Op: OpExec, Body: Marshal(&Exec{
			ID: "e1", Files: []string{FileOrder, FileExe, FileStream}, Terminal: true, Stdin: true, Stdout: true, Stderr: true, Note: `{"user":"root"}`,
		})},
		{Seq: 11, Body: Marshal(&Executed{Pid: 4244, StartTime: 100, StartedAt: at, Warnings: []string{"a limit was lowered"}})},
		{Seq: 11, Error: &Error{Kind: kindExec, Text: `exec: "x": executable file not found in $PATH`, ExitCode: 127}},
		{Seq: 12, Op: OpExecWait, Body: Marshal(&ExecRef{ID: "e1"})},
		{Seq: 12, Body: Marshal(&exit)},
		{Seq: 13, Op: OpExecSignal, Body: Marshal(&ExecSignal{ID: "e1", Signal: 15})},
		{Seq: 14, Op: OpExecResize, Body: Marshal(&ExecResize{ID: "e1", Rows: 24, Cols: 80})},
		{Seq: 15, Op: OpExecRemove, Body: Marshal(&ExecRef{ID: "e1"})},
		{Seq: 16, Op: OpExecList},
		{Seq: 16, Body: Marshal(&ExecList{Execs: []ExecStatus{
			{ID: "e1", Pid: 4244, StartTime: 100, StartedAt: at, Note: `{"user":"root"}`, Exit: &exit}, {ID: "e2", Pid: 4245, StartTime: 101, StartedAt: at},
		}})},
		{Seq: 16, Body: Marshal(&ExecList{})},
		{Seq: 18, Op: OpFork, Body: Marshal(&Fork{Files: []string{FileProgram, FileControl}, OOMScoreAdj: "100", AppArmor: "berth-default"})},
		{Seq: 18, Body: Marshal(&Forked{Pid: 4246, StartTime: 102})},
		{Seq: 17, Op: OpLogLimits, Body: Marshal(&LogLimits{MaxSize: 1 << 20, MaxFiles: 5})},
	}
}

// TestGolden fixes what travels, length prefix included: a file for what each
// version added.
func TestGolden(t *testing.T) {
	sameFrames(t, "protocol-v1.txt", examples())
	sameFrames(t, "protocol-v2.txt", examples2())
}

func sameFrames(t *testing.T, name string, messages []*Message) {
	t.Helper()
	var got bytes.Buffer
	for _, m := range messages {
		a, b := pair(t)
		if err := a.Send(m); err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		frame, err := io.ReadAll(b)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%x %s\n", frame[:4], frame[4:])
	}
	golden.Compare(t, name, got.String())
}

// TestExecMessages read what they write.
func TestExecMessages(t *testing.T) {
	for _, m := range examples2() {
		var into Part
		switch {
		case m.Op == OpExec:
			into = new(Exec)
		case m.Op == OpExecResize:
			into = new(ExecResize)
		case m.Op == "" && m.Seq == 16:
			into = new(ExecList)
		default:
			continue
		}
		if err := Unmarshal(m.Body, into); err != nil || !bytes.Equal(Marshal(into), m.Body) {
			t.Errorf("%s became %s (%v)", m.Body, Marshal(into), err)
		}
	}
	for _, bad := range []string{`{"execs":{}}`, `{"execs":[1]}`, `{"execs":["e"]}`, `{"execs":[{"pid":"x"}]}`} {
		if err := Unmarshal([]byte(bad), new(ExecList)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func pair(t testing.TB) (*Conn, *os.File) {
	t.Helper()
	a, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), f.Close() })
	return a, f
}

// conns is a pair of which both ends are Conns.
func conns(t testing.TB) (*Conn, *Conn) {
	t.Helper()
	a, f := pair(t)
	g, err := Pollable(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := g.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	t.Cleanup(func() { _ = g.Close() })
	return a, &Conn{f: g, raw: raw}
}

func TestFilesTravel(t *testing.T) {
	a, b := conns(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	big := &Message{Seq: 1, Op: OpLaunch, Body: json.RawMessage(`"` + string(bytes.Repeat([]byte("x"), 1<<20)) + `"`)}
	sent := make(chan error, 1)
	go func() { sent <- errors.Join(a.Send(big, w, w), a.Send(&Message{Seq: 2})) }()
	m, files, err := b.Receive()
	if err != nil || len(files) != 2 || len(m.Body) != 1<<20+2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if m, none, err := b.Receive(); err != nil || m.Seq != 2 || none != nil {
		t.Errorf("second: %v, %v", none, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if _, err := files[1].Write([]byte("through")); err != nil {
		t.Fatal(err)
	}
	closeAll(files)
	if data, err := io.ReadAll(r); err != nil || string(data) != "through" {
		t.Errorf("%q, %v", data, err)
	}
	_ = r.Close()
}

// ask sends one request to an idle monitor.
func ask(t *testing.T, c *Conn, m *Message) *Message {
	t.Helper()
	if err := c.Send(m); err != nil {
		t.Fatal(err)
	}
	reply, _, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if reply.Seq != m.Seq {
		t.Fatalf("reply %d to %d", reply.Seq, m.Seq)
	}
	return reply
}

func TestRequests(t *testing.T) {
	serve := func() *Conn {
		a, b := conns(t)
		s := &server{c: newContainer(nil), removed: make(chan struct{})}
		go s.serve(b)
		return a
	}
	hello := func(h Hello) *Message {
		data, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return &Message{Seq: 1, Op: OpHello, Body: data}
	}
	if r := ask(t, serve(), &Message{Seq: 5, Op: OpStatus}); !errdefs.IsFailedPrecondition(r.Error) {
		t.Errorf("status before hello: %v", r.Error)
	}
	if r := ask(t, serve(), hello(Hello{Min: 3, Max: 9})); !errdefs.IsNotImplemented(r.Error) {
		t.Errorf("newer protocol: %v", r.Error)
	}
	if r := ask(t, serve(), hello(Hello{Min: 1, Max: 1, Instance: "other"})); !errdefs.IsConflict(r.Error) {
		t.Errorf("other instance: %v", r.Error)
	}
	// A daemon of version 1 is answered in version 1, a later one in ours.
	for newest, want := range map[int]int{1: 1, 2: 2, 9: 2} {
		r := ask(t, serve(), hello(Hello{Min: 1, Max: newest}))
		var w Welcome
		if r.Error != nil || Unmarshal(r.Body, &w) != nil || w.Protocol != want {
			t.Errorf("up to %d: %v, %s", newest, r.Error, r.Body)
		}
	}
	c := serve()
	if r := ask(t, c, hello(Hello{Min: 1, Max: 9})); r.Error != nil {
		t.Fatal(r.Error)
	}
	for op, is := range map[string]func(error) bool{
		"later":      errdefs.IsNotImplemented,
		OpStart:      errdefs.IsFailedPrecondition,
		OpRemove:     errdefs.IsFailedPrecondition,
		OpSignal:     errdefs.IsInvalidArgument, // no body
		OpExec:       errdefs.IsInvalidArgument,
		OpExecRemove: errdefs.IsInvalidArgument,
	} {
		if r := ask(t, c, &Message{Seq: 7, Op: op}); r.Error == nil || !is(r.Error) {
			t.Errorf("%s: %v", op, r.Error)
		}
	}
	for op, b := range map[string]Part{
		OpExecWait: &ExecRef{ID: "e"}, OpExecSignal: &ExecSignal{ID: "e", Signal: 9}, OpExecResize: &ExecResize{ID: "e"}, OpExecRemove: &ExecRef{ID: "e"},
	} {
		if r := ask(t, c, &Message{Seq: 7, Op: op, Body: Marshal(b)}); !errdefs.IsNotFound(r.Error) {
			t.Errorf("%s of what does not exist: %v", op, r.Error)
		}
	}
	if r := ask(t, c, &Message{Seq: 7, Op: OpExec, Body: Marshal(&Exec{ID: "e", Stdout: true})}); !errdefs.IsInvalidArgument(r.Error) {
		t.Errorf("exec without descriptors: %v", r.Error)
	}
	r := ask(t, c, &Message{Seq: 8, Op: OpStatus})
	var st Status
	if err := json.Unmarshal(r.Body, &st); err != nil || st.State != StateIdle {
		t.Errorf("status %s, %v", r.Body, err)
	}
	if r := ask(t, c, &Message{Seq: 9, Op: OpAttach, Body: json.RawMessage(`{"stdout":true}`)}); !errdefs.IsFailedPrecondition(r.Error) {
		t.Errorf("attach to nothing: %v", r.Error)
	}
}

// TestErrorsKeepTheirKind sends every kind through its wire form.
func TestErrorsKeepTheirKind(t *testing.T) {
	for _, k := range kinds {
		e := travelling(fmt.Errorf("doing: %w", k.err))
		if e.Kind != k.name || !k.is(e) {
			t.Errorf("%s became %s", k.name, e.Kind)
		}
	}
	if e := travelling(&stage.NotImplementedError{What: "x"}); !errdefs.IsNotImplemented(e) {
		t.Errorf("stage's: %s", e.Kind)
	}
	if e := travelling(&stage.InvalidSpecError{Text: "x"}); !errdefs.IsInvalidArgument(e) {
		t.Errorf("stage's: %s", e.Kind)
	}
	if e := travelling(io.EOF); !errdefs.IsInternal(e) {
		t.Errorf("unknown: %s", e.Kind)
	}
}

// FuzzReceive feeds bytes to the receiving side: it must end with an error or
// a message, and keep to its bounds.
func FuzzReceive(f *testing.F) {
	for _, m := range append(examples(), examples2()...) {
		body := Marshal(m)
		f.Add(append([]byte{0, 0, 0, byte(len(body))}, body...))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, '{'})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		c, other := pair(t)
		if _, err := other.Write(data); err != nil {
			t.Fatal(err)
		}
		_ = other.Close()
		for {
			if _, _, err := c.Receive(); err != nil {
				return
			}
		}
	})
}
