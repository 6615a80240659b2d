// Command berth-compose runs applications of several containers: `berth compose`
// executes it. It is Docker's Compose as a library, with what Berth adds. Under
// the name docker-compose, in a folder of plugins, it serves the stock docker
// command as well.
package main

import (
	"os"

	"github.com/berth-engine/berth/compose"
)

var version = "0.1.0-dev" // set by the linker

func main() { os.Exit(compose.Run(os.Args, version)) }
