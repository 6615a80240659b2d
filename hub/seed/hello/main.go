// Command hello is the program in the hello-world image: it prints what had to
// work for its words to be read.
package main

import (
	"os"
	"runtime"
)

const text = `
Hello from Berth!
This message shows that your installation works.

To bring it to you, Berth took these steps:
 1. The client "berth" (or "docker") contacted the daemon "berthd".
 2. The daemon pulled the image "hello-world" from the Hub
    (for linux/` + runtime.GOARCH + `).
 3. The daemon created a container from it and ran the program that prints
    what you are reading.
 4. The daemon streamed the output to the client, which sent it to your
    terminal.

To try something more ambitious, run a shell in a container:
 $ berth run -it busybox sh
`

func main() {
	if _, err := os.Stdout.WriteString(text + "\n"); err != nil {
		os.Exit(1)
	}
}
