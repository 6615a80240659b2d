package e2e

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	moby "github.com/moby/moby/client"
	"golang.org/x/net/websocket"

	"github.com/berth-engine/berth/test/engine"
	"github.com/berth-engine/berth/test/openapi"
)

// parameter says how it shows that a parameter of an operation is read: two
// requests are made, and what is seen of the second has want, of the first not.
type parameter struct {
	of   string   // operation and name, as openapi.Parameters has it
	also []string // others that the same row shows
	// before is what the client types before each request, a line each. "ready X"
	// waits until container X has said "ready".
	before string
	// without and with are what follows the method: TARGET [BODY]. A BODY "tar
	// NAME=CONTENT …" becomes such an archive.
	without, with string
	header        string // NAME: VALUE, of the second request
	lines         int    // of an answer without end; 0: all
	during        string // what the client types when the answer has begun
	look          string // what the client types to see it; "": the answer itself
	want          string // "!text": the first has it and the second has not
}

// walk makes the requests.
type walk struct {
	t *testing.T
	d *engine.Daemon
	c *moby.Client
	// words stands for what the rows do not know: the Hub, and files.
	words *strings.Replacer
	saved string // an archive of busybox
}

// unseen are parameters that do nothing, and why that is all they can do.
var unseen = map[string]string{
	"GET /images/json all":            "there are no images between two layers, which it would add",
	"GET /images/json digests":        "digests are in the answer in any case, as with Docker",
	"POST /build rm":                  "a build leaves no containers that could be kept",
	"POST /build forcerm":             "a build leaves no containers that could be kept",
	"POST /build header Content-type": "the body is a tar, whose compression shows in its first bytes",

	"POST /commit body Hostname":        noPlace,
	"POST /commit body Domainname":      noPlace,
	"POST /commit body AttachStdin":     noPlace,
	"POST /commit body AttachStdout":    noPlace,
	"POST /commit body AttachStderr":    noPlace,
	"POST /commit body Tty":             noPlace,
	"POST /commit body OpenStdin":       noPlace,
	"POST /commit body StdinOnce":       noPlace,
	"POST /commit body Image":           noPlace,
	"POST /commit body NetworkDisabled": noPlace,
	"POST /commit body StopTimeout":     noPlace,
	"POST /commit body ArgsEscaped":     "only images for Windows have it",

	"POST /networks/{id}/disconnect body Force": "nothing is to be forced: a driver that fails does not keep a container, and no endpoint outlives one",

	"POST /networks/{id}/connect body EndpointConfig.NetworkID":           answered,
	"POST /networks/{id}/connect body EndpointConfig.EndpointID":          answered,
	"POST /networks/{id}/connect body EndpointConfig.Gateway":             answered,
	"POST /networks/{id}/connect body EndpointConfig.IPAddress":           answered,
	"POST /networks/{id}/connect body EndpointConfig.IPPrefixLen":         answered,
	"POST /networks/{id}/connect body EndpointConfig.IPv6Gateway":         answered,
	"POST /networks/{id}/connect body EndpointConfig.GlobalIPv6Address":   answered,
	"POST /networks/{id}/connect body EndpointConfig.GlobalIPv6PrefixLen": answered,
	"POST /networks/{id}/connect body EndpointConfig.DNSNames":            answered,
}

const (
	noPlace  = "the format of images has no place for it; Docker leaves it out, too"
	answered = "written by the engine; what a request says there means nothing, as with Docker"
)

// parameters of all operations.
func parameters() []parameter {
	return slices.Concat(containerParameters, streamParameters, updateParameters, execParameters, imageParameters, buildParameters,
		networkParameters, endpointParameters, volumeParameters, systemParameters)
}

