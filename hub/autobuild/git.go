package autobuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
}

func newGit(dir string, policy outbound.Policy) (*git, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	program, err := exec.LookPath("git")
	if err != nil && !errors.Is(err, exec.ErrNotFound) {
		return nil, err
	}
	return &git{dir: dir, program: program, policy: policy}, nil
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

// fetch brings one ref of a repository elsewhere into a new folder, through the
// outbound policy, and returns the commit. The caller removes the folder.
func (g *git) fetch(ctx context.Context, url, ref string, log io.Writer) (dir, sha string, err error) {
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
	c := g.command(ctx, dir, "-c", "http.proxy="+proxy.URL, "-c", "http.followRedirects=initial", "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60",
		"fetch", "--depth=1", "--no-tags", "--no-recurse-submodules", "--end-of-options", url, "+"+ref+":refs/build")
	said := &limited{most: maxGitSays}
	c.Stderr = io.MultiWriter(said, log)
	if err := c.Run(); err != nil {
		return dir, "", fmt.Errorf("git fetch of %s: %w: %s", ref, err, strings.TrimSpace(said.String()))
	}
	out, err := g.run(ctx, dir, "rev-parse", "--verify", "--end-of-options", "refs/build^{commit}")
	return dir, strings.TrimSpace(out), err
}
