// Command demo shows Berth's main job on a throw-away engine: it starts a Hub
// and a daemon, runs hello-world, and shows from the daemon's events and the
// Hub's access log which steps were really taken. It fails when one of them is
// not on record, and removes all it made.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder with Berth's programs")
	stopHub := flag.Bool("stop-hub", false, "stop the Hub before the first run, to see the demonstration fail")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, os.Stdout, *bin, *stopHub); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, out io.Writer, bin string, stopHub bool) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("containers need root here: run `sudo make demo`")
	}
	s, err := newStage(out, bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	s.heading("A Hub and an engine, both throw-away")
	if err := s.startHub(); err != nil {
		return err
	}
	if err := s.startDaemon(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "Hub      http://%s\nengine   %s\n", s.hubAddr, s.host())
	if stopHub {
		fmt.Fprintln(out, "the Hub is stopped, as asked")
		if err := s.hub.end(); err != nil {
			return err
		}
	}

	s.heading("berth run hello-world")
	begin := time.Now()
	var seen bytes.Buffer
	if err := s.show(ctx, io.MultiWriter(out, &seen), "run", "hello-world"); err != nil {
		return err
	}
	s.heading("The steps that were taken, from the engine's events and the Hub's access log")
	if err := s.proof(ctx, begin, seen.Bytes()); err != nil {
		return err
	}

	s.heading("A shell in a second image")
	if err := s.pushBusybox(ctx); err != nil {
		return err
	}
	if err := s.show(ctx, out, "run", "--rm", "busybox", "sh", "-c", shellScript); err != nil {
		return err
	}

	s.heading("Go on by hand")
	fmt.Fprint(out, goOn)
	s.heading("Cleaning up")
	return nil
}

const shellScript = `echo "process $$ of $(ls /proc | grep -c "^[0-9]"), user $(id -un), host $(hostname)"; ip -4 -o addr show eth0`

const goOn = `  bin/berth-hub serve --listen 127.0.0.1:5000 --data /var/lib/berth-hub &
  bin/berthd --registry-mirror http://127.0.0.1:5000 &
  bin/mkimage --busybox http://127.0.0.1:5000/library/busybox:latest
  bin/berth run -it --rm busybox sh
  DOCKER_HOST=unix:///var/run/berth.sock docker run hello-world
`