// TestParameters: no parameter of a served operation is ignored. Each that the
// specification names is seen to do something, or to be refused, or is listed
// with the reason why there is nothing to see.
func TestParameters(t *testing.T) {
	spec, err := openapi.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, p := range parameters() {
		for _, of := range append(p.also, p.of) {
			rows[of] = true
		}
	}
	listed := map[string]bool{}
	for _, op := range servedOperations(t) {
		for _, name := range spec.Parameters(op) {
			of := op + " " + name
			listed[of] = true
			_, answered := unseen[of]
			switch {
			case elsewhere(of), strings.HasPrefix(of, "POST /volumes/create body ClusterVolumeSpec."):
				if rows[of] || answered {
					t.Errorf("%s is here and in TestFields", of)
				}
			case rows[of] == answered:
				t.Errorf("%s has no row and no reason, or both", of)
			}
		}
	}
	for of := range rows {
		if !listed[of] {
			t.Errorf("%s is not a parameter", of)
		}
	}
	for of, reason := range unseen {
		if !listed[of] || reason == "" {
			t.Errorf("%s is not a parameter, or without reason", of)
		}
	}
	if t.Failed() {
		return
	}
	d := newDaemon(t, "--insecure-registry", hub.Addr)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, d: d, c: stock(t, d)}
	w.prepare()
	for _, p := range parameters() {
		t.Run(strings.ReplaceAll(p.of, "/", "."), func(t *testing.T) {
			row := *w
			row.t = t
			row.try(&p)
		})
	}
	w.tidy()
}

// servedOperations are those which docs/api.md calls done.
func servedOperations(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	var ops []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\|.*\\| done \\|$").FindAllStringSubmatch(string(page), -1) {
		ops = append(ops, m[1])
	}
	return ops
}

// elsewhere tells what TestFields walks: a request to make a container, in which
// the type of the program has the member.
func elsewhere(of string) bool {
	member, ok := strings.CutPrefix(of, "POST /containers/create body ")
	return ok && hasMember(reflect.TypeFor[container.CreateRequest](), strings.Split(member, "."))
}

// hasMember tells whether a type has what a path of JSON leads to.
func hasMember(t reflect.Type, path []string) bool {
	if len(path) == 0 {
		return true
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Array:
		return hasMember(t.Elem(), path)
	case reflect.Struct:
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = f.Name
			}
			if f.Anonymous && hasMember(f.Type, path) || strings.EqualFold(name, path[0]) && hasMember(f.Type, path[1:]) {
				return true
			}
		}
		return false
	default: // written as one text
		return true
	}
}

func (w *walk) try(p *parameter) {
	w.t.Helper()
	method, _, _ := strings.Cut(p.of, " ")
	want, gone := strings.CutPrefix(p.want, "!")
	without := w.see(method, p, p.without, "", want, gone)
	with := w.see(method, p, p.with, p.header, want, !gone)
	if shows(with, want) == gone || shows(without, want) != gone {
		w.t.Errorf("want %q\nwithout it: %s\nwith it: %s", p.want, short(without), short(with))
	}
}

var status = regexp.MustCompile(`^[0-9]{3}$`)

// shows tells whether what was seen has want in it. A status is one where that of
// the answer is, and not anywhere in a digest.
func shows(seen, want string) bool {
	if status.MatchString(want) {
		return strings.HasPrefix(seen, want+"\n") || strings.Contains(seen, after+want+"\n")
	}
	return strings.Contains(seen, want)
}

// after stands between what is looked at and the answer.
const after = " after: "

func short(text string) string {
	if len(text) > 2000 {
		return text[:2000] + "…"
	}
	return text
}

// see makes one request with what belongs to it, and undoes it all. What is
// looked for may come a while after the answer.
func (w *walk) see(method string, p *parameter, request, header, want string, expected bool) string {
	w.t.Helper()
	defer w.sweep()
	w.do(p.before)
	seen := w.ask(method, request, header, p)
	if p.look == "" {
		return seen
	}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		out, err := client(w.t, w.d, words(p.look)...)
		if err != nil {
			out += err.Error()
		}
		if out += after + seen; !expected || shows(out, want) || time.Now().After(deadline) {
			return out
		}
	}
}

