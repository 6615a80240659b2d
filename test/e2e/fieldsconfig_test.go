package e2e

import (
	"context"
	"time"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"
	moby "github.com/moby/moby/client"
)

// configProbes: the portable part of a request.
var configProbes = []probe{
	{field: "Config.Hostname", does: "name of the UTS namespace, /etc/hostname, /etc/hosts", run: "hostname", want: "probed", set: func(r *request) { r.Config.Hostname = "probed" }},
	{field: "Config.Domainname", does: "NIS domain of the UTS namespace, /etc/hosts", run: "cat /proc/sys/kernel/domainname", want: "probed.org", set: func(r *request) { r.Config.Domainname = "probed.org" }},
	{field: "Config.User", does: "user and group, looked up in the image", run: "id", want: "uid=7 gid=8", set: func(r *request) { r.Config.User = "7:8" }},
	{
		field: "Config.AttachStdin", does: "kept for readers, as by Docker: what the client sends", want: "typed\ntrue",
		typed: [2]string{`echo typed | docker run --name unstdin -a stdout busybox cat; docker inspect -f '{{.Config.AttachStdin}}' unstdin; docker rm unstdin >/dev/null`, `echo typed | docker run --name atstdin -i -a stdin -a stdout busybox cat; docker inspect -f '{{.Config.AttachStdin}}' atstdin; docker rm atstdin >/dev/null`},
	},
	{
		field: "Config.AttachStdout", does: "kept for readers, as by Docker: what the client shows", want: "out\ntrue",
		typed: [2]string{`docker run --name unstdout -a stderr busybox sh -c 'echo out; echo err >&2' 2>/dev/null; docker inspect -f '{{.Config.AttachStdout}}' unstdout; docker rm unstdout >/dev/null`, `docker run --name atstdout -a stdout -a stderr busybox sh -c 'echo out; echo err >&2' 2>/dev/null; docker inspect -f '{{.Config.AttachStdout}}' atstdout; docker rm atstdout >/dev/null`},
	},
	{
		field: "Config.AttachStderr", does: "kept for readers, as by Docker: what the client shows", want: "err\ntrue",
		typed: [2]string{`docker run --name unstderr -a stdout busybox sh -c 'echo out; echo err >&2' 2>&1 >/dev/null; docker inspect -f '{{.Config.AttachStderr}}' unstderr; docker rm unstderr >/dev/null`, `docker run --name atstderr -a stdout -a stderr busybox sh -c 'echo out; echo err >&2' 2>&1 >/dev/null; docker inspect -f '{{.Config.AttachStderr}}' atstderr; docker rm atstderr >/dev/null`},
	},
	{
		field: "Config.ExposedPorts", does: "what PublishAllPorts publishes", base: func(r *request) { r.HostConfig.PublishAllPorts = true }, want: "99/tcp:[",
		look: ports, set: func(r *request) { r.Config.ExposedPorts = nettypes.PortSet{nettypes.MustParsePort("99/tcp"): {}} },
	},
	{field: "Config.Tty", does: "a terminal as standard streams", run: "test -t 0 && echo terminal; true", want: "terminal", set: func(r *request) { r.Config.Tty = true }},
	{field: "Config.OpenStdin", does: "a pipe that clients write to as standard input", look: in("readlink /proc/1/fd/0"), want: "pipe", set: func(r *request) { r.Config.OpenStdin = true }},
	{
		field: "Config.StdinOnce", does: "the input ends with the first client", base: func(r *request) {
			r.Config.OpenStdin, r.Config.Cmd = true, []string{"sh", "-c", "cat; touch /ended; sleep 1000"}
		},
		look: inputEnds, set: func(r *request) { r.Config.StdinOnce = true }, want: "ended",
	},
	{field: "Config.Env", does: "environment", run: "echo $PROBE", want: "set", set: func(r *request) { r.Config.Env = []string{"PROBE=set"} }},
	{field: "Config.Cmd", does: "the program, or the arguments of the entry point", run: "true", want: "other", set: func(r *request) { r.Config.Cmd = []string{"echo", "other"} }},
	{field: "Config.Healthcheck", does: "a test that is run in the container", look: healthy, want: "healthy", set: func(r *request) { r.Config.Healthcheck = health("true") }},
	{
		field: "HealthcheckConfig.Test", does: "CMD or CMD-SHELL, NONE: not even the image's", look: healthy, want: "unhealthy", base: func(r *request) { r.Config.Healthcheck = health("true") },
		set: func(r *request) { r.Config.Healthcheck.Test[1] = "false" },
	},
	{field: "HealthcheckConfig.Interval", does: "between tests", base: func(r *request) { r.Config.Healthcheck = health("true") }, set: func(r *request) { r.Config.Healthcheck.Interval = time.Hour }, look: tests, want: "few"},
	{field: "HealthcheckConfig.Timeout", does: "for one test", base: func(r *request) {
		r.Config.Healthcheck = health("sleep 0.5")
		r.Config.Healthcheck.Timeout = time.Minute
	}, set: func(r *request) { r.Config.Healthcheck.Timeout = 2 * time.Millisecond }, look: healthy, want: "unhealthy"},
	{
		field: "HealthcheckConfig.StartPeriod", does: "failures do not count so long", base: func(r *request) { r.Config.Healthcheck = health("false") },
		set: func(r *request) { r.Config.Healthcheck.StartPeriod = time.Hour }, look: settledHealth, want: "starting",
	},
	{field: "HealthcheckConfig.StartInterval", does: "between tests of the start period", base: func(r *request) {
		r.Config.Healthcheck = health("false")
		r.Config.Healthcheck.StartPeriod = time.Hour
	}, set: func(r *request) { r.Config.Healthcheck.StartInterval = time.Hour }, look: tests, want: "few"},
	{
		field: "HealthcheckConfig.Retries", does: "failures in a row until unhealthy", base: func(r *request) { r.Config.Healthcheck = health("false") },
		set: func(r *request) { r.Config.Healthcheck.Retries = 1000000 }, look: settledHealth, want: "starting",
	},
	{field: "Config.Image", does: "the root file system and the defaults", run: "ls /from-image", want: "/from-image\n", set: func(r *request) { r.Config.Image = "probed-image" }},
	{field: "Config.Volumes", does: "anonymous volumes", run: "mount | grep ' /probe '", want: "/probe", set: func(r *request) { r.Config.Volumes = map[string]struct{}{"/probe": {}} }},
	{field: "Config.WorkingDir", does: "working directory, made if it is missing", run: "pwd", want: "/pro/be", set: func(r *request) { r.Config.WorkingDir = "/pro/be" }},
	{field: "Config.Entrypoint", does: "what the command are arguments of", run: "true", want: "sh -c true", set: func(r *request) { r.Config.Entrypoint = []string{"echo"} }},
	{field: "Config.NetworkDisabled", does: "no network but loopback", run: "ls /sys/class/net", set: func(r *request) { r.Config.NetworkDisabled = true }},
	{field: "Config.OnBuild", does: "kept for commit: a build on that image runs it", look: triggered, want: "/triggered\n", set: func(r *request) { r.Config.OnBuild = []string{"RUN touch /triggered"} }},
	{field: "Config.Labels", does: "labels, and a filter of list", look: listed("label=probe"), want: "1", set: func(r *request) { r.Config.Labels = map[string]string{"probe": ""} }},
	{field: "Config.StopSignal", does: "what stop sends first", base: func(r *request) {
		r.Config.Cmd = []string{"sh", "-c", "trap 'echo usr1; exit' USR1; trap 'echo term; exit' TERM; touch /ready; while :; do sleep 0.01; done"}
	}, look: stopped, want: "usr1", set: func(r *request) { r.Config.StopSignal = "SIGUSR1" }},
	{field: "Config.StopTimeout", does: "seconds until stop kills", base: func(r *request) {
		r.Config.Cmd = []string{"sh", "-c", "trap 'sleep 0.2; echo had time; exit' TERM; touch /ready; while :; do sleep 0.01; done"}
	}, look: stopped, set: func(r *request) { none := 0; r.Config.StopTimeout = &none }},
	{
		field: "Config.Shell", does: "the shell of CMD-SHELL tests; kept for commit", base: func(r *request) { r.Config.Healthcheck = health("true") }, look: healthy, want: "unhealthy",
		set: func(r *request) { r.Config.Shell = []string{"/bin/false"} },
	},
}

