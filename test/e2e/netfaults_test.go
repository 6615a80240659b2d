package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestNetworkKilledAtEveryPoint kills the daemon at every fail point of a
// network's life. The next one tells the truth, what there is can be used and
// removed, and then nothing is left.
func TestNetworkKilledAtEveryPoint(t *testing.T) {
	points := slices.DeleteFunc(failPoints(t, "network"), func(p string) bool {
		return !strings.HasPrefix(p, "network.") // those of berth-netd: TestNetdPanics
	})
	if len(points) == 0 {
		t.Fatal("no fail points found")
	}
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			// One that makes its bridge may die at its start.
			if err := restartFaulty(t, d, point); err != nil && !d.Died() {
				t.Fatal(err)
			}
			var told string
			for _, step := range [][]string{
				{"network", "create", "net1"},
				{"network", "create", "net2"},
				{"run", "-d", "--name", "xx", "--network", "net1", "--stop-timeout", "0", "-p", "127.0.0.1::80", "busybox", "sleep", "1000"},
				{"network", "connect", "net2", "xx"},
				{"network", "disconnect", "net1", "xx"},
				{"rm", "-f", "xx"},
				{"network", "rm", "net1", "net2"},
			} {
				var err error
				if told, err = client(t, d, append([]string{"berth"}, step...)...); err != nil {
					break
				}
			}
			if !d.Died() {
				t.Fatalf("the daemon lives: no step of the story meets this point; the last said:\n%s", told)
			}
			startWhole(t, d)
			if ids := strings.Fields(must(t, d, "berth", "ps", "-aq")); len(ids) > 0 {
				must(t, d, append([]string{"berth", "rm", "-f"}, ids...)...)
			}
			// What there is, is whole: a container can live on it.
			for name := range strings.FieldsSeq(must(t, d, "berth", "network", "ls", "-q", "--filter", "type=custom")) {
				must(t, d, "berth", "run", "--rm", "--network", name, "-p", "127.0.0.1::80", "busybox", "true")
				must(t, d, "berth", "network", "rm", name)
			}
			noLeak(t, d, before)
		})
	}
}

// TestNetworkChurn has containers join and leave networks all at once. Then
// nothing is left. The benchmark "net churn" does the same with 300 containers
// for a minute.
func TestNetworkChurn(t *testing.T) {
	const containers, rounds = 6, 4
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	networks := []string{"net1", "net2", "net3"}
	for _, n := range networks {
		must(t, d, "berth", "network", "create", n)
	}
	var wg sync.WaitGroup
	var names []string
	for i := range containers {
		name := fmt.Sprint("churn", i)
		names = append(names, name)
		wg.Go(func() {
			if out, err := client(t, d, "berth", "run", "-d", "--name", name, "--stop-timeout", "0", "-p", "127.0.0.1::80", "busybox", "sleep", "1000"); err != nil {
				t.Errorf("%v: %s", err, out)
				return
			}
			for range rounds {
				for _, verb := range []string{"connect", "disconnect"} {
					for _, n := range networks {
						if out, err := client(t, d, "berth", "network", verb, n, name); err != nil {
							t.Errorf("%s %s %s: %v: %s", verb, n, name, err, out)
							return
						}
					}
				}
			}
		})
	}
	wg.Wait()
	must(t, d, append([]string{"berth", "rm", "-f"}, names...)...)
	must(t, d, append([]string{"berth", "network", "rm"}, networks...)...)
	noLeak(t, d, before)
}