// do types lines.
func (w *walk) do(lines string) {
	w.t.Helper()
	for line := range strings.Lines(w.words.Replace(lines)) {
		args := words(strings.TrimSpace(line))
		switch {
		case len(args) == 0:
		case args[0] == "ready":
			eventually(w.t, args[1]+" is ready", func() []string {
				if out, _ := client(w.t, w.d, "berth", "logs", args[1]); strings.Contains(out, "ready") {
					return nil
				}
				return []string{"it is not"}
			})
		default:
			must(w.t, w.d, args...)
		}
	}
}

// words splits a line; what is between ' is one.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

// ask makes a request and returns status, headers of Docker's, and the answer,
// which may be a stream.
func (w *walk) ask(method, request, header string, p *parameter) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	target, body, _ := strings.Cut(w.words.Replace(request), " ")
	if strings.Contains(target, "/attach/ws") {
		return w.webSocket(ctx, target, body, p.during)
	}
	if target == execPath {
		return w.exec(ctx, body)
	}
	kind := "application/json"
	if files, ok := strings.CutPrefix(body, "tar "); ok {
		body, kind = archiveOf(w.t, files), "application/x-tar"
	}
	if body == "SAVED" {
		body, kind = w.saved, "application/x-tar"
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://berth"+target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if name, value, ok := strings.Cut(w.words.Replace(header), ": "); ok {
		req.Header.Set(name, value)
	}
	resp, err := w.d.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	out := fmt.Sprintln(resp.StatusCode)
	for name, values := range resp.Header {
		if strings.HasPrefix(name, "X-Docker") {
			text, err := base64.StdEncoding.DecodeString(values[0])
			out += fmt.Sprintln(name, string(text), err)
		}
	}
	w.do(p.during)
	return out + w.read(resp.Body, p.lines)
}

// read takes the answer, of one without end as many lines as are wanted.
func (w *walk) read(body io.Reader, lines int) string {
	w.t.Helper()
	if lines == 0 {
		all, err := io.ReadAll(io.LimitReader(body, 4<<20))
		if err != nil {
			return fmt.Sprintf("%s %v", all, err)
		}
		return string(all)
	}
	var out strings.Builder
	in := bufio.NewReader(body)
	for range lines {
		line, err := in.ReadString('\n')
		out.WriteString(line)
		if err != nil {
			fmt.Fprintln(&out, err)
			break
		}
	}
	return out.String()
}

// webSocket sends one message and returns all that comes.
func (w *walk) webSocket(ctx context.Context, target, body, during string) string {
	w.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", w.d.Socket)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	config, err := websocket.NewConfig("ws://berth"+target, "http://berth")
	if err != nil {
		w.t.Fatal(err)
	}
	ws, err := websocket.NewClient(config, conn)
	if err != nil {
		return err.Error()
	}
	if body != "" { // an answer without a stream may have ended by now
		if _, err := ws.Write([]byte(body)); err != nil {
			return err.Error()
		}
	}
	w.do(during)
	return w.read(ws, 0)
}

// archiveOf makes a tar of NAME=CONTENT, where \n is a new line.
func archiveOf(t *testing.T, files string) string {
	t.Helper()
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for file := range strings.SplitSeq(files, " & ") {
		name, content, _ := strings.Cut(file, "=")
		content = strings.ReplaceAll(content, `\n`, "\n")
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Uid: 7, Gid: 7, Typeflag: tar.TypeReg}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// walked is the label of what a row makes and does not name.
const walked = "walk=1"

// sweep removes what a row has made.
func (w *walk) sweep() {
	w.t.Helper()
	ctx := w.t.Context()
	filters := moby.Filters{}.Add("label", walked)
	list, err := w.c.ContainerList(ctx, moby.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range list.Items {
		if _, err := w.c.ContainerRemove(ctx, c.ID, moby.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil && !errdefs.IsNotFound(err) {
			w.t.Error(err)
		}
	}
	for _, args := range []string{
		"berth rmi -f made:1 made:2 made:latest kept:1", "berth volume rm -f walkvol", "berth volume prune -f", "berth network rm -f walknet",
	} {
		_, _ = client(w.t, w.d, strings.Fields(args)...) // it may not be there
	}
}
