package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// post sends a request to the daemon.
func post(t *testing.T, path string, body any) (status int, answer string) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://berth"+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := daemon.Client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("the daemon hung up: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

type object = map[string]any

// Requests with far more than a message of a few pages holds are refused, or
// come through whole: nothing is cut off on the way to process 1
// (CVE-2021-43784).
func TestAttackMessages(t *testing.T) {
	many := func(n int, format string) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf(format, i))
		}
		return list
	}
	labels := object{}
	for i := range 5000 {
		labels["l"+strconv.Itoa(i)] = strings.Repeat("x", 100)
	}
	source := t.TempDir()
	for name, c := range map[string]struct {
		config, host object
		check        string // prints "whole"
	}{
		"environment": {object{"Env": many(8000, "V%d=xxxxxxxxxxxxxxxxxxxxxxxx")}, nil, `[ "$V7999" = xxxxxxxxxxxxxxxxxxxxxxxx ] && [ "$(env | grep -c ^V)" = 8000 ] && echo whole`},
		"one value":   {object{"Env": []string{"V=" + strings.Repeat("x", 100_000)}}, nil, `[ ${#V} = 100000 ] && echo whole`},
		"mounts":      {nil, object{"Binds": many(700, source+":/m/very/long/path/that/takes/its/place/in/the/message/%d:ro")}, `[ "$(grep -c ' /m/' /proc/mounts)" = 700 ] && ! touch /m/very/long/path/that/takes/its/place/in/the/message/699/x 2>/dev/null && echo whole`},
		"masks":       {nil, object{"MaskedPaths": append(many(3000, "/nothing/here/to/be/masked/number/%d"), "/etc/passwd")}, `[ -c /etc/passwd ] && echo whole`},
		"groups":      {nil, object{"GroupAdd": many(3000, "%d")}, `[ "$(id -G | wc -w)" = 3000 ] && echo whole`},
		"labels":      {object{"Labels": labels}, nil, `echo whole`},
		"limits":      {nil, object{"Tmpfs": object{"/t": "size=1m,mode=700"}}, `[ "$(stat -c %a /t)" = 700 ] && echo whole`},
	} {
		t.Run(name, func(t *testing.T) { whole(t, c.config, c.host, c.check) })
	}
	for name, body := range map[string]object{
		"a user of 10 MB":          {"Image": "attacker", "User": strings.Repeat("a", 10<<20)},
		"a host name of 10 MB":     {"Image": "attacker", "Hostname": strings.Repeat("a", 10<<20)},
		"an environment of 20 MB":  {"Image": "attacker", "Env": many(200, "V%d="+strings.Repeat("x", 100_000))},
		"a NUL in a command":       {"Image": "attacker", "Cmd": []string{"a\x00b"}},
		"a NUL in a variable":      {"Image": "attacker", "Env": []string{"A=a\x00b"}},
		"a NUL in a directory":     {"Image": "attacker", "WorkingDir": "/a\x00b"},
		"a NUL in a mount":         {"Image": "attacker", "HostConfig": object{"Binds": []string{"/tmp:/a\x00b"}}},
		"a NUL in a mount's place": {"Image": "attacker", "HostConfig": object{"Binds": []string{"/tmp\x00:/ab"}}},
		"a NUL in a mask":          {"Image": "attacker", "HostConfig": object{"MaskedPaths": []string{"/a\x00b"}}},
	} {
		status, answer := post(t, "/containers/create", body)
		if status == http.StatusCreated { // then its start says so
			var created struct{ ID string }
			_ = json.Unmarshal([]byte(answer), &created)
			status, answer = post(t, "/containers/"+created.ID+"/start", nil)
			must(t, "rm", "-f", created.ID)
		}
		if status < 400 || len(answer) > 64<<10 {
			t.Errorf("%s: status %d, an answer of %d bytes", name, status, len(answer))
		}
	}
}

// whole runs a container that prints "whole" if all has come through.
func whole(t *testing.T, config, host object, check string) {
	body := object{"Image": "attacker", "Cmd": []string{"sh", "-c", check}, "HostConfig": host}
	maps.Copy(body, config)
	status, answer := post(t, "/containers/create", body)
	if status != http.StatusCreated {
		t.Fatalf("%d %.300s", status, answer)
	}
	var created struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &created); err != nil {
		t.Fatal(err)
	}
	out, err := berth(t.Context(), "start", "-a", created.ID)
	must(t, "rm", "-f", created.ID)
	if err != nil || out != "whole\n" {
		t.Errorf("%.500s %v", out, err)
	}
}

// Names of labels, variables and annotations by which images have made engines
// do things on the host. Nothing of the kind happens: the daemon executes
// nothing at all, and where it keeps a container's settings they are as the
// request had them (CVE-2020-14370, CVE-2025-23266).
func TestAttackLabels(t *testing.T) {
	flags := []string{"--env", "LD_PRELOAD=/evil.so", "--env", "LD_LIBRARY_PATH=/", "--env", "NVIDIA_VISIBLE_DEVICES=all", "--env", "GODEBUG=x=y", "--env", "PATH=/evil"}
	for _, l := range []string{
		"io.containers.autoupdate=registry", "io.podman.annotations.privileged=TRUE", "io.containerd.runc.v2.group=x", "com.docker.compose.project=victim",
		"log.driver=binary:///evil", "containerd.io/restart.logpath=binary:///evil", "cdi.k8s.io/x=nvidia.com/gpu=all", "org.opencontainers.image.stopSignal=SIGKILL",
		"io.kubernetes.cri-o.Devices=/dev/sda", "io.katacontainers.config.hypervisor.path=/evil", "run.oci.hooks.stderr=/dev/sda", "run.oci.keep_original_groups=1",
		"module.wasm.image/variant=compat", "criu.work.path=/", "maintainer=" + strings.Repeat("x", 50_000),
	} {
		flags = append(flags, "--label", l)
	}
	image(t, "labels", flags...)
	plain := settings(t, "attacker")
	executed := execs(t, func() {
		if labelled := settings(t, "labels"); labelled != plain {
			t.Errorf("with labels\n%s\nwithout\n%s", labelled, plain)
		}
		_, _ = berth(t.Context(), "run", "--rm", "labels", "/attacker", "fds")
	})
	for _, line := range executed {
		t.Errorf("the daemon: %s", line)
	}
}

// settings are those of a new container, without what every one has of its own.
func settings(t *testing.T, image string) string {
	t.Helper()
	id := strings.TrimSpace(must(t, "create", image))
	defer must(t, "rm", id)
	return must(t, "inspect", "-f", "{{json .HostConfig}} {{json .Mounts}} {{json .Config.StopSignal}} {{json .State.Status}}", id)
}

// execs lists the programs that the daemon executes while fn runs. Its monitors
// and their stages, which come from a memfd, and what these become, are not
// among them.
func execs(t *testing.T, fn func()) (lines []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-e", "trace=execve,execveat", "-e", "signal=none", "-s", "200", "-o", file, "-p", strconv.Itoa(daemon.Pid()))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(stderr)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "attached") {
		t.Fatalf("strace: %q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, in) }() // until strace ends
	fn()
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait() // by the signal
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]bool{} // processes that became monitors or stages
	for line := range strings.Lines(string(data)) {
		pid, call, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !strings.Contains(call, "execve") || ours[pid]:
		case strings.Contains(call, `["berth-monitor"`) || strings.Contains(call, `["berth-init"`):
			ours[pid] = true
		default:
			lines = append(lines, line)
		}
	}
	return lines
}
