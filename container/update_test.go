package container

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/kernel/cgroup"
)

func (e *engine) update(id string, u *container.UpdateConfig) {
	e.t.Helper()
	resp, err := e.Update(e.t.Context(), id, u)
	if err != nil || len(resp.Warnings) > 0 {
		e.t.Fatal(resp, err)
	}
}

// limits are those of the container's group.
func (e *engine) limits(id string) (s cgroup.Stats) {
	e.t.Helper()
	if err := e.index.get(id).live.box.Stats(&s); err != nil {
		e.t.Fatal(err)
	}
	return s
}

func TestUpdate(t *testing.T) {
	e := newEngine(t)
	req := request("sleep")
	req.HostConfig.Memory = 64 << 20 // with swap, twice that
	id := e.create(req)
	u := func(r container.Resources) *container.UpdateConfig { return &container.UpdateConfig{Resources: r} }
	e.update(id, u(container.Resources{Memory: 48 << 20, CPUShares: 300})) // it does not run yet
	e.start(id)
	e.follow(id, "ready")
	if got := e.limits(id).Memory.Limit; got != 48<<20 {
		t.Errorf("limit %d", got)
	}
	e.update(id, u(container.Resources{Memory: 256 << 20, MemorySwap: 512 << 20, PidsLimit: new(int64(77)), CpusetCpus: "0"}))
	if got := e.limits(id); got.Memory.Limit != 256<<20 || got.Pids.Limit != 77 {
		t.Errorf("up: %+v", got)
	}
	status, err := os.ReadFile(filepath.Join("/proc", e.pid(id), "status"))
	if err != nil || !strings.Contains(string(status), "Cpus_allowed_list:\t0\n") {
		t.Errorf("%v %s", err, status)
	}
	e.update(id, u(container.Resources{Memory: 32 << 20, PidsLimit: new(int64(0))}))
	if got := e.limits(id); got.Memory.Limit != 32<<20 || got.Pids.Limit != cgroup.NoLimit {
		t.Errorf("down: %+v", got)
	}
	before := *e.record(id).HostConfig
	if _, err := e.Update(t.Context(), id, u(container.Resources{Memory: 100 << 20, NanoCPUs: 5e8, CpusetCpus: "4000"})); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a processor that does not exist: %v", err)
	}
	// What the kernel refuses in the middle changes nothing.
	if _, err := e.Update(t.Context(), id, u(container.Resources{Memory: 100 << 20, CPUShares: 100, CPUQuota: 1 << 62})); err == nil {
		t.Error("a quota beyond all bounds")
	}
	if got := e.limits(id).Memory.Limit; got != 32<<20 {
		t.Errorf("half of an update was applied: %d", got)
	}
	if now := *e.record(id).HostConfig; now.Memory != before.Memory || now.CPUShares != before.CPUShares || now.CPUQuota != 0 {
		t.Errorf("half of an update is in the record: %+v", now.Resources)
	}
	e.update(id, &container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 3}})
	if got := e.seen.await(id, "update"); len(got) == 0 {
		t.Error("no event")
	}

	// All of it is there for the next daemon and the next run.
	e.stop()
	e.boot()
	h := e.inspect(id).HostConfig
	if h.Memory != 32<<20 || h.MemorySwap != 512<<20 || h.CPUShares != 300 || h.CpusetCpus != "0" || *h.PidsLimit != 0 ||
		h.RestartPolicy.Name != "on-failure" || h.RestartPolicy.MaximumRetryCount != 3 {
		t.Errorf("%+v", h)
	}
	if err := e.Restart(t.Context(), id, "", nil); err != nil {
		t.Fatal(err)
	}
	if got := e.limits(id).Memory.Limit; got != 32<<20 {
		t.Errorf("after a restart: %d", got)
	}
}

func (e *engine) pid(id string) string {
	e.t.Helper()
	pids, err := e.index.get(id).live.box.Pids()
	if err != nil || len(pids) == 0 {
		e.t.Fatal(pids, err)
	}
	return number64(int64(pids[0]))
}

