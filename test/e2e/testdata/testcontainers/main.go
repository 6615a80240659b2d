// Command testcontainers is a story for test/e2e: what a test suite does with
// testcontainers-go, against the engine that DOCKER_HOST names. It is a module
// of its own so that the engine's go.mod does not list what only this needs.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, story := range []struct {
		name string
		tell func(context.Context) error
	}{{"web", web}, {"waits", waits}, {"networks", networks}} {
		if len(os.Args) > 1 && os.Args[1] != story.name {
			continue
		}
		if err := story.tell(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", story.name, err)
			os.Exit(1)
		}
		fmt.Println(story.name, "done")
	}
}

// web starts a server, waits until it answers, talks to it, looks into it.
func web(ctx context.Context) error {
	c, err := testcontainers.Run(ctx, "busybox",
		testcontainers.WithCmd("sh", "-c", "echo starting; exec httpd -f -v -p 80 -h /www"),
		testcontainers.WithExposedPorts("80/tcp"),
		testcontainers.WithEnv(map[string]string{"COLOR": "green"}),
		testcontainers.WithFiles(testcontainers.ContainerFile{
			Reader: strings.NewReader("hello\n"), ContainerFilePath: "/www/index.html", FileMode: 0o644,
		}),
		testcontainers.WithConfigModifier(quick),
		testcontainers.WithTmpfs(map[string]string{"/scratch": "size=1m"}),
		testcontainers.WithWaitStrategy(
			wait.ForLog("starting"),
			wait.ForHTTP("/").WithPort("80/tcp").WithStatusCodeMatcher(func(code int) bool { return code == http.StatusOK }),
		),
	)
	defer func() { _ = testcontainers.TerminateContainer(c) }() // looked at below when all went well
	if err != nil {
		return err
	}
	at, err := c.PortEndpoint(ctx, "80/tcp", "http")
	if err != nil {
		return err
	}
	if err := expect(get(ctx, at))("hello\n"); err != nil {
		return err
	}
	if err := expect(run(ctx, c, "sh", "-c", "echo $COLOR"))("green\n"); err != nil {
		return err
	}
	if err := c.CopyToContainer(ctx, []byte("more\n"), "/www/more", 0o600); err != nil {
		return err
	}
	if err := expect(get(ctx, at+"/more"))("more\n"); err != nil {
		return err
	}
	file, err := c.CopyFileFromContainer(ctx, "/www/more")
	if err != nil {
		return err
	}
	defer file.Close()
	if err := expect(all(file))("more\n"); err != nil {
		return err
	}
	logs, err := c.Logs(ctx)
	if err != nil {
		return err
	}
	defer logs.Close()
	if text, err := all(logs); err != nil || !strings.Contains(text, "starting") {
		return fmt.Errorf("logs: %q, %w", text, err)
	}
	if err := c.Stop(ctx, new(time.Second)); err != nil {
		return err
	}
	if state, err := c.State(ctx); err != nil || state.Running {
		return fmt.Errorf("after stop: %+v, %w", state, err)
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	return c.Terminate(ctx)
}

// waits goes through the strategies.
func waits(ctx context.Context) error {
	for name, strategy := range map[string]wait.Strategy{
		"port":   wait.ForListeningPort("80/tcp"),
		"exec":   wait.ForExec([]string{"test", "-e", "/ready"}),
		"file":   wait.ForFile("/ready"),
		"health": wait.ForHealthCheck(),
		"log":    wait.ForLog("ready [0-9]+").AsRegexp().WithOccurrence(2),
	} {
		c, err := testcontainers.Run(ctx, "busybox",
			testcontainers.WithCmd("sh", "-c", "echo ready 1; echo ready 2; touch /ready; exec httpd -f -p 80"),
			testcontainers.WithExposedPorts("80/tcp"),
			testcontainers.WithConfigModifier(healthy),
			testcontainers.WithWaitStrategyAndDeadline(20*time.Second, strategy),
		)
		if err := first(err, testcontainers.TerminateContainer(c)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	c, err := testcontainers.Run(ctx, "busybox", testcontainers.WithCmd("true"), testcontainers.WithWaitStrategy(wait.ForExit()))
	return first(err, testcontainers.TerminateContainer(c))
}

// networks has two containers talk to each other by name.
func networks(ctx context.Context) error {
	nw, err := network.New(ctx)
	if err != nil {
		return err
	}
	web, err := testcontainers.Run(ctx, "busybox",
		testcontainers.WithCmd("sh", "-c", "echo hello > /index.html; exec httpd -f -p 80 -h /"),
		network.WithNetwork([]string{"web"}, nw),
		testcontainers.WithConfigModifier(quick),
		testcontainers.WithWaitStrategy(wait.ForExec([]string{"wget", "-qO-", "http://127.0.0.1/"})),
	)
	if err != nil {
		return err
	}
	other, err := testcontainers.Run(ctx, "busybox", testcontainers.WithCmd("sleep", "1000"), testcontainers.WithConfigModifier(quick), network.WithNetwork(nil, nw))
	if err != nil {
		return err
	}
	err = expect(run(ctx, other, "wget", "-qO-", "http://web/"))("hello\n")
	return first(err, other.Terminate(ctx), web.Terminate(ctx), nw.Remove(ctx))
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// expect compares what a call returned.
func expect(got string, err error) func(want string) error {
	return func(want string) error {
		switch {
		case err != nil:
			return err
		case got != want:
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	}
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return all(resp.Body)
}

func run(ctx context.Context, c testcontainers.Container, args ...string) (string, error) {
	code, out, err := c.Exec(ctx, args, exec.Multiplexed())
	if err != nil {
		return "", err
	}
	text, err := all(out)
	if err == nil && code != 0 {
		err = fmt.Errorf("%q: exit status %d: %s", args, code, text)
	}
	return text, err
}

func all(r io.Reader) (string, error) {
	data, err := io.ReadAll(r)
	return string(data), err
}
