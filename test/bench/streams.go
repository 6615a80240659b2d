package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/kernel/ns"
)

// pattern is what the containers of these cases say again and again.
const pattern = "0123456789abcdef"

// writes is a command that writes n bytes and ends.
func writes(n int64) []string {
	return []string{"sh", "-c", fmt.Sprintf("yes %s | head -c %d", pattern, n)}
}

// create makes a container and tells its ID.
func (t *target) create(ctx context.Context, cmd []string) (string, error) {
	created, err := t.client.ContainerCreate(ctx, client.ContainerCreateOptions{Config: &container.Config{Image: t.image, Cmd: cmd}})
	return created.ID, err
}

// stalledLogs follows a log and reads nothing while the container writes: the
// container must end as soon as without a reader, neither the daemon nor the
// monitor may grow, and what is kept of the log is bounded.
func stalledLogs(ctx context.Context, o options, own *own, r *report) error {
	if !o.limits.stalled {
		if err := stalledLog(ctx, o, own, r, false); err != nil {
			return err
		}
	}
	return stalledLog(ctx, o, own, r, true)
}

func stalledLog(ctx context.Context, o options, own *own, r *report, reader bool) error {
	size := fmt.Sprintf("%d MB", o.limits.bytes>>20)
	took := benchCase{name: size + " of output, time to write", unit: "s"}
	id, err := own.create(ctx, writes(o.limits.bytes))
	if err != nil {
		return err
	}
	wait := own.client.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	begin := time.Now()
	if _, err := own.client.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return err
	}
	monitor, err := monitorOf(ctx, own.target, id)
	if err != nil {
		return err
	}
	daemon, helper := grows{pid: own.daemon.Pid()}, grows{pid: monitor}
	daemon.look()
	helper.look()
	var conn net.Conn
	if reader {
		if conn, err = own.rawRequest(ctx, http.MethodGet, "/containers/"+id+"/logs?follow=1&stdout=1&stderr=1", ""); err != nil {
			return err
		}
		defer conn.Close()
	}
	for ended := false; !ended; {
		select {
		case <-wait.Result:
			ended = true
		case err := <-wait.Error:
			return err
		case <-time.After(50 * time.Millisecond):
		}
		daemon.look()
		helper.look()
	}
	if !reader {
		r.add(took, "no reader", time.Since(begin).Seconds())
		return nil
	}
	r.add(took, "stalled logs -f", time.Since(begin).Seconds())
	r.add(benchCase{name: size + " of output with a stalled logs -f, growth of the daemon (its own pages)", unit: "MB"}, own.name, daemon.by())
	r.add(benchCase{name: size + " of output with a stalled logs -f, growth of the monitor (its own pages)", unit: "MB"}, own.name, helper.by())
	kept, err := diskUse(filepath.Join(own.daemon.DataRoot(), "containers", id))
	if err != nil {
		return err
	}
	r.add(benchCase{name: size + " of output, kept on the disk (3 × 20 MB, compressed)", unit: "MB"}, own.name, kept)
	return nil
}

// grows follows the memory of a process that is its own, not its program's, of
// which a daemon that had nothing to do has given back all. One that has ended is
// as it was.
type grows struct {
	pid         int
	first, most float64 // MB
}

func (g *grows) look() {
	mb, err := memoryOf(g.pid, "RssAnon:")
	if err != nil {
		return
	}
	if g.first == 0 {
		g.first = mb
	}
	g.most = max(g.most, mb)
}

func (g *grows) by() float64 { return g.most - g.first }

// monitorOf is the process that is the parent of a container's process 1.
func monitorOf(ctx context.Context, t *target, id string) (int, error) {
	it, err := t.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return 0, err
	}
	parent, _, err := ns.ProcessParent(it.Container.State.Pid)
	return parent, err
}

// rawRequest sends a request on a connection of its own and reads nothing.
func (o *own) rawRequest(ctx context.Context, method, path, headers string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", o.daemon.Socket)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: berth\r\n%s\r\n", method, path, headers)
	return conn, err
}

// losslessAttach sends much output through `run` to a reader that stops again
// and again: not a byte may be lost or doubled.
func losslessAttach(ctx context.Context, o options, own *own, r *report) error {
	size := o.limits.bytes
	cmd := exec.CommandContext(ctx, own.cli, append([]string{"run", "--rm", own.image}, writes(size)...)...)
	cmd.Env = append(os.Environ(), "BERTH_HOST="+own.host)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	before, err := resident(own.daemon.Pid())
	if err != nil {
		return err
	}
	most, sum, total := before, sha256.New(), int64(0)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for n := 0; ; n++ {
		k, err := out.Read(buf)
		sum.Write(buf[:k])
		total += int64(k)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if n%1024 == 0 {
			if now, err := resident(own.daemon.Pid()); err == nil {
				most = max(most, now)
			}
			time.Sleep(20 * time.Millisecond) // what makes this reader slow
		}
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	want := sha256.New()
	if _, err := io.CopyN(want, &again{pattern + "\n", 0}, size); err != nil {
		return err
	}
	if got, want := hex.EncodeToString(sum.Sum(nil)), hex.EncodeToString(want.Sum(nil)); total != size || got != want {
		return fmt.Errorf("%d bytes with sha256 %s arrived, want %d with %s", total, got, size, want)
	}
	name := fmt.Sprintf("%d MB through run to a slow reader, equal sha256", size>>20)
	r.add(benchCase{name: name, unit: "s"}, own.name, time.Since(begin).Seconds())
	r.add(benchCase{name: name + ", growth of the daemon (RSS)", unit: "MB"}, own.name, most-before)
	return nil
}

// again reads the same text for ever.
type again struct {
	text string
	at   int
}

func (a *again) Read(p []byte) (int, error) {
	for i := 0; i < len(p); {
		n := copy(p[i:], a.text[a.at:])
		i += n
		a.at = (a.at + n) % len(a.text)
	}
	return len(p), nil
}

// goneClient stalls a container by an attached client that does not read, and
// then sends the client away: how long until the container has ended?
func goneClient(ctx context.Context, o options, own *own, r *report) error {
	for range min(o.n, 5) {
		id, err := own.create(ctx, writes(32<<20))
		if err != nil {
			return err
		}
		conn, err := own.rawRequest(ctx, http.MethodPost, "/containers/"+id+"/attach?stream=1&stdout=1", "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n")
		if err != nil {
			return err
		}
		if line, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil || !strings.Contains(line, "101") {
			return fmt.Errorf("attach: %q: %w", line, err)
		}
		wait := own.client.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
		if _, err := own.client.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
			return err
		}
		select {
		case <-wait.Result:
			return errors.New("the container did not wait for its client")
		case err := <-wait.Error:
			return err
		case <-time.After(time.Second):
		}
		ms, err := timed(func() error {
			if err := conn.Close(); err != nil {
				return err
			}
			select {
			case <-wait.Result:
				return nil
			case err := <-wait.Error:
				return err
			}
		})
		if err != nil {
			return err
		}
		r.add(benchCase{name: "a stalled client goes away: 32 MB are written and the container has ended", unit: "ms"}, own.name, ms)
	}
	return nil
}

// resident is VmRSS of /proc/PID/status in MB (proc(5)).
func resident(pid int) (float64, error) { return memoryOf(pid, "VmRSS:") }

// memoryOf is a line of a process's /proc/PID/status in MB.
func memoryOf(pid int, line string) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(data)) {
		if f := strings.Fields(l); len(f) > 1 && f[0] == line {
			kb, err := strconv.ParseFloat(f[1], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d: no %s in status", pid, line)
}
