package attack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	moby "github.com/moby/moby/client"
)

// files writes a build's context and returns its folder.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // a context
			t.Fatal(err)
		}
	}
	return dir
}

// A stage makes every place that later instructions write to, or mount at, a link
// to the host (C1, C4: CVE-2024-1753, CVE-2024-9676).
func TestAttackBuildLinks(t *testing.T) {
	host := newCanary(t)
	for i, target := range []string{host.dir, strings.Repeat("../", 30) + host.dir, "/proc/1/root" + host.dir} {
		for name, instruction := range map[string]string{
			"workdir":   "WORKDIR /link/new",
			"copy":      "COPY file /link/copied",
			"copylink":  "COPY --link file /link/linked",
			"add":       "ADD archive.tar /link/",
			"stage":     "COPY --from=0 /bin/busybox /link/busybox",
			"overwrite": "COPY file /link/shadow",
			"cache":     "RUN --mount=type=cache,target=/link/cache touch /link/cache/x",
			"bind":      "RUN --mount=type=bind,target=/link/bind true",
			"tmpfs":     "RUN --mount=type=tmpfs,target=/link/tmp touch /link/tmp/x",
			"secret":    "RUN --mount=type=secret,id=s,target=/link/secret true",
			"from":      "RUN --mount=type=bind,from=0,source=/link,target=/m,rw touch /m/x",
			"volume":    "VOLUME /link/volume\nRUN touch /link/volume/x",
			"heredoc":   "COPY <<EOF /link/here\ntext\nEOF",
			"stolen":    "COPY --from=0 /link/shadow /stolen\nRUN ! grep '[o]f the host' /stolen",
		} {
			ctx := files(t, map[string]string{
				"Dockerfile": "FROM attacker\nRUN ln -s " + target + " /link\n" + instruction + "\n", "file": "of the build", "secret": "s",
			})
			var archive bytes.Buffer
			w := tar.NewWriter(&archive)
			if err := errors.Join(w.WriteHeader(&tar.Header{Name: "unpacked", Mode: 0o644}), w.Close()); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(ctx, "archive.tar"), archive.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := berth(t.Context(), "build", "-q", "--secret", "id=s,src="+filepath.Join(ctx, "secret"), ctx)
			host.untouched(t)
			if name == "stolen" && err == nil && i == 0 {
				t.Errorf("%s: a file of the host was copied: %s", name, out)
			}
			if strings.Contains(out, "of the host") {
				t.Errorf("%s: %s", name, out)
			}
		}
	}
}

// A step changes what the engine made for its mounts, so that cleaning up hits the
// host (CVE-2024-23652).
func TestAttackBuildStubs(t *testing.T) {
	host := newCanary(t)
	for _, dir := range []string{"z", "y/z"} {
		if err := os.MkdirAll(filepath.Join(host.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	host.before = host.look(t)
	for _, kind := range []string{"cache", "tmpfs", "bind"} {
		ctx := files(t, map[string]string{"Dockerfile": "FROM attacker\n" +
			"RUN --mount=type=" + kind + ",target=/x/y/z mv /x /old && ln -s " + host.dir + " /x\n" +
			"RUN --mount=type=" + kind + ",target=/w/z mv /w /old2 && ln -s " + strings.Repeat("../", 30) + host.dir + " /w\n"})
		must(t, "build", "-q", ctx)
		host.untouched(t)
	}
}

// One build exchanges directories of a cache that they share for links to the
// host, while another has them mounted (CVE-2024-23651).
func TestAttackBuildCacheRace(t *testing.T) {
	host := newCanary(t)
	step := func(command string) string {
		return files(t, map[string]string{"Dockerfile": "FROM attacker AS seed\n" +
			"RUN mkdir -p /s/sub /s/other && ln -s " + host.dir + " /s/link && ln -s / /s/root && touch /s/swapping\n" +
			"FROM attacker\nRUN " + command + "\n"})
	}
	const mount = "--mount=type=cache,id=race,from=seed,"
	whole := mount + "source=/s,target=/c "
	must(t, "build", "-q", step(whole+"touch /c/begun"))
	swapping := step(whole + "/attacker swap /c/sub /c/link /c/other /c/root & while test -e /c/swapping; do sleep 0.1; done; kill $!")
	ended := make(chan string)
	go func() {
		out, _ := berth(context.Background(), "build", "--progress", "plain", swapping)
		ended <- out
	}()
	mounted := 0
	for i := range 15 {
		out, err := berth(t.Context(), "build", "-q", step(mount+"source=/s/sub,target=/m "+mount+"source=/s/other,target=/o "+
			"touch /m/x"+fmt.Sprint(i)+" && ! grep -r '[o]f the host' /m && ! test -e /o/etc/shadow"))
		if err == nil {
			mounted++
		}
		if strings.Contains(out, "of the host") {
			t.Errorf("build %d: %s", i, out)
		}
		host.untouched(t)
	}
	must(t, "build", "-q", step(whole+"rm /c/swapping"))
	if out := <-ended; mounted == 0 {
		t.Errorf("no build got its mounts; the other said\n%s", out)
	}
}

// Contexts that come as a tar are a stranger's files (C4, CVE-2018-…: zip slip).
func TestAttackBuildContexts(t *testing.T) {
	host := newCanary(t)
	up := strings.Repeat("../", 30) + host.dir
	for name, headers := range map[string][]tar.Header{
		"parent":   {{Name: up + "/pwned", Typeflag: tar.TypeReg, Mode: 0o644}},
		"absolute": {{Name: host.dir + "/pwned", Typeflag: tar.TypeReg, Mode: 0o644}},
		"through":  {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: host.dir}, {Name: "l/pwned", Typeflag: tar.TypeReg, Mode: 0o644}},
		"hardlink": {{Name: "h", Typeflag: tar.TypeLink, Linkname: up + "/shadow"}},
		"dockerfile link": {
			{Name: "D", Typeflag: tar.TypeSymlink, Linkname: host.dir + "/shadow"},
		},
		"steal":    {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: host.dir}},
		"steal2":   {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: up}},
		"whiteout": {{Name: ".wh..wh..opq", Typeflag: tar.TypeReg}, {Name: ".wh.x", Typeflag: tar.TypeReg}},
		"device":   {{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		text := "FROM attacker\nCOPY . /all/\nCOPY l/shadow /stolen\nRUN ! grep -r '[o]f the host' /all /stolen\n"
		err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Typeflag: tar.TypeReg, Size: int64(len(text)), Mode: 0o644})
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		query := "version=1"
		if name == "dockerfile link" {
			query += "&dockerfile=D"
		}
		out := sendTar(t, "/build?"+query, &b)
		if strings.Contains(out, "of the host") {
			t.Errorf("%s: the host's file was read: %s", name, out)
		}
		if !strings.Contains(out, "rror") && strings.HasPrefix(name, "steal") {
			t.Errorf("%s: a file outside of the context was copied: %s", name, out)
		}
		host.untouched(t)
	}
}