func health(cmd string) *container.HealthConfig {
	return &container.HealthConfig{
		Test: []string{"CMD-SHELL", cmd}, Interval: 5 * time.Millisecond, Timeout: 20 * time.Second, StartPeriod: time.Millisecond,
		StartInterval: 5 * time.Millisecond, Retries: 2,
	}
}

// await asks until an answer is the last one.
func await(ctx context.Context, w *world, id string, last func(*container.InspectResponse) (string, bool)) (string, error) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		r, err := w.c.ContainerInspect(ctx, id, moby.ContainerInspectOptions{})
		if err != nil {
			return "", err
		}
		if text, ok := last(&r.Container); ok || time.Now().After(deadline) {
			return text, nil
		}
	}
}

// healthy is the health of a container that has one, when it is known.
func healthy(ctx context.Context, w *world, id string) (string, error) {
	return await(ctx, w, id, func(i *container.InspectResponse) (string, bool) {
		if i.State.Health == nil {
			return "none", true
		}
		return string(i.State.Health.Status), i.State.Health.Status != container.Starting
	})
}

// settledHealth is the health after five tests.
func settledHealth(ctx context.Context, w *world, id string) (string, error) {
	return await(ctx, w, id, func(i *container.InspectResponse) (string, bool) {
		return string(i.State.Health.Status), len(i.State.Health.Log) >= 5
	})
}

