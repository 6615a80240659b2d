// Command berth is the client of the Berth container engine.
package main

import (
	"context"
	"os"

	"github.com/berth-engine/berth/cli"
	"github.com/berth-engine/berth/cli/stream"
)

// Set by the linker.
var (
	version = "unknown"
	commit  = "unknown"
	built   = "unknown"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], stream.Std(), cli.Build{Version: version, Commit: commit, Time: built}))
}
