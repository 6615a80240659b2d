package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/test/engine"
)

// farm is containers of one Compose service that publish one port, with clients
// that ask them without a pause, each time on a new connection.
type farm struct {
	t    *testing.T
	d    *engine.Daemon
	port string

	wg      sync.WaitGroup
	done    chan struct{}
	mu      sync.Mutex
	served  map[string]int // by container
	failed  atomic.Int64
	lenient atomic.Bool // a request may fail: its container is being killed
}

// farmProgram serves its container's name until SIGTERM, which it takes as its end
// whatever it is doing.
const farmProgram = `mkdir /www; echo $NAME > /www/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait`

// run starts one more.
func (f *farm) run(name string, more ...string) {
	f.t.Helper()
	args := append([]string{
		"berth", "run", "-d", "--name", name, "-e", "NAME=" + name, "-p", f.port + ":80",
		"--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web",
	}, more...)
	must(f.t, f.d, append(args, "busybox", "sh", "-c", farmProgram)...)
}

// clients begin to ask, by every way that leads to the port from this host.
func (f *farm) clients() {
	f.done, f.served = make(chan struct{}), map[string]int{}
	gateway := strings.TrimSpace(must(f.t, f.d, "berth", "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge"))
	for _, host := range []string{"127.0.0.1", "::1", gateway} {
		for range 2 {
			f.wg.Go(func() {
				c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
				for {
					select {
					case <-f.done:
						return
					default:
						f.ask(c, "http://"+net.JoinHostPort(host, f.port)+"/")
					}
				}
			})
		}
	}
}

func (f *farm) ask(c *http.Client, url string) {
	name, err := get(c, url)
	if err != nil {
		f.failed.Add(1)
		if !f.lenient.Load() {
			f.t.Errorf("%v", err)
		}
		return
	}
	f.mu.Lock()
	f.served[name]++
	f.mu.Unlock()
}

func get(c *http.Client, url string) (string, error) {
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = errors.New(r.Status)
	}
	return strings.TrimSpace(string(body)), err
}

// next waits for so many more answers, and returns who gave them.
func (f *farm) next(answers int) map[string]int {
	f.t.Helper()
	f.mu.Lock()
	f.served = map[string]int{}
	f.mu.Unlock()
	var got map[string]int
	eventually(f.t, fmt.Sprint(answers, " answers"), func() []string {
		f.mu.Lock()
		defer f.mu.Unlock()
		got = map[string]int{}
		n := 0
		for name, count := range f.served {
			got[name] = count
			n += count
		}
		if n < answers {
			return []string{fmt.Sprint(got)}
		}
		return nil
	})
	return got
}

// until waits until these and nobody else answer.
func (f *farm) until(names ...string) {
	f.t.Helper()
	eventually(f.t, "answers of "+strings.Join(names, ", ")+" alone", func() []string {
		got := f.next(60 * len(names))
		if len(got) != len(names) {
			return []string{fmt.Sprint(got)}
		}
		for _, name := range names {
			if got[name] == 0 {
				return []string{fmt.Sprint(got)}
			}
		}
		return nil
	})
}

// TestFarm scales a service up and down under load, without a failed request;
// what comes is spread evenly; one is killed; the engine is killed.
func TestFarm(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	f := &farm{t: t, d: d, port: freePort(t)}
	f.run("web1")
	eventually(t, "web1", func() []string {
		if _, err := get(http.DefaultClient, "http://127.0.0.1:"+f.port+"/"); err != nil {
			return []string{err.Error()}
		}
		return nil
	})
	f.clients()
	f.until("web1")
	for _, name := range []string{"web2", "web3", "web4"} {
		f.run(name)
	}
	f.until("web1", "web2", "web3", "web4")
	got := f.next(1200)
	t.Log("four of them: ", got)
	total := 0
	for _, n := range got {
		total += n
	}
	for name, n := range got {
		if n < total*15/100 || n > total*35/100 {
			t.Errorf("%s had %d of %d requests", name, n, total)
		}
	}

	must(t, d, "berth", "stop", "web1", "web2")
	f.until("web3", "web4")
	must(t, d, "berth", "start", "web1")
	f.until("web1", "web3", "web4")
	must(t, d, "berth", "pause", "web1")
	f.until("web3", "web4")
	must(t, d, "berth", "unpause", "web1")
	f.until("web1", "web3", "web4")

	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	f.until("web1", "web3", "web4")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.until("web1", "web3", "web4")
	must(t, d, "berth", "rm", "-f", "web2")

	// What is begun may end with the container that is killed; nothing else does.
	failed := f.failed.Load()
	f.lenient.Store(true)
	must(t, d, "berth", "kill", "web1")
	f.until("web3", "web4")
	f.lenient.Store(false)
	if n := f.failed.Load() - failed; n > 6 {
		t.Errorf("%d requests failed, but six clients have one each", n)
	}
	f.until("web3", "web4")
	close(f.done)
	f.wg.Wait()
	must(t, d, "berth", "rm", "-f", "web1", "web3", "web4")
	noLeak(t, d, before)
}

// TestFarmHealth: who is not healthy gets nothing, while another is.
func TestFarmHealth(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "run", "--rm", "busybox", "true")
	before := idle(t, d)
	f := &farm{t: t, d: d, port: freePort(t)}
	check := []string{"--health-cmd", "test -e /well", "--health-interval", "100ms", "--health-retries", "1"}
	f.run("web1", check...)
	must(t, d, "berth", "exec", "web1", "touch", "/well")
	eventually(t, "web1 is healthy", turns(t, d, "web1", "healthy"))
	f.clients()
	f.run("web2", check...)
	f.until("web1")
	must(t, d, "berth", "exec", "web2", "touch", "/well")
	f.until("web1", "web2")
	must(t, d, "berth", "exec", "web1", "rm", "/well")
	f.until("web2")
	must(t, d, "berth", "exec", "web2", "rm", "/well")
	f.until("web1", "web2") // nobody is well: better these than nobody
	must(t, d, "berth", "exec", "web1", "touch", "/well")
	f.until("web1")
	must(t, d, "berth", "container", "drain", "--wait", "10", "web1")
	f.until("web2")
	must(t, d, "berth", "container", "undrain", "web1")
	f.until("web1")
	close(f.done)
	f.wg.Wait()
	must(t, d, "berth", "rm", "-f", "web1", "web2")
	noLeak(t, d, before)
}

func turns(t *testing.T, d *engine.Daemon, name, health string) func() []string {
	return func() []string {
		got := strings.TrimSpace(must(t, d, "berth", "inspect", "-f", "{{.State.Health.Status}}", name))
		if got != health {
			return []string{got}
		}
		return nil
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