func TestUpdateRules(t *testing.T) {
	old := &container.HostConfig{Resources: container.Resources{Memory: 64 << 20, MemorySwap: 128 << 20, CPUPeriod: 50000}}
	nano := &container.HostConfig{Resources: container.Resources{NanoCPUs: 1e9}}
	rm := &container.HostConfig{AutoRemove: true}
	res := func(r container.Resources) *container.UpdateConfig { return &container.UpdateConfig{Resources: r} }
	always := &container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: "always"}}
	for _, tc := range []struct {
		old  *container.HostConfig
		u    *container.UpdateConfig
		text string // "": it is allowed
	}{
		{old, res(container.Resources{NanoCPUs: 1e9}), "Nano CPUs cannot be updated as CPU Period has already been set"},
		{nano, res(container.Resources{CPUPeriod: 1000}), "CPU Period cannot be updated as NanoCPUs has already been set"},
		{nano, res(container.Resources{CPUQuota: 1000}), "CPU Quota cannot be updated as NanoCPUs has already been set"},
		{old, res(container.Resources{Memory: 256 << 20}), "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"},
		{old, res(container.Resources{MemorySwap: 32 << 20}), "Minimum memoryswap limit should be larger than memory limit"},
		{nano, res(container.Resources{MemorySwap: 32 << 20}), "You should always set the Memory limit when using Memoryswap limit"},
		{rm, always, "Restart policy cannot be updated because AutoRemove is enabled for the container"},
		{old, res(container.Resources{Memory: 32 << 20}), ""},
		{&container.HostConfig{Resources: container.Resources{Memory: 64 << 20, MemorySwap: -1}}, res(container.Resources{Memory: 1 << 30}), ""},
		{&container.HostConfig{Resources: container.Resources{Memory: 64 << 20}}, res(container.Resources{Memory: 1 << 30}), ""},
		{&container.HostConfig{}, res(container.Resources{Memory: 1 << 30}), "update the memoryswap at the same time"},
		{old, always, ""},
	} {
		h, err := updated(tc.old, tc.u)
		if tc.text == "" {
			if err != nil || h == tc.old {
				t.Errorf("%+v: %v", tc.u, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("got %v, want %s", err, tc.text)
		}
	}
	for _, u := range []*container.UpdateConfig{
		res(container.Resources{Memory: 1 << 20}), res(container.Resources{CPUShares: -1}), res(container.Resources{CpusetCpus: "x"}),
		res(container.Resources{Memory: 64 << 20, MemorySwap: 32 << 20}),
		{RestartPolicy: container.RestartPolicy{Name: "sometimes"}},
		{RestartPolicy: container.RestartPolicy{MaximumRetryCount: 2}},
	} {
		if err := validateUpdate(u); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v", u, err)
		}
	}
	for _, r := range []container.Resources{{CgroupParent: "/x"}, {MemorySwappiness: new(int64(1))}, {Ulimits: []*container.Ulimit{{}}}} {
		if err := refuseUpdate(&r); !errdefs.IsNotImplemented(err) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestFitHost(t *testing.T) {
	r := container.Resources{
		Memory: 1 << 30, MemorySwap: 2 << 30, MemorySwappiness: new(int64(5)), OomKillDisable: new(true), CPUShares: 3, BlkioWeight: 100,
		PidsLimit: new(int64(9)), CpusetCpus: "1,3-4",
	}
	all := cgroup.Features{
		Memory: true, MemorySwap: true, MemorySwappiness: true, OOMKillDisable: true, CPUShares: true, BlkioWeight: true,
		Pids: true, Cpuset: true, CPUs: "0-7", Mems: "0",
	}
	same := r
	if warnings, err := fitHost(&same, all); err != nil || warnings != nil || same.Memory != r.Memory || same.CpusetCpus != r.CpusetCpus {
		t.Errorf("%q, %v, %+v", warnings, err, same)
	}
	few := cgroup.Features{Memory: true, Cpuset: true, CPUs: "0,2-3", Mems: "0"}
	warnings, err := fitHost(&r, few)
	if !errdefs.IsInvalidArgument(err) || err.Error() != "Requested CPUs are not available - requested 1,3-4, available: 0,2-3" {
		t.Errorf("%v", err)
	}
	if len(warnings) != 6 || r.MemorySwap != 0 || r.MemorySwappiness != nil || r.OomKillDisable != nil || r.PidsLimit != nil || r.BlkioWeight != 0 {
		t.Errorf("%q, %+v", warnings, r)
	}
	if !slices.Contains(warnings, "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.") {
		t.Errorf("%q", warnings)
	}
}
