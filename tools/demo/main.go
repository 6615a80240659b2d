// Command demo shows Berth's main job on a throw-away engine: it starts a Hub
// and a daemon, runs hello-world, and proves from the daemon's events and the
// Hub's access log which steps were really taken. It removes all it made.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder with Berth's programs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, *bin); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, bin string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("containers need root here: run `sudo make demo`")
	}
	s, err := newStage(ctx, bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	heading("1. A Hub and an engine, both throw-away")
	if err := s.startHub(ctx); err != nil {
		return err
	}
	if err := s.startDaemon(ctx); err != nil {
		return err
	}
	fmt.Printf("Hub    http://%s\nengine unix://%s\n", s.hubAddr, s.socket())

	heading("2. berth run hello-world")
	begin := time.Now()
	if err := s.berth(ctx, os.Stdout, "run", "hello-world"); err != nil {
		return err
	}
	heading("3. The steps that were really taken")
	if err := s.proof(ctx, begin); err != nil {
		return err
	}

	heading("4. A shell in a second image")
	if err := s.pushBusybox(ctx); err != nil {
		return err
	}
	script := `echo "I am process $$, user $(id -un), on $(hostname)"; ip -4 -o addr show eth0; echo "$(ls /proc | grep -c "^[0-9]") processes in sight"`
	if err := s.berth(ctx, os.Stdout, "run", "--rm", "busybox", "sh", "-c", script); err != nil {
		return err
	}

	heading("5. Go on by hand")
	fmt.Print(goOn)
	heading("Cleaning up")
	return nil
}

const goOn = `  bin/berth-hub serve --listen 127.0.0.1:5000 --data /var/lib/berth-hub &
  bin/berthd --registry-mirror http://127.0.0.1:5000 &
  bin/mkimage --busybox http://127.0.0.1:5000/library/busybox:latest
  bin/berth run -it --rm busybox sh
  DOCKER_HOST=unix:///var/run/berth.sock docker run hello-world
`

func heading(text string) { fmt.Printf("\n== %s ==\n", text) }

// stage is the demonstration's throw-away world.
type stage struct {
	bin, dir string
	hubAddr  string
	started  []*exec.Cmd // in the order of their start
}

func newStage(_ context.Context, bin string) (*stage, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	for _, p := range []string{"berth", "berthd", "berth-sandbox", "berth-netd", "berth-hub", "mkimage"} {
		if _, err := os.Stat(filepath.Join(bin, p)); err != nil {
			return nil, fmt.Errorf("%s is missing: run `make build`", filepath.Join(bin, p))
		}
	}
	dir, err := os.MkdirTemp("", "berth-demo-")
	return &stage{bin: bin, dir: dir}, err
}

func (s *stage) socket() string { return filepath.Join(s.dir, "berth.sock") }

// close stops what was started, last first, and removes the directory.
func (s *stage) close() error {
	var errs []error
	if len(s.started) > 1 { // there is a daemon: its containers go first
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		errs = append(errs, s.berth(ctx, nil, "container", "prune", "--force"))
	}
	for i := len(s.started) - 1; i >= 0; i-- {
		errs = append(errs, end(s.started[i]))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

func end(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	timer := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return nil
}
