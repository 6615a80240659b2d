package compose

import (
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

func service(u types.UpdateConfig) types.ServiceConfig {
	return types.ServiceConfig{Deploy: &types.DeployConfig{UpdateConfig: &u}}
}

func TestPlanRefuses(t *testing.T) {
	for want, u := range map[string]types.UpdateConfig{
		"failure_action: pray": {FailureAction: "pray"},
		"max_failure_ratio":    {MaxFailureRatio: 0.1},
		"order: sideways":      {Order: "sideways"},
	} {
		err := plan{services: types.Services{"web": service(u)}}.check()
		if err == nil || !strings.Contains(err.Error(), "service web: --rolling cannot do deploy.update_config."+want) {
			t.Errorf("%+v: %v", u, err)
		}
	}
	back := service(types.UpdateConfig{})
	back.Deploy.RollbackConfig = &types.UpdateConfig{Order: "stop-first"}
	if err := (plan{services: types.Services{"web": back}}).check(); err == nil || !strings.Contains(err.Error(), "rollback_config") {
		t.Errorf("rollback_config: %v", err)
	}
	one := uint64(1)
	if err := (plan{services: types.Services{"web": service(types.UpdateConfig{Parallelism: &one, FailureAction: "pause", Order: "stop-first"}), "db": {}}}).check(); err != nil {
		t.Error(err)
	}
}

func TestPolicy(t *testing.T) {
	grace := types.Duration(3 * time.Second)
	web := service(types.UpdateConfig{Delay: types.Duration(time.Second), Monitor: types.Duration(2 * time.Second), Order: "start-first"})
	web.StopGracePeriod = &grace
	none, three := uint64(0), uint64(3)
	p := plan{types.Services{
		"web": web, "plain": {}, "last": service(types.UpdateConfig{Order: "stop-first"}),
		"all": service(types.UpdateConfig{Parallelism: &none, FailureAction: "continue"}), "three": service(types.UpdateConfig{Parallelism: &three, FailureAction: "rollback"}),
	}, 5 * time.Second}
	if err := p.check(); err != nil {
		t.Fatal(err)
	}
	writes := []container.MountPoint{{Type: mount.TypeVolume, Destination: "/data", RW: true}}
	reads := []container.MountPoint{{Type: mount.TypeBind, Destination: "/etc/conf"}, {Type: mount.TypeTmpfs, Destination: "/tmp", RW: true}}
	for _, c := range []struct {
		service string
		host    *container.HostConfig
		mounts  []container.MountPoint
		want    policy
		why     string
	}{
		{service: "web", mounts: writes, want: policy{delay: time.Second, monitor: 2 * time.Second, patience: 5 * time.Second, drain: 3 * time.Second, parallelism: 1, onFailure: onFailurePause}},
		{service: "plain", mounts: reads, want: policy{patience: 5 * time.Second, drain: defaultDrain, parallelism: 1, onFailure: onFailurePause}},
		{service: "all", want: policy{patience: 5 * time.Second, drain: defaultDrain, parallelism: maxParallelism, onFailure: onFailureContinue}},
		{service: "three", want: policy{patience: 5 * time.Second, drain: defaultDrain, parallelism: 3, onFailure: onFailureRollback}},
		{service: "plain", mounts: writes, why: "both would write to /data"},
		{service: "plain", host: &container.HostConfig{NetworkMode: "host"}, why: "the host's network"},
		{service: "last", why: "stop-first"},
	} {
		got, why := p.of(c.service, c.host, c.mounts)
		if got != c.want || (c.why == "") != (why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s %+v: %+v, %q", c.service, c.mounts, got, why)
		}
	}
}

func TestAnswer(t *testing.T) {
	if got, err := answer(200, []byte(`{"Turn":"ready","Connections":3}`)); err != nil || got.Turn != turnReady || got.Connections != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{404, `{"message":"page not found"}`, "it is not Berth's"},
		{404, `<html>`, "it is not Berth's"},
		{404, `{"message":"No such container: x"}`, "No such container: x"},
		{409, `{"message":"it has no published ports"}`, "conflict"},
		{500, `{"message":"out of order"}`, "500: out of order"},
		{200, `{`, "unexpected end"},
	} {
		if _, err := answer(c.status, []byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
	}
}
