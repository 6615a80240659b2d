package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// says is a container that reads one line and says what it was.
const says = "berth create -i --name xx --label walk=1 busybox sh -c 'read -t 5 line; echo got=$line.; echo err >&2'"

// typesX is one with a terminal, which ends after a line.
const typesX = "berth run -dit --name xx --label walk=1 busybox sh -c 'echo ready; read -t 5 line; echo got=$line.'\nready xx"

var streamParameters = []parameter{
	{of: "POST /containers/{id}/attach stream", before: says, without: "/containers/xx/attach?stdout=1&logs=1", with: "/containers/xx/attach?stream=1&stdout=1", during: "berth start xx", want: "got="},
	{of: "POST /containers/{id}/attach stdin", before: says, without: "/containers/xx/attach?stream=1&stdout=1", with: "/containers/xx/attach?stream=1&stdin=1&stdout=1 hello\n", during: "berth start xx", want: "got=hello."},
	{of: "POST /containers/{id}/attach stdout", before: says, without: "/containers/xx/attach?stream=1&stderr=1", with: "/containers/xx/attach?stream=1&stderr=1&stdout=1", during: "berth start xx", want: "got="},
	{of: "POST /containers/{id}/attach stderr", before: says, without: "/containers/xx/attach?stream=1&stdout=1", with: "/containers/xx/attach?stream=1&stderr=1&stdout=1", during: "berth start xx", want: "err\n"},
	{of: "POST /containers/{id}/attach logs", without: "/containers/runs/attach?stdout=1", with: "/containers/runs/attach?stdout=1&logs=1", want: "out\n"},
	{of: "POST /containers/{id}/attach detachKeys", before: typesX, without: "/containers/xx/attach?stream=1&stdin=1&stdout=1 qhello\n", with: "/containers/xx/attach?stream=1&stdin=1&stdout=1&detachKeys=q qhello\n", want: "!got=qhello."},
	{of: "GET /containers/{id}/attach/ws stream", before: says, without: "/containers/xx/attach/ws?stdout=1&logs=1", with: "/containers/xx/attach/ws?stream=1&stdout=1", during: "berth start xx", want: "got="},
	{of: "GET /containers/{id}/attach/ws stdin", before: says, without: "/containers/xx/attach/ws?stream=1&stdout=1 hello\n", with: "/containers/xx/attach/ws?stream=1&stdin=1&stdout=1 hello\n", during: "berth start xx", want: "got=hello."},
	{of: "GET /containers/{id}/attach/ws stdout", before: says, without: "/containers/xx/attach/ws?stream=1&stderr=1", with: "/containers/xx/attach/ws?stream=1&stderr=1&stdout=1", during: "berth start xx", want: "got="},
	{of: "GET /containers/{id}/attach/ws stderr", before: says, without: "/containers/xx/attach/ws?stream=1&stdout=1", with: "/containers/xx/attach/ws?stream=1&stderr=1&stdout=1", during: "berth start xx", want: "err\n"},
	{of: "GET /containers/{id}/attach/ws logs", without: "/containers/runs/attach/ws?stdout=1", with: "/containers/runs/attach/ws?stdout=1&logs=1", want: "out\n"},
	{of: "GET /containers/{id}/attach/ws detachKeys", before: typesX, without: "/containers/xx/attach/ws?stream=1&stdin=1&stdout=1 qhello\n", with: "/containers/xx/attach/ws?stream=1&stdin=1&stdout=1&detachKeys=q qhello\n", want: "!got=qhello."},
}

