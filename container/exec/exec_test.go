package exec

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

type fakeProcess struct{}

func (fakeProcess) Signal(context.Context, syscall.Signal) error { return nil }
func (fakeProcess) Resize(context.Context, uint16, uint16) error { return nil }

func instance(id, inside string) *Instance {
	return New(id, inside, 1, &container.ExecCreateRequest{Cmd: []string{"sh", "-c", "x"}, Tty: true, AttachStdout: true, User: "u"}, []byte{16, 17})
}

func TestLife(t *testing.T) {
	i := instance("e", "c")
	if r := i.Inspect(); r.Running || r.ExitCode != nil || r.Pid != 0 || r.ProcessConfig.Entrypoint != "sh" || len(r.ProcessConfig.Arguments) != 2 ||
		!r.ProcessConfig.Tty || r.ProcessConfig.User != "u" || *r.ProcessConfig.Privileged || !r.OpenStdout || r.OpenStdin || r.ContainerID != "c" {
		t.Errorf("created: %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.AwaitStart(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	var wins sync.Map
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			if err := i.Claim(); err == nil {
				wins.Store(n, true)
			} else if !errdefs.IsConflict(err) || err.Error() != "Error: Exec command e is already running" {
				t.Error(err)
			}
		})
	}
	all.Wait()
	count := 0
	wins.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d started it", count)
	}
	i.Unclaim()
	if err := i.Claim(); err != nil {
		t.Error(err)
	}
	i.Started(fakeProcess{}, 7)
	if p, err := i.AwaitStart(t.Context()); err != nil || p == nil {
		t.Errorf("%v, %v", p, err)
	}
	if r := i.Inspect(); !r.Running || r.ExitCode != nil || r.Pid != 7 {
		t.Errorf("running: %+v", r)
	}
	i.Ended(3, time.Unix(1, 0))
	i.Ended(4, time.Unix(1, 0)) // once
	<-i.Done()
	if r := i.Inspect(); r.Running || r.ExitCode == nil || *r.ExitCode != 3 || r.Pid != 7 {
		t.Errorf("ended: %+v", r)
	}
	if err := i.Claim(); !errdefs.IsConflict(err) || err.Error() != "Error: Exec command e has already run" {
		t.Error(err)
	}
	if p, err := i.AwaitStart(t.Context()); err != nil || p != nil {
		t.Errorf("%v, %v", p, err)
	}
}

func TestTable(t *testing.T) {
	var table Table
	if _, err := table.Get("e"); !errdefs.IsNotFound(err) || err.Error() != "No such exec instance: e" {
		t.Error(err)
	}
	if ids := table.Of("c"); ids != nil {
		t.Errorf("%q", ids)
	}
	var all []*Instance
	for n := range maxOpen {
		i := instance(fmt.Sprintf("%04d", n), "c")
		if err := table.Add(i); err != nil {
			t.Fatal(err)
		}
		all = append(all, i)
	}
	if err := table.Add(instance("more", "c")); !errdefs.IsResourceExhausted(err) {
		t.Errorf("%v", err)
	}
	if err := table.Add(instance("other", "d")); err != nil {
		t.Error(err)
	}
	at := time.Unix(1000, 0)
	table.End(all[0], 0, at)
	table.End(all[1], 0, at.Add(keep-1))
	if ids := table.Of("c"); len(ids) != maxOpen-2 || ids[0] != "0002" {
		t.Errorf("%d: %q", len(ids), ids[:3])
	}
	if _, err := table.Get("0000"); err != nil {
		t.Errorf("forgotten too early: %v", err)
	}
	table.End(all[2], 0, at.Add(keep))
	if _, err := table.Get("0000"); !errdefs.IsNotFound(err) {
		t.Errorf("kept for ever: %v", err)
	}
	if _, err := table.Get("0001"); err != nil {
		t.Errorf("forgotten too early: %v", err)
	}
	if err := all[3].Claim(); err != nil {
		t.Fatal(err)
	}
	table.Drop("c")
	if ids := table.Of("c"); len(ids) != 1 || ids[0] != "0003" {
		t.Errorf("%q", ids)
	}
	if _, err := table.Get("other"); err != nil {
		t.Errorf("that of another container: %v", err)
	}
	table.End(all[3], 0, at.Add(keep))
	for n := range maxEnded + 10 {
		i := instance(fmt.Sprint("many", n), "c")
		if err := table.Add(i); err != nil {
			t.Fatal(err)
		}
		table.End(i, 0, at.Add(keep))
	}
	if len(table.byID) > maxEnded+1 || len(table.open) != 1 {
		t.Errorf("%d instances, of %d containers", len(table.byID), len(table.open))
	}
}