// tests tells whether tests are many in a quarter of a second.
func tests(ctx context.Context, w *world, id string) (string, error) {
	until := time.Now().Add(250 * time.Millisecond)
	return await(ctx, w, id, func(i *container.InspectResponse) (string, bool) {
		if len(i.State.Health.Log) >= 2 {
			return "many", true
		}
		return "few", time.Now().After(until)
	})
}

// ports are what is published.
func ports(ctx context.Context, w *world, id string) (string, error) {
	return inspected(func(i *container.InspectResponse) any { return i.NetworkSettings.Ports })(ctx, w, id)
}

// listed counts the container in a list.
func listed(filter string) func(context.Context, *world, string) (string, error) {
	return func(_ context.Context, w *world, id string) (string, error) {
		out, err := w.berth("ps", "-aq", "--no-trunc", "--filter", filter, "--filter", "id="+id)
		if out != "" {
			return "1", err
		}
		return "0", err
	}
}

// stopped is what a container that is ready says when it is stopped.
func stopped(ctx context.Context, w *world, id string) (string, error) {
	if err := w.until(ctx, id, "test -e /ready"); err != nil {
		return "", err
	}
	if _, err := w.c.ContainerStop(ctx, id, moby.ContainerStopOptions{}); err != nil {
		return "", err
	}
	return w.output(ctx, id, false)
}

// inputEnds tells whether the input ends when a client goes away.
func inputEnds(ctx context.Context, w *world, id string) (string, error) {
	conn, err := w.c.ContainerAttach(ctx, id, moby.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		return "", err
	}
	if _, err := conn.Conn.Write([]byte("said\n")); err != nil {
		return "", err
	}
	if _, err := conn.Reader.Peek(1); err != nil { // cat has it
		return "", err
	}
	conn.Close()
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := w.until(short, id, "test -e /ended"); err != nil {
		return "goes on", nil
	}
	return "ended", nil
}
