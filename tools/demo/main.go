// Command demo shows what Berth is for on a throw-away Hub and a throw-away
// engine, and removes all it made:
//
//	demo [hello]   runs hello-world, and shows from the engine's events and the
//	               Hub's access log which steps were really taken
//	demo lamp      builds examples/lamp, shares it through the Hub and scales it
//	               under load
//	demo channels  compares the channels of examples/channels
//	demo load      has two hundred clients push to the Hub and pull, and kills it
//	demo -render   makes the pages' figures of the samples in docs/measured anew
//
// It fails when something is not as it says.
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
	"strings"
	"syscall"
	"time"
)

// demos are the demonstrations by name, each on a stage with Hub and engine up.
var demos = map[string]func(context.Context, *stage) error{
	"hello":    hello,
	"lamp":     lamp,
	"channels": channels,
	"load":     hubLoad,
}

func main() {
	bin := flag.String("bin", "bin", "folder with Berth's programs")
	stopHub := flag.Bool("stop-hub", false, "stop the Hub before the first run, to see the demonstration fail")
	plot := flag.Bool("plot", false, "with channels, lamp and load: keep the samples in docs/measured, and show them in the documentation")
	render := flag.Bool("render", false, "measure nothing: make the pages of the samples in docs/measured")
	flag.Parse()
	name := "hello"
	if flag.NArg() > 0 {
		name = flag.Arg(0)
	}
	if *render {
		if err := renderPages("."); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, os.Stdout, name, *bin, *stopHub, *plot); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, out io.Writer, name, bin string, stopHub, plot bool) (err error) {
	if demos[name] == nil || flag.NArg() > 1 {
		return fmt.Errorf("there is no demonstration %q", strings.Join(flag.Args(), " "))
	}
	if os.Geteuid() != 0 {
		return errors.New("containers need root here: run make demo as root")
	}
	s, err := newStage(out, bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.plot = plot

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
	if err := demos[name](ctx, s); err != nil {
		return err
	}
	s.heading("Cleaning up")
	return nil
}

// hello is the first thing that everybody tries.
func hello(ctx context.Context, s *stage) error {
	s.heading("berth run hello-world")
	begin := time.Now()
	var seen bytes.Buffer
	if err := s.show(ctx, io.MultiWriter(s.out, &seen), "run", "hello-world"); err != nil {
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
	if err := s.show(ctx, s.out, "run", "--rm", "busybox", "sh", "-c", shellScript); err != nil {
		return err
	}

	s.heading("Go on by hand")
	fmt.Fprint(s.out, goOn)
	return nil
}

const shellScript = `echo "process $$ of $(ls /proc | grep -c "^[0-9]"), user $(id -un), host $(hostname)"; ip -4 -o addr show eth0`

const goOn = `  bin/berth-hub serve --listen 127.0.0.1:5000 --data /var/lib/berth-hub &
  bin/berthd --registry-mirror http://127.0.0.1:5000 &
  bin/mkimage --busybox http://127.0.0.1:5000/library/busybox:latest
  bin/berth run -it --rm busybox sh
  DOCKER_HOST=unix:///var/run/berth.sock docker run hello-world
`