// sendTar sends a body to the engine and returns what it answers.
func sendTar(t *testing.T, path string, body io.Reader) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://berth"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-tar")
	resp, err := daemon.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Addresses of Git repositories and archives are arguments of programs and paths
// of others (CVE-2019-13139, CVE-2026-33748).
func TestAttackBuildAddresses(t *testing.T) {
	host := newCanary(t)
	ran := filepath.Join(host.dir, "ran")
	for _, address := range []string{
		"git://127.0.0.1:1/x.git#--upload-pack=touch " + ran + ":",
		"git@127.0.0.1:--upload-pack=touch " + ran + "/x.git",
		"ext::sh -c touch% " + ran + ".git",
		"http://127.0.0.1:1/x.git#ref:../../../../" + host.dir,
		"ssh://-oProxyCommand=touch${IFS}" + ran + "/x.git",
		"file://" + host.dir,
		"file://" + host.dir + "/.git",
	} {
		for _, version := range []string{"1", "2"} {
			q := url.Values{"remote": {address}, "version": {version}}
			out := sendTar(t, "/build?"+q.Encode(), http.NoBody)
			if !strings.Contains(out, "rror") && !strings.Contains(out, "message") || strings.Contains(out, "of the host") {
				t.Errorf("%s: %s", address, out)
			}
			host.untouched(t)
		}
	}
}

// Whoever speaks BuildKit's API sends the solver's own language, without a
// frontend between (CVE-2024-23653, CVE-2024-23650).
func TestAttackBuildLLB(t *testing.T) {
	api, err := moby.New(moby.WithHost(daemon.Host()))
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	c, err := bkclient.New(t.Context(), "", bkclient.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return api.DialHijack(ctx, "/grpc", "h2c", nil)
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	base := llb.Image("docker.io/library/attacker:latest")
	for name, state := range map[string]llb.State{
		"security.insecure": base.Run(llb.Shlex("/bin/busybox true"), llb.Security(pb.SecurityMode_INSECURE)).Root(),
		"network.host":      base.Run(llb.Shlex("/bin/busybox true"), llb.Network(pb.NetMode_HOST)).Root(),
	} {
		definition, err := state.Marshal(t.Context(), llb.LinuxAmd64)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Solve(t.Context(), definition, bkclient.SolveOpt{}, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s without leave: %v", name, err)
		}
	}
	for i, bad := range [][]byte{nil, {}, []byte("nonsense"), {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, bytes.Repeat([]byte{0x12, 0}, 1000)} {
		definition := &llb.Definition{Def: [][]byte{bad}}
		if _, err := c.Solve(t.Context(), definition, bkclient.SolveOpt{}, nil); err == nil {
			t.Errorf("definition %d was solved", i)
		}
	}
	for i, op := range []*pb.Op{
		{},
		{Op: &pb.Op_Exec{}},
		{Op: &pb.Op_Exec{Exec: &pb.ExecOp{}}},
		{Op: &pb.Op_Exec{Exec: &pb.ExecOp{Meta: &pb.Meta{}}}},
		{Op: &pb.Op_File{}},
		{Op: &pb.Op_File{File: &pb.FileOp{Actions: []*pb.FileAction{{}}}}},
		{Op: &pb.Op_Source{}},
		{Op: &pb.Op_Build{}},
		{Op: &pb.Op_Merge{}},
		{Op: &pb.Op_Diff{}},
		{Op: &pb.Op_Diff{Diff: &pb.DiffOp{}}},
		{Inputs: []*pb.Input{nil}},
		{Op: &pb.Op_Exec{Exec: &pb.ExecOp{Meta: &pb.Meta{Args: []string{"x"}}, Mounts: []*pb.Mount{nil, {Dest: "/", Input: 99}}}}},
		{Op: &pb.Op_Source{Source: &pb.SourceOp{Identifier: "local:///etc"}}},
		{Op: &pb.Op_Source{Source: &pb.SourceOp{Identifier: "oci-layout://x@sha256:0"}}},
	} {
		data, err := op.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Solve(t.Context(), &llb.Definition{Def: [][]byte{data}}, bkclient.SolveOpt{}, nil); err == nil {
			t.Errorf("operation %d was solved", i)
		}
	}
	if !daemon.Running() {
		t.Fatal("the engine is gone")
	}
}
