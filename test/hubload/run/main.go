// Command run loads a registry with many clients at once and prints what it
// took. It fails when one request did.
//
//	go run ./test/hubload/run -url http://127.0.0.1:5000 -workers 200 -rounds 5
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/berth-engine/berth/test/hubload"
)

func main() {
	var o hubload.Options
	flag.StringVar(&o.URL, "url", "http://127.0.0.1:5000", "the registry")
	flag.StringVar(&o.Repository, "repository", "load/test", "images go to REPOSITORY/N")
	flag.StringVar(&o.User, "user", "", "name to sign in with; the secret is in HUBLOAD_SECRET")
	flag.IntVar(&o.Workers, "workers", 200, "clients at the same time")
	flag.IntVar(&o.Rounds, "rounds", 5, "pushes, and as many pulls, of each")
	flag.IntVar(&o.Layer, "layer", 64<<10, "bytes of random content in each image")
	flag.Parse()
	o.Secret = os.Getenv("HUBLOAD_SECRET")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := hubload.Run(ctx, o)
	fmt.Fprintf(os.Stdout, "%d clients, %d pushes, %d pulls of %d bytes in %s: %d errors\n", o.Workers, r.Pushes, r.Pulls, o.Layer, r.Took.Round(time.Millisecond), len(r.Errors))
	for name, all := range map[string][]time.Duration{"push": r.Push, "pull": r.Pull} {
		if n := len(all); n > 0 {
			fmt.Fprintf(os.Stdout, "%s: %.1f/s, median %s, p90 %s, p99 %s, longest %s\n", name, float64(n)/r.Took.Seconds(),
				all[n/2].Round(time.Millisecond), all[n*9/10].Round(time.Millisecond), all[n*99/100].Round(time.Millisecond), all[n-1].Round(time.Millisecond))
		}
	}
	for _, err := range r.Errors {
		fmt.Fprintln(os.Stderr, err)
	}
	if len(r.Errors) > 0 {
		os.Exit(1)
	}
}
