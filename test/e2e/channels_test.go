package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// channelsRun is what the gateway of examples/channels prints.
type channelsRun struct {
	Channel                    string
	Sent, Lost, Doubled, Wrong int
	Rate                       float64   `json:"messages_s"`
	Trips                      []float64 `json:"round_trips_ms"`
}

// TestChannels has the five services of examples/channels talk through every
// channel, and counts: none may be lost, but by MQTT's quality 0, and none
// doubled, but by its quality 1.
func TestChannels(t *testing.T) {
	d := started(t)
	dir := channelsImages(t, d)
	for _, kind := range []string{"tcp", "files-poll", "files-inotify", "database", "http", "http-close", "mqtt-0", "mqtt-1", "mqtt-2"} {
		t.Run(kind, func(t *testing.T) {
			compose := func(args ...string) string {
				t.Helper()
				with := []string{
					"timeout", "180", "env", "CHANNEL=" + kind, "COMPOSE_PROFILES=" + kind, "SINGLE=20", "MANY=400",
					"PASSWORD_FILE=" + filepath.Join(dir, "password"), "berth", "compose", "--progress", "quiet", "--file", filepath.Join(dir, "channels", "compose.yaml"),
				}
				return must(t, d, append(with, args...)...)
			}
			defer compose("down", "-v", "-t", "0")
			defer func() {
				if t.Failed() {
					t.Log(compose("logs"))
				}
			}()
			compose("up", "-d")
			if out := compose("wait", "gateway"); !strings.Contains(out, "exited with status code 0") {
				t.Fatalf("the gateway ends with %s", out)
			}
			var r channelsRun
			out := compose("logs", "--no-log-prefix", "gateway")
			if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &r); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%+v", r)
			if r.Channel != kind || r.Sent != 420 || r.Wrong != 0 || r.Rate <= 0 || r.Lost == 0 && len(r.Trips) != 20 {
				t.Errorf("the gateway says: %+v", r)
			}
			if r.Lost > 0 && kind != "mqtt-0" {
				t.Errorf("%d messages were lost", r.Lost)
			}
			if r.Doubled > 0 && kind != "mqtt-1" {
				t.Errorf("%d messages came more than once", r.Doubled)
			}
			if kind == "mqtt-2" {
				channelsWill(t, compose)
			}
		})
	}
}

// channelsWill kills one service and starts another: what the broker retains is
// told to who comes later, and so is the last will of who is gone.
func channelsWill(t *testing.T, compose func(...string) string) {
	said := func(service, what string) {
		t.Helper()
		eventually(t, service+" to say: "+what, func() []string {
			if out := compose("logs", "--no-log-prefix", service); !strings.Contains(out, what) {
				return []string{out}
			}
			return nil
		})
	}
	compose("kill", "-s", "KILL", "price")
	said("stock", "price is gone\n")
	compose("restart", "-t", "0", "ledger")
	said("ledger", "price is gone, as is retained\n")
	compose("start", "price")
	said("stock", "price is here\n")
}

// channelsImages makes the images of examples/channels from a copy of it, and
// returns the copy's folder. What their Dockerfiles fetch from Debian is in the
// base images already, from the packages of this machine.
func channelsImages(t *testing.T, d *engine.Daemon) string {
	t.Helper()
	dir, tools := t.TempDir(), "../../tools"
	examples := "../../examples"
	if _, err := os.Stat(filepath.Join(examples, "channels/bin/gateway")); err != nil {
		t.Fatalf("%v: run make channels", err)
	}
	must(t, d, "cp", "-r", examples+"/channels", examples+"/lamp/db", dir)
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("it's \\secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for context, packages := range map[string][]string{
		"db":              {"mariadb-server-core", "mariadb-client-core", "mariadb-common"},
		"channels/broker": {"mosquitto"},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(tools, "debroot"), packages...)
		var root, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &root, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, errs.Bytes())
		}
		if err := os.WriteFile(filepath.Join(dir, context, "rootfs.tar"), root.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		offline(t, filepath.Join(dir, context, "Dockerfile"))
	}
	// mariadb-server makes its user when it is installed, and is not, here.
	add := `RUN grep -q ^mysql: /etc/passwd || { echo mysql:x:999:999::/:/bin/false >>/etc/passwd; echo mysql:x:999: >>/etc/group; }` + "\n"
	must(t, d, "sh", "-c", `printf %s "$1" >>"$2"`, "sh", add, filepath.Join(dir, "db/Dockerfile"))
	must(t, d, "berth", "build", "-q", "-t", "localhost/lamp/db:1", filepath.Join(dir, "db"))
	must(t, d, "berth", "build", "-q", "-t", "localhost/channels/broker:1", filepath.Join(dir, "channels/broker"))
	must(t, d, "env", "CHANNEL=tcp", "PASSWORD_FILE="+filepath.Join(dir, "password"), "berth", "compose", "--progress", "quiet",
		"--file", filepath.Join(dir, "channels/compose.yaml"), "build", "-q")
	return dir
}

// offline has a Dockerfile begin with rootfs.tar and run nothing.
func offline(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	running := false
	for line := range strings.Lines(string(data)) {
		switch {
		case running || strings.HasPrefix(line, "RUN "):
			running = strings.HasSuffix(strings.TrimSpace(line), `\`)
		case strings.HasPrefix(line, "FROM "):
			kept = append(kept, "FROM scratch\nADD rootfs.tar /\n")
		default:
			kept = append(kept, line)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(kept, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}
