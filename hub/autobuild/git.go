package autobuild

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/outbound"
	"github.com/containerd/errdefs"
)

const (
	// maxPush bounds what one push may send, and a fetch may bring.
	maxPush = 1 << 30
	// fetchTime bounds one fetch.
	fetchTime = 10 * time.Minute
	// maxGitSays is how much of git's own messages is kept.
	maxGitSays = 8 << 10
)

// git runs Debian's git on the repositories below dir.
type git struct {
	dir, program string
	policy       outbound.Policy
	// ca is a file of the authorities that servers' certificates are checked
	// against; "" is the system's.
	ca string
}

func newGit(dir, ca string, policy outbound.Policy) (*git, error) {
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("the authorities of Git servers: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in PEM: %w", ca, errdefs.ErrInvalidArgument)
		}
		if ca, err = filepath.Abs(ca); err != nil { // git runs elsewhere
			return nil, err
		}
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, err
	}
	program, err := exec.LookPath("git")
	if err != nil && !errors.Is(err, exec.ErrNotFound) {
		return nil, err
	}
	return &git{dir: dir, ca: ca, program: program, policy: policy}, nil
}

func (g *git) there() error {
	if g.program == "" {
		return fmt.Errorf("the program git is not installed beside the Hub: %w", errdefs.ErrNotImplemented)
	}
	return nil
}

// path is where a repository's Git repository is.
func (g *git) path(repository string) string { return filepath.Join(g.dir, repository+".git") }

// command makes a call of git that reads no configuration but the repository's
// own, which only the Hub writes, and runs no hooks.
func (g *git) command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, g.program, append([]string{
		"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "safe.directory=*", "-c", "gc.auto=0", "-c", "protocol.allow=never",
		"-c", "protocol.http.allow=always", "-c", "protocol.https.allow=always", "-c", "transfer.fsckObjects=true",
	}, args...)...)
	c.Dir = dir
	c.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_ATTR_NOSYSTEM=1", "GIT_ALLOW_PROTOCOL=http:https",
	}
	c.WaitDelay = 10 * time.Second
	return c
}

// run returns what git printed.
func (g *git) run(ctx context.Context, dir string, args ...string) (string, error) {
	c := g.command(ctx, dir, args...)
	var out bytes.Buffer
	said := &limited{most: maxGitSays}
	c.Stdout, c.Stderr = &out, said
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}

// limited keeps the beginning of what is written to it.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.most - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// create makes a hosted repository unless it is there.
func (g *git) create(ctx context.Context, repository string) error {
	if _, err := os.Stat(g.path(repository)); err == nil {
		return nil
	}
	half, err := os.MkdirTemp(g.dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(half)
	if _, err := g.run(ctx, half, "init", "--bare", "--quiet", "--template=", "--initial-branch=main", "."); err != nil {
		return err
	}
	return os.Rename(half, g.path(repository))
}

func (g *git) remove(repository string) error { return os.RemoveAll(g.path(repository)) }

// refs lists branches and tags with the commits that they lead to.
func (g *git) refs(ctx context.Context, dir string) (map[string]string, error) {
	out, err := g.run(ctx, dir, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname)", "refs/heads", "refs/tags")
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) >= 2 {
			refs[f[0]] = f[len(f)-1] // of an annotated tag, what it leads to
		}
	}
	return refs, nil
}

var shaForm = regexp.MustCompile(`^[0-9a-f]{40}(?:[0-9a-f]{24})?$`)

// archive writes a folder of a commit as a tar.
func (g *git) archive(ctx context.Context, dir, sha, folder string, w io.Writer) error {
	if !shaForm.MatchString(sha) {
		return fmt.Errorf("%q is no commit: %w", sha, errdefs.ErrInvalidArgument)
	}
	tree := sha
	if folder = strings.Trim(folder, "/"); folder != "" && folder != "." {
		tree += ":" + folder
	}
	c := g.command(ctx, dir, "archive", "--format=tar", tree)
	said := &limited{most: maxGitSays}
	c.Stdout, c.Stderr = w, said
	if err := c.Run(); err != nil {
		return fmt.Errorf("git archive: %w: %s", err, strings.TrimSpace(said.String()))
	}
	return nil
}

// remote is a repository elsewhere, and who it is fetched as ("" is nobody).
type remote struct{ url, username, password string }

// as makes a call of git sign in to the repository, and to nothing else: the
// header is for its origin alone, and redirects are not followed. The password
// is in the environment, which is for the Hub's own user to see, not among the
// arguments, which are for everybody.
func (r remote) as(c *exec.Cmd) error {
	if r.username == "" {
		c.Env = append(c.Env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.followRedirects", "GIT_CONFIG_VALUE_0=initial")
		return nil
	}
	u, err := url.Parse(r.url)
	if err != nil || u.Scheme != "https" {
		return fmt.Errorf("%s: a name and password are sent over https alone: %w", r.url, errdefs.ErrInvalidArgument)
	}
	basic := base64.StdEncoding.EncodeToString([]byte(r.username + ":" + r.password))
	c.Env = append(c.Env, "GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=http.followRedirects", "GIT_CONFIG_VALUE_0=false",
		"GIT_CONFIG_KEY_1=http."+(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}).String()+".extraHeader", "GIT_CONFIG_VALUE_1=Authorization: Basic "+basic)
	return nil
}

// fetch brings one ref of a repository elsewhere into a new folder, through the
// outbound policy, and returns the commit. The caller removes the folder.
func (g *git) fetch(ctx context.Context, from remote, ref string, log io.Writer) (dir, sha string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	dir, err = os.MkdirTemp(g.dir, ".fetch-*")
	if err != nil {
		return "", "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
			dir = ""
		}
	}()
	if _, err := g.run(ctx, dir, "init", "--bare", "--quiet", "--template=", "."); err != nil {
		return dir, "", err
	}
	proxy, err := outbound.NewProxy(ctx, g.policy, maxPush)
	if err != nil {
		return dir, "", err
	}
	defer proxy.Close()
	c := g.command(ctx, dir, "-c", "http.proxy="+proxy.URL, "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60",
		"fetch", "--depth=1", "--no-tags", "--no-recurse-submodules", "--end-of-options", from.url, "+"+ref+":refs/build")
	if err := from.as(c); err != nil {
		return dir, "", err
	}
	if g.ca != "" {
		c.Env = append(c.Env, "GIT_SSL_CAINFO="+g.ca)
	}
	said := &limited{most: maxGitSays}
	c.Stderr = io.MultiWriter(said, log)
	if err := c.Run(); err != nil {
		return dir, "", fmt.Errorf("git fetch of %s: %w: %s", ref, err, refusal(strings.TrimSpace(said.String()), from))
	}
	out, err := g.run(ctx, dir, "rev-parse", "--verify", "--end-of-options", "refs/build^{commit}")
	return dir, strings.TrimSpace(out), err
}

// refusal says what git means when a server wants (other) credentials: it would
// ask for them, and there is nobody to ask.
func refusal(said string, from remote) string {
	switch {
	case !strings.Contains(said, "could not read Username") && !strings.Contains(said, "Authentication failed"):
		return said
	case from.username == "":
		return said + " (the repository is private: give the source a name and a token)"
	}
	return said + " (the server does not take the source's name and token)"
}