var execParameters = []parameter{
	execs("AttachStdin", `"Cmd": ["sh", "-c", "read -t 1 l; echo got=$l."], "AttachStdout": true`, `"AttachStdin": true`, "got=hello."),
	execs("AttachStdout", `"Cmd": ["echo", "walked"], "AttachStderr": true`, `"AttachStdout": true`, "walked"),
	execs("AttachStderr", `"Cmd": ["sh", "-c", "echo walked >&2"], "AttachStdout": true`, `"AttachStderr": true`, "walked"),
	execs("ConsoleSize", `"Cmd": ["stty", "size"], "AttachStdout": true, "AttachStdin": true, "Tty": true`, `"ConsoleSize": [11, 21]`, "11 21"),
	execs("DetachKeys", `"Cmd": ["sh", "-c", "read -t 5 l; echo got=$l."], "AttachStdout": true, "AttachStdin": true, "Tty": true`, `"DetachKeys": "h"`, "!got=hello."),
	execs("Tty", `"Cmd": ["tty"], "AttachStdout": true, "AttachStdin": true`, `"Tty": true`, "/dev/pts/"),
	execs("Env", `"Cmd": ["env"], "AttachStdout": true`, `"Env": ["A=walked"]`, "A=walked"),
	execs("Cmd", `"AttachStdout": true`, `"Cmd": ["echo", "walked"]`, "walked"),
	execs("Privileged", `"Cmd": ["grep", "CapEff", "/proc/self/status"], "AttachStdout": true`, `"Privileged": true`, "CapEff:\t000001ff"),
	execs("User", `"Cmd": ["id"], "AttachStdout": true`, `"User": "1000"`, "uid=1000"),
	execs("WorkingDir", `"Cmd": ["pwd"], "AttachStdout": true`, `"WorkingDir": "/tmp"`, "/tmp"),
	starts("Detach", `{"Cmd": ["echo", "walked"], "AttachStdout": true}`, `{}`, `{"Detach": true}`, "!walked"),
	starts("Tty", `{"Cmd": ["echo", "walked"], "AttachStdout": true}`, `{}`, `{"Tty": true}`, "!\x01\x00\x00\x00"),
	starts("ConsoleSize", `{"Cmd": ["stty", "size"], "AttachStdout": true, "AttachStdin": true, "Tty": true}`, `{"Tty": true}`, `{"Tty": true, "ConsoleSize": [11, 22]}`, "11 22"),
	{of: "POST /exec/{id}/resize h", without: "/exec/nobody/resize?h=1&w=1", with: "/exec/nobody/resize?h=x&w=1", want: "400"},
	{of: "POST /exec/{id}/resize w", without: "/exec/nobody/resize?h=1&w=1", with: "/exec/nobody/resize?h=1&w=x", want: "400"},
}

// execPath stands for an exec in "runs" that the row makes: behind it are the
// requests to make and to start it.
const execPath = "/exec/NEW"

// execs is the row of a member of the request to make one.
func execs(member, others, set, want string) parameter {
	start := ` & {}`
	if strings.Contains(others+set, `"Tty": true`) {
		start = ` & {"Tty": true}`
	}
	return parameter{of: "POST /containers/{id}/exec body " + member, without: execPath + " {" + others + "}" + start, with: execPath + " {" + others + ", " + set + "}" + start, want: want}
}

// starts is the row of a member of the request to start one.
func starts(member, made, without, with, want string) parameter {
	return parameter{of: "POST /exec/{id}/start body " + member, without: execPath + " " + made + " & " + without, with: execPath + " " + made + " & " + with, want: want}
}

// exec makes one, starts it with a line of input, and returns what it says.
func (w *walk) exec(ctx context.Context, requests string) string {
	w.t.Helper()
	create, start, _ := strings.Cut(requests, " & ")
	status, text, err := sayRaw(ctx, w.d, http.MethodPost, "/containers/runs/exec", create)
	var made struct{ ID string }
	if err != nil || status != http.StatusCreated || json.Unmarshal([]byte(text), &made) != nil {
		return fmt.Sprintln(status, text, err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", w.d.Socket)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	fmt.Fprintf(conn, "POST /exec/%s/start HTTP/1.1\r\nHost: berth\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: %d\r\n\r\n%shello\n",
		made.ID, len(start), start)
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return err.Error()
	}
	return w.read(conn, 0)
}
